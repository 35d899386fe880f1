package dmarc

import (
	"errors"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

var rule = lint.NewRule

var rules = lint.Table{
	rule("DMARC-MISSING", lint.Error, "no DMARC record", "publish v=DMARC1; p=none; rua=mailto:… first", "RFC 9989 §8"),
	rule("DMARC-MULTIPLE", lint.Error, "more than one DMARC record", "keep one: receivers discard them all", "RFC 9989 §4.10"),
	rule("DMARC-VERSION", lint.Error, "a text that looks like a DMARC record and is none", "begin it with v=DMARC1, in capitals, with nothing before", "RFC 9989 §4.8"),
	rule("DMARC-FOREIGN-TEXT", lint.Error, "a text at _dmarc that is not DMARC's", "remove it: some receivers stumble over it", "RFC 9989 §4.5"),
	rule("DMARC-PLACE", lint.Error, "a DMARC record at the domain itself", "publish it at _dmarc below the domain", "RFC 9989 §4.5"),
	rule("DMARC-POLICY", lint.Error, "a policy that is none of none, quarantine and reject", "correct it: receivers fall back to none, or to nothing", "RFC 9989 §4.10.1"),
	rule("DMARC-NO-POLICY", lint.Error, "neither p nor a usable report address", "write p=none, at least: receivers ignore the record", "RFC 9989 §4.10.1"),
	rule("DMARC-URI", lint.Error, "a report address that can't be used", "write it as mailto:dmarc@example.com", "RFC 9989 §4.8"),
	rule("DMARC-SYNTAX", lint.Error, "a tag that can't be read", "correct it: receivers ignore the tag", "RFC 9989 §4.8"),
	rule("DMARC-REPORT-REFUSED", lint.Error, "a report address at another organization that has not agreed", "have its owner publish v=DMARC1 at the name", "RFC 9990 §4"),
	rule("DMARC-REPORT-NO-MX", lint.Error, "a report address at a domain that takes no mail", "correct the address, or publish an MX record there", "RFC 9989 §8"),
	rule("DMARC-NONE", lint.Warning, "receivers are asked for nothing", "go on to quarantine once the reports show no failures of your own", "RFC 9989 §7.4"),
	rule("DMARC-TESTING", lint.Warning, "t=y takes a step off the policy; receivers of before RFC 9989 apply it in full", "remove t once the reports show no failures of your own", "RFC 9989 §4.7"),
	rule("DMARC-SUBDOMAINS", lint.Warning, "subdomains have a weaker policy than the domain", "remove sp and np, or make them as strict as p", "RFC 9989 §4.7"),
	rule("DMARC-NO-REPORTS", lint.Warning, "nobody gets aggregate reports", "add rua", "RFC 9989 §8"),
	rule("DMARC-HISTORIC-TAG", lint.Warning, "a tag that RFC 9989 has removed", "remove it; for a ramp use none, quarantine with t=y, quarantine, reject", "RFC 9989 §A.6"),
	rule("DMARC-URI-SIZE", lint.Warning, "a size limit behind a report address", "remove it: receivers ignore it", "RFC 9989 §4.8"),
	rule("DMARC-URI-MANY", lint.Warning, "more than two report addresses", "name two at most: some receivers send to no more", "RFC 7489 §6.2"),
	rule("DMARC-P-MISSING", lint.Warning, "no p, which counts as none", "write p=none if that is meant", "RFC 9989 §4.7"),
	rule("DMARC-P-NOT-SECOND", lint.Warning, "p does not stand behind v", "put it there: receivers of before RFC 9989 ignore the record", "RFC 7489 §6.3"),
	rule("DMARC-FO-UNUSED", lint.Warning, "fo without ruf is ignored", "remove fo, or add ruf", "RFC 9989 §4.7"),
	rule("DMARC-FO-BOTH", lint.Warning, "fo asks for reports when all fail and when any fails", "keep one of 0 and 1", "RFC 9989 §4.7"),
	rule("DMARC-SP-IGNORED", lint.Warning, "sp or np below the organizational domain is ignored", "set it at the organizational domain, or psd=n here", "RFC 9989 §4.7"),
	rule("DMARC-PSD", lint.Warning, "the domain says that it is a public suffix", "remove psd=y, unless strangers register below the domain", "RFC 9989 §4.7"),
	rule("DMARC-SIZE", lint.Warning, "a long record", "shorten it: the answer may not fit into 512 octets", "RFC 1035 §4.2.1"),
	rule("DMARC-UNKNOWN-TAG", lint.Warning, "a tag that no RFC knows", "correct or remove it", "RFC 9989 §4.7"),
	rule("DMARC-STRICT", lint.Info, "strict alignment, which mail sent by others in your name may miss", "none, if they all sign as the domain itself", "RFC 9989 §4.4"),
}

// Rules returns the rules that Lint judges by.
func Rules() []lint.Rule { return slices.Clone(rules) }

// Subject is what Lint judges. Only Texts is needed; what is nil is not judged.
type Subject struct {
	Texts        []string      // all TXT records at _dmarc.<domain>
	DomainTexts  []string      // all TXT records at the domain itself
	Organization string        // the organizational domain, if it is another one
	Destinations []Destination // where reports go
	NoMX         []string      // hosts of report addresses that have neither MX nor address
}

const maxRecord = 450 // octets; as RFC 7208 §3.4 counts for SPF

// Lint judges what a domain publishes, the worst first.
func Lint(s Subject) []lint.Finding { return lint.WorstFirst(judge(s)) }

func judge(s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	for _, text := range s.DomainTexts {
		if IsRecord(text) {
			find("DMARC-PLACE", "%q", text)
		}
	}
	var records []string
	for _, text := range s.Texts {
		switch lower := strings.ToLower(strings.Join(strings.Fields(text), "")); {
		case IsRecord(text):
			records = append(records, text)
		case strings.Contains(lower, "v=dmarc"):
			find("DMARC-VERSION", "%q", text)
		default:
			find("DMARC-FOREIGN-TEXT", "%q", text)
		}
	}
	switch len(records) {
	case 0:
		find("DMARC-MISSING", "no text begins with v=DMARC1")
		return out
	case 1:
	default:
		find("DMARC-MULTIPLE", "%d records: %q", len(records), records)
		return out
	}
	if len(records[0]) > syntax.MaxText {
		find("DMARC-SYNTAX", "the text is longer than a TXT record can be")
		return out
	}
	out = append(out, lintTags(records[0])...)
	r, err := Interpret(records[0])
	if err != nil {
		return out
	}
	out = append(out, lintPolicy(r, s.Organization)...)
	for _, d := range s.Destinations {
		switch {
		case !d.External || d.Agrees:
		case d.Name == "":
			find("DMARC-REPORT-REFUSED", "%s: there is no name at which it could agree, as that would be too long or the host is an address", d.Host)
		default:
			find("DMARC-REPORT-REFUSED", "%s: no such record at %s", d.Host, d.Name)
		}
	}
	for _, host := range s.NoMX {
		find("DMARC-REPORT-NO-MX", "%s", host)
	}
	return out
}

// lintTags judges how the record is written.
func lintTags(text string) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	if _, err := format.Parse(text); err != nil {
		find("DMARC-SYNTAX", "%v", err)
	}
	tags := format.Tolerate(text)
	if len(text) > maxRecord {
		find("DMARC-SIZE", "%d octets, want %d at most", len(text), maxRecord)
	}
	switch {
	case !slices.ContainsFunc(tags, func(t syntax.Tag) bool { return t.Name == "p" }):
		if _, err := Interpret(text); errors.Is(err, ErrNotProcessed) {
			find("DMARC-NO-POLICY", "%q", text)
		} else {
			find("DMARC-P-MISSING", "%q", text)
		}
	case !pIsSecond(text):
		find("DMARC-P-NOT-SECOND", "%q", text)
	}
	for _, t := range tags[1:] {
		var r Record
		switch err := r.set(t); {
		case err == nil && len(r.Extensions) > 0:
			find("DMARC-UNKNOWN-TAG", "%s=%s", t.Name, t.Value)
		case err == nil:
		case t.Name == "p" || t.Name == "sp" || t.Name == "np":
			find("DMARC-POLICY", "%v", err)
		case t.Name == "rua" || t.Name == "ruf":
			find("DMARC-URI", "%v", err)
		default:
			find("DMARC-SYNTAX", "%v", err)
		}
		switch t.Name {
		case "pct", "rf", "ri":
			find("DMARC-HISTORIC-TAG", "%s=%s", t.Name, t.Value)
		case "rua", "ruf":
			uris := format.List(t.Value, ",")
			if len(uris) > 2 {
				find("DMARC-URI-MANY", "%s has %d", t.Name, len(uris))
			}
			for _, uri := range uris {
				if strings.Contains(uri, "!") {
					find("DMARC-URI-SIZE", "%s", uri)
				}
			}
		}
	}
	return out
}

