package controllers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/lease"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// job is a wish that needs the provider.
type job struct {
	wish
	apex     string // of the zone that holds the slot
	decision dnsprovider.Decision
	fact     *fact
}

func (r *Reconciler) writeRecords(ctx context.Context, s *scope) error {
	worked, err := r.bring(ctx, s, s.wishes)
	if err != nil || !worked {
		return err
	}
	r.seeNewKeys(ctx, s)
	return s.book.save(ctx, r.Client)
}

// work brings the wishes about, and stores what was read back.
func (r *Reconciler) work(ctx context.Context, s *scope, wishes []wish) error {
	worked, err := r.bring(ctx, s, wishes)
	if err != nil || !worked {
		return err
	}
	return s.book.save(ctx, r.Client)
}

// bring brings the wishes about and leaves a fact for each. It asks the provider only where the
// name servers or the ledger show that there is something to do; whether it did is worked. What was read
// back is in the ledger then, and not stored: until it is, the next pass would ask the provider again.
func (r *Reconciler) bring(ctx context.Context, s *scope, wishes []wish) (worked bool, err error) {
	facts := make([]fact, len(wishes))
	var jobs []*job
	for i, w := range wishes {
		seen := r.look(ctx, s, w.slot.Name)
		f := &facts[i]
		*f = fact{slot: w.slot, want: w.value, vantage: seen.vantage}
		switch {
		case w.hold.bad():
			f.state, f.verdict = v1alpha1.RecordHeld, w.hold
		case s.md.Spec.ModeOrDefault() == v1alpha1.ModeObserve || s.md.Spec.Manual() || !s.claim.held && w.slot.Purpose != v1alpha1.PurposeClaim:
			observe(s, w, seen, f)
		case quiet(s.entries(w.slot, seen), w, seen):
			if w.value != "" {
				s.noteZone(w, seen)
				f.state, f.verdict = seen.verify(w.slot, w.value)
			}
		case !s.provider.usable():
			f.state, f.verdict = v1alpha1.RecordFailed, s.provider.verdict
		default:
			jobs = append(jobs, &job{wish: w, fact: f})
		}
	}
	r.decide(ctx, s, jobs)
	// The intents are stored before anything is written.
	if s.writes() || slices.ContainsFunc(jobs, func(j *job) bool { return !j.decision.Change.Empty() }) {
		if err := r.holdDeletion(ctx, s); err != nil {
			return false, err
		}
	}
	if s.writes() || len(jobs) > 0 {
		if err := s.book.save(ctx, r.Client); err != nil {
			return false, err
		}
	}
	if len(jobs) > 0 {
		if err := s.book.confirm(ctx, r.Client); err != nil {
			return false, err
		}
	}
	if err := r.apply(ctx, s, jobs); err != nil {
		return false, err
	}
	for _, f := range facts {
		if f.state != "" {
			s.facts = append(s.facts, f)
		}
	}
	return len(jobs) > 0, nil
}

// observe says what would have to change, by what the name servers show.
func observe(s *scope, w wish, seen sight, f *fact) {
	if seen.err != nil || !seen.absent() && len(seen.rrset(w.slot.Key).Records) == 0 && seen.rrset(w.slot.Key).Alias == "" {
		if w.value != "" {
			f.state, f.verdict = seen.verify(w.slot, w.value)
			f.state = v1alpha1.RecordPending
		}
		return
	}
	set := seen.rrset(w.slot.Key)
	owned, adopt := s.book.Owned(s.apex(seen), set), adopts(s)
	if s.md.Spec.Manual() {
		// All that stands there is a human's, who is told what to make of it.
		owned, adopt = nil, true
		if w.value == "" {
			owned = ofProtocol(w.slot, seen)
		}
	}
	d := dnsprovider.Decide(w.slot.Slot, dnsprovider.Wish{Value: w.value, Adopt: adopt}, set, owned)
	f.plan = records.Planned(d.Change)
	switch {
	case d.Verb == dnsprovider.Conflict || d.Verb == dnsprovider.Blocked:
		obstructed(w, d, set, f)
	case w.value == "":
		if len(f.plan) > 0 {
			f.state, f.verdict = v1alpha1.RecordWithdrawing, verdict{v1alpha1.ReasonWithdrawing, fmt.Sprintf("%s: remove it, it is no longer wanted", w.slot.Key)}
		}
	case len(f.plan) == 0:
		f.state, f.verdict = seen.verify(w.slot, w.value)
	default:
		f.state = v1alpha1.RecordPending
		f.verdict = verdict{v1alpha1.ReasonWaitingForHuman, fmt.Sprintf("%s: publish %q", w.slot.Key, w.value)}
		if s.md.Spec.ModeOrDefault() == v1alpha1.ModeObserve {
			f.verdict = verdict{v1alpha1.ReasonObserving, fmt.Sprintf("%s: would be %q", w.slot.Key, w.value)}
		} else if !s.claim.held {
			f.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s: would be %q", w.slot.Key, w.value)}
		}
	}
}

