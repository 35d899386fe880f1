package controllers

import (
	"context"
	"errors"
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
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// forge makes a ledger as a tenant could write it.
func (w *world) forge(name string, l *ledger.Ledger) {
	w.t.Helper()
	text, err := l.Encode()
	w.must(err)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: ledgerName(name)}, Type: ledgerType, Data: map[string][]byte{ledgerFile: text}})
}

// ends deletes the MailDomain and makes passes until it is gone.
func (w *world) ends(name string) {
	w.t.Helper()
	w.delete(name)
	w.winds(name, "gone", 30*time.Second, w.gone(name))
}

// Whoever gets a namespace of the name of a deleted one does not give the domain up in its holder's
// place, and has nothing published through an administrator's provider: a ledger is the tenant's to
// write.
func TestAForgedLedgerEndsNothing(t *testing.T) {
	w := newWorld(t)
	w.covered()
	w.apply("mail", onlySPF())
	w.until("mail", "ready", isReady)
	a := &attack{t: t, w: w, namespace: w.namespace, domain: "example.com", md: &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "mail"}}}
	a.anew()
	before, claim := w.siteOf("example.com").config.Data, w.dns.TXT("_maildomain.example.com")
	now := w.clock.Now()
	forged := ledger.New("example.com")
	forged.Proof = "made up"
	forged.Keyring = keys.Keyring{{Name: "x", Selector: "evil", Algorithm: "ed25519", Record: "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", Created: now, Published: now, Served: now, Propagated: now, Active: now, Retired: now}}
	forged.Entries = []ledger.Entry{{Zone: "example.com", Name: "example.com", Type: "TXT", Purpose: "SPF", Value: w.dns.TXT("example.com")[0], Settled: true}}
	evil := onlySPF()
	evil.DNS.DeletionPolicy = v1alpha1.DeletionDelete
	for _, l := range []*ledger.Ledger{ledger.New("example.com"), forged} {
		w.forge("mail", l)
		w.apply("mail", evil)
		w.wind("mail")
		w.edit("mail", func(md *v1alpha1.MailDomain) { md.Finalizers = []string{finalizer} })
		w.ends("mail")
		for range 3 {
			w.wind("mail")
			w.forward(time.Minute)
		}
		if diff := cmp.Diff(before, w.siteOf("example.com").config.Data); diff != "" {
			t.Errorf("the site: %s", diff)
		}
		if n := len(w.tombstones()); n > 0 {
			t.Errorf("%d tombstones", n)
		}
		if diff := cmp.Diff(claim, w.dns.TXT("_maildomain.example.com")); diff != "" || len(w.dns.TXT("evil._domainkey.example.com")) > 0 || !slices.Contains(w.standing(), "SPF") {
			t.Errorf("DNS: %s %v", diff, w.standing())
		}
	}
}

// A tombstone makes nothing anew, whatever its ledger says: here a key and a record that never were.
func TestATombstoneOnlyTakesAway(t *testing.T) {
	w := newWorld(t)
	w.covered()
	w.apply("example-com", deletable())
	w.until("example-com", "ready", isReady)
	secret := w.secret(ledgerName("example-com"))
	l, err := ledger.Decode(secret.Data[ledgerFile], "example.com")
	w.must(err)
	now := w.clock.Now()
	evil := l.Keyring[0]
	evil.Selector, evil.Retired = "evil", now
	l.Keyring = append(l.Keyring, evil)
	l.Entries = append(l.Entries, ledger.Entry{Zone: "example.com", Name: "evil._domainkey.example.com", Type: "TXT", Purpose: "DKIM", Value: evil.Record, Settled: true})
	secret.Data[ledgerFile], err = l.Encode()
	w.must(err)
	w.must(w.api.Update(t.Context(), secret))
	w.ends("example-com")
	for range 5 {
		w.wind("example-com")
		if texts := w.dns.TXT("evil._domainkey.example.com"); len(texts) > 0 {
			t.Fatalf("a tombstone published %q", texts)
		}
		w.forward(100 * time.Hour)
	}
}

// Only a provider that was granted, and that holds what the world sees, is used.
func TestATombstonesProvider(t *testing.T) {
	for name, change := range map[string]func(*world, *v1alpha1.ClusterDNSProvider){
		"no grant": func(w *world, p *v1alpha1.ClusterDNSProvider) { p.Spec.Grants[0].Domains = []string{"smarter.se"} },
		"another view of the zone": func(w *world, p *v1alpha1.ClusterDNSProvider) {
			inner, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.com"}})
			w.must(err)
			w.t.Cleanup(func() { inner.Close() })
			p.Spec.RFC2136.Server = inner.Addr()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cluster := w.covered()
			old := cluster.DeepCopy()
			change(w, cluster)
			w.must(w.api.Patch(t.Context(), cluster, client.MergeFrom(old)))
			s := deletable()
			s.MTASTS = nil
			w.apply("example-com", s)
			w.until("example-com", "ready", isReady)
			selector := w.active("example-com")
			w.heard("")
			w.ends("example-com")
			w.winds("example-com", "over", time.Minute, w.buried)
			if told := w.heard("Warning RecordsLeft"); len(told) != 1 || !strings.Contains(told[0], selector) || !strings.Contains(told[0], "_maildomain") {
				t.Errorf("told %q", told)
			}
			if diff := cmp.Diff([]string{"_maildomain", "SPF"}, w.standing()); diff != "" {
				t.Error(diff)
			}
			// What is left is whole: the key signs, and its record stands.
			if got := w.secret(theSigner).Data; string(got[keys.SelectorFile]) != selector || len(w.dns.TXT(selector+"._domainkey.example.com")) != 1 {
				t.Errorf("%q signs", got[keys.SelectorFile])
			}
		})
	}
}

