package mtastsserver

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
)

// policyPath is the one path that is served (RFC 8461 §3.3).
const policyPath = "/.well-known/mta-sts.txt"

// Server answers requests from its current snapshot. It is an http.Handler, safe
// for concurrent use; before the first Use it knows no host.
type Server struct {
	current atomic.Pointer[Snapshot]
	parsed  parsedPairs
	metrics *metrics
	log     *slog.Logger
}

// NewServer returns a Server without a snapshot. A nil log discards.
func NewServer(log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{log: log}
	s.metrics = newMetrics(s)
	return s
}

// Use makes snapshot the current one for all requests and handshakes to come.
func (s *Server) Use(snapshot *Snapshot) { s.current.Store(snapshot) }

// ServeHTTP answers GET and HEAD of the policy path with the policy of the host.
//
//	421  over TLS, the host is not the one of the handshake (RFC 9110 §15.5.20)
//	404  no such host or path
//	405  another method
//
// It never redirects: senders do not follow (RFC 8461 §3.3).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	snapshot := s.current.Load()
	found := snapshot.lookup(r.Host)
	switch {
	case r.TLS != nil && snapshot.lookup(r.TLS.ServerName) != found:
		fail(w, http.StatusMisdirectedRequest)
	case found == nil || r.URL.Path != policyPath || r.URL.RawPath != "":
		fail(w, http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(found.policy)))
		_, _ = w.Write(found.policy)
	}
}

func fail(w http.ResponseWriter, status int) {
	http.Error(w, http.StatusText(status), status)
}

// TLSConfig picks the certificate by SNI. A handshake for an unknown name, or for
// none, ends with the alert unrecognized_name before any key is used.
func (s *Server) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12, // RFC 8461 §4.2, RFC 9325 §3.1.1
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: s.certificate,
		// A sender comes once in a day or more: a ticket would be made for nothing, at a write of its own.
		SessionTicketsDisabled: true,
	}
}

// certificate returns nil without an error where there is none: crypto/tls then
// sends unrecognized_name instead of internal_error.
func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	found := s.current.Load().lookup(hello.ServerName)
	if found == nil {
		s.metrics.refused.Inc()
		return nil, nil
	}
	pair, first := s.parsed.of(found)
	if pair.err != nil {
		s.metrics.refused.Inc()
		if first {
			s.log.Warn("a policy host cannot be served over TLS", "domain", found.Domain, "error", pair.err)
		}
	}
	return pair.certificate, nil
}
