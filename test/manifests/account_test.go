package manifests

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

// patience ends a test that hangs.
const patience = 3 * time.Minute

const tsigSecret = "YSBwdWJsaWMgZGVtbyBrZXk6IHByb3RlY3RzIG5vbmU="

// scene is an installation as config/ describes it: the operator's processes with the arguments of their containers
// and the tokens of their ServiceAccounts, and what they work on.
type scene struct {
	t         *testing.T
	api       client.Client
	installed rendered
	dir       string
	mail      string // the namespace of MailDomains
	dns       *dnsserver.Server
	policy    string // address of the policy server
	roots     string // file
	accounts  []account
	processes []*process
}

// account is a ServiceAccount, with what its requests pass through.
type account struct {
	name       string
	kubeconfig string // with a token
	seen       *recorder
}

func newScene(t *testing.T, installed rendered) *scene {
	t.Helper()
	s := &scene{t: t, api: admin(t, nil), installed: installed, dir: t.TempDir(), policy: free(t)}
	s.mail = s.namespace()
	for _, o := range s.installed.objects {
		if o.GetNamespace() == watchedNamespace {
			o.SetNamespace(s.mail)
		}
	}
	apply(t, s.api, s.installed)
	s.admission()
	t.Cleanup(func() {
		remove(t, s.api, s.installed)
		for _, kind := range []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &coordinationv1.Lease{}} { // what the operator kept there
			must(t, s.api.DeleteAllOf(context.Background(), kind, client.InNamespace(namespace)))
		}
	})
	var err error
	s.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.com", "example.net", "example.org"},
		SOATTL: time.Minute, Minimum: time.Second,
	})
	must(t, err)
	t.Cleanup(func() { s.dns.Close() })
	must(t, s.dns.Set("example.com", "MX", "10 mx1.example.com."))
	must(t, s.dns.Set("mx1.example.com", "A", "127.0.0.1"))
	must(t, s.dns.Set("mta-sts.example.com", "A", "127.0.0.1"))
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	must(t, err)
	s.roots = filepath.Join(s.dir, "roots.pem")
	must(t, os.WriteFile(s.roots, cert, 0o600))
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: "mta-sts-full"}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}})
	return s
}

// namespace makes one.
func (s *scene) namespace() string {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mail-"}}
	must(s.t, s.api.Create(s.t.Context(), ns))
	return ns.Name
}

// create makes an object that goes when the test ends: the operator works on all namespaces.
func (s *scene) create(o client.Object) {
	s.t.Helper()
	must(s.t, s.api.Create(s.t.Context(), o))
	s.t.Cleanup(func() {
		ctx := context.Background()
		must(s.t, client.IgnoreNotFound(s.api.Delete(ctx, o)))
		if md, ok := o.(*v1alpha1.MailDomain); ok { // nobody is left to take the finalizer away
			must(s.t, client.IgnoreNotFound(s.api.Patch(ctx, md, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))))
		}
	})
}

// account writes a kubeconfig with a token of the Pod's ServiceAccount.
func (s *scene) account(p pod) account {
	s.t.Helper()
	name := p.spec.ServiceAccountName
	hour := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}
	must(s.t, s.api.SubResource("token").Create(s.t.Context(), one[corev1.ServiceAccount](s.installed, "ServiceAccount", name), request))
	a := account{name, filepath.Join(s.dir, name+".kubeconfig"), newRecorder(s.t, envtest.Config(s.t))}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: a.seen.address, CertificateAuthorityData: a.seen.authority}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	must(s.t, clientcmd.WriteToFile(*config, a.kubeconfig))
	s.accounts = append(s.accounts, a)
	return a
}

// process is a container's, running here.
type process struct {
	command *exec.Cmd
	log     string
	metrics string // address of /metrics; "": a policy server's, which nobody asks here
	ended   chan error
}

// run runs a container's program with its arguments and then those that this machine needs, of which the last counts.
func (s *scene) run(container *corev1.Container, more ...string) *process {
	s.t.Helper()
	p := &process{command: exec.Command(build(s.t), append(slices.Clone(container.Args), more...)...), ended: make(chan error, 1)}
	output, err := os.CreateTemp(s.dir, container.Name+"-*.log")
	must(s.t, err)
	p.log = output.Name()
	p.command.Env = append(os.Environ(), "POD_NAMESPACE="+namespace)
	p.command.Stdout, p.command.Stderr = output, output
	must(s.t, p.command.Start())
	go func() {
		p.ended <- p.command.Wait()
		output.Close()
	}()
	s.processes = append(s.processes, p)
	s.t.Cleanup(func() { p.stop(s.t) })
	return p
}

