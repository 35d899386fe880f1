package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/lease"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/records"
)

// hostJob is the wish of a pass for the policy host, and what is found out about it. It is what a job is
// for the records of which one stands at a name.
type hostJob struct {
	hostWish
	name    string
	apex    string
	seen    sight
	state   v1alpha1.RecordState // "": nothing is to be told
	verdict verdict
	plan    []v1alpha1.PlannedChange
}

// writeHost has the policy host lead where it should, and leaves a fact for each of its records.
func (r *Reconciler) writeHost(ctx context.Context, s *scope) error {
	name := records.MTASTSHost(s.md.Spec.Domain)
	if s.host.wish == nil {
		if s.host.lacks != "" && s.blocked[v1alpha1.ConditionMTASTSReady].reason == v1alpha1.ReasonPolicyNotServed && r.lookHost(ctx, s, name).absent() {
			s.hostVerdict(verdict{v1alpha1.ReasonAddressPending, fmt.Sprintf("%s has no address, and %s: publish an A, AAAA or CNAME record that leads to the operator's mta-sts Service, or set spec.mtaSTS.address", name, s.host.lacks)})
		}
		return nil
	}
	j := &hostJob{hostWish: *s.host.wish, name: name}
	if len(j.targets) == 0 && len(s.hostEntries(name, "")) == 0 {
		return nil // nothing ever stood there by our hand
	}
	j.seen = r.lookHost(ctx, s, name)
	j.apex = s.apex(j.seen)
	entries := s.hostEntries(name, j.apex)
	switch {
	case j.auto && !adopts(s) && s.leadsElsewhere(j, entries):
		return nil
	case s.takesOver(j, entries):
		j.waitForPolicy(s.mtasts.early)
	case s.md.Spec.ModeOrDefault() == v1alpha1.ModeObserve || s.md.Spec.Manual() || !s.claim.held:
		j.observe(s)
	case hostQuiet(entries, j.hostWish, j.seen):
		if len(j.targets) > 0 {
			j.verify()
		}
	case !s.provider.usable():
		j.fail(s.provider.verdict)
	case j.apex == "":
		j.verify()
	default:
		if err := r.changeHost(ctx, s, j); err != nil {
			return err
		}
	}
	j.report(s, entries)
	return nil
}

// leadsElsewhere reports whether somebody else's records already lead to the policy. With Auto they are
// as good as ours would be. While one policy replaces another they are what they were.
func (s *scope) leadsElsewhere(j *hostJob, entries []ledger.Entry) bool {
	if len(entries) > 0 || s.mtasts.unseen || !s.mtasts.proven && !s.mtasts.unasked {
		return false
	}
	wanted := typed(j.targets)
	return slices.ContainsFunc(j.seen.values(), func(word string) bool { return !slices.Contains(wanted, word) })
}

// hostEntries are what the ledger knows of the name in the zone; of any zone for "".
func (s *scope) hostEntries(name, apex string) (entries []ledger.Entry) {
	for _, key := range dnsprovider.HostKeys(name) {
		if apex == "" {
			entries = append(entries, s.book.At(key)...)
		} else {
			entries = append(entries, s.book.In(apex, key)...)
		}
	}
	return entries
}

func (j *hostJob) fail(why verdict) { j.state, j.verdict = v1alpha1.RecordFailed, why }

func (j *hostJob) verify() {
	j.state, j.verdict = j.seen.verifyThat(j.name, strings.Join(typed(j.targets), ", "), leads(j.targets))
}

