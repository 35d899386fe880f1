package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// LookupsExceeded is the code of a record that asks DNS more than MaxLookups times.
const LookupsExceeded = "SPF-LOOKUPS-EXCEEDED"

// rules are everything that is judged. The Errors that stand below "walk" come from Analyze.
var rules = lint.Table{
	rule("SPF-MISSING", lint.Error, "no SPF record", "publish one; for a domain that sends no mail v=spf1 -all", "RFC 7208 §3.1"),
	rule("SPF-MULTIPLE", lint.Error, "more than one SPF record", "merge them into one: receivers ignore none and fail all", "RFC 7208 §3.2, §4.5"),
	rule("SPF-VERSION", lint.Error, "a text that looks like an SPF record and is none", "begin it with v=spf1 and a space, with nothing before", "RFC 7208 §4.5"),
	rule("SPF-SYNTAX", lint.Error, "the record can't be read", "correct the term: receivers reject the whole record", "RFC 7208 §4.6"),
	rule("SPF-PASS-ALL", lint.Error, "every host of the world may send", "end the record with -all or ~all, and let no other term match all hosts", "Internet.nl mail test"),
	rule("SPF-DUPLICATE-ALL", lint.Error, "all stands more than once", "keep the one that is meant", "RFC 7208 §5.1"),
	rule("SPF-NO-ALL", lint.Warning, "the record says nothing about other hosts", "end it with -all or ~all, or with redirect", "RFC 7208 §4.7"),
	rule("SPF-NEUTRAL-ALL", lint.Warning, "other hosts get neutral, as without a record", "end the record with -all or ~all", "Internet.nl mail test"),
	rule("SPF-AFTER-ALL", lint.Warning, "terms behind all, which nobody evaluates", "put them before all, or remove them", "RFC 7208 §5.1"),
	rule("SPF-REDIRECT-WITH-ALL", lint.Warning, "redirect beside all is ignored", "remove one of the two", "RFC 7208 §6.1"),
	rule("SPF-PTR", lint.Warning, "ptr is slow, unreliable and discouraged", "replace it by a, mx, ip4 or ip6", "RFC 7208 §5.5"),
	rule("SPF-INCLUDE-TWICE", lint.Warning, "one domain is included more than once", "remove the later one", "RFC 7208 §4.6.4"),
	rule("SPF-NETWORK-TWICE", lint.Warning, "a network lies within another one", "remove the narrower one", "RFC 7208 §3.4"),
	rule("SPF-NETWORK-WIDE", lint.Warning, "a very wide network", "name the networks that send, at most a /16 of IPv4 each", "dmarc.org FAQ"),
	rule("SPF-SIZE", lint.Warning, "the TXT records at the name make a long answer", "shorten them, or move others' records to names of their own", "RFC 7208 §3.4"),
	rule("SPF-SIZE-UDP", lint.Warning, "the answer does not fit into 512 octets", "shorten the record, or split it by include", "RFC 7208 §3.4"),
	rule("SPF-SENDER-ID", lint.Warning, "a Sender ID record (spf2.0), which nobody reads any more", "remove it", "RFC 6686 §5"),
	rule("SPF-PARKED", lint.Warning, "a domain that sends no mail allows hosts to", "publish exactly v=spf1 -all", "M3AAWG parked domains"),
	rule("SPF-UNKNOWN-MODIFIER", lint.Info, "a modifier that receivers ignore", "remove it, unless somebody uses it", "RFC 7208 §6"),

	// By the walk.
	rule(LookupsExceeded, lint.Error, "too many lookups", "remove includes, or replace them by ip4 and ip6", "RFC 7208 §4.6.4"),
	rule("SPF-VOIDS-EXCEEDED", lint.Error, "too many lookups that get nothing", "remove the terms that ask for names without records", "RFC 7208 §4.6.4"),
	rule("SPF-VOIDS-IPV6", lint.Warning, "too many lookups that get nothing for hosts that deliver over IPv6: they get permerror", "give the names AAAA records, or replace the terms by ip4", "RFC 7208 §4.6.4"),
	rule("SPF-MX-HOSTS-EXCEEDED", lint.Error, "too many MX hosts under one mx", "name the hosts by ip4 and ip6", "RFC 7208 §4.6.4"),
	rule("SPF-INCLUDE-NONE", lint.Error, "a domain that is led to has no SPF record", "correct or remove the term", "RFC 7208 §5.2, §6.1"),
	rule("SPF-INCLUDE-MULTIPLE", lint.Error, "a domain that is led to has more than one SPF record", "have its owner remove the others, or remove the term", "RFC 7208 §4.5"),
	rule("SPF-INCLUDE-SYNTAX", lint.Error, "a record that is led to is broken", "have its owner correct it, or remove the term", "RFC 7208 §4.6"),
	rule("SPF-LOOP", lint.Error, "records lead in a circle", "remove the term", "RFC 7208 §4.6.4"),
	rule("SPF-LOOKUPS-HIGH", lint.Warning, "nearly all lookups are used up", "make room before a provider adds an include", "RFC 7208 §4.6.4"),
	rule("SPF-VOID", lint.Warning, "a name that the record asks for has no such records", "correct or remove the term", "RFC 7208 §4.6.4"),
	rule("SPF-MX-EMPTY", lint.Warning, "an mx that matches no host, as the MX hosts have no addresses", "correct the MX records, or remove the term", "RFC 7208 §5.4"),
	rule("SPF-EXP", lint.Warning, "the explanation can't be used", "publish one TXT record in ASCII there, or remove exp", "RFC 7208 §6.2"),
	rule("SPF-MACRO", lint.Info, "a term that depends on the message", "none: what it costs and matches can't be said beforehand", "RFC 7208 §7"),
}