// stop ends it as a kubelet does, once.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.ended == nil {
		return
	}
	_ = p.command.Process.Signal(syscall.SIGTERM)
	if err := <-p.ended; err != nil && !t.Failed() {
		t.Errorf("%s: %v\n%s", p.command.Args[1], err, p.said(t))
	}
	p.ended = nil
}

func (p *process) said(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(p.log)
	must(t, err)
	return string(content[max(0, len(content)-6000):])
}

func (s *scene) deployed(name string) pod {
	s.t.Helper()
	for _, p := range pods(s.installed) {
		if p.deployment.Name == name {
			return p
		}
	}
	s.t.Fatalf("there is no Deployment %s", name)
	return pod{}
}

// free is an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	return listener.Addr().String()
}

// serve runs a policy server and the writer beside it.
func (s *scene) serve(more ...string) (writer *process, as account) {
	s.t.Helper()
	p, dir := s.deployed("maildomain-mta-sts"), filepath.Join(s.dir, "snapshot")
	s.run(p.sidecar, "--dir", dir, "--listen", s.policy, "--health-listen", "127.0.0.1:0")
	as = s.account(p)
	return s.tell(p, as, append([]string{"--snapshot-dir", dir}, more...)...), as
}

// tell runs the container with the token of the Pod, which tells metrics.
func (s *scene) tell(p pod, as account, more ...string) *process {
	s.t.Helper()
	metrics := free(s.t)
	told := s.run(p.other, append([]string{"--kubeconfig", as.kubeconfig, "--metrics-listen", metrics, "--health-listen", "127.0.0.1:0"}, more...)...)
	told.metrics = metrics
	return told
}

func (s *scene) manage(as account, more ...string) *process {
	s.t.Helper()
	_, dnsPort, _ := strings.Cut(s.dns.Addr(), ":")
	_, policyPort, _ := strings.Cut(s.policy, ":")
	return s.tell(s.deployed("maildomain-manager"), as, append([]string{
		"--snapshot-dir", filepath.Join(s.dir, "kept"), "--resolver", s.dns.Addr(), "--authoritative-port", dnsPort, "--allow-private-targets", "127.0.0.0/8",
		"--mta-sts-roots", s.roots, "--mta-sts-port", policyPort, "--starttls-probe", "off", "--poll", "200ms",
	}, more...)...)
}

func (s *scene) find(name string) *v1alpha1.MailDomain {
	s.t.Helper()
	md := &v1alpha1.MailDomain{}
	if err := s.api.Get(s.t.Context(), client.ObjectKey{Namespace: s.mail, Name: name}, md); err != nil {
		must(s.t, client.IgnoreNotFound(err))
		return nil
	}
	return md
}

// until waits, and says why in vain: what is not forbidden must come.
func (s *scene) until(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(100 * time.Millisecond) {
		for _, a := range s.accounts {
			if refused := a.seen.refused(); len(refused) > 0 {
				s.t.Fatalf("waiting for: %s\n%s was forbidden: %s", what, a.name, strings.Join(refused, "\n"))
			}
		}
		if time.Now().After(end) {
			text := ""
			for _, name := range []string{"full", "bare", "shared"} {
				if md := s.find(name); md != nil {
					for _, c := range md.Status.Conditions {
						text += fmt.Sprintf("%s %s=%s %s: %s\n", name, c.Type, c.Status, c.Reason, c.Message)
					}
				}
			}
			var kept corev1.SecretList
			must(s.t, s.api.List(s.t.Context(), &kept, client.InNamespace(namespace)))
			for _, secret := range kept.Items {
				text += fmt.Sprintf("Secret %s of type %s, labels %v\n", secret.Name, secret.Type, secret.Labels)
			}
			for _, a := range s.accounts {
				text += fmt.Sprintf("%s used %q\n", a.name, slices.Sorted(maps.Keys(a.seen.rights())))
			}
			for _, p := range s.processes {
				if p.ended != nil {
					text += fmt.Sprintf("%s:\n%s\n", p.command.Args[1], p.said(s.t))
				}
			}
			s.t.Fatalf("still not: %s\n%s", what, text)
		}
	}
}

