package probe

import (
	"cmp"
	"strings"

	"github.com/miekg/dns"
)

// canonical is the form that names have in this package's values.
func canonical(name string) string {
	return strings.TrimSuffix(dns.CanonicalName(name), ".")
}

// target is the canonical form of a name inside a record's data. There the root is
// "." and not "", to differ from nothing: the null MX (RFC 7505) points to it.
func target(name string) string {
	return cmp.Or(canonical(name), ".")
}

// parent drops the leftmost label; the parent of a single label is the root "".
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return ""
	}
	return name[next:]
}

// above reports whether zone is a proper ancestor of name.
func above(zone, name string) bool {
	return zone != name && dns.IsSubDomain(dns.Fqdn(zone), dns.Fqdn(name))
}

// IsHostname holds for names that can stand in a URL: letters, digits, hyphens
// and underscores in labels of 1 to 63 octets, 253 octets at most.
func IsHostname(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
