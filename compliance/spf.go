package compliance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

// one returns the one SPF record that can be read, or what keeps receivers from it.
func (s SPF) one() (record spf.Record, wrong string) {
	switch len(s.Records) {
	case 0:
		return record, "no SPF record"
	case 1:
		record, err := spf.Parse(s.Records[0])
		if err != nil {
			return record, err.Error()
		}
		return record, ""
	}
	return record, fmt.Sprintf("%d SPF records: receivers answer permerror", len(s.Records))
}

// spfEvaluates wants one record, and that no receiver ends in permerror by it (RFC 7208 §2.6.7).
func spfEvaluates(f Facts, _ Want) finding {
	s, known := f.SPF.Get()
	if !known {
		return unseen(f.SPF.Cause())
	}
	if _, wrong := s.one(); wrong != "" {
		return fail(wrong)
	}
	if errors := s.Analysis.Errors(); len(errors) > 0 {
		var texts []string
		for _, e := range errors {
			texts = append(texts, e.Code+": "+e.Message)
		}
		return fail(strings.Join(texts, "; "))
	}
	if len(s.Analysis.Unanswered) > 0 {
		return unseen(strings.Join(s.Analysis.Unanswered, "; "))
	}
	return pass(fmt.Sprintf("%q: %d of %d lookups", s.Records[0], s.Analysis.Lookups, spf.MaxLookups))
}

// spfEnds wants that hosts which the record does not name fail, softly or not.
func spfEnds(f Facts, want Want) finding {
	s, known := f.SPF.Get()
	if !known {
		return unseen(f.SPF.Cause())
	}
	record, wrong := s.one()
	if wrong != "" {
		return fail(wrong)
	}
	end, known := spf.Neutral, true
	last := "the end of the record"
	at := slices.IndexFunc(record.Mechanisms, func(m spf.Mechanism) bool { return m.Name == spf.All })
	switch {
	case at >= 0:
		end, last = cmp.Or(record.Mechanisms[at].Result, spf.Pass), record.Mechanisms[at].String()
	case record.Redirect != "":
		end, known = s.RedirectEnd.Get()
		last = "redirect=" + record.Redirect
	}
	switch {
	case !known:
		return unseen(last + ": " + s.RedirectEnd.Cause())
	case end == spf.Fail, end == spf.SoftFail && want.All == "softfail":
		return pass(fmt.Sprintf("by %s other hosts get %s", last, end))
	}
	return fail(fmt.Sprintf("by %s other hosts get %s, want %s", last, end, map[string]string{"fail": "fail (-all)", "softfail": "softfail or fail (~all or -all)"}[want.All]))
}

// spfLetsNobody wants the record of a domain that sends no mail (RFC 7208 §10.1.2).
func spfLetsNobody(f Facts, _ Want) finding {
	s, known := f.SPF.Get()
	if !known {
		return unseen(f.SPF.Cause())
	}
	if _, wrong := s.one(); wrong != "" {
		return fail(wrong)
	}
	if !spf.Same(s.Records[0], "v=spf1 -all") {
		return fail(fmt.Sprintf("%q, want v=spf1 -all", s.Records[0]))
	}
	return pass("v=spf1 -all")
}
