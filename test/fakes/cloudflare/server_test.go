package cloudflare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// client calls the fake as a program of somebody else would.
type client struct {
	t    *testing.T
	s    *Server
	zone string
}

type reply struct {
	status int
	header http.Header
	raw    []byte
	Errors []struct {
		Code  int
		Chain []struct{ Code int } `json:"error_chain"`
	}
	Success bool
	Result  json.RawMessage
	Info    *resultInfo `json:"result_info"`
}

// code returns the innermost error.
func (r reply) code() int {
	switch {
	case len(r.Errors) == 0:
		return 0
	case len(r.Errors[0].Chain) > 0:
		return r.Errors[0].Chain[0].Code
	default:
		return r.Errors[0].Code
	}
}

func (r reply) records(t *testing.T) []Record {
	t.Helper()
	var records []Record
	if err := json.Unmarshal(r.Result, &records); err != nil {
		t.Fatalf("%s: %v", r.raw, err)
	}
	return records
}

func start(t *testing.T, cfg Config) client {
	t.Helper()
	s := Start(cfg)
	t.Cleanup(s.Close)
	c := client{t, s, s.AddZone("example.com")}
	s.AddToken("token", c.zone)
	return c
}

func (c client) send(token, method, path, body string) (reply, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.s.Endpoint()+path, bytes.NewReader([]byte(body)))
	if err != nil {
		c.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	r := reply{status: response.StatusCode, header: response.Header}
	r.raw, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	_ = json.Unmarshal(r.raw, &r) // a fault may answer something else
	return r, err
}

