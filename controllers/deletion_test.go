package controllers

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/records"
)

// deletable is spec with one key, which is quick to make, to be withdrawn when it is deleted.
func deletable() v1alpha1.MailDomainSpec {
	s := spec()
	s.DKIM.Keys = s.DKIM.Keys[1:]
	s.DNS.DeletionPolicy = v1alpha1.DeletionDelete
	return s
}

// covered makes a provider of an administrator's for example.com, with a grant for the world's namespace.
func (w *world) covered() *v1alpha1.ClusterDNSProvider {
	w.t.Helper()
	err := w.api.Create(w.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
	if !apierrors.IsAlreadyExists(err) {
		w.must(err)
	}
	cluster := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	cluster.Spec.DNSProviderSpec = v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: w.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}
	here := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}}
	cluster.Spec.Grants = []v1alpha1.Grant{{NamespaceSelector: here, Domains: []string{"example.com"}}}
	w.must(w.api.Create(w.t.Context(), cluster))
	w.t.Cleanup(func() { w.must(client.IgnoreNotFound(w.api.Delete(context.Background(), cluster))) })
	return cluster
}

// delete deletes the MailDomain as its user would. The API server has a clock of its own, which the
// operator's is made to agree with.
func (w *world) delete(name string) {
	w.t.Helper()
	w.must(w.api.Delete(w.t.Context(), w.get(name)))
	if md, there := w.find(name); there && w.clock.Now().Before(md.DeletionTimestamp.Time) {
		w.clock.SetTime(md.DeletionTimestamp.Time)
	}
}

func (w *world) find(name string) (*v1alpha1.MailDomain, bool) {
	w.t.Helper()
	md := &v1alpha1.MailDomain{}
	err := w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, md)
	if !apierrors.IsNotFound(err) {
		w.must(err)
	}
	return md, err == nil
}

func (w *world) tombstones() []corev1.Secret {
	w.t.Helper()
	var list corev1.SecretList
	w.must(w.api.List(w.t.Context(), &list, client.InNamespace(w.operator), client.HasLabels{tombstoneLabel}))
	return list.Items
}

// wind makes a pass over the MailDomain, if it is there, and over all tombstones.
func (w *world) wind(name string) (died bool) {
	w.t.Helper()
	if w.pass(name) {
		return true
	}
	defer func() {
		if v := recover(); v != nil {
			if _, expected := v.(crash); !expected {
				panic(v)
			}
			died = true
		}
	}()
	for _, secret := range w.tombstones() {
		_, err := Tombstones{w.r}.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&secret)})
		w.must(err)
	}
	w.writeSnapshot()
	return false
}

// winds makes passes, with a step of the clock between them, until done or for too long.
func (w *world) winds(name, what string, step time.Duration, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(hangs); !done(); w.forward(step) {
		w.wind(name)
		if time.Now().After(deadline) {
			md, _ := w.find(name)
			w.t.Fatalf("never %s:\n%s\n%d tombstones, DNS: %v", what, describe(md), len(w.tombstones()), w.standing())
		}
		time.Sleep(20 * time.Millisecond) // the policy server looks at its directory in real time
	}
}

// standing are the names below example.com at which a text of the operator's stands.
func (w *world) standing() []string {
	w.t.Helper()
	var all []string
	for _, name := range []string{"_maildomain", "_dmarc", "_smtp._tls", "_mta-sts"} {
		if len(w.dns.TXT(name+".example.com")) > 0 {
			all = append(all, name)
		}
	}
	if slices.ContainsFunc(w.dns.TXT("example.com"), func(text string) bool { return strings.HasPrefix(text, "v=spf1") }) {
		all = append(all, "SPF")
	}
	return all
}

// spoilLedger makes the ledger unreadable.
func (w *world) spoilLedger(name string) {
	w.t.Helper()
	secret := w.secret(ledgerName(name))
	secret.Data[ledgerFile] = []byte("rubbish")
	w.must(w.api.Update(w.t.Context(), secret))
}

