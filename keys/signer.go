package keys

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// PrivateFile returns the name under which a Secret holds the private key of the selector.
func PrivateFile(selector string) string { return selector + pemEnding }

// The entries of the signer's Secret beside private keys and tables.
const (
	DomainFile    = "domain"    // the domain
	SelectorFile  = "selector"  // the selector to sign with, that of the first key of spec; empty: do not sign
	SelectorsFile = "selectors" // all selectors to sign with, one a line; empty: do not sign
)

// SignerData returns what the signer's Secret holds: the private keys (by selector, from
// privates) of the active keys, and of the retired ones until they are withdrawn, because a
// signer may keep its tables in memory and open the key's file for each message; and the tables of
// each kind of signer. It is nil until a key is active for the first time: a signer must not see
// half a configuration.
//
// When no key signs any more, the tables say so: all of them are there and empty. They
// are not left out, because a volume or an environment variable that names an entry which is gone
// is no longer updated, or keeps the signer from starting: it would go on with the old tables.
func SignerData(domain string, ring Keyring, policy Policy, privates map[string][]byte) map[string][]byte {
	data := share(domain, "", ring, policy, privates)
	if data == nil {
		return nil
	}
	var selectors strings.Builder
	for _, k := range signing(ring, policy) {
		selectors.WriteString(k.Selector + "\n")
	}
	first, _, _ := strings.Cut(selectors.String(), "\n")
	data[DomainFile] = []byte(domain)
	data[SelectorFile] = []byte(first)
	data[SelectorsFile] = []byte(selectors.String())
	return data
}

// SharedData returns what the domain adds to a signer's Secret that several domains share, see
// Combine. It is SignerData with the domain in the files' names, "<domain>_<selector>.pem": two
// domains can have one selector. No plain domain, selector or selectors: they have no meaning there.
func SharedData(domain string, ring Keyring, policy Policy, privates map[string][]byte) map[string][]byte {
	return share(domain, domain+"_", ring, policy, privates)
}

// Combine returns data, the content of a signer's Secret that several domains share, with share
// in the place of what the domain had in it; an empty share takes the domain out. What other
// domains have there stays as it is. The result does not depend on the order in which domains came.
func Combine(data map[string][]byte, domain string, share map[string][]byte) map[string][]byte {
	out := maps.Clone(share)
	if out == nil {
		out = map[string][]byte{}
	}
	for name, content := range data {
		if owner, _, isKey := strings.Cut(name, "_"); !slices.Contains(tableFiles, name) && (!isKey || owner != domain) {
			out[name] = content
		}
	}
	for _, name := range tableFiles {
		lines := slices.DeleteFunc(slices.Collect(strings.Lines(string(data[name]))), func(line string) bool { return domainOf(line) == domain })
		lines = slices.AppendSeq(lines, strings.Lines(string(share[name])))
		slices.SortStableFunc(lines, func(a, b string) int { return cmp.Compare(domainOf(a), domainOf(b)) })
		out[name] = []byte(strings.Join(lines, ""))
	}
	return out
}

// share is the domain's tables, and its private keys in files whose names begin with prefix.
func share(domain, prefix string, ring Keyring, policy Policy, privates map[string][]byte) map[string][]byte {
	if !slices.ContainsFunc(ring, func(k Key) bool { return !k.Active.IsZero() }) {
		return nil
	}
	data := tables(domain, prefix, signing(ring, policy))
	for _, k := range ring {
		lingers := k.State() == Retired && k.Withdrawn.IsZero() && !slices.Contains(policy.Compromised, k.Selector)
		if private := privates[k.Selector]; private != nil && (k.State() == Active || lingers) {
			data[prefix+PrivateFile(k.Selector)] = private
			data[prefix+k.Selector+keyEnding] = rspamdKey(private)
		}
	}
	return data
}

// signing returns the active keys in the order of spec.
func signing(ring Keyring, policy Policy) Keyring {
	active := ring.With(Active)
	slices.SortStableFunc(active, func(a, b Key) int { return rank(policy, a.Name) - rank(policy, b.Name) })
	return active
}

// rank is the place of the name in the policy; names that left it come last.
func rank(policy Policy, name string) int {
	if i := slices.IndexFunc(policy.Keys, func(s Spec) bool { return s.Name == name }); i >= 0 {
		return i
	}
	return len(policy.Keys)
}
