// Package dnsserver is a small, strict, authoritative DNS server that keeps its zones in
// memory. Tests and the demo use it as the primary of a domain, as its lagging secondaries
// and as the resolver for its zones.
//
// It behaves as a real server does where that matters to a client: authority and proof of
// absence (RFC 1034, 2308), zone cuts, aliases, wildcards by closest encloser (RFC 4592),
// truncation over UDP (RFC 6891), dynamic updates with all prerequisites (RFC 2136) that
// must be signed (RFC 8945). It transfers no zone, has no DNSSEC, and holds no DNAME. And it
// fails on request, see Fault.
package dnsserver

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Config is how to start a Server.
type Config struct {
	Addr  string            // UDP and TCP; "127.0.0.1:0" has the system choose one port for both
	Keys  map[string]string // TSIG key name -> base64 secret; each may update every zone
	Zones []string          // apexes, see AddZone

	SOATTL  time.Duration // TTL of the SOA records; default 1 h
	Minimum time.Duration // SOA MINIMUM, RFC 2308 §4; default 5 min
	TTL     time.Duration // TTL of the records that Set and SetTXT write; default 5 min

	// Around, if set, is called for each UPDATE, and carries it out by calling apply. The answer
	// is sent when it returns.
	Around func(update *dns.Msg, apply func())
}

// Server is a running server. Its methods can be called at any time, also while it answers.
type Server struct {
	cfg       Config
	addr      netip.AddrPort
	keys      keyring
	secondary bool
	listeners [2]*dns.Server
	serving   sync.WaitGroup

	zones  *store // the primary's data
	mu     sync.Mutex
	frozen *store // what Freeze keeps, nil if thawed
	fault  Fault

	queries, updates, transfers atomic.Int64
}

// Start starts a server. It answers when Start returns.
func Start(cfg Config) (*Server, error) {
	cfg.SOATTL = cmp.Or(cfg.SOATTL, time.Hour)
	cfg.Minimum = cmp.Or(cfg.Minimum, 5*time.Minute)
	cfg.TTL = cmp.Or(cfg.TTL, 5*time.Minute)
	s := &Server{cfg: cfg, zones: newStore()}
	if err := s.start(); err != nil {
		return nil, err
	}
	for _, apex := range cfg.Zones {
		if err := s.AddZone(apex); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Secondary starts another server, at addr, for all zones of s. It shows what s shows, at
// once, until Freeze. It takes no updates.
func (s *Server) Secondary(addr string) (*Server, error) {
	cfg := s.cfg
	cfg.Addr = addr
	second := &Server{cfg: cfg, zones: s.zones, secondary: true}
	if err := second.start(); err != nil {
		return nil, err
	}
	return second, nil
}

func (s *Server) start() error {
	var err error
	if s.keys, err = newKeyring(s.cfg.Keys); err != nil {
		return err
	}
	tcp, udp, err := listen(s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("dnsserver: listen on %s: %w", s.cfg.Addr, err)
	}
	s.addr = tcp.Addr().(*net.TCPAddr).AddrPort()
	s.listeners = [2]*dns.Server{{Listener: tcp}, {PacketConn: udp, UDPSize: dns.MaxMsgSize}}
	for _, l := range s.listeners {
		started := make(chan struct{})
		l.Handler, l.TsigProvider, l.MsgAcceptFunc = s, s.keys, accept
		l.NotifyStartedFunc = func() { close(started) }
		s.serving.Go(func() { _ = l.ActivateAndServe() }) // ends at Shutdown
		<-started
	}
	return nil
}

// listen opens TCP and UDP on one port. Where the system chooses the port for TCP, UDP may
// be taken already; then it chooses again.
func listen(addr string) (net.Listener, net.PacketConn, error) {
	const attempts = 20
	for i := 1; ; i++ {
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if i == attempts {
			return nil, nil, err
		}
	}
}

// Close stops the server and waits for the answers under way.
func (s *Server) Close() error {
	err := errors.Join(s.listeners[0].Shutdown(), s.listeners[1].Shutdown())
	s.serving.Wait()
	return err
}

// Addr returns the address as host:port.
func (s *Server) Addr() string { return s.addr.String() }

// AddrPort returns the address.
func (s *Server) AddrPort() netip.AddrPort { return s.addr }

// Queries returns how many questions arrived, zone transfers not among them.
func (s *Server) Queries() int { return int(s.queries.Load()) }

// Updates returns how many UPDATE messages arrived, whatever became of them.
func (s *Server) Updates() int { return int(s.updates.Load()) }

// Transfers returns how many zone transfers were asked for. None is ever made.
func (s *Server) Transfers() int { return int(s.transfers.Load()) }

// Freeze has the server go on showing its zones as they are now, as a secondary does that
// hears of no change.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = s.zones.clone()
}

// Thaw ends Freeze.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = nil
}

func (s *Server) shown() *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != nil {
		return s.frozen
	}
	return s.zones
}
