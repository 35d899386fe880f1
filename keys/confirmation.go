package keys

import "slices"

// Confirmation is a person's word that the signer signs with a selector now.
type Confirmation struct {
	Selector string `json:"selector,omitempty"`
	Turn     int    `json:"turn,omitempty"` // of the keyring when the word was first seen
}

// Turn counts how often the keys that sign have changed. Each change puts new tables before the
// signers, so a turn says which tables a key is in, whatever the clock did.
func (r Keyring) Turn() int {
	turn := 0
	for _, k := range r {
		turn = max(turn, k.Entered, k.Left)
	}
	return turn
}

// successor returns the selector that only tables without the retired key name: the last one that began to
// sign, if that was not before the key ended. "" if none did, as when the key left spec.
func (r Keyring) successor(retired Key) string {
	var last Key
	for _, k := range r.With(Active) {
		if k.Entered >= max(retired.Left, last.Entered) {
			last = k
		}
	}
	return last.Selector
}

// confirmed reports whether a person has said that the signer no longer signs with the retired key: by
// naming a key that began to sign when it ended, or later. So a word about one switch is none about a
// later one. Where no key did, a word counts that was not there yet when the key ended, about any
// selector that signs.
func (p Policy) confirmed(ring Keyring, retired Key) bool {
	word := p.Confirm
	if word == nil {
		return true
	}
	i := ring.Find(word.Selector)
	signs := i >= 0 && ring[i].State() == Active
	if signs && ring[i].Entered >= retired.Left {
		return true
	}
	return ring.successor(retired) == "" && (signs || slices.Contains(p.External, word.Selector)) && word.Turn >= retired.Left
}
