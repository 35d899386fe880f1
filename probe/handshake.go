package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
)

// handshakeFailure says whether it was the certificate that a TLS handshake with host failed for,
// and why, in stable words.
func handshakeFailure(host string, err error) (certificate bool, detail string) {
	var (
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		network   *net.OpError
	)
	switch {
	case errors.As(err, &hostname):
		return true, "the certificate is not valid for " + host
	case errors.As(err, &authority):
		return true, "the certificate is not signed by a trusted authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return true, "the certificate has expired or is not valid yet"
	case errors.As(err, &verify):
		return true, "the certificate does not verify"
	case errors.As(err, &record):
		return false, "the server does not speak TLS"
	case errors.As(err, &network) && network.Op == "remote error": // an alert; its text is from a fixed table
		return false, "the server refused the TLS handshake: " + strings.TrimPrefix(network.Err.Error(), "tls: ")
	default:
		return false, "the TLS handshake (1.2 or later) failed"
	}
}
