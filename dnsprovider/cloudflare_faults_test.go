package dnsprovider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
)

func dialNowhere(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("address not allowed")
}

// Whatever comes back, a read never proves absence and a change never succeeds, and after one
// that may have been made nobody says that it was not.
func TestCloudflareFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault   cloudflare.Fault
		read    Kind
		update  Kind
		applied bool
		text    string // in both
	}{
		"400":                  {cloudflare.Fault{Status: 400, Code: 1004}, Refused, Refused, false, "HTTP 400, error 1004"},
		"400, no zone":         {cloudflare.Fault{Status: 400, Code: 1001}, ZoneNotFound, ZoneNotFound, false, "error 1001"},
		"401":                  {cloudflare.Fault{Status: 401, Code: 10000}, Unauthorized, Unauthorized, false, "error 10000"},
		"403":                  {cloudflare.Fault{Status: 403, Code: 10000}, Unauthorized, Unauthorized, false, "error 10000"},
		"403 of the record":    {cloudflare.Fault{Status: 403, Code: 81062}, Refused, Refused, false, "error 81062"},
		"403 in HTML":          {cloudflare.Fault{Status: 403}, Unauthorized, Unauthorized, false, "HTTP 403"},
		"404 in HTML":          {cloudflare.Fault{Status: 404}, ZoneNotFound, ZoneNotFound, false, "HTTP 404"},
		"408":                  {cloudflare.Fault{Status: 408}, Unreachable, UnknownOutcome, false, "HTTP 408"},
		"413 in HTML":          {cloudflare.Fault{Status: 413}, Refused, Refused, false, "HTTP 413"},
		"429":                  {cloudflare.Fault{Status: 429, Code: 10100}, RateLimited, RateLimited, false, "fewer calls"},
		"429 in HTML":          {cloudflare.Fault{Status: 429}, RateLimited, RateLimited, false, "fewer calls"},
		"500":                  {cloudflare.Fault{Status: 500, Code: 1000}, Unreachable, UnknownOutcome, false, "HTTP 500, error 1000"},
		"500, applied":         {cloudflare.Fault{Status: 500, Code: 1000, Apply: true}, Unreachable, UnknownOutcome, true, "HTTP 500"},
		"502 in HTML":          {cloudflare.Fault{Status: 502}, Unreachable, UnknownOutcome, false, "HTTP 502"},
		"502 in HTML, applied": {cloudflare.Fault{Status: 502, Apply: true}, Unreachable, UnknownOutcome, true, "HTTP 502"},
		"503":                  {cloudflare.Fault{Status: 503, Code: 10013}, Unreachable, UnknownOutcome, false, "HTTP 503"},
		"520":                  {cloudflare.Fault{Status: 520}, Unreachable, UnknownOutcome, false, "HTTP 520"},
		"redirect":             {cloudflare.Fault{Status: 302, Header: http.Header{"Location": {"/"}}}, Unreachable, UnknownOutcome, false, "HTTP 302"},
		"200 in HTML":          {cloudflare.Fault{Status: 200}, Unreachable, UnknownOutcome, false, "HTTP 200"},
		"200, no success":      {cloudflare.Fault{Status: 200, Code: 1004}, Unreachable, UnknownOutcome, false, "HTTP 200, error 1004"},
		"malformed":            {cloudflare.Fault{Malformed: true}, Unreachable, UnknownOutcome, true, "HTTP 200"},
		"a very long answer":   {cloudflare.Fault{Huge: true}, Unreachable, UnknownOutcome, true, "longer than 32 MiB"},
		"no result_info":       {cloudflare.Fault{NoResultInfo: true}, Unreachable, "", true, ""},
		"no fault":             {cloudflare.Fault{Path: "never"}, "", "", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := startCloudflare(t, cloudflare.Config{})
			key := e.txt("_dmarc")
			seen := e.read(t, key)
			fail := func() {
				f := c.fault
				if f.Path == "" {
					f.Path = "/dns_records"
				}
				e.s.Fail(f)
			}

			var reads, updates []string
			for range 2 { // the text is the same each time
				e.s.Heal()
				fail()
				_, err := readOne(t.Context(), e.zone, key)
				wantKind(t, err, c.read)
				wantSound(t, err)
				reads = append(reads, fmt.Sprint(err))
			}
			e.s.Heal()
			e.read(t, key) // and finds the zone again, if need be

			change := Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour}
			for i := range 2 {
				for id := range e.everything() {
					e.s.Delete(e.id, id)
				}
				e.s.Heal()
				fail()
				e.s.ResetCalls()
				err := applyOne(t.Context(), e.zone, change)
				wantKind(t, err, c.update)
				wantSound(t, err)
				updates = append(updates, fmt.Sprint(err))
				if calls := e.s.Calls(); calls.Batches != 1 {
					t.Errorf("%+v: sent more than once", calls)
				}
				if applied := len(e.everything()) == 1; applied != c.applied {
					t.Errorf("applied = %v, want %v", applied, c.applied)
				}
				if i == 0 {
					e.s.Heal()
					e.read(t, key)
				}
			}
			if reads[0] != reads[1] || updates[0] != updates[1] {
				t.Errorf("the text changes:\n%s", strings.Join(append(reads, updates...), "\n"))
			}
			for _, text := range []string{reads[0], updates[0]} {
				if !strings.Contains(text, c.text) {
					t.Errorf("%s: want %q", text, c.text)
				}
			}

			// Sent again in ignorance, the change cannot write twice.
			e.s.Heal()
			e.read(t, key)
			if err := applyOne(t.Context(), e.zone, change); c.applied {
				wantKind(t, err, Changed)
			}
			wantValues(t, e.read(t, key), "x")
		})
	}
}

