package dnsprovider

import (
	"strings"

	"github.com/miekg/dns"
)

// Canonical returns name in the form that this package compares: ASCII letters in
// lower case (RFC 4343) and no trailing dot. The root is "".
func Canonical(name string) string {
	return strings.TrimSuffix(dns.CanonicalName(name), ".")
}

// IsName reports whether name can stand in DNS, as a name below the root (RFC 1035 §2.3.4).
func IsName(name string) bool {
	_, ok := dns.IsDomainName(name)
	return ok && Canonical(name) != ""
}

// Within reports whether name is zone or lies below it, compared label by label and
// without regard to case: "notexample.com" is not within "example.com", which is why
// libdns.RelativeName, a suffix cut, is not used. Nothing is within the root, so that a
// zone left empty by mistake never matches.
func Within(name, zone string) bool {
	name, zone = dns.Fqdn(name), dns.Fqdn(zone)
	return zone != "." && dns.IsSubDomain(zone, name)
}

// parent returns name without its first label.
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return ""
	}
	return name[next:]
}
