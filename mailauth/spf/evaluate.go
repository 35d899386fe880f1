package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Result is what an evaluation ends in (RFC 7208 §2.6), and what a mechanism's qualifier stands
// for (§4.6.2).
type Result string

const (
	None      Result = "none"      // the domain has no record, or is no domain
	Neutral   Result = "neutral"   // "?": the domain does not say
	Pass      Result = "pass"      // "+": the host may send
	Fail      Result = "fail"      // "-": it may not
	SoftFail  Result = "softfail"  // "~": it probably may not
	TempError Result = "temperror" // DNS gave no answer: try again later
	PermError Result = "permerror" // the records can't be evaluated until somebody mends them
)

// Evaluation is the outcome of Evaluate.
type Evaluation struct {
	Result Result
	// Explanation is what the domain has to say to the sender (RFC 7208 §6.2). It is set only
	// with Fail. It is the domain's text: treat it as a stranger's.
	Explanation string
	// Err says why the result is None, TempError or PermError: whose record, which term, what
	// was seen. It is nil with other results.
	Err error

	Lookups int    // terms that asked DNS; beyond MaxLookups is PermError
	Voids   int    // of these, the ones that got nothing; beyond MaxVoids is PermError
	Trace   []Step // every term that was looked at, in order
}

// Step is one term of an evaluation. The terms of a record that it leads to follow it, one
// level deeper.
type Step struct {
	Level   int
	Domain  string // whose record the term is of
	Term    string
	Lookups int // what it cost, with all behind it
	Outcome Outcome
}

// Outcome says how a term ended.
type Outcome string

const (
	Matched    Outcome = "match"
	NotMatched Outcome = "no match"
	Stopped    Outcome = "error" // the evaluation ended here; Evaluation.Err says why
)

// Evaluator evaluates. Only Resolver must be set.
type Evaluator struct {
	Resolver    Resolver
	Receiver    string    // this host's name, for %{r}; "" gives "unknown"
	Time        time.Time // of the message, for %{t}; the zero time gives 0
	Explanation string    // of a failure that the domain does not explain
}

// Evaluate judges mail that the host ip delivers: it is check_host() of RFC 7208 §4. mailFrom is
// the address of MAIL FROM without angle brackets; if it is empty, as with a bounce, helo is
// judged (§2.4). It asks DNS until it has its answer or ctx ends, which is a TempError.
func Evaluate(ctx context.Context, resolver Resolver, ip netip.Addr, mailFrom, helo string) Evaluation {
	return Evaluator{Resolver: resolver}.Evaluate(ctx, ip, mailFrom, helo)
}

// Evaluate is the function Evaluate with the evaluator's settings.
func (ev Evaluator) Evaluate(ctx context.Context, ip netip.Addr, mailFrom, helo string) Evaluation {
	if !ip.IsValid() {
		return Evaluation{Result: None, Err: errors.New("no address: SPF judges mail by the address of the host that delivers it")}
	}
	e := &evaluation{Evaluator: ev, ctx: ctx, ip: ip.Unmap().WithZone(""), helo: strings.TrimSuffix(helo, ".")}
	if mailFrom == "" {
		mailFrom = e.helo
	}
	if len(mailFrom) > maxPath || len(helo) > maxPath {
		return Evaluation{Result: None, Err: fmt.Errorf("a sender of %d octets and a host name of %d: want %d at most, as SMTP has them", len(mailFrom), len(helo), maxPath)}
	}
	e.local, e.sender = "postmaster", strings.TrimSuffix(mailFrom, ".") // §4.3
	if at := strings.LastIndexByte(e.sender, '@'); at >= 0 {
		if at > 0 {
			e.local = e.sender[:at]
		}
		e.sender = e.sender[at+1:]
	}
	v := e.checkHost(e.sender, 0)
	out := Evaluation{Result: v.result, Err: v.err, Lookups: e.lookups, Voids: e.voids, Trace: e.trace}
	if v.result == Fail {
		out.Explanation = e.explain(v)
	}
	return out
}

// maxPath is the length of a command line of SMTP (RFC 5321 §4.5.3.1.4). The 64 octets of a local part
// and the 255 of a domain are the least that a host has to take (§4.5.3.1): longer local parts are
// common.
const maxPath = 512

// evaluation is one run of check_host.
type evaluation struct {
	Evaluator
	ctx           context.Context
	ip            netip.Addr
	local, sender string // the two sides of the sender's address
	helo          string

	lookups, voids int
	trace          []Step
	names          []string // validated, of ip
	namesKnown     bool
	nameless       bool // DNS says that ip has no names at all
}

// verdict is the result of one record. With Fail, exp and domain are for the explanation.
type verdict struct {
	result Result
	err    error
	exp    string
	domain string
}

// stop ends an evaluation before its end; nil goes on.
type stop struct {
	result Result
	err    error
}

