package survey

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// Who can read an object is not to read there what a policy host has been made to fetch and show.
func TestVerdictsHoldNoBody(t *testing.T) {
	const secret = "hunter2"
	for name, body := range map[string]string{
		"a mode":  "version: STSv1\r\nmode: " + secret + "\r\nmx: mx1.example.test\r\nmax_age: 86400\r\n",
		"a field": "version: STSv1\r\nmode: enforce\r\nmx: " + secret + "!\r\nmax_age: 86400\r\n",
		"a page":  "<html>" + secret + "</html>",
	} {
		dns, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{"test", "example.test"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dns.Close() })
		for _, err := range []error{
			dns.Set("example.test", "MX", "10 mx1.example.test."), dns.Set("mx1.example.test", "A", "192.0.2.1"),
			dns.Set("mta-sts.example.test", "A", "127.0.0.1"), dns.SetTXT("_mta-sts.example.test", "v=STSv1; id=1"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		cert, key, err := certificate.SelfSigned("mta-sts.example.test")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		asked := false
		host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked = true
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, body)
		}))
		host.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		host.StartTLS()
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(cert)
		world := World{
			Resolver: probe.NewResolver([]string{dns.Addr()}, 10*time.Second), Roots: roots, PolicyPort: netip.MustParseAddrPort(host.Listener.Addr().String()).Port(),
			AllowPrivate: func(a netip.Addr) bool { return a.IsLoopback() },
			TLS:          WatchedTLS(func(string) (seen probe.MXSeen, known bool) { return seen, false }),
		}
		var names []string
		for _, b := range compliance.Baselines() {
			names = append(names, b.Name)
		}
		results := world.judge(t.Context(), Question{Domain: "example.test", Baselines: append(names, "one that nobody knows")})
		host.Close()
		failed := false
		for _, r := range results {
			for _, v := range r.Verdicts {
				failed = failed || v.Control == "MTA-STS" && v.Outcome == compliance.Fail
				if strings.Contains(v.Seen, secret) {
					t.Errorf("%s: %s %s: %s", name, r.Baseline, v.Control, v.Seen)
				}
			}
		}
		if last := results[len(results)-1]; !asked || !failed || last.Outcome != compliance.Unknown {
			t.Errorf("%s: asked %v, MTA-STS fails: %v, an unknown baseline is %s", name, asked, failed, last.Outcome)
		}
	}
}
