// Package route53 is a strict fake of the Amazon Route 53 API, version 2013-04-01, over HTTP on
// loopback. It keeps hosted zones in memory and refuses what the API Reference and the
// Developer Guide say that Route 53 refuses: a DELETE that does not name the exact current
// values, a text that is not quoted, a CNAME beside other records, an unsigned request. And it
// fails on request, see Fault.
//
// It knows ListHostedZonesByName, GetHostedZone, ListResourceRecordSets,
// ChangeResourceRecordSets and GetChange; and AssumeRole of AWS STS, whose sessions it then takes.
package route53

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The actions that the server knows, as the API Reference names them.
const (
	ListHostedZonesByName    = "ListHostedZonesByName"
	GetHostedZone            = "GetHostedZone"
	ListResourceRecordSets   = "ListResourceRecordSets"
	ChangeResourceRecordSets = "ChangeResourceRecordSets"
	GetChange                = "GetChange"
)

// Config is how to start a Server.
type Config struct {
	Keys   map[string]string // access key id -> secret access key; none: every request is refused
	Region string            // that requests are signed for; default us-east-1

	// RolesOnly: the keys may do nothing but assume roles.
	RolesOnly bool

	// Limited turns on the limit of requests in a second, for all actions together.
	Limited bool
	Rate    rate.Limit // default 10
	Burst   int        // default 50

	// OneAtATime: a change of a zone while another one is under way is PriorRequestNotComplete.
	OneAtATime bool
	// ShortErrors: a refused batch is answered in the form without ErrorResponse around it.
	ShortErrors bool

	// Before, if set, is called with each action before it is carried out: the place where somebody
	// else changes the zone.
	Before func(action string)
}

// Server is a running server. Its methods can be called at any time, also while it answers.
type Server struct {
	cfg     Config
	http    *http.Server
	url     string
	serving sync.WaitGroup
	closing context.Context
	close   context.CancelFunc
	limiter *rate.Limiter

	mu      sync.Mutex
	zones   map[string]*zone // by id
	denied  map[string]bool  // zone ids
	calls   map[string]int   // by action
	limited int              // calls that were refused, as there were too many
	faults  []*scheduled
	changes map[string]time.Time // by id
	mirrors []*mirror

	roles       map[string]Role     // by ARN
	sessions    map[string]*session // by access key id
	assumptions []Assumption
	lasting     time.Duration // of sessions; 0: as asked for
}

// Start starts a server on a port that the system chooses.
func Start(cfg Config) (*Server, error) {
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.Rate = cmp.Or(cfg.Rate, 10)
	cfg.Burst = cmp.Or(cfg.Burst, 50)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("route53: %w", err)
	}
	s := &Server{
		cfg:     cfg,
		url:     "http://" + l.Addr().String(),
		limiter: rate.NewLimiter(cfg.Rate, cfg.Burst),
		zones:   map[string]*zone{},
		denied:  map[string]bool{},
		calls:   map[string]int{},
		changes: map[string]time.Time{},

		roles:    map[string]Role{},
		sessions: map[string]*session{},
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.serving.Go(func() { _ = s.http.Serve(l) }) // ends at Close
	return s, nil
}

// Close stops the server, answers under way included.
func (s *Server) Close() error {
	s.close()
	err := s.http.Close()
	s.serving.Wait()
	return err
}

// URL returns the endpoint.
func (s *Server) URL() string { return s.url }

// Calls returns how many requests of the actions arrived, whatever became of them; without an
// action, of all.
func (s *Server) Calls(actions ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for action, calls := range s.calls {
		if len(actions) == 0 || slices.Contains(actions, action) {
			n += calls
		}
	}
	return n
}

// Limited returns how many of them were refused by the limit of requests in a second.
func (s *Server) Limited() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// ResetCalls starts the counts anew.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.calls)
	s.limited = 0
}

// Deny has every request for the zone be AccessDenied, or no more.
func (s *Server) Deny(zoneID string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[zoneID] = denied
}

// request is a request on its way through the server.
type request struct {
	action string
	id     string // of the zone or change
	query  func(name string) string
	body   []byte
}

const maxBody = 1 << 20

// route says which action a request is.
func route(r *http.Request) (action, id string) {
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		return AssumeRole, ""
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/2013-04-01/")
	if !ok {
		return "", ""
	}
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	switch {
	case r.Method == http.MethodGet && len(parts) == 1 && parts[0] == "hostedzonesbyname":
		return ListHostedZonesByName, ""
	case r.Method == http.MethodGet && len(parts) == 2 && parts[0] == "hostedzone":
		return GetHostedZone, parts[1]
	case r.Method == http.MethodGet && len(parts) == 3 && parts[0] == "hostedzone" && parts[2] == "rrset":
		return ListResourceRecordSets, parts[1]
	case r.Method == http.MethodPost && len(parts) == 3 && parts[0] == "hostedzone" && parts[2] == "rrset":
		return ChangeResourceRecordSets, parts[1]
	case r.Method == http.MethodGet && len(parts) == 2 && parts[0] == "change":
		return GetChange, parts[1]
	default:
		return "", ""
	}
}

// ServeHTTP answers one request. It is called by the listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	action, id := route(r)
	body, err := readAll(r.Body)
	s.mu.Lock()
	s.calls[action]++
	fault := s.nextFault(action)
	denied := id != "" && s.denied[id]
	s.mu.Unlock()

	req := request{action: action, id: id, query: r.URL.Query().Get, body: body}
	carryOut := func() any {
		if s.cfg.Before != nil {
			s.cfg.Before(action)
		}
		return s.carryOut(req, fault != nil && fault.Lose)
	}
	if fault != nil && !fault.Lose {
		if fault.Apply {
			carryOut()
		}
		s.misbehave(w, r, *fault)
		return
	}
	service := "route53"
	if action == AssumeRole {
		service = "sts"
	}
	identity, authErr := s.authenticate(r, body, service)
	_, longTerm := s.cfg.Keys[identity]
	switch {
	case err != nil:
		answer(w, invalidInput("the request's body cannot be read"))
	case authErr != nil:
		answer(w, *authErr)
	case action == "":
		answer(w, apiError{status: http.StatusNotFound, code: "UnknownOperationException", message: "no such operation"})
	case action == AssumeRole:
		answer(w, s.assumeRole(identity, body))
	case s.cfg.Limited && !s.limiter.Allow():
		s.mu.Lock()
		s.limited++
		s.mu.Unlock()
		answer(w, throttling)
	case s.cfg.RolesOnly && longTerm:
		answer(w, apiError{status: http.StatusForbidden, code: "AccessDenied", message: "User is not authorized to perform: route53:" + action})
	case denied:
		answer(w, apiError{status: http.StatusForbidden, code: "AccessDenied", message: "User is not authorized to perform: route53:" + action + " on resource: arn:aws:route53:::hostedzone/" + id})
	default:
		answer(w, carryOut())
	}
}

func (s *Server) carryOut(req request, lose bool) any {
	switch req.action {
	case ListHostedZonesByName:
		return s.listZones(req)
	case GetHostedZone:
		return s.getZone(req)
	case ListResourceRecordSets:
		return s.listSets(req)
	case ChangeResourceRecordSets:
		return s.change(req, lose)
	default:
		return s.getChange(req)
	}
}
