package keys

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A word about one switch is none about another one, whichever of the keys it names.
func TestConfirmed(t *testing.T) {
	signing := func(name, selector string, entered int) Key {
		k := activeKey(name, selector)
		k.Entered = entered
		return k
	}
	ended := func(name, selector string, entered, left int) Key {
		k := signing(name, selector, entered)
		k.Retired, k.Left = start, left
		return k
	}
	// The pair rotates together, and its halves become active one after the other.
	apart := Keyring{ended("rsa", "r1", 1, 2), ended("ed", "e1", 1, 3), signing("rsa", "r2", 2), signing("ed", "e2", 3)}
	together := Keyring{ended("rsa", "r1", 1, 2), ended("ed", "e1", 1, 2), signing("rsa", "r2", 2), signing("ed", "e2", 2)}
	twice := Keyring{ended("rsa", "r1", 1, 2), ended("rsa", "r2", 2, 3), ended("ed", "e1", 1, 3), signing("rsa", "r3", 3), signing("ed", "e2", 3)}
	dropped := Keyring{signing("rsa", "r1", 1), ended("ed", "e1", 1, 2)}
	left := Keyring{ended("rsa", "r1", 1, 2)}
	old := Keyring{ended("rsa", "r1", 0, 0), signing("rsa", "r2", 0)}
	older := Keyring{ended("rsa", "r1", 0, 1), signing("rsa", "r2", 1)}
	for _, test := range []struct {
		what string
		ring Keyring
		word Confirmation
		want string // the selectors that are confirmed
		say  string // what to say for the first that is not
	}{
		{"nobody has said anything", apart, Confirmation{}, "", "e2"},
		{"what never was", apart, Confirmation{"r9", 9}, "", "e2"},
		{"the old one, seen late", apart, Confirmation{"r1", 3}, "", "e2"},
		{"the first of the pair: tables with it may name the other's old key", apart, Confirmation{"r2", 3}, "r1 ", "e2"},
		{"the last of the pair", apart, Confirmation{"e2", 3}, "r1 e1 ", ""},
		{"either, if both came with one write", together, Confirmation{"r2", 2}, "r1 e1 ", ""},
		{"or the other", together, Confirmation{"e2", 2}, "r1 e1 ", ""},
		{"a word about the switch before", twice, Confirmation{"r2", 9}, "", "e2"},
		{"the last switch confirms the one before", twice, Confirmation{"r3", 3}, "r1 r2 e1 ", ""},
		{"no key took over: a word from before", dropped, Confirmation{"r1", 1}, "", ""},
		{"no key took over: a new word", dropped, Confirmation{"r1", 2}, "e1 ", ""},
		{"no key took over: a new word about what does not sign", dropped, Confirmation{"e1", 2}, "", ""},
		{"others sign: a word from before", left, Confirmation{"google", 1}, "", ""},
		{"others sign", left, Confirmation{"google", 2}, "r1 ", ""},
		{"a stranger signs", left, Confirmation{"acme", 2}, "", ""},
		{"an external selector is no successor", together, Confirmation{"google", 2}, "", "e2"},
		{"an older ledger", old, Confirmation{"r2", 0}, "r1 ", ""},
		{"an older ledger, nothing said", old, Confirmation{}, "", "r2"},
		{"an older ledger, of which the key retires now", older, Confirmation{"r2", 0}, "r1 ", ""},
	} {
		p := policyFor("rsa", "ed")
		p.Confirm, p.External = &test.word, []string{"google"}
		got, say := "", ""
		for _, k := range test.ring.With(Retired) {
			if p.confirmed(test.ring, k) {
				got += k.Selector + " "
			} else if say == "" {
				say = test.ring.successor(k)
			}
		}
		if got != test.want || say != test.say {
			t.Errorf("%s: confirmed are %q, and %q is asked for; want %q and %q", test.what, got, say, test.want, test.say)
		}
		p.Confirm = nil
		if !p.confirmed(test.ring, test.ring.With(Retired)[0]) {
			t.Errorf("%s: nobody waits for a word", test.what)
		}
	}
}

// Whatever happens: no key is confirmed by a selector that signed beside it, unless the word came after
// its end and nothing took over. Who does what is asked for has every key confirmed.
func TestAWordIsAboutOneSwitch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"rsa", "ed"}
		var ring Keyring
		beside := map[[2]string]bool{}
		now := start
		for n := range rapid.IntRange(1, 12).Draw(t, "passes") {
			// A clock that is set back changes nothing.
			now = now.Add(rapid.SampledFrom([]time.Duration{-day, time.Second, time.Hour}).Draw(t, "clock"))
			evidence := map[string]Evidence{}
			for _, name := range names {
				if rapid.Bool().Draw(t, "rotates") {
					k := newKey(name, fmt.Sprintf("%s%d", name, n), now)
					ring = append(ring, k)
					evidence[k.Selector] = rapid.SampledFrom([]Evidence{{Mounted: true}, {Standing: true, Witnesses: served().Witnesses}}).Draw(t, "proof")
				}
			}
			p := policyFor(names[:rapid.IntRange(1, 2).Draw(t, "wanted")]...)
			p.Confirm, p.Retention = &Confirmation{}, 100*365*day
			ring = Advance(ring, p, evidence, now).Ring
			for _, a := range ring.With(Active) {
				if a.Entered == 0 {
					t.Fatalf("nobody knows since which turn %s signs", a.Selector)
				}
				for _, b := range ring.With(Active) {
					beside[[2]string{a.Selector, b.Selector}] = true
				}
			}
		}
		for _, k := range ring.With(Retired) {
			for _, other := range ring {
				p := Policy{Confirm: &Confirmation{Selector: other.Selector, Turn: k.Left - 1}}
				if p.confirmed(ring, k) && beside[[2]string{k.Selector, other.Selector}] {
					t.Fatalf("%s confirms %s, beside which it signed: %+v", other.Selector, k.Selector, ring)
				}
			}
			word := Confirmation{Selector: ring.successor(k)}
			if word.Selector == "" {
				word = Confirmation{Selector: ring.With(Active)[0].Selector, Turn: ring.Turn()}
			}
			if !(Policy{Confirm: &word}).confirmed(ring, k) {
				t.Fatalf("%+v is asked for, and does not confirm %s: %+v", word, k.Selector, ring)
			}
		}
	})
}

// A key of an older ledger is read, and stored again, as it was.
func TestAnOlderLedgersKey(t *testing.T) {
	const stored = `{"name":"rsa","selector":"a","algorithm":"rsa","record":"r","active":"2026-11-23T12:00:00Z","retired":"2026-11-24T12:00:00Z"}`
	var k Key
	if err := json.Unmarshal([]byte(stored), &k); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(k); err != nil || string(again) != stored {
		t.Errorf("%s, %v", again, err)
	}
}
