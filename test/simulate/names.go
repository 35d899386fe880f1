package simulate

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
)

// names are the authoritative servers of the zone. Each has a copy of its own, takes over the
// changes in their order, and some time after they were made.
type names struct {
	w       *World
	changes []change // all that was ever made in the zone
	servers []*server
	// cut is until when the operator's resolver finds nobody.
	cut time.Time
}

// change is one RRset after a change.
type change struct {
	name   string
	values []string
}

// server is one name server.
type server struct {
	name    string
	addrs   []netip.AddrPort
	served  map[string][]string
	serial  int // of the last change that it has taken over
	due     int // of the last change that it knows of
	failing probe.Outcome
	since   time.Time            // when it fell silent
	loss    float64              // of the questions, that it does not hear
	unheard map[string]time.Time // since when it has heard none of the operator's, by name
	lag     time.Duration
}

func newNames(w *World) *names {
	n := &names{w: w}
	for i := range w.plan.servers {
		s := &server{name: fmt.Sprintf("ns%d.example.net", i+1), served: map[string][]string{}, unheard: map[string]time.Time{}}
		s.addrs = append(s.addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53))
		if i%2 == 1 { // a second address, of a family without a route
			s.addrs = append(s.addrs, netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1)), 53))
		}
		n.servers = append(n.servers, s)
		n.pace(s)
	}
	return n
}

// pace draws how fast the server takes over changes, until it is drawn again.
func (n *names) pace(s *server) { s.lag = n.w.between(time.Second, n.w.plan.slowest) }

// stands has all servers serve a value from the beginning.
func (n *names) stands(name, value string) {
	n.changes = append(n.changes, change{name, []string{value}})
	for _, s := range n.servers {
		s.due = len(n.changes)
		n.catchUp(s)
	}
}

// changed is called when the zone at the provider has changed.
func (n *names) changed(name string, values []string) {
	n.changes = append(n.changes, change{name, slices.Clone(values)})
	for _, s := range n.servers {
		serial := len(n.changes)
		n.w.in(s.lag/2+n.w.uniform(0, s.lag/2+1), func() { n.take(s, serial) })
	}
}

// take has a server take over the changes up to one of them, if it can.
func (n *names) take(s *server, serial int) {
	s.due = max(s.due, serial)
	if s.failing != "" {
		return // when it is back
	}
	n.catchUp(s)
}

func (n *names) catchUp(s *server) {
	for ; s.serial < s.due; s.serial++ {
		c := n.changes[s.serial]
		s.served[c.name] = c.values
		n.w.tell(s.name, "serves %s %s", c.name, brief(c.values))
	}
}

// fail has a server give no answers for a while.
func (n *names) fail(s *server, how probe.Outcome, lasts time.Duration) {
	if s.failing != "" {
		return
	}
	n.w.Counts.Outages++
	n.w.tell(s.name, "gives no answer (%s) for %s", how, lasts)
	s.failing, s.since = how, n.w.now
	n.w.in(lasts, func() { n.recover(s) })
}

// recover ends a silence. Who was away for long, so that nobody waits for it, brings its copy up to
// date before it answers; one that does not breaks what nobody can see from outside (docs/rotation.md).
func (n *names) recover(s *server) {
	if s.failing == "" {
		return
	}
	away := n.w.now.Sub(s.since)
	if away >= waitedFor-time.Minute || n.w.plan.clock {
		s.due = len(n.changes)
	}
	s.failing = ""
	n.w.tell(s.name, "answers again after %s", away)
	n.catchUp(s)
}

// unheard notes that a question for the name was lost. Who loses all of them for as long as the operator waits is away to it, as
// in recover.
func (n *names) unheard(s *server, name string) {
	since, known := s.unheard[name]
	if !known {
		since = n.w.now
		s.unheard[name] = since
	}
	if lasts := n.w.now.Sub(since); lasts >= waitedFor-time.Minute && s.due < len(n.changes) {
		n.w.tell(s.name, "has heard nothing about %s for %s", name, lasts)
		s.due = len(n.changes)
		n.catchUp(s)
	}
}

// brief is a short form of values, for the trace.
func brief(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	short := make([]string, len(values))
	for i, v := range values {
		short[i] = strings.TrimPrefix(v, "v=DKIM1; ")
		if len(short[i]) > 28 {
			short[i] = short[i][:28] + "…"
		}
	}
	return strings.Join(short, " | ")
}