// observe is observe for the policy host.
func (j *hostJob) observe(s *scope) {
	if j.seen.err != nil || !j.seen.absent() && len(j.seen.values()) == 0 {
		if len(j.targets) > 0 {
			j.verify()
			j.state = v1alpha1.RecordPending
		}
		return
	}
	sets := hostSets(j.name, j.seen)
	owned, adopt := s.hostOwned(s.apex(j.seen), sets), adopts(s)
	if s.md.Spec.Manual() {
		owned, adopt = make([][]dnsprovider.Owned, len(sets)), true
	}
	d := dnsprovider.DecideHost(dnsprovider.HostWish{Targets: j.targets, Adopt: adopt}, sets, owned)
	for _, change := range d.Changes {
		j.plan = append(j.plan, records.Planned(change)...)
	}
	wanted := strings.Join(typed(j.targets), ", ")
	switch {
	case d.Verb == dnsprovider.Conflict:
		j.obstructed(d)
	case len(j.targets) == 0:
		if len(j.plan) > 0 {
			j.state, j.verdict = v1alpha1.RecordWithdrawing, verdict{v1alpha1.ReasonWithdrawing, fmt.Sprintf("%s: remove its addresses, they are no longer wanted", j.name)}
		}
	case len(j.plan) == 0:
		j.verify()
	case s.md.Spec.ModeOrDefault() == v1alpha1.ModeObserve:
		j.state, j.verdict = v1alpha1.RecordPending, verdict{v1alpha1.ReasonObserving, fmt.Sprintf("%s: would be %s", j.name, wanted)}
	case !s.claim.held:
		j.state, j.verdict = v1alpha1.RecordPending, verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s: would be %s", j.name, wanted)}
	default:
		j.state, j.verdict = v1alpha1.RecordPending, verdict{v1alpha1.ReasonWaitingForHuman, fmt.Sprintf("%s: publish %s", j.name, wanted)}
	}
}

func (s *scope) hostOwned(apex string, sets []dnsprovider.RRset) [][]dnsprovider.Owned {
	owned := make([][]dnsprovider.Owned, len(sets))
	for i, set := range sets {
		owned[i] = s.book.Owned(apex, set)
	}
	return owned
}

// changeHost reads what stands at the provider, enters what is going to be written, writes it and reads
// it back, in this order.
func (r *Reconciler) changeHost(ctx context.Context, s *scope, j *hostJob) error {
	zone, why := s.open(j.apex)
	if down := s.blocked[v1alpha1.ConditionProviderReady]; down.bad() {
		why = down // it has failed in this pass
	}
	if why.bad() {
		j.fail(why)
		return nil
	}
	before, err := readHost(ctx, zone, j.name)
	if err != nil {
		j.fail(s.providerFailed(err))
		return nil
	}
	owned := s.hostOwned(j.apex, before)
	wish := dnsprovider.HostWish{Targets: j.targets, TTL: s.md.Spec.DNS.TTLOrDefault(), Adopt: adopts(s)}
	d := dnsprovider.DecideHost(wish, before, owned)
	for _, change := range d.Changes {
		for _, value := range change.Add {
			stood := func(e ledger.Entry) bool { return e.Settled && e.Value == value }
			if slices.ContainsFunc(s.book.In(j.apex, change.Seen.Key), stood) {
				r.noteDrift(s, hostSlot(change.Seen.Key))
			}
			s.book.Intend(j.apex, change.Seen.Key, string(v1alpha1.PurposeMTASTSAddress), value)
		}
	}
	if len(d.Changes) > 0 {
		if err := r.holdDeletion(ctx, s); err != nil {
			return err
		}
	}
	if err := s.book.save(ctx, r.Client); err != nil {
		return err
	}
	if err := s.book.confirm(ctx, r.Client); err != nil {
		return err
	}
	after := before
	if len(d.Changes) > 0 {
		for _, err := range zone.Apply(ctx, d.Changes...) {
			if errors.Is(err, lease.ErrNotHeld) {
				return err
			}
			if err != nil && dnsprovider.KindOf(err) != dnsprovider.UnknownOutcome {
				j.fail(s.providerFailed(err)) // what was made of the others is seen in the next pass
				return nil
			}
		}
		if after, err = readHost(ctx, zone, j.name); err != nil {
			j.fail(s.providerFailed(err))
			return nil
		}
	}
	r.settleHost(ctx, s, j, d, after)
	return s.book.save(ctx, r.Client)
}

func hostSlot(key dnsprovider.Key) records.Slot {
	return records.Slot{Slot: dnsprovider.Slot{Key: key}, Purpose: v1alpha1.PurposeMTASTSAddress}
}

// readHost reads what leads from the name to servers, and, as no CNAME can stand beside it, whether a
// text stands there.
func readHost(ctx context.Context, zone dnsprovider.Zone, name string) ([]dnsprovider.RRset, error) {
	var sets []dnsprovider.RRset
	for _, reading := range zone.Read(ctx, append(dnsprovider.HostKeys(name), dnsprovider.Key{Name: name, Type: dnsprovider.TypeTXT})...) {
		if reading.Err != nil {
			return nil, reading.Err
		}
		sets = append(sets, reading.RRset)
	}
	hosts, texts := sets[:3], sets[3]
	hosts[0].Shared = hosts[0].Shared || len(texts.Records) > 0
	return hosts, nil
}

