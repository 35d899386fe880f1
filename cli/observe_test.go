package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/controllers"
	"github.com/maildomain/maildomain-operator/probe"
)

// What import prints is taken by the API server, and the operator itself, in mode Observe, plans nothing for it but to
// publish who manages the domain.
func TestImportThenObserve(t *testing.T) {
	n, p := newNamespace(t), newPlace(t)
	p.sound()
	p.delegated()
	p.serve("")
	p.set("s2._domainkey", "CNAME", "s2.other.test.")
	p.txt("s2.other.test", keyRecord(t, 2048))
	p.txt("_mta-sts")
	p.set("_mta-sts", "CNAME", "m.other.test.")
	p.txt("m.other.test", "v=STSv1; id=1")
	n.must(n.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: n.name, Name: "tsig"}, StringData: map[string]string{"secret": placeSecret}}))
	n.must(n.Create(t.Context(), &v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Namespace: n.name, Name: "dns"}, Spec: v1alpha1.DNSProviderSpec{
		Domains: []string{domain},
		RFC2136: &v1alpha1.RFC2136Provider{Server: p.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: placeKey, SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}}))
	operator := p.operator(n)
	worlds := rapid.Custom(func(rt *rapid.T) map[string]string {
		return map[string]string{"": drawSPF(rt), "_dmarc": drawDMARC(rt), "_smtp._tls": drawTLSRPT(rt), "policy": drawPolicy(rt)}
	})
	said := 0
	for seed := range 12 {
		texts := worlds.Example(seed)
		p.serve(texts["policy"])
		delete(texts, "policy")
		for name, text := range texts {
			p.txt(name, text)
		}
		code, manifest, stderr := run(t, "", slices.Concat([]string{"import", domain, "--selector", "s1,s2"}, p.flags())...)
		if code != ExitOK && code != ExitUnknown {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		md := &v1alpha1.MailDomain{}
		n.must(yaml.Unmarshal([]byte(manifest), md))
		md.Namespace, md.Name = n.name, fmt.Sprintf("imported-%d", seed)
		md.Spec.DNS = &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}}
		n.must(n.Create(t.Context(), md))
		before := p.dns.Updates()
		for range 3 {
			_, err := operator.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(md)})
			n.must(err)
		}
		n.must(n.Get(t.Context(), client.ObjectKeyFromObject(md), md))
		if len(md.Status.Records) == 0 || p.dns.Updates() != before {
			t.Fatalf("%d records are in status; and the zone was sent %d updates", len(md.Status.Records), p.dns.Updates()-before)
		}
		said += len(md.Status.Records) - 1
		for _, r := range md.Status.Records {
			unknown := r.Purpose == v1alpha1.PurposeSPF && r.State == v1alpha1.RecordHeld // it names what does not exist
			if r.Purpose != v1alpha1.PurposeClaim && r.State != v1alpha1.RecordVerified && !unknown {
				t.Errorf("import of %q: %s: %s\n%s", texts, r.State, r.Message, manifest)
			}
		}
		if c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionDKIMReady); c == nil || c.Status != metav1.ConditionTrue {
			t.Errorf("the keys of others: %+v", c)
		}
		for _, change := range md.Status.Plan {
			if change.Name != "_maildomain."+domain {
				t.Errorf("import of %q: the operator plans to %s %s %q, in the place of %q\n%s", texts, change.Action, change.Name, change.New, change.Old, manifest)
			}
		}
	}
	t.Logf("%d records of 12 domains", said)
}

// operator is the operator, which sees the place as the commands do.
func (p *place) operator(n *namespaceIn) *controllers.Reconciler {
	clock := clocktesting.NewFakePassiveClock(now)
	loopback := func(a netip.Addr) bool { return a.IsLoopback() }
	resolver := probe.NewResolver([]string{p.dns.Addr()}, 10*time.Second)
	w := world{roots: p.roots, resolvers: []string{p.dns.Addr()}, timeout: time.Minute}
	n.must(w.open())
	return &controllers.Reconciler{
		Client: n, Reader: n, Clock: clock, Events: events.NewFakeRecorder(1000), Resolver: resolver,
		Prober:    probe.NewProber(probe.Options{Resolver: resolver, Port: netip.MustParseAddrPort(p.dns.Addr()).Port(), Timeout: 10 * time.Second, AllowPrivate: loopback}),
		Fetcher:   &probe.PolicyFetcher{Resolver: resolver, Roots: w.pool, Port: p.policy.Port(), Timeout: 10 * time.Second, AllowPrivate: loopback},
		Accounts:  &controllers.Accounts{Clock: clock, Timeout: 5 * time.Second},
		Namespace: n.name, OwnerID: "test", AllowPrivate: loopback,
		Poll: time.Second, Resync: 10 * time.Minute, DeletionGrace: time.Minute, LostKeyGrace: time.Minute,
	}
}
