package controllers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// editProvider changes the DNSProvider as its user would.
func (w *world) editProvider(change func(*v1alpha1.DNSProvider)) {
	w.t.Helper()
	p := &v1alpha1.DNSProvider{}
	w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "dns"}, p))
	old := p.DeepCopy()
	change(p)
	w.must(w.api.Patch(w.t.Context(), p, client.MergeFrom(old)))
}

// only SPF is enough to see whether anything is written.
func onlySPF() v1alpha1.MailDomainSpec {
	return v1alpha1.MailDomainSpec{Domain: spec().Domain, DNS: spec().DNS, SPF: spec().SPF}
}

// A claim is what the world sees. A tenant's own server shows whatever it likes and proves
// nothing, and another's registry record there is neither adopted nor taken for a drift of ours.
func TestAClaimIsWhatTheWorldSees(t *testing.T) {
	w := newWorld(t)
	own, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.com"}})
	w.must(err)
	t.Cleanup(func() { own.Close() })
	w.editProvider(func(p *v1alpha1.DNSProvider) {
		p.Spec.RFC2136.Server, p.Spec.Nameservers = own.Addr(), []string{own.Addr()}
	})
	s := onlySPF()
	s.DNS.ConflictPolicy = v1alpha1.ConflictAdopt
	w.apply("example-com", s)
	passes := func() *v1alpha1.MailDomain {
		t.Helper()
		for range 3 {
			w.pass("example-com")
			w.forward(time.Minute)
		}
		return w.get("example-com")
	}
	md := passes()
	mine := records.NewClaim("test", w.namespace, "example-com").String()
	if diff := cmp.Diff([]string{mine}, own.TXT("_maildomain.example.com")); diff != "" {
		t.Fatal(diff)
	}
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed)(md) || len(own.TXT("example.com")) > 0 {
		t.Fatalf("a tenant's own server proved the claim: %q\n%s", own.TXT("example.com"), describe(md))
	}
	const theirs = "v=maildomain1; owner=elsewhere; id=0011223344556677"
	w.must(own.SetTXT("_maildomain.example.com", theirs))
	md = passes()
	if diff := cmp.Diff([]string{theirs}, own.TXT("_maildomain.example.com")); diff != "" {
		t.Error(diff)
	}
	if text := describe(md); !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed)(md) || strings.Contains(text, "elsewhere") || strings.Contains(text, "Adopt") || !strings.Contains(text, "another owner") {
		t.Error(text)
	}
}

// A ClusterDNSProvider writes only for whom it has a grant. It may stand at a private address,
// since an administrator put it there.
func TestGrants(t *testing.T) {
	w := newWorld(t)
	w.r.AllowPrivate = nil
	w.must(w.api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}}))
	here := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}}
	elsewhere := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.operator}}
	cluster := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	cluster.Spec.DNSProviderSpec = v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com", "smarter.se"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: w.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}
	cluster.Spec.Grants = []v1alpha1.Grant{{NamespaceSelector: elsewhere, Domains: []string{"example.com"}}, {NamespaceSelector: here, Domains: []string{"smarter.se"}}}
	w.must(w.api.Create(t.Context(), cluster))
	t.Cleanup(func() { w.must(w.api.Delete(context.Background(), cluster)) })
	s := onlySPF()
	s.DNS.ProviderRef = &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: cluster.Name}
	w.apply("example-com", s)
	w.until("example-com", "refused", hasReason(v1alpha1.ConditionProviderReady, v1alpha1.ReasonProviderNotAllowed))
	w.settles("example-com")
	if w.provider != 0 || w.dns.Updates() != 0 {
		t.Errorf("%d calls, %d updates without a grant", w.provider, w.dns.Updates())
	}
	old := cluster.DeepCopy()
	cluster.Spec.Grants = append(cluster.Spec.Grants, v1alpha1.Grant{NamespaceSelector: here, Domains: []string{"example.com"}})
	w.must(w.api.Patch(t.Context(), cluster, client.MergeFrom(old)))
	w.until("example-com", "ready", isReady)
}

// A user's provider can't be pointed at what only the cluster can reach: nothing is connected to.
func TestPrivateTargetsAreRefused(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	reached := make(chan struct{})
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
			close(reached)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	w.editProvider(func(p *v1alpha1.DNSProvider) { p.Spec.RFC2136.Server = listener.Addr().String() })
	w.apply("example-com", onlySPF())
	for name, allow := range map[string]func(netip.Addr) bool{"nothing is allowed": nil, "another range is": netip.MustParsePrefix("10.0.0.0/8").Contains} {
		w.r.AllowPrivate = allow
		w.until("example-com", name, hasReason(v1alpha1.ConditionProviderReady, v1alpha1.ReasonTargetNotAllowed))
	}
	w.settles("example-com")
	select {
	case <-reached:
		t.Error("it was connected to")
	default:
	}
}