// lintPolicy judges what the record asks for.
func lintPolicy(r Record, organization string) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	p, sp, np := r.policies()
	testing := r.Testing != nil && *r.Testing
	switch {
	case p == None:
		find("DMARC-NONE", "p=none")
	case testing:
		find("DMARC-TESTING", "p=%s with t=y is %s", p, p.Weaker())
	}
	if steps(sp) < steps(p) || steps(np) < steps(p) {
		find("DMARC-SUBDOMAINS", "p=%s, sp=%s, np=%s", p, sp, np)
	}
	if organization != "" && (r.SubdomainPolicy != "" || r.NonexistentSubdomainPolicy != "") && r.PSD != "n" {
		find("DMARC-SP-IGNORED", "the organizational domain is %s", organization)
	}
	if len(r.RUA) == 0 {
		find("DMARC-NO-REPORTS", "no rua")
	}
	if len(r.FailureOptions) > 0 && len(r.RUF) == 0 {
		find("DMARC-FO-UNUSED", "fo=%s", strings.Join(r.FailureOptions, ":"))
	}
	if slices.Contains(r.FailureOptions, "0") && slices.Contains(r.FailureOptions, "1") {
		find("DMARC-FO-BOTH", "fo=%s", strings.Join(r.FailureOptions, ":"))
	}
	if r.PSD == "y" {
		find("DMARC-PSD", "psd=y")
	}
	if spf, dkim := r.Alignment(); spf || dkim {
		find("DMARC-STRICT", "adkim=%s, aspf=%s", or(r.DKIMAlignment, "r"), or(r.SPFAlignment, "r"))
	}
	return out
}
