package mtastsserver

import "fmt"

const (
	maxPolicySize = 64 << 10 // RFC 8461 §3.3
	// MaxPEMSize is the most octets that a certificate with its chain, or a private key, may have.
	MaxPEMSize = 256 << 10
)

// Site is what one domain's policy host serves.
type Site struct {
	Domain string // lower-case A-labels, without the prefix mta-sts and a trailing dot
	Policy string // the body as it is served, 1 octet to 64 KiB
	// Certificate (the chain, leaf first) and PrivateKey are PEM, at most 256 KiB
	// each. Both empty: the site is not served over TLS.
	Certificate, PrivateKey []byte
}

// Check says what keeps the site from standing in a snapshot; nil: nothing. One bad site would
// keep all the others out, so a writer leaves it out, or as it was.
func (s Site) Check() error {
	switch n := max(len(s.Certificate), len(s.PrivateKey)); {
	case !isDomain(s.Domain):
		return fmt.Errorf("%.80q is not a domain in lower-case A-labels", s.Domain)
	case len(s.Policy) == 0 || len(s.Policy) > maxPolicySize:
		return fmt.Errorf("domain %s: the policy has %d octets, want 1 to %d", s.Domain, len(s.Policy), maxPolicySize)
	case n > MaxPEMSize:
		return fmt.Errorf("domain %s: the certificate or private key has %d octets, want at most %d", s.Domain, n, MaxPEMSize)
	case (len(s.Certificate) == 0) != (len(s.PrivateKey) == 0):
		return fmt.Errorf("domain %s has only one of certificate and private key", s.Domain)
	}
	return nil
}
