// Package desec is a strict stand-in for the part of deSEC's API v1 that serves RRsets: the list
// of a domain, single RRsets, and the bulk PUT and PATCH that are one transaction.
//
// It holds what https://desec.readthedocs.io documents, and what deSEC's own source does with
// TXT: strings of any length are taken, cut at 255 octets, and shown with every octet that is
// not printable ASCII as \DDD. It counts calls, can limit their rate, lets tests write as somebody
// else, and fails on request, see Fault.
package desec

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// Config is how to start a Server.
type Config struct {
	PageSize int  // RRsets that one answer holds; default 500
	Limits   bool // enforce the documented rates
	Now      func() time.Time
}

// Server is a running server. Its methods can be called at any time, also from a Fault's hooks.
type Server struct {
	cfg    Config
	http   *httptest.Server
	closed chan struct{}

	mu      sync.Mutex
	domains map[string]*domain
	tokens  map[string][]string // token -> names of the domains of its account
	faults  []*Fault
	calls   Calls
	limiter limiter
	dns     *dnsserver.Server // see Serve
	shown   map[key]rrset     // what dns holds
}

// domain is one zone, its RRsets in the order of their making.
type domain struct {
	name       string
	minimumTTL int
	rrsets     []rrset
}

type rrset struct {
	Subname string
	Type    string
	TTL     int
	Records []string // canonical
}

// Calls counts the calls that arrived, whatever became of them.
type Calls struct {
	Lists   int // of a domain
	Singles int // of one RRset, read or written
	Bulks   int // PUT, PATCH and POST of a domain
	Others  int // what the API does not know
}

// All returns how many calls there were.
func (c Calls) All() int { return c.Lists + c.Singles + c.Bulks + c.Others }

// maximumTTL is of all domains.
const maximumTTL = 86400

// Start starts a server on a port of the loopback interface that the system chooses.
func Start(cfg Config) *Server {
	cfg.PageSize = cmp.Or(cfg.PageSize, 500)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, closed: make(chan struct{}), domains: map[string]*domain{}, tokens: map[string][]string{}, shown: map[key]rrset{}}
	s.http = httptest.NewServer(s)
	return s
}

// Close ends all calls under way and stops the server.
func (s *Server) Close() {
	close(s.closed)
	s.http.CloseClientConnections()
	s.http.Close()
}

// Addr returns the address of the server, host:port. The API is below /api/v1.
func (s *Server) Addr() string { return s.http.Listener.Addr().String() }

// AddDomain adds a domain with the NS that deSEC gives it. The minimum TTL of new domains is 3600.
func (s *Server) AddDomain(name string, minimumTTL int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.domains[name] = &domain{name: name, minimumTTL: minimumTTL, rrsets: []rrset{
		{Type: "NS", TTL: max(3600, minimumTTL), Records: []string{"ns1.desec.io.", "ns2.desec.org."}},
	}}
}

// AddToken makes a token of an account that holds the domains.
func (s *Server) AddToken(token string, domains ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = domains
}

// Put replaces an RRset as somebody else, under the API's rules; no records remove it.
func (s *Server) Put(domain, subname, recordType string, ttl int, records ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if records == nil {
		records = []string{}
	}
	_, err := s.domains[domain].change(http.MethodPut, []request{{Subname: subname, Type: recordType, TTL: &ttl, Records: &records}})
	s.show()
	return err
}

// Records returns the records of an RRset in presentation form, sorted.
func (s *Server) Records(domain, subname, recordType string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, _ := s.domains[domain].find(subname, recordType)
	return slices.Sorted(slices.Values(set.Records))
}

// TTL returns the TTL of an RRset, 0 if there is none.
func (s *Server) TTL(domain, subname, recordType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, _ := s.domains[domain].find(subname, recordType)
	return set.TTL
}

// Calls returns how many calls arrived since the last ResetCalls.
func (s *Server) Calls() Calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// ResetCalls begins counting anew.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = Calls{}
}

func (d *domain) absolute(subname string) string {
	if subname == "" {
		return d.name
	}
	return subname + "." + d.name
}

func (d *domain) find(subname, recordType string) (rrset, int) {
	at := slices.IndexFunc(d.rrsets, func(r rrset) bool { return r.Subname == subname && r.Type == recordType })
	if at < 0 {
		return rrset{}, at
	}
	return d.rrsets[at], at
}
