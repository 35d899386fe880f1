package survey

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

func (s *Survey) lookSPF(ctx context.Context) {
	s.DomainTexts = s.texts(ctx, s.Domain)
	texts, known := s.DomainTexts.Get()
	if !known {
		s.Facts.SPF = compliance.Unseen[compliance.SPF](s.DomainTexts.Cause())
		return
	}
	found := compliance.SPF{Records: slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !spf.IsRecord(t) })}
	if len(found.Records) == 1 {
		if record, err := spf.Parse(found.Records[0]); err == nil {
			found.Analysis = spf.Analyze(ctx, s.Resolver, s.Domain, record)
			found.RedirectEnd = s.redirectEnd(ctx, record)
		}
	}
	s.Facts.SPF = compliance.Seen(found)
}

// redirectEnd follows redirects to the record that ends them (RFC 7208 §6.1). What is broken there
// shows in the analysis; here it says nothing about other hosts.
func (s *Survey) redirectEnd(ctx context.Context, record spf.Record) compliance.Fact[spf.Result] {
	for range spf.MaxLookups {
		if at := slices.IndexFunc(record.Mechanisms, func(m spf.Mechanism) bool { return m.Name == spf.All }); at >= 0 {
			return compliance.Seen(cmp.Or(record.Mechanisms[at].Result, spf.Pass))
		}
		if record.Redirect == "" {
			return compliance.Seen(spf.Neutral)
		}
		if strings.Contains(record.Redirect, "%") {
			return compliance.Unseen[spf.Result]("redirect=" + record.Redirect + " depends on the message")
		}
		texts := s.texts(ctx, record.Redirect)
		list, known := texts.Get()
		if !known {
			return compliance.Unseen[spf.Result](texts.Cause())
		}
		records := slices.DeleteFunc(slices.Clone(list), func(t string) bool { return !spf.IsRecord(t) })
		if len(records) != 1 {
			return compliance.Seen(spf.PermError)
		}
		next, err := spf.Parse(records[0])
		if err != nil {
			return compliance.Seen(spf.PermError)
		}
		record = next
	}
	return compliance.Seen(spf.PermError) // a circle, or beyond the limit of lookups
}
