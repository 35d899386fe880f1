package dnsprovider_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/real"
	"github.com/miekg/dns"
)

var (
	rfc2136Skips = map[string]string{
		"rights that were taken away are told, and nothing was changed": "name servers answer REFUSED for rights and rules: it is of kind Refused",
		"too many calls are told, with the time to come back":           "name servers have no such answer",
	}
	powerDNSSkips = with(rfc2136Skips, map[string]string{
		"a write tells credentials that are not accepted from rules": "PowerDNS answers an update REFUSED, whatever is wrong with its key",
	})
)

func with(all, more map[string]string) map[string]string {
	all = maps.Clone(all)
	maps.Copy(all, more)
	return all
}

// aMomentOfNone is what only a provider with transactions avoids.
const aMomentOfNone = "a CNAME takes the place of addresses, and they of it, without a moment of none"

const tsigName = "maildomain-key"

var tsigSecret = base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two octets..."))

func startInTree(*testing.T, int) func(t testing.TB) world {
	return func(t testing.TB) world { return newInTreeWorld(t) }
}

func newInTreeWorld(t testing.TB) *dnsWorld {
	s, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{tsigName: tsigSecret}, Zones: []string{"zone.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &dnsWorld{server: s.Addr(), zone: "zone.example", inTree: s}
}

func onReal(name string) func(t *testing.T, zones int) func(t testing.TB) world {
	return func(t *testing.T, zones int) func(t testing.TB) world {
		var all []real.Zone
		for i := range zones {
			all = append(all, real.Zone{Apex: fmt.Sprintf("zone%d.example", i)})
		}
		server := real.NameServers[name](t, real.Key{Name: tsigName, Secret: tsigSecret}, all...)
		return func(testing.TB) world {
			next := all[0]
			all = all[1:]
			return &dnsWorld{server: server, zone: next.Apex}
		}
	}
}

// dnsWorld is a zone on a name server.
type dnsWorld struct {
	server, zone string
	inTree       *dnsserver.Server // is the server, if it is the one of the tests
	memory       bool              // without sockets
	counted      traffic

	mu     sync.Mutex
	faults map[call][]fault
}

func (w *dnsWorld) apex() string      { return w.zone }
func (w *dnsWorld) secret() string    { return tsigSecret }
func (w *dnsWorld) traffic() *traffic { return &w.counted }

func (w *dnsWorld) open(t testing.TB, as access) dnsprovider.Zone {
	t.Helper()
	cfg := dnsprovider.RFC2136Config{Server: w.server, Zone: w.zone, KeyName: tsigName, KeySecret: tsigSecret, Timeout: cmp.Or(as.timeout, patience), Dial: w.dial}
	if as.stranger {
		cfg.KeySecret = base64.StdEncoding.EncodeToString([]byte("another secret"))
	}
	z, err := dnsprovider.NewRFC2136(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (w *dnsWorld) add(t testing.TB, records ...record) {
	t.Helper()
	w.update(t, records, func(msg *dns.Msg, _ record, rr dns.RR) { msg.Insert([]dns.RR{rr}) })
}

func (w *dnsWorld) remove(t testing.TB, records ...record) {
	t.Helper()
	w.update(t, records, func(msg *dns.Msg, r record, rr dns.RR) {
		if r.data == "" {
			msg.RemoveRRset([]dns.RR{rr})
		} else {
			msg.Remove([]dns.RR{rr})
		}
	})
}

// update writes as somebody else who has the key: with no prerequisite.
func (w *dnsWorld) update(t testing.TB, records []record, put func(msg *dns.Msg, r record, rr dns.RR)) {
	t.Helper()
	for some := range slices.Chunk(records, 300) {
		msg := new(dns.Msg).SetUpdate(dns.Fqdn(w.zone))
		for _, r := range some {
			var rr dns.RR = &dns.ANY{Hdr: dns.RR_Header{Name: dns.Fqdn(absolute(r.label, w.zone)), Rrtype: dns.StringToType[r.recordType], Class: dns.ClassINET}}
			if r.data != "" {
				var err error
				if rr, err = dns.NewRR(fmt.Sprintf("%s. %d %s %s", absolute(r.label, w.zone), r.ttl/time.Second, r.recordType, r.data)); err != nil {
					t.Fatal(err)
				}
			}
			put(msg, r, rr)
		}
		msg.SetTsig(tsigName+".", dns.HmacSHA256, 300, 0)
		reply, err := w.ask(msg)
		if err != nil || reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("%v: %v %v", some, reply, err)
		}
	}
}

func (w *dnsWorld) spellings(testing.TB, string) []string { return nil } // add has them all

func (w *dnsWorld) oddities(t testing.TB) []dnsprovider.Key {
	t.Helper()
	w.add(t, recordsOf(`short SRV 1 2 443 host.example.`, `@ SVCB 1 . mandatory=key65400 key65400="x"`, `svc TYPE65400 \# 3 000102`,
		`_dmarc TYPE65401 \# 1 00`, `two TXT "a" "" "\000\255"`, `x\.y TXT "dot"`, `null MX 0 .`)...)
	return []dnsprovider.Key{{Name: "short." + w.zone, Type: "SRV"}, {Name: w.zone, Type: "SVCB"}, {Name: "svc." + w.zone, Type: "TYPE65400"},
		{Name: "two." + w.zone, Type: "TXT"}, {Name: `x\.y.` + w.zone, Type: "TXT"}, {Name: "null." + w.zone, Type: "MX"}}
}

func (w *dnsWorld) stored(t testing.TB, key dnsprovider.Key) (lines []string) {
	t.Helper()
	for _, rr := range look(t, key, w.ask) {
		lines = append(lines, fmt.Sprintf("%d %s", rr.Hdr.Ttl, rr.Rdata))
	}
	slices.Sort(lines)
	return lines
}

func (w *dnsWorld) served(t testing.TB, key dnsprovider.Key) []string {
	t.Helper()
	return rdataOf(look(t, key, w.ask))
}

func (w *dnsWorld) fail(on call, f fault) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f == denied || f == limited {
		return false
	}
	if w.faults == nil {
		w.faults = map[call][]fault{}
	}
	w.faults[on] = append(w.faults[on], f)
	return true
}

func (w *dnsWorld) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

func (w *dnsWorld) next(on call) (f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if waiting := w.faults[on]; len(waiting) > 0 {
		f, w.faults[on] = waiting[0], waiting[1:]
	}
	return f
}

// ask sends a message to the server and returns the answer.
func (w *dnsWorld) ask(msg *dns.Msg) (*dns.Msg, error) {
	if !w.memory {
		return over(w.server)(msg)
	}
	wire, err := msg.Pack() // signed or not: nobody verifies it
	if err != nil {
		return nil, err
	}
	in := new(dns.Msg)
	if err := in.Unpack(wire); err != nil {
		return nil, err
	}
	reply := &inMemory{}
	w.inTree.ServeDNS(reply, in)
	return reply.msg, nil
}

// inMemory takes the answer of the server of the tests, and signs it as its listener does.
type inMemory struct {
	dns.ResponseWriter
	requestMAC string
	msg        *dns.Msg
}

func (m *inMemory) LocalAddr() net.Addr { return &net.TCPAddr{} }
func (m *inMemory) TsigStatus() error   { return nil }

func (m *inMemory) WriteMsg(msg *dns.Msg) error {
	m.msg = msg
	return nil
}

// wire returns the answer as it is sent.
func (m *inMemory) wire() (wire []byte, err error) {
	if m.msg.IsTsig() == nil {
		return m.msg.Pack()
	}
	wire, _, err = dns.TsigGenerate(m.msg, tsigSecret, m.requestMAC, false)
	return wire, err
}

func (w *dnsWorld) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.memory {
		conn, _ := net.Pipe()
		return &tapped{Conn: conn, w: w}, nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: conn, w: w}, nil
}

