package spf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// walkLimit bounds the walk through a record that is far beyond the limits.
const walkLimit = 4 * MaxLookups

// Analysis is what a record costs and whom it lets pass, whatever the message.
type Analysis struct {
	Lookups int // terms that ask DNS, with all behind them; the limit is MaxLookups
	// Voids are the lookups of these that get nothing, for a host of the family that gets nothing
	// more often: a asks for A or for AAAA, as the host delivers over IPv4 or IPv6. The limit is
	// MaxVoids.
	Voids int

	// Terms are the terms of the record that ask DNS, in order, each with the record behind it.
	Terms []Term
	// Networks pass, as far as that can be said without a message: sorted, none within another.
	Networks []netip.Prefix
	// Partial: more or fewer hosts pass than Networks says, because a term depends on the message,
	// was not answered, or takes a part out of a network.
	Partial bool

	// Findings are what the walk has found. A lint.Error among them means that receivers end in
	// permerror (RFC 7208 §2.6.7). If only mail over IPv6 ends so, and the record lets no host pass
	// that way behind the third void lookup, it is the warning SPF-VOIDS-IPV6.
	Findings []lint.Finding
	// Unanswered are the questions that got no answer: of these nothing is known.
	Unanswered []string
}

// Term is one term that asks DNS.
type Term struct {
	Text    string
	Lookups int    // its own and those behind it
	Domain  string // for include and redirect: whose record is behind it
	Terms   []Term // of that record
}

// OK reports whether the record evaluates without any error, with the exception that Findings has.
func (a Analysis) OK() bool { return len(a.Errors()) == 0 && len(a.Unanswered) == 0 }

// Errors are the findings for which some receiver ends in permerror.
func (a Analysis) Errors() []lint.Finding {
	return slices.DeleteFunc(slices.Clone(a.Findings), func(f lint.Finding) bool { return f.Severity != lint.Error })
}

// Costs lists the record's own terms with what each costs: "include:a.example (4), mx (1)".
func (a Analysis) Costs() string {
	var list []string
	for _, t := range a.Terms {
		list = append(list, fmt.Sprintf("%s (%d)", t.Text, t.Lookups))
	}
	return strings.Join(list, ", ")
}

// Analyze weighs the record of domain in the worst case, in which nothing matches before the
// end: every include and redirect is followed and every lookup counted. A term with macros is
// counted and not looked up, since what it asks for depends on the message. What stands
// behind "all" is never evaluated (RFC 7208 §5.1) and not counted.
func Analyze(ctx context.Context, resolver Resolver, domain string, record Record) Analysis {
	w := walk{ctx: ctx, resolver: resolver}
	w.out.Terms = w.record(domain, record, &scope{})
	a := &w.out
	if a.Lookups > MaxLookups {
		most := ""
		if a.Lookups >= walkLimit {
			most = "at least "
		}
		w.find(LookupsExceeded, "%s%d of %d lookups: %s", most, a.Lookups, MaxLookups, a.Costs())
	} else if a.Lookups >= highLookups {
		w.find("SPF-LOOKUPS-HIGH", "%d of %d lookups: %s", a.Lookups, MaxLookups, a.Costs())
	}
	w.judgeVoids()
	if record.Exp != "" && !hasMacro(record.Exp) {
		w.explanation(record.Exp)
	}
	a.Networks = outermost(w.passing)
	return *a
}

// judgeVoids compares the void lookups with their limit, for the two families of hosts.
func (w *walk) judgeVoids() {
	w.out.Voids = max(len(w.voids4), len(w.voids6))
	exceeded := func(code string, voids []string) {
		w.find(code, "%d of the names that the record asks for have nothing, and %d are allowed: %s", len(voids), MaxVoids, strings.Join(voids, ", "))
	}
	switch {
	case len(w.voids4) > MaxVoids:
		exceeded("SPF-VOIDS-EXCEEDED", w.voids4)
	case w.tooLate6:
		exceeded("SPF-VOIDS-EXCEEDED", w.voids6)
	case len(w.voids6) > MaxVoids:
		exceeded("SPF-VOIDS-IPV6", w.voids6)
	case len(w.voids) > 0:
		w.find("SPF-VOID", "%s: nothing stands there", strings.Join(w.voids, ", "))
	}
}

// highLookups leaves a provider that adds an include or two no room.
const highLookups = 8

type walk struct {
	ctx      context.Context
	resolver Resolver
	out      Analysis
	// The lookups that get nothing, each with its type: for a host of any family, and for one that
	// delivers over IPv4 and over IPv6.
	voids, voids4, voids6 []string
	tooLate6              bool // IPv6 hosts pass, but by terms behind too many void lookups
	passing               []netip.Prefix
	decided               int // networks in all scopes; each new one is compared with them
}

