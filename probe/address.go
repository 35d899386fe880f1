package probe

import (
	"errors"
	"net/netip"
	"syscall"
)

// special lists what is not part of the public unicast Internet: the IANA
// special-purpose registries (RFC 6890 and its updates) and multicast.
// IPv6 outside 2000::/3 is handled by Public itself.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
	"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/3", // multicast and class E
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// Public reports whether addr is a unicast address of the public Internet: not
// loopback, link-local, private, shared, documentation, multicast or otherwise
// reserved, also not when such an IPv4 address hides inside an IPv6 one
// (IPv4-mapped, NAT64 RFC 6052, 6to4, Teredo).
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	if nat64.Contains(addr) {
		b := addr.As16()
		return Public(netip.AddrFrom4([4]byte(b[12:])))
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// errNotAllowed is what a dial returns for an address that guard refuses.
var errNotAllowed = errors.New("address is not public and not allowed as a target")

// guard is a net.Dialer.Control function: it sees the address that is really
// dialled, after all name resolution, and refuses it unless it is public or
// allowed. This keeps names under a tenant's control from steering the operator
// into the cluster's own network.
func guard(allow func(netip.Addr) bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return errNotAllowed
		}
		addr := target.Addr().Unmap()
		if Public(addr) || allow != nil && allow(addr) {
			return nil
		}
		return errNotAllowed
	}
}
