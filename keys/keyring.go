package keys

import (
	"slices"
	"time"
)

// State is a station in the life of a key.
type State string

const (
	Generated  State = "Generated"  // stored; DNS does not know it
	Published  State = "Published"  // its record was written and read back
	Propagated State = "Propagated" // proven to be served everywhere, see Advance
	Active     State = "Active"     // signs
	Retired    State = "Retired"    // signs no more; its record stays for mail under way
	Revoked    State = "Revoked"    // its record has an empty p= (RFC 6376 §3.6.1)
	Removed    State = "Removed"    // its record is no longer wanted; the selector stays taken
)

// Key is one key pair without its private half. A time is zero until it has come; all are
// in UTC and whole seconds, the precision in which they are stored.
type Key struct {
	Name      string `json:"name"`               // of the key in spec, the same over rotations
	Selector  string `json:"selector"`           // of this key alone, never used again
	Algorithm string `json:"algorithm"`          // the k= tag: "rsa" or "ed25519"
	Bits      int    `json:"bits,omitempty"`     // of an rsa key
	Record    string `json:"record"`             // the TXT record of the public key
	Imported  bool   `json:"imported,omitempty"` // made by somebody else; its record may be theirs too

	Created    time.Time `json:"created,omitzero"`
	Published  time.Time `json:"published,omitzero"`
	Served     time.Time `json:"served,omitzero"` // since when every server that must serves it
	Propagated time.Time `json:"propagated,omitzero"`
	Offered    time.Time `json:"offered,omitzero"` // since when the signer's Secret may have its file
	Active     time.Time `json:"active,omitzero"`
	Retired    time.Time `json:"retired,omitzero"`
	Withdrawn  time.Time `json:"withdrawn,omitzero"` // its file has left the signer's Secret: nobody signs with it any more
	Revoked    time.Time `json:"revoked,omitzero"`
	Removed    time.Time `json:"removed,omitzero"`

	// Entered and Left are the turns in which it began and ended to sign; 0 in an older ledger.
	Entered int `json:"entered,omitempty"`
	Left    int `json:"left,omitempty"`

	// Lost is since when its private half is nowhere to be found, while that is needed.
	Lost time.Time `json:"lost,omitzero"`

	// Silent says since when an address of a name server gives no answer about this key: while it
	// waits for its proof; and of an active key, those that it became active without.
	Silent map[string]time.Time `json:"silent,omitempty"`
}

// State returns the station that the key has reached.
func (k Key) State() State {
	switch {
	case !k.Removed.IsZero():
		return Removed
	case !k.Revoked.IsZero():
		return Revoked
	case !k.Retired.IsZero():
		return Retired
	case !k.Active.IsZero():
		return Active
	case !k.Propagated.IsZero():
		return Propagated
	case !k.Published.IsZero():
		return Published
	}
	return Generated
}

// Pending reports whether the key is on its way to its first signature.
func (k Key) Pending() bool {
	s := k.State()
	return s == Generated || s == Published || s == Propagated
}

// NeedsPrivate reports whether the private half must be at hand: it signs, will sign, or may
// still be asked for by a signer that has not noticed the switch.
func (k Key) NeedsPrivate() bool { return k.Pending() || k.State() == Active }

// Recall makes the i-th key one that signs, or that has just stopped to, of which the keyring did not
// know so: it was proven before the keyring that is known was stored.
func (r Keyring) Recall(i int, active bool, now time.Time) {
	k := &r[i]
	for _, at := range []*time.Time{&k.Published, &k.Served, &k.Propagated, &k.Active} {
		if at.IsZero() {
			*at = now
		}
	}
	k.Silent = nil
	if !active {
		k.Retired, k.Left = now, r.Turn()+1
	}
}

// Offer notes of the keys of next that begin to sign that they may do so already. It is stored before the
// signer's Secret is written, and next after that: whatever becomes of the Secret in between, no key
// that was in it is taken for one that never signed. news is false if all of that is known.
func (r Keyring) Offer(next Keyring, now time.Time) (offered Keyring, news bool) {
	offered = slices.Clone(r)
	for i, k := range offered {
		if j := next.Find(k.Selector); k.Pending() && k.Offered.IsZero() && j >= 0 && next[j].State() == Active {
			offered[i].Offered, news = now, true
		}
	}
	return offered, news
}

// TellAnew has retired keys whose files have not left the signer's Secret begin to retire now: that Secret was gone, and nobody
// knows whether a signer was told of the switch before (Law 4). news is false if there are none.
func (r Keyring) TellAnew(now time.Time) (told Keyring, news bool) {
	told = slices.Clone(r)
	for i, k := range told {
		if k.State() == Retired && k.Withdrawn.IsZero() {
			told[i].Retired, news = now, true
		}
	}
	return told, news
}

// Restart has every wait that is under way begin anew, because the clock went forward by itself: the
// time since it began is not known.
func (r Keyring) Restart(now time.Time) {
	for i := range r {
		k := &r[i]
		switch k.State() {
		case Generated, Published, Propagated:
			k.Served, k.Propagated, k.Silent = time.Time{}, time.Time{}, nil
		case Retired:
			k.Retired = now
			if !k.Withdrawn.IsZero() {
				k.Withdrawn = now
			}
		case Revoked:
			k.Revoked = now
		}
		if !k.Lost.IsZero() {
			k.Lost = now
		}
	}
}

// Keyring holds every key that a domain ever had, the oldest first.
type Keyring []Key

// Find returns the index of the key with the selector, -1 without one.
func (r Keyring) Find(selector string) int {
	for i := range r {
		if r[i].Selector == selector {
			return i
		}
	}
	return -1
}

// With returns the keys in the state.
func (r Keyring) With(state State) Keyring {
	var found Keyring
	for _, k := range r {
		if k.State() == state {
			found = append(found, k)
		}
	}
	return found
}

// Lose notes which selectors' private keys are nowhere to be found, and since when.
func (r Keyring) Lose(gone []string, now time.Time) {
	for i := range r {
		k := &r[i]
		switch {
		case !slices.Contains(gone, k.Selector):
			k.Lost = time.Time{}
		case k.Lost.IsZero() || k.Lost.After(now):
			k.Lost = now
		}
	}
}

// named returns the indices of the keys with the name that are pending or active.
func (r Keyring) named(name string) (pending, active []int) {
	for i, k := range r {
		switch {
		case k.Name != name:
		case k.Pending():
			pending = append(pending, i)
		case k.State() == Active:
			active = append(active, i)
		}
	}
	return pending, active
}
