package senders

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
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
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/envtest"
	"github.com/maildomain/maildomain-operator/test/real"
)

const (
	// patience ends a test that hangs.
	patience = 2 * time.Minute

	tsigSecret = "YSBwdWJsaWMgZGVtbyBrZXk6IHByb3RlY3RzIG5vbmU="
	policyHost = "mta-sts.example.com"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(envtest.Main(m))
}

// scene is the running system: an API server, a name server, the manager and the policy server.
type scene struct {
	t         *testing.T
	dir       string
	binary    string
	api       client.Client
	namespace string
	dns       *dnsserver.Server
	authority *certificate.Authority
	policy    string // address of the policy server
	server    *exec.Cmd
}

func newScene(t *testing.T) *scene {
	t.Helper()
	config := envtest.Config(t)
	scheme := runtime.NewScheme()
	s := &scene{t: t, dir: t.TempDir()}
	s.must(clientgoscheme.AddToScheme(scheme))
	s.must(v1alpha1.AddToScheme(scheme))
	var err error
	s.api, err = client.New(config, client.Options{Scheme: scheme})
	s.must(err)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "senders-"}}
	s.must(s.api.Create(t.Context(), ns))
	s.namespace = ns.Name
	s.writeKubeconfig(config)
	s.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.com"}, SOATTL: time.Minute, Minimum: time.Second,
	})
	s.must(err)
	t.Cleanup(func() { s.dns.Close() })
	s.must(s.dns.Set("example.com", "MX", "10 mx1.example.com."))
	s.must(s.dns.Set("mx1.example.com", "A", "127.0.0.1"))
	s.must(s.dns.Set("mx2.example.com", "A", "127.0.0.1"))
	s.must(s.dns.Set(policyHost, "A", "127.0.0.1"))
	s.authority, err = certificate.NewAuthority()
	s.must(err)
	s.must(os.WriteFile(s.roots(), s.authority.PEM, 0o600))
	s.policy = s.freeAddr()
	s.binary = filepath.Join(s.dir, "maildomain")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", s.binary, envtest.Root()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) roots() string      { return filepath.Join(s.dir, "ca.pem") }
func (s *scene) snapshot() string   { return filepath.Join(s.dir, "snapshot") }
func (s *scene) kubeconfig() string { return filepath.Join(s.dir, "kubeconfig") }

func (s *scene) freeAddr() string {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.must(listener.Close())
	return listener.Addr().String()
}

func (s *scene) writeKubeconfig(config *rest.Config) {
	s.t.Helper()
	file := clientcmdapi.NewConfig()
	file.Clusters["test"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken}
	file.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	file.CurrentContext = "test"
	s.must(clientcmd.WriteToFile(*file, s.kubeconfig()))
}

// internet is what a sender sees of all this.
func (s *scene) internet() real.Internet {
	s.t.Helper()
	return real.Internet{
		Resolver: s.dns.Addr(), Roots: s.roots(),
		Proxy: proxyTo(s.t, probe.NewResolver([]string{s.dns.Addr()}, 0), netip.MustParseAddrPort(s.policy).Port()),
	}
}

func (s *scene) manage() {
	s.t.Helper()
	dnsPort, policyPort := netip.MustParseAddrPort(s.dns.Addr()).Port(), netip.MustParseAddrPort(s.policy).Port()
	s.run("manager", "--kubeconfig", s.kubeconfig(), "--namespace", s.namespace, "--owner-id", "senders", "--snapshot-dir", s.snapshot(),
		"--resolver", s.dns.Addr(), "--authoritative-port", strconv.Itoa(int(dnsPort)), "--allow-private-targets", "127.0.0.0/8",
		"--mta-sts-roots", s.roots(), "--mta-sts-port", strconv.Itoa(int(policyPort)), "--poll", "200ms", "--resync", "1s", "--starttls-probe", "off")
}

func (s *scene) serve() {
	s.t.Helper()
	s.server = s.run("mta-sts", "--dir", s.snapshot(), "--listen", s.policy)
}

// stopServing ends the policy server and waits until it has gone.
func (s *scene) stopServing() {
	s.t.Helper()
	s.must(s.server.Process.Kill())
	_ = s.server.Wait()
}

// run starts one of the system's processes, which ends with the test at the latest.
func (s *scene) run(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	output, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	s.must(err)
	command := exec.Command(s.binary, append([]string{name}, args...)...)
	command.Stdout, command.Stderr = output, output
	s.must(command.Start())
	s.t.Cleanup(func() {
		if command.ProcessState == nil {
			command.Process.Kill()
			_ = command.Wait()
		}
		output.Close()
		if s.t.Failed() {
			text, _ := os.ReadFile(output.Name())
			s.t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return command
}

// certify puts a certificate for the policy host into its Secret.
func (s *scene) certify(until time.Time) {
	s.t.Helper()
	cert, key, err := s.authority.Issue(policyHost, until)
	s.must(err)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mta-sts-example-com", Namespace: s.namespace}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}}
	if err := s.api.Create(s.t.Context(), secret.DeepCopy()); err == nil {
		return
	}
	s.must(s.api.Update(s.t.Context(), secret))
}

func (s *scene) create(o client.Object) {
	s.t.Helper()
	o.SetNamespace(s.namespace)
	s.must(s.api.Create(s.t.Context(), o))
}

// apply creates the MailDomain, with its DNS provider.
func (s *scene) apply(policy *v1alpha1.MTASTSSpec) {
	s.t.Helper()
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
	s.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "dns"}, Spec: v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: s.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}})
	s.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "example-com"}, Spec: v1alpha1.MailDomainSpec{
		Domain: "example.com",
		DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
		MTASTS: policy,
	}})
}

// want changes spec.mtaSTS, as a user would; nil removes the section.
func (s *scene) want(policy *v1alpha1.MTASTSSpec) {
	s.t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"mtaSTS": policy}})
	s.must(err)
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "example-com", Namespace: s.namespace}}
	s.must(s.api.Patch(s.t.Context(), md, client.RawPatch(types.MergePatchType, patch)))
}

// reason returns the reason of MTASTSReady once the spec has been seen.
func (s *scene) reason() string {
	s.t.Helper()
	md := &v1alpha1.MailDomain{}
	s.must(s.api.Get(context.Background(), client.ObjectKey{Namespace: s.namespace, Name: "example-com"}, md))
	c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionMTASTSReady)
	if c == nil || c.ObservedGeneration != md.Generation {
		return ""
	}
	return c.Reason
}

// eventually waits until a value is as wanted.
func (s *scene) eventually(what, want string, get func() string) {
	s.t.Helper()
	var got string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if got = get(); got == want {
			return
		}
	}
	s.t.Fatalf("%s: got %q, want %q", what, got, want)
}

// lookup asks the daemon as Postfix does, by a socketmap request in a netstring.
func (s *scene) lookup(daemon *real.Daemon) string {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", daemon.Addr, patience)
	s.must(err)
	defer conn.Close()
	s.must(conn.SetDeadline(time.Now().Add(patience)))
	const request = "postfix example.com"
	_, err = fmt.Fprintf(conn, "%d:%s,", len(request), request)
	s.must(err)
	var length int
	_, err = fmt.Fscanf(conn, "%d:", &length)
	s.must(err)
	answer := make([]byte, length)
	_, err = io.ReadFull(conn, answer)
	s.must(err)
	return strings.TrimSpace(string(answer))
}
