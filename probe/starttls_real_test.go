package probe

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"testing"

	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/real"
)

// Exim offers STARTTLS with a certificate for one host, not for another.
func TestProbeExim(t *testing.T) {
	cert, key, err := certificate.SelfSigned(mx)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	addr := netip.MustParseAddrPort(real.EximTLS(t, cert, key).Addr)
	p := &STARTTLSProber{Roots: roots, Timeout: patience, AllowPrivate: loopback, HELO: "probe.example"}
	if got := p.probe(t.Context(), mx, addr); got.Outcome != MXValid || got.Version != tls.VersionTLS13 {
		t.Errorf("got %+v", got)
	}
	if got := p.probe(t.Context(), "mx2.example.com", addr); got.Outcome != MXBadCertificate {
		t.Errorf("for another host: %+v", got)
	}
}