func TestCloudflareRetryAfter(t *testing.T) {
	const date = "Mon, 23 Nov 2026 12:00:00 GMT"
	for name, c := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"seconds":             {map[string]string{"Retry-After": "42"}, 42 * time.Second},
		"date":                {map[string]string{"Retry-After": "Mon, 23 Nov 2026 12:01:30 GMT", "Date": date}, 90 * time.Second},
		"date in the past":    {map[string]string{"Retry-After": "Mon, 23 Nov 2026 11:00:00 GMT", "Date": date}, time.Second},
		"date without Date":   {map[string]string{"Retry-After": "Mon, 23 Nov 2026 12:01:30 GMT"}, 5 * time.Minute},
		"only Ratelimit":      {map[string]string{"Ratelimit": `"burst";r=9;t=1, "default";r=0;t=77`}, 77 * time.Second},
		"Ratelimit, no use":   {map[string]string{"Ratelimit": `"default";r=5;t=77`}, 5 * time.Minute},
		"nothing":             {nil, 5 * time.Minute},
		"zero":                {map[string]string{"Retry-After": "0"}, time.Second},
		"negative":            {map[string]string{"Retry-After": "-5"}, time.Second},
		"a year":              {map[string]string{"Retry-After": "31536000"}, time.Hour},
		"more than a number":  {map[string]string{"Retry-After": "99999999999999999999"}, 5 * time.Minute},
		"not a number, words": {map[string]string{"Retry-After": "soon"}, 5 * time.Minute},
	} {
		header := http.Header{}
		for name, value := range c.header {
			header.Set(name, value)
		}
		if got := cloudflareRetryAfter(header); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}

	e := startCloudflare(t, cloudflare.Config{Limit: 3, Window: 10 * time.Minute})
	key := e.txt("_dmarc")
	seen := e.read(t, key)
	e.read(t, key)
	_, err := readOne(t.Context(), e.zone, key)
	wantKind(t, err, RateLimited)
	update := applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
	wantKind(t, update, RateLimited)
	for _, err := range []error{err, update} {
		e, _ := errors.AsType[*Error](err)
		if e.RetryAfter < 9*time.Minute || e.RetryAfter > 10*time.Minute {
			t.Errorf("RetryAfter %v, want 10m", e.RetryAfter)
		}
		if strings.ContainsAny(strings.ReplaceAll(e.Error(), e.Server, ""), "6") {
			t.Errorf("the text says when: %v", e)
		}
	}
	e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 3, Batches: 1})
}