func (s *scene) ready(names ...string) func() bool {
	return func() bool {
		return !slices.ContainsFunc(names, func(name string) bool {
			md := s.find(name)
			return md == nil || !meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady)
		})
	}
}

func (s *scene) gone(name string) func() bool {
	return func() bool { return s.find(name) == nil }
}

// provide makes a ClusterDNSProvider for all the domains, and a DNSProvider.
func (s *scene) provide() {
	s.t.Helper()
	for _, ns := range []string{s.mail, namespace} {
		s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
	}
	spec := v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com", "example.net", "example.org"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: s.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}
	cluster := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "manifests"}}
	cluster.Spec.DNSProviderSpec = spec
	cluster.Spec.Grants = []v1alpha1.Grant{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.mail}}, Domains: spec.Domains}}
	s.create(cluster)
	s.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: "own"}, Spec: spec})
}

// want makes a MailDomain that is to be withdrawn when it is deleted: with a provider of its own before it goes, else after.
func (s *scene) want(name string, kind v1alpha1.ProviderKind, provider string, spec v1alpha1.MailDomainSpec) {
	s.t.Helper()
	spec.DNS = &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: kind, Name: provider}, DeletionPolicy: v1alpha1.DeletionDelete}
	s.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: name}, Spec: spec})
}

