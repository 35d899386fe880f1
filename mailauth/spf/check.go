package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Resolver asks DNS; *net.Resolver is one. An error that is a *net.DNSError with IsNotFound
// says that nothing stands at the name; any other says that it could not be found out.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// The limits of RFC 7208 §4.6.4.
const (
	MaxLookups = 10 // terms that ask DNS, in a whole evaluation
	MaxVoids   = 2  // of these, the ones that get nothing
	MaxMXHosts = 10 // hosts of one mx mechanism
)

// walkLimit bounds the walk through a record that is far beyond the limits.
const walkLimit = 4 * MaxLookups

// Report is what Check found.
type Report struct {
	Lookups int // terms that ask DNS; the limit is MaxLookups
	Voids   int // names that were asked for and do not exist; the limit is MaxVoids

	// PermErrors are the reasons for which some receiver would end in permerror
	// (RFC 7208 §2.6.7): which term, what was seen, what to do.
	PermErrors []string
	// TempErrors are the questions that got no answer: of these nothing is known.
	TempErrors []string
	// Terms are the terms of the record itself that ask DNS, each with all that is behind it.
	Terms []TermCost
}

// TermCost is how many lookups a term costs.
type TermCost struct {
	Term    string
	Lookups int
}

// OK reports whether the record evaluates without any error.
func (r Report) OK() bool { return len(r.PermErrors) == 0 && len(r.TempErrors) == 0 }

// Check weighs the record of domain in the worst case, in which nothing matches before the
// end: every include and redirect is followed and every lookup counted. A term with macros is
// counted and not looked up, since what it asks for depends on the message. What stands
// behind "all" is never evaluated (RFC 7208 §5.1) and not counted.
func Check(ctx context.Context, resolver Resolver, domain string, record Record) Report {
	w := walk{resolver: resolver}
	w.record(ctx, domain, record, nil)
	if w.report.Lookups > MaxLookups {
		w.perm("the record needs %s%d DNS lookups, and receivers stop at %d: remove includes, or replace them by ip4 and ip6 (RFC 7208 §4.6.4)",
			map[bool]string{true: "more than "}[w.report.Lookups >= walkLimit], w.report.Lookups, MaxLookups)
	}
	if w.report.Voids > MaxVoids {
		w.perm("%d of the names that the record asks for do not exist, and receivers stop at %d: remove them (RFC 7208 §4.6.4)", w.report.Voids, MaxVoids)
	}
	return w.report
}

type walk struct {
	resolver Resolver
	report   Report
}

func (w *walk) perm(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(w.report.PermErrors, text) {
		w.report.PermErrors = append(w.report.PermErrors, text)
	}
}

// record walks the record of domain; path are the domains whose records led here.
func (w *walk) record(ctx context.Context, domain string, r Record, path []string) {
	path = append(slices.Clone(path), foldDomain(domain))
	cost := func(term string, visit func()) {
		if w.report.Lookups >= walkLimit {
			return
		}
		before := w.report.Lookups
		w.report.Lookups++
		visit()
		if len(path) == 1 {
			w.report.Terms = append(w.report.Terms, TermCost{term, w.report.Lookups - before})
		}
	}
	for _, m := range r.Mechanisms {
		switch m.Name {
		case All:
			return
		case IP4, IP6:
		default:
			cost(m.String(), func() { w.mechanism(ctx, domain, m, path) })
		}
	}
	if r.Redirect != "" {
		cost("redirect="+r.Redirect, func() { w.follow(ctx, "redirect="+r.Redirect, r.Redirect, path) })
	}
}

func (w *walk) mechanism(ctx context.Context, domain string, m Mechanism, path []string) {
	name := m.Value
	if name == "" {
		name = domain
	}
	if hasMacro(name) {
		return
	}
	name = strings.TrimSuffix(name, ".")
	switch m.Name {
	case Include:
		w.follow(ctx, m.String(), name, path)
	case A, Exists:
		_, err := w.resolver.LookupIPAddr(ctx, name)
		w.absent(m.String(), "A and AAAA of "+name, err)
	case MX:
		hosts, err := w.resolver.LookupMX(ctx, name)
		w.absent(m.String(), "MX of "+name, err)
		if len(hosts) > MaxMXHosts {
			w.perm("%s: %s has %d MX hosts, and receivers stop at %d: use ip4 and ip6 instead (RFC 7208 §4.6.4)", m, name, len(hosts), MaxMXHosts)
		}
	}
	// ptr asks for the names of the sender's address, which is not known here.
}

// follow walks the record that an include or a redirect leads to.
func (w *walk) follow(ctx context.Context, term, name string, path []string) {
	if hasMacro(name) {
		return
	}
	name = strings.TrimSuffix(name, ".")
	if slices.Contains(path, foldDomain(name)) {
		w.perm("%s: leads back to %s, in a circle: remove it (RFC 7208 §4.6.4)", term, name)
		return
	}
	texts, err := w.resolver.LookupTXT(ctx, name)
	if failed := w.absent(term, "TXT of "+name, err); failed {
		return
	}
	records := slices.DeleteFunc(slices.Clone(texts), func(txt string) bool { return !IsRecord(txt) })
	switch len(records) {
	case 0:
		w.perm("%s: %s has no SPF record: correct or remove it (RFC 7208 §5.2, §6.1)", term, name)
		return
	case 1:
	default:
		w.perm("%s: %s has %d SPF records, want one: have its owner remove the others, or remove the term (RFC 7208 §4.5)", term, name, len(records))
		return
	}
	record, err := Parse(records[0])
	if err != nil {
		w.perm("%s: the record of %s is broken: %v: have its owner repair it, or remove the term", term, name, err)
		return
	}
	w.record(ctx, name, record, path)
}

// absent takes note of a lookup that got nothing; failed reports that nothing is known.
func (w *walk) absent(term, question string, err error) (failed bool) {
	if err == nil {
		return false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		w.report.Voids++
		return false
	}
	text := fmt.Sprintf("%s: no answer to the question for %s", term, question)
	if !slices.Contains(w.report.TempErrors, text) {
		w.report.TempErrors = append(w.report.TempErrors, text)
	}
	return true
}