func (w *world) gone(name string) func() bool {
	return func() bool { _, there := w.find(name); return !there }
}

func (w *world) buried() bool { return len(w.tombstones()) == 0 }

// With Delete everything of ours goes, and nothing else: what mail under way and senders rely on not
// before its time, from a tombstone when the MailDomain is gone.
func TestDeletionWithdraws(t *testing.T) {
	w := newWorld(t)
	w.covered()
	w.must(w.dns.SetTXT("example.com", "a foreign text"))
	s := deletable()
	s.DKIM.Rotation = &v1alpha1.DKIMRotation{Retention: &metav1.Duration{Duration: 240 * time.Hour}}
	s.MTASTS.MaxAge = &metav1.Duration{Duration: 8760 * time.Hour}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	selector := w.get("example-com").Status.DKIM.ActiveSelectors[0]
	public := w.dns.TXT(selector + "._domainkey.example.com")
	w.heard("")

	w.delete("example-com")
	began := w.clock.Now()
	w.wind("example-com")
	if diff := cmp.Diff([]string{"_maildomain", "_mta-sts", "SPF"}, w.standing()); diff != "" {
		t.Errorf("after the first pass: %s", diff)
	}
	if got := message(w.get("example-com"), v1alpha1.ConditionReady); !strings.Contains(got, "is deleted") {
		t.Error(got)
	}
	w.winds("example-com", "gone", 30*time.Second, w.gone("example-com"))
	if took := w.clock.Now().Sub(began); took > 6*time.Minute {
		t.Errorf("the MailDomain was there for %s", took)
	}
	if told := w.heard("Normal HandedOver"); len(told) != 1 || !strings.Contains(told[0], "TXT "+selector+"._domainkey.example.com") || !strings.Contains(told[0], "hold until 20") {
		t.Errorf("told: %q", told)
	}
	for _, secret := range w.tombstones() {
		if diff := cmp.Diff([]string{ledgerFile, tombstoneFile}, slices.Sorted(maps.Keys(secret.Data))); diff != "" {
			t.Errorf("a tombstone: %s", diff)
		}
	}
	if err := w.api.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: ledgerName("example-com")}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the ledger: %v", err)
	}

	// The keys sign until no cache holds the policy that demanded it.
	if got := string(w.secret("example-com-dkim").Data[keys.SelectorFile]); got != selector {
		t.Errorf("signs with %q while DMARC may be cached", got)
	}
	w.winds("example-com", "rid of SPF", time.Minute, func() bool { return !slices.Contains(w.standing(), "SPF") })
	if waited := w.clock.Now().Sub(began); waited < v1alpha1.DefaultTTL || waited > v1alpha1.DefaultTTL+10*time.Minute {
		t.Errorf("SPF went after %s, the TTL is %s", waited, v1alpha1.DefaultTTL)
	}
	retired := w.clock.Now()
	w.wind("example-com")
	if got := w.secret("example-com-dkim").Data; len(got[keys.SelectorFile]) > 0 || len(got[keys.PrivateFile(selector)]) == 0 {
		t.Errorf("the signer's Secret has %v", slices.Sorted(maps.Keys(got)))
	}
	w.clock.SetTime(retired.Add(120*time.Hour + 2*time.Minute))
	w.wind("example-com")
	if err := w.api.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "example-com-dkim"}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the signer's Secret after half of the retention: %v", err)
	}
	w.clock.SetTime(retired.Add(360*time.Hour - time.Hour)) // the retention counts from when the file left
	w.wind("example-com")
	if diff := cmp.Diff(public, w.dns.TXT(selector+"._domainkey.example.com")); diff != "" {
		t.Errorf("the public key within its retention: %s", diff)
	}
	w.forward(2 * time.Hour)
	w.winds("example-com", "revoked", time.Minute, func() bool {
		return strings.HasSuffix(strings.Join(w.dns.TXT(selector+"._domainkey.example.com"), ""), "p=")
	})
	w.forward(240 * time.Hour)
	w.winds("example-com", "removed", time.Minute, func() bool { return len(w.dns.TXT(selector+"._domainkey.example.com")) == 0 })

	// The policy is served until the last sender has forgotten it.
	none := records.MTASTSWithdrawal()
	w.clock.SetTime(began.Add(recordCaches + 8760*time.Hour - time.Minute))
	w.wind("example-com")
	if diff := cmp.Diff([]string{"_maildomain", "_mta-sts"}, w.standing()); diff != "" || w.sites(w.snapshot.Dir)["example.com"].Policy != none.String() {
		t.Errorf("a minute before the commitment ends: %s, served %q", diff, w.sites(w.snapshot.Dir)["example.com"].Policy)
	}
	w.forward(10 * time.Minute)
	w.winds("example-com", "over", time.Minute, w.buried)
	if diff := cmp.Diff([]string{"a foreign text"}, w.dns.TXT("example.com")); diff != "" || len(w.standing()) > 0 {
		t.Errorf("in the end: %s, %v", diff, w.standing())
	}
	if sites := w.sites(w.snapshot.Dir); len(sites) > 0 {
		t.Errorf("served in the end: %v", sites)
	}
	if site := w.siteOf("example.com"); site.holder != "" || site.config.Data[siteWithdrawn] != "true" {
		t.Errorf("stored in the end: %v", site.config.Data)
	}
	if err := w.api.Get(t.Context(), types.NamespacedName{Namespace: w.operator, Name: siteName("example.com")}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the kept certificate: %v", err)
	}
	if told := w.heard("Warning"); len(told) > 0 {
		t.Errorf("told: %q", told)
	}
}

