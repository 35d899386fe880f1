package mtastsserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
)

const (
	// hostPrefix makes a domain's policy host (RFC 8461 §3.3).
	hostPrefix  = "mta-sts."
	maxHostSize = 253
)

// Snapshot is a whole set of sites, ready to be served. It does not change.
type Snapshot struct {
	hosts   map[string]*site // by policy host
	objects map[digest][]byte
}

// Sites returns all that the snapshot serves, in no particular order: for a writer that starts
// anew and must not drop what it can't look up at the moment.
func (s *Snapshot) Sites() []Site {
	var sites []Site
	for _, h := range s.hosts {
		sites = append(sites, Site{Domain: h.Domain, Policy: string(h.policy), Certificate: h.certificatePEM, PrivateKey: h.privateKeyPEM})
	}
	return sites
}

// Domains is the number of sites.
func (s *Snapshot) Domains() int { return len(s.hosts) }

// site is found by host once per request; nil-safe so that "no snapshot" and "no
// such host" are one case.
func (s *Snapshot) site(host string) *site {
	if s == nil {
		return nil
	}
	return s.hosts[host]
}

// lookup finds the site for what stands in a Host header or an SNI: any case, with
// or without a port and a trailing dot. It allocates nothing.
func (s *Snapshot) lookup(host string) *site {
	if found := s.site(host); found != nil || s == nil {
		return found
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.Trim(host[i+1:], "0123456789") == "" {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > maxHostSize {
		return nil
	}
	var buf [maxHostSize]byte
	for i := range len(host) {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return s.hosts[string(buf[:len(host)])]
}

// site is one policy host. Its certificate is parsed at the first handshake that
// asks for it: most of 100,000 domains are asked for rarely.
type site struct {
	entry
	policy                        []byte
	certificatePEM, privateKeyPEM []byte

	parse  sync.Once
	parsed *tls.Certificate
	err    error
}

// errNoCertificate: the site is not to be served over TLS.
var errNoCertificate = errors.New("has no certificate")

// certificate returns the parsed pair. first is true for the one call that parsed
// it, so that a bad pair is logged once.
func (s *site) certificate() (cert *tls.Certificate, first bool, err error) {
	s.parse.Do(func() {
		first = true
		if s.Certificate == "" {
			s.err = errNoCertificate
			return
		}
		pair, err := tls.X509KeyPair(s.certificatePEM, s.privateKeyPEM)
		if err != nil {
			s.err = fmt.Errorf("has no usable certificate and private key: %w", err)
			return
		}
		s.parsed = &pair
	})
	return s.parsed, first, s.err
}