func wantNoError(t *testing.T, z Zone, key Key) {
	t.Helper()
	if _, err := readOne(t.Context(), z, key); err != nil {
		t.Fatal(err)
	}
}

func TestCloudflareUnreachable(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{})
	key := e.txt("_dmarc")
	wantNoError(t, e.zone, key)
	server := strings.TrimSuffix(strings.TrimPrefix(e.s.Endpoint(), "http://"), "/client/v4")
	gone := cloudflare.Start(cloudflare.Config{})
	endpoint := gone.Endpoint()
	gone.Close()
	z := e.open(t, func(c *CloudflareConfig) { c.Endpoint = endpoint })
	_, err := readOne(t.Context(), z, key)
	wantKind(t, err, Unreachable)
	err = applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour})
	wantKind(t, err, Unreachable)
	if text := err.Error(); !strings.HasSuffix(text, ": cannot connect: connection refused: check the endpoint and the network policy") || !strings.HasPrefix(text, "update TXT _dmarc.zone.example at 127.0.0.1:") {
		t.Error(err)
	}

	// The dial is the user's, from the first call on. A change is then known not to have been sent.
	calls := 0
	guarded := e.open(t, func(c *CloudflareConfig) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			calls++
			if address != server {
				t.Errorf("dials %s", address)
			}
			if calls > 1 {
				return dialNowhere(ctx, network, address)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	wantNoError(t, guarded, key)
	guarded.(*cloudflareZone).transport.(*http.Transport).CloseIdleConnections()
	err = applyOne(t.Context(), guarded, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour})
	wantKind(t, err, Unreachable)
	if !strings.Contains(err.Error(), "address not allowed") {
		t.Error(err)
	}
}

// The token goes to the endpoint and nowhere else.
func TestCloudflareNoRedirect(t *testing.T) {
	elsewhere := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere <- r.Header.Get("Authorization")
	}))
	defer other.Close()
	e := startCloudflare(t, cloudflare.Config{})
	key := e.txt("_dmarc")
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, path := range []string{"/dns_records", ""} {
			z := e.open(t)
			if path != "" {
				wantNoError(t, z, key)
			}
			e.s.Fail(cloudflare.Fault{Path: path, Status: status, Header: http.Header{"Location": {other.URL}}, Times: 2})
			_, err := readOne(t.Context(), z, key)
			wantKind(t, err, Unreachable)
			if err := applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}); err == nil {
				t.Errorf("%d: no error", status)
			}
			e.s.Heal()
		}
	}
	if len(elsewhere) > 0 {
		t.Errorf("called elsewhere, with %q", <-elsewhere)
	}
}

// transport is a http.RoundTripper of somebody else.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// instead has all calls go to f.
func instead(f transport) func(http.RoundTripper) http.RoundTripper {
	return func(http.RoundTripper) http.RoundTripper { return f }
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("in the body") }
func (panicking) Close() error             { return nil }

func TestCloudflarePanics(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{})
	key := e.txt("_dmarc")
	for name, fail := range map[string]transport{
		"at once":     func(r *http.Request) (*http.Response, error) { panic("with " + r.Header.Get("Authorization")) },
		"nil pointer": func(*http.Request) (*http.Response, error) { var r *http.Response; return r, errors.New(r.Status) },
		"in the body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: panicking{}}, nil
		},
		"after the call": func(r *http.Request) (*http.Response, error) {
			if response, err := http.DefaultTransport.RoundTrip(r); err == nil {
				response.Body.Close()
			}
			panic(errors.New("late"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := false
			z := e.open(t, func(c *CloudflareConfig) {
				c.Wrap = instead(func(r *http.Request) (*http.Response, error) {
					if broken {
						return fail(r)
					}
					return http.DefaultTransport.RoundTrip(r)
				})
			})
			wantNoError(t, z, key)
			broken = true
			_, err := readOne(t.Context(), z, key)
			wantKind(t, err, Unreachable)
			wantSound(t, err)
			err = applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour})
			wantKind(t, err, UnknownOutcome)
			wantSound(t, err)
			if !strings.Contains(err.Error(), "panicked") || strings.Contains(err.Error(), "late") {
				t.Error(err)
			}
			broken = false
			wantNoError(t, z, key)
		})
	}
}