// A namespace goes with everything in it, the provider and its credentials and the certificate first,
// and is not held up. What senders hold for a year is served for a year, as this manager writes a snapshot.
func TestANamespaceIsGoneWithinTheGrace(t *testing.T) {
	for name, covers := range map[string]bool{"a cluster's provider covers the domain": true, "none does": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if covers {
				w.covered()
			}
			left := 0
			w.r.Left = func(records int) { left += records }
			s := deletable()
			s.MTASTS.MaxAge = &metav1.Duration{Duration: 8760 * time.Hour}
			w.apply("example-com", s)
			w.until("example-com", "ready", isReady)
			w.heard("")
			before := w.dns.TXT("_mta-sts.example.com")
			for _, kind := range []client.Object{&corev1.Secret{}, &v1alpha1.DNSProvider{}, &v1alpha1.MailDomain{}} {
				w.must(w.api.DeleteAllOf(t.Context(), kind, client.InNamespace(w.namespace)))
			}
			w.clock.SetTime(w.get("example-com").DeletionTimestamp.Time)
			began := w.clock.Now()
			w.winds("example-com", "gone", time.Second, w.gone("example-com"))
			var secrets corev1.SecretList
			w.must(w.api.List(t.Context(), &secrets, client.InNamespace(w.namespace)))
			if took := w.clock.Now().Sub(began); took > 5*time.Minute || len(secrets.Items) > 0 {
				t.Errorf("after %s %d Secrets are left", took, len(secrets.Items))
			}
			none := records.MTASTSWithdrawal()
			if covers {
				w.winds("example-com", "announcing mode none", time.Second, func() bool {
					told := w.dns.TXT("_mta-sts.example.com")
					return len(told) == 1 && !slices.Equal(told, before)
				})
			}
			w.wind("example-com") // and it is seen
			w.clock.SetTime(began.Add(recordCaches + 8760*time.Hour - time.Minute))
			w.restart() // a new replica has no snapshot to go by
			if site := w.newPod()["example.com"]; site.Policy != none.String() || len(site.Certificate) == 0 {
				t.Errorf("a new pod serves %q with a certificate of %d octets", site.Policy, len(site.Certificate))
			}
			w.r.Left = func(records int) { left += records }
			w.forward(10 * time.Minute)
			w.winds("example-com", "over", time.Hour, w.buried)
			told := w.heard("Warning RecordsLeft")
			if covers && (len(w.standing()) > 0 || len(told) > 0 || left > 0) {
				t.Errorf("left: %v, told %q, counted %d", w.standing(), told, left)
			}
			if !covers && (len(told) != 1 || !strings.Contains(told[0], "no ClusterDNSProvider") || !strings.Contains(told[0], "TXT _dmarc.example.com") || left != 5) {
				t.Errorf("told %q, counted %d", told, left)
			}
			if sites := w.sites(w.snapshot.Dir); len(sites) > 0 {
				t.Errorf("served in the end: %v", sites)
			}
		})
	}
}

