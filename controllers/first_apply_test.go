package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// From apply to proven records, and then silence: a second pass over an unchanged world writes
// nothing anywhere and asks the provider nothing.
func TestFirstApply(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	w.theTalksRecordsStand()

	effects, provider, updates := len(w.effects), w.provider, w.dns.Updates()
	for range 3 {
		w.pass("example-com")
		w.forward(time.Minute)
	}
	if more := w.effects[effects:]; len(more) > 0 || w.provider != provider || w.dns.Updates() != updates {
		t.Errorf("an unchanged world was written to: %v, %d calls to the provider, %d updates", more, w.provider-provider, w.dns.Updates()-updates)
	}
	w.restart()
	w.pass("example-com")
	if more := w.effects[effects:]; len(more) > 0 || w.provider != provider {
		t.Errorf("a new process wrote: %v", more)
	}
}

// What a first apply writes to the API server: nothing twice that could go together, as each write is one for each domain of a
// cluster. With p=none, which waits for nothing, it is one less.
func TestWritesOfAFirstApply(t *testing.T) {
	w := newWorld(t)
	w.applyOnce()
	want := []string{
		"patch *v1alpha1.MailDomain example-com",          // the finalizer, before anything is written
		"create *v1.Secret example-com-maildomain-ledger", // the intent of the claim
		"update *v1.Secret example-com-maildomain-ledger", // the claim read back; new keys, and the intents of all records
		"update *v1.Secret example-com-maildomain-ledger", // the records read back; the keys are served
		"create *v1.ConfigMap " + siteName("example.com"),
		"patch status",
		"update *v1.Secret example-com-maildomain-ledger", // the signer's Secret may have the keys
		"create *v1.Secret example-com-dkim",
		"update *v1.Secret example-com-maildomain-ledger", // they sign; the intent of the stricter policy, which waits for that
		"update *v1.Secret example-com-maildomain-ledger", // it was read back
		"patch status",
	}
	got := slices.DeleteFunc(slices.Clone(w.effects), func(effect string) bool { return strings.HasPrefix(effect, "DNS ") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What a first apply tells: each Event is a write to the API server too.
func TestEventsOfAFirstApply(t *testing.T) {
	w := newWorld(t)
	stored := w.storeEvents()
	w.applyOnce()
	selectors := w.get("example-com").Status.DKIM.ActiveSelectors
	if len(selectors) != 2 {
		t.Fatalf("active: %v", selectors)
	}
	a, b := selectors[0], selectors[1]
	want := []string{
		fmt.Sprintf("Normal Create TXT _maildomain.example.com, TXT example.com, TXT %s._domainkey.example.com, TXT %s._domainkey.example.com, TXT _dmarc.example.com, TXT _smtp._tls.example.com", a, b),
		fmt.Sprintf("Normal KeyActive DKIM keys %s (rsa) and %s (ed25519) are active: new mail should carry s=%[1]s or s=%[2]s in its DKIM-Signature", a, b),
		`Normal Replace TXT _dmarc.example.com v=DMARC1; p=reject; rua=mailto:dmarc@example.com; before it was "v=DMARC1; p=none; rua=mailto:dmarc@example.com"`,
		"Normal Verified DKIMReady: every key signs, and its record is served; DMARCReady: the record is served; Ready: everything that spec asks for is published and proven",
	}
	if diff := cmp.Diff(want, stored(len(want))); diff != "" {
		t.Error(diff)
	}
}

// What two records said before is told of both, where one pass has replaced them, see event.part.
func TestEventsOfReplacedRecords(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.MTASTS, s.DKIM, s.DMARC = nil, nil, nil
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	stored := w.storeEvents()
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.SPF.All, md.Spec.TLSRPT.RUA = v1alpha1.SPFSoftFail, []string{"mailto:other@example.com"}
	})
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && slices.Contains(w.dns.TXT("_smtp._tls.example.com"), "v=TLSRPTv1; rua=mailto:other@example.com")
	})
	want := []string{
		`Normal Replace TXT _smtp._tls.example.com v=TLSRPTv1; rua=mailto:other@example.com; before it was "v=TLSRPTv1; rua=mailto:tls@example.com"`,
		`Normal Replace TXT example.com v=spf1 ip4:192.0.2.0/24 mx include:smarter.se ~all; before it was "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"`,
	}
	if diff := cmp.Diff(want, stored(len(want))); diff != "" {
		t.Error(diff)
	}
}

