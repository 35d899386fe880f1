package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/records"
)

// withdrawPolicy ends the commitment as RFC 8461 §8.3 wants: a policy with mode none is served
// and announced until every sender has forgotten the ones before it. Then the record goes, and
// after it the policy. A policy that was never announced needs no announcement of its end.
func (r *Reconciler) withdrawPolicy(ctx context.Context, s *scope, slot records.Slot) {
	c := s.commitment()
	if closing(c) && !s.now.Before(ends(c)) {
		s.want(slot, "", verdict{})
		if (s.abandoned() || r.withdrawn(ctx, s, slot)) && s.writes() {
			s.endCommitment()
			s.mtasts.ended = true
		}
		return
	}
	none := records.MTASTSWithdrawal()
	s.mtasts.serve = &none
	c = offer(c, none)
	s.commit(c)
	why := r.proof(ctx, s, none)
	if body, _ := s.site.served(); (s.ending != nil || c.Policy == "") && body == none.String() && why.bad() {
		if _, err := r.Fetcher.Fetch(ctx, s.md.Spec.Domain); isNotFound(err) {
			why = verdict{} // the host has no address any more, and no earlier policy waits behind it
		}
	}
	s.mtasts.withdrawing = true
	s.block(v1alpha1.ConditionMTASTSReady, why)
	switch {
	case c.Policy == "" && why.bad():
		return
	case c.Policy == "":
		r.endUnannounced(ctx, s, slot, c)
	case why.bad():
		r.keepAnnounced(ctx, s, slot, why)
		return
	default:
		r.announce(ctx, s, slot, none)
	}
	if told := s.book.MTASTS; told != nil && closing(*told) {
		s.again(max(ends(*told).Sub(s.now), time.Second))
	}
}

// endUnannounced ends a commitment to policies that were not announced by the operator's hand. Of one that was taken over the
// record of the holder before may stand: while it does, senders renew what they hold.
func (r *Reconciler) endUnannounced(ctx context.Context, s *scope, slot records.Slot, c ledger.MTASTS) {
	if why := r.untold(ctx, s, slot, ""); why.bad() {
		if where := r.look(ctx, s, slot.Name).others(slot, ""); len(where) > 0 {
			why = verdict{v1alpha1.ReasonRecordConflict, fmt.Sprintf(
				"%s: a record that is not the operator's stands on %s, so senders go on renewing the policy that was served before: remove it", slot, strings.Join(where, ", "))}
		}
		s.block(v1alpha1.ConditionMTASTSReady, why)
		s.again(r.Poll)
		return
	}
	s.commit(settled(c, s.now))
}

// withdrawnBefore reports whether a withdrawal had come to its end, but for a note of it, when the section came back:
// what was announced last binds nobody, and its record is gone.
func (s *scope) withdrawnBefore(slot records.Slot) bool {
	told := s.book.MTASTS
	return told != nil && told.Policy != "" && closing(*told) && !s.now.Before(ends(*told)) &&
		s.writes() && !s.md.Spec.Manual() && len(s.book.At(slot.Key)) == 0
}

// withdrawn reports whether our record is gone: by the ledger, or, where a human removes it, by
// what the name servers show.
func (r *Reconciler) withdrawn(ctx context.Context, s *scope, slot records.Slot) bool {
	seen := r.look(ctx, s, slot.Name)
	if !s.md.Spec.Manual() {
		return len(s.entries(slot, seen)) == 0
	}
	return slices.ContainsFunc(seen.answers, proves) && !slices.ContainsFunc(seen.values(), slot.Is)
}
