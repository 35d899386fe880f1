package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// With spec.mtaSTS.hosting External the policy, its record and the address of its host are somebody else's.
// They are looked at, and nothing is written at their names (Law 1).
//
// What the operator has served before stays, until the third party's is what the world gets. It can't know
// when and where that will be, so a person, or the third party, puts their records in the place of the
// operator's, which are not repaired any more. They are not removed either: that would take the policy from
// senders who hold to it (Law 5). One exception: where the third party's MTA-STS record stands beside the
// operator's, senders take the two for none, so the operator's own goes, once the third party's policy is
// served (Law 6). What of the operator's still stands at the end is left, for the third party may rely on
// it, such as a CNAME whose target is theirs now.

// external reports whether a third party is to serve the policy.
func (s *scope) external() bool {
	return s.md.Spec.MTASTS != nil && s.md.Spec.MTASTS.HostingOrDefault() == v1alpha1.HostingExternal
}

// decideExternal says what a third party serves and announces, and leaves the field to it.
func (r *Reconciler) decideExternal(ctx context.Context, s *scope, slot records.Slot) {
	a := r.gatherAnnouncement(ctx, s)
	x := r.gatherExternal(ctx, s, slot, a)
	s.mtasts.external = &x
	s.unclear = true // a third party changes its policy when it likes
	s.mtasts.unknown = a.those(v1alpha1.VerdictUnknown)
	s.mtasts.noteThat("a third party serves the policy")
	if s.writes() {
		s.book.ThirdParty = x.remembered(s.book.ThirdParty, s.now)
	}
	why := x.verdict()
	removes := false
	if s.serving() {
		s.mtasts.live = a.mxStatus(x.served.policy)
		s.block(v1alpha1.ConditionMTASTSReady, a.risk())
		switch {
		case why.bad():
		case len(s.silence(r.look(ctx, s, slot.Name))) > 0:
			why = verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("%s: waiting for name servers that give no answer, for an hour at the most", slot)}
		case !s.writes():
			why = verdict{v1alpha1.ReasonObserving, "it is in its place, and nothing is written"}
		default:
			s.handOver()
		}
		if x.ownBeside() && !s.md.Spec.Manual() {
			s.want(slot, "", verdict{})
			removes = true
		}
	} else {
		s.mtasts.live = x.mxStatus()
	}
	s.block(v1alpha1.ConditionMTASTSReady, x.risk())
	if s.serving() {
		s.block(v1alpha1.ConditionMTASTSReady, verdict{v1alpha1.ReasonThirdPartyPending, "the operator's own policy stays served until the third party's is in its place: " + why.message})
	}
	s.block(v1alpha1.ConditionMTASTSReady, why)
	s.serveForCaches(x.served.own...)
	if !removes {
		f := fact{slot: slot, state: x.record.state, verdict: x.record.why, vantage: r.look(ctx, s, slot.Name).vantage}
		s.facts = append(s.facts, f)
	}
}

// ownBeside reports whether all that is wrong is that the operator's record stands beside the third party's,
// and nowhere alone: there it is all that senders have.
func (x external) ownBeside() bool {
	rest := x
	rest.record.why = verdict{}
	return len(x.record.own) > 0 && !x.record.alone && len(x.record.texts) == 1 && !rest.verdict().bad()
}

// gatherExternal looks at what the world gets.
func (r *Reconciler) gatherExternal(ctx context.Context, s *scope, slot records.Slot, a announcement) external {
	x := external{spec: s.md.Spec.MTASTS, live: a.live, known: a.known, unusable: a.unusable}
	body, _ := s.site.served()
	own := ownPolicy{body: body, at: r.ownAddresses(ctx, s)}
	if id := s.lastID(); id != "" {
		own.record = mtasts.Record{ID: id}.String() // also that of a holder of the domain before this one
	}
	answer, err := r.Fetcher.Fetch(ctx, s.md.Spec.Domain)
	x.served = servedBy(s.md.Spec.Domain, answer, err, own)

	seen := r.look(ctx, s, slot.Name)
	var target []string
	if seen.rrset(slot.Key).Alias != "" {
		target, err = s.resolver.LookupTXT(ctx, slot.Name+".")
		if err != nil && !isNotFound(err) {
			x.record = announcing{state: v1alpha1.RecordPublished, why: verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("%s: the target of its CNAME can't be found out now", slot)}}
			return x
		}
	}
	x.record = announcedIn(slot, seen, target, own)
	return x
}