// tapped is a connection to a name server that goes wrong on request. miekg/dns writes each message
// in one piece.
type tapped struct {
	net.Conn
	w       *dnsWorld
	answers bytes.Buffer
	ended   bool
}

func (c *tapped) Write(message []byte) (int, error) {
	msg := new(dns.Msg)
	if err := msg.Unpack(message[2:]); err != nil {
		return 0, err
	}
	on := aRead
	if msg.Opcode == dns.OpcodeUpdate {
		on = aWrite
	}
	f := c.w.next(on)
	if f == panics {
		c.w.counted.panicOn(on)
	}
	var answer []byte
	var err error
	c.w.counted.pass(on, func() {
		switch f {
		case "", doneThenError, doneThenDropped, doneThenHangs:
			answer, err = c.forward(msg, message)
		}
	})
	if err != nil {
		return 0, err
	}
	switch f {
	case "":
		c.answers.Write(answer)
	case lost:
		c.answers.Write(framed(signedYes(msg)))
	case doneThenError, broken:
		failed, _ := new(dns.Msg).SetRcode(msg, dns.RcodeServerFailure).Pack()
		c.answers.Write(framed(failed))
	case page:
		c.answers.WriteString("HTTP/1.1 502 Bad Gateway\r\n\r\n")
		c.ended = true
	case dropped, doneThenDropped:
		c.ended = true
	}
	return len(message), nil
}

// forward carries a message to the server and its answer back.
func (c *tapped) forward(msg *dns.Msg, message []byte) ([]byte, error) {
	if c.w.memory {
		reply := &inMemory{requestMAC: msg.IsTsig().MAC}
		c.w.inTree.ServeDNS(reply, msg)
		answer, err := reply.wire()
		return framed(answer), err
	}
	if _, err := c.Conn.Write(message); err != nil {
		return nil, err
	}
	length := make([]byte, 2)
	if _, err := io.ReadFull(c.Conn, length); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length))
	if _, err := io.ReadFull(c.Conn, answer); err != nil {
		return nil, err
	}
	return framed(answer), nil
}

func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// signedYes is the answer of a server that has carried an update out.
func signedYes(msg *dns.Msg) []byte {
	reply := new(dns.Msg).SetReply(msg).SetTsig(tsigName+".", dns.HmacSHA256, 300, 0)
	wire, _, err := dns.TsigGenerate(reply, tsigSecret, msg.IsTsig().MAC, false)
	if err != nil {
		panic(err)
	}
	return wire
}

func (c *tapped) Read(p []byte) (int, error) {
	switch {
	case c.answers.Len() > 0:
		return c.answers.Read(p)
	case c.ended:
		return 0, io.EOF
	default:
		return c.Conn.Read(p) // there is nothing to come: it waits for the deadline
	}
}
