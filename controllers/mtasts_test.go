package controllers

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// A policy is withdrawn through mode none, and not before the last sender has forgotten it. The
// certificate that it is served with stays the one that the section named.
func TestMTASTSWithdrawal(t *testing.T) {
	w := newWorld(t)
	w.must(w.api.Delete(t.Context(), w.secret("mta-sts-example-com")))
	issue := func() []byte {
		t.Helper()
		cert, key, err := certificate.SelfSigned("mta-sts.example.com")
		w.must(err)
		w.roots.AppendCertsFromPEM(cert)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "custom-tls"}}
		_, err = controllerutil.CreateOrUpdate(t.Context(), w.api, secret, func() error {
			secret.Data = map[string][]byte{"tls.crt": cert, "tls.key": key}
			return nil
		})
		w.must(err)
		return cert
	}
	issue()
	s := spec()
	s.MTASTS.TLS = &v1alpha1.MTASTSTLS{SecretName: "custom-tls"}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	announcedID := w.dns.TXT("_mta-sts.example.com")

	// A policy for a year is served and not yet announced: who fetches it holds it for a year.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 8760 * time.Hour} })
	w.pass("example-com")
	if !strings.Contains(w.sites(w.snapshot.Dir)["example.com"].Policy, "max_age: 31536000") || !slices.Equal(w.dns.TXT("_mta-sts.example.com"), announcedID) {
		t.Fatalf("%q, announced as %q", w.sites(w.snapshot.Dir)["example.com"].Policy, w.dns.TXT("_mta-sts.example.com"))
	}
	w.must(w.api.Delete(t.Context(), w.siteOf("example.com").config)) // the ledger knows it all the same
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })

	// Nothing is announced while the world does not get the new policy.
	w.must(w.dns.Set("mta-sts.example.com", "A"))
	for range 3 {
		w.pass("example-com")
		w.forward(time.Second)
		time.Sleep(30 * time.Millisecond)
	}
	if got := w.dns.TXT("_mta-sts.example.com"); !slices.Equal(got, announcedID) {
		t.Fatalf("announced %q, and nobody can fetch it", got)
	}
	w.must(w.dns.Set("mta-sts.example.com", "A", "127.0.0.1"))

	none := records.MTASTSWithdrawal()
	w.until("example-com", "announcing mode none", func(*v1alpha1.MailDomain) bool {
		return w.isAnnounced(nil) && w.policyOf().String() == none.String()
	})
	w.pass("example-com")
	ends := w.get("example-com").Status.MTASTS.CommitmentEnds
	if ends == nil || ends.Sub(w.clock.Now()) < 8760*time.Hour-time.Minute {
		t.Fatalf("the commitment ends %v, now is %v", ends, w.clock.Now())
	}

	// The certificate's renewal is taken, and the loss of what is stored made up for.
	renewed := issue()
	w.writeSnapshot()
	if !bytes.Equal(w.sites(w.snapshot.Dir)["example.com"].Certificate, renewed) {
		t.Error("the renewal is ignored during the withdrawal")
	}
	w.must(w.api.Delete(t.Context(), w.siteOf("example.com").config))
	w.pass("example-com")
	if got := w.siteOf("example.com").config.Data; got[siteTLSSecret] != "custom-tls" || got[siteNamespace] != w.namespace {
		t.Errorf("the certificate is now that of Secret %q in %q", got[siteTLSSecret], got[siteNamespace])
	}
	if site := w.newPod()["example.com"]; site.Policy != none.String() || !bytes.Equal(site.Certificate, renewed) {
		t.Errorf("a new pod serves %q", site.Policy)
	}
	effects := len(w.effects)
	w.pass("example-com")
	if more := w.effects[effects:]; len(more) > 0 {
		t.Errorf("an unchanged world was written to: %v", more)
	}

	w.clock.SetTime(ends.Add(-time.Second))
	w.pass("example-com")
	if len(w.dns.TXT("_mta-sts.example.com")) != 1 {
		t.Error("the record went before the commitment ended")
	}
	w.forward(time.Second)
	w.until("example-com", "gone", func(md *v1alpha1.MailDomain) bool {
		return len(w.dns.TXT("_mta-sts.example.com")) == 0 && md.Status.MTASTS == nil
	})
	w.until("example-com", "served no more", func(*v1alpha1.MailDomain) bool { return len(w.sites(w.snapshot.Dir)) == 0 })
}

