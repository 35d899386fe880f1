package mtastsserver

import (
	"strings"
	"sync/atomic"
	"time"
)

const (
	// hostPrefix makes a domain's policy host (RFC 8461 §3.3).
	hostPrefix  = "mta-sts."
	maxHostSize = 253
)

// Snapshot is a whole set of sites, ready to be served. It does not change.
type Snapshot struct {
	hosts       map[string]*site // by policy host
	objects     map[digest][]byte
	firstExpiry time.Time
}

// Sites returns all that the snapshot serves, in no particular order.
func (s *Snapshot) Sites() []Site {
	var sites []Site
	for _, h := range s.hosts {
		sites = append(sites, Site{Domain: h.Domain, Policy: string(h.policy), Certificate: h.certificatePEM, PrivateKey: h.privateKeyPEM})
	}
	return sites
}

// Domains is the number of sites; of no snapshot it is 0.
func (s *Snapshot) Domains() int {
	if s == nil {
		return 0
	}
	return len(s.hosts)
}

// expiry is when the first of the certificates expires; zero: there is none.
func (s *Snapshot) expiry() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.firstExpiry
}

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

// site is one policy host.
type site struct {
	entry
	policy                        []byte
	certificatePEM, privateKeyPEM []byte
	notAfter                      time.Time // of the certificate; zero: there is none that can be read

	parsed atomic.Pointer[parsedPair] // nil: not, or not any more
}