func ofProtocol(slot records.Slot, seen sight) []dnsprovider.Owned {
	var all []dnsprovider.Owned
	for _, value := range seen.values() {
		if slot.Is(value) {
			all = append(all, dnsprovider.Owned{Value: value})
		}
	}
	return all
}

func adopts(s *scope) bool {
	return s.md.Spec.DNS.ConflictPolicyOrDefault() == v1alpha1.ConflictAdopt
}

// apex is that of the zone that holds what was seen; "" if it is not known.
func (s *scope) apex(seen sight) string {
	switch {
	case s.md.Spec.DNS != nil && s.md.Spec.DNS.Zone != "":
		return s.md.Spec.DNS.Zone
	case seen.err != nil:
		return ""
	}
	return seen.authority.Apex
}

// entries are what the ledger knows of the slot in the zone that holds it.
func (s *scope) entries(slot records.Slot, seen sight) []ledger.Entry {
	if apex := s.apex(seen); apex != "" {
		return s.book.In(apex, slot.Key)
	}
	return s.book.At(slot.Key)
}

// noteZone completes an entry of an older ledger: its value is seen standing in this zone.
func (s *scope) noteZone(w wish, seen sight) {
	apex := s.apex(seen)
	for _, e := range s.entries(w.slot, seen) {
		if e.Zone == "" && apex != "" && slices.ContainsFunc(seen.answers, func(a probe.Answer) bool { return shows(a, w.slot, e.Value) }) {
			s.book.Settle(apex, w.slot.Key, e.Purpose, e.Value)
		}
	}
}

// quiet reports whether the provider need not be asked: the ledger knows the wish as settled
// and nothing that the name servers show speaks against it.
func quiet(entries []ledger.Entry, w wish, seen sight) bool {
	if w.value == "" {
		return len(entries) == 0
	}
	if len(entries) != 1 || !entries[0].Settled || !w.slot.Same(entries[0].Value, w.value) {
		return false
	}
	answered, shown := 0, 0
	for _, a := range seen.answers {
		if !proves(a) {
			continue
		}
		answered++
		if shows(a, w.slot, w.value) {
			shown++
		} else if a.Alias != "" {
			return false
		}
	}
	for _, value := range seen.values() {
		if w.slot.Is(value) && !w.slot.Same(value, w.value) {
			return false
		}
	}
	return shown > 0 || answered == 0
}

// decide reads what stands at the provider and enters what is going to be written.
func (r *Reconciler) decide(ctx context.Context, s *scope, jobs []*job) {
	for zone, jobs := range s.byZone(jobs) {
		for i, seen := range zone.Read(ctx, keysOf(jobs)...) {
			if seen.Err != nil {
				s.failed(jobs[i], seen.Err)
				continue
			}
			r.decideOne(ctx, s, jobs[i], seen.RRset)
		}
	}
}