// Without a provider the policy stays until the human has removed the record.
func TestMTASTSWithdrawalByHand(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", MTASTS: spec().MTASTS})
	publish := func(md *v1alpha1.MailDomain) {
		for _, p := range md.Status.Plan {
			if p.New != "" {
				w.must(w.dns.SetTXT(p.Name, p.New))
			}
		}
	}
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool {
		publish(md)
		return isReady(md)
	})
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.until("example-com", "withdrawing", func(md *v1alpha1.MailDomain) bool {
		publish(md)
		return md.Status.MTASTS != nil && md.Status.MTASTS.CommitmentEnds != nil
	})
	w.clock.SetTime(w.get("example-com").Status.MTASTS.CommitmentEnds.Time)
	for range 3 {
		w.pass("example-com")
	}
	if len(w.sites(w.snapshot.Dir)) != 1 {
		t.Errorf("_mta-sts still says %q, and no policy is served", w.dns.TXT("_mta-sts.example.com"))
	}
	if plan := w.get("example-com").Status.Plan; len(plan) != 1 || plan[0].Action != v1alpha1.PlanRemove || plan[0].Name != "_mta-sts.example.com" {
		t.Errorf("the plan is %v", plan)
	}
	w.must(w.dns.SetTXT("_mta-sts.example.com"))
	w.pass("example-com")
	if n := len(w.sites(w.snapshot.Dir)); n != 0 {
		t.Errorf("%d policies are served after the withdrawal", n)
	}
}

// What mode Observe keeps from being announced has no end that is waited for.
func TestAWithdrawalThatMayNotBeAnnouncedIsNotPolled(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.pass("example-com") // mode none is served
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Mode = v1alpha1.ModeObserve })
	w.settles("example-com")
	result, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}})
	w.must(err)
	if result.RequeueAfter <= w.r.Poll {
		t.Errorf("looks again after %s", result.RequeueAfter)
	}
}

// A policy whose host never had an address was fetched by nobody, and its end needs no address either.
func TestAWithdrawalOfWhatWasNeverAnnouncedNeedsNoAddress(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.Set("mta-sts.example.com", "A"))
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "without an address", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonAddressPending))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.until("example-com", "withdrawing", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && md.Status.MTASTS != nil && md.Status.MTASTS.CommitmentEnds != nil
	})
	w.settles("example-com")
	w.clock.SetTime(w.get("example-com").Status.MTASTS.CommitmentEnds.Time)
	w.until("example-com", "gone", func(md *v1alpha1.MailDomain) bool {
		return md.Status.MTASTS == nil && len(w.sites(w.snapshot.Dir)) == 0
	})
}

// An id that was decided, and that the provider did not write, is not written any more while something else is served: it
// could be fetched under that id.
func TestAnIDThatDidNotGetOutIsHeld(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "ready", isReady)
	first := w.announcedPolicy()
	age := func(d time.Duration) {
		w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: d} })
	}
	stands := func(when string) {
		t.Helper()
		if got := w.dns.TXT("_mta-sts.example.com"); !slices.Equal(got, []string{mtasts.Record{ID: first.ID}.String()}) {
			t.Fatalf("%s: %q", when, got)
		}
	}
	w.lies = true
	age(200 * time.Hour)
	w.until("example-com", "decided", func(*v1alpha1.MailDomain) bool { return w.announcedPolicy().ID != first.ID })
	lost := w.announcedPolicy().ID
	stands("the provider does nothing")

	age(300 * time.Hour)
	w.must(w.dns.Set("mta-sts.example.com", "A")) // what is served next is not proven
	w.pass("example-com")
	w.lies = false
	for range 3 {
		w.forward(time.Minute)
		w.pass("example-com")
		stands("another policy is served")
	}
	w.settles("example-com")
	stands("at rest")
	w.must(w.dns.Set("mta-sts.example.com", "A", "127.0.0.1"))
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
	if got := w.announcedPolicy().ID; got == lost || got == first.ID {
		t.Errorf("the id %s is announced, under which something else was served", got)
	}
}
