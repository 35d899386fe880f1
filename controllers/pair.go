package controllers

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/maildomain/maildomain-operator/mtastsserver"
)

// Bounds of a tenant's private key. All domains are served by the same processes, and each handshake costs a
// signature, which grows with the cube of the key's length.
const (
	maxKeyPEM  = 16 << 10 // octets
	maxRSABits = 4096
)

// pairFault says what keeps a certificate and its key from being served for the policy host of
// the domain; "" is nothing.
func pairFault(domain string, certificate, key []byte, now time.Time) string {
	leaf, what := pairLeaf(domain, certificate, key)
	if what != "" {
		return what
	}
	return timeFault(leaf.NotBefore, leaf.NotAfter, now)
}

// pairLeaf returns the certificate that the policy host of the domain is served with, or what keeps it
// from being served at any time.
func pairLeaf(domain string, certificate, key []byte) (leaf *x509.Certificate, fault string) {
	switch {
	case len(certificate) > mtastsserver.MaxPEMSize:
		return nil, fmt.Sprintf("tls.crt is larger than %d KiB", mtastsserver.MaxPEMSize>>10)
	case len(key) > maxKeyPEM:
		return nil, fmt.Sprintf("tls.key is larger than %d KiB", maxKeyPEM>>10)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, "tls.crt and tls.key are not a certificate with its key"
	}
	if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, "the certificate can't be read"
	}
	public, isRSA := leaf.PublicKey.(*rsa.PublicKey)
	switch {
	case isRSA && public.N.BitLen() > maxRSABits:
		return nil, fmt.Sprintf("its RSA key has %d bits, want at most %d", public.N.BitLen(), maxRSABits)
	case leaf.VerifyHostname("mta-sts."+domain) != nil:
		return nil, "the certificate is for other names"
	}
	return leaf, ""
}

// timeFault says why a certificate can't be served at the time; "" is nothing.
func timeFault(notBefore, notAfter, now time.Time) string {
	switch {
	case now.Before(notBefore):
		return "the certificate is not valid yet"
	case now.After(notAfter):
		return "the certificate has expired"
	}
	return ""
}