// A manager without a snapshot of its own can't keep a certificate that goes before its MailDomain. An Event
// says so, and what helps: policy servers that run go on, and a new one waits for another certificate.
func TestACertificateThatIsGoneFirstIsNotKept(t *testing.T) {
	w := newWorld(t)
	w.covered()
	w.r.Certificates = nil
	w.apply("example-com", deletable())
	w.until("example-com", "ready", isReady)
	w.heard("")
	issued := w.secret("mta-sts-example-com")
	w.must(w.api.Delete(t.Context(), issued))
	w.delete("example-com")
	w.winds("example-com", "gone", time.Minute, w.gone("example-com"))
	if told := w.heard("Warning CertificateNotReady"); len(told) == 0 || !strings.Contains(told[0], "issue one into Secret "+siteName("example.com")+" in namespace "+w.operator) {
		t.Errorf("told %q", told)
	}
	if site := w.sites(w.snapshot.Dir)["example.com"]; len(site.Certificate) == 0 {
		t.Errorf("a pod that runs serves %q without a certificate", site.Policy)
	}
	if site, there := w.newPod()["example.com"]; there {
		t.Errorf("a new pod serves %q with a certificate of %d octets", site.Policy, len(site.Certificate))
	}
	w.must(w.api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: siteName("example.com")}, Type: issued.Type, Data: issued.Data}))
	if site := w.newPod()["example.com"]; len(site.Certificate) == 0 {
		t.Errorf("with another certificate a new pod serves %q", site.Policy)
	}
}

