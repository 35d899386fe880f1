package keys

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Transition is one step that a key made.
type Transition struct {
	Selector string
	To       State
}

// Wait says what a key waits for, in words that do not change while the wait does not.
type Wait struct {
	Selector string
	For      string // names the selector
	Person   bool   // only a person ends it, who confirms that the signer signs with Confirm
	Confirm  string // a selector; "": any that signs, said anew
}

// Outcome is the answer of Advance.
type Outcome struct {
	Ring        Keyring
	Transitions []Transition
	Waits       []Wait
	Ignored     []string      // name servers without an answer that are, or were, no longer waited for
	Recheck     time.Duration // when time alone moves something; 0 if it never does

	turn int       // the one that begins if anything begins or ends to sign
	seen time.Time // when the evidence is from, rounded up: what it shows may be as young as that
}

// Advance moves every key as far as policy, evidence (by selector) and now allow. It never
// skips a proof:
//
//	Generated  → Published   the record was read back
//	Published  → Propagated  every server that must serves the record, and has done so for the
//	                         time that a resolver may believe in the name's absence
//	Propagated → Active      at once, unless the key is no longer wanted; the same look must still show it
//	Active     → Retired     a newer key of the same name is active; or the name left the policy
//	                         while another key signs or none is wanted
//	Retired    → Revoked     its file left the signer's Secret (half of retention has passed, nothing
//	                         is frozen, and the signer's switch needs no confirmation), and
//	                         retention has passed since
//	Revoked    → Removed     retention has passed once more
//
// A key that never signed, and is no longer wanted or is lost, is Removed at once; it is Retired if it
// was Offered. Times in the future, of
// a clock that was set back, only make a key wait longer.
//
// The caller stores Ring after the signer's Secret was written from it: then a crash in
// between makes retirement later, never earlier. What Offer returns is stored before. A key that Ring does not know to be active and that
// the signer's Secret has nevertheless is Active.
func Advance(ring Keyring, policy Policy, evidence map[string]Evidence, now time.Time) Outcome {
	seen := now.UTC().Add(time.Second - 1).Truncate(time.Second)
	now = now.UTC().Truncate(time.Second)
	out := Outcome{Ring: make(Keyring, len(ring)), turn: ring.Turn() + 1, seen: seen}
	for i, k := range ring {
		k.Silent = maps.Clone(k.Silent)
		out.Ring[i] = k
	}
	for i := range out.Ring {
		out.prove(&out.Ring[i], policy, evidence[out.Ring[i].Selector], now)
	}
	out.retire(policy, now)
	for i := range out.Ring {
		out.expire(&out.Ring[i], policy, now)
	}
	return out
}

func (o *Outcome) moved(k *Key, to State) {
	o.Transitions = append(o.Transitions, Transition{k.Selector, to})
}

func (o *Outcome) wait(k *Key, format string, args ...any) {
	o.Waits = append(o.Waits, Wait{Selector: k.Selector, For: fmt.Sprintf(format, args...)})
}

func (o *Outcome) recheck(after time.Duration) {
	if after > 0 && (o.Recheck == 0 || after < o.Recheck) {
		o.Recheck = after
	}
}

// unheard goes on naming the servers that did not answer in time for an active key, until they answer.
func (o *Outcome) unheard(k *Key, seen Evidence, now time.Time) {
	if len(k.Silent) == 0 || len(seen.Witnesses) == 0 {
		return
	}
	silent, _, ignored := judge(k.Selector, seen, k.Silent, now)
	maps.DeleteFunc(silent, func(addr string, _ time.Time) bool { _, before := k.Silent[addr]; return !before })
	k.Silent = silent
	o.Ignored = compact(append(o.Ignored, ignored...))
}