// A change whose answer is lost is read back at once: it is settled, not sent again.
func TestALostAnswerIsReadBack(t *testing.T) {
	w := newWorld(t)
	w.r.Accounts.Timeout = time.Second
	w.dns.Fault(dnsserver.Fault{MuteUpdates: true})
	w.apply("example-com", onlySPF())
	w.pass("example-com")
	md := w.get("example-com")
	if !isReady(md) || w.dns.Updates() != 2 {
		t.Errorf("%d updates\n%s", w.dns.Updates(), describe(md))
	}
	b, err := openBook(t.Context(), w.api, md)
	w.must(err)
	for _, e := range b.Entries {
		if !e.Settled {
			t.Errorf("%s is not settled", e.Name)
		}
	}
}

// A Secret of the ledger's name that is not this domain's ledger is left alone, and the way out
// is said.
func TestForeignLedgers(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		kind corev1.SecretType
		text string
		says []string
	}{
		"another-type":   {corev1.SecretTypeOpaque, `{"version":1,"domain":"example.com"}`, []string{"Secret another-type-maildomain-ledger", "is of type Opaque", "remove or rename it"}},
		"another-domain": {ledgerType, `{"version":1,"domain":"example.net"}`, []string{"Secret another-domain-maildomain-ledger", "example.net", "choose another metadata.name", "delete"}},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: ledgerName(name)}, Type: test.kind, StringData: map[string]string{ledgerFile: test.text}}
		w.create(secret)
		w.apply(name, onlySPF())
		effects := len(w.effects)
		for range 2 {
			if err := w.try(name); err == nil {
				t.Errorf("%s: the pass succeeded", name)
			}
		}
		md := w.get(name)
		if more := w.effects[effects:]; !slices.Equal(more, []string{"patch status"}) || w.provider > 0 {
			t.Errorf("%s: wrote %v", name, more)
		}
		text := message(md, v1alpha1.ConditionReady)
		if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonLedgerUnreadable)(md) {
			t.Error(describe(md))
		}
		for _, part := range test.says {
			if !strings.Contains(text, part) {
				t.Errorf("%s: the message lacks %q: %s", name, part, text)
			}
		}
	}
}

// ledger changes what is stored, as an older operator or another world would have left it.
func (w *world) ledger(name string, change func(*ledger.Ledger)) {
	w.t.Helper()
	b, err := openBook(w.t.Context(), w.api, w.get(name))
	w.must(err)
	change(b.Ledger)
	w.must(b.save(w.t.Context(), w.api))
}

// A value that somebody puts in the place of ours is changed back, but only in the zone that ours
// was written to.
func TestDriftIsOfOneZone(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)

	// An older ledger learns the zone from what stands, without a write to DNS.
	w.ledger("example-com", func(l *ledger.Ledger) {
		for i := range l.Entries {
			l.Entries[i].Zone = ""
		}
	})
	updates := w.dns.Updates()
	w.pass("example-com")
	w.ledger("example-com", func(l *ledger.Ledger) {
		for _, e := range l.Entries {
			if e.Zone != "example.com" && e.Purpose != string(v1alpha1.PurposeClaim) {
				t.Errorf("%s %s is of zone %q", e.Purpose, e.Name, e.Zone)
			}
		}
	})
	if w.dns.Updates() != updates {
		t.Error("it was written to DNS")
	}

	const theirs = "v=DMARC1; p=none; rua=mailto:x@smarter.se"
	w.must(w.dns.SetTXT("_dmarc.example.com", theirs))
	w.until("example-com", "changed back", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && !slices.Contains(w.dns.TXT("_dmarc.example.com"), theirs)
	})
	if !w.told(fmt.Sprintf("Normal Replace TXT _dmarc.example.com v=DMARC1; p=reject; rua=mailto:dmarc@example.com; before it was %q", theirs)) {
		t.Error("the repair was not told")
	}

	w.ledger("example-com", func(l *ledger.Ledger) {
		for i := range l.Entries {
			if l.Entries[i].Purpose == string(v1alpha1.PurposeDMARC) {
				l.Entries[i].Zone = "_dmarc.example.com"
			}
		}
	})
	w.must(w.dns.SetTXT("_dmarc.example.com", theirs))
	w.until("example-com", "a conflict", hasReason(v1alpha1.ConditionDMARCReady, v1alpha1.ReasonRecordConflict))
	w.settles("example-com")
	if diff := cmp.Diff([]string{theirs}, w.dns.TXT("_dmarc.example.com")); diff != "" {
		t.Error(diff)
	}
}
