// Package serving measures the policy server as a process of its own: beside nginx.
package serving

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/envtest"
	"github.com/maildomain/maildomain-operator/test/real"
)

// patience ends what hangs.
const patience = 5 * time.Minute

const (
	host = "mta-sts.example.com"
	path = "/.well-known/mta-sts.txt"
	body = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmax_age: 604800\r\n"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is `maildomain mta-sts` at work on a directory.
type server struct {
	policy, health string // addresses
	command        *exec.Cmd
}

func serve(t testing.TB, dir string, more ...string) *server {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "maildomain")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, envtest.Root()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := &server{policy: free(t), health: free(t)}
	s.command = exec.Command(binary, append([]string{"mta-sts", "--dir", dir, "--listen", s.policy, "--health-listen", s.health}, more...)...)
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, s.command.Start())
	ended := make(chan error, 1)
	go func() { ended <- s.command.Wait() }()
	t.Cleanup(func() {
		_ = s.command.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if response, err := http.Get("http://" + s.health + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Now().After(end) {
			t.Fatal("the policy server is not ready")
		}
	}
}

func free(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// fetch makes a connection, a full handshake and one request, as a sender does.
func fetch(address, host string, roots *x509.CertPool, body string) error {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	// A key exchange that both have: nginx of Debian 12 knows none after quantum computers.
	conn := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: roots, CurvePreferences: []tls.CurveID{tls.X25519}, MinVersion: tls.VersionTLS13})
	if err := conn.Handshake(); err != nil {
		return err
	}
	if state := conn.ConnectionState(); state.DidResume {
		return fmt.Errorf("the session was resumed")
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if string(got) != body || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s, %q", response.Status, got)
	}
	return nil
}

// measured is what a server did in its turns.
type measured struct {
	address   string
	cpu       func() time.Duration
	wall, had time.Duration
	fetched   int
}

// turn has eight clients fetch n times.
func (m *measured) turn(b *testing.B, n int, roots *x509.CertPool) {
	b.Helper()
	const clients = 8
	before, began := m.cpu(), time.Now()
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for range n / clients {
				if err := fetch(m.address, host, roots, body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	m.wall += time.Since(began)
	m.had += m.cpu() - before
	m.fetched += n / clients * clients
}

// BenchmarkHandshakes has our server and nginx serve the same policy with the same P-256 certificate, in turns, and
// compares them: fetches per second (vs-nginx), where the clients take their part of the machine from both, and
// fetches per second of the server's own CPU time (cpu-vs-nginx). Above 1 ours is the faster.
func BenchmarkHandshakes(b *testing.B) {
	cert, key, err := certificate.SelfSigned(host)
	must(b, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	dir := b.TempDir()
	must(b, mtastsserver.WriteSnapshot(dir, []mtastsserver.Site{{Domain: strings.TrimPrefix(host, "mta-sts."), Policy: body, Certificate: cert, PrivateKey: key}}))
	us := serve(b, dir)
	nginx := real.Nginx(b, host, path, body, cert, key)
	ours := &measured{address: us.policy, cpu: func() time.Duration { return real.CPU(b, us.command.Process.Pid) }}
	theirs := &measured{address: nginx.Addr, cpu: func() time.Duration { return nginx.CPU(b) }}
	for _, m := range []*measured{ours, theirs} {
		must(b, fetch(m.address, host, roots, body))
	}
	const turn = 1000
	for b.Loop() { // one of each in turn, so that what else the machine does falls on both
		ours.turn(b, turn, roots)
		theirs.turn(b, turn, roots)
	}
	if ours.fetched == 0 || theirs.fetched == 0 || ours.had == 0 || theirs.had == 0 {
		b.Fatalf("measured %+v and %+v", ours, theirs)
	}
	perSecond := func(m *measured) float64 { return float64(m.fetched) / m.wall.Seconds() }
	perCPU := func(m *measured) float64 { return float64(m.fetched) / m.had.Seconds() }
	b.ReportMetric(perSecond(ours), "ours/s")
	b.ReportMetric(perSecond(theirs), "nginx/s")
	b.ReportMetric(perSecond(ours)/perSecond(theirs), "vs-nginx")
	b.ReportMetric(perCPU(ours)/perCPU(theirs), "cpu-vs-nginx")
	b.ReportMetric(0, "ns/op")
}
