package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// A ledger from a backup is behind the world: at any moment of a rotation, a later one takes back what
// signs. The signer is never told to sign with another key, no key is made, nothing ends early.
func TestALedgerFromABackup(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	const first, second = "001-20261123a", "001-20261123b"
	backups := map[string]*corev1.Secret{}
	reach := func(state string) {
		t.Helper()
		w.until("example-com", state, func(md *v1alpha1.MailDomain) bool { return strings.Contains(strings.Join(keyStates(md), ", "), state) })
		backups[state] = w.secret(theLedger)
	}
	reach(first + " Active")
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.crashAt, w.after = len(w.effects)+1, true // the new key is in the ledger, with the intent of its record
	if !w.pass("example-com") {
		t.Fatal("the pass has written nothing")
	}
	w.crashAt = 0
	w.restart()
	backups[second+" Generated"] = w.secret(theLedger)
	stored, err := ledger.Decode(backups[second+" Generated"].Data[ledgerFile], "example.com")
	w.must(err)
	if i := stored.Keyring.Find(second); i < 0 || stored.Keyring[i].State() != keys.Generated {
		t.Fatalf("the ledger has %+v", stored.Keyring)
	}
	reach(second + " Published")
	reach(first + " Retired")
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = nil })
	w.settles("example-com")
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	w.pass("example-com") // its file leaves the signer's Secret
	w.forward(v1alpha1.DefaultRotationRetention)
	reach(first + " Revoked")
	w.settles("example-com")
	signs := w.secret(theSigner).Data["selector"]
	latest := w.secret(theLedger)
	restore := func(from *corev1.Secret) {
		now := w.secret(theLedger)
		now.Data = from.Data
		w.must(w.api.Update(t.Context(), now))
	}
	w.check = func() {
		if data := w.secret(theSigner).Data; !cmp.Equal(signs, data["selector"]) || len(data[keys.PrivateFile(second)]) == 0 {
			t.Errorf("the signer is told to sign with %q", data["selector"])
		}
	}
	for _, state := range []string{first + " Active", second + " Generated", second + " Published", first + " Retired"} {
		t.Run(state, func(t *testing.T) {
			w.in(t)
			w.told("")
			restore(backups[state])
			w.pass("example-com")
			old := first + " Retired"
			known := state == old // the times that it knows are enough
			if !known && !w.told("Warning KeyRecalled the key of "+second) {
				t.Error("nobody was told")
			}
			if diff := cmp.Diff([]string{old, second + " Active"}, keyStates(w.get("example-com"))); diff != "" {
				t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
			}
			w.settles("example-com")
			if !known {
				w.forward(v1alpha1.DefaultRotationRetention / 2)
				w.pass("example-com")
			}
			w.forward(v1alpha1.DefaultRotationRetention - time.Hour)
			w.pass("example-com")
			if got := keyStates(w.get("example-com")); got[0] != old {
				t.Errorf("got %v before its time", got)
			}
			w.forward(time.Hour)
			w.until("example-com", "revoked", func(md *v1alpha1.MailDomain) bool {
				return cmp.Equal([]string{first + " Revoked", second + " Active"}, keyStates(md))
			})
			restore(latest)
			w.settles("example-com")
		})
	}
}

// What can't be seen is waited for, and what is not served or not of the operator's making is not taken.
func TestWhatIsRecalled(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	backup := w.secret(theLedger)
	const first, second = "001-20261123a", "001-20261123b"
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool {
		return cmp.Equal([]string{first + " Retired", second + " Active"}, keyStates(md))
	})
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = nil })
	w.settles("example-com")
	signer := w.secret(theSigner).Data

	now := w.secret(theLedger)
	now.Data = backup.Data
	w.must(w.api.Update(t.Context(), now))
	w.dns.Fault(dnsserver.Fault{ServFail: true})
	w.pass("example-com")
	if !hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonServersUnreachable)(w.get("example-com")) || !cmp.Equal(signer, w.secret(theSigner).Data) {
		t.Errorf("it can't be seen what is served:\n%s", describe(w.get("example-com")))
	}
	w.dns.Fault(dnsserver.Fault{})
	w.until("example-com", "ready", isReady)
	if w.active("example-com") != second || !cmp.Equal(signer, w.secret(theSigner).Data) {
		t.Error(keyStates(w.get("example-com")))
	}

	foreign, err := keys.Generate("ed25519", 0)
	w.must(err)
	unserved, err := keys.Generate("ed25519", 0)
	w.must(err)
	w.must(w.dns.SetTXT("google._domainkey.example.com", foreign.Record))
	w.spoil(theSigner, "google.pem", foreign.Private)
	w.spoil(theSigner, "001-20261123z.pem", unserved.Private)
	w.spoil(theSigner, "001-20261123y.pem", []byte("garbage"))
	w.settles("example-com")
	if md := w.get("example-com"); len(keyStates(md)) != 2 || !isReady(md) || !cmp.Equal(signer, w.secret(theSigner).Data) {
		t.Errorf("%v\n%s", keyStates(md), describe(md))
	}
	w.forward(3 * v1alpha1.DefaultRotationRetention)
	w.settles("example-com")
	if diff := cmp.Diff([]string{foreign.Record}, w.dns.TXT("google._domainkey.example.com")); diff != "" {
		t.Errorf("somebody's record: %s", diff)
	}

	// A file that no table names is that of a key that has just retired.
	third, err := keys.Generate("ed25519", 0)
	w.must(err)
	w.must(w.dns.SetTXT("001-20261122a._domainkey.example.com", third.Record))
	w.spoil(theSigner, "001-20261122a.pem", third.Private)
	w.pass("example-com")
	if got := keyStates(w.get("example-com")); got[len(got)-1] != "001-20261122a Retired" {
		t.Errorf("got %v", got)
	}
	w.forward(v1alpha1.DefaultRotationRetention - time.Minute)
	w.pass("example-com")
	if diff := cmp.Diff([]string{third.Record}, w.dns.TXT("001-20261122a._domainkey.example.com")); diff != "" {
		t.Errorf("before its time: %s", diff)
	}
}