// scope is one record under evaluation: the domain's own with those that redirect leads to, or
// an included one.
type scope struct {
	parent *scope   // of an included one
	path   []string // the domains whose records led here, with this one
	// decided are the networks of which a term has decided that this record does not let them pass.
	decided []netip.Prefix
	// refuses is the scope that decides against what this record lets pass; nil lets it pass.
	refuses *scope
}

func (w *walk) find(code, format string, args ...any) {
	f := rules.Find(code, format, args...)
	if !slices.Contains(w.out.Findings, f) {
		w.out.Findings = append(w.out.Findings, f)
	}
}

// record walks the record of domain.
func (w *walk) record(domain string, r Record, in *scope) (terms []Term) {
	in.path = append(in.path, foldDomain(domain))
	cost := func(t Term, visit func(*Term)) {
		if w.out.Lookups >= walkLimit {
			w.out.Partial = true
			return
		}
		before := w.out.Lookups
		w.out.Lookups++
		visit(&t)
		t.Lookups = w.out.Lookups - before
		terms = append(terms, t)
	}
	for _, m := range r.Mechanisms {
		refuses := in.refuses
		if m.result() != Pass {
			refuses = in // within an include: the include does not match
		}
		switch m.Name {
		case All:
			w.everyone(in, refuses)
			return terms
		case IP4, IP6:
			if network, ok := m.Network(); ok {
				w.host(network, in, refuses)
			}
		default:
			cost(Term{Text: m.String()}, func(t *Term) { w.mechanism(t, domain, m, in, refuses) })
		}
	}
	if r.Redirect != "" {
		cost(Term{Text: "redirect=" + r.Redirect}, func(t *Term) { w.follow(t, r.Redirect, in) })
	}
	return terms
}

// host notes that a term matches the network, unless an earlier one has decided.
func (w *walk) host(network netip.Prefix, in, refuses *scope) {
	// inner: the scope is below the one that refuses. What it has decided of a part of the network
	// keeps the refusal from that part.
	inner := true
	for s := in; s != nil; s = s.parent {
		inner = inner && s != refuses
		for _, d := range s.decided {
			if contains(d, network) {
				return
			}
			w.out.Partial = w.out.Partial || inner && d.Overlaps(network)
		}
	}
	switch {
	case refuses == nil:
		w.passing = append(w.passing, network)
		w.tooLate6 = w.tooLate6 || network.Addr().Is6() && len(w.voids6) > MaxVoids
	case w.decided == maxCompared:
		w.out.Partial = true
	default:
		w.decided++
		refuses.decided = append(refuses.decided, network)
	}
}

func (w *walk) everyone(in, refuses *scope) {
	w.host(netip.PrefixFrom(netip.IPv4Unspecified(), 0), in, refuses)
	w.host(netip.PrefixFrom(netip.IPv6Unspecified(), 0), in, refuses)
}

func (w *walk) mechanism(t *Term, domain string, m Mechanism, in, refuses *scope) {
	name := m.Value
	if name == "" {
		name = domain
	}
	if hasMacro(name) || m.Name == PTR {
		w.out.Partial = true // it depends on the message
		if hasMacro(name) {
			w.find("SPF-MACRO", "%s in the record of %s is counted and not followed", m, domain)
		}
		return
	}
	name = strings.TrimSuffix(name, ".")
	// Nobody asks DNS for what is no name: nothing matches (RFC 7208 §4.8).
	if !isName(name) && m.Name != Include {
		return
	}
	switch m.Name {
	case Include:
		w.follow(t, name, &scope{parent: in, path: slices.Clone(in.path), refuses: refuses})
	case A:
		w.addresses(t.Text, m, name, true, in, refuses)
	case Exists:
		// Without a macro it matches every host or none.
		addrs, err := w.resolver.LookupNetIP(w.ctx, "ip4", fqdn(name))
		w.answered(t.Text, "A", name, len(addrs), err)
		if len(addrs) > 0 {
			w.everyone(in, refuses)
		}
	case MX:
		w.exchangers(t.Text, m, name, in, refuses)
	}
}

// exchangers looks at the hosts of mechanism mx.
func (w *walk) exchangers(term string, m Mechanism, name string, in, refuses *scope) {
	hosts, err := w.resolver.LookupMX(w.ctx, fqdn(name))
	if known := w.answered(term, "MX", name, len(hosts), err); !known || len(hosts) == 0 {
		return
	}
	if len(hosts) > MaxMXHosts {
		w.find("SPF-MX-HOSTS-EXCEEDED", "%s: %s has %d MX hosts, and %d are allowed", m, name, len(hosts), MaxMXHosts)
		return
	}
	found := false
	for _, mx := range hosts {
		// The null MX (RFC 7505) is no name.
		if host := strings.TrimSuffix(mx.Host, "."); isName(host) && w.addresses(term, m, host, false, in, refuses) {
			found = true
		}
	}
	if !found {
		w.find("SPF-MX-EMPTY", "%s: no MX host of %s has an address", m, name)
	}
}

