package keys

import (
	"hash/fnv"
	"slices"
	"time"
)

// Spec is one key that the user wants.
type Spec struct {
	Name      string
	Algorithm string
	Bits      int
	// AsIs is the selector of an imported key that does, whatever its size; "" without one.
	AsIs string
}

// Succeeds is what is to follow the imported key: of its algorithm, and of a size that is made.
func (k Key) Succeeds() Spec {
	s := Spec{Name: k.Name, Algorithm: k.Algorithm, AsIs: k.Selector}
	if k.Algorithm == rsaAlgorithm {
		s.Bits = min(max(MinBits, (k.Bits+1023)/1024*1024), maxBits)
	}
	return s
}

// Policy is what the user wants of the keys.
type Policy struct {
	Keys      []Spec
	Kept      []string      // names of keys whose successor is to come from somewhere else: they go on
	Interval  time.Duration // from one activation to the next, at most
	Retention time.Duration // how long a retired key's record stays
	Paused    bool          // no rotation by schedule
	Spread    string        // what the schedule is spread by: rotations of many domains fall apart

	RotateNow   bool     // a rotation was asked for
	Compromised []string // selectors of keys that others know: replaced at once, no retention
	Lost        []string // selectors of keys whose private half will not come back: replaced at once
	// Confirm is what a person last said of the signer, where a retired key waits for that; nil: none
	// waits. External are the selectors of others that may sign instead.
	Confirm  *Confirmation
	External []string
	// Frozen keeps what signs as it is: no key starts or stops, and none that may have signed is
	// revoked unless it is compromised. The signer's Secret can't be written, so what the signer
	// does is not known, or nobody is to stop signing now.
	Frozen bool
}

// Names returns the names of the keys that are to sign.
func (p Policy) Names() []string {
	var names []string
	for _, s := range p.Keys {
		names = append(names, s.Name)
	}
	return append(names, p.Kept...)
}

// spread is the part of the interval by which a domain rotates earlier, up to a tenth.
func (p Policy) spread() time.Duration {
	tenth := p.Interval / 10
	if tenth < time.Second {
		return 0
	}
	hash := fnv.New64a()
	hash.Write([]byte(p.Spread))
	return (time.Duration(hash.Sum64()%uint64(tenth/time.Second)) * time.Second)
}

// NextRotation returns when the next scheduled rotation begins: the keys rotate together, when
// the oldest active one is due. ok is false if none is scheduled.
func NextRotation(ring Keyring, policy Policy) (at time.Time, ok bool) {
	if policy.Paused {
		return time.Time{}, false
	}
	for _, spec := range policy.Keys {
		_, active := ring.named(spec.Name)
		for _, i := range active {
			if due := ring[i].Active.Add(policy.Interval - policy.spread()); !ok || due.Before(at) {
				at, ok = due, true
			}
		}
	}
	return at, ok
}

// Due returns the keys of policy that must be made now: those without any key yet, those whose
// active key is compromised, lost or not of the wished algorithm and size, and at a rotation all. A key that already
// has a successor under way needs none.
func Due(ring Keyring, policy Policy, now time.Time) []Spec {
	at, scheduled := NextRotation(ring, policy)
	rotate := policy.RotateNow || scheduled && !now.Before(at)
	var due []Spec
	for _, spec := range policy.Keys {
		pending, active := ring.named(spec.Name)
		fits := func(i int) bool {
			k := ring[i]
			asked := k.Algorithm == spec.Algorithm && k.Bits == spec.Bits || k.Imported && k.Selector == spec.AsIs
			return asked && !slices.Contains(policy.Compromised, k.Selector) && !slices.Contains(policy.Lost, k.Selector)
		}
		underWay := slices.ContainsFunc(pending, fits)
		if !underWay && (rotate || !slices.ContainsFunc(active, fits)) {
			due = append(due, spec)
		}
	}
	return due
}
