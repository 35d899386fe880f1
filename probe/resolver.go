package probe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// maxChain bounds how many aliases a lookup follows.
const maxChain = 16

// Resolver asks recursive resolvers that the operator trusts. It has no cache,
// unless it comes from Once: what it returns is what the resolver says now.
//
// Its lookups have the shape of *net.Resolver's and return *net.DNSError:
// IsNotFound when the name or the record type does not exist, otherwise
// IsTemporary (and IsTimeout where nobody answered). Returned names have no
// trailing dot, except that the root stays ".": the exchange of a null MX
// (RFC 7505).
type Resolver struct {
	servers []string
	exchanger
	kept *kept // of Once; nil: nothing is kept
}

// NewResolver uses servers ("host:port", or a bare address for port 53) in the
// order given: the next one is asked when one does not answer usefully.
// timeout bounds one transport of one query to one server; 0 means 3 s.
func NewResolver(servers []string, timeout time.Duration) *Resolver {
	r := &Resolver{exchanger: exchanger{timeout: cmp.Or(timeout, defaultTimeout)}}
	for _, s := range servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
		r.servers = append(r.servers, s)
	}
	return r
}

// LookupTXT returns the TXT records at name, each with its strings joined.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	set, err := r.lookup(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	return values(set), nil
}

// LookupMX returns the MX records of name, the preferred ones first.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	set, err := r.lookup(ctx, name, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	list := make([]*net.MX, 0, len(set))
	for _, rr := range set {
		if mx, ok := rr.(*dns.MX); ok {
			list = append(list, &net.MX{Host: target(mx.Mx), Pref: mx.Preference})
		}
	}
	slices.SortFunc(list, func(a, b *net.MX) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.Host, b.Host))
	})
	return list, nil
}

// LookupNetIP returns the addresses of host: of one family with network "ip4" or "ip6", of both
// with "ip". It fails when one of them could not be asked: half an answer proves nothing.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	switch network {
	case "ip4":
		return r.addresses(ctx, host, dns.TypeA)
	case "ip6":
		return r.addresses(ctx, host, dns.TypeAAAA)
	}
	return r.addresses(ctx, host, dns.TypeA, dns.TypeAAAA)
}

// LookupAddr returns the names that addr's PTR records hold.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an IP address", Name: addr}
	}
	set, err := r.lookup(ctx, name, dns.TypePTR)
	if err != nil {
		return nil, err
	}
	return values(set), nil
}

// addresses returns what is known of all types, sorted, and an error if one of
// them could not be asked or none has an address.
func (r *Resolver) addresses(ctx context.Context, host string, types ...uint16) ([]netip.Addr, error) {
	sets, errs := make([][]dns.RR, len(types)), make([]error, len(types))
	var group errgroup.Group
	for i, rrtype := range types {
		group.Go(func() error {
			sets[i], errs[i] = r.lookup(ctx, host, rrtype)
			return nil
		})
	}
	_ = group.Wait()

	var addrs []netip.Addr
	for _, rr := range slices.Concat(sets...) {
		if addr := addrOf(rr); addr.IsValid() {
			addrs = append(addrs, addr)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	for _, err := range errs {
		if err != nil && !isNotFound(err) {
			return addrs, err
		}
	}
	if len(addrs) == 0 {
		return nil, notFound(host)
	}
	return addrs, nil
}

// lookup returns the RRset at name or at the end of its chain of aliases.
func (r *Resolver) lookup(ctx context.Context, name string, rrtype uint16) ([]dns.RR, error) {
	name = canonical(name)
	owner := name
	for range maxChain {
		msg, err := r.ask(ctx, owner, rrtype)
		if err != nil {
			return nil, err
		}
		set, last, ok := follow(msg, owner, rrtype)
		switch {
		case !ok:
			return nil, tooManyAliases(name)
		case len(set) > 0:
			return set, nil
		case last == owner || msg.Rcode == dns.RcodeNameError || enclosingSOA(msg, last) != nil:
			return nil, notFound(name)
		}
		owner = last // the server stopped at the border of what it knows
	}
	return nil, tooManyAliases(name)
}

// follow walks the aliases in a message's answer, from name to the RRset or to
// the last target that the message knows. It is not ok if they lead nowhere.
func follow(msg *dns.Msg, name string, rrtype uint16) (set []dns.RR, last string, ok bool) {
	for range maxChain {
		if set := recordsAt(msg.Answer, name, rrtype); len(set) > 0 {
			return set, name, true
		}
		alias := recordsAt(msg.Answer, name, dns.TypeCNAME)
		if len(alias) == 0 {
			return nil, name, true
		}
		name = value(alias[0])
	}
	return nil, name, false
}

// ask returns a message with the code NOERROR or NXDOMAIN from the first server
// that gives one. Everything else is an error: a referral and a failure say
// nothing about the name.
func (r *Resolver) ask(ctx context.Context, name string, rrtype uint16) (*dns.Msg, error) {
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, &net.DNSError{Err: "not a domain name", Name: name}
	}
	if r.kept != nil {
		return r.kept.ask(question{name, rrtype}, func() (*dns.Msg, error) { return r.askServers(ctx, name, rrtype) })
	}
	return r.askServers(ctx, name, rrtype)
}

func (r *Resolver) askServers(ctx context.Context, name string, rrtype uint16) (*dns.Msg, error) {
	failure := &net.DNSError{Err: "no resolver is configured", Name: name, IsTemporary: true}
	for i, server := range r.servers {
		msg, err := r.exchange(ctx, server, newQuery(name, rrtype, true))
		if err == nil && conclusive(msg, name) {
			return msg, nil
		}
		if i == 0 { // the first server's trouble is the one worth reporting
			failure = failureOf(name, server, msg, err)
		}
		if ctx.Err() != nil {
			failure.UnwrapErr = ctx.Err()
			break
		}
	}
	return nil, failure
}

// conclusive holds for a message that says whether the record exists.
func conclusive(msg *dns.Msg, name string) bool {
	switch {
	case msg.Rcode == dns.RcodeNameError:
		return true
	case msg.Rcode != dns.RcodeSuccess:
		return false
	}
	referral := len(msg.Answer) == 0 && !msg.Authoritative && enclosingSOA(msg, name) == nil &&
		(len(msg.Ns) > 0 || !msg.RecursionAvailable)
	return !referral
}

func failureOf(name, server string, msg *dns.Msg, err error) *net.DNSError {
	e := &net.DNSError{Name: name, Server: server, IsTemporary: true}
	switch {
	case err != nil:
		e.Err, e.IsTimeout = err.Error(), isTimeout(err)
	case msg.Rcode == dns.RcodeSuccess:
		e.Err = "the server does not resolve recursively"
	default:
		e.Err = rcodeText(msg.Rcode)
	}
	return e
}

func notFound(name string) *net.DNSError {
	return &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
}

func tooManyAliases(name string) *net.DNSError {
	return &net.DNSError{Err: "too many aliases", Name: name, IsTemporary: true}
}

func isNotFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}
