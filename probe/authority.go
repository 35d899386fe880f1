package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

var (
	// ErrNoZone: the world answered, and no zone holds the name, or the
	// configured name servers do not serve it. Asking again changes nothing
	// until somebody changes the delegation.
	ErrNoZone = errors.New("no zone found")
	// ErrCouldNotAsk: somebody who had to be asked gave no usable answer. It
	// says nothing about the name; ask again later.
	ErrCouldNotAsk = errors.New("could not ask for the zone")
)

const (
	// maxServers and maxAddrs bound what one zone can make us ask: far above
	// what real zones have.
	maxServers = 32
	maxAddrs   = 8
	// parallel bounds the addresses that one call asks at a time.
	parallel = 16
)

// Server is one authoritative name server.
type Server struct {
	Name  string           // canonical host name, or the address as configured
	Addrs []netip.AddrPort // sorted
	// Unresolved says, if not empty, why Addrs may not be all of the server's
	// addresses. Ask reports it as an address that gave no answer.
	Unresolved string
}

// Authority is who answers for a name.
type Authority struct {
	Apex string // of the zone that holds the name
	// NegativeTTL is how long a resolver may go on believing that a name of the
	// zone does not exist: min(SOA TTL, SOA MINIMUM), RFC 2308 §5. Where the
	// authoritative servers disagree it is the longest; where none answers it is
	// the MINIMUM that the resolver knows, which is never too short.
	NegativeTTL time.Duration
	Servers     []Server // sorted by name
}

// Options of a Prober.
type Options struct {
	Resolver *Resolver // required
	// Port of the name servers where none is configured; 0 means 53.
	Port uint16
	// Timeout bounds one transport of one query to one address; 0 means 3 s.
	Timeout time.Duration
	// AllowPrivate says which addresses that are not Public may be asked all the
	// same; nil means none.
	AllowPrivate func(netip.Addr) bool
}

// Prober asks authoritative name servers directly. It is safe for concurrent
// use and, unless it comes from Once, keeps no state between calls.
type Prober struct {
	resolver *Resolver
	port     uint16
	exchanger
	kept *keptZones // of Once; nil: nothing is kept
}

// NewProber returns a Prober.
func NewProber(o Options) *Prober {
	return &Prober{
		resolver: o.Resolver,
		port:     cmp.Or(o.Port, 53),
		exchanger: exchanger{
			timeout: cmp.Or(o.Timeout, defaultTimeout),
			dialer:  net.Dialer{Control: guard(o.AllowPrivate)},
		},
	}
}

// Authority finds the zone that holds name and its servers.
//
// Without nameservers it walks the SOA up the labels through the resolver, so
// that a name in a delegated child zone finds the child, and takes the zone's NS
// records. With nameservers (each "host", "host:port", "ip", "ip:port" or
// "[v6]:port") those are used instead of the delegation, and are themselves asked
// which zone holds the name.
//
// A failure wraps ErrNoZone or ErrCouldNotAsk.
func (p *Prober) Authority(ctx context.Context, name string, nameservers []string) (Authority, error) {
	name = canonical(name)
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return Authority{}, fmt.Errorf("%w: %q is not a domain name", ErrNoZone, name)
	}
	if len(nameservers) > 0 {
		return p.configured(ctx, name, nameservers)
	}
	return p.delegated(ctx, name)
}

// InTurn finds who serves the zone at apex, as Authority does, without asking them anything. It yields every server once, by name,
// beginning with the one whose turn it is, and looks up the addresses of no more of them than are wanted. A failure wraps ErrNoZone or
// ErrCouldNotAsk, and is the only one.
func (p *Prober) InTurn(ctx context.Context, apex string, nameservers []string, turn uint64) iter.Seq2[Server, error] {
	return func(yield func(Server, error) bool) {
		var endpoints []endpoint
		var err error
		if len(nameservers) == 0 {
			endpoints, err = p.delegates(ctx, canonical(apex))
		} else if endpoints, err = p.parse(nameservers); err != nil {
			err = fmt.Errorf("%w %s: %w", ErrCouldNotAsk, apex, err)
		}
		if err != nil {
			yield(Server{}, err)
			return
		}
		slices.SortStableFunc(endpoints, func(a, b endpoint) int { return strings.Compare(a.name, b.name) })
		for i := range uint64(len(endpoints)) {
			if !yield(p.resolve(ctx, endpoints[(turn+i)%uint64(len(endpoints))]), nil) {
				return
			}
		}
	}
}

// delegated finds the zone the way the world does.
func (p *Prober) delegated(ctx context.Context, name string) (Authority, error) {
	soa, err := p.walk(ctx, name)
	if err != nil {
		return Authority{}, err
	}
	if p.kept != nil {
		return p.kept.of(canonical(soa.Hdr.Name), func() (Authority, error) { return p.serversOf(ctx, soa) })
	}
	return p.serversOf(ctx, soa)
}