func (c client) do(method, path, body string) reply {
	c.t.Helper()
	r, err := c.send("token", method, "/zones/"+c.zone+"/dns_records"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c client) want(r reply, status, code int) {
	c.t.Helper()
	if r.status != status || r.code() != code || r.Success != (code == 0) {
		c.t.Errorf("HTTP %d, error %d, success %v; want %d, %d: %s", r.status, r.code(), r.Success, status, code, r.raw)
	}
}

func TestAuthorization(t *testing.T) {
	c := start(t, Config{})
	other := c.s.AddZone("example.net")
	for _, x := range []struct {
		token, path  string
		status, code int
	}{
		{"token", "/zones/" + c.zone, 200, 0},
		{"", "/zones/" + c.zone, 400, 6111},
		{"wrong", "/zones/" + c.zone, 401, 10000},
		{"token", "/zones/" + other, 403, 9109},
		{"token", "/zones/" + other + "/dns_records", 403, 9109},
		{"token", "/zones/0123", 404, 7000},
		{"token", "/accounts", 404, 7000},
	} {
		r, err := c.send(x.token, "GET", x.path, "")
		if err != nil {
			t.Fatal(err)
		}
		c.want(r, x.status, x.code)
	}

	r, _ := c.send("token", "GET", "/zones?name=Example.COM", "")
	if want := fmt.Sprintf(`[{"id":%q,"name":"example.com","status":"active"}]`, c.zone); string(r.Result) != want || r.Info.TotalCount != 1 {
		t.Errorf("%s, want %s", r.raw, want)
	}
	for _, query := range []string{"name=example.net", "name=ample.com"} {
		if r, _ := c.send("token", "GET", "/zones?"+query, ""); string(r.Result) != "[]" {
			t.Errorf("%s: %s", query, r.raw)
		}
	}
	if calls := c.s.Calls(); calls.Zones != 8 || calls.Lists != 1 || calls.All() != 10 {
		t.Errorf("%+v", calls)
	}
}

func TestList(t *testing.T) {
	c := start(t, Config{})
	for i := range 250 {
		c.s.Put(c.zone, Record{Type: "A", Name: fmt.Sprintf("h%03d.example.com", i), Content: "192.0.2.1", TTL: 1})
	}
	c.s.Put(c.zone, Record{Type: "TXT", Name: "_dmarc.example.com", Content: `"v=DMARC1"`, TTL: 300})
	for query, want := range map[string]int{
		"":                                   100,
		"?page=3":                            51,
		"?page=4":                            0,
		"?per_page=5000":                     251,
		"?per_page=7&page=2":                 7,
		"?name=_DMARC.example.com":           1,
		"?name.exact=dmarc.example.com":      0,
		"?name.endswith=9.example.com":       25,
		"?name.startswith=h00":               10,
		"?name.contains=_dmarc":              1,
		"?type=TXT&name.endswith=.com":       1,
		"?type=TXT&name=h000.example.com":    0,
		"?match=any&type=TXT&name.exact=h0":  1,
		"?content.exact=%22v%3Ddmarc1%22":    1,
		"?content.contains=192&per_page=300": 250,
	} {
		r := c.do("GET", query, "")
		c.want(r, 200, 0)
		if got := len(r.records(t)); got != want || r.Info.Count != want {
			t.Errorf("%s: %d records, %+v; want %d", query, got, r.Info, want)
		}
	}
	if info := c.do("GET", "?per_page=7&page=2", "").Info; *info != (resultInfo{2, 7, 7, 251, 36}) {
		t.Errorf("%+v", info)
	}
	if first := c.do("GET", "?order=name", "").records(t)[0].Name; first != "_dmarc.example.com" {
		t.Error(first)
	}
	whole := start(t, Config{WholeTotal: true})
	for _, name := range []string{"a", "b", "c"} {
		whole.s.Put(whole.zone, Record{Type: "TXT", Name: name + ".example.com", Content: "x", TTL: 1})
	}
	if info := whole.do("GET", "?name.exact=a.example.com", "").Info; *info != (resultInfo{1, 100, 1, 3, 1}) {
		t.Errorf("%+v", info)
	}
	for _, query := range []string{"?name.endwith=x", "?per_page=0", "?page=x", "?match=none", "?per_page=5000001"} {
		c.want(c.do("GET", query, ""), 400, 9208)
	}
}

func TestSingleChanges(t *testing.T) {
	c := start(t, Config{})
	c.want(c.do("POST", "", `{"type":"TXT","name":"_DMARC","content":"\"a\"","ttl":60,"comment":"hello"}`), 200, 0)
	r := c.s.Records(c.zone, "", "")[0]
	if r.Name != "_dmarc.example.com" || r.TTL != 60 || r.Comment != "hello" || r.Proxiable {
		t.Errorf("%+v", r)
	}
	c.want(c.do("PATCH", "/"+r.ID, `{"content":"\"b\""}`), 200, 0)
	if got := c.s.Records(c.zone, "", "")[0]; got.Content != `"b"` || got.TTL != 60 || got.Comment != "hello" {
		t.Errorf("%+v", got)
	}
	c.want(c.do("PUT", "/"+r.ID, `{"type":"TXT","name":"_dmarc.example.com.","content":"\"c\""}`), 200, 0)
	if got := c.s.Records(c.zone, "", "")[0]; got.Content != `"c"` || got.TTL != 1 || got.Comment != "" || got.ID != r.ID {
		t.Errorf("%+v", got)
	}
	c.want(c.do("DELETE", "/"+r.ID, ""), 200, 0)
	c.want(c.do("DELETE", "/"+r.ID, ""), 404, 81044)
	c.want(c.do("PATCH", "/"+r.ID, `{"ttl":60}`), 404, 81044)
	c.want(c.do("POST", "", `{"type":"TXT","name":"x.example.org","content":"x"}`), 200, 0)
	if got := c.s.Records(c.zone, "", "")[0].Name; got != "x.example.org.example.com" {
		t.Errorf("a foreign name became %s", got)
	}
	if calls := c.s.Calls(); calls.Others != 7 || calls.All() != 7 {
		t.Errorf("%+v", calls)
	}
}

func TestValidation(t *testing.T) {
	c := start(t, Config{})
	c.s.Put(c.zone, Record{Type: "A", Name: "a.example.com", Content: "192.0.2.1", TTL: 1})
	c.s.Put(c.zone, Record{Type: "CNAME", Name: "c.example.com", Content: "x.example", TTL: 1})
	c.s.Put(c.zone, Record{Type: "NS", Name: "n.example.com", Content: "ns.example", TTL: 1})
	c.s.Put(c.zone, Record{Type: "TXT", Name: "t.example.com", Content: `"` + strings.Repeat("x", 4000) + `"`, TTL: 1})
	post := func(format string, args ...any) reply { return c.do("POST", "", fmt.Sprintf(format, args...)) }
	x := func(n int) string { return strings.Repeat("x", n) }
	for body, code := range map[string]int{
		`{"type":"A","name":"b","content":"192.0.2.256"}`:                             9005,
		`{"type":"A","name":"b","content":"2001:db8::1"}`:                             9005,
		`{"type":"AAAA","name":"b","content":"192.0.2.1"}`:                            9006,
		`{"type":"CNAME","name":"b","content":""}`:                                    9007,
		`{"type":"CNAME","name":"b","content":"a..b"}`:                                9007,
		`{"type":"SPF","name":"b","content":"x"}`:                                     9019,
		`{"type":"TXT","name":"a..b","content":"x"}`:                                  9000,
		`{"type":"TXT","name":"` + x(64) + `","content":"x"}`:                         9000,
		`{"type":"TXT","name":"b","content":""}`:                                      9601,
		`{"type":"TXT","name":"b","content":"\"x"}`:                                   9602,
		`{"type":"TXT","name":"b","content":"\"x\" y"}`:                               9602,
		`{"type":"TXT","name":"b","content":"x","ttl":59}`:                            9021,
		`{"type":"TXT","name":"b","content":"x","ttl":86401}`:                         9021,
		`{"type":"TXT","name":"b","content":"x","ttl":0}`:                             9021,
		`{"type":"TXT","name":"b","content":"x","proxied":true}`:                      9004,
		`{"type":"TXT","name":"b"}`:                                                   9207,
		`{"type":"TXT","name":"b","content":"x","nome":"y"}`:                          9207,
		`{"type":"TXT","name":"b","content":"\"` + x(4080) + `\""}`:                   0, // 16 strings
		`{"type":"TXT","name":"b2","content":"\"` + x(4081) + `\""}`:                  9603,
		`{"type":"TXT","name":"t","content":"\"` + strings.Repeat("y", 4080) + `\""}`: 0, // 8000-odd characters with the quotes
		`{"type":"A","name":"a","content":"192.0.2.1"}`:                               81058,
		`{"type":"CNAME","name":"a","content":"x.example"}`:                           81053,
		`{"type":"CNAME","name":"c","content":"y.example"}`:                           81053,
		`{"type":"A","name":"c","content":"192.0.2.1"}`:                               81054,
		`{"type":"TXT","name":"n","content":"x"}`:                                     81056,
		`{"type":"TXT","name":"c","content":"x"}`:                                     0, // cloudflare-docs #30376
	} {
		if r := post("%s", body); r.code() != code {
			t.Errorf("%.80s: error %d, want %d", body, r.code(), code)
		}
	}
	if r := post(`{"type":"TXT","name":"t","content":"\"%s\""}`, x(70)); r.code() != 9604 {
		t.Errorf("combined size: %d", r.code())
	}
	strict := start(t, Config{AliasStandsAlone: true})
	strict.s.Put(strict.zone, Record{Type: "CNAME", Name: "c.example.com", Content: "x.example", TTL: 1})
	strict.want(strict.do("POST", "", `{"type":"TXT","name":"c","content":"x"}`), 400, 81054)
}

func TestTXT(t *testing.T) {
	c := start(t, Config{})
	x := func(n int) string { return strings.Repeat("x", n) }
	for content, want := range map[string]string{
		`v=spf1 -all`:                `v=spf1 -all`,
		`"v=spf1 -all"`:              `"v=spf1 -all"`,
		`"a"  "b"`:                   `"a"  "b"`,
		x(300):                       x(300),
		`"` + x(255) + `"`:           `"` + x(255) + `"`,
		`"` + x(256) + `"`:           `"` + x(255) + `" "x"`,
		`"` + x(254) + `\"\200\;"`:   `"` + x(254) + `\"" "\200\;"`,
		`"a"  "` + x(600) + `"   ""`: `"a" "` + x(255) + `" "` + x(255) + `" "` + x(90) + `" ""`,
	} {
		body, _ := json.Marshal(map[string]string{"type": "TXT", "name": "t", "content": content})
		r := c.do("POST", "", string(body))
		c.want(r, 200, 0)
		for _, record := range c.s.Records(c.zone, "t.example.com", "TXT") {
			if record.Content != want {
				t.Errorf("%s is stored as %s, want %s", content, record.Content, want)
			}
			c.s.Delete(c.zone, record.ID)
		}
	}
}

func TestBatch(t *testing.T) {
	c := start(t, Config{MaxBatch: 4})
	old := c.s.Put(c.zone, Record{Type: "TXT", Name: "a.example.com", Content: `"old"`, TTL: 300})
	edit := c.s.Put(c.zone, Record{Type: "TXT", Name: "b.example.com", Content: `"b"`, TTL: 300})
	before := c.s.Records(c.zone, "", "")

	// In one transaction, deletes first: the new record can be the same as the deleted one.
	ok := fmt.Sprintf(`{"posts":[{"type":"TXT","name":"a","content":"\"old\""}],"patches":[{"id":%q,"content":"\"c\""}],"deletes":[{"id":%q}]}`, edit, old)
	for name, body := range map[string]string{
		"id unknown":  fmt.Sprintf(`{"deletes":[{"id":%q}],"posts":[{"type":"TXT","name":"n","content":"x"}],"patches":[{"id":"ff","content":"x"}]}`, old),
		"post at end": fmt.Sprintf(`{"deletes":[{"id":%q}],"posts":[{"type":"TXT","name":"n","content":"x"},{"type":"TXT","name":"n","content":""}]}`, old),
		"too many":    `{"deletes":[{"id":"1"},{"id":"2"},{"id":"3"},{"id":"4"},{"id":"5"}]}`,
		"nothing":     `{}`,
		"typing":      `{"delete":[{"id":"1"}]}`,
	} {
		if r := c.do("POST", "/batch", body); r.Success || r.status/100 != 4 {
			t.Errorf("%s: %s", name, r.raw)
		}
		if diff := cmp.Diff(before, c.s.Records(c.zone, "", "")); diff != "" {
			t.Errorf("%s: something was applied (-before +after):\n%s", name, diff)
		}
	}
	c.want(c.do("POST", "/batch", ok), 200, 0)
	if got := c.s.Contents(c.zone, "", ""); !slices.Equal(got, []string{`"old"`, `"c"`}) || c.s.Records(c.zone, "b.example.com", "")[0].ID != edit {
		t.Errorf("%q", got)
	}
	if calls := c.s.Calls(); calls.Batches != 6 || calls.All() != 6 {
		t.Errorf("%+v", calls)
	}
}

func TestRateLimit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := start(t, Config{Limit: 2, Window: time.Minute, Now: func() time.Time { return now }})
	c.want(c.do("GET", "", ""), 200, 0)
	r := c.do("GET", "", "")
	c.want(r, 200, 0)
	if got := r.header.Get("Ratelimit"); got != `"default";r=0;t=60` || r.header.Get("Retry-After") != "" {
		t.Errorf("%v", r.header)
	}
	r = c.do("GET", "", "")
	c.want(r, 429, 10100)
	if r.header.Get("Retry-After") != "60" {
		t.Errorf("%v", r.header)
	}
	now = now.Add(59 * time.Second)
	c.want(c.do("POST", "", `{"type":"TXT","name":"x","content":"x"}`), 429, 10100)
	if len(c.s.Records(c.zone, "", "")) > 0 {
		t.Error("carried out over the limit")
	}
	now = now.Add(2 * time.Second)
	c.want(c.do("GET", "", ""), 200, 0)
}

