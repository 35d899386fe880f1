package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// namespaceIn is a namespace of a real API server, and a kubeconfig whose context is in it.
type namespaceIn struct {
	t *testing.T
	client.Client
	name       string
	kubeconfig string
}

func newNamespace(t *testing.T) *namespaceIn {
	t.Helper()
	config := envtest.Config(t)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	n := &namespaceIn{t: t, Client: api, kubeconfig: filepath.Join(t.TempDir(), "config")}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	n.must(api.Create(t.Context(), ns))
	n.name = ns.Name
	n.must(clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: n.name}},
		CurrentContext: "test",
	}, n.kubeconfig))
	return n
}

func (n *namespaceIn) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// run runs a command against the namespace.
func (n *namespaceIn) run(args ...string) (code int, stdout, stderr string) {
	n.t.Helper()
	return run(n.t, "", append(args, "--kubeconfig", n.kubeconfig)...)
}

// apply creates a MailDomain with a status, as an operator leaves it.
func (n *namespaceIn) apply(name string, spec v1alpha1.MailDomainSpec, status v1alpha1.MailDomainStatus) *v1alpha1.MailDomain {
	n.t.Helper()
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: n.name, Name: name}, Spec: spec}
	n.must(n.Create(n.t.Context(), md))
	n.says(md, status)
	return md
}

// says has the operator write a status.
func (n *namespaceIn) says(md *v1alpha1.MailDomain, status v1alpha1.MailDomainStatus) {
	n.t.Helper()
	n.must(n.Get(n.t.Context(), client.ObjectKeyFromObject(md), md))
	old := md.DeepCopy()
	md.Status = status
	md.Status.ObservedGeneration = md.Generation
	for i := range md.Status.Conditions {
		md.Status.Conditions[i].LastTransitionTime = metav1.NewTime(now)
	}
	n.must(n.Status().Patch(n.t.Context(), md, client.MergeFrom(old)))
}

// conditionsOf are conditions by their type; the value is status and reason, and perhaps a message.
func conditionsOf(list ...[4]string) (conditions []metav1.Condition) {
	for _, c := range list {
		conditions = append(conditions, metav1.Condition{Type: c[0], Status: metav1.ConditionStatus(c[1]), Reason: c[2], Message: c[3]})
	}
	return conditions
}

func day(n int) *metav1.Time {
	at := metav1.NewTime(now.Add(time.Duration(n) * 24 * time.Hour))
	return &at
}

// soundStatus is of the domain that place.sound publishes, with an active key in s1.
func soundStatus() v1alpha1.MailDomainStatus {
	bits := int32(2048)
	record := func(name string, purpose v1alpha1.RecordPurpose) v1alpha1.RecordStatus {
		return v1alpha1.RecordStatus{Name: name, Type: "TXT", Purpose: purpose, State: v1alpha1.RecordVerified, Reason: v1alpha1.ReasonVerified, LastTransitionTime: metav1.NewTime(now)}
	}
	return v1alpha1.MailDomainStatus{
		Conditions: conditionsOf([4]string{"Ready", "True", "Verified"}, [4]string{"SPFReady", "True", "Verified"}),
		Records: []v1alpha1.RecordStatus{
			record("_dmarc.example.test", v1alpha1.PurposeDMARC), record("_smtp._tls.example.test", v1alpha1.PurposeTLSRPT),
			record("example.test", v1alpha1.PurposeSPF), record("s1._domainkey.example.test", v1alpha1.PurposeDKIM),
			record("_maildomain.example.test", v1alpha1.PurposeClaim), record("_mta-sts.example.test", v1alpha1.PurposeMTASTS),
		},
		DKIM: &v1alpha1.DKIMStatus{
			ActiveSelectors: []string{"s1"},
			Keys: []v1alpha1.DKIMKeyStatus{{
				Selector: "s1", Name: "rsa", Algorithm: v1alpha1.DKIMRSA, Bits: &bits, State: v1alpha1.KeyActive,
				Created: day(-40), Published: day(-40), Propagated: day(-39), Active: day(-39),
			}},
			NextRotation: day(140),
		},
		MTASTS: &v1alpha1.MTASTSStatus{PolicyID: "1", Mode: v1alpha1.MTASTSEnforce, MX: []v1alpha1.MXStatus{{Host: "mx1.example.test", Covered: v1alpha1.VerdictPass}}},
		Compliance: []v1alpha1.ComplianceStatus{{
			Baseline: v1alpha1.BaselineGoogleYahooBulkSender, Verdict: v1alpha1.VerdictPass, LastChecked: day(0),
			Controls: []v1alpha1.ControlStatus{{Name: "SPF", Verdict: v1alpha1.VerdictPass, Message: "v=spf1 mx -all"}},
		}},
	}
}

// soundSpec is what place.sound publishes.
func soundSpec() v1alpha1.MailDomainSpec {
	return v1alpha1.MailDomainSpec{
		Domain: domain, DNS: &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
		SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"mx"}, All: v1alpha1.SPFFail},
		DKIM:   &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{{Name: "rsa", Algorithm: v1alpha1.DKIMRSA}}},
		DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject, RUA: []string{"mailto:dmarc@example.test"}},
		MTASTS: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce, MX: []string{"mx1.example.test"}, MaxAge: &metav1.Duration{Duration: 14 * 24 * time.Hour}},
		TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"https://reports.example.test/"}},
	}
}

// worldFlags lead plan and status to a place.
func (p *place) worldFlags() []string {
	return slices.Concat(p.flags(), []string{"--authoritative-port", port(p.dns.Addr())})
}
