package keys

import (
	"slices"
	"strings"
)

// PrivateFile returns the name under which a Secret holds the private key of the selector.
func PrivateFile(selector string) string { return selector + ".pem" }

// The entries of the signer's Secret beside the private keys.
const (
	DomainFile    = "domain"    // the domain
	SelectorFile  = "selector"  // the selector to sign with, that of the first key of spec; empty: do not sign
	SelectorsFile = "selectors" // all selectors to sign with, one a line; empty: do not sign
)

// SignerData returns what the signer's Secret holds: the private keys (by selector, from
// privates) of the active keys, and of the retired ones until they are withdrawn, because a signer
// may keep its tables in memory and open the key's file for each message. It is nil until
// a key is active for the first time: a signer must not see half a configuration.
//
// When no key signs any more, the tables say so: selector and selectors are there and empty. They
// are not left out, because a volume or an environment variable that names an entry which is gone
// is no longer updated, or keeps the signer from starting: it would go on with the old tables.
func SignerData(domain string, ring Keyring, policy Policy, privates map[string][]byte) map[string][]byte {
	if !slices.ContainsFunc(ring, func(k Key) bool { return !k.Active.IsZero() }) {
		return nil
	}
	active := ring.With(Active)
	slices.SortStableFunc(active, func(a, b Key) int { return rank(policy, a.Name) - rank(policy, b.Name) })
	data := map[string][]byte{DomainFile: []byte(domain), SelectorFile: {}}
	if len(active) > 0 {
		data[SelectorFile] = []byte(active[0].Selector)
	}
	var selectors strings.Builder
	for _, k := range active {
		selectors.WriteString(k.Selector + "\n")
	}
	data[SelectorsFile] = []byte(selectors.String())
	for _, k := range ring {
		lingers := k.State() == Retired && k.Withdrawn.IsZero() && !slices.Contains(policy.Compromised, k.Selector)
		if private := privates[k.Selector]; private != nil && (k.State() == Active || lingers) {
			data[PrivateFile(k.Selector)] = private
		}
	}
	return data
}

// rank is the place of the name in the policy; names that left it come last.
func rank(policy Policy, name string) int {
	if i := slices.IndexFunc(policy.Keys, func(s Spec) bool { return s.Name == name }); i >= 0 {
		return i
	}
	return len(policy.Keys)
}
