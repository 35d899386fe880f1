package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// Keys that spec does not name any more sign until it is proven that no receiver applies a policy
// that relies on them, and then until caches have forgotten the one before.
func TestKeysSignAsLongAsDMARCReliesOnThem(t *testing.T) {
	w := newWorld(t)
	s := signing()
	s.DNS.TTL = &metav1.Duration{Duration: time.Minute} // less than the five of the server's records
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	selector := w.active("example-com")
	w.must(w.dns.SetTXT("_dmarc.smarter.se", "v=DMARC1; p=quarantine"))
	w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=reject"))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM = nil })

	sign := func(reason string) {
		t.Helper()
		w.pass("example-com")
		w.forward(time.Second)
		w.pass("example-com")
		if md := w.get("example-com"); len(md.Status.DKIM.ActiveSelectors) == 0 || !hasReason(v1alpha1.ConditionDKIMReady, reason)(md) {
			t.Fatalf("want an active key and %s:\n%s", reason, describe(md))
		}
		if got := string(w.secret(theSigner).Data["selector"]); got != selector {
			t.Fatalf("the signer is told to sign with %q", got)
		}
	}
	for _, texts := range [][]string{
		{"v=DMARC1; p=reject"},
		{"v=DMARC1; p=reject; pct=many"}, // receivers ignore the tag that can't be read
		{"v=DMARC1; p=none", "v=DMARC1; p=reject"},
		{"v=DMARC1; p=none; sp=quarantine"},
		{},
	} {
		w.must(w.dns.SetTXT("_dmarc.example.com", texts...))
		if len(texts) == 0 {
			w.must(w.dns.Set("_dmarc.example.com", "CNAME", "_dmarc.smarter.se."))
		}
		sign(v1alpha1.ReasonDKIMRequired)
	}
	w.must(w.dns.Set("_dmarc.example.com", "CNAME"))
	w.dns.Fault(dnsserver.Fault{ServFail: true})
	sign(v1alpha1.ReasonServersUnreachable)
	w.forward(time.Hour)
	sign(v1alpha1.ReasonServersUnreachable)
	w.dns.Fault(dnsserver.Fault{})

	sign(v1alpha1.ReasonWithdrawing) // absence is proven
	w.forward(4 * time.Minute)
	sign(v1alpha1.ReasonWithdrawing)
	w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=reject"))
	sign(v1alpha1.ReasonDKIMRequired)
	w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=none"))
	sign(v1alpha1.ReasonWithdrawing)
	w.forward(5*time.Minute - 3*time.Second)
	sign(v1alpha1.ReasonWithdrawing)
	w.forward(time.Second)
	w.pass("example-com")
	if md := w.get("example-com"); len(md.Status.DKIM.ActiveSelectors) > 0 {
		t.Errorf("the key signs for ever:\n%s", describe(md))
	}
	w.until("example-com", "ready", isReady)
}

// A subdomain without a record of its own is under the policy of the organizational domain: keys
// go on signing for it, and a first record of its own does not weaken it.
func TestAPolicyIsInherited(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=none; sp=quarantine"))
	w.must(w.dns.Set("sub.example.com", "MX", "10 mx1.example.com."))
	s := signing()
	s.Domain, s.SPF = "sub.example.com", spec().SPF
	w.apply("sub", s)
	w.until("sub", "ready", isReady)
	w.edit("sub", func(md *v1alpha1.MailDomain) { md.Spec.DKIM = nil })
	w.until("sub", "stalled", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonDKIMRequired))
	w.settles("sub")
	w.active("sub")
	if text := message(w.get("sub"), v1alpha1.ConditionDKIMReady); !strings.Contains(text, "TXT _dmarc.example.com") {
		t.Errorf("the message does not say where the policy stands: %s", text)
	}
	w.edit("sub", func(md *v1alpha1.MailDomain) { md.Spec.DKIM = s.DKIM })
	w.until("sub", "ready", isReady)

	breakSPF := func() {
		w.must(w.dns.SetTXT("smarter.se", "nothing"))
		w.until("sub", "SPF broken", hasReason(v1alpha1.ConditionSPFReady, v1alpha1.ReasonSPFPermError))
	}
	stands := func(want ...string) {
		t.Helper()
		w.settles("sub")
		if diff := cmp.Diff(want, w.dns.TXT("_dmarc.sub.example.com")); diff != "" {
			t.Errorf("%s\n%s", diff, describe(w.get("sub")))
		}
	}
	policy := func(policy v1alpha1.DMARCPolicy) {
		w.edit("sub", func(md *v1alpha1.MailDomain) { md.Spec.DMARC = &v1alpha1.DMARCSpec{Policy: policy} })
	}
	breakSPF()
	policy(v1alpha1.DMARCReject)
	w.until("sub", "held", hasReason(v1alpha1.ConditionDMARCReady, v1alpha1.ReasonBasicsNotReady))
	stands() // p=none would be weaker than what is inherited
	policy(v1alpha1.DMARCQuarantine)
	stands("v=DMARC1; p=quarantine") // as inherited
	policy(v1alpha1.DMARCNone)
	stands("v=DMARC1; p=none") // by spec
	w.edit("sub", func(md *v1alpha1.MailDomain) { md.Spec.DMARC = nil })
	stands("v=DMARC1; p=none") // without it quarantine would be in force, and SPF is broken
	w.must(w.dns.SetTXT("smarter.se", "v=spf1 -all"))
	w.until("sub", "ready", isReady)
	stands()
}

// External selectors count when they are served: for a stricter policy, and to take over from keys.
func TestExternalSelectorsAreProven(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.MTASTS, s.TLSRPT = nil, nil
	s.DKIM.Keys = s.DKIM.Keys[1:]
	yes := true
	s.DKIM.External = []v1alpha1.ExternalSelector{{Selector: "google", VerifyOnly: &yes}}
	w.apply("example-com", s)
	w.until("example-com", "signing", func(md *v1alpha1.MailDomain) bool {
		return md.Status.DKIM != nil && len(md.Status.DKIM.ActiveSelectors) == 1
	})
	w.settles("example-com")
	if diff := cmp.Diff([]string{"v=DMARC1; p=none; rua=mailto:dmarc@example.com"}, w.dns.TXT("_dmarc.example.com")); diff != "" {
		t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
	}
	if text := message(w.get("example-com"), v1alpha1.ConditionDMARCReady); !strings.Contains(text, "the external selector google is verified") {
		t.Error(text)
	}
	pair, err := keys.Generate("ed25519", 0)
	w.must(err)
	w.must(w.dns.SetTXT("google._domainkey.example.com", pair.Record))
	w.until("example-com", "ready", isReady)

	w.must(w.dns.SetTXT("google._domainkey.example.com"))
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "example-com"}}
	w.must(w.api.Patch(t.Context(), md, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"dkim":{"keys":[]}}}`))))
	w.until("example-com", "stalled", func(md *v1alpha1.MailDomain) bool { return !isReady(md) })
	w.settles("example-com")
	w.active("example-com")
	w.must(w.dns.SetTXT("google._domainkey.example.com", pair.Record))
	w.until("example-com", "retired", func(md *v1alpha1.MailDomain) bool { return len(md.Status.DKIM.ActiveSelectors) == 0 })
	if !slices.Equal(w.dns.TXT("_dmarc.example.com"), []string{"v=DMARC1; p=reject; rua=mailto:dmarc@example.com"}) {
		t.Errorf("got %q", w.dns.TXT("_dmarc.example.com"))
	}
}
