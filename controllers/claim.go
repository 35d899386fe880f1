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
// name. It has to be gone once, which only who controls the zone can bring about. One that its
// holder has released counts as none, and is replaced.
func (r *Reconciler) claimDomain(ctx context.Context, s *scope) error {
	c, err := r.lookForClaim(ctx, s)
	if err != nil {
		return err
	}
	w := wish{slot: c.slot, value: c.mine}
	_, why := c.seen.verify(c.slot, c.mine)
	granted := s.provider.granted && s.provider.usable() // whom an administrator means needs no other proof
	namesake := !granted && s.site.namesake(ownerOf(s.md), s.book.Proof)
	if namesake && !c.others && c.seen.lacks(c.slot, c.mine) && s.md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce {
		namesake = false
		if err := r.release(ctx, s); err != nil {
			return err
		}
	}
	switch {
	case c.others:
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, claimedByAnother(c.slot)}
	case namesake:
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s was there before Secret %s: remove that record to prove anew that the domain is yours, or restore the Secret from a backup", c.slot.Key, s.book.secret.Name)}
	case c.stands || c.unanswered(s):
		s.claim.held = true
	case s.md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce && s.provider.usable():
		if _, err := r.bring(ctx, s, []wish{w}); err != nil {
			return err
		}
		c.seen = r.lookAtClaim(ctx, s, c.slot)
		if _, why = c.seen.verify(c.slot, c.mine); !why.bad() {
			c.stands, s.claim.held = true, true
			s.facts = nil
			break // what was read back is stored with the intents of the other records
		}
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, why.message}
		if f := s.facts[len(s.facts)-1]; f.verdict.bad() {
			s.claim.verdict.message = f.verdict.message
		}
		return s.book.save(ctx, r.Client)
	default:
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s does not say that this MailDomain manages the domain: publish %q", c.slot.Key, c.mine)}
		if errors.Is(c.seen.err, probe.ErrNoZone) || errors.Is(c.seen.err, probe.ErrCouldNotAsk) {
			s.claim.verdict.message = why.message
		}
	}
	if s.writes() {
		s.book.Proof = cmp.Or(s.book.Proof, rand.Text())
		s.book.Handle(v1alpha1.AnnotationTakeOver, s.md.Annotations[v1alpha1.AnnotationTakeOver])
	}
	f := fact{slot: c.slot, want: c.mine, vantage: c.seen.vantage}
	switch {
	case c.stands && !namesake:
		f.state = v1alpha1.RecordVerified
	case s.claim.held:
		f.state, f.verdict = v1alpha1.RecordPublished, why
	default:
		f.state, f.verdict = v1alpha1.RecordPending, s.claim.verdict
		if !c.others && c.seen.absent() {
			f.plan = []v1alpha1.PlannedChange{{Action: v1alpha1.PlanCreate, Name: c.slot.Name, Type: c.slot.Type, New: c.mine}}
		}
	}
	s.facts = append(s.facts, f)
	return nil
}

// claimSight is what the registry record says of this MailDomain.
type claimSight struct {
	slot   records.Slot
	mine   string // the text that names it
	seen   sight
	stands bool // exactly that is served
	others bool // a text that names another holder is
}

// unanswered reports whether the domain was this MailDomain's, and nobody says otherwise: no answer
// is no proof against it.
func (c claimSight) unanswered(s *scope) bool {
	return s.site.holder == ownerOf(s.md) && !c.seen.lacks(c.slot, c.mine)
}

// lookForClaim gathers who holds the domain, by DNS and by what is stored.
func (r *Reconciler) lookForClaim(ctx context.Context, s *scope) (claimSight, error) {
	c := claimSight{slot: records.ClaimSlot(s.md.Spec.Domain), mine: records.NewClaim(r.OwnerID, s.md.Namespace, s.md.Name).String()}
	c.seen = r.lookAtClaim(ctx, s, c.slot)
	for _, value := range c.seen.values() {
		c.others = c.others || c.slot.Is(value) && !c.slot.Same(value, c.mine) && !r.free(s, value)
	}
	state, _ := c.seen.verify(c.slot, c.mine)
	c.stands = state == v1alpha1.RecordVerified
	var err error
	s.site, err = r.readSite(ctx, s.md.Spec.Domain)
	return c, err
}

func (r *Reconciler) lookAtClaim(ctx context.Context, s *scope, slot records.Slot) sight {
	servers := []string(nil)
	if s.provider.granted {
		servers = s.provider.nameservers()
	}
	seen := lookThrough(ctx, s, slot.Name, servers)
	s.looks[slot.Name] = seen
	return seen
}

// free reports whether a registry record is there to be taken over: its holder has released the
// domain, or the installation that it names is lost and a person says so. The latter is said once
// and only of other installations: within this one the holder is known, and is asked to let go.
func (r *Reconciler) free(s *scope, text string) bool {
	c, ok := records.ParseClaim(text)
	lost := s.md.Annotations[v1alpha1.AnnotationTakeOver]
	return ok && (c.Released || c.Owner == lost && lost != r.OwnerID && lost != s.book.Handled[v1alpha1.AnnotationTakeOver])
}

// claimedByAnother does not even say who holds the domain: it may be a stranger's.
func claimedByAnother(slot records.Slot) string {
	return fmt.Sprintf("%s names another owner of the domain: remove that record to have this MailDomain take over; until then it only observes", slot.Key)
}