// ownAddresses returns where the operator's policy server is reached, as far as it is known: by the records
// that it has written, by its configuration and by its Service. Once a policy is handed over, what is not known
// to be the operator's is the third party's.
func (r *Reconciler) ownAddresses(ctx context.Context, s *scope) func(netip.Addr) (own, known bool) {
	var all []netip.Addr
	handed := s.handedOver()
	now, _ := r.serviceTargets(ctx)
	for _, targets := range []dnsprovider.Targets{s.heldTargets(), now} {
		for kind, values := range targets {
			for _, value := range values {
				if kind != dnsprovider.TypeCNAME {
					if addr, err := netip.ParseAddr(value); err == nil {
						all = append(all, addr)
					}
					continue
				}
				for _, network := range []string{"ip4", "ip6"} {
					found, err := s.resolver.LookupNetIP(ctx, network, value+".")
					if err != nil && !isNotFound(err) {
						return func(netip.Addr) (bool, bool) { return false, handed }
					}
					all = append(all, found...)
				}
			}
		}
	}
	return func(addr netip.Addr) (bool, bool) {
		return slices.ContainsFunc(all, func(own netip.Addr) bool { return own.Unmap() == addr.Unmap() }), handed || len(all) > 0
	}
}

// serving reports whether the operator has a policy of its own to hand over.
func (s *scope) serving() bool {
	body, _ := s.site.served()
	told := s.book.MTASTS
	switch {
	case told == nil:
		return body != ""
	case !told.HandedOver.IsZero():
		return false
	}
	return body != "" || told.Policy != "" || open(*told)
}

// handOver ends the operator's part: the third party's policy was seen at every address, and its record at
// every name server. From now on senders forget the operator's.
func (s *scope) handOver() {
	if !s.writes() {
		return
	}
	c := handedOver(s.commitment(), s.now)
	s.commit(c)
	s.book.Forget(string(v1alpha1.PurposeMTASTS)) // it is gone
	s.giveUp(v1alpha1.PurposeMTASTSAddress, "a third party serves the MTA-STS policy now")
	s.events = append(s.events, event{reason: v1alpha1.ReasonThirdPartyServes, action: "Verify", note: fmt.Sprintf(
		"the third party's policy and record have taken the place of the operator's, which serves its own until %s for caches of the address", s.now.Add(recordCaches).Format(time.RFC3339))})
}

// handedOver returns the commitment after a third party was seen to have taken its place, at now. Caches may
// lead senders to the operator for as long as they may show them its id.
func handedOver(c ledger.MTASTS, now time.Time) ledger.MTASTS {
	c = unannounce(c)
	c.Unprobed, c.HandedOver = time.Time{}, now
	return settled(c, now)
}

// serveForCaches goes on serving what was handed over, to those whom a cache still leads to the operator,
// and then ends it. own are addresses that lead there even now: then it is the operator's again. What senders
// hold is remembered for as long as spec has a third party serve.
func (s *scope) serveForCaches(own ...string) {
	told := s.book.MTASTS
	if told == nil || told.HandedOver.IsZero() || !s.writes() {
		return
	}
	body, _ := s.site.served()
	switch end := told.HandedOver.Add(recordCaches); {
	case body != "" && len(own) > 0:
		c := s.commitment()
		c.HandedOver = time.Time{}
		s.commit(c)
	case s.now.Before(end):
		s.again(end.Sub(s.now))
	case body != "":
		s.mtasts.ended = true
	case !s.external() || !s.now.Before(ends(*told)):
		s.endCommitment()
	default:
		s.again(ends(*told).Sub(s.now))
	}
}