// serversOf finds the servers of the zone, and asks them for what the resolver can't know.
func (p *Prober) serversOf(ctx context.Context, soa *dns.SOA) (a Authority, err error) {
	a.Apex = canonical(soa.Hdr.Name)
	if a.Servers, err = p.nameServers(ctx, a.Apex); err != nil {
		return Authority{}, err
	}
	// The resolver's SOA has a TTL that is running down, so the zone's own
	// servers are asked for it.
	if zone := deepestZone(p.askSOA(ctx, a, a.Apex)); zone.apex == a.Apex {
		a.NegativeTTL = zone.negativeTTL
	} else {
		a.NegativeTTL = ttl(soa.Minttl)
	}
	return a, nil
}

// walk asks the resolver for the SOA of name and its ancestors until one has it.
func (p *Prober) walk(ctx context.Context, name string) (*dns.SOA, error) {
	for owner := name; owner != ""; {
		msg, err := p.resolver.ask(ctx, owner, dns.TypeSOA)
		if err != nil {
			return nil, fmt.Errorf("%w that holds %s: SOA %w", ErrCouldNotAsk, name, err)
		}
		if set := recordsAt(msg.Answer, owner, dns.TypeSOA); len(set) > 0 {
			if soa, ok := set[0].(*dns.SOA); ok {
				return soa, nil
			}
		}
		owner = nextZone(msg, owner)
	}
	return nil, fmt.Errorf("%w that holds %s: neither it nor a name above it has an SOA record", ErrNoZone, name)
}

// nextZone is where the walk goes on after owner had no SOA: at the zone that the
// AUTHORITY section names, else one label up. With an alias in the answer the
// AUTHORITY section is about the alias's target.
func nextZone(msg *dns.Msg, owner string) string {
	if soa := enclosingSOA(msg, owner); soa != nil && len(msg.Answer) == 0 {
		if zone := canonical(soa.Hdr.Name); above(zone, owner) {
			return zone
		}
	}
	return parent(owner)
}

// nameServers resolves the zone's NS records to addresses.
func (p *Prober) nameServers(ctx context.Context, apex string) ([]Server, error) {
	endpoints, err := p.delegates(ctx, apex)
	if err != nil {
		return nil, err
	}
	return p.resolveAll(ctx, endpoints), nil
}

// delegates are the hosts of the zone's NS records.
func (p *Prober) delegates(ctx context.Context, apex string) ([]endpoint, error) {
	msg, err := p.resolver.ask(ctx, apex, dns.TypeNS)
	if err != nil {
		return nil, fmt.Errorf("%w %s: NS %w", ErrCouldNotAsk, apex, err)
	}
	hosts := values(recordsAt(msg.Answer, apex, dns.TypeNS))
	switch {
	case len(hosts) == 0:
		return nil, fmt.Errorf("%w: %s has an SOA record but no NS records", ErrNoZone, apex)
	case len(hosts) > maxServers:
		return nil, fmt.Errorf("%w %s: it lists %d name servers, at most %d are asked", ErrCouldNotAsk, apex, len(hosts), maxServers)
	}
	endpoints := make([]endpoint, len(hosts))
	for i, host := range hosts {
		endpoints[i] = endpoint{name: host, host: host, port: p.port}
	}
	return endpoints, nil
}

// configured takes the servers as given and asks them which zone holds name.
func (p *Prober) configured(ctx context.Context, name string, nameservers []string) (Authority, error) {
	endpoints, err := p.parse(nameservers)
	if err != nil {
		return Authority{}, fmt.Errorf("%w that holds %s: %w", ErrCouldNotAsk, name, err)
	}
	a := Authority{Servers: p.resolveAll(ctx, endpoints)}
	for owner := name; owner != ""; owner = parent(owner) {
		answers := p.askSOA(ctx, a, owner)
		if zone := deepestZone(answers); zone.apex != "" {
			a.Apex, a.NegativeTTL = zone.apex, zone.negativeTTL
			return a, nil
		}
		if !slices.ContainsFunc(answers, soaAnswer.authoritative) {
			return Authority{}, noneAuthoritative(name, answers)
		}
		// An alias stands there, or the SOA was left out: go on one label up.
	}
	return Authority{}, fmt.Errorf("%w that holds %s: the configured name servers have no SOA record at or above it", ErrNoZone, name)
}

// parse reads configured servers.
func (p *Prober) parse(nameservers []string) ([]endpoint, error) {
	if len(nameservers) > maxServers {
		return nil, fmt.Errorf("%d name servers are configured, at most %d are asked", len(nameservers), maxServers)
	}
	endpoints := make([]endpoint, len(nameservers))
	for i, text := range nameservers {
		e, err := parseEndpoint(text, p.port)
		if err != nil {
			return nil, err
		}
		endpoints[i] = e
	}
	return endpoints, nil
}

