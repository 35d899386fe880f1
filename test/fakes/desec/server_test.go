package desec

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s := Start(cfg)
	t.Cleanup(s.Close)
	s.AddDomain("zone.example", 3600)
	s.AddDomain("other.example", 60)
	s.AddToken("token", "zone.example")
	return s
}

// call makes one call and returns its status and body.
func call(t *testing.T, s *Server, method, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token token")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content), response.Header
}

const rrsets = "/api/v1/domains/zone.example/rrsets/"

func TestDesecCanonical(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct{ recordType, content, want string }{
		{"TXT", `"a b"`, `"a b"`},
		{"TXT", `""`, `""`},
		{"TXT", `"a"   "b"`, `"a" "b"`},
		{"TXT", `"a""b"`, `"a" "b"`},
		{"TXT", `"a\"\\\;"`, `"a\"\\;"`},
		{"TXT", "\"ü\x7f\"", `"\195\188\127"`},
		{"TXT", `"\097\000"`, `"a\000"`},
		{"TXT", `"` + x(255) + `"`, `"` + x(255) + `"`},
		{"TXT", `"` + x(256) + `"`, `"` + x(255) + `" "x"`},
		{"TXT", `"` + x(10) + `" "` + x(600) + `"`, `"` + x(10) + `" "` + x(255) + `" "` + x(255) + `" "` + x(90) + `"`},
		{"AAAA", "2001:DB8:0:0::1", "2001:db8::1"},
		{"CNAME", "A.Example.", "a.example."},
		{"MX", "10 MX.example.", "10 mx.example."},
		{"SRV", "0 5 5060 sip.example.", "0 5 5060 sip.example."},

		{"TXT", "a b", ""}, {"TXT", `"a`, ""}, {"TXT", `"a" b`, ""}, {"TXT", "", ""}, {"TXT", `"\256"`, ""}, {"TXT", `"\1"`, ""}, {"TXT", "\"a\nb\"", ""}, {"TXT", "\"\x00\"", ""},
		{"A", "2001:db8::1", ""}, {"A", "x", ""}, {"CNAME", "a.example", ""}, {"MX", "mx.example.", ""},
	} {
		got, err := canonical(c.recordType, c.content)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %q: %q %v, want %q", c.recordType, c.content, got, err, c.want)
		}
	}
}

func TestDesecBulk(t *testing.T) {
	for name, c := range map[string]struct {
		method, body string
		status       int
	}{
		"new":                  {"PUT", `[{"subname":"a","type":"TXT","ttl":3600,"records":["\"x\""]}]`, 200},
		"at the apex":          {"PUT", `[{"subname":"","type":"TXT","ttl":3600,"records":["\"x\""]}]`, 200},
		"no subname":           {"PUT", `[{"type":"TXT","ttl":3600,"records":["\"x\""]}]`, 200},
		"POST":                 {"POST", `[{"subname":"a","type":"TXT","ttl":3600,"records":["\"x\""]}]`, 201},
		"POST of what exists":  {"POST", `[{"subname":"old","type":"TXT","ttl":3600,"records":["\"x\""]}]`, 400},
		"PATCH of the TTL":     {"PATCH", `[{"subname":"old","type":"TXT","ttl":7200}]`, 200},
		"PATCH of nothing":     {"PATCH", `[{"subname":"none","type":"TXT","ttl":7200}]`, 400},
		"removal":              {"PUT", `[{"subname":"old","type":"TXT","records":[]}]`, 200},
		"@":                    {"PUT", `[{"subname":"@","type":"TXT","ttl":3600,"records":["\"x\""]}]`, 400},
		"upper case":           {"PUT", `[{"subname":"A","type":"TXT","ttl":3600,"records":["\"x\""]}]`, 400},
		"type in lower case":   {"PUT", `[{"subname":"a","type":"txt","ttl":3600,"records":["\"x\""]}]`, 400},
		"SOA":                  {"PUT", `[{"subname":"","type":"SOA","ttl":3600,"records":["x"]}]`, 400},
		"TTL too short":        {"PUT", `[{"subname":"a","type":"TXT","ttl":3599,"records":["\"x\""]}]`, 400},
		"TTL too long":         {"PUT", `[{"subname":"a","type":"TXT","ttl":86401,"records":["\"x\""]}]`, 400},
		"no TTL":               {"PUT", `[{"subname":"a","type":"TXT","records":["\"x\""]}]`, 400},
		"no records":           {"PUT", `[{"subname":"a","type":"TXT","ttl":3600}]`, 400},
		"null records":         {"PUT", `[{"subname":"a","type":"TXT","ttl":3600,"records":null}]`, 400},
		"duplicate":            {"PUT", `[{"subname":"a","type":"A","ttl":3600,"records":["192.0.2.1","192.0.2.1"]}]`, 400},
		"twice":                {"PUT", `[{"type":"TXT","ttl":3600,"records":["\"x\""]},{"type":"TXT","ttl":3600,"records":["\"y\""]}]`, 400},
		"one of two bad":       {"PUT", `[{"subname":"a","type":"TXT","ttl":3600,"records":["\"x\""]},{"subname":"b","type":"TXT","ttl":1,"records":["\"x\""]}]`, 400},
		"CNAME beside others":  {"PUT", `[{"subname":"old","type":"CNAME","ttl":3600,"records":["x.example."]}]`, 400},
		"CNAME at the apex":    {"PUT", `[{"subname":"","type":"CNAME","ttl":3600,"records":["x.example."]}]`, 400},
		"two CNAMEs":           {"PUT", `[{"subname":"a","type":"CNAME","ttl":3600,"records":["x.example.","y.example."]}]`, 400},
		"CNAME instead":        {"PUT", `[{"subname":"old","type":"TXT","records":[]},{"subname":"old","type":"CNAME","ttl":3600,"records":["x.example."]}]`, 200},
		"not a list":           {"PUT", `{"subname":"a","type":"TXT","ttl":3600,"records":["\"x\""]}`, 400},
		"a field that is none": {"PUT", `[{"subname":"a","type":"TXT","TTLs":3600,"records":["\"x\""]}]`, 400},
		"DELETE":               {"DELETE", ``, 405},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{})
			if err := s.Put("zone.example", "old", "TXT", 3600, `"old"`); err != nil {
				t.Fatal(err)
			}
			_, before, _ := call(t, s, "GET", rrsets, "")
			status, body, _ := call(t, s, c.method, rrsets, c.body)
			if status != c.status {
				t.Errorf("%d %s, want %d", status, body, c.status)
			}
			if _, after, _ := call(t, s, "GET", rrsets, ""); (before == after) != (status >= 400) {
				t.Errorf("%d, and the zone holds %s", status, after)
			}
		})
	}
}