// afterExternal takes a section back that was a third party's. What stands at its names now is not the
// operator's, though the ledger may have had records there: only those that are still seen stay in it, so
// that none of a third party is taken for a drift of them (Law 1). The third party's policy counts from now
// on as one that senders hold, since its host can still be what they get.
func (r *Reconciler) afterExternal(ctx context.Context, s *scope, slot records.Slot) verdict {
	seen := s.book.ThirdParty
	if seen == nil || !s.writes() {
		return verdict{}
	}
	text, host := r.look(ctx, s, slot.Name), r.lookHost(ctx, s, records.MTASTSHost(s.md.Spec.Domain))
	for _, sight := range []struct {
		sight
		name string
	}{{text, slot.Name}, {host, records.MTASTSHost(s.md.Spec.Domain)}} {
		if !slices.ContainsFunc(sight.answers, proves) {
			return verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("%s: it is not known whose record stands there after hosting: External: %s", sight.name, sight.unanswered())}
		}
	}
	s.book.forgetUnseen(v1alpha1.PurposeMTASTS, func(e ledger.Entry) bool { return slices.Contains(text.values(), e.Value) })
	s.book.forgetUnseen(v1alpha1.PurposeMTASTSAddress, func(e ledger.Entry) bool { return slices.Contains(host.values(), e.Type+" "+e.Value) })
	s.book.ThirdParty = nil
	if s.md.Spec.MTASTS == nil && !s.serving() {
		return verdict{} // all of it was theirs, and stays
	}
	c := s.commitment()
	c.HandedOver, c.Until = time.Time{}, latest(c.Until, seen.Until)
	own := mtasts.Record{ID: c.ID}.String()
	if c.Policy != "" && !slices.ContainsFunc(text.values(), func(value string) bool { return slot.Is(value) && slot.Same(value, own) }) {
		c = unannounce(c)
	}
	if p, err := mtasts.ParsePolicy(seen.Policy); err == nil {
		c = offer(c, p)
	}
	s.commit(c)
	return verdict{}
}

// forgetUnseen gives up the entries of a purpose whose value does not stand any more.
func (b *book) forgetUnseen(purpose v1alpha1.RecordPurpose, stands func(ledger.Entry) bool) {
	b.Entries = slices.DeleteFunc(b.Entries, func(e ledger.Entry) bool { return e.Purpose == string(purpose) && !stands(e) })
}

// movable is when MX records may name any host of the third party's policy.
func (x external) movable(told *ledger.MTASTS, seen *ledger.ThirdParty, now time.Time) time.Time {
	c := ledger.MTASTS{Policy: x.served.policy.String()}
	if told != nil {
		c.Held, c.Until = told.Held, told.Until
	}
	if seen != nil {
		c.Until = latest(c.Until, seen.Until)
	}
	return movable(c, now)
}

// tooEarly says why the policy host may not be led to the operator yet, where it leads to a third party: a
// policy that spec wants is not on every replica. why is what keeps it from being announced.
func (s *scope) tooEarly(why verdict, next mtasts.Policy) verdict {
	body, _ := s.site.served()
	switch {
	case s.mtasts.early.bad():
		return s.mtasts.early // the replicas were asked
	case s.mtasts.serve == nil:
		return why
	case body != next.String():
		return verdict{v1alpha1.ReasonPolicyNotServed, "the operator does not serve the policy yet"}
	}
	return verdict{}
}

// takesOver reports whether the records of the host are another's, who serves the policy as far as anybody
// knows, and the operator does not serve it yet: serve, then lead senders there (Law 5).
func (s *scope) takesOver(j *hostJob, entries []ledger.Entry) bool {
	if !s.mtasts.early.bad() || len(j.targets) == 0 || slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.Settled }) {
		return false
	}
	wanted := typed(j.targets)
	return slices.ContainsFunc(j.seen.values(), func(word string) bool { return !slices.Contains(wanted, word) })
}

// waitForPolicy has the host stay where it is.
func (j *hostJob) waitForPolicy(why verdict) {
	j.state = v1alpha1.RecordHeld
	j.verdict = verdict{why.reason, fmt.Sprintf("%s stays where it leads until the operator serves the policy: %s", j.name, why.message)}
}