// answer is what the address of a server gives to a question of the operator's.
func (n *names) answer(s *server, addr netip.AddrPort, name string) probe.Answer {
	a := probe.Answer{Server: s.name, Addr: addr}
	switch {
	case addr.Addr().Is6():
		a.Outcome = probe.Unroutable
	case s.failing != "":
		a.Outcome = s.failing
	case s.loss > 0 && n.w.chance(s.loss):
		a.Outcome = probe.Timeout
		n.unheard(s, name)
	default:
		delete(s.unheard, name)
		a.Outcome, a.Values = n.content(s, name)
		a.TTL = n.w.plan.negativeTTL
		if a.Outcome == probe.Found {
			a.TTL = recordTTL
		}
	}
	return a
}

const recordTTL = time.Hour

// typeMX is that of records which the operator reads only.
const typeMX = "MX"

// rrsetAt is under which name an RRset stands in a world's zone: texts, which are most of them, under their own.
func rrsetAt(name, rrtype string) string {
	if rrtype == dnsprovider.TypeTXT {
		return name
	}
	return name + "/" + rrtype
}

// content is what the server has at the name.
func (n *names) content(s *server, name string) (probe.Outcome, []string) {
	if values := s.served[name]; len(values) > 0 {
		return probe.Found, values
	}
	owner, _, _ := strings.Cut(name, "/")
	for other, values := range s.served {
		other, _, _ = strings.Cut(other, "/")
		if len(values) > 0 && (other == owner || strings.HasSuffix(other, "."+owner)) {
			return probe.NoData, nil
		}
	}
	if owner == domain {
		return probe.NoData, nil
	}
	return probe.NXDomain, nil
}

// prober implements controllers.Prober.
type prober struct{ *names }

// Authority implements controllers.Prober.
func (p prober) Authority(_ context.Context, name string, _ []string) (probe.Authority, error) {
	w := p.w
	if w.now.Before(p.cut) || w.chance(w.plan.fault/50) {
		return probe.Authority{}, fmt.Errorf("%w that holds %s: SOA SERVFAIL", probe.ErrCouldNotAsk, name)
	}
	a := probe.Authority{Apex: domain, NegativeTTL: w.plan.negativeTTL}
	for _, s := range p.servers {
		a.Servers = append(a.Servers, probe.Server{Name: s.name, Addrs: s.addrs})
	}
	return a, nil
}

// Ask implements controllers.Prober.
func (p prober) Ask(_ context.Context, _ probe.Authority, name, rrtype string) []probe.Answer {
	p.w.pause(0.1) // the questions take their time
	var answers []probe.Answer
	for _, s := range p.servers {
		for _, addr := range s.addrs {
			a := p.answer(s, addr, rrsetAt(name, rrtype))
			if rrtype == typeMX {
				a.Values = preferred(a.Values)
			}
			answers = append(answers, a)
		}
	}
	return answers
}

// preferred are MX records as a name server has them; a world's zone has their hosts.
func preferred(hosts []string) []string {
	var list []string
	for _, host := range hosts {
		list = append(list, "10 "+host)
	}
	return list
}

// resolver is the operator's own, for what is not asked at the zone's servers.
type resolver struct {
	*names
	cache *receiver
}

// LookupTXT implements spf.Resolver.
func (r resolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	if r.w.now.Before(r.cut) || r.w.chance(r.w.plan.fault/50) {
		return nil, &net.DNSError{Err: "SERVFAIL", Name: name, IsTemporary: true}
	}
	return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
}

// LookupMX implements spf.Resolver.
func (r resolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	values, err := r.lookup(name, typeMX)
	var list []*net.MX
	for _, host := range values {
		list = append(list, &net.MX{Host: host + ".", Pref: 10})
	}
	return list, err
}

// LookupNetIP implements spf.Resolver.
func (r resolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	values, err := r.lookup(host, map[string]string{"ip4": dnsprovider.TypeA, "ip6": dnsprovider.TypeAAAA}[network])
	var list []netip.Addr
	for _, value := range values {
		list = append(list, netip.MustParseAddr(value))
	}
	return list, err
}

// lookup asks the operator's cache, or any of the servers that answer.
func (r resolver) lookup(name, rrtype string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	values, ok := []string(nil), false
	if !r.w.now.Before(r.cut) && !r.w.chance(r.w.plan.fault/50) {
		values, ok = r.cache.lookup(r.w, rrsetAt(name, rrtype))
	}
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "SERVFAIL", Name: name, IsTemporary: true}
	case len(values) == 0:
		return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return values, nil
}

// LookupAddr implements spf.Resolver.
func (resolver) LookupAddr(context.Context, string) ([]string, error) {
	panic("no world has PTR records")
}

// live are the servers that answer.
func (n *names) live(yield func(*server) bool) {
	for _, s := range n.servers {
		if s.failing == "" && !yield(s) {
			return
		}
	}
}

// known returns every name that ever had a value, sorted.
func (n *names) known() []string {
	all := map[string]bool{}
	for _, c := range n.changes {
		all[c.name] = true
	}
	return slices.Sorted(maps.Keys(all))
}