// A MailDomain that is made again takes the tombstone up: no commitment is forgotten and no selector
// used twice. In a namespace that is another one the right to the domain is not inherited.
func TestATombstoneIsTakenUp(t *testing.T) {
	for name, another := range map[string]bool{"the same namespace": false, "another of that name": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.covered()
			w.apply("example-com", deletable())
			w.until("example-com", "ready", isReady)
			selector := w.get("example-com").Status.DKIM.ActiveSelectors[0]
			w.delete("example-com")
			w.winds("example-com", "gone", time.Minute, w.gone("example-com"))
			if another {
				w.vanish(w.secret(theSigner))
				secret := w.tombstones()[0]
				var ns corev1.Namespace
				w.must(w.api.Get(t.Context(), types.NamespacedName{Name: w.namespace}, &ns))
				secret.Data[tombstoneFile] = []byte(strings.ReplaceAll(string(secret.Data[tombstoneFile]), string(ns.UID), "another"))
				w.must(w.api.Update(t.Context(), &secret))
			}
			s := deletable()
			if another {
				s.DNS.ConflictPolicy = v1alpha1.ConflictAdopt // the records are a stranger's
			}
			w.apply("example-com", s)
			if another {
				_ = w.try("example-com") // which takes it for one that lost its ledger
				if md := w.get("example-com"); !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonLedgerUnreadable)(md) || slices.Contains(w.standing(), "_dmarc") {
					t.Errorf("the namesake is believed:\n%s", describe(md))
				}
				w.must(w.dns.SetTXT("_maildomain.example.com"))
			}
			w.until("example-com", "ready", isReady)
			w.wind("example-com")
			if another { // the tombstone has lost the right to the domain, and gives up
				w.forward(stuckLimit)
				w.wind("example-com")
			}
			if n := len(w.tombstones()); n > 0 {
				t.Errorf("%d tombstones beside the ledger", n)
			}
			b, err := openBook(t.Context(), w.api, w.get("example-com"))
			w.must(err)
			if !another && b.Keyring.Find(selector) < 0 {
				t.Errorf("%s is forgotten: %+v", selector, b.Keyring)
			}
			if diff := cmp.Diff([]string{"SPF", "_dmarc", "_maildomain", "_mta-sts", "_smtp._tls"}, slices.Sorted(slices.Values(w.standing()))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A process that dies at any write of a deletion is followed by one that brings the same about.
func TestCrashAtEveryWriteOfADeletion(t *testing.T) {
	prepare := func(t *testing.T) *world {
		w := newWorld(t)
		w.covered()
		s := deletable()
		s.MTASTS.MaxAge = &metav1.Duration{Duration: 24 * time.Hour}
		s.DKIM.Rotation = &v1alpha1.DKIMRotation{Retention: &metav1.Duration{Duration: 24 * time.Hour}}
		w.apply("example-com", s)
		w.until("example-com", "ready", isReady)
		w.delete("example-com")
		w.effects = nil
		return w
	}
	over := func(w *world) func() bool { return func() bool { return w.gone("example-com")() && w.buried() } }
	var effects []string
	t.Run("rehearsal", func(t *testing.T) {
		w := prepare(t)
		w.winds("example-com", "over", 2*time.Hour, over(w))
		effects = w.effects
	})
	for n, effect := range effects {
		if effect == "patch status" {
			continue
		}
		// To die after a write is to die before the next one.
		t.Run(effect+" not yet", func(t *testing.T) {
			t.Parallel()
			w := prepare(t)
			w.crashAt = n + 1
			w.winds("example-com", "dead or over", 2*time.Hour, func() bool { return len(w.effects) > n || over(w)() })
			w.crashAt = 0
			w.restart()
			w.winds("example-com", "over", 2*time.Hour, over(w))
			var secrets corev1.SecretList
			w.must(w.api.List(t.Context(), &secrets, client.InNamespace(w.namespace), client.MatchingLabels{managedByLabel: managedBy}))
			if len(w.standing()) > 0 || len(secrets.Items) > 0 || len(w.sites(w.snapshot.Dir)) > 0 {
				t.Errorf("left: %v, %d Secrets, %d sites", w.standing(), len(secrets.Items), len(w.sites(w.snapshot.Dir)))
			}
		})
	}
}

// A deletion ends whatever is broken, within the grace, and says what it left.
func TestADeletionEnds(t *testing.T) {
	for name, test := range map[string]struct {
		policy v1alpha1.DeletionPolicy
		ruin   func(w *world)
		within time.Duration
		told   string
		writes bool
	}{
		"suspended": {v1alpha1.DeletionDelete, func(w *world) {
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Suspend = ptr.To(true) })
		}, 0, "", false},
		"observing": {v1alpha1.DeletionDelete, func(w *world) {
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Mode = v1alpha1.ModeObserve })
		}, 0, "", false},
		"the ledger is rubbish": {v1alpha1.DeletionDelete, func(w *world) { w.spoilLedger("example-com") }, 6 * time.Minute, "RecordsLeft its end failed", false},
		"name servers are dead": {v1alpha1.DeletionRetain, func(w *world) { w.must(w.dns.Close()) }, 6 * time.Minute, "RecordsLeft TXT _maildomain.example.com still claims the domain: it could not be marked", false},
		"the provider is gone": {v1alpha1.DeletionRetain, func(w *world) {
			w.must(w.api.DeleteAllOf(t.Context(), &v1alpha1.DNSProvider{}, client.InNamespace(w.namespace)))
		}, 0, "RecordsLeft TXT _maildomain.example.com still claims the domain: DNSProvider dns does not exist", false},
		"the site is gone": {v1alpha1.DeletionRetain, func(w *world) { w.must(w.api.Delete(t.Context(), w.siteOf("example.com").config)) }, 0, "", true},
		"nothing is":       {v1alpha1.DeletionRetain, func(w *world) {}, 0, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := onlySPF()
			s.DNS.DeletionPolicy = test.policy
			w.apply("example-com", s)
			w.until("example-com", "ready", isReady)
			test.ruin(w)
			w.heard("")
			w.delete("example-com")
			w.must(w.api.Delete(t.Context(), w.secret(ledgerName("example-com")))) // as when the namespace goes
			began, updates := w.clock.Now(), w.dns.Updates()
			for !w.gone("example-com")() {
				_ = w.try("example-com")
				if w.clock.Now().Sub(began) > test.within {
					break
				}
				w.forward(time.Minute)
			}
			if !w.gone("example-com")() {
				t.Fatalf("still there after %s:\n%s", test.within, describe(w.get("example-com")))
			}
			if told := strings.Join(w.heard("Warning"), "\n"); !strings.Contains(told, test.told) || test.told == "" && told != "" {
				t.Errorf("told %q, want %q", told, test.told)
			}
			if err := w.api.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: ledgerName("example-com")}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
				t.Errorf("the ledger holds the namespace up: %v", err)
			}
			if wrote := w.dns.Updates() > updates; wrote != test.writes {
				t.Errorf("wrote: %v", wrote)
			}
		})
	}
}