var rule = lint.NewRule

// Rules returns the rules that Lint and Analyze judge by.
func Rules() []lint.Rule { return slices.Clone(rules) }

// Subject is what Lint judges.
type Subject struct {
	Domain string
	// Texts are all TXT records at the domain, each with its strings joined. Those of others count
	// for the size of the answer.
	Texts []string
	// Analysis is of the domain's record; nil judges without DNS.
	Analysis *Analysis
	// SendsNoMail: the domain is parked.
	SendsNoMail bool
}

// Lint judges what a domain publishes, the worst first.
func Lint(s Subject) []lint.Finding { return lint.WorstFirst(judge(s)) }

func judge(s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	var records []string
	for _, text := range s.Texts {
		lower := strings.ToLower(strings.TrimLeft(text, " \t\"'"))
		switch {
		case IsRecord(text):
			records = append(records, text)
		case strings.HasPrefix(lower, "spf2.0/"):
			find("SPF-SENDER-ID", "%q", text)
		case strings.HasPrefix(lower, "v=spf"):
			find("SPF-VERSION", "%q", text)
		}
	}
	if size := WireSize(s.Domain, s.Texts...); size > maxUDP {
		find("SPF-SIZE-UDP", "the answer has %d octets", size)
	} else if size > maxAnswer {
		find("SPF-SIZE", "the answer has %d octets, want %d at most", size, maxAnswer)
	}
	switch len(records) {
	case 0:
		find("SPF-MISSING", "no text at %s begins with v=spf1", s.Domain)
		return out
	case 1:
	default:
		find("SPF-MULTIPLE", "%d records: %q", len(records), records)
		return out
	}
	record, err := Parse(records[0])
	if err != nil {
		var at *SyntaxError
		errors.As(err, &at)
		find("SPF-SYNTAX", "%v", at)
		return out
	}
	if s.SendsNoMail && !Same(records[0], "v=spf1 -all") {
		find("SPF-PARKED", "%q", records[0])
	}
	out = append(out, lintTerms(record)...)
	if s.Analysis == nil {
		return out
	}
	if family := wholeFamily(s.Analysis.Networks); family != "" && !slices.ContainsFunc(out, func(f lint.Finding) bool { return f.Code == "SPF-PASS-ALL" }) {
		find("SPF-PASS-ALL", "all of %s passes", family)
	}
	return append(out, s.Analysis.Findings...)
}

// wholeFamily is the family of which all addresses are in the networks, "" if there is none.
func wholeFamily(networks []netip.Prefix) string {
	var joined []netip.Prefix // sorted, with every two halves put together
	for _, n := range networks {
		for len(joined) > 0 && n.Bits() > 0 {
			before := joined[len(joined)-1]
			if whole, err := n.Addr().Prefix(n.Bits() - 1); before.Bits() == n.Bits() && err == nil && whole.Contains(before.Addr()) {
				joined, n = joined[:len(joined)-1], whole
				continue
			}
			break
		}
		if n.Bits() == 0 {
			return map[bool]string{true: "IPv4", false: "IPv6"}[n.Addr().Is4()]
		}
		joined = append(joined, n)
	}
	return ""
}

