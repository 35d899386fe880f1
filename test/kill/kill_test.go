// Package kill holds the test that kills the manager's process, again and again.
package kill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

// patience ends a test that hangs.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(envtest.Main(m))
}

// The manager's process dies by SIGKILL at every write of a first apply, one write for each
// life, until the MailDomain is ready: nothing is lost, nothing foreign is touched, and no
// second key is made. Meanwhile the policy server, another process, goes on.
func TestKillAtEveryWrite(t *testing.T) {
	binary := build(t)
	for name, allowed := range map[string]int{"after its first write": 0, "before its second write": 1} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, binary)
			s.serve()
			s.apply()
			lives := 0
			for deadline := time.Now().Add(patience); !s.ready(); lives++ {
				if time.Now().After(deadline) {
					t.Fatalf("not ready after %d lives\n%s", lives, s.status())
				}
				s.live(allowed)
			}
			t.Logf("%d lives", lives)
			if lives < 10 {
				t.Errorf("%d lives: there are more writes than that", lives)
			}
			s.check()
		})
	}
}

func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "maildomain")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, envtest.Root()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// scene is a cluster, a name server and the processes between them.
type scene struct {
	t         *testing.T
	binary    string
	dir       string
	api       client.Client
	namespace string
	dns       *dnsserver.Server
	server    string // address of the name server that the manager asks and writes to
	policy    string // address of the policy server
	certFile  string

	updated func(update *dns.Msg, apply func()) // where UPDATEs of the zone pass

	mu      sync.Mutex
	process *exec.Cmd // the manager; nil: dead
	allowed int       // writes before the one at which it dies; at 0 that one is still made
	made    int
}

func newScene(t *testing.T, binary string) *scene {
	t.Helper()
	config := envtest.Config(t)
	scheme := runtime.NewScheme()
	s := &scene{t: t, binary: binary, dir: t.TempDir()}
	s.must(clientgoscheme.AddToScheme(scheme))
	s.must(v1alpha1.AddToScheme(scheme))
	var err error
	s.api, err = client.New(config, client.Options{Scheme: scheme})
	s.must(err)
	s.namespace = s.newNamespace()
	s.updated = func(_ *dns.Msg, apply func()) { s.write(apply) }
	s.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.com"},
		SOATTL: time.Minute, Minimum: time.Second, Around: func(update *dns.Msg, apply func()) { s.updated(update, apply) },
	})
	s.must(err)
	t.Cleanup(func() { s.dns.Close() })
	s.server = s.dns.Addr()
	s.must(s.dns.Set("example.com", "MX", "10 mx1.example.com."))
	s.must(s.dns.SetTXT("example.com", "a foreign text"))
	s.must(s.dns.Set("mx1.example.com", "A", "127.0.0.1"))
	s.must(s.dns.Set("mta-sts.example.com", "A", "127.0.0.1"))
	s.proxy(config, s.kubeconfig(), func(r *http.Request, do func()) {
		if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/events") {
			do()
			return
		}
		s.write(do)
	})
	return s
}

const tsigSecret = "YSBwdWJsaWMgZGVtbyBrZXk6IHByb3RlY3RzIG5vbmU="

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) newNamespace() string {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kill-"}}
	s.must(s.api.Create(s.t.Context(), ns))
	return ns.Name
}

// proxy stands between a manager and the API server, has each request pass through, and writes the kubeconfig
// that leads to it.
func (s *scene) proxy(config *rest.Config, file string, through func(r *http.Request, do func())) {
	s.t.Helper()
	target, err := url.Parse(config.Host)
	s.must(err)
	transport, err := rest.TransportFor(config)
	s.must(err)
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport, forward.FlushInterval = transport, -1
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through(r, func() { forward.ServeHTTP(w, r) })
	}), ReadHeaderTimeout: patience}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	s.t.Cleanup(func() {
		s.must(server.Close())
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	})
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["kill"] = &clientcmdapi.Cluster{Server: "http://" + listener.Addr().String()}
	kubeconfig.Contexts["kill"] = &clientcmdapi.Context{Cluster: "kill"}
	kubeconfig.CurrentContext = "kill"
	s.must(clientcmd.WriteToFile(*kubeconfig, file))
}

func (s *scene) kubeconfig() string { return filepath.Join(s.dir, "kubeconfig") }

// write is where every write of the manager passes, to the API server and to the name server.
// With one allowed it dies before the second; else after the first, unanswered.
func (s *scene) write(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.process == nil:
		return // a connection that the dead one left
	case s.made < s.allowed:
		do()
		s.made++
		return
	case s.allowed == 0:
		do()
	}
	if err := s.process.Process.Kill(); err != nil {
		s.t.Error(err)
	}
	s.process = nil
}

// live starts the manager and waits until it was killed, at the latest once all is ready.
func (s *scene) live(allowed int) {
	s.t.Helper()
	_, policyPort, _ := strings.Cut(s.policy, ":")
	manager := s.manager("--snapshot-dir", filepath.Join(s.dir, "snapshot"), "--mta-sts-roots", s.certFile, "--mta-sts-port", policyPort)
	s.mu.Lock()
	err := manager.Start()
	s.process, s.allowed, s.made = manager, allowed, 0
	s.mu.Unlock()
	s.must(err)
	ended := make(chan error, 1)
	go func() { ended <- manager.Wait() }()
	for over := time.Now().Add(patience); ; {
		select {
		case err = <-ended:
		case <-time.After(200 * time.Millisecond):
			if s.ready() || time.Now().After(over) {
				manager.Process.Kill()
				err = <-ended
				break
			}
			continue
		}
		break
	}
	if err == nil || !strings.Contains(err.Error(), "killed") {
		output, _ := os.ReadFile(filepath.Join(s.dir, "manager.log"))
		s.t.Fatalf("the manager ended by itself: %v\n%s", err, output)
	}
}