// applyOnce has a domain without MTA-STS become ready in as few passes as that takes.
func (w *world) applyOnce() {
	w.t.Helper()
	w.r.Poll = time.Minute // so that passes come when the keys want them
	s := spec()
	s.MTASTS = nil
	w.apply("example-com", s)
	for range 5 {
		result, err := w.r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}})
		w.must(err)
		if isReady(w.get("example-com")) {
			return
		}
		w.forward(result.RequeueAfter) // another pass in between may find news for status
	}
	w.t.Fatalf("not ready:\n%s", describe(w.get("example-com")))
}

// storeEvents has Events sent as the manager sends them, and returns what waits for n of them in the API server and gives them in
// the order of their texts.
func (w *world) storeEvents() func(n int) []string {
	w.t.Helper()
	writer := NewEventWriter(w.api, w.clock, "maildomain-operator", "maildomain-operator-0")
	w.r.Events = writer
	var running sync.WaitGroup
	running.Go(func() { _ = writer.Start(w.t.Context()) })
	w.t.Cleanup(running.Wait)
	return func(n int) []string {
		w.t.Helper()
		for deadline := time.Now().Add(hangs); ; time.Sleep(20 * time.Millisecond) {
			var list eventsv1.EventList
			w.must(w.api.List(w.t.Context(), &list, client.InNamespace(w.namespace)))
			var texts []string
			for _, e := range list.Items {
				texts = append(texts, fmt.Sprintf("%s %s %s", e.Type, e.Reason, e.Note))
			}
			if len(texts) >= n || w.t.Failed() || time.Now().After(deadline) {
				slices.Sort(texts)
				return texts
			}
		}
	}
}

// theTalksRecordsStand checks what a DNS client gets, letter by letter, and the signer's Secret.
func (w *world) theTalksRecordsStand() {
	w.t.Helper()
	policy := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}}
	for name, want := range map[string]string{
		"example.com":            "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all",
		"_dmarc.example.com":     "v=DMARC1; p=reject; rua=mailto:dmarc@example.com",
		"_smtp._tls.example.com": "v=TLSRPTv1; rua=mailto:tls@example.com",
		"_mta-sts.example.com":   "v=STSv1; id=" + policy.ID(),
	} {
		if diff := cmp.Diff([]string{want}, w.dns.TXT(name)); diff != "" {
			w.t.Errorf("%s: %s", name, diff)
		}
	}
	md := w.get("example-com")
	if len(md.Status.DKIM.ActiveSelectors) != 2 {
		w.t.Fatalf("active: %v", md.Status.DKIM.ActiveSelectors)
	}
	secret := w.secret("example-com-dkim")
	for i, selector := range md.Status.DKIM.ActiveSelectors {
		texts := w.dns.TXT(selector + "._domainkey.example.com")
		if prefix := []string{"v=DKIM1; k=rsa; p=", "v=DKIM1; k=ed25519; p="}[i]; len(texts) != 1 || !strings.HasPrefix(texts[0], prefix) || !strings.HasPrefix(selector, "001-") {
			w.t.Errorf("%s: got %q, want one record %s…", selector, texts, prefix)
		}
	}
	if diff := cmp.Diff(signerEntries(md.Status.DKIM.ActiveSelectors...), slices.Sorted(maps.Keys(secret.Data))); diff != "" {
		w.t.Errorf("the signer's Secret: %s", diff)
	}
}

// A process that dies at any write is followed by one that brings the
// same about: one record of each protocol, no second key, nothing foreign touched.
func TestCrashAtEveryWrite(t *testing.T) {
	rehearsal := newWorld(t)
	rehearsal.apply("example-com", spec())
	rehearsal.until("example-com", "ready", isReady)
	for n, effect := range rehearsal.effects { // to die after a write is to die before the next one
		t.Run(effect+" not yet", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.dns.SetTXT("example.com", "a foreign text"))
			w.apply("example-com", spec())
			w.crashAt = n + 1
			for deadline := time.Now().Add(hangs); !w.pass("example-com"); w.forward(time.Second) {
				if isReady(w.get("example-com")) || time.Now().After(deadline) {
					break // fewer writes than in the rehearsal
				}
				time.Sleep(20 * time.Millisecond)
			}
			w.restart()
			w.until("example-com", "ready", isReady)
			if diff := cmp.Diff([]string{"a foreign text", "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"}, slices.Sorted(slices.Values(w.dns.TXT("example.com")))); diff != "" {
				t.Error(diff)
			}
			if n := len(w.get("example-com").Status.DKIM.Keys); n != 2 {
				t.Errorf("%d keys were made, want 2", n)
			}
			w.must(w.dns.SetTXT("example.com", "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"))
			w.theTalksRecordsStand()
		})
	}
}