// A provider that is gone for a while is waited for.
func TestATombstoneWaitsForItsProvider(t *testing.T) {
	w := newWorld(t)
	cluster := w.covered()
	s := deletable()
	s.MTASTS = nil
	s.DNS.ProviderRef = &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: cluster.Name}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.ends("example-com")
	w.heard("")
	again := cluster.DeepCopy()
	again.ResourceVersion, again.UID = "", ""
	w.must(w.api.Delete(t.Context(), cluster))
	for range 3 {
		w.wind("example-com")
		w.forward(time.Hour)
	}
	if told := w.heard("Warning Progressing"); w.buried() || len(told) != 1 || !strings.Contains(told[0], cluster.Name) {
		t.Errorf("buried: %v, told %q", w.buried(), told)
	}
	w.must(w.api.Create(t.Context(), again))
	t.Cleanup(func() { w.must(client.IgnoreNotFound(w.api.Delete(context.Background(), again))) })
	w.winds("example-com", "rid of SPF", time.Minute, func() bool { return !slices.Contains(w.standing(), "SPF") })
	w.must(w.api.Delete(t.Context(), again))
	w.wind("example-com")
	w.forward(stuckLimit)
	w.wind("example-com")
	if told := w.heard("Warning RecordsLeft"); !w.buried() || len(told) != 1 {
		t.Errorf("buried: %v, told %q", w.buried(), told)
	}
}

// A namesake neither stops a tombstone nor takes its place.
func TestANamesakeLeavesTombstonesAlone(t *testing.T) {
	w := newWorld(t)
	w.covered()
	w.apply("example-com", deletable())
	w.until("example-com", "ready", isReady)
	w.ends("example-com")
	a := &attack{t: t, w: w, namespace: w.namespace, domain: "example.com", md: &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "example-com"}}}
	a.md.Spec = onlySPF()
	w.apply("example-com", a.md.Spec) // for anew to have something to delete
	a.anew()
	s := onlySPF()
	s.DNS = nil
	w.apply("example-com", s)
	w.forge("example-com", ledger.New("example.com"))
	w.wind("example-com")
	if w.buried() {
		t.Error("the tombstone is gone")
	}
	w.winds("example-com", "rid of SPF", time.Minute, func() bool { return !slices.Contains(w.standing(), "SPF") })
}

// unseen gives no answer about any policy.
type unseen struct{}

func (unseen) Fetch(context.Context, string) (probe.PolicyAnswer, error) {
	return probe.PolicyAnswer{}, errors.New("SERVFAIL")
}

// That a policy can't be fetched does not prove that the earlier one can't be.
func TestMTASTSIsNotWithdrawnUnseen(t *testing.T) {
	w := newWorld(t)
	w.covered()
	w.apply("example-com", deletable())
	w.until("example-com", "ready", isReady)
	before := w.dns.TXT("_mta-sts.example.com")
	w.delete("example-com")
	w.forward(10 * time.Minute) // the operator was away
	w.must(w.try("example-com"))
	w.r.Fetcher = unseen{}
	for range 3 {
		w.wind("example-com")
		w.forward(time.Hour)
	}
	if diff := cmp.Diff(before, w.dns.TXT("_mta-sts.example.com")); diff != "" {
		t.Errorf("announced and not seen: %s", diff)
	}
	// Where the host has no address any more, no earlier policy can come back.
	w.restart()
	w.must(w.dns.Set("mta-sts.example.com", "A"))
	w.winds("example-com", "announcing mode none", time.Minute, func() bool { return !slices.Equal(before, w.dns.TXT("_mta-sts.example.com")) })
}

// The kept certificate is served when the holder's is gone or can't be served, for example because
// nobody renews it.
func TestTheKeptCertificate(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	w.ends("example-com")
	kept := &corev1.Secret{}
	w.must(w.api.Get(t.Context(), types.NamespacedName{Namespace: w.operator, Name: siteName("example.com")}, kept))
	secret := w.secret("mta-sts-example-com")
	secret.Data["tls.crt"] = []byte("spoiled")
	w.must(w.api.Update(t.Context(), secret))
	if diff := cmp.Diff(string(kept.Data["tls.crt"]), string(w.newPod()["example.com"].Certificate)); diff != "" {
		t.Error(diff)
	}
	w.must(w.api.Delete(t.Context(), secret))
	if len(w.newPod()) != 1 {
		t.Error("not served without the holder's Secret")
	}
}

// A tombstone that is taken up while its pass is under way does not act any more.
func TestATombstoneThatIsTakenUpIsStill(t *testing.T) {
	w := newWorld(t)
	w.covered()
	s := deletable()
	s.MTASTS = nil
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.delete("example-com")
	w.forward(10 * time.Minute) // nothing is withdrawn yet
	w.must(w.try("example-com"))
	standing := w.standing()
	secret := w.tombstones()[0]
	stale := secret.DeepCopy()
	secret.Annotations[takenAnnotation] = "true"
	w.must(w.api.Update(t.Context(), &secret))
	b := &book{secret: stale, keyless: true}
	if err := b.confirm(t.Context(), w.api); !outdone(err) {
		t.Errorf("a pass over what was read before is confirmed: %v", err)
	}
	if err := b.delete(t.Context(), w.api); err == nil {
		t.Error("what was read before is deleted")
	}
	if diff := cmp.Diff(standing, w.standing()); diff != "" {
		t.Error(diff)
	}
}