// manager is one life of the manager, not yet begun.
func (s *scene) manager(more ...string) *exec.Cmd {
	s.t.Helper()
	_, port, _ := strings.Cut(s.server, ":")
	return s.command("manager", append([]string{"--kubeconfig", s.kubeconfig(), "--namespace", s.namespace, "--owner-id", "kill",
		"--resolver", s.server, "--authoritative-port", port, "--allow-private-targets", "127.0.0.0/8", "--poll", "200ms", "--starttls-probe", "off"}, more...)...)
}

func (s *scene) command(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	output, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	s.must(err)
	s.t.Cleanup(func() { output.Close() })
	command := exec.Command(s.binary, append([]string{name}, args...)...)
	command.Stdout, command.Stderr = output, output
	return command
}

// serve runs the policy server for the whole of the test, with the certificate of its host.
func (s *scene) serve() {
	s.t.Helper()
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	s.must(err)
	s.certFile = filepath.Join(s.dir, "ca.pem")
	s.must(os.WriteFile(s.certFile, cert, 0o600))
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "mta-sts-example-com"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": cert, "tls.key": key},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.policy = listener.Addr().String()
	s.must(listener.Close())
	server := s.command("mta-sts", "--dir", filepath.Join(s.dir, "snapshot"), "--listen", s.policy)
	s.must(server.Start())
	s.t.Cleanup(func() {
		if err := server.Process.Signal(os.Interrupt); err != nil {
			s.t.Errorf("the policy server: %v", err)
		}
		if err := server.Wait(); err != nil {
			s.t.Errorf("the policy server: %v", err)
		}
	})
}

func (s *scene) create(o client.Object) {
	s.t.Helper()
	o.SetNamespace(s.namespace)
	s.must(s.api.Create(s.t.Context(), o))
	// The manager works on all namespaces: what one test leaves behind would be in another's way.
	s.t.Cleanup(func() {
		s.must(client.IgnoreNotFound(s.api.Delete(context.Background(), o)))
		if md, ok := o.(*v1alpha1.MailDomain); ok { // nobody is left to take the finalizer away
			s.must(client.IgnoreNotFound(s.api.Patch(context.Background(), md, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))))
		}
	})
}

func (s *scene) apply() {
	s.t.Helper()
	s.createProvider()
	s.applyThrough(&v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}})
}

// applyThrough applies a MailDomain with all sections.
func (s *scene) applyThrough(dns *v1alpha1.DNSSpec) {
	s.t.Helper()
	s.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "example-com"}, Spec: v1alpha1.MailDomainSpec{
		Domain: "example.com",
		DNS:    dns,
		SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"mx"}, All: v1alpha1.SPFFail},
		DKIM:   &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{{Name: "rsa"}, {Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519}}},
		DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject},
		MTASTS: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce, MX: []string{"mx1.example.com"}},
		TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@example.com"}},
	}})
}

func (s *scene) createProvider() {
	s.t.Helper()
	s.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "dns"}, Spec: s.provider()})
}

// provider is the name server as a provider, with its Secret.
func (s *scene) provider() v1alpha1.DNSProviderSpec {
	s.t.Helper()
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
	return v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: s.server, TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}
}

func (s *scene) get() *v1alpha1.MailDomain {
	s.t.Helper()
	md := &v1alpha1.MailDomain{}
	s.must(s.api.Get(context.Background(), client.ObjectKey{Namespace: s.namespace, Name: "example-com"}, md))
	return md
}

func (s *scene) ready() bool {
	s.t.Helper()
	return meta.IsStatusConditionTrue(s.get().Status.Conditions, v1alpha1.ConditionReady)
}

func (s *scene) status() string {
	var b strings.Builder
	for _, c := range s.get().Status.Conditions {
		fmt.Fprintf(&b, "%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

// check compares what stands in DNS and in the signer's Secret.
func (s *scene) check() {
	s.t.Helper()
	md := s.get()
	if n := len(md.Status.DKIM.Keys); n != 2 {
		s.t.Errorf("%d keys were made, want 2", n)
	}
	want := map[string]string{
		"example.com":            "a foreign text, v=spf1 mx -all",
		"_dmarc.example.com":     "v=DMARC1; p=reject",
		"_smtp._tls.example.com": "v=TLSRPTv1; rua=mailto:tls@example.com",
	}
	for name, text := range want {
		texts := slices.Sorted(slices.Values(s.dns.TXT(name)))
		if diff := cmp.Diff(text, strings.Join(texts, ", ")); diff != "" {
			s.t.Errorf("%s: %s", name, diff)
		}
	}
	for _, name := range []string{"_mta-sts.example.com", "_maildomain.example.com"} {
		if texts := s.dns.TXT(name); len(texts) != 1 {
			s.t.Errorf("%s: %q, want one", name, texts)
		}
	}
	signer := &corev1.Secret{}
	s.must(s.api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "example-com-dkim"}, signer))
	for _, k := range md.Status.DKIM.Keys {
		if texts := s.dns.TXT(k.Selector + "._domainkey.example.com"); len(texts) != 1 || len(signer.Data[k.Selector+".pem"]) == 0 {
			s.t.Errorf("key %s: record %q, %d octets in the signer's Secret", k.Selector, texts, len(signer.Data[k.Selector+".pem"]))
		}
	}
}
