package tlsrpt

import (
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

var rule = lint.NewRule

var rules = lint.Table{
	rule("TLSRPT-MISSING", lint.Warning, "no TLS-RPT record, though a policy can stop mail", "publish one, so that somebody hears of it", "RFC 8460 §3"),
	rule("TLSRPT-MULTIPLE", lint.Error, "more than one TLS-RPT record", "keep one: senders take several for none", "RFC 8460 §3"),
	rule("TLSRPT-VERSION", lint.Error, "a text that looks like a TLS-RPT record and is none", "begin it with v=TLSRPTv1 and a semicolon, with nothing before", "RFC 8460 §3"),
	rule("TLSRPT-SYNTAX", lint.Error, "the record can't be read", "correct it: senders take it for none", "RFC 8460 §3"),
	rule("TLSRPT-OWN-DOMAIN", lint.Warning, "reports by mail go to the domain whose policy they are about", "add an address elsewhere, or one of https: a report on undelivered mail may not be delivered either", "RFC 8460 §5.3"),
	rule("TLSRPT-UNKNOWN-TAG", lint.Warning, "a tag that senders do not know", "correct or remove it", "RFC 8460 §3"),
}

// Rules returns the rules that Lint judges by.
func Rules() []lint.Rule { return slices.Clone(rules) }

// Subject is what Lint judges.
type Subject struct {
	Domain string
	Texts  []string // all TXT records at _smtp._tls.<domain>, each with its strings joined
	// Enforced: an MTA-STS policy or DANE can keep mail for the domain from being delivered.
	Enforced bool
}

// Lint judges what a domain publishes, the worst first.
func Lint(s Subject) []lint.Finding { return lint.WorstFirst(judge(s)) }

func judge(s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	var records []string
	for _, text := range s.Texts {
		switch {
		case IsRecord(text):
			records = append(records, text)
		case strings.Contains(strings.ToLower(text), "tlsrpt"):
			find("TLSRPT-VERSION", "%q", text)
		}
	}
	switch len(records) {
	case 0:
		if s.Enforced {
			find("TLSRPT-MISSING", "no text begins with v=TLSRPTv1")
		}
		return out
	case 1:
	default:
		find("TLSRPT-MULTIPLE", "%d records: %q", len(records), records)
		return out
	}
	r, err := Parse(records[0])
	if err != nil {
		find("TLSRPT-SYNTAX", "%v", err)
		return out
	}
	for _, e := range r.Extensions {
		find("TLSRPT-UNKNOWN-TAG", "%s=%s", e.Name, e.Value)
	}
	if s.Enforced && s.Domain != "" && onlyAt(r.RUA, s.Domain) {
		find("TLSRPT-OWN-DOMAIN", "rua=%s", strings.Join(r.RUA, ","))
	}
	return out
}

// onlyAt reports whether all reports are mail to the domain itself.
func onlyAt(uris []string, domain string) bool {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	for _, uri := range uris {
		address, _, _ := strings.Cut(strings.ToLower(uri), "?")
		if !strings.HasPrefix(address, "mailto:") || !strings.HasSuffix(address, "@"+domain) {
			return false
		}
	}
	return true
}
