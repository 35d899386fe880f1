package dnsprovider_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/fakes/route53"
)

const (
	hostedZone      = "Z1"
	accessKeyID     = "AKIDEXAMPLE"
	secretAccessKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func startRoute53Worlds(*testing.T, int) func(t testing.TB) world {
	return func(t testing.TB) world { return newRoute53World(t) }
}

// startRoute53RoleWorlds starts accounts in which the keys may do nothing but assume the role.
func startRoute53RoleWorlds(*testing.T, int) func(t testing.TB) world {
	return func(t testing.TB) world {
		w := newRoute53World(t, func(c *route53.Config) { c.RolesOnly = true })
		w.role, w.externalID = "arn:aws:iam::123456789012:role/dns", "of-zone.example"
		w.s.SetRole(w.role, route53.Role{Trusts: []string{accessKeyID}, ExternalID: w.externalID})
		return w
	}
}

// route53World is a hosted zone at the fake of Route 53.
type route53World struct {
	s       *route53.Server
	counted traffic
	memory  bool // without sockets
	window  window

	role, externalID string
}

func newRoute53World(t testing.TB, change ...func(*route53.Config)) *route53World {
	cfg := route53.Config{Keys: map[string]string{accessKeyID: secretAccessKey}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := route53.Start(cfg)
	if err == nil {
		err = s.AddZone(hostedZone, "zone.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &route53World{s: s}
}

func (w *route53World) apex() string      { return "zone.example" }
func (w *route53World) secret() string    { return secretAccessKey }
func (w *route53World) traffic() *traffic { return &w.counted }
func (w *route53World) heal()             { w.s.Heal() }

func (w *route53World) open(t testing.TB, as access) dnsprovider.Zone {
	t.Helper()
	cfg := dnsprovider.Route53Config{Zone: w.apex(), ZoneID: hostedZone, AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey,
		RoleARN: w.role, ExternalID: w.externalID, Endpoint: w.s.URL(), Timeout: cmp.Or(as.timeout, patience), Wrap: w.wrap}
	if as.stranger {
		cfg.AccessKeyID = "AKIDNOBODY"
	}
	z, err := dnsprovider.NewRoute53(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (w *route53World) wrap(next http.RoundTripper) http.RoundTripper {
	if w.memory {
		next = handled(w.s)
	}
	return w.counted.wrap(next)
}

func (w *route53World) add(t testing.TB, records ...record) {
	t.Helper()
	for _, r := range records {
		w.put(t, r, append(w.values(r), raw(t, r)))
	}
}

func (w *route53World) remove(t testing.TB, records ...record) {
	t.Helper()
	for _, r := range records {
		var left []string
		if r.data != "" {
			left = slices.DeleteFunc(w.values(r), func(value string) bool { return value == raw(t, r) })
		}
		r.ttl = time.Duration(w.s.TTL(hostedZone, absolute(r.label, w.apex()), r.recordType)) * time.Second
		w.put(t, r, left)
	}
}

func (w *route53World) values(r record) []string {
	return w.s.Values(hostedZone, absolute(r.label, w.apex()), r.recordType)
}

// put replaces an RRset, as one step.
func (w *route53World) put(t testing.TB, r record, values []string) {
	t.Helper()
	name := absolute(r.label, w.apex())
	err := w.s.PutValues(hostedZone, name, r.recordType, int64(r.ttl/time.Second), values...)
	if len(values) == 0 {
		err = w.s.Remove(hostedZone, name, r.recordType)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// raw returns a record's value in the words of Route 53, where escapes in texts are octal.
func raw(t testing.TB, r record) string {
	t.Helper()
	if r.recordType != "TXT" {
		return r.data
	}
	var quoted []string
	for _, str := range textStrings(t, r.data) {
		var b strings.Builder
		for i := range len(str) {
			switch c := str[i]; {
			case c == '"' || c == '\\':
				b.WriteString(`\` + string(c))
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, `\%03o`, c)
			default:
				b.WriteByte(c)
			}
		}
		quoted = append(quoted, `"`+b.String()+`"`)
	}
	return strings.Join(quoted, " ")
}

func (w *route53World) spellings(t testing.TB, label string) []string {
	t.Helper()
	r := record{label: label, recordType: "TXT", ttl: theirTTL}
	w.put(t, r, append(w.values(r), `"part1"  "part2"`, `"\141\142\143"`, "\"tab\"\t\"bed\""))
	return []string{"part1part2", "abc", "tabbed"}
}

func (w *route53World) oddities(t testing.TB) (keys []dnsprovider.Key) {
	t.Helper()
	for _, set := range []route53.Set{
		{Name: "zone.example", Type: "SRV", TTL: new(int64(300)), Values: []string{"not a service"}},
		{Name: "a.zone.example", Type: "SVCB", TTL: new(int64(300)), Values: []string{"1 . nonsense="}},
		{Name: "b.zone.example", Type: "TXT", TTL: new(int64(300)), Values: []string{"not quoted"}},
		{Name: "two.zone.example", Type: "TXT", TTL: new(int64(300)), Values: []string{`"v=DKIM1; "  "p=abc"`}},
		{Name: `c\000\042\134.zone.example`, Type: "X-NEW", TTL: new(int64(300)), Values: []string{`"`}},
		{Name: "_dmarc.zone.example", Type: "A"}, // neither values nor alias
		{Name: "mta-sts.zone.example", Type: "A", Alias: &route53.Alias{HostedZoneID: "ZELB", DNSName: "lb.amazonaws.example."}},
		{Name: "zone.example", Type: "AAAA", Alias: &route53.Alias{HostedZoneID: "ZELB", DNSName: "lb.amazonaws.example."}},
		{Name: "w.zone.example", Type: "TXT", SetIdentifier: "one", Weight: new(int64(1)), TTL: new(int64(60)), Values: []string{`"one"`}},
		{Name: "w.zone.example", Type: "TXT", SetIdentifier: "two", Weight: new(int64(1)), TTL: new(int64(60)), Values: []string{`"two"`}},
	} {
		if err := w.s.Put(hostedZone, set); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, dnsprovider.Key{Name: set.Name, Type: set.Type})
	}
	return keys
}

func (w *route53World) stored(_ testing.TB, key dnsprovider.Key) (lines []string) {
	for _, set := range w.s.Sets(hostedZone) {
		if strings.TrimSuffix(strings.ReplaceAll(set.Name, `\052`, "*"), ".") != key.Name || set.Type != key.Type {
			continue
		}
		values := set.Values
		set.Values = nil
		rest := "no TTL"
		if set.TTL != nil {
			rest = fmt.Sprint(*set.TTL)
		}
		if set.Alias != nil {
			values = append(values, set.Alias.DNSName)
		}
		if len(values) == 0 {
			values = []string{"nothing"}
		}
		for _, value := range values {
			lines = append(lines, fmt.Sprintf("%s %s %s", rest, value, set.SetIdentifier))
		}
	}
	slices.Sort(lines)
	return lines
}

func (w *route53World) served(t testing.TB, key dnsprovider.Key) []string {
	t.Helper()
	return w.window.look(t, w.apex(), key, func(s *dnsserver.Server) {
		if err := w.s.Serve(hostedZone, s); err != nil {
			t.Fatal(err)
		}
	})
}

func (w *route53World) fail(on call, f fault) bool {
	meets, ok := map[fault]route53.Fault{
		lost:            {Lose: true},
		doneThenError:   {Status: 500, Body: route53.Refuse(500, "InternalFailure", "no").Body, Apply: true},
		broken:          route53.Refuse(500, "InternalFailure", "no"),
		page:            route53.BadGateway(),
		dropped:         {Drop: true},
		doneThenDropped: {Drop: true, Apply: true},
		hangs:           {Hang: true},
		doneThenHangs:   {Hang: true, Apply: true},
		denied:          route53.Refuse(403, "AccessDenied", "no"),
		limited:         route53.Throttle("7"),
	}[f]
	if f == panics {
		w.counted.panicOn(on)
		return true
	}
	action, times := route53.ChangeResourceRecordSets, 1
	if on == aRead {
		action = route53.ListResourceRecordSets
		if meets.Drop {
			times = 9 // net/http asks again on a new connection
		}
	}
	w.s.Fail(action, times, meets)
	return ok
}
