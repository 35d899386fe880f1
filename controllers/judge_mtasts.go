package controllers

import (
	"context"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// lintMTASTS judges the announced policy with its record. What there is no answer to now was answered
// earlier: those findings stay, so that status does not flap with a name server.
func (r *Reconciler) lintMTASTS(ctx context.Context, s *scope, slot records.Slot, texts []string) []lint.Finding {
	subject := mtasts.Subject{Texts: texts, BadTLS: map[string]string{}, Now: s.now}
	if s.mtasts.known {
		subject.MX = s.mtasts.hosts
	} else {
		s.keepFindings(slot, "MTASTS-MX-NOT-COVERED", "MTASTS-MX-UNUSED", "MTASTS-MX-CERTIFICATE")
	}
	for _, host := range s.mtasts.live {
		if host.StartTLS == v1alpha1.VerdictFail {
			subject.BadTLS[host.Host] = host.Message
		}
	}
	if s.md.Spec.TLSRPT == nil {
		seen := r.look(ctx, s, records.TLSRPTSlot(s.md.Spec.Domain).Name)
		if subject.NoReports = seen.absent(); seen.unanswered() != "" && !subject.NoReports {
			s.keepFindings(slot, "MTASTS-NO-REPORTS")
		}
	}
	if x := s.mtasts.external; x != nil {
		x.lintSubject(&subject, s.book.ThirdParty)
		return x.tellable(mtasts.Lint(subject))
	}
	if told := s.book.MTASTS; told != nil && told.Policy != "" {
		// It was fetched before it was announced, and came as text/plain or not at all.
		subject.Served = &mtasts.Served{Body: told.Policy, ContentType: "text/plain"}
		subject.Before = &mtasts.Seen{ID: told.ID, Body: told.Policy, ModeSince: testingSince(*told)}
	}
	return mtasts.Lint(subject)
}

// testingSince is since when the announced policies have had mode testing. An older ledger knows of the
// last one alone.
func testingSince(c ledger.MTASTS) time.Time {
	if c.Testing.IsZero() {
		return c.Since
	}
	return c.Testing
}

// testingFrom is Testing of the commitment when p is announced: a change of the policy's other lines is no
// reason to count anew.
func testingFrom(c ledger.MTASTS, p mtasts.Policy, now time.Time) time.Time {
	before, _ := mtasts.ParsePolicy(c.Policy) // "": none was announced
	switch {
	case p.Mode != mtasts.Testing:
		return time.Time{}
	case before.Mode == mtasts.Testing:
		return testingSince(c)
	}
	return now
}
