package controllers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// judge has lint look at what is served. A section is judged once its record is proven: before
// that the conditions say what is missing.
func (r *Reconciler) judge(ctx context.Context, s *scope) error {
	domain := s.md.Spec.Domain
	for _, f := range s.facts {
		if f.state != v1alpha1.RecordVerified || f.slot.Type != dnsprovider.TypeTXT {
			continue
		}
		texts := r.look(ctx, s, f.slot.Name).values()
		var found []lint.Finding
		first := len(s.findings)
		switch f.slot.Purpose {
		case v1alpha1.PurposeSPF:
			subject := spf.Subject{Domain: domain, Texts: texts}
			if s.spf.known {
				subject.Analysis = &s.spf.analysis
			}
			found = spf.Lint(subject)
		case v1alpha1.PurposeDKIM:
			found = dkim.Lint(r.dkimSubject(ctx, s, f.slot, texts))
		case v1alpha1.PurposeDMARC:
			subject, known := r.dmarcSubject(ctx, s, texts)
			if found = dmarc.Lint(subject); !known {
				s.keepFindings(f.slot, "DMARC-SP-IGNORED", "DMARC-REPORT-REFUSED")
			}
		case v1alpha1.PurposeMTASTS:
			found = r.lintMTASTS(ctx, s, f.slot, texts)
		case v1alpha1.PurposeTLSRPT:
			found = tlsrpt.Lint(tlsrpt.Subject{Domain: domain, Texts: texts, Enforced: s.mtasts.enforced()})
		}
		for _, one := range found {
			s.findings = append(s.findings, v1alpha1.Finding{
				Code: one.Code, Severity: severities[one.Severity], Name: f.slot.Name, Message: cutTo(one.Message+": "+one.Mend, maxFinding),
			})
		}
		slices.SortStableFunc(s.findings[first:], worseFirst) // those that were kept among them
	}
	return nil
}

// oldestKey is half a year, which is how long a key should sign at the most, and time to rotate it.
const oldestKey = 190 * 24 * time.Hour

func (r *Reconciler) dkimSubject(ctx context.Context, s *scope, slot records.Slot, texts []string) dkim.Subject {
	subject := dkim.Subject{Texts: texts, Now: s.now, MaxAge: oldestKey}
	for _, k := range s.dkim.ring {
		if slot.Name != records.DKIMSlot(s.md.Spec.Domain, k.Selector).Name {
			continue
		}
		if subject.InUse = k.State() == keys.Active; subject.InUse {
			subject.Created = k.Created
		}
	}
	parent := r.look(ctx, s, "_domainkey."+s.md.Spec.Domain)
	subject.ParentMissing = slices.ContainsFunc(parent.answers, func(a probe.Answer) bool { return a.Outcome == probe.NXDomain })
	return subject
}

// dmarcSubject gathers what a DMARC record is judged by. known is false if nothing could be found
// out about the organizational domain and the report addresses.
func (r *Reconciler) dmarcSubject(ctx context.Context, s *scope, texts []string) (subject dmarc.Subject, known bool) {
	domain := s.md.Spec.Domain
	subject = dmarc.Subject{Texts: texts, DomainTexts: r.look(ctx, s, domain).values()}
	found, err := dmarc.Discover(ctx, s.resolver, domain)
	if err != nil {
		return subject, false
	}
	if found.Organization != domain {
		subject.Organization = found.Organization
	}
	if found.Policy != nil && found.Policy.Domain == domain {
		if subject.Destinations, err = dmarc.Destinations(ctx, s.resolver, domain, found.Policy.Record); err != nil {
			return subject, false
		}
	}
	return subject, true
}

var severities = map[lint.Severity]v1alpha1.Severity{
	lint.Error: v1alpha1.SeverityError, lint.Warning: v1alpha1.SeverityWarning, lint.Info: v1alpha1.SeverityInfo,
}

func worseFirst(a, b v1alpha1.Finding) int {
	rank := []v1alpha1.Severity{v1alpha1.SeverityError, v1alpha1.SeverityWarning, v1alpha1.SeverityInfo}
	return cmp.Or(cmp.Compare(slices.Index(rank, a.Severity), slices.Index(rank, b.Severity)), cmp.Compare(a.Code, b.Code))
}

// keepFindings takes over what was found in an earlier pass, so that a question without an answer
// does not look like a mended record.
func (s *scope) keepFindings(slot records.Slot, codes ...string) {
	for _, before := range s.md.Status.Findings {
		if before.Name == slot.Name && slices.Contains(codes, before.Code) {
			s.findings = append(s.findings, before)
		}
	}
}

// served is the good news about the records of a purpose, and what lint would have better.
func (s *scope) served(purpose v1alpha1.RecordPurpose, message string) verdict {
	for _, f := range s.facts {
		if f.slot.Purpose != purpose {
			continue
		}
		for _, found := range s.findings {
			if found.Name == f.slot.Name && found.Severity != v1alpha1.SeverityInfo {
				message += "; " + found.Code + ": " + found.Message
			}
		}
	}
	return verdict{v1alpha1.ReasonVerified, message}
}
