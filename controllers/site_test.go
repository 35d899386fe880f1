package controllers

import (
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
)

// What is served stays, although the certificate's Secret, the MailDomain and the process that
// wrote the snapshot are gone.
func TestServingOutlivesItsSources(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	w.must(w.api.Delete(t.Context(), w.secret("mta-sts-example-com")))
	w.must(w.api.Delete(t.Context(), w.get("example-com")))
	for range 2 {
		w.restart()
		if _, err := w.snapshot.Reconcile(t.Context(), ctrl.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	// The policy server may look a moment later: what it will find is on the disk.
	snapshot, err := mtastsserver.LoadSnapshot(w.snapshot.Dir)
	w.must(err)
	if sites := snapshot.Sites(); len(sites) != 1 || sites[0].Domain != "example.com" || len(sites[0].PrivateKey) == 0 {
		t.Fatalf("the snapshot holds %d sites", len(sites))
	}
	answer, err := w.r.Fetcher.Fetch(t.Context(), "example.com")
	if err != nil || len(answer.Results) != 1 || answer.Results[0].Outcome != probe.PolicyServed {
		t.Fatalf("got %+v, %v", answer, err)
	}
	if policy, err := mtasts.ParsePolicy(answer.Results[0].Body); err != nil || policy.Mode != mtasts.Enforce {
		t.Errorf("got %v, %v", policy, err)
	}
}

// A ledger that can't be read ends the pass before anything is touched.
func TestUnreadableLedger(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	ledger := w.secret("example-com-maildomain-ledger")
	good := ledger.Data["ledger.json"]
	ledger.Data["ledger.json"] = []byte(`{"version": 99}`)
	w.must(w.api.Update(t.Context(), ledger))
	w.must(w.dns.SetTXT("_dmarc.example.com"))
	effects := len(w.effects)
	if _, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.get("example-com"))}); err == nil {
		t.Error("the pass succeeded")
	}
	md := w.get("example-com")
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonLedgerUnreadable)(md) || len(w.effects) != effects+1 || len(w.dns.TXT("_dmarc.example.com")) != 0 {
		t.Errorf("wrote %v\n%s", w.effects[effects:], describe(md))
	}
	ledger.Data["ledger.json"] = good
	w.must(w.api.Update(t.Context(), ledger))
	w.until("example-com", "ready", isReady)
	w.theTalksRecordsStand() // the record that somebody deleted is back
}

// What is under way is looked at soon, what has been stuck for long seldom.
func TestPace(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.SetTXT("example.com", "v=spf1 a ~all"))
	w.apply("example-com", spec())
	w.until("example-com", "a conflict", hasReason(v1alpha1.ConditionSPFReady, v1alpha1.ReasonRecordConflict))
	w.settles("example-com")
	var last time.Time
	for _, c := range w.get("example-com").Status.Conditions {
		last = latest(last, c.LastTransitionTime.Time)
	}
	for age, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Minute: 15 * time.Second, time.Hour: 10 * time.Minute} {
		w.clock.SetTime(last.Add(age))
		result, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.get("example-com"))})
		if err != nil || result.RequeueAfter != want {
			t.Errorf("after %v without a change: looks again in %v, want %v (%v)", age, result.RequeueAfter, want, err)
		}
	}
}
