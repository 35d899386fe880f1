// Package signers lets real mail programs sign with exactly what the signer's Secret holds, through a
// rotation of the keys, and verifies what they sign by what the zone serves.
package signers

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/keys"
)

// TestRotation takes an rsa and an ed25519 key through a rotation, and to the end of all signing, with
// signers that are told of nothing until the files of the retired keys have left the Secret.
func TestRotation(t *testing.T) {
	d := newDomain(t, keys.Spec{Name: "rsa", Algorithm: "rsa", Bits: 2048}, keys.Spec{Name: "ed", Algorithm: "ed25519"})
	verifier := newVerifier(t, d.server)
	d.pass(0)
	d.pass(negativeTTL)
	r := &rotation{t, d, verifier, startPrograms(t, d.volume)}

	before := r.everyoneSigns("before the rotation", r.withActive)
	r.nobodySignsForOthers()
	r.bothOpenDKIMs()
	r.testkeys()

	var halfway [][]byte
	d.volume.halfway = func() { halfway = r.everyoneSigns("while kubelet is at it", nil) }
	d.rotate()
	d.volume.halfway = nil
	if len(halfway) != len(r.programs) {
		t.Fatalf("%d messages were sent at the switch", len(halfway))
	}
	r.testkeys()
	for _, p := range r.programs {
		if p.rereads {
			r.comesTo(p, r.withActive(p))
		}
	}
	during := r.everyoneSigns("after the switch", r.withoutReload)
	d.pass(d.policy.Retention/2 - time.Second)
	late := r.everyoneSigns("as long as the Secret keeps the old files", r.withoutReload)

	d.pass(time.Second)
	for _, p := range r.programs {
		r.fares(p)
	}
	r.reload()
	for _, p := range r.programs {
		r.comesTo(p, r.withActive(p))
	}
	r.everyoneSigns("after the reload", r.withActive)

	d.pass(d.policy.Retention - time.Second) // which counts from when the files left
	r.verify("at the end of the retention", true, slices.Concat(before, halfway, during, late))
	d.pass(time.Second)
	r.verify("after the retention", false, before)
	r.everyoneSigns("after the retention", r.withActive)

	d.policy.Keys = nil
	d.pass(time.Hour)
	r.reload()
	for _, p := range r.programs {
		r.comesTo(p, nil)
	}
}

// rotation is a domain and those who sign for it.
type rotation struct {
	t        *testing.T
	domain   *domain
	verifier verifier
	programs []*program
}

// withActive returns the selectors of the active keys that the program signs with.
func (r *rotation) withActive(p *program) []string { return r.with(p, keys.Active) }

// withoutReload returns the selectors that a program signs by which was not told of the switch.
func (r *rotation) withoutReload(p *program) []string {
	if p.reload != nil {
		return r.with(p, keys.Retired)
	}
	return r.with(p, keys.Active)
}

func (r *rotation) with(p *program, state keys.State) []string {
	r.t.Helper()
	var selectors []string
	for _, name := range p.signsWith {
		selectors = append(selectors, r.domain.selector(name, state))
	}
	return selectors
}

// everyoneSigns has every program sign a message, and returns the messages. Each must be signed, by the
// wanted selectors if there is a wish, and each signature be valid.
func (r *rotation) everyoneSigns(when string, want func(p *program) []string) [][]byte {
	r.t.Helper()
	var messages [][]byte
	for _, p := range r.programs {
		signed, err := p.send(ann, message(ann))
		if err != nil {
			r.t.Fatalf("%s, %s: %v\n%s", when, p.name, err, p.daemon.Log())
		}
		messages = append(messages, signed)
	}
	for i, p := range r.programs {
		got := r.selectors(when+", "+p.name, messages[i])
		if len(got) == 0 {
			r.t.Errorf("%s, %s does not sign\n%s", when, p.name, p.daemon.Log())
		}
		if want == nil {
			continue
		}
		if diff := cmp.Diff(want(p), got); diff != "" {
			r.t.Errorf("%s, %s: %s", when, p.name, diff)
		}
	}
	return messages
}