func unanswered(what, name string, err error) *stop {
	return &stop{TempError, fmt.Errorf("no answer to the question for %s of %s: %w", what, name, err)}
}

func permError(format string, args ...any) *stop {
	return &stop{PermError, fmt.Errorf(format, args...)}
}

func (e *evaluation) checkHost(domain string, level int) verdict {
	// §4.3: what is no name of two labels at least has no policy.
	if !isName(domain) || !strings.Contains(domain, ".") {
		return verdict{result: None, err: fmt.Errorf("%q is not a domain", domain)}
	}
	text, failed := e.record(domain)
	if failed != nil {
		return verdict{result: failed.result, err: failed.err}
	}
	// §4.6: an error anywhere counts, also behind a match.
	record, err := Parse(text)
	if err != nil {
		return verdict{result: PermError, err: fmt.Errorf("the record of %s: %w", domain, err)}
	}
	for _, m := range record.Mechanisms {
		matched, failed := e.step(level, domain, m.String(), func() (bool, *stop) { return e.match(m, domain, level) })
		if failed != nil {
			return verdict{result: failed.result, err: failed.err}
		}
		if matched {
			return verdict{result: m.result(), exp: record.Exp, domain: domain}
		}
	}
	if record.Redirect == "" {
		return verdict{result: Neutral} // §4.7
	}
	var v verdict
	_, _ = e.step(level, domain, "redirect="+record.Redirect, func() (bool, *stop) {
		v = e.redirect(record.Redirect, domain, level)
		if v.err != nil {
			return false, &stop{v.result, v.err}
		}
		return true, nil
	})
	return v
}

// record returns the one SPF record of a domain (§4.4, §4.5).
func (e *evaluation) record(domain string) (string, *stop) {
	texts, err := e.Resolver.LookupTXT(e.ctx, fqdn(domain))
	if err != nil && !isNotFound(err) {
		return "", unanswered("TXT", domain, err)
	}
	found := ""
	for _, text := range texts {
		if !IsRecord(text) {
			continue
		}
		if found != "" {
			return "", permError("%s has more than one SPF record", domain)
		}
		found = text
	}
	if found == "" {
		return "", &stop{None, fmt.Errorf("%s has no SPF record", domain)}
	}
	return found, nil
}

// step runs one term and writes it down.
func (e *evaluation) step(level int, domain, term string, run func() (bool, *stop)) (bool, *stop) {
	at, before := len(e.trace), e.lookups
	e.trace = append(e.trace, Step{Level: level, Domain: domain, Term: term})
	matched, failed := run()
	s := &e.trace[at]
	s.Lookups = e.lookups - before
	switch {
	case failed != nil:
		s.Outcome = Stopped
	case matched:
		s.Outcome = Matched
	default:
		s.Outcome = NotMatched
	}
	return matched, failed
}

// count takes one of the lookups (§4.6.4).
func (e *evaluation) count(domain, term string) *stop {
	e.lookups++
	if e.lookups > MaxLookups {
		return permError("%s in the record of %s is lookup %d, and %d are allowed", term, domain, e.lookups, MaxLookups)
	}
	return nil
}

// answered judges the answer to a term's question: nothing there is a void lookup (§4.6.4).
func (e *evaluation) answered(what, name string, count int, err error) *stop {
	switch {
	case count > 0:
		return nil
	case err != nil && !isNotFound(err):
		return unanswered(what, name, err)
	}
	e.voids++
	if e.voids > MaxVoids {
		return permError("%s of %s is void lookup %d, and %d are allowed", what, name, e.voids, MaxVoids)
	}
	return nil
}

func (e *evaluation) match(m Mechanism, domain string, level int) (bool, *stop) {
	switch m.Name {
	case All:
		return true, nil
	case IP4, IP6:
		prefix, ok := m.Network()
		return ok && prefix.Contains(e.ip), nil
	}
	if failed := e.count(domain, m.String()); failed != nil {
		return false, failed
	}
	name := e.target(m.Value, domain)
	switch m.Name {
	case Include:
		return e.include(m, name, domain, level)
	case A:
		return e.matchHost(m, name)
	case MX:
		return e.matchMX(m, name)
	case PTR:
		names := e.validated()
		if e.nameless {
			return false, e.answered("PTR", e.ip.String(), 0, nil)
		}
		return slices.ContainsFunc(names, func(n string) bool { return within(n, name) }), nil
	case Exists:
		if !isName(name) {
			return false, nil
		}
		addrs, err := e.Resolver.LookupNetIP(e.ctx, "ip4", fqdn(name)) // §5.7: A, whatever the host's family
		return len(addrs) > 0, e.answered("A", name, len(addrs), err)
	}
	return false, permError("%s in the record of %s is unknown", m.Name, domain)
}

