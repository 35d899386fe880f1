package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// lose takes a private key out of both Secrets.
func (w *world) lose(selector string) {
	w.t.Helper()
	for _, secret := range []string{theLedger, theSigner} {
		w.spoil(secret, keys.PrivateFile(selector), nil)
	}
}

// A key that is nowhere to be found is waited for, and only then replaced: under a new selector, after
// the proof, while its own record stays for mail under way. Until then the signer is told of no file
// that is not there, and another key of the domain goes on.
func TestALostKeyIsReplaced(t *testing.T) {
	w := newWorld(t)
	s := signing()
	s.DKIM.Keys = append(s.DKIM.Keys, v1alpha1.DKIMKey{Name: "second", Algorithm: v1alpha1.DKIMEd25519})
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	const first, second, third = "001-20261123a", "001-20261123b", "001-20261123c"
	file := keys.PrivateFile(first)
	good, signer := w.secret(theLedger).Data[file], w.secret(theSigner).Data

	w.lose(first)
	lost := w.secret(theSigner).Data
	grace := func() {
		t.Helper()
		w.passes(5)
		w.forward(10*time.Minute - 10*time.Second)
		w.restart() // which does not begin anew
		w.pass("example-com")
		md := w.get("example-com")
		if text := message(md, v1alpha1.ConditionDKIMReady); !hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonKeyLost)(md) || !strings.Contains(text, "restore "+file+" from a backup") || !strings.Contains(text, "10m0s") {
			t.Error(describe(md))
		}
		if diff := cmp.Diff([]string{first + " Active", second + " Active"}, keyStates(md)); diff != "" || !cmp.Equal(lost, w.secret(theSigner).Data) {
			t.Errorf("before the time has come: %s", diff)
		}
	}
	grace()
	w.spoil(theLedger, file, good)
	w.pass("example-com")
	if md := w.get("example-com"); !isReady(md) || !cmp.Equal(signer, w.secret(theSigner).Data) {
		t.Errorf("restored in time:\n%s", describe(md))
	}

	w.lose(first)
	grace() // all of it, once more
	if w.told("Warning KeyReplaced") {
		t.Error("it is replaced already")
	}
	w.forward(20 * time.Second)
	w.pass("example-com")
	md := w.get("example-com")
	if diff := cmp.Diff([]string{first + " Active", second + " Active", third + " Published"}, keyStates(md)); diff != "" || !hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonKeyLost)(md) {
		t.Errorf("%s\n%s", diff, describe(md))
	}
	if !w.told("Warning KeyReplaced the private key of " + first + " was lost, and not restored in time: " + third) {
		t.Error("nobody was told")
	}
	if data := w.secret(theSigner).Data; string(data["selectors"]) != second+"\n" || string(data["selector"]) != second {
		t.Errorf("the signer is told of a file that is not there: %q", data["selectors"])
	}
	w.until("example-com", "ready", isReady)
	md = w.get("example-com")
	if diff := cmp.Diff([]string{first + " Retired", second + " Active", third + " Active"}, keyStates(md)); diff != "" {
		t.Error(diff)
	}
	if data := w.secret(theSigner).Data; string(data["selectors"]) != third+"\n"+second+"\n" {
		t.Errorf("the signer is told to sign with %q", data["selectors"])
	}
	if texts := w.dns.TXT(first + "._domainkey.example.com"); len(texts) != 1 || strings.HasSuffix(texts[0], "p=") {
		t.Errorf("the record of the lost key is %q while mail is under way", texts)
	}
	w.settles("example-com")
}

// The only key that signs is lost, and the one that replaces it is lost on its way too. What the signer
// has stays as it is until a key can take over.
func TestTheOnlyKeyIsLost(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	const first, second = "001-20261123a Retired", "001-20261123b"
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool {
		return cmp.Equal([]string{first, second + " Active"}, keyStates(md))
	})
	w.lose(second)
	before := w.secret(theSigner).Data
	states := func(want ...string) {
		t.Helper()
		w.pass("example-com")
		w.forward(10 * time.Minute)
		w.pass("example-com")
		if diff := cmp.Diff(append([]string{first}, want...), keyStates(w.get("example-com"))); diff != "" || !cmp.Equal(before, w.secret(theSigner).Data) {
			t.Fatalf("the signer is told to sign with %q: %s", w.secret(theSigner).Data["selectors"], diff)
		}
	}
	states(second+" Active", "001-20261123c Published")
	w.spoil(theLedger, "001-20261123c.pem", nil)
	states(second+" Active", "001-20261123d Published")
	w.until("example-com", "ready", isReady)
	if got := keyStates(w.get("example-com")); !cmp.Equal([]string{first, second + " Retired", "001-20261123d Active"}, got) {
		t.Error(got)
	}
}

// A MailDomain from a backup has no status, and if the backup had no Secrets, only DNS tells that its keys
// are lost: its own registry record, and that there are selectors.
func TestOnlyDNSTellsThatKeysAreLost(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	selector := w.active("example-com")
	again := func() {
		w.vanish(w.get("example-com"))
		w.apply("example-com", signing())
	}
	for _, name := range []string{theLedger, theSigner} {
		w.vanish(w.secret(name))
	}
	w.must(client.IgnoreNotFound(w.api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: siteName("example.com")}})))
	again()
	for range 3 {
		if err := w.try("example-com"); err == nil {
			t.Fatal("the pass goes on")
		}
		w.forward(time.Hour)
	}
	md := w.get("example-com")
	text := message(md, v1alpha1.ConditionReady)
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonLedgerUnreadable)(md) || !strings.Contains(text, "while TXT _maildomain.example.com names this MailDomain") || !strings.Contains(text, "delete the MailDomain and the record") {
		t.Error(describe(md))
	}
	if texts := w.dns.TXT(selector + "._domainkey.example.com"); len(texts) != 1 {
		t.Errorf("the record is %q", texts)
	}

	// The way out. A new domain whose owner has published the record before is not taken for a lost one.
	w.must(w.dns.SetTXT(selector + "._domainkey.example.com"))
	again()
	w.until("example-com", "ready", isReady)
}