// selectors returns the selectors of the message's signatures, which must be valid and of the domain.
func (r *rotation) selectors(who string, message []byte) []string {
	r.t.Helper()
	var selectors []string
	for _, s := range r.verifier.signatures(message)[0] {
		if selectors = append(selectors, s.selector); !s.valid || s.domain != theDomain {
			r.t.Errorf("%s: %+v\n%s", who, s, message)
		}
	}
	return selectors
}

// nobodySignsForOthers tries addresses that are near the domain.
func (r *rotation) nobodySignsForOthers() {
	r.t.Helper()
	for _, p := range r.programs {
		for from, wanted := range map[string]bool{
			"ann@EXAMPLE.com":     true,
			"eve@sub.example.com": false,
			"eve@notexample.com":  false,
			"eve@exampleXcom":     false,
			"eve@example.org":     false,
		} {
			sent, err := p.send(from, message(from))
			if err != nil {
				r.t.Fatalf("%s, %s: %v", p.name, from, err)
			}
			if got := r.selectors(p.name, sent); wanted != (len(got) > 0) {
				r.t.Errorf("%s signs for %s by %q", p.name, from, got)
			}
		}
	}
}

// bothOpenDKIMs sends a message through one and then the other.
func (r *rotation) bothOpenDKIMs() {
	r.t.Helper()
	sent := message(ann)
	var want []string
	for _, p := range r.programs[:2] {
		var err error
		if sent, err = p.send(ann, sent); err != nil {
			r.t.Fatalf("%s: %v", p.name, err)
		}
		want = append(want, r.withActive(p)...)
	}
	if diff := cmp.Diff(want, r.selectors("both OpenDKIMs", sent)); diff != "" {
		r.t.Errorf("both OpenDKIMs: %s", diff)
	}
}

// testkeys runs opendkim-testkey on both KeyTables. Of ed25519 keys it can say nothing.
func (r *rotation) testkeys() {
	r.t.Helper()
	for conf, want := range map[string]string{
		"opendkim.conf":         "1 key checked; 1 pass, 0 fail",
		"opendkim-ed25519.conf": "expecting an rsa key",
	} {
		if out := testkey(r.t, r.domain, conf); !strings.Contains(out, want) {
			r.t.Errorf("opendkim-testkey with %s does not say %q:\n%s", conf, want, out)
		}
	}
}

// fares sends a message through a program that was not told of the switch until it was too late.
func (r *rotation) fares(p *program) {
	r.t.Helper()
	got := ""
	sent, err := p.send(ann, message(ann))
	switch {
	case errors.Is(err, errDeferred):
		got = isDeferred
	case err != nil:
		r.t.Fatalf("%s: %v", p.name, err)
	case len(r.selectors(p.name, sent)) == 0:
		got = isUnsigned
	}
	if got != p.stale {
		r.t.Errorf("%s was told too late: its mail %s, want: %s", p.name, got, p.stale)
	}
}

// reload tells every program that wants to be told.
func (r *rotation) reload() {
	r.t.Helper()
	for _, p := range r.programs {
		if p.reload == nil {
			continue
		}
		if err := p.daemon.Signal(p.reload); err != nil {
			r.t.Fatal(err)
		}
	}
}

// comesTo waits until the program signs by exactly these selectors. What it signs on the way is valid.
func (r *rotation) comesTo(p *program, want []string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		sent, err := p.send(ann, message(ann))
		if err != nil && !errors.Is(err, errDeferred) {
			r.t.Fatalf("%s: %v\n%s", p.name, err, p.daemon.Log())
		}
		var got []string
		if err == nil {
			got = r.selectors(p.name, sent)
		}
		if err == nil && slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s signs by %q (%v), want %q\n%s", p.name, got, err, want, p.daemon.Log())
		}
	}
}

// verify verifies messages that were sent earlier.
func (r *rotation) verify(when string, valid bool, messages [][]byte) {
	r.t.Helper()
	for i, signatures := range r.verifier.signatures(messages...) {
		for _, s := range signatures {
			if s.valid != valid {
				r.t.Errorf("%s: %+v\n%s", when, s, messages[i])
			}
		}
	}
}
