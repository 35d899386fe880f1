package spf

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Resolver asks DNS; *net.Resolver is one. Names are handed to it with the dot at their end, so
// that no search list applies. An error that is a *net.DNSError with IsNotFound says that
// nothing of that type stands at the name; any other error says that it could not be found out.
// An answer of nothing without an error is the same as IsNotFound.
//
// A *net.Resolver also reads /etc/hosts for addresses and their names, as the system is set up.
// Where that must not count, give it a resolver that asks DNS alone.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	// LookupNetIP asks for A records with network "ip4", for AAAA with "ip6".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// The limits of RFC 7208 §4.6.4 and §5.5.
const (
	MaxLookups = 10 // terms that ask DNS, in a whole evaluation
	MaxVoids   = 2  // of these, the ones that get nothing
	MaxMXHosts = 10 // hosts of one mx mechanism
	MaxNames   = 10 // names of an address that ptr and %{p} look at; the others are ignored
)

// isNotFound tells an answer that says "nothing there" from no answer.
func isNotFound(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	_, ok := errors.AsType[*net.AddrError](err) // net: the host has only addresses of the other family
	return ok
}

// fqdn ends the name for a question.
func fqdn(name string) string { return name + "." }

// isName reports whether DNS can be asked for the name: labels of 1 to 63 octets, 253 together.
func isName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	label := 0
	for i := range len(name) {
		if name[i] != '.' {
			label++
			continue
		}
		if label == 0 || label > 63 {
			return false
		}
		label = 0
	}
	return 0 < label && label <= 63
}

const maxName = 253
