// Package outage holds the test that takes away, one after the other, what the policy servers do not
// need: the API server, the leader, and every manager.
package outage

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

var lasts = flag.Duration("outage", 12*time.Second, "how long each outage lasts: the longer, the more requests; a lease is lost after 10 s")

// patience ends a test that hangs.
const patience = 3 * time.Minute

const (
	replicas = 2
	domains  = 20
)

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	os.Exit(envtest.Main(m))
}

// Two replicas, each a manager and a policy server, as in two pods. Whatever happens to the API
// server and to the managers, no request fails.
func TestServingNeedsNobody(t *testing.T) {
	s := newScene(t)
	for i := range s.pods {
		s.serve(s.pods[i])
		s.manage(s.pods[i])
	}
	s.serves("the first policies")
	load := s.load()
	defer load.stop()

	s.outage("the API server is gone", func() {
		s.leader()
		s.cluster.down()
		ended := 0
		s.during(func() { ended += s.reviveAll() }) // as a kubelet would
		if ended > 1 {
			t.Errorf("%d managers ended: only a leader does, when its lease is lost, and when it comes back it waits", ended)
		}
		s.cluster.up()
	}, load)
	s.outage("the leader is gone", func() {
		leader := s.leader()
		leader.kill()
		s.during(func() {
			s.change()
			for _, p := range s.pods {
				if p != leader {
					s.has(p, "a change without the leader")
				}
			}
		})
		s.manage(leader)
	}, load)
	s.outage("the managers are killed", func() {
		next := 0
		s.during(func() {
			p := s.pods[next%replicas]
			next++
			s.killWhileItWrites(p)
			s.manage(p)
		})
		t.Logf("%d were killed in the middle of writing", next)
	}, load)
	s.outage("there is no manager at all", func() {
		for _, p := range s.pods {
			p.kill()
		}
		s.cluster.down()
		s.during(func() {})
		s.cluster.up()
		s.reviveAll()
	}, load)
	load.stop()
	if load.failed.Load() > 0 {
		t.Errorf("of %d requests %d failed", load.asked.Load(), load.failed.Load())
	}
}

// scene is a cluster and the pods' processes.
type scene struct {
	t         *testing.T
	binary    string
	api       client.Client
	namespace string
	cluster   *gate
	roots     *x509.CertPool
	pods      []*pod

	generation atomic.Int64 // of the policies that are stored
}

// pod is a replica: a directory, a policy server that stays, and a manager that comes and goes.
type pod struct {
	t       *testing.T
	dir     string
	policy  string // address
	manager *process
}

type process struct {
	command *exec.Cmd
	ended   chan struct{}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	config := envtest.Config(t)
	s := &scene{t: t, binary: filepath.Join(t.TempDir(), "maildomain"), roots: x509.NewCertPool()}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", s.binary, envtest.Root()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	s.api, err = client.New(config, client.Options{})
	s.must(err)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "outage-"}}
	s.must(s.api.Create(t.Context(), ns))
	s.namespace = ns.Name
	s.cluster = newGate(t, config)
	for i := range domains {
		s.store(i)
	}
	for range replicas {
		s.pods = append(s.pods, &pod{t: t, dir: t.TempDir()})
	}
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func domain(i int) string { return fmt.Sprintf("d%d.example", i) }

func policy(i int, generation int64) string {
	return fmt.Sprintf("version: STSv1\r\nmode: enforce\r\nmx: mx%d.%s\r\nmax_age: 86400\r\n", generation, domain(i))
}

// config is a site as the manager stores it: what is in a cluster, so that it does not change lightly.
func (s *scene) config(i int) *corev1.ConfigMap {
	sum := sha256.Sum256([]byte(domain(i)))
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "claim-" + hex.EncodeToString(sum[:8]), Labels: map[string]string{"maildomain.dev/site": "true"}},
		Data:       map[string]string{"domain": domain(i), "policy": policy(i, s.generation.Load()), "namespace": s.namespace, "tlsSecret": domain(i)},
	}
}

func (s *scene) store(i int) {
	s.t.Helper()
	cert, key, err := certificate.SelfSigned("mta-sts." + domain(i))
	s.must(err)
	s.roots.AppendCertsFromPEM(cert)
	s.must(s.api.Create(s.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: domain(i)}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key},
	}))
	s.must(s.api.Create(s.t.Context(), s.config(i)))
}

// change stores another policy for every domain.
func (s *scene) change() {
	s.t.Helper()
	s.generation.Add(1)
	for i := range domains {
		s.must(s.api.Patch(s.t.Context(), s.config(i), client.Merge))
	}
}