// include judges by another record (§5.2).
func (e *evaluation) include(m Mechanism, name, domain string, level int) (bool, *stop) {
	v := e.checkHost(name, level+1)
	switch v.result {
	case Pass:
		return true, nil
	case TempError, PermError:
		return false, &stop{v.result, v.err}
	case None:
		return false, permError("%s in the record of %s: %w", m, domain, v.err)
	}
	return false, nil
}

// redirect has another record decide (§6.1).
func (e *evaluation) redirect(spec, domain string, level int) verdict {
	if failed := e.count(domain, "redirect="+spec); failed != nil {
		return verdict{result: failed.result, err: failed.err}
	}
	v := e.checkHost(e.target(spec, domain), level+1)
	if v.result == None {
		return verdict{result: PermError, err: fmt.Errorf("redirect=%s in the record of %s: %w", spec, domain, v.err)}
	}
	return v
}

// matchHost is mechanism a (§5.3).
func (e *evaluation) matchHost(m Mechanism, name string) (bool, *stop) {
	if !isName(name) {
		return false, nil
	}
	addrs, err := e.Resolver.LookupNetIP(e.ctx, e.network(), fqdn(name))
	if failed := e.answered(e.rrtype(), name, len(addrs), err); failed != nil {
		return false, failed
	}
	return m.covers(addrs, e.ip), nil
}

// matchMX is mechanism mx (§5.4).
func (e *evaluation) matchMX(m Mechanism, name string) (bool, *stop) {
	if !isName(name) {
		return false, nil
	}
	hosts, err := e.Resolver.LookupMX(e.ctx, fqdn(name))
	if failed := e.answered("MX", name, len(hosts), err); failed != nil {
		return false, failed
	}
	if len(hosts) > MaxMXHosts {
		return false, permError("%s has %d MX hosts, and %d are allowed", name, len(hosts), MaxMXHosts)
	}
	for _, mx := range hosts {
		host := strings.TrimSuffix(mx.Host, ".")
		if !isName(host) {
			continue // the null MX (RFC 7505), or no name at all
		}
		addrs, err := e.Resolver.LookupNetIP(e.ctx, e.network(), fqdn(host))
		if err != nil && !isNotFound(err) {
			return false, unanswered(e.rrtype(), host, err)
		}
		if m.covers(addrs, e.ip) {
			return true, nil
		}
	}
	return false, nil
}

// validated returns the names of the host that lead back to its address (§5.5). An error is
// only a name less: ptr never stops an evaluation.
func (e *evaluation) validated() []string {
	if e.namesKnown {
		return e.names
	}
	e.namesKnown = true
	names, err := e.Resolver.LookupAddr(e.ctx, e.ip.String())
	e.nameless = len(names) == 0 && (err == nil || isNotFound(err))
	for _, name := range names[:min(len(names), MaxNames)] {
		name = strings.TrimSuffix(name, ".")
		if !isName(name) {
			continue
		}
		if addrs, err := e.Resolver.LookupNetIP(e.ctx, e.network(), fqdn(name)); err == nil && covers(addrs, e.ip, e.ip.BitLen()) {
			e.names = append(e.names, name)
		}
	}
	return e.names
}

// explain fetches the domain's explanation of a failure (§6.2). Whatever goes wrong, the mail
// has failed all the same.
func (e *evaluation) explain(v verdict) string {
	name := e.target(v.exp, v.domain)
	if v.exp == "" || !isName(name) {
		return e.Explanation
	}
	texts, err := e.Resolver.LookupTXT(e.ctx, fqdn(name))
	if err != nil || len(texts) != 1 || !isExplanation(texts[0]) {
		return e.Explanation
	}
	var b strings.Builder
	for part := range e.expand(texts[0], v.domain) {
		if b.WriteString(part); b.Len() > maxExplanation {
			return e.Explanation
		}
	}
	return b.String()
}

// maxExplanation is far more than the line of a reply that an explanation goes into (RFC 5321
// §4.5.3.1.5), and keeps a text full of macros from growing without end.
const maxExplanation = 4096

func (e *evaluation) network() string {
	if e.ip.Is4() {
		return "ip4"
	}
	return "ip6"
}

func (e *evaluation) rrtype() string {
	if e.ip.Is4() {
		return "A"
	}
	return "AAAA"
}

// covers reports whether one of the addresses is in one network with ip, by the mechanism's
// prefix lengths.
func (m Mechanism) covers(addrs []netip.Addr, ip netip.Addr) bool {
	bits := m.Bits4
	if ip.Is6() {
		bits = m.Bits6
	}
	return covers(addrs, ip, prefixLen(bits, ip.BitLen()))
}

func covers(addrs []netip.Addr, ip netip.Addr, bits int) bool {
	for _, a := range addrs {
		if prefix, err := a.Unmap().Prefix(bits); err == nil && prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// within reports whether name is the domain or below it.
func within(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.ToLower(domain)
	return name == domain || strings.HasSuffix(name, "."+domain)
}
