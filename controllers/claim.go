package controllers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// claimDomain finds out whether this MailDomain has the right to the domain: the registry
// record names it, as seen on the servers that the world finds. A tenant's own choice of name
// servers proves nothing; that of a provider which the administrator granted does.
//
// To write that record with the provider's credentials is how control is proved. It is
// written where no registry record stands, and another's is left alone. A record that was there
// before the ledger proves nothing for it: it may have been another's, in a namespace of the same
// name. It has to be gone once, which only who controls the zone can bring about.
func (r *Reconciler) claimDomain(ctx context.Context, s *scope) error {
	slot := records.ClaimSlot(s.md.Spec.Domain)
	claim := records.NewClaim(r.OwnerID, s.md.Namespace, s.md.Name).String()
	servers := []string(nil)
	if s.provider.granted {
		servers = s.provider.nameservers()
	}
	look := func() sight {
		seen := r.lookThrough(ctx, slot.Name, servers)
		s.looks[slot.Name] = seen
		return seen
	}
	seen := look()
	others := false
	for _, value := range seen.values() {
		others = others || slot.Is(value) && !slot.Same(value, claim)
	}
	w := wish{slot: slot, value: claim}
	state, why := seen.verify(slot, claim)
	stands := state == v1alpha1.RecordVerified
	var err error
	if s.site, err = r.readSite(ctx, s.md.Spec.Domain); err != nil {
		return err
	}
	granted := s.provider.granted && s.provider.usable() // whom an administrator means needs no other proof
	namesake := !granted && s.site.namesake(ownerOf(s.md), s.book.Proof)
	if namesake && !others && seen.lacks(slot, claim) && s.md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce {
		namesake = false
		if err := r.release(ctx, s); err != nil {
			return err
		}
	}
	switch {
	case others:
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, claimedByAnother(slot)}
	case namesake:
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s was there before Secret %s: remove that record to prove anew that the domain is yours, or restore the Secret from a backup", slot.Key, s.book.secret.Name)}
	case stands:
		s.claim.held = true
	case s.site.holder == ownerOf(s.md) && !seen.lacks(slot, claim):
		s.claim.held = true // no answer is no proof against it
	case s.md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce && s.provider.usable():
		if err := r.work(ctx, s, []wish{w}); err != nil {
			return err
		}
		seen = look()
		if _, why = seen.verify(slot, claim); !why.bad() {
			s.claim.held = true
			s.facts = nil
			break
		}
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, why.message}
		if f := s.facts[len(s.facts)-1]; f.verdict.bad() {
			s.claim.verdict.message = f.verdict.message
		}
		return nil
	default:
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s does not say that this MailDomain manages the domain: publish %q", slot.Key, claim)}
		if errors.Is(seen.err, probe.ErrNoZone) || errors.Is(seen.err, probe.ErrCouldNotAsk) {
			s.claim.verdict.message = why.message
		}
	}
	if s.writes() {
		s.book.Proof = cmp.Or(s.book.Proof, rand.Text())
	}
	f := fact{slot: slot, want: claim, vantage: seen.vantage}
	switch {
	case stands && !namesake:
		f.state = v1alpha1.RecordVerified
	case s.claim.held:
		f.state, f.verdict = v1alpha1.RecordPublished, why
	default:
		f.state, f.verdict = v1alpha1.RecordPending, s.claim.verdict
		if !others && seen.absent() {
			f.plan = []v1alpha1.PlannedChange{{Action: v1alpha1.PlanCreate, Name: slot.Name, Type: slot.Type, New: claim}}
		}
	}
	s.facts = append(s.facts, f)
	return nil
}

// claimedByAnother does not even say who holds the domain: it may be a stranger's.
func claimedByAnother(slot records.Slot) string {
	return fmt.Sprintf("%s names another owner of the domain: remove that record to have this MailDomain take over; until then it only observes", slot.Key)
}
