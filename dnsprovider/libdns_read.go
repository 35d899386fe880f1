package dnsprovider

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// libdnsList is all that a module shows of a zone, names and types in canonical form.
type libdnsList []libdns.RR

// libdnsListOf takes over what a module shows. A record at a name that is none cannot be at a key.
func libdnsListOf(records []libdns.Record, apex string) libdnsList {
	list := make(libdnsList, 0, len(records))
	for _, record := range records {
		if record == nil {
			continue
		}
		rr := record.RR()
		owner, ok := libdnsOwner(rr.Name, apex)
		if !ok {
			continue
		}
		rr.Name, rr.Type = owner, strings.ToUpper(rr.Type)
		list = append(list, rr)
	}
	return list
}

// libdnsOwner returns the canonical form of a name as modules write it: relative to the zone, "@"
// for the zone itself, or absolute with a dot at its end; in any case, and with escapes where
// none is needed.
func libdnsOwner(name, apex string) (owner string, ok bool) {
	switch {
	case name == "@" || name == "":
		name = apex
	case !strings.HasSuffix(name, "."):
		name += "." + apex
	}
	wire := make([]byte, 255) // RFC 1035 §2.3.4
	if _, err := dns.PackDomainName(dns.Fqdn(name), wire, 0, nil, false); err != nil {
		return "", false
	}
	plain, _, err := dns.UnpackDomainName(wire, 0)
	return Canonical(plain), err == nil
}

// libdnsRelative is the inverse of libdnsOwner for a name within the zone.
func libdnsRelative(name, apex string) string {
	if name == apex {
		return "@"
	}
	return strings.TrimSuffix(name, "."+apex)
}

// complete reports whether the list can be the zone's.
func (l libdnsList) complete(apex string) bool {
	return slices.ContainsFunc(l, func(rr libdns.RR) bool { return rr.Type == "NS" && rr.Name == apex })
}

// rrset returns what stands at key. Only records at the name are looked at, however odd the others
// are, and those that delegate it.
func (z *libdnsZone) rrset(key Key, list libdnsList) (RRset, error) {
	set := RRset{Key: key}
	owner, _ := libdnsOwner(key.Name+".", z.apex)
	for _, rr := range list {
		if rr.Type == "NS" && rr.Name != z.apex && Within(owner, rr.Name) {
			return RRset{}, delegated(rr.Name)
		}
		if rr.Name != owner {
			continue
		}
		switch {
		case rr.Type == key.Type:
			value, err := z.value(rr)
			if err != nil {
				return RRset{}, failure(Unsupported, err, "a record there cannot be read through %s: mend or remove it at the provider", z.name)
			}
			if len(set.Records) == 0 || rr.TTL < set.TTL {
				set.TTL = rr.TTL
			}
			set.Records = append(set.Records, Record{Value: value, Handle: rr.Data})
		case rr.Type == TypeCNAME:
			set.Alias = Canonical(rr.Data)
		case key.Type == TypeCNAME && rr.Type != TypeA && rr.Type != TypeAAAA:
			set.Shared = true // beside addresses no provider takes a CNAME
		}
	}
	slices.SortFunc(set.Records, compareRecords)
	return set, nil
}

// value says what a record says.
func (z *libdnsZone) value(rr libdns.RR) (string, error) {
	switch rr.Type {
	case TypeTXT:
		return z.txt.parse(rr.Data)
	case TypeCNAME:
		return Canonical(rr.Data), nil
	default:
		addr, err := netip.ParseAddr(rr.Data)
		return addr.String(), err
	}
}