func TestDesecAccess(t *testing.T) {
	s := start(t, Config{})
	for name, c := range map[string]struct {
		path   string
		header []string
		status int
	}{
		"the list":            {rrsets, nil, 200},
		"one RRset":           {rrsets + "@/NS/", nil, 200},
		"no slash at the end": {rrsets + "@/NS", nil, 200},
		"none":                {rrsets + "www/A/", nil, 404},
		"another's domain":    {"/api/v1/domains/other.example/rrsets/", nil, 404},
		"no domain":           {"/api/v1/domains/none.example/rrsets/", nil, 404},
		"another path":        {"/api/v2/domains/", nil, 404},
		"another token":       {rrsets, []string{"Authorization", "Token nekot"}, 401},
		"another scheme":      {rrsets, []string{"Authorization", "Bearer token"}, 401},
	} {
		if status, body, _ := call(t, s, "GET", c.path, "", c.header...); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
	}
	want := Calls{Lists: 5, Singles: 3, Others: 2}
	if diff := cmp.Diff(want, s.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestDesecPages(t *testing.T) {
	s := start(t, Config{PageSize: 2})
	for _, label := range []string{"a", "b", "c", "d"} {
		if err := s.Put("zone.example", label, "TXT", 3600, `"x"`); err != nil {
			t.Fatal(err)
		}
	}
	if status, body, header := call(t, s, "GET", rrsets, ""); status != 400 || !strings.Contains(header.Get("Link"), `cursor=>; rel="first"`) {
		t.Errorf("%d %s %v", status, body, header)
	}
	var labels []string
	for path := rrsets + "?cursor="; path != ""; {
		status, body, header := call(t, s, "GET", path, "")
		var page []view
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 {
			t.Fatal(status, body)
		}
		for _, set := range page {
			labels = append(labels, set.Subname+set.Type)
		}
		_, next, _ := strings.Cut(header.Get("Link"), "desec.io")
		path, _, _ = strings.Cut(next, ">")
	}
	if diff := cmp.Diff([]string{"dTXT", "cTXT", "bTXT", "aTXT", "NS"}, labels); diff != "" {
		t.Error(diff)
	}
	if status, _, _ := call(t, s, "GET", rrsets+"?type=NS", ""); status != 200 {
		t.Error("a filter that finds little needs no pages")
	}
}

func TestDesecLimits(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := start(t, Config{Limits: true, Now: func() time.Time { return now }})
	put := func() (int, string) {
		status, _, header := call(t, s, "PUT", rrsets, `[{"subname":"a","type":"TXT","ttl":3600,"records":["\"x\""]}]`)
		return status, header.Get("Retry-After")
	}
	want := func(status int, after string) {
		t.Helper()
		if gotStatus, gotAfter := put(); gotStatus != status || gotAfter != after {
			t.Errorf("%d %q, want %d %q", gotStatus, gotAfter, status, after)
		}
	}
	want(200, "")
	want(200, "")
	want(429, "1")
	for range 13 {
		now = now.Add(time.Second)
		want(200, "")
	}
	now = now.Add(time.Second)
	want(429, "46")
	now = now.Add(46 * time.Second)
	want(200, "")
}

func TestDesecFaults(t *testing.T) {
	body := `[{"subname":"a","type":"TXT","ttl":3600,"records":["\"x\""]}]`
	for name, c := range map[string]struct {
		fault  Fault
		status int
		stored int
	}{
		"lost":             {Fault{Lose: true}, 200, 0},
		"failed":           {Fault{Status: 502}, 502, 0},
		"done and failed":  {Fault{Status: 502, Apply: true}, 502, 1},
		"dropped":          {Fault{Drop: true}, 0, 0},
		"done and dropped": {Fault{Drop: true, Apply: true}, 0, 1},
		"another method":   {Fault{Status: 502, Method: "GET"}, 200, 1},
		"another path":     {Fault{Status: 502, Path: "/@/"}, 200, 1},
		"skipped":          {Fault{Status: 502, Skip: 1}, 200, 1},
	} {
		s := start(t, Config{})
		s.Fail(c.fault)
		if status, _, _ := call(t, s, "PUT", rrsets, body); status != c.status {
			t.Errorf("%s: %d", name, status)
		}
		if got := len(s.Records("zone.example", "a", "TXT")); got != c.stored {
			t.Errorf("%s: %d records", name, got)
		}
		s.Heal()
		if status, _, _ := call(t, s, "PUT", rrsets, body); status != 200 {
			t.Errorf("%s: %d after it", name, status)
		}
	}
}