// One rotation, by the clock alone: the new key signs only after its proof, the old one's
// record outlives its mail.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.DKIM.Keys = s.DKIM.Keys[1:]
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	old := w.get("example-com").Status.DKIM.ActiveSelectors[0]
	w.forward(w.get("example-com").Status.DKIM.NextRotation.Sub(w.clock.Now()))
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool {
		if !isReady(md) {
			t.Fatalf("not ready during a rotation:\n%s", describe(md))
		}
		data := w.secret("example-com-dkim").Data
		if selector := string(data["selector"]); len(data[selector+".pem"]) == 0 || len(w.dns.TXT(selector+"._domainkey.example.com")) != 1 {
			t.Fatalf("the signer is told to sign with %s, whose key or record is not there", selector)
		}
		return !slices.Contains(md.Status.DKIM.ActiveSelectors, old)
	})
	record := old + "._domainkey.example.com"
	if texts := w.dns.TXT(record); len(texts) != 1 || strings.HasSuffix(texts[0], "p=") {
		t.Errorf("the old record is %q at the switch", texts)
	}
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	w.pass("example-com") // the old key's file leaves the signer's Secret
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "revoked", func(*v1alpha1.MailDomain) bool { return slices.Contains(w.dns.TXT(record), "v=DKIM1; k=ed25519; p=") })
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "removed", func(*v1alpha1.MailDomain) bool { return len(w.dns.TXT(record)) == 0 })
	if !isReady(w.get("example-com")) {
		t.Error(describe(w.get("example-com")))
	}
}

// A process that dies at any write of a rotation, and is away until the old key's retention has
// passed: at no instant is the signer told to sign with a key whose record is not served.
func TestCrashAtEveryWriteOfARotation(t *testing.T) {
	w := newWorld(t)
	s := signing()
	s.DKIM.Rotation = &v1alpha1.DKIMRotation{Interval: &metav1.Duration{Duration: 87600 * time.Hour}}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.check = func() {
		data := w.secret(theSigner).Data
		selectors := strings.Fields(string(data["selectors"]))
		if len(selectors) != 1 || selectors[0] != string(data["selector"]) {
			t.Fatalf("the signer is told to sign with %q and %q", data["selector"], selectors)
		}
		record, err := keys.RecordOf(data[keys.PrivateFile(selectors[0])])
		if diff := cmp.Diff([]string{record}, w.dns.TXT(selectors[0]+"._domainkey.example.com")); err != nil || diff != "" {
			t.Fatalf("the signer is told to sign with %s: %v %s", selectors[0], err, diff)
		}
	}
	// rotate brings one rotation about, up to the revocation, and returns its writes.
	rotate := func(name string, crashAt int, after bool) (effects []string) {
		before := len(w.effects)
		w.after, w.crashAt = after, 0
		if crashAt > 0 {
			w.crashAt = before + crashAt
		}
		old := w.active("example-com")
		record := w.dns.TXT(old + "._domainkey.example.com")
		w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: name} })
		away := 0
		for range 60 {
			died := w.pass("example-com")
			switch {
			case !slices.Equal(w.dns.TXT(old+"._domainkey.example.com"), record) && !died: // revoked, or removed already
				return w.effects[before:]
			case died:
				w.restart()
				w.forward(v1alpha1.DefaultRotationRetention)
			case away < 2 && !slices.Contains(w.get("example-com").Status.DKIM.ActiveSelectors, old):
				away++ // until its file leaves the signer's Secret, and until its record is revoked
				w.forward(v1alpha1.DefaultRotationRetention)
			default:
				w.forward(time.Second)
			}
		}
		t.Fatalf("%s: the rotation does not end:\n%s", name, describe(w.get("example-com")))
		return nil
	}
	rehearsal := slices.Clone(rotate("rehearsal", 0, false))
	for n, effect := range rehearsal {
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("%d %s%s", n+1, effect, map[bool]string{true: " and then", false: " not yet"}[after])
			t.Run(name, func(*testing.T) { rotate(name, n+1, after) })
		}
	}
	w.passes(3)
	if !isReady(w.get("example-com")) {
		t.Error(describe(w.get("example-com")))
	}
}
