package dnsprovider_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/miekg/dns"
)

var backends = []backend{
	{"rfc2136", startInTree, rfc2136Skips},
	{"rfc2136 on BIND", onReal("BIND"), rfc2136Skips},
	{"rfc2136 on Knot", onReal("Knot"), rfc2136Skips},
	{"rfc2136 on PowerDNS", onReal("PowerDNS"), powerDNSSkips},
	{"cloudflare", startCloudflareWorlds, nil},
	{"route53", startRoute53Worlds, nil},
	{"route53 through a role", startRoute53RoleWorlds, nil},
	{"desec", startDesecWorlds, desecSkips},
}

// world is a zone at a provider, with somebody else at work in it and a network in between.
type world interface {
	apex() string
	// open opens the zone with the adapter, its calls going through the world's traffic.
	open(t testing.TB, as access) dnsprovider.Zone
	// secret is what no text may hold.
	secret() string

	// add and remove are what somebody else does, past the adapter. A record is removed exactly;
	// without data the whole RRset is.
	add(t testing.TB, records ...record)
	remove(t testing.TB, records ...record)
	// spellings adds TXT records to those at a label, in all the ways in which only this provider can
	// hold a text, and returns the texts.
	spellings(t testing.TB, label string) []string
	// oddities writes records that are odd in the eyes of other software at names of their own, and
	// returns their keys. Some may stand at the apex and at _dmarc, but not as TXT.
	oddities(t testing.TB) []dnsprovider.Key

	// stored returns what the provider holds at a key, each record with its TTL, octet by octet.
	stored(t testing.TB, key dnsprovider.Key) []string
	// served returns the rdata of what a name server shows the world at a key.
	served(t testing.TB, key dnsprovider.Key) []string

	// fail has the next call of a kind meet a fault, and reports false if that cannot be here. heal
	// takes back those that were not met.
	fail(on call, f fault) bool
	heal()
	traffic() *traffic
}

// access is how a zone is opened.
type access struct {
	stranger bool          // with credentials that the provider does not know
	timeout  time.Duration // 0: longer than any test takes
}

// record is one that somebody else writes.
type record struct {
	label, recordType string
	ttl               time.Duration
	data              string // as in a zone file, names absolute
}

// call is what an adapter does.
type call string

const (
	aRead  call = "read"
	aWrite call = "write"
)

// fault is what a call meets.
type fault string

const (
	lost            fault = "answered as done, and not done"
	doneThenError   fault = "done, and answered with an error"
	broken          fault = "not done, and answered with a failure of the server"
	page            fault = "not done, and answered with a proxy's page"
	dropped         fault = "not done, and the connection ends"
	doneThenDropped fault = "done, and the connection ends"
	hangs           fault = "not done, and no answer"
	doneThenHangs   fault = "done, and no answer"
	denied          fault = "the right is taken away"
	limited         fault = "too many calls, come back in 7 seconds"
	panics          fault = "a panic below the adapter"
)

// traffic counts the calls that go out, and acts around them.
type traffic struct {
	mu            sync.Mutex
	reads, writes int
	panicking     map[call]int
	around        func(carryOut func())
}

// pass is the way of one call.
func (tr *traffic) pass(on call, carryOut func()) {
	tr.mu.Lock()
	around := tr.around
	if on == aRead {
		tr.reads++
		around = nil
	} else {
		tr.writes++
	}
	panicking := tr.panicking[on] > 0
	if panicking {
		tr.panicking[on]--
	}
	tr.mu.Unlock()
	switch {
	case panicking:
		panic("nil dereference, say")
	case around != nil:
		around(carryOut)
	default:
		carryOut()
	}
}

func (tr *traffic) panicOn(on call) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.panicking = map[call]int{on: 1}
}

// calm takes back a panic that was not met.
func (tr *traffic) calm() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.panicking = nil
}

func (tr *traffic) calls() (reads, writes int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.reads, tr.writes
}

func (tr *traffic) reset() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.reads, tr.writes = 0, 0
}

// aroundWrites has f carry out each writing call from now on; nil: as it comes.
func (tr *traffic) aroundWrites(f func(carryOut func())) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.around = f
}

// wrap puts the traffic between an adapter and what makes its HTTP calls.
func (tr *traffic) wrap(next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (answer *http.Response, err error) {
		on := aRead
		if r.Method != http.MethodGet {
			on = aWrite
		}
		tr.pass(on, func() { answer, err = next.RoundTrip(r) }) //nolint:bodyclose // the adapter closes it
		return answer, err
	})
}

// handled makes calls of a handler without sockets.
func handled(handler http.Handler) http.RoundTripper {
	return transport(func(r *http.Request) (answer *http.Response, err error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{})
		}
		defer func() {
			if recover() != nil { // http.ErrAbortHandler: the connection ends
				answer, err = nil, io.ErrUnexpectedEOF
			}
		}()
		r = r.Clone(r.Context())
		r.Host, r.RequestURI = r.URL.Host, r.URL.RequestURI()
		if r.Body == nil {
			r.Body = http.NoBody
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		return recorder.Result(), nil
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// look asks a name server as anybody would.
func look(t testing.TB, key dnsprovider.Key, ask func(msg *dns.Msg) (*dns.Msg, error)) (records []*dns.RFC3597) {
	t.Helper()
	msg := new(dns.Msg).SetQuestion(dns.Fqdn(key.Name), dns.StringToType[key.Type])
	reply, err := ask(msg)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range reply.Answer {
		generic := new(dns.RFC3597)
		if err := generic.ToRFC3597(rr); err != nil {
			t.Fatal(err)
		}
		if generic.Hdr.Rrtype == msg.Question[0].Qtype {
			records = append(records, generic)
		}
	}
	return records
}

// over asks a server over TCP.
func over(server string) func(msg *dns.Msg) (*dns.Msg, error) {
	return func(msg *dns.Msg) (*dns.Msg, error) {
		client := &dns.Client{Net: "tcp", Timeout: patience, TsigSecret: map[string]string{tsigName + ".": tsigSecret}}
		reply, _, err := client.Exchange(msg, server)
		return reply, err
	}
}

// rdataOf returns the octets of records.
func rdataOf(records []*dns.RFC3597) (all []string) {
	for _, rr := range records {
		octets, _ := hex.DecodeString(rr.Rdata) // miekg/dns encoded it
		all = append(all, string(octets))
	}
	return all
}

// window is a name server that shows what a fake holds.
type window struct{ server *dnsserver.Server }

// look starts the name server when it is first needed; show has the fake serve through it.
func (w *window) look(t testing.TB, apex string, key dnsprovider.Key, show func(s *dnsserver.Server)) []string {
	t.Helper()
	if w.server == nil {
		s, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{apex}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		show(s)
		w.server = s
	}
	return rdataOf(look(t, key, over(w.server.Addr())))
}

// textStrings returns the character-strings of TXT rdata in zone-file form.
func textStrings(t testing.TB, data string) (strs []string) {
	t.Helper()
	rr, err := dns.NewRR(". TXT " + data)
	if err != nil {
		t.Fatal(err)
	}
	generic := new(dns.RFC3597)
	if err := generic.ToRFC3597(rr); err != nil {
		t.Fatal(err)
	}
	octets := rdataOf([]*dns.RFC3597{generic})[0]
	for len(octets) > 0 {
		n := 1 + int(octets[0])
		strs = append(strs, octets[1:n])
		octets = octets[n:]
	}
	return strs
}