func TestFaults(t *testing.T) {
	c := start(t, Config{})
	post := `{"type":"TXT","name":"x","content":"x"}`
	for name, x := range map[string]struct {
		fault   Fault
		status  int // 0: no answer
		body    string
		applied bool
	}{
		"status and code":          {Fault{Status: 500, Code: 1000}, 500, `"code":1000`, false},
		"HTML":                     {Fault{Status: 502}, 502, `<!DOCTYPE html>`, false},
		"applied, error":           {Fault{Status: 502, Apply: true}, 502, `<!DOCTYPE html>`, true},
		"dropped":                  {Fault{Drop: true}, 0, "", false},
		"applied, dropped":         {Fault{Drop: true, Apply: true}, 0, "", true},
		"lost":                     {Fault{Lose: true}, 200, `"success":true`, false},
		"malformed":                {Fault{Malformed: true}, 200, `"errors"`, true},
		"huge":                     {Fault{Huge: true}, 200, "    ", true},
		"header":                   {Fault{Status: 429, Code: 1, Header: http.Header{"Retry-After": {"7"}}}, 429, "", false},
		"another method, no fault": {Fault{Method: "GET", Status: 500}, 200, `"success":true`, true},
		"another path, no fault":   {Fault{Path: "/batch", Status: 500}, 200, `"success":true`, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.s.Fail(x.fault)
			r, err := c.send("token", "POST", "/zones/"+c.zone+"/dns_records", post)
			if (err != nil) != (x.status == 0) || r.status != x.status || !strings.Contains(string(r.raw), x.body) {
				t.Errorf("%v, HTTP %d %.200s", err, r.status, r.raw)
			}
			if want := x.fault.Header.Get("Retry-After"); r.header.Get("Retry-After") != want {
				t.Errorf("%v", r.header)
			}
			records := c.s.Records(c.zone, "", "")
			if (len(records) == 1) != x.applied {
				t.Errorf("applied: %v", records)
			}
			for _, r := range records {
				c.s.Delete(c.zone, r.ID)
			}
			c.s.Heal()
		})
	}

	c.s.Fail(Fault{Path: "/dns_records", NoResultInfo: true, Times: 2, Skip: 1})
	for i, want := range []bool{true, false, false, true} {
		if got := c.do("GET", "", "").Info != nil; got != want {
			t.Errorf("call %d: result_info %v", i, got)
		}
	}
	c.s.Fail(Fault{Before: func() { c.s.Put(c.zone, Record{Type: "TXT", Name: "o.example.com", Content: "theirs"}) }})
	if got := c.do("GET", "", "").records(t); len(got) != 1 {
		t.Errorf("%v", got)
	}

	c.s.Fail(Fault{Hang: true})
	ended, before := make(chan error), c.s.Calls()
	go func() {
		_, err := c.send("token", "POST", "/zones", post) // a GET would be sent again
		ended <- err
	}()
	for c.s.Calls() == before {
		time.Sleep(time.Millisecond)
	}
	c.s.http.CloseClientConnections()
	if err := <-ended; err == nil {
		t.Error("an answer")
	}
}

