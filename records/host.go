package records

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// MTASTSHost is the policy host of the domain (RFC 8461 §3.3).
func MTASTSHost(domain string) string { return "mta-sts." + domain }

// HostTargets sorts where a host should lead into record types: addresses into A and AAAA, and one host
// name into CNAME. It refuses anything else, also an address with a zone.
func HostTargets(values ...string) (dnsprovider.Targets, error) {
	targets := dnsprovider.Targets{}
	add := func(kind, value string) {
		if !slices.Contains(targets[kind], value) {
			targets[kind] = append(targets[kind], value)
		}
	}
	for _, value := range values {
		addr, err := netip.ParseAddr(value)
		addr = addr.Unmap()
		switch {
		case err == nil && addr.Zone() != "":
			return nil, fmt.Errorf("%q has a zone, which DNS can't carry", value)
		case err == nil && addr.Is4():
			add(dnsprovider.TypeA, addr.String())
		case err == nil:
			add(dnsprovider.TypeAAAA, addr.String())
		default:
			if !dnsprovider.IsName(value) {
				return nil, fmt.Errorf("%q is neither an address nor a host name", value)
			}
			add(dnsprovider.TypeCNAME, dnsprovider.Canonical(value))
		}
	}
	if names := targets[dnsprovider.TypeCNAME]; len(names) > 0 && (len(names) > 1 || len(targets) > 1) {
		return nil, fmt.Errorf("%q: a name can lead to one other name, or to addresses, not to both", values)
	}
	for _, list := range targets {
		slices.Sort(list)
	}
	return targets, nil
}
