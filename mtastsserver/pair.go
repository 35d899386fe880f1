package mtastsserver

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxParsed is how many certificates are held parsed. Most of 100,000 domains are asked for rarely,
// and parsing one is cheap beside the handshake that wants it; so all of them lie there as PEM, and
// those that were parsed last are kept.
const maxParsed = 4096

// parsedPair is a certificate with its key, or what is wrong with them.
type parsedPair struct {
	certificate *tls.Certificate
	err         error
}

// parsedPairs bounds how many sites hold a parsed certificate: the longest held gives way.
type parsedPairs struct {
	mu   sync.Mutex
	ring [maxParsed]*site
	next int
}

// of returns the site's pair. first is true for the one call that parsed it, so that a bad pair is
// logged once.
func (p *parsedPairs) of(s *site) (pair *parsedPair, first bool) {
	if pair = s.parsed.Load(); pair != nil {
		return pair, false
	}
	pair = s.parse()
	if !s.parsed.CompareAndSwap(nil, pair) {
		return pair, false // another handshake did the same
	}
	if pair.err == nil { // an error is small, and stays
		p.hold(s)
	}
	return pair, true
}

func (p *parsedPairs) hold(s *site) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.ring[p.next]; old != nil {
		old.parsed.Store(nil)
	}
	p.ring[p.next] = s
	p.next = (p.next + 1) % maxParsed
}

// errNoCertificate: the site is not to be served over TLS.
var errNoCertificate = errors.New("has no certificate")

func (s *site) parse() *parsedPair {
	if s.Certificate == "" {
		return &parsedPair{err: errNoCertificate}
	}
	pair, err := tls.X509KeyPair(s.certificatePEM, s.privateKeyPEM)
	if err != nil {
		return &parsedPair{err: fmt.Errorf("has no usable certificate and private key: %w", err)}
	}
	pair.Leaf = nil // a handshake needs only the DER, and this is the larger part
	return &parsedPair{certificate: &pair}
}

// notAfterOf is when the certificate that is served, the first in the PEM, expires; zero if it can't be read.
func notAfterOf(certificatePEM []byte) time.Time {
	block, rest := pem.Decode(certificatePEM)
	for block != nil && block.Type != "CERTIFICATE" { // as crypto/tls reads it
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return time.Time{}
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return leaf.NotAfter
}
