package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/records"
)

// decideSPF wants the record of spec, unless receivers would end in permerror: then the last
// good one stays. Without a section it evaluates what stands, for DMARC's sake. At the end of a
// MailDomain the record goes when no DMARC policy relies on it any more.
func (r *Reconciler) decideSPF(ctx context.Context, s *scope) error {
	slot := records.SPFSlot(s.md.Spec.Domain)
	if s.md.Spec.SPF == nil {
		switch {
		case s.ending != nil:
			s.want(slot, "", r.reliedOn(ctx, s, true))
			return nil
		case s.dropped(sectionSPF):
			s.want(slot, "", verdict{})
		}
		texts := slices.DeleteFunc(r.look(ctx, s, slot.Name).values(), func(v string) bool { return !slot.Is(v) })
		if len(texts) != 1 {
			return nil
		}
		if record, err := spf.Parse(texts[0]); err == nil {
			s.spf.analysis, s.spf.known = spf.Analyze(ctx, s.resolver, s.md.Spec.Domain, record), true
		}
		return nil
	}
	record, err := records.SPF(s.md.Spec.SPF)
	if err != nil {
		s.block(v1alpha1.ConditionSPFReady, verdict{v1alpha1.ReasonSPFPermError, fmt.Sprintf("spec.spf: %v", err)})
		return nil
	}
	s.spf.analysis, s.spf.known = spf.Analyze(ctx, s.resolver, s.md.Spec.Domain, record), true
	why := spfVerdict(slot, s.spf.analysis)
	s.block(v1alpha1.ConditionSPFReady, why)
	hold := why
	standing := slices.ContainsFunc(s.book.At(slot.Key), func(e ledger.Entry) bool { return e.Settled && slot.Same(e.Value, record.String()) })
	if standing || s.md.Spec.DMARC.EnforcementOrDefault() == v1alpha1.EnforceImmediate {
		hold = verdict{} // what stands already is not held
	}
	s.want(slot, record.String(), hold)
	return nil
}

func spfVerdict(slot records.Slot, a spf.Analysis) verdict {
	if wrong := a.Errors(); len(wrong) > 0 {
		reason := v1alpha1.ReasonSPFPermError
		var texts []string
		for _, f := range wrong {
			if f.Code == spf.LookupsExceeded {
				reason = v1alpha1.ReasonTooManyLookups
			}
			texts = append(texts, fmt.Sprintf("%s: %s (%s)", f.Message, f.Mend, f.Source))
		}
		return verdict{reason, fmt.Sprintf("%s: receivers would answer permerror, so a new record is held: %s", slot.Key, strings.Join(texts, "; "))}
	}
	if len(a.Unanswered) > 0 {
		return verdict{v1alpha1.ReasonSPFTempError, fmt.Sprintf("%s: it can't be evaluated now, so a new record is held: %s", slot.Key, strings.Join(a.Unanswered, "; "))}
	}
	return verdict{}
}