func (r *Reconciler) decideOne(ctx context.Context, s *scope, j *job, seen dnsprovider.RRset) {
	owned, adopt := s.book.Owned(j.apex, seen), adopts(s)
	if j.slot.Purpose == v1alpha1.PurposeClaim {
		owned = standing(seen, owned)
		adopt = slices.ContainsFunc(seen.Values(), func(text string) bool { return r.free(s, text) }) // of several none is adopted
	}
	j.decision = dnsprovider.Decide(j.slot.Slot, dnsprovider.Wish{Value: j.value, TTL: s.md.Spec.DNS.TTLOrDefault(), Adopt: adopt}, seen, owned)
	stood := func(e ledger.Entry) bool { return e.Settled && j.slot.Same(e.Value, j.value) }
	if len(j.decision.Change.Add) > 0 && slices.ContainsFunc(s.book.In(j.apex, j.slot.Key), stood) {
		r.noteDrift(s, j.slot)
	}
	if s.ending != nil && j.decision.Verb == dnsprovider.Create {
		j.value, j.decision = "", dnsprovider.Decision{Verb: dnsprovider.Keep} // what is gone is not made anew
	} else {
		for _, value := range j.decision.Change.Add {
			s.book.Intend(j.apex, j.slot.Key, string(j.slot.Purpose), value)
		}
	}
	switch j.decision.Verb {
	case dnsprovider.Keep, dnsprovider.TakeUp:
		if shown := s.looks[j.slot.Name]; j.value == "" && len(owned) > 0 && slices.ContainsFunc(owned, func(o dnsprovider.Owned) bool { return slices.Contains(shown.values(), o.Value) }) {
			// It is not this provider that holds what the world sees, or not yet that which the world sees.
			j.fail(verdict{v1alpha1.ReasonWaitingForPropagation, fmt.Sprintf("%s: the provider does not hold it any more, and the name servers still serve it: wait, or correct the provider", j.slot.Key)})
			return
		}
		s.book.Settle(j.apex, j.slot.Key, string(j.slot.Purpose), j.decision.Value)
		r.shown(ctx, s, j)
	case dnsprovider.Conflict, dnsprovider.Blocked:
		obstructed(j.wish, j.decision, seen, j.fact)
	}
}

// byZone opens the zone of each job and puts the jobs of one zone together, in their order. A
// provider that has failed in this pass is not asked again.
func (s *scope) byZone(jobs []*job) iter.Seq2[dnsprovider.Zone, []*job] {
	return func(yield func(dnsprovider.Zone, []*job) bool) {
		var zones []dnsprovider.Zone
		groups := map[dnsprovider.Zone][]*job{}
		for _, j := range jobs {
			apex, why := s.zoneOf(j.slot)
			if why.bad() {
				j.fail(why)
				continue
			}
			zone, why := s.open(apex)
			if why.bad() {
				j.fail(why)
				continue
			}
			j.apex = apex
			if groups[zone] == nil {
				zones = append(zones, zone)
			}
			groups[zone] = append(groups[zone], j)
		}
		for _, zone := range zones {
			if why, down := s.blocked[v1alpha1.ConditionProviderReady]; down {
				for _, j := range groups[zone] {
					j.fail(why)
				}
			} else if !yield(zone, groups[zone]) {
				return
			}
		}
	}
}

func keysOf(jobs []*job) []dnsprovider.Key {
	keys := make([]dnsprovider.Key, len(jobs))
	for i, j := range jobs {
		keys[i] = j.slot.Key
	}
	return keys
}

// standing leaves of the ledger's entries those that stand. The rule for drift must not take a
// registry record of somebody else for a change of ours.
func standing(seen dnsprovider.RRset, owned []dnsprovider.Owned) []dnsprovider.Owned {
	var kept []dnsprovider.Owned
	for _, o := range owned {
		for _, record := range seen.Records {
			if record.Value == o.Value {
				kept = append(kept, o)
				break
			}
		}
	}
	return kept
}

// apply makes the changes and reads them back: that a provider says yes is no proof.
func (r *Reconciler) apply(ctx context.Context, s *scope, jobs []*job) error {
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.decision.Change.Empty() })
	for zone, jobs := range s.byZone(jobs) {
		changes := make([]dnsprovider.Change, len(jobs))
		for i, j := range jobs {
			changes[i] = j.decision.Change
		}
		var sent []*job
		for i, err := range zone.Apply(ctx, changes...) {
			switch {
			case errors.Is(err, lease.ErrNotHeld):
				return err // nothing is wrong with the provider; what was made of the others is seen in the next pass
			case err != nil && dnsprovider.KindOf(err) != dnsprovider.UnknownOutcome:
				s.failed(jobs[i], err)
			default:
				sent = append(sent, jobs[i])
			}
		}
		if len(sent) == 0 {
			continue
		}
		for i, seen := range zone.Read(ctx, keysOf(sent)...) {
			if seen.Err != nil {
				s.failed(sent[i], seen.Err)
				s.again(r.Poll) // what was written is not left in doubt for as long as others may wait
				continue
			}
			r.settle(ctx, s, sent[i], seen.RRset)
		}
	}
	return nil
}

