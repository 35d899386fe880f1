package dnsprovider

import (
	"slices"

	"github.com/miekg/dns"
)

// check refuses keys that no adapter can mean: of another zone, of another type, or in a
// spelling under which the records would not be found.
func (k Key) check(apex string) error {
	if _, ok := typeCodes[k.Type]; !ok {
		return failure(Invalid, nil, "record type %q is not one of TXT, CNAME, A, AAAA", k.Type)
	}
	if _, ok := dns.IsDomainName(k.Name); !ok || k.Name == "" {
		return failure(Invalid, nil, "the name is not a domain name, or is too long")
	}
	if k.Name != Canonical(k.Name) {
		return failure(Invalid, nil, "the name is not in canonical form: want %q", Canonical(k.Name))
	}
	if !Within(k.Name, apex) {
		return failure(Invalid, nil, "the name is not within zone %s", apex)
	}
	return nil
}

// check refuses changes that cannot be made to what was seen, whoever the provider is.
func (c Change) check() error {
	seen := c.Seen
	if seen.Alias != "" {
		return failure(Invalid, nil, "an alias to %s occupies the name: remove that CNAME, or have its owner publish the record", seen.Alias)
	}
	if seen.Type == TypeCNAME && len(seen.Records)-len(c.Remove)+len(c.Add) > 1 {
		return failure(Invalid, nil, "a name can have one CNAME only")
	}
	for _, r := range c.Remove {
		if !slices.Contains(seen.Records, r) {
			return failure(Invalid, nil, "the record to remove is not among those that were seen")
		}
	}
	return nil
}

// keepsSome reports whether records stay that were there before.
func (c Change) keepsSome() bool { return len(c.Remove) < len(c.Seen.Records) }