func (s *scene) run(name string, args ...string) *process {
	s.t.Helper()
	output, err := os.OpenFile(name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	s.must(err)
	p := &process{command: exec.Command(s.binary, args...), ended: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = output, output
	s.must(p.command.Start())
	go func() {
		_ = p.command.Wait()
		output.Close()
		close(p.ended)
	}()
	return p
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

func (p *pod) kill() { p.manager.kill() }

// killWhileItWrites stores other policies, and kills the manager when it has begun to write them and has not
// come to the manifest: one of the objects is a FIFO, which it waits at to see what is in it.
func (s *scene) killWhileItWrites(p *pod) {
	s.t.Helper()
	sum := sha256.Sum256([]byte(policy(domains-1, s.generation.Load()+1)))
	object := filepath.Join(p.snapshot(), "objects", hex.EncodeToString(sum[:]))
	s.must(syscall.Mkfifo(object, 0o600))
	s.change()
	var held *os.File
	for end := time.Now().Add(patience); held == nil; time.Sleep(10 * time.Millisecond) {
		held, _ = os.OpenFile(object, os.O_WRONLY|syscall.O_NONBLOCK, 0) // there is a reader, or an error
		if time.Now().After(end) {
			s.t.Fatal("the manager does not write")
		}
	}
	p.kill()
	s.must(errors.Join(held.Close(), os.Remove(object)))
}

func (p *pod) snapshot() string { return filepath.Join(p.dir, "snapshot") }

func (s *scene) manage(p *pod) {
	s.t.Helper()
	p.manager = s.run(filepath.Join(p.dir, "manager"), "manager", "--kubeconfig", s.cluster.kubeconfig, "--namespace", s.namespace,
		"--owner-id", "outage", "--resolver", "127.0.0.1:1", "--leader-elect", "--snapshot-dir", p.snapshot())
	s.t.Cleanup(p.manager.kill)
}

// reviveAll does what a kubelet does: a manager that has ended is started again. It says how many.
func (s *scene) reviveAll() (ended int) {
	for _, p := range s.pods {
		if !p.manager.running() {
			s.manage(p)
			ended++
		}
	}
	return ended
}

func (s *scene) serve(p *pod) {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	p.policy = listener.Addr().String()
	s.must(listener.Close())
	// A machine may be so busy that a client is slow by no fault of its own.
	server := s.run(filepath.Join(p.dir, "mta-sts"), "mta-sts", "--dir", p.snapshot(), "--listen", p.policy, "--client-timeout", patience.String())
	s.t.Cleanup(func() {
		if !server.running() {
			s.t.Error("a policy server has ended")
		}
		server.kill()
	})
}

// leader is the pod whose manager got the lease last.
func (s *scene) leader() *pod {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, p := range s.pods {
			output, err := os.ReadFile(filepath.Join(p.dir, "manager.log"))
			s.must(err)
			asked, got := strings.LastIndex(string(output), "Attempting to acquire leader lease"), strings.LastIndex(string(output), "Successfully acquired lease")
			if p.manager.running() && got > asked {
				return p
			}
		}
	}
	s.t.Fatal("there is no leader")
	return nil
}

// during calls do again and again while the outage lasts.
func (s *scene) during(do func()) {
	s.t.Helper()
	for end := time.Now().Add(*lasts); time.Now().Before(end) && !s.t.Failed(); time.Sleep(100 * time.Millisecond) {
		do()
	}
}

// outage lets it happen, and waits until all is as it was: every replica gets the newest policies.
func (s *scene) outage(what string, happen func(), load *load) {
	s.t.Helper()
	before, began := load.asked.Load(), time.Now()
	happen()
	s.change()
	s.serves("what was stored after: " + what)
	s.t.Logf("%s for %v: %d requests, %d failed so far", what, time.Since(began).Round(time.Second), load.asked.Load()-before, load.failed.Load())
}

func (s *scene) serves(what string) {
	s.t.Helper()
	for _, p := range s.pods {
		s.has(p, what)
	}
}

// has waits until the pod serves the newest policy of every domain.
func (s *scene) has(p *pod, what string) {
	s.t.Helper()
	generation := s.generation.Load()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if !p.manager.running() {
			s.manage(p) // as a kubelet would: the lease may be lost at the very end of an outage
		}
		served := 0
		for i := range domains {
			if got, err := s.fetch(p, i); err == nil && got == policy(i, generation) {
				served++
			}
		}
		if served == domains {
			return
		}
		if time.Now().After(end) {
			output, _ := os.ReadFile(filepath.Join(p.dir, "manager.log"))
			s.t.Fatalf("%s: %d of %d domains are served\n%s", what, served, domains, output[max(0, len(output)-4000):])
		}
	}
}

// fetch asks as a sender would, over a connection of its own.
func (s *scene) fetch(p *pod, i int) (string, error) {
	host := "mta-sts." + domain(i)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.policy)
		},
		TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: i%2 == 0, DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get("https://" + host + "/.well-known/mta-sts.txt")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(body), err
}

// load asks all the time.
type load struct {
	asked, failed atomic.Int64
	stop          func()
}

func (s *scene) load() *load {
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	var senders sync.WaitGroup
	for _, p := range s.pods {
		senders.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.asked.Add(1)
				if body, err := s.fetch(p, i%domains); err != nil || !strings.HasPrefix(body, "version: STSv1\r\nmode: enforce\r\nmx: mx") || !strings.HasSuffix(body, "."+domain(i%domains)+"\r\nmax_age: 86400\r\n") {
					l.failed.Add(1)
					s.t.Errorf("request %d: %q, %v", l.asked.Load(), body, err)
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() { cancel(); senders.Wait() })
	return l
}