// The manager and the writer beside a policy server, each with the arguments of its container, the token of its
// ServiceAccount and no right but those of config/, take MailDomains through their lives. Nothing is forbidden, and no right is there for nothing.
func TestAccountsHaveTheRightsThatTheyNeed(t *testing.T) {
	s := newScene(t, render(t, "install"))
	as := s.account(s.deployed("maildomain-manager"))
	s.provide()
	ed25519 := []v1alpha1.DKIMKey{{Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519}}
	combine := true
	s.want("full", v1alpha1.KindClusterDNSProvider, "manifests", v1alpha1.MailDomainSpec{
		Domain: "example.com",
		SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"mx"}, All: v1alpha1.SPFFail},
		DKIM:   &v1alpha1.DKIMSpec{Keys: ed25519},
		DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject},
		MTASTS: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce, MX: []string{"mx1.example.com"}},
		TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@example.com"}},
	})
	s.want("bare", v1alpha1.KindDNSProvider, "own", v1alpha1.MailDomainSpec{Domain: "example.net"}) // the claim alone
	s.want("shared", v1alpha1.KindClusterDNSProvider, "manifests", v1alpha1.MailDomainSpec{Domain: "example.org", DKIM: &v1alpha1.DKIMSpec{Keys: ed25519, SignerSecret: &v1alpha1.SignerSecret{Name: "shared", Combine: &combine}}})
	writer, reads := s.serve()

	manager := s.manage(as)
	s.until("the Service has no endpoints here, where no controller makes them", func() bool {
		c := meta.FindStatusCondition(s.find("full").Status.Conditions, v1alpha1.ConditionMTASTSReady)
		return c != nil && strings.Contains(c.Message, "Service maildomain-system/maildomain-mta-sts has no endpoints")
	})
	s.until("the others ready", s.ready("bare", "shared"))
	s.checkMetrics(manager, `maildomain_conditions{reason="Verified",status="True",type="Ready"} 2`, "maildomain_leader 1", "process_resident_memory_bytes ")
	manager.stop(t) // it gives the lease back

	manager = s.manage(as, "--mta-sts-service", "")
	s.until("all ready", s.ready("full", "bare", "shared"))
	announced := s.dns.TXT("_mta-sts.example.com")
	if len(announced) != 1 {
		t.Errorf("announced %q", announced)
	}
	must(t, s.api.Patch(t.Context(), s.find("full"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"mtaSTS":{"maxAge":"200h"}}}`))))
	s.until("another policy announced", func() bool { return !slices.Equal(s.dns.TXT("_mta-sts.example.com"), announced) })
	must(t, s.api.Delete(t.Context(), s.find("bare")))
	s.until("a MailDomain deleted with all that it had", s.gone("bare"))
	manager.stop(t)

	manager = s.manage(as, "--mta-sts-service", "", "--deletion-grace", "1s")
	must(t, s.api.Delete(t.Context(), s.find("full")))
	s.until("a MailDomain deleted while senders hold its policy", s.gone("full"))
	tombstone := func() bool {
		var list corev1.SecretList
		must(t, s.api.List(t.Context(), &list, client.InNamespace(namespace), client.HasLabels{"maildomain.dev/tombstone"}))
		return len(list.Items) == 1 && as.seen.rights()["get maildomain.dev/maildomains"] // it was looked at
	}
	s.until("what outlives it is kept in the operator's namespace", tombstone)
	manager.stop(t)
	s.judge(as, eventPatches)
	s.checkMetrics(writer, "rest_client_requests_total", "certwatcher_read_certificate_total 0")
	writer.stop(t)
	s.judge(reads)
}

// Where something else ends TLS, the writer gets on without a right to any Secret.
func TestPlainWriterHasTheRightsThatItNeeds(t *testing.T) {
	s := newScene(t, renderPlain(t))
	writer, reads := s.serve()
	s.create(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "claim-a379a6f6eeafb9a5", Labels: map[string]string{"maildomain.dev/site": "true"}},
		Data:       map[string]string{"domain": "example.com", "policy": "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n", "namespace": s.mail, "tlsSecret": "mta-sts-full"},
	})
	s.until("a snapshot without a certificate", func() bool {
		files, _ := filepath.Glob(filepath.Join(s.dir, "snapshot", "objects", "*"))
		return len(files) == 1
	})
	s.checkMetrics(writer, "rest_client_requests_total")
	writer.stop(t)
	s.judge(reads)
}

// An Event of the election is patched when the same one comes again within some minutes.
const eventPatches = "patch /events"

// judge compares what was asked for with what is granted.
func (s *scene) judge(a account, unused ...string) {
	s.t.Helper()
	if refused := a.seen.refused(); len(refused) > 0 {
		s.t.Errorf("%s was forbidden: %s", a.name, strings.Join(refused, "\n"))
	}
	logs, err := filepath.Glob(filepath.Join(s.dir, "*.log"))
	must(s.t, err)
	for _, file := range logs {
		content, err := os.ReadFile(file)
		must(s.t, err)
		if strings.Contains(strings.ToLower(string(content)), "forbidden") {
			s.t.Errorf("the log speaks of something forbidden:\n%s", content)
		}
	}
	granted, used := s.granted(a.name), a.seen.rights()
	for _, right := range slices.Sorted(maps.Keys(used)) {
		if !granted[right] {
			s.t.Errorf("%s: %q was asked for, and no role of config/ grants it", a.name, right)
		}
	}
	for _, right := range slices.Sorted(maps.Keys(granted)) {
		// An informer lists only where the API server can't stream what there is (KEP-3157).
		if resource, lists := strings.CutPrefix(right, "list "); lists && used["watch "+resource] {
			continue
		}
		if !used[right] && !slices.Contains(unused, right) {
			s.t.Errorf("%s: %q is granted, and was never asked for", a.name, right)
		}
	}
}

// granted are the rights of a ServiceAccount, by all its bindings.
func (s *scene) granted(account string) map[string]bool {
	s.t.Helper()
	rights := map[string]bool{}
	add := func(rules []rbacv1.PolicyRule) {
		for _, rule := range rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						rights[fmt.Sprintf("%s %s/%s", verb, group, resource)] = true
					}
				}
			}
		}
	}
	bound := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(subject rbacv1.Subject) bool {
			return subject.Kind == "ServiceAccount" && subject.Name == account && subject.Namespace == namespace
		})
	}
	for _, b := range all[rbacv1.ClusterRoleBinding](s.installed, "ClusterRoleBinding") {
		if bound(b.Subjects) {
			add(one[rbacv1.ClusterRole](s.installed, "ClusterRole", b.RoleRef.Name).Rules)
		}
	}
	for _, b := range all[rbacv1.RoleBinding](s.installed, "RoleBinding") {
		if bound(b.Subjects) {
			add(one[rbacv1.Role](s.installed, "Role", b.RoleRef.Name).Rules)
		}
	}
	return rights
}

// No rule grants what is not named: a star would hide what comes later.
func TestRolesNameWhatTheyGrant(t *testing.T) {
	for _, dir := range installations {
		r := render(t, dir)
		var rules []rbacv1.PolicyRule
		for _, role := range all[rbacv1.ClusterRole](r, "ClusterRole") {
			rules = append(rules, role.Rules...)
		}
		for _, role := range all[rbacv1.Role](r, "Role") {
			rules = append(rules, role.Rules...)
		}
		for _, rule := range rules {
			for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
				if word == "*" || word == "escalate" || word == "bind" || word == "impersonate" {
					t.Errorf("%s: %+v", dir, rule)
				}
			}
		}
	}
}