// settleHost compares what stands with what was decided.
func (r *Reconciler) settleHost(ctx context.Context, s *scope, j *hostJob, d dnsprovider.HostDecision, after []dnsprovider.RRset) {
	again := dnsprovider.DecideHost(dnsprovider.HostWish{Targets: j.targets}, after, s.hostOwned(j.apex, after))
	obstacle := d.Verb == dnsprovider.Conflict || d.Verb == dnsprovider.Blocked
	switch {
	case len(d.Changes) > 0 && (obstacle && len(again.Changes) > 0 || !obstacle && again.Verb != dnsprovider.Keep):
		j.fail(verdict{v1alpha1.ReasonUnknownOutcome, fmt.Sprintf("%s: the change was sent and does not show: it is read and tried again", j.name)})
		return
	case obstacle && len(d.Changes) == 0:
		j.obstructed(d)
		return
	case len(d.Changes) == 0 && len(j.targets) == 0 && s.stillServed(j):
		j.fail(verdict{v1alpha1.ReasonWaitingForPropagation, fmt.Sprintf("%s: the provider does not hold its addresses any more, and the name servers still serve them: wait, or correct the provider", j.name)})
		return
	}
	for _, key := range dnsprovider.HostKeys(j.name) {
		s.book.Settle(j.apex, key, string(v1alpha1.PurposeMTASTSAddress), d.Ours[key.Type]...)
	}
	for _, change := range d.Changes {
		verb := d.Verb
		if obstacle {
			verb = dnsprovider.Remove
		}
		s.wrote(verb, change, strings.Join(change.Add, ", "))
		if len(change.Add) > 0 {
			r.noteWritten(s, hostSlot(change.Seen.Key))
		}
	}
	switch {
	case obstacle:
		j.obstructed(d)
	case len(j.targets) > 0:
		if len(d.Changes) > 0 {
			j.seen = r.lookHost(ctx, s, j.name) // the world has changed
		}
		j.verify()
	}
}

// stillServed reports whether the name servers show an address that the ledger has.
func (s *scope) stillServed(j *hostJob) bool {
	return slices.ContainsFunc(s.hostEntries(j.name, j.apex), func(e ledger.Entry) bool { return slices.Contains(j.seen.values(), e.Type+" "+e.Value) })
}

// obstructed says what stands in the way of the wish.
func (j *hostJob) obstructed(d dnsprovider.HostDecision) {
	j.state = v1alpha1.RecordConflict
	wanted := strings.Join(typed(j.targets), ", ")
	switch {
	case d.Verb == dnsprovider.Blocked && d.Alias == "":
		j.verdict = verdict{v1alpha1.ReasonRecordConflict, fmt.Sprintf("%s: wanted %s, and other records stand there, beside which a CNAME can't (RFC 1034 section 3.6.2): remove them, or set spec.mtaSTS.address.type: A", j.name, wanted)}
		return
	case d.Verb == dnsprovider.Blocked:
		j.verdict = verdict{v1alpha1.ReasonAliasInTheWay, fmt.Sprintf("%s: wanted %s, and an alias of the provider's to %s occupies the name: remove it, or set spec.mtaSTS.address.type: None", j.name, wanted, d.Alias)}
		return
	}
	j.verdict = verdict{v1alpha1.ReasonRecordConflict, fmt.Sprintf("%s: wanted %s, and %s stands there, which the operator did not write: remove it, set spec.dns.conflictPolicy: Adopt, or leave the name to others with spec.mtaSTS.address.type: None", j.name, wanted, strings.Join(d.Foreign, " and "))}
}

// report leaves the facts: one for each type of record that is wanted or that the ledger had.
func (j *hostJob) report(s *scope, entries []ledger.Entry) {
	if j.state == "" && len(j.plan) == 0 {
		return
	}
	if len(j.targets) > 0 {
		s.hostVerdict(j.verdict)
	}
	plan := j.plan
	for _, key := range dnsprovider.HostKeys(j.name) {
		had := slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.Type == key.Type })
		if len(j.targets[key.Type]) == 0 && (len(j.targets) > 0 || !had) {
			continue
		}
		s.facts = append(s.facts, fact{
			slot:  hostSlot(key),
			state: j.state, verdict: j.verdict, vantage: j.seen.vantage, plan: plan,
		})
		plan = nil
	}
}
