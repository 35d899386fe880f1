// Package cloudflare is a strict stand-in for the part of Cloudflare's API v4 that serves DNS
// records: zones by name and by id, records with filters and pages, single changes and the
// batch that is one transaction.
//
// It holds what https://developers.cloudflare.com/api/resources/dns documents, and refuses
// what the documents do not know: a parameter with a typing error must not look like a filter
// that found nothing. It splits long TXT strings, counts calls, limits their rate, lets tests
// write as somebody else, and fails on request, see Fault.
package cloudflare

import (
	"cmp"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// Config is how to start a Server. The zero Config is what a zone on the Free plan sees.
type Config struct {
	MaxBatch int           // operations in one batch; default 200
	Limit    int           // calls in one Window, of all tokens; default 1200
	Window   time.Duration // default 5 min
	Now      func() time.Time

	// WholeTotal has total_count be of the whole zone in filtered lists too, as the documents
	// say. In the field it is of the records that pass the filter.
	WholeTotal bool

	// AliasStandsAlone refuses a CNAME beside records of any type. Cloudflare itself refuses it
	// beside A, AAAA and CNAME only.
	AliasStandsAlone bool
}

// Server is a running server. Its methods can be called at any time, also from a Fault's hooks.
type Server struct {
	cfg    Config
	http   *httptest.Server
	closed chan struct{}

	mu      sync.Mutex
	zones   []*zone
	tokens  map[string][]string // token -> ids of the zones that it may read and edit
	faults  []*Fault
	calls   Calls
	limited int // calls that were refused, as there were too many
	limiter limiter
	serials int
	dns     *dnsserver.Server // see Serve
}

// zone is one zone. Its records are in the order of their making.
type zone struct {
	id, name string
	records  []Record
	shown    map[rrset]string // what the DNS server holds of it
}

// Calls counts the calls that arrived, whatever became of them.
type Calls struct {
	Zones   int // looking for a zone
	Lists   int // reading records, each page by itself
	Batches int
	Others  int // single changes, and what the API does not know
}

// All returns how many calls there were.
func (c Calls) All() int { return c.Zones + c.Lists + c.Batches + c.Others }

// Start starts a server on a port of the loopback interface that the system chooses.
func Start(cfg Config) *Server {
	cfg.MaxBatch = cmp.Or(cfg.MaxBatch, 200)
	cfg.Limit = cmp.Or(cfg.Limit, 1200)
	cfg.Window = cmp.Or(cfg.Window, 5*time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, closed: make(chan struct{}), tokens: map[string][]string{}}
	s.http = httptest.NewServer(s)
	return s
}

// Close ends all calls under way and stops the server.
func (s *Server) Close() {
	close(s.closed)
	s.http.CloseClientConnections()
	s.http.Close()
}

// Endpoint returns the base URL of the API.
func (s *Server) Endpoint() string { return s.http.URL + "/client/v4" }

// AddZone adds an empty zone and returns its id. Several can have one name, in accounts of
// different owners.
func (s *Server) AddZone(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := &zone{id: s.newID(), name: name, shown: map[rrset]string{}}
	s.zones = append(s.zones, z)
	return z.id
}

// RemoveZone removes a zone with its records.
func (s *Server) RemoveZone(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones = slices.DeleteFunc(s.zones, func(z *zone) bool { return z.id == id })
}

// AddToken makes a token that may read and edit the zones.
func (s *Server) AddToken(token string, zoneIDs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = zoneIDs
}

// Calls returns how many calls arrived since the last ResetCalls.
func (s *Server) Calls() Calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Limited returns how many of them were refused, as there were too many.
func (s *Server) Limited() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// ResetCalls begins counting anew.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.limited = Calls{}, 0
}

func (s *Server) zone(id string) *zone {
	at := slices.IndexFunc(s.zones, func(z *zone) bool { return z.id == id })
	if at < 0 {
		return nil
	}
	return s.zones[at]
}
