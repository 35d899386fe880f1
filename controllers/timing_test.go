package controllers

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
)

// slowProber takes its time over every question.
type slowProber struct {
	Prober
	w     *world
	asked map[string]time.Time
}

func (p slowProber) Ask(ctx context.Context, a probe.Authority, name, rrtype string) []probe.Answer {
	answers := p.Prober.Ask(ctx, a, name, rrtype)
	p.w.forward(10 * time.Second) // the zone's negative TTL is 5 s
	p.asked[name] = p.w.clock.Now()
	return answers
}

func (w *world) ring() keys.Keyring {
	w.t.Helper()
	var l ledger.Ledger
	w.must(json.Unmarshal(w.secret(theLedger).Data[ledgerFile], &l))
	return l.Keyring
}

// A pass may last longer than resolvers believe in a name's absence: a key is served since it was
// seen, not since the pass began.
func TestAKeyIsServedSinceItWasSeen(t *testing.T) {
	w := newWorld(t)
	slow := slowProber{w.r.Prober, w, map[string]time.Time{}}
	w.r.Prober = slow
	w.apply("example-com", signing())
	for range 20 {
		w.pass("example-com")
		if ring := w.ring(); len(ring) == 1 && !ring[0].Served.IsZero() {
			if asked := slow.asked[ring[0].Selector+"._domainkey.example.com"]; ring[0].Served.Before(asked) {
				t.Errorf("it counts as served since %s before it was seen", asked.Sub(ring[0].Served))
			}
			return
		}
	}
	t.Fatal("it is never served")
}

// A rotation that is due by the schedule and waits for its proof is no reason to look every second.
func TestADueRotationIsNotLookedAtAllTheTime(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	w.r.Poll = time.Hour
	w.forward(w.get("example-com").Status.DKIM.NextRotation.Sub(w.clock.Now()))
	w.pass("example-com")
	result, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}})
	if pending := w.ring()[1].Pending(); err != nil || !pending || result.RequeueAfter < 5*time.Second {
		t.Errorf("looks again after %s, want no sooner than resolvers forget: pending %v, %v", result.RequeueAfter, pending, err)
	}
}

// The process dies when the signer's Secret tells to sign with a key, and the ledger does not know yet.
// Dropped from spec before the next pass, the key's record stays for the mail that it has signed.
func TestAKeyThatSignsUnknownToTheLedgerIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	first := w.active("example-com")
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.DKIM.Keys = append(md.Spec.DKIM.Keys, v1alpha1.DKIMKey{Name: "second", Algorithm: v1alpha1.DKIMEd25519})
	})
	selectors := func() []string { return strings.Fields(string(w.secret(theSigner).Data["selectors"])) }
	w.check = func() {
		if len(selectors()) == 2 {
			panic(crash{})
		}
	}
	for died := false; !died; w.forward(time.Second) {
		died = w.pass("example-com")
	}
	w.check = nil
	w.restart()
	second := slices.DeleteFunc(selectors(), func(s string) bool { return s == first })[0]
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys = md.Spec.DKIM.Keys[:1] })
	w.settles("example-com")
	if texts := w.dns.TXT(second + "._domainkey.example.com"); len(texts) != 1 || strings.HasSuffix(texts[0], "p=") {
		t.Errorf("the record of a key that has signed is %q", texts)
	}
}