// prove takes a pending key up to Active.
func (o *Outcome) prove(k *Key, policy Policy, seen Evidence, now time.Time) {
	if k.State() == Active {
		o.unheard(k, seen, now)
	}
	if !k.Pending() {
		return
	}
	if seen.Mounted && !slices.Contains(policy.Compromised, k.Selector) {
		// It signs: the process died between the signer's Secret and the ledger.
		k.Propagated, k.Active, k.Entered = cmp.Or(k.Propagated, now), now, o.turn
		o.moved(k, Active)
		return
	}
	if !slices.ContainsFunc(policy.Keys, func(s Spec) bool { return s.Name == k.Name }) ||
		slices.Contains(policy.Compromised, k.Selector) || slices.Contains(policy.Lost, k.Selector) {
		if k.Offered.IsZero() {
			k.Removed, k.Silent = now, nil
			o.moved(k, Removed)
			return
		}
		// It may sign: nobody knows what became of the signer's Secret.
		k.Active, k.Retired, k.Left, k.Silent = now, now, o.turn, nil
		o.moved(k, Retired)
		return
	}
	if !seen.Standing {
		// A record that was taken away has to be proven again from the start.
		k.Published, k.Served, k.Propagated, k.Silent = time.Time{}, time.Time{}, time.Time{}, nil
		o.wait(k, "the record of %s to be published", k.Selector)
		return
	}
	if k.Published.IsZero() {
		k.Published = now
		o.moved(k, Published)
	}
	silent, why, ignored := judge(k.Selector, seen, k.Silent, now)
	k.Silent = silent
	o.Ignored = compact(append(o.Ignored, ignored...))
	if why != "" {
		k.Served, k.Propagated = time.Time{}, time.Time{}
		for _, since := range silent {
			o.recheck(since.Add(SilenceLimit).Sub(now))
		}
		o.wait(k, "%s", why)
		return
	}
	if k.Served.IsZero() || k.Served.After(o.seen) {
		k.Served = o.seen
	}
	if left := k.Served.Add(seen.NegativeTTL).Sub(now); left > 0 {
		o.recheck(left)
		o.wait(k, "resolvers to forget that %s did not exist", k.Selector)
		return
	}
	if k.Propagated.IsZero() {
		k.Propagated = now
		o.moved(k, Propagated)
	}
	if policy.Frozen {
		o.wait(k, "the signer's Secret, so that %s can sign", k.Selector)
		return
	}
	k.Active, k.Entered = now, o.turn
	o.moved(k, Active)
}

// retire takes active keys out of use that have a successor, or that nobody wants.
func (o *Outcome) retire(policy Policy, now time.Time) {
	if policy.Frozen {
		return
	}
	// newest[name] is the key that signs for the name from now on.
	newest := map[string]int{}
	for i, k := range o.Ring {
		if k.State() != Active {
			continue
		}
		if j, ok := newest[k.Name]; !ok || newer(k, o.Ring[j]) {
			newest[k.Name] = i
		}
	}
	wanted := func(name string) bool {
		return slices.ContainsFunc(policy.Keys, func(s Spec) bool { return s.Name == name })
	}
	wantedSigns := slices.ContainsFunc(policy.Keys, func(s Spec) bool { _, ok := newest[s.Name]; return ok })
	for i := range o.Ring {
		k := &o.Ring[i]
		if k.State() != Active {
			continue
		}
		replaced := newest[k.Name] != i
		dropped := !wanted(k.Name) && !slices.Contains(policy.Kept, k.Name) && (wantedSigns || len(policy.Keys) == 0)
		if replaced || dropped {
			k.Retired, k.Left, k.Silent = now, o.turn, nil
			o.moved(k, Retired)
		}
	}
}

// newer orders two active keys of one name; the later entry of the keyring wins a tie.
func newer(a, b Key) bool { return cmp.Or(a.Created.Compare(b.Created), 1) > 0 }

// expire ends the life of a retired key.
func (o *Outcome) expire(k *Key, policy Policy, now time.Time) {
	retention := policy.Retention
	if slices.Contains(policy.Compromised, k.Selector) {
		retention = 0
	}
	switch k.State() {
	case Retired:
		if retention > 0 && !o.withdraw(k, policy, now) {
			return
		}
		if left := k.Withdrawn.Add(retention).Sub(now); left > 0 && retention > 0 {
			o.recheck(left)
			return
		}
		k.Revoked = now
		o.moved(k, Revoked)
		o.recheck(policy.Retention)
	case Revoked:
		if left := k.Revoked.Add(policy.Retention).Sub(now); left > 0 {
			o.recheck(left)
			return
		}
		k.Removed = now
		o.moved(k, Removed)
	}
}

// withdraw has a retired key's file leave the signer's Secret, when every signer has had half of the
// retention to notice the switch. Until then one that has not may sign with it, so retention counts from
// here (Law 4). It reports whether the file has left, and nothing speaks against what comes next.
func (o *Outcome) withdraw(k *Key, policy Policy, now time.Time) bool {
	left := k.Retired.Add(policy.Retention / 2).Sub(now)
	switch {
	case policy.Frozen:
		return false // what is signed with while the signer's Secret is not ours to write is not known
	case !k.Withdrawn.IsZero():
		return true
	case !policy.confirmed(o.Ring, *k):
		o.wait(k, "a person to confirm that the signer has switched from %s", k.Selector)
		last := &o.Waits[len(o.Waits)-1]
		last.Person, last.Confirm = true, o.Ring.successor(*k)
		return false
	case left > 0:
		o.recheck(left)
		return false
	}
	k.Withdrawn = now
	return true
}
