package dnsprovider_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/fakes/desec"
)

// Why deSEC, through libdns, is not held to what others wrote in a zone, nor to what cannot be written.
const (
	desecBlind = "of a zone with a TXT record that is not printable ASCII, or with a record that libdns cannot parse, libdns/desec reads nothing; then nothing is written"
	desecASCII = "text that is not printable ASCII is refused: libdns/desec could never read the zone again"
)

var desecSkips = map[string]string{
	"quotes, backslashes and semicolons come back as they are":            desecBlind,
	"UTF-8 comes back as it is, also across the border of two strings":    desecASCII,
	"any octet comes back as it is":                                       desecASCII,
	"texts of others are read in whatever strings they are":               desecBlind,
	"names are found in whatever case they are written":                   "deSEC takes names in lower case only",
	"names in a zone of more than 700 records are read wherever they are": "libdns/desec reads no zone of more than 500 RRsets",
	"siblings at the apex stay octet by octet when ours is added":         desecBlind,
	"siblings at the apex stay octet by octet when ours is replaced":      desecBlind,
	"siblings at the apex stay octet by octet when ours is removed":       desecBlind,
	"odd records of others anywhere in the zone disturb nobody":           desecBlind,
	aMomentOfNone: "libdns/desec replaces RRsets of one type",
	"too many calls are told, with the time to come back": "libdns/desec waits by itself as long as the zone's time-out allows, and does not tell how long deSEC wants it to",
}

func startDesecWorlds(*testing.T, int) func(t testing.TB) world {
	return func(t testing.TB) world { return newDesecWorld(t) }
}

// desecWorld is a domain at the fake of deSEC. Each has a name and a token of its own: the module
// speaks to one URL, and the token leads to the fake.
type desecWorld struct {
	s           *desec.Server
	zone, token string
	counted     traffic
	memory      bool // without sockets
	window      window
}

var desecSerial atomic.Int64

func newDesecWorld(t testing.TB) *desecWorld {
	n := desecSerial.Add(1)
	w := &desecWorld{s: desec.Start(desec.Config{}), zone: fmt.Sprintf("desec%d.example", n), token: fmt.Sprintf("desec-token-%d", n)}
	t.Cleanup(w.s.Close)
	w.s.AddDomain(w.zone, 3600)
	w.s.AddToken(w.token, w.zone)
	return w
}

func (w *desecWorld) apex() string      { return w.zone }
func (w *desecWorld) secret() string    { return w.token }
func (w *desecWorld) traffic() *traffic { return &w.counted }
func (w *desecWorld) heal()             { w.s.Heal() }

func (w *desecWorld) open(t testing.TB, as access) dnsprovider.Zone {
	t.Helper()
	token := w.token
	if as.stranger {
		token += "-of-nobody"
	}
	way := dnsprovider.DesecAt(w.s)
	if w.memory {
		way = handled(w.s)
	}
	dnsprovider.LeadDesec(token, w.counted.wrap(way))
	z, err := dnsprovider.NewLibdns(dnsprovider.LibdnsConfig{Module: "desec", Zone: w.zone, Credentials: map[string]string{"token": token}, Timeout: cmp.Or(as.timeout, patience)})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (w *desecWorld) add(t testing.TB, records ...record) {
	t.Helper()
	for _, r := range records {
		w.put(t, r, append(w.s.Records(w.zone, subname(r.label), r.recordType), r.data))
	}
}

func (w *desecWorld) remove(t testing.TB, records ...record) {
	t.Helper()
	for _, r := range records {
		var left []string
		if r.data != "" {
			left = slices.DeleteFunc(w.s.Records(w.zone, subname(r.label), r.recordType), func(data string) bool { return data == r.data })
		}
		r.ttl = max(time.Hour, time.Duration(w.s.TTL(w.zone, subname(r.label), r.recordType))*time.Second)
		w.put(t, r, left)
	}
}

// put replaces an RRset, as one step.
func (w *desecWorld) put(t testing.TB, r record, data []string) {
	t.Helper()
	if err := w.s.Put(w.zone, subname(r.label), r.recordType, int(r.ttl/time.Second), data...); err != nil {
		t.Fatal(err)
	}
}

// subname is what deSEC calls a label below the apex, or the apex.
func subname(label string) string { return strings.TrimPrefix(label, "@") }

func (w *desecWorld) spellings(t testing.TB, label string) []string {
	t.Helper()
	long := strings.Repeat("x", 300)
	w.add(t, record{label, "TXT", theirTTL, `"` + long + `"`})
	return []string{long}
}

func (w *desecWorld) oddities(t testing.TB) (keys []dnsprovider.Key) {
	t.Helper()
	for _, r := range recordsOf(`_sip._tcp SRV 0 5 5060 sip.example.`, `short SRV 1 2 443 host.example.`, `@ CAA 0 issue "ca.example"`, `@ HTTPS 1 . alpn=h2`,
		`cert TLSA 3 1 1 aabb`, `* TXT "wild"`, `two TXT "v=DKIM1; " "p=abc"`, `umlaut TXT "\195\188"`, `_dmarc LOC 0 0 0 N 0 0 0 E 0m`) {
		w.add(t, r)
		keys = append(keys, dnsprovider.Key{Name: absolute(r.label, w.zone), Type: r.recordType})
	}
	return keys
}

func (w *desecWorld) stored(_ testing.TB, key dnsprovider.Key) (lines []string) {
	label := strings.TrimSuffix(strings.TrimSuffix(key.Name, w.zone), ".")
	for _, data := range w.s.Records(w.zone, label, key.Type) {
		lines = append(lines, fmt.Sprintf("%d %s", w.s.TTL(w.zone, label, key.Type), data))
	}
	return lines
}

func (w *desecWorld) served(t testing.TB, key dnsprovider.Key) []string {
	t.Helper()
	return w.window.look(t, w.zone, key, func(s *dnsserver.Server) { w.s.Serve(s) })
}

func (w *desecWorld) fail(on call, f fault) bool {
	meets, ok := map[fault]desec.Fault{
		lost:            {Lose: true},
		doneThenError:   {Status: http.StatusInternalServerError, Apply: true},
		broken:          {Status: http.StatusInternalServerError},
		page:            {Status: http.StatusBadGateway, Body: "<!DOCTYPE html><title>Bad Gateway</title>"},
		dropped:         {Drop: true},
		doneThenDropped: {Drop: true, Apply: true},
		hangs:           {Hang: true},
		doneThenHangs:   {Hang: true, Apply: true},
		denied:          {Status: http.StatusForbidden, Body: `{"detail":"no"}`},
		// Of a time that it understands, the module would wait for the end itself.
		limited: {Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"7 seconds"}}},
	}[f]
	if f == panics {
		w.counted.panicOn(on)
		return true
	}
	meets.Method = http.MethodPut
	if on == aRead {
		meets.Method = http.MethodGet
		if meets.Drop {
			meets.Times = 9 // net/http asks again on a new connection
		}
	}
	w.s.Fail(meets)
	return ok
}
