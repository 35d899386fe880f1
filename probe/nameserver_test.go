package probe

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
)

// patience is the time-out where an answer is expected; hurry is where none will come.
const (
	patience = 20 * time.Second
	hurry    = 200 * time.Millisecond
)

// addressesByValue lets go-cmp compare addresses with ==.
var addressesByValue = cmpopts.EquateComparable(netip.AddrPort{})

func loopback(addr netip.Addr) bool { return addr.IsLoopback() }

// scripted is how a name server of the tests answers one question.
type scripted struct {
	code       int
	aa, ra     bool
	tc         bool
	answer, ns []string // records as zone-file lines
	silent     bool
	raw        func(query *dns.Msg) [][]byte // replaces all of the above
	tcp        *scripted                     // where TCP gets something else
}

// script maps "name TYPE" to what is answered; a question that it does not hold gets SERVFAIL.
type script map[string]scripted

// nameServer plays a script on a loopback port over UDP and TCP, one message per
// TCP connection, and remembers what it was asked.
type nameServer struct {
	addr   netip.AddrPort
	script func(question string) scripted

	mu    sync.Mutex
	asked []string
}

func play(t *testing.T, s script) *nameServer {
	return serve(t, func(question string) scripted {
		if r, ok := s[question]; ok {
			return r
		}
		return scripted{code: dns.RcodeServerFailure}
	})
}

func serve(t *testing.T, f func(question string) scripted) *nameServer {
	t.Helper()
	var (
		listener net.Listener
		packets  net.PacketConn
		err      error
	)
	for range 50 { // until the UDP port that the system gave is free for TCP as well
		if packets, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			break
		}
		packets.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{addr: netip.MustParseAddrPort(packets.LocalAddr().String()), script: f}
	var running sync.WaitGroup
	running.Go(func() { n.serveUDP(packets) })
	running.Go(func() { n.serveTCP(listener) })
	t.Cleanup(func() {
		packets.Close()
		listener.Close()
		running.Wait()
	})
	return n
}

func (n *nameServer) serveUDP(packets net.PacketConn) {
	buf := make([]byte, 65535)
	for {
		size, from, err := packets.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, wire := range n.respond("udp", buf[:size]) {
			_, _ = packets.WriteTo(wire, from)
		}
	}
}

func (n *nameServer) serveTCP(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		c := &dns.Conn{Conn: conn}
		if query, err := c.ReadMsg(); err == nil {
			wire, _ := query.Pack()
			for _, answer := range n.respond("tcp", wire) {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}
		conn.Close()
	}
}

func (n *nameServer) respond(network string, wire []byte) [][]byte {
	query := new(dns.Msg)
	if err := query.Unpack(wire); err != nil || len(query.Question) != 1 {
		return nil
	}
	question := canonical(query.Question[0].Name) + " " + dns.TypeToString[query.Question[0].Qtype]
	n.mu.Lock()
	n.asked = append(n.asked, network+" "+question)
	n.mu.Unlock()
	r := n.script(question)
	if network == "tcp" && r.tcp != nil {
		r = *r.tcp
	}
	switch {
	case r.raw != nil:
		return r.raw(query)
	case r.silent:
		return nil
	}
	return [][]byte{pack(r.message(query))}
}

func (r scripted) message(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(query, r.code)
	m.Authoritative, m.RecursionAvailable, m.Truncated = r.aa, r.ra, r.tc
	m.Answer, m.Ns = records(r.answer...), records(r.ns...)
	return m
}

// questions is what the server was asked so far, e.g. "udp example.com SOA".
func (n *nameServer) questions() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.asked...)
}

func records(lines ...string) []dns.RR {
	var list []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(line + ": " + err.Error())
		}
		list = append(list, rr)
	}
	return list
}

func pack(m *dns.Msg) []byte {
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return wire
}

func (n *nameServer) resolver() *Resolver {
	return NewResolver([]string{n.addr.String()}, patience)
}

func (n *nameServer) authority() Authority {
	return Authority{Apex: "example.com", Servers: []Server{{Name: "ns1.example.com", Addrs: []netip.AddrPort{n.addr}}}}
}

// deadAddr is a loopback address where nobody listens.
func deadAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	return netip.MustParseAddrPort(packets.LocalAddr().String())
}

func soa(owner string, ttl, minimum string) string {
	return strings.Join([]string{owner + ".", ttl, "IN SOA ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600", minimum}, " ")
}