// noneAuthoritative reports why no configured server can say what holds name.
// One that did not answer may be the one that knows.
func noneAuthoritative(name string, answers []soaAnswer) error {
	for _, a := range answers {
		if a.Outcome != Refused && a.Outcome != Lame {
			return fmt.Errorf("%w that holds %s: name server %s: %s", ErrCouldNotAsk, name, a.Server, a.why())
		}
	}
	return fmt.Errorf("%w that holds %s: the configured name servers are not authoritative for it", ErrNoZone, name)
}

// endpoint is a name server before its name is resolved.
type endpoint struct {
	name string // how the server is called in answers
	host string // host name or address
	port uint16
}

// parseEndpoint reads "host", "host:port", "ip", "ip:port", "[v6]" or "[v6]:port".
func parseEndpoint(text string, port uint16) (endpoint, error) {
	host := text
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		host = strings.Trim(text, "[]")
	} else if h, portText, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 {
			return endpoint{}, fmt.Errorf("name server %q: the port must be a number from 1 to 65535", text)
		}
		host, port = h, uint16(n)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		host = canonical(host)
		if !IsHostname(host) {
			return endpoint{}, fmt.Errorf("name server %q: want a host name or an IP address, with an optional port", text)
		}
	}
	return endpoint{name: canonical(text), host: host, port: port}, nil
}

// resolveAll looks up the servers' addresses and sorts the servers by name.
func (p *Prober) resolveAll(ctx context.Context, endpoints []endpoint) []Server {
	servers := make([]Server, len(endpoints))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, e := range endpoints {
		group.Go(func() error {
			servers[i] = p.resolve(ctx, e)
			return nil
		})
	}
	_ = group.Wait()
	slices.SortStableFunc(servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	return servers
}

func (p *Prober) resolve(ctx context.Context, e endpoint) Server {
	s := Server{Name: e.name}
	if addr, err := netip.ParseAddr(e.host); err == nil {
		s.Addrs = []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), e.port)}
		return s
	}
	addrs, err := p.resolver.LookupNetIP(ctx, "ip", e.host)
	switch {
	case isNotFound(err):
		s.Unresolved = "the name server's host name has no address"
	case err != nil:
		s.Unresolved = err.Error()
	case len(addrs) > maxAddrs:
		s.Unresolved = fmt.Sprintf("the name server's host name has %d addresses, only the first %d are asked", len(addrs), maxAddrs)
	}
	for _, addr := range addrs[:min(len(addrs), maxAddrs)] {
		s.Addrs = append(s.Addrs, netip.AddrPortFrom(addr, e.port))
	}
	return s
}

// soaAnswer is an Answer to a question for an SOA with the zone that it proves.
type soaAnswer struct {
	Answer
	zone zone
}

// zone is an apex and its negative TTL; the apex "" is no zone.
type zone struct {
	apex        string
	negativeTTL time.Duration
}

func (a soaAnswer) authoritative() bool {
	return a.Outcome == Found || a.Outcome == NoData || a.Outcome == NXDomain
}

func (a Answer) why() string { return cmp.Or(a.Detail, string(a.Outcome)) }

// askSOA asks all servers for the SOA at name.
func (p *Prober) askSOA(ctx context.Context, a Authority, name string) []soaAnswer {
	replies := p.askAll(ctx, a, name, dns.TypeSOA)
	answers := make([]soaAnswer, len(replies))
	for i, r := range replies {
		answers[i].Answer = r.answer()
		if answers[i].authoritative() {
			answers[i].zone = zoneOf(r.msg, name)
		}
	}
	return answers
}

// zoneOf reads the zone that holds name out of an authoritative answer.
func zoneOf(msg *dns.Msg, name string) zone {
	soa := enclosingSOA(msg, name)
	if len(msg.Answer) > 0 {
		soa = nil // an AUTHORITY section beside an alias is about the target
		for _, rr := range recordsAt(msg.Answer, name, dns.TypeSOA) {
			soa, _ = rr.(*dns.SOA)
		}
	}
	if soa == nil {
		return zone{}
	}
	return zone{apex: canonical(soa.Hdr.Name), negativeTTL: negativeTTL(soa)}
}

// deepestZone is the zone nearest to the name that a server claims, with the
// longest negative TTL seen for it.
func deepestZone(answers []soaAnswer) zone {
	var best zone
	for _, a := range answers {
		switch {
		case len(a.zone.apex) > len(best.apex):
			best = a.zone
		case a.zone.apex == best.apex:
			best.negativeTTL = max(best.negativeTTL, a.zone.negativeTTL)
		}
	}
	return best
}
