package mtasts

import (
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

var rule = lint.NewRule

var rules = lint.Table{
	// The record.
	rule("MTASTS-MISSING", lint.Error, "no MTA-STS record", "publish v=STSv1 with an id at _mta-sts below the domain, once the policy is served", "RFC 8461 §3.1"),
	rule("MTASTS-MULTIPLE", lint.Error, "more than one MTA-STS record", "keep one: senders take several for none", "RFC 8461 §3.1"),
	rule("MTASTS-VERSION", lint.Error, "a text that looks like an MTA-STS record and is none", "begin it with v=STSv1 and a semicolon, with nothing before", "RFC 8461 §3.1"),
	rule("MTASTS-SYNTAX", lint.Error, "the record can't be read", "correct it: senders take it for none", "RFC 8461 §3.1"),
	rule("MTASTS-UNKNOWN-FIELD", lint.Warning, "a field that senders do not know", "correct or remove it", "RFC 8461 §3.1, §3.2"),

	// The policy.
	rule("MTASTS-POLICY-NOT-SERVED", lint.Error, "the policy can't be fetched", "serve it at https://mta-sts.<domain>/.well-known/mta-sts.txt with status 200, no redirect and a valid certificate", "RFC 8461 §3.3"),
	rule("MTASTS-POLICY-SYNTAX", lint.Error, "the policy can't be read", "correct the line: senders ignore the whole policy", "RFC 8461 §3.2"),
	rule("MTASTS-CONTENT-TYPE", lint.Warning, "the policy is not served as text/plain", "serve it with Content-Type: text/plain", "RFC 8461 §3.2"),
	rule("MTASTS-LINE-ENDS", lint.Warning, "lines of the policy do not end in CRLF", "end each with CRLF: the text of the RFC wants it, though its grammar does not", "RFC 8461 §3.2, erratum 6253"),
	rule("MTASTS-MAX-AGE-SHORT", lint.Warning, "senders forget the policy soon", "raise max_age to a week at least with mode enforce, and to a day otherwise", "RFC 8461 §3.2, §10"),
	rule("MTASTS-MX-TWICE", lint.Warning, "a host is named more than once", "remove one of the lines", "RFC 8461 §3.2"),
	rule("MTASTS-TESTING-LONG", lint.Warning, "mode testing for long, which protects nobody", "go on to enforce once the TLS reports show no failures", "RFC 8461 §5"),

	// Against the rest of the world.
	rule("MTASTS-MX-NOT-COVERED", lint.Error, "an MX host is not in the policy: with mode enforce senders do not deliver to it", "add it to the policy, or remove the MX record", "RFC 8461 §4.1"),
	rule("MTASTS-MX-UNUSED", lint.Warning, "the policy names a host that no MX record has", "remove the line once mail does not go there any more", "RFC 8461 §4.1"),
	rule("MTASTS-MX-CERTIFICATE", lint.Error, "an MX host does not offer TLS with a certificate for its name", "give it one that the world trusts", "RFC 8461 §4.2"),
	rule("MTASTS-ID-UNCHANGED", lint.Error, "the policy has changed and its id has not: senders keep the old one", "give the record a new id", "RFC 8461 §3.1"),
	rule("MTASTS-LEFT-EARLY", lint.Error, "the record is gone while senders still hold the policy", "publish it again, and serve a policy with mode none until they have forgotten", "RFC 8461 §8.3"),
	rule("MTASTS-NO-REPORTS", lint.Warning, "nobody hears of what the policy stops", "publish a TLS-RPT record", "RFC 8460 §3"),
}

// Rules returns the rules that Lint judges by.
func Rules() []lint.Rule { return slices.Clone(rules) }

// Subject is what Lint judges. Only Texts is needed; what is nil or zero is not judged.
type Subject struct {
	Texts  []string // all TXT records at _mta-sts.<domain>, each with its strings joined
	Served *Served
	// MX are the hosts of the live MX records.
	MX []string
	// BadTLS are hosts among them that fail, each with what was seen.
	BadTLS map[string]string
	// Before is what was seen earlier.
	Before *Seen
	// Now is the time of judging, for what lasts.
	Now       time.Time
	NoReports bool // no TLS-RPT record stands beside it
}

// Served is what the policy host answers.
type Served struct {
	Failure     string // why there is no policy; "" where there is one
	Body        string
	ContentType string
}

// Seen is what a domain had announced.
type Seen struct {
	ID        string    // of the record
	Body      string    // of the policy
	ModeSince time.Time // since when policies of this one's mode are seen; zero: unknown
	Until     time.Time // when the last sender forgets it
}

const (
	shortest         = 24 * time.Hour
	shortestEnforced = 7 * 24 * time.Hour
	longestTesting   = 12 * 7 * 24 * time.Hour // time for a quarter's reports
)

// Lint judges what a domain announces and serves, the worst first.
func Lint(s Subject) []lint.Finding { return lint.WorstFirst(judge(s)) }

func judge(s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	id := ""
	var records []string
	for _, text := range s.Texts {
		switch {
		case IsRecord(text):
			records = append(records, text)
		case strings.Contains(strings.ToLower(text), "stsv1"):
			find("MTASTS-VERSION", "%q", text)
		}
	}
	switch len(records) {
	case 0:
		find("MTASTS-MISSING", "no text begins with v=STSv1")
		if s.Before != nil && s.Now.Before(s.Before.Until) {
			find("MTASTS-LEFT-EARLY", "the policy lasts until %s", s.Before.Until.UTC().Format(time.RFC3339))
		}
	case 1:
		r, err := ParseRecord(records[0])
		if err != nil {
			find("MTASTS-SYNTAX", "%v", err)
		}
		id = r.ID
		for _, e := range r.Extensions {
			find("MTASTS-UNKNOWN-FIELD", "%s in the record", e.Name)
		}
	default:
		find("MTASTS-MULTIPLE", "%d records: %q", len(records), records)
	}
	if s.NoReports && len(records) > 0 && !withdrawing(s.Served) {
		find("MTASTS-NO-REPORTS", "no TLS-RPT record")
	}
	if s.Served == nil {
		return out
	}
	if s.Served.Failure != "" {
		find("MTASTS-POLICY-NOT-SERVED", "%s", s.Served.Failure)
		return out
	}
	if s.Before != nil && id != "" && id == s.Before.ID && s.Served.Body != s.Before.Body {
		find("MTASTS-ID-UNCHANGED", "id=%s", id)
	}
	return append(out, lintPolicy(s)...)
}

// withdrawing reports whether the policy has mode none, which stops no mail.
func withdrawing(served *Served) bool {
	if served == nil {
		return false
	}
	p, err := ParsePolicy(served.Body)
	return err == nil && p.Mode == None
}

func lintPolicy(s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	body := s.Served.Body
	// Parameters do not matter, broken or not.
	if media, _, _ := strings.Cut(s.Served.ContentType, ";"); !strings.EqualFold(strings.TrimSpace(media), "text/plain") {
		find("MTASTS-CONTENT-TYPE", "Content-Type %q", s.Served.ContentType)
	}
	if strings.Count(body, "\n") != strings.Count(body, "\r\n") {
		find("MTASTS-LINE-ENDS", "some end in LF alone")
	}
	p, err := ParsePolicy(body)
	if err != nil {
		find("MTASTS-POLICY-SYNTAX", "%v", err)
		return out
	}
	for _, e := range p.Extensions {
		find("MTASTS-UNKNOWN-FIELD", "%s in the policy", e.Name)
	}
	if p.Mode == None {
		return out // on its way out: nothing below matters any more
	}
	if p.MaxAge < shortest || p.Mode == Enforce && p.MaxAge < shortestEnforced {
		find("MTASTS-MAX-AGE-SHORT", "mode %s with max_age %d", p.Mode, int64(p.MaxAge/time.Second))
	}
	if b := s.Before; p.Mode == Testing && b != nil && !b.ModeSince.IsZero() && s.Now.Sub(b.ModeSince) > longestTesting {
		find("MTASTS-TESTING-LONG", "since %s", b.ModeSince.UTC().Format(time.DateOnly))
	}
	named := map[string]bool{}
	for _, mx := range p.MX {
		if named[fold(mx)] {
			find("MTASTS-MX-TWICE", "mx: %s", mx)
		} else if s.MX != nil && !slices.ContainsFunc(s.MX, (Policy{MX: []string{mx}}).Covers) {
			find("MTASTS-MX-UNUSED", "mx: %s", mx)
		}
		named[fold(mx)] = true
	}
	for _, host := range s.MX {
		if !p.Covers(host) {
			find("MTASTS-MX-NOT-COVERED", "%s, with mode %s", host, p.Mode)
		} else if why := s.BadTLS[host]; why != "" {
			find("MTASTS-MX-CERTIFICATE", "%s: %s", host, why)
		}
	}
	return out
}