// addresses looks up both families, of which a receiver asks for one: that of the host that
// delivers. Nothing there is a void lookup, if they count. found is false if neither has any.
func (w *walk) addresses(term string, m Mechanism, host string, counts bool, in, refuses *scope) (found bool) {
	var voids []string
	for _, family := range []struct {
		network, rrtype, bits string
		voids                 *[]string
	}{{"ip4", "A", m.Bits4, &w.voids4}, {"ip6", "AAAA", m.Bits6, &w.voids6}} {
		addrs, err := w.resolver.LookupNetIP(w.ctx, family.network, fqdn(host))
		if err != nil && !isNotFound(err) {
			w.unanswered(term, family.rrtype, host)
			found = true // perhaps
			continue
		}
		if what := family.rrtype + " of " + host; len(addrs) == 0 && counts {
			*family.voids = append(*family.voids, what)
			voids = append(voids, what)
		}
		for _, addr := range addrs {
			found = true
			addr = addr.Unmap()
			if network, err := addr.Prefix(prefixLen(family.bits, addr.BitLen())); err == nil {
				w.host(network, in, refuses)
			}
		}
	}
	if len(voids) == 2 {
		w.voids = append(w.voids, "A and AAAA of "+host)
	}
	return found
}

// follow walks the record that an include or a redirect leads to.
func (w *walk) follow(t *Term, name string, in *scope) {
	if hasMacro(name) {
		w.out.Partial = true
		w.find("SPF-MACRO", "%s in the record of %s is counted and not followed", t.Text, in.path[len(in.path)-1])
		return
	}
	name = strings.TrimSuffix(name, ".")
	t.Domain = name
	if slices.Contains(in.path, foldDomain(name)) {
		w.find("SPF-LOOP", "%s leads back to %s, in a circle", t.Text, name)
		return
	}
	// §4.3: what is no name of two labels at least has no record, and nobody asks for it.
	var texts []string
	if isName(name) && strings.Contains(name, ".") {
		var err error
		texts, err = w.resolver.LookupTXT(w.ctx, fqdn(name))
		if !w.answered(t.Text, "TXT", name, len(texts), err) {
			return
		}
	}
	records := slices.DeleteFunc(slices.Clone(texts), func(txt string) bool { return !IsRecord(txt) })
	switch len(records) {
	case 0:
		w.find("SPF-INCLUDE-NONE", "%s: %s has no SPF record", t.Text, name)
		return
	case 1:
	default:
		w.find("SPF-INCLUDE-MULTIPLE", "%s: %s has %d SPF records", t.Text, name, len(records))
		return
	}
	record, err := Parse(records[0])
	if err != nil {
		w.find("SPF-INCLUDE-SYNTAX", "%s: the record of %s is broken: %v", t.Text, name, err)
		return
	}
	t.Terms = w.record(name, record, in)
	if in.parent == nil { // by redirect: the end of this record decides about other hosts
		if code, last := record.others(); code == "SPF-NO-ALL" || code == "SPF-NEUTRAL-ALL" {
			w.find(code, "%s: %s", t.Text, last)
		}
	}
}

// answered takes note of a lookup that got nothing, whatever family the host is of; false is
// that nothing is known.
func (w *walk) answered(term, what, name string, count int, err error) bool {
	switch {
	case count > 0:
	case err == nil, isNotFound(err):
		void := what + " of " + name
		w.voids, w.voids4, w.voids6 = append(w.voids, void), append(w.voids4, void), append(w.voids6, void)
	default:
		w.unanswered(term, what, name)
		return false
	}
	return true
}

func (w *walk) unanswered(term, what, name string) {
	w.out.Partial = true
	if text := fmt.Sprintf("%s: no answer to the question for %s of %s", term, what, name); !slices.Contains(w.out.Unanswered, text) {
		w.out.Unanswered = append(w.out.Unanswered, text)
	}
}

// explanation looks at what exp leads to; whatever is wrong there, mail is judged all the same.
func (w *walk) explanation(name string) {
	texts, err := w.resolver.LookupTXT(w.ctx, fqdn(strings.TrimSuffix(name, ".")))
	switch {
	case err != nil && !isNotFound(err):
	case len(texts) != 1:
		w.find("SPF-EXP", "exp=%s: %d TXT records stand there, want one", name, len(texts))
	case !isExplanation(texts[0]):
		w.find("SPF-EXP", "exp=%s: what stands there is no explanation in ASCII with valid macros", name)
	}
}

func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// outermost sorts networks and leaves out those within another.
func outermost(networks []netip.Prefix) []netip.Prefix {
	slices.SortFunc(networks, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var out []netip.Prefix
	for _, n := range networks {
		// Networks nest or are apart, so that only the last one can hold this one.
		if len(out) == 0 || !contains(out[len(out)-1], n) {
			out = append(out, n)
		}
	}
	return out
}
