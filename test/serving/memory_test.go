package serving

import (
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// domains is for how many domains one policy server is to be enough.
const domains = 100_000

// BenchmarkMemory has the policy server serve 100,000 domains, each with a policy and a P-256 certificate of its
// own, answer for more of them than it holds parsed, and take up a snapshot in which one has changed. It reports the most
// memory (RSS) that the process has had until it was ready (MiB-loaded) and in the end (MiB). As in a Pod, GOMEMLIMIT
// leaves an eighth of the 512 MiB for what is not Go's.
func BenchmarkMemory(b *testing.B) {
	ca, err := certificate.NewAuthority()
	must(b, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	site := func(i, mx int) mtastsserver.Site {
		domain := fmt.Sprintf("d%d.example", i)
		cert, key, err := ca.Issue("mta-sts."+domain, time.Now().Add(90*24*time.Hour))
		must(b, err)
		policy := fmt.Sprintf("version: STSv1\r\nmode: enforce\r\nmx: mx%d.%s\r\nmax_age: 604800\r\n", mx, domain)
		return mtastsserver.Site{Domain: domain, Policy: policy, Certificate: cert, PrivateKey: key}
	}
	dir := memory(b)
	writer, err := mtastsserver.OpenWriter(dir)
	must(b, err)
	for i := range domains {
		must(b, writer.Put(site(i, 1)))
	}
	must(b, writer.Commit())
	b.Setenv("GOMEMLIMIT", "448MiB")
	for b.Loop() {
		us := serve(b, dir)
		b.ReportMetric(us.peak(b), "MiB-loaded")
		ask := func(i, mx int) error {
			s := site(i, mx)
			return fetch(us.policy, "mta-sts."+s.Domain, roots, s.Policy)
		}
		for i := range 5000 {
			must(b, ask(i, 1))
		}
		must(b, writer.Put(site(0, 2)))
		must(b, writer.Commit())
		for end := time.Now().Add(patience); ask(0, 2) != nil; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				b.Fatal("the change is not served")
			}
		}
		b.ReportMetric(us.peak(b), "MiB")
		must(b, writer.Put(site(0, 1)))
		must(b, writer.Commit())
	}
	b.ReportMetric(0, "ns/op")
}

// memory is a directory in memory where there is one, as the snapshot of a Pod is: a disk takes long for 300,000 files.
func memory(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "maildomain-") //nolint:usetesting // b.TempDir is on a disk
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { must(b, os.RemoveAll(dir)) })
	return dir
}

// peak is the most memory that the process has had, in MiB.
func (s *server) peak(b *testing.B) float64 {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	must(b, err)
	_, rest, _ := strings.Cut(string(content), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(b, err)
	return float64(kib) / 1024
}
