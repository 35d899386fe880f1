package dnsprovider_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
)

const cloudflareToken = "cf-token-0123456789"

func startCloudflareWorlds(*testing.T, int) func(t testing.TB) world {
	return func(t testing.TB) world { return newCloudflareWorld(t) }
}

// cloudflareWorld is a zone at the fake of Cloudflare.
type cloudflareWorld struct {
	s       *cloudflare.Server
	id      string
	counted traffic
	memory  bool // without sockets
	window  window
}

func newCloudflareWorld(t testing.TB) *cloudflareWorld {
	s := cloudflare.Start(cloudflare.Config{Limit: 1 << 30})
	t.Cleanup(s.Close)
	w := &cloudflareWorld{s: s, id: s.AddZone("zone.example")}
	s.AddToken(cloudflareToken, w.id)
	return w
}

func (w *cloudflareWorld) apex() string      { return "zone.example" }
func (w *cloudflareWorld) secret() string    { return cloudflareToken }
func (w *cloudflareWorld) traffic() *traffic { return &w.counted }
func (w *cloudflareWorld) heal()             { w.s.Heal() }

func (w *cloudflareWorld) open(t testing.TB, as access) dnsprovider.Zone {
	t.Helper()
	cfg := dnsprovider.CloudflareConfig{Token: cloudflareToken, Zone: w.apex(), Endpoint: w.s.Endpoint(), Timeout: cmp.Or(as.timeout, patience), Wrap: w.wrap}
	if as.stranger {
		cfg.Token = "nobody-s"
	}
	z, err := dnsprovider.NewCloudflare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (w *cloudflareWorld) wrap(next http.RoundTripper) http.RoundTripper {
	if w.memory {
		next = handled(w.s)
	}
	return w.counted.wrap(next)
}

func (w *cloudflareWorld) add(_ testing.TB, records ...record) {
	for _, r := range records {
		w.s.Put(w.id, w.record(r))
	}
}

func (w *cloudflareWorld) record(r record) cloudflare.Record {
	put := cloudflare.Record{Type: r.recordType, Name: absolute(r.label, w.apex()), Content: r.data, TTL: int(r.ttl / time.Second), Comment: "theirs"}
	if r.recordType == "MX" {
		priority, host, _ := strings.Cut(r.data, " ")
		n, _ := strconv.Atoi(priority)
		put.Priority, put.Content = &n, host
	}
	if r.recordType != "TXT" {
		put.Content = strings.TrimSuffix(put.Content, ".")
	}
	return put
}

func (w *cloudflareWorld) remove(_ testing.TB, records ...record) {
	for _, r := range records {
		for _, there := range w.s.Records(w.id, absolute(r.label, w.apex()), r.recordType) {
			if r.data == "" || there.Content == w.record(r).Content {
				w.s.Delete(w.id, there.ID)
			}
		}
	}
}

func (w *cloudflareWorld) spellings(t testing.TB, label string) []string {
	long := strings.Repeat("x", 300)
	for _, content := range []string{`site=1`, `v=old\; x`, `"a"   "b"`, long, `"` + long + `!"`} {
		w.add(t, record{label, "TXT", theirTTL, content})
	}
	return []string{"site=1", `v=old\; x`, "ab", long, long + "!"}
}

func (w *cloudflareWorld) oddities(testing.TB) (keys []dnsprovider.Key) {
	one := 1
	for _, r := range []cloudflare.Record{
		{Type: "SRV", Name: "short", Content: "1 443", TTL: 300, Priority: &one},
		{Type: "SRV", Name: "zone.example", TTL: 300},
		{Type: "SVCB", Name: "svc.zone.example", Content: "mandatory=oops", TTL: 300},
		{Type: "HTTPS", Name: "zone.example", Content: "1 . alpn=", TTL: 1},
		{Type: "MX", Name: "zone.example", Content: ".", TTL: 300},
		{Type: "TXT", Name: "two.zone.example", Content: `"v=DKIM1; "  "p=abc"`, TTL: 300},
		{Type: "TXT", Name: "open.zone.example", Content: `"v=DKIM1; p=abc`, TTL: 300},
		{Type: "TXT", Name: `a\..zone.example`, Content: `x`, TTL: -7},
		{Type: "A", Name: "bad.zone.example", Content: "not an address", TTL: 300},
		{Type: "TYPE65534", Name: "_dmarc.zone.example", Content: `\# 1 00`, TTL: 300},
		{Type: "CNAME", Name: "..", Content: "", TTL: 300},
		{Type: "NS", Name: "elsewhere.example", Content: "", TTL: 300},
		{Type: "A", Name: "proxied.zone.example", Content: "192.0.2.1", TTL: 1, Proxied: true, Comment: "orange"},
	} {
		w.s.Put(w.id, r)
		keys = append(keys, dnsprovider.Key{Name: r.Name, Type: r.Type})
	}
	return keys
}

func (w *cloudflareWorld) stored(_ testing.TB, key dnsprovider.Key) (lines []string) {
	for _, r := range w.s.Records(w.id, key.Name, key.Type) {
		lines = append(lines, fmt.Sprintf("%d %s %s proxied=%v %q", r.TTL, r.Content, r.ID, r.Proxied, r.Comment))
	}
	return lines
}

func (w *cloudflareWorld) served(t testing.TB, key dnsprovider.Key) []string {
	t.Helper()
	return w.window.look(t, w.apex(), key, func(s *dnsserver.Server) { w.s.Serve(s) })
}

func (w *cloudflareWorld) fail(on call, f fault) bool {
	meets, ok := map[fault]cloudflare.Fault{
		lost:            {Lose: true},
		doneThenError:   {Status: 500, Code: 1000, Apply: true},
		broken:          {Status: 500, Code: 1000},
		page:            {Status: http.StatusBadGateway},
		dropped:         {Drop: true},
		doneThenDropped: {Drop: true, Apply: true},
		hangs:           {Hang: true},
		doneThenHangs:   {Hang: true, Apply: true},
		denied:          {Status: http.StatusForbidden, Code: 9109},
		limited:         {Status: http.StatusTooManyRequests, Code: 10100, Header: http.Header{"Retry-After": {"7"}}},
	}[f]
	if f == panics {
		w.counted.panicOn(on)
		return true
	}
	meets.Path, meets.Method = "/batch", http.MethodPost
	if on == aRead {
		meets.Path, meets.Method = "/dns_records", http.MethodGet
		if meets.Drop {
			meets.Times = 9 // net/http asks again on a new connection
		}
	}
	w.s.Fail(meets)
	return ok
}