func TestServe(t *testing.T) {
	c := start(t, Config{})
	d, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	ten := 10
	for _, r := range []Record{
		{Type: "TXT", Name: "example.com", Content: `v=spf1 "mx" -all`, TTL: 1},
		{Type: "TXT", Name: "example.com", Content: `"open`, TTL: 1},
		{Type: "MX", Name: "example.com", Content: "mx.example.com", Priority: &ten, TTL: 60},
		{Type: "MX", Name: "null.example.com", Content: ".", TTL: 60},
		{Type: "SVCB", Name: "svc.example.com", Content: "mandatory=oops", TTL: 60},
		{Type: "CNAME", Name: "example.com", Content: "flat.example", TTL: 1},
		{Type: "CNAME", Name: "s1._domainkey.example.com", Content: "s1.example", TTL: 60},
		{Type: "TXT", Name: "s1._domainkey.example.com", Content: "beside", TTL: 60},
	} {
		c.s.Put(c.zone, r)
	}
	c.s.Serve(d)
	want := func(name, rrtype string, rdata ...string) {
		t.Helper()
		if got := d.Records(name, rrtype); !slices.Equal(got, rdata) {
			t.Errorf("%s %s: %q, want %q", rrtype, name, got, rdata)
		}
	}
	want("example.com", "TXT", `"v=spf1 \"mx\" -all"`)
	want("example.com", "MX", "10 mx.example.com.")
	want("null.example.com", "MX", "0 .")
	want("svc.example.com", "SVCB")
	want("example.com", "CNAME")
	want("s1._domainkey.example.com", "CNAME", "s1.example.")
	want("s1._domainkey.example.com", "TXT")

	c.want(c.do("POST", "/batch", fmt.Sprintf(`{"deletes":[{"id":%q}],"posts":[{"type":"TXT","name":"new","content":"\"x\"","ttl":60}]}`,
		c.s.Records(c.zone, "s1._domainkey.example.com", "CNAME")[0].ID)), 200, 0)
	want("new.example.com", "TXT", `"x"`)
	want("s1._domainkey.example.com", "CNAME")
	want("s1._domainkey.example.com", "TXT", `"beside"`)
	c.s.Fail(Fault{Lose: true})
	c.want(c.do("POST", "", `{"type":"TXT","name":"lost","content":"\"x\""}`), 200, 0)
	want("lost.example.com", "TXT")
}