// settle compares what stands with what was decided.
func (r *Reconciler) settle(ctx context.Context, s *scope, j *job, seen dnsprovider.RRset) {
	owned := s.book.Owned(j.apex, seen)
	again := dnsprovider.Decide(j.slot.Slot, dnsprovider.Wish{Value: j.value}, seen, owned)
	switch {
	case j.decision.Verb == dnsprovider.Conflict && seen.Alias == "" && len(standing(seen, owned)) == 0:
		s.book.Settle(j.apex, j.slot.Key, string(j.slot.Purpose), "")
	case j.decision.Verb == dnsprovider.Conflict || again.Verb != dnsprovider.Keep:
		j.fail(verdict{v1alpha1.ReasonUnknownOutcome, fmt.Sprintf("%s: the change was sent and does not show: it is read and tried again", j.slot.Key)})
	default:
		s.book.Settle(j.apex, j.slot.Key, string(j.slot.Purpose), again.Value)
		s.forget(j.slot.Name) // the world has changed
		if j.value != "" {
			r.noteWritten(s, j.slot)
		}
		r.shown(ctx, s, j)
		s.wrote(j.decision.Verb, j.decision.Change, j.value)
	}
}

// shown says how far the wish has come out of the provider.
func (r *Reconciler) shown(ctx context.Context, s *scope, j *job) {
	if j.value == "" {
		j.fact.state = ""
		return
	}
	j.fact.state, j.fact.verdict = r.look(ctx, s, j.slot.Name).verify(j.slot, j.value)
}

func (j *job) fail(why verdict) {
	j.fact.state, j.fact.verdict = v1alpha1.RecordFailed, why
}

// failed notes that the job came to nothing, whether the provider as a whole is to blame, and when
// it wants to hear from us again.
func (s *scope) failed(j *job, err error) {
	j.fail(s.providerFailed(err))
}

// providerFailed is failed for what is no job.
func (s *scope) providerFailed(err error) verdict {
	why := providerVerdict(err)
	if ofProvider(why.reason) {
		s.block(v1alpha1.ConditionProviderReady, why)
	}
	if e, ok := errors.AsType[*dnsprovider.Error](err); ok && e.Kind == dnsprovider.RateLimited {
		s.heldBack(e.RetryAfter)
	}
	if why.reason == v1alpha1.ReasonUnauthorized && s.provider.distrust != nil {
		s.provider.distrust() // they may be old, whatever the cache shows
	}
	return why
}

// zoneOf is the apex of the zone that holds the slot.
func (s *scope) zoneOf(slot records.Slot) (string, verdict) {
	seen := s.looks[slot.Name]
	apex := s.apex(seen)
	if apex == "" {
		_, why := seen.verify(slot, "")
		return "", why
	}
	return apex, verdict{}
}

// open opens a zone once in a pass.
func (s *scope) open(apex string) (dnsprovider.Zone, verdict) {
	if zone, ok := s.zones[apex]; ok {
		return zone, verdict{}
	}
	zone, err := s.provider.open(apex)
	if err != nil {
		return nil, providerVerdict(err)
	}
	s.zones[apex] = zone
	return zone, verdict{}
}

// obstructed says what stands in the way of a wish.
func obstructed(w wish, d dnsprovider.Decision, seen dnsprovider.RRset, f *fact) {
	f.state = v1alpha1.RecordConflict
	if d.Verb == dnsprovider.Blocked {
		f.verdict = verdict{v1alpha1.ReasonAliasInTheWay, fmt.Sprintf("%s: wanted %q, and a CNAME to %s occupies the name: remove it, or publish the record at its target", w.slot.Key, w.value, seen.Alias)}
		return
	}
	if w.slot.Purpose == v1alpha1.PurposeClaim {
		f.verdict = verdict{v1alpha1.ReasonRecordConflict, claimedByAnother(w.slot)}
		return
	}
	var texts []string
	for _, foreign := range d.Foreign {
		texts = append(texts, fmt.Sprintf("%q", foreign))
	}
	f.verdict = verdict{v1alpha1.ReasonRecordConflict, fmt.Sprintf("%s: wanted %q, and %s stands there, which the operator did not write: remove it, or set spec.dns.conflictPolicy: Adopt", w.slot.Key, w.value, strings.Join(texts, " and "))}
}