// lintTerms judges what the record says by itself.
func lintTerms(r Record) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	var all *Mechanism
	var networks []netip.Prefix // of the mechanisms; of some there is none, which neither holds nor is held
	included := map[string]bool{}
	for i, m := range r.Mechanisms {
		if all != nil {
			if m.Name == All {
				find("SPF-DUPLICATE-ALL", "%s behind %s", m, all)
			} else {
				find("SPF-AFTER-ALL", "%s", m)
			}
			continue
		}
		switch m.Name {
		case All:
			all = &r.Mechanisms[i]
		case PTR:
			find("SPF-PTR", "%s", m)
		case Include:
			name := foldDomain(m.Value)
			if included[name] {
				find("SPF-INCLUDE-TWICE", "%s", m)
			}
			included[name] = true
		}
		if m.isWide() {
			find("SPF-NETWORK-WIDE", "%s", m)
		}
		network, _ := m.Network()
		if networks = append(networks, network); i < maxCompared {
			if within, by := nested(r.Mechanisms, networks); by >= 0 {
				find("SPF-NETWORK-TWICE", "%s within %s", r.Mechanisms[within], r.Mechanisms[by])
			}
		}
	}
	if code, last := r.others(); code != "" {
		find(code, "%s", last)
	}
	if all != nil && r.Redirect != "" {
		find("SPF-REDIRECT-WITH-ALL", "redirect=%s beside %s", r.Redirect, all)
	}
	for _, m := range r.Unknown {
		if m.asksForReports() {
			continue
		}
		find("SPF-UNKNOWN-MODIFIER", "%s=%s", m.Name, m.Value)
	}
	return out
}

// others is the code of what is wrong with the end of the record, which decides about hosts that
// nothing else matches, and that end.
func (r Record) others() (code, last string) {
	at := slices.IndexFunc(r.Mechanisms, func(m Mechanism) bool { return m.Name == All })
	switch {
	case at < 0 && r.Redirect == "":
		return "SPF-NO-ALL", fmt.Sprintf("%q", r)
	case at < 0:
	case r.Mechanisms[at].result() == Pass:
		return "SPF-PASS-ALL", r.Mechanisms[at].String()
	case r.Mechanisms[at].result() == Neutral:
		return "SPF-NEUTRAL-ALL", r.Mechanisms[at].String()
	}
	return "", ""
}

// isWide reports whether a mechanism lets a network pass that is wider than any sender has.
func (m Mechanism) isWide() bool {
	if m.result() != Pass {
		return false
	}
	switch m.Name {
	case IP4, IP6, A, MX:
		return prefixLen(m.Bits4, widest4) < widest4 || prefixLen(m.Bits6, widest6) < widest6
	}
	return false
}

// nested finds a network that makes no difference: the last one within an earlier one; or an
// earlier one within the last, if all terms from the one to the other have the same result.
func nested(mechanisms []Mechanism, networks []netip.Prefix) (within, by int) {
	last := len(networks) - 1
	for i, earlier := range networks[:last] {
		if contains(earlier, networks[last]) {
			return last, i
		}
	}
	for i := last - 1; i >= 0 && mechanisms[i].result() == mechanisms[last].result(); i-- {
		if contains(networks[last], networks[i]) {
			return i, last
		}
	}
	return -1, -1
}

const (
	widest4     = 16
	widest6     = 32   // what one holder usually gets
	maxCompared = 1000 // terms that are compared with each other: a record of 64 KiB holds more
	maxAnswer   = 450  // §3.4
	maxUDP      = 512  // RFC 1035 §4.2.1
)

// WireSize returns the size of the answer to the question for all TXT records at a name, in
// octets: header, question, and each record with its owner compressed and its text in strings
// of 255 octets. EDNS0 and DNSSEC come on top.
func WireSize(owner string, texts ...string) int {
	const header, question, record, perString = 12, 4, 12, 255
	size := header + len(strings.TrimSuffix(owner, ".")) + 2 + question
	for _, text := range texts {
		size += record + len(text) + max(1, (len(text)+perString-1)/perString)
	}
	return size
}