// Whatever an endpoint answers, there is a reading or an *Error, of bounded length.
func FuzzCloudflareAnswer(f *testing.F) {
	const record = `{"id":"a1","type":"TXT","name":"_dmarc.zone.example","content":"\"x\"","ttl":1}`
	for _, body := range []string{
		`{"success":true,"result":[` + record + `],"result_info":{"total_count":1}}`,
		`{"success":true,"result":[` + record + `,` + record + `],"result_info":{"total_count":2}}`,
		`{"success":true,"result":null,"result_info":{"total_count":-1}}`,
		`{"success":true,"result":[{}],"result_info":{}}`,
		`{"success":true,"result":{},"result_info":null}`,
		`{"success":false,"errors":[{"code":1004,"error_chain":[{"code":9021,"error_chain":[{}]}]}]}`,
		`{"success":"yes"}`, `[]`, `<html>`, ``,
	} {
		f.Add(200, body)
		f.Add(400, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		z, err := NewCloudflare(CloudflareConfig{Token: cloudflareToken, Zone: "zone.example", Wrap: instead(func(r *http.Request) (*http.Response, error) {
			answer := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
			if r.URL.Path == "/client/v4/zones" {
				answer.StatusCode, answer.Body = 200, io.NopCloser(strings.NewReader(`{"success":true,"result":[{"id":"z1","name":"zone.example"}]}`))
			}
			return answer, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		key := Key{"_dmarc.zone.example", TypeTXT}
		_, readErr := readOne(t.Context(), z, key)
		applyErr := applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour})
		for _, err := range []error{readErr, applyErr} {
			if err != nil && (KindOf(err) == "" || len(err.Error()) > 500) {
				t.Errorf("%T %v", err, err)
			}
		}
	})
}

// Lists that contradict themselves prove nothing.
func TestCloudflareIncompleteLists(t *testing.T) {
	const a, b = `{"id":"a1","type":"TXT","name":"zone.example","content":"x","ttl":1}`, `{"id":"b2","type":"TXT","name":"x.zone.example","content":"x","ttl":1}`
	for name, c := range map[string]struct{ records, info string }{
		"fewer than the total": {a, `{"per_page":5000,"total_count":2}`},
		"more than the total":  {a + "," + b, `{"per_page":5000,"total_count":1}`},
		"one twice":            {a + "," + a, `{"per_page":5000,"total_count":2}`},
		"none of one":          {"", `{"per_page":5000,"total_count":1}`},
		"no total":             {a, `{"per_page":5000}`},
		"no size":              {a, `{"total_count":1}`},
		"the same page again":  {a, `{"per_page":1,"total_count":3}`},
		"no id":                {`{"type":"TXT","name":"zone.example","content":"x"}`, `{"per_page":5000,"total_count":1}`},
		"an id with a space":   {strings.Replace(a, "a1", "a 1", 1), `{"per_page":5000,"total_count":1}`},
	} {
		z, err := NewCloudflare(CloudflareConfig{Token: cloudflareToken, Zone: "zone.example", Wrap: instead(func(r *http.Request) (*http.Response, error) {
			body := `{"success":true,"result":[{"id":"z1","name":"zone.example"}]}`
			if strings.HasSuffix(r.URL.Path, "/dns_records") {
				body = `{"success":true,"result":[` + c.records + `],"result_info":` + c.info + `}`
			}
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		for _, reading := range z.Read(t.Context(), Key{"zone.example", TypeTXT}, Key{"none.zone.example", TypeTXT}) {
			if KindOf(reading.Err) != Unreachable {
				t.Errorf("%s: %+v, want Unreachable", name, reading)
			}
		}
	}
}