// What was never managed is not wound up, and another's finalizer is not the operator's affair.
func TestOnlyOwnFinalizersAreRemoved(t *testing.T) {
	w := newWorld(t)
	s := onlySPF()
	s.Mode = v1alpha1.ModeObserve
	w.apply("observed", s)
	w.edit("observed", func(md *v1alpha1.MailDomain) { md.Finalizers = []string{"example.com/theirs"} })
	w.pass("observed")
	w.delete("observed")
	w.pass("observed")
	if diff := cmp.Diff([]string{"example.com/theirs"}, w.get("observed").Finalizers); diff != "" {
		t.Error(diff)
	}
	w.edit("observed", func(md *v1alpha1.MailDomain) { md.Finalizers = nil })
}

// A released domain may be claimed by whoever writes its zone, here under another name; so may that of
// an installation that is lost, when its id is named, and only once.
func TestADomainChangesHands(t *testing.T) {
	const lost = "v=maildomain1; owner=lost; id=0011223344556677"
	for name, test := range map[string]struct {
		stands   string
		takeOver string
		claimed  bool
	}{
		"released":                    {lost + "; state=released", "", true},
		"held":                        {lost, "", false},
		"held, and another is named":  {lost, "gone", false},
		"held, and named as lost":     {lost, "lost", true},
		"held here, and named":        {"v=maildomain1; owner=test; id=0011223344556677", "test", false},
		"a state that nobody defined": {lost + "; state=free", "lost", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.must(w.dns.SetTXT("_maildomain.example.com", test.stands))
			w.apply("new", onlySPF())
			if test.takeOver != "" {
				w.edit("new", func(md *v1alpha1.MailDomain) {
					md.Annotations = map[string]string{v1alpha1.AnnotationTakeOver: test.takeOver}
				})
			}
			if !test.claimed {
				w.until("new", "refused", hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed))
				w.settles("new")
				if diff := cmp.Diff([]string{test.stands}, w.dns.TXT("_maildomain.example.com")); diff != "" {
					t.Error(diff)
				}
				return
			}
			w.until("new", "ready", isReady)
			mine := records.NewClaim("test", w.namespace, "new").String()
			if diff := cmp.Diff([]string{mine}, w.dns.TXT("_maildomain.example.com")); diff != "" {
				t.Fatal(diff)
			}
			// The other installation is back, and has taken over in its turn: there is no tug of war.
			w.must(w.dns.SetTXT("_maildomain.example.com", lost))
			w.until("new", "refused", hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed))
			if diff := cmp.Diff([]string{lost}, w.dns.TXT("_maildomain.example.com")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
