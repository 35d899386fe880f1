package controllers

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// With several keys a person's word is about one switch: not about a later one, nor about that of the
// other key if it came after, nor about a key that left without a successor.
func TestASwitchOfSeveralKeysIsConfirmed(t *testing.T) {
	w := newWorld(t)
	s := signing()
	s.DKIM.Keys = []v1alpha1.DKIMKey{{Name: "one", Algorithm: v1alpha1.DKIMEd25519}, {Name: "two", Algorithm: v1alpha1.DKIMEd25519}}
	s.DKIM.Rotation = &v1alpha1.DKIMRotation{Confirm: v1alpha1.ConfirmManual}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	annotate := func(name, value string) {
		w.edit("example-com", func(md *v1alpha1.MailDomain) {
			if md.Annotations == nil {
				md.Annotations = map[string]string{}
			}
			if md.Annotations[name] = value; value == "" {
				delete(md.Annotations, name)
			}
		})
		w.pass("example-com")
	}
	// held are the keys that have retired, and whose files are still there.
	held := func(want ...string) {
		t.Helper()
		w.settles("example-com")
		var got []string
		for _, k := range w.get("example-com").Status.DKIM.Keys {
			if k.State == v1alpha1.KeyRetired && len(w.secret(theSigner).Data[k.Selector+".pem"]) > 0 {
				got = append(got, k.Selector)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
		}
	}
	asks := func(text string) {
		t.Helper()
		if got := message(w.get("example-com"), v1alpha1.ConditionDKIMReady); !strings.Contains(got, text) {
			t.Errorf("it asks for %q, want %q", got, text)
		}
	}
	rotated := func(value string, signs ...string) {
		t.Helper()
		annotate(v1alpha1.AnnotationRotate, value)
		w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool { return slices.Equal(md.Status.DKIM.ActiveSelectors, signs) })
		w.forward(v1alpha1.DefaultRotationRetention / 2)
	}
	const day, next = "001-20261123", "001-20261127"

	rotated("1", day+"c", day+"d")
	held(day+"a", day+"b")
	asks("the signer has switched from " + day + "a: when it signs with " + day + "d, set the annotation maildomain.dev/signer-switched to that")
	annotate(v1alpha1.AnnotationSignerSwitched, day+"b") // it does not sign any more
	held(day+"a", day+"b")
	annotate(v1alpha1.AnnotationSignerSwitched, day+"c") // one of the two that came with one write
	held()

	rotated("2", next+"a", next+"b")
	held(day+"c", day+"d") // the word is of the switch before
	annotate(v1alpha1.AnnotationSignerSwitched, next+"b")
	held()

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys = md.Spec.DKIM.Keys[1:] })
	w.until("example-com", "left", func(md *v1alpha1.MailDomain) bool { return len(md.Status.DKIM.ActiveSelectors) == 1 })
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	held(next + "a") // the word is from before
	asks("when it signs with " + next + "b and no more with that, set the annotation maildomain.dev/signer-switched to it, removing it first if it is there already")
	annotate(v1alpha1.AnnotationSignerSwitched, "")
	held(next + "a")
	w.restart()
	annotate(v1alpha1.AnnotationSignerSwitched, next+"b")
	held()

	w.must(w.dns.SetTXT("google._domainkey.example.com", w.dns.TXT(next + "b._domainkey.example.com")[0]))
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		yes := true
		md.Spec.DKIM.Keys, md.Spec.DKIM.External = []v1alpha1.DKIMKey{}, []v1alpha1.ExternalSelector{{Selector: "google", VerifyOnly: &yes}}
	})
	w.until("example-com", "left", func(md *v1alpha1.MailDomain) bool { return len(md.Status.DKIM.ActiveSelectors) == 0 })
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	held(next + "b")
	asks("when it signs with google and no more with that")
	annotate(v1alpha1.AnnotationSignerSwitched, "google")
	held()
}

// A selector of somebody else may be a CNAME, as with hosts of mail for many domains: what counts is where it leads.
func TestAnExternalSelectorMayBeAnAlias(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.AddZone("tenant.example"))
	w.must(w.dns.Set("s2._domainkey.example.com", "CNAME", "s2.tenant.example."))
	s := spec()
	s.DKIM.Keys, s.DKIM.External = []v1alpha1.DKIMKey{}, []v1alpha1.ExternalSelector{{Selector: "s2", VerifyOnly: new(true)}}
	s.DMARC, s.MTASTS = nil, nil
	w.apply("example-com", s)
	w.until("example-com", "told of what is missing", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonNotServed))
	pair, err := keys.Generate("ed25519", 0)
	w.must(err)
	w.must(w.dns.SetTXT("s2.tenant.example", pair.Record, "another text"))
	w.until("example-com", "told of two", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonNotServed))
	w.must(w.dns.SetTXT("s2.tenant.example", pair.Record))
	w.until("example-com", "ready", isReady)
	w.must(w.dns.SetTXT("s2.tenant.example", "v=DKIM1; k=ed25519; p="))
	w.until("example-com", "told of the revocation", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonNotServed))
}
