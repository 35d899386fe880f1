package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// The limits of the status fields.
const (
	maxRecords = 256
	maxPlan    = 256
	maxKeys    = 64
	maxMessage = 2048
	maxText    = 4096 // of a record in the plan
	maxNote    = 1024 // of an Event

	maxFindings = 64
	maxFinding  = 512 // octets of a message
)

// status puts what a pass has found into the words of the API. It is a pure function of the
// scope; times are only those of transitions.
func status(s *scope) v1alpha1.MailDomainStatus {
	old := s.md.Status
	next := v1alpha1.MailDomainStatus{
		Conditions:         slices.Clone(old.Conditions),
		ObservedGeneration: s.md.Generation,
		Records:            recordStatuses(old.Records, s.facts, s.now),
		DKIM:               dkimStatus(s),
		Findings:           s.findings[:min(len(s.findings), maxFindings)],
		Compliance:         s.compliance.list,
	}
	if s.md.Spec.SPF != nil && s.spf.known {
		lookups, voids := int32(s.spf.analysis.Lookups), int32(s.spf.analysis.Voids)
		next.SPF = &v1alpha1.SPFStatus{Lookups: &lookups, Voids: &voids}
	}
	next.MTASTS = mtastsStatus(s)
	for _, f := range s.facts {
		next.Plan = append(next.Plan, f.plan...)
	}
	next.Plan = append(next.Plan, s.dkim.plan...)
	next.Plan = next.Plan[:min(len(next.Plan), maxPlan)]
	for i, step := range next.Plan {
		next.Plan[i].Old, next.Plan[i].New = cutTo(step.Old, maxText), cutTo(step.New, maxText)
	}

	found := conditions(s)
	for _, kind := range []string{
		v1alpha1.ConditionProviderReady, v1alpha1.ConditionSPFReady, v1alpha1.ConditionDKIMReady, v1alpha1.ConditionDMARCReady,
		v1alpha1.ConditionMTASTSReady, v1alpha1.ConditionTLSRPTReady, v1alpha1.ConditionCompliant,
	} {
		if c, there := found[kind]; there {
			set(&next.Conditions, s.md, kind, c.status, c.verdict, s.now)
		} else {
			meta.RemoveStatusCondition(&next.Conditions, kind)
		}
	}
	summarize(&next.Conditions, s, found)
	return next
}

// condition is one condition before it is stored.
type condition struct {
	status  metav1.ConditionStatus
	verdict verdict
}

// conditions are those of the provider and of each managed section.
func conditions(s *scope) map[string]condition {
	all := map[string]condition{}
	if !s.md.Spec.Manual() {
		why := s.provider.verdict
		if !why.bad() {
			why = s.blocked[v1alpha1.ConditionProviderReady]
		}
		all[v1alpha1.ConditionProviderReady] = judged(why, verdict{v1alpha1.ReasonReady, "the provider can be used"})
	}
	for _, section := range []struct {
		kind    string
		purpose v1alpha1.RecordPurpose
		managed bool
	}{
		{v1alpha1.ConditionSPFReady, v1alpha1.PurposeSPF, s.md.Spec.SPF != nil},
		{v1alpha1.ConditionDMARCReady, v1alpha1.PurposeDMARC, s.md.Spec.DMARC != nil},
		{v1alpha1.ConditionMTASTSReady, v1alpha1.PurposeMTASTS, s.md.Spec.MTASTS != nil},
		{v1alpha1.ConditionTLSRPTReady, v1alpha1.PurposeTLSRPT, s.md.Spec.TLSRPT != nil},
	} {
		why := s.blocked[section.kind]
		for _, f := range s.facts {
			if f.slot.Purpose == section.purpose && !why.bad() {
				why = f.verdict
			}
		}
		switch {
		case section.managed:
			all[section.kind] = judged(why, s.served(section.purpose, "the record is served"))
		case section.purpose == v1alpha1.PurposeMTASTS && s.mtasts.withdrawing:
			all[section.kind] = judged(why, verdict{v1alpha1.ReasonWithdrawing,
				"a policy with mode none is served and announced until the last sender has forgotten the ones before; status.mtaSTS.commitmentEnds says when, once every name server has its id"})
		}
	}
	if c, there := all[v1alpha1.ConditionMTASTSReady]; there && c.status == metav1.ConditionTrue {
		all[v1alpha1.ConditionMTASTSReady] = judged(s.mtasts.untold, s.mtasts.reserved(c.verdict))
	}
	if why := s.blocked[v1alpha1.ConditionDKIMReady]; s.md.Spec.DKIM != nil || why.bad() {
		c := dkimCondition(s, why)
		if len(s.dkim.ignored) > 0 {
			c.verdict.message += fmt.Sprintf("; %s: no answer for an hour, so the key was not held up: repair it, or take it out of the delegation", strings.Join(s.dkim.ignored, ", "))
		}
		if active, retired := selectorsOf(s.dkim.ring, keys.Active), selectorsOf(s.dkim.ring, keys.Retired); c.status == metav1.ConditionTrue && len(active) > 0 && len(retired) > 0 {
			c.verdict.message += fmt.Sprintf("; new mail should carry s=%s, and no more s=%s", strings.Join(active, " or "), strings.Join(retired, " or "))
		}
		all[v1alpha1.ConditionDKIMReady] = c
	}
	if s.md.Spec.Compliance != nil {
		all[v1alpha1.ConditionCompliant] = s.compliance.condition(s.md.Spec.Compliance.Baselines)
	}
	return all
}

// dkimCondition is True while every key of spec signs and its record is served, also during a
// rotation.
func dkimCondition(s *scope, why verdict) condition {
	if why.bad() && why.reason != v1alpha1.ReasonRotating && why.reason != v1alpha1.ReasonWaitingForSigner {
		return judged(why, verdict{})
	}
	active := s.dkim.ring.With(keys.Active)
	for _, f := range s.facts {
		signs := slices.ContainsFunc(active, func(k keys.Key) bool { return strings.HasPrefix(f.slot.Name, k.Selector+"._domainkey.") })
		stuck := f.state == v1alpha1.RecordFailed || f.state == v1alpha1.RecordConflict || f.state == v1alpha1.RecordPending
		if f.slot.Purpose == v1alpha1.PurposeDKIM && f.verdict.bad() && (signs || stuck) {
			return judged(f.verdict, verdict{})
		}
	}
	for _, name := range s.dkim.policy.Names() {
		if !slices.ContainsFunc(active, func(k keys.Key) bool { return k.Name == name }) {
			if !why.bad() {
				why = verdict{v1alpha1.ReasonProgressing, fmt.Sprintf("DKIM key %s is being made", name)}
			}
			return judged(why, verdict{})
		}
	}
	if why.bad() {
		return condition{metav1.ConditionTrue, why}
	}
	return condition{metav1.ConditionTrue, s.served(v1alpha1.PurposeDKIM, "every key signs, and its record is served")}
}

// judged makes a condition of what is wrong, or of the good news.
func judged(why, good verdict) condition {
	switch {
	case !why.bad():
		return condition{metav1.ConditionTrue, good}
	case unknown(why.reason):
		return condition{metav1.ConditionUnknown, why}
	}
	return condition{metav1.ConditionFalse, why}
}

// unknown reports whether the reason says that nothing is known.
func unknown(reason string) bool {
	return reason == v1alpha1.ReasonServersUnreachable || reason == v1alpha1.ReasonSPFTempError || reason == v1alpha1.ReasonInternalError || reason == v1alpha1.ReasonComplianceUnknown
}

// progresses reports whether what the reason speaks of needs nobody's help.
func progresses(reason string) bool {
	switch reason {
	case v1alpha1.ReasonProgressing, v1alpha1.ReasonWaitingForPropagation, v1alpha1.ReasonRotating, v1alpha1.ReasonBasicsNotReady,
		v1alpha1.ReasonUnknownOutcome, v1alpha1.ReasonConcurrentChange, v1alpha1.ReasonRateLimited, v1alpha1.ReasonUnreachable,
		v1alpha1.ReasonServersUnreachable, v1alpha1.ReasonSPFTempError, v1alpha1.ReasonInternalError, v1alpha1.ReasonWithdrawing, v1alpha1.ReasonPolicyMismatch, v1alpha1.ReasonProbeUnavailable,
		v1alpha1.ReasonComplianceUnknown:
		return true
	}
	return false
}

// summarize sets Ready, and Reconciling or Stalled as kstatus defines them.
func summarize(list *[]metav1.Condition, s *scope, found map[string]condition) {
	var names []string
	moving := false
	for kind, c := range found {
		if c.status != metav1.ConditionTrue {
			names = append(names, kind)
			moving = moving || progresses(c.verdict.reason) || kind == v1alpha1.ConditionCompliant && s.compliance.fresh
		}
	}
	slices.Sort(names)
	ready := condition{metav1.ConditionTrue, verdict{v1alpha1.ReasonVerified, "everything that spec asks for is published and proven"}}
	switch {
	case s.ending != nil:
		ready = condition{metav1.ConditionFalse, verdict{v1alpha1.ReasonWithdrawing, "the MailDomain is deleted, and its records are being withdrawn"}}
	case s.md.Spec.ModeOrDefault() == v1alpha1.ModeObserve && (len(names) > 0 || !s.claim.held):
		ready = condition{metav1.ConditionFalse, verdict{v1alpha1.ReasonObserving, "nothing is written in mode Observe: read status.plan, then set mode: Enforce"}}
	case !s.claim.held:
		ready = condition{metav1.ConditionFalse, s.claim.verdict}
	case found[v1alpha1.ConditionMTASTSReady].verdict.reason == v1alpha1.ReasonMailAtRisk:
		ready = condition{metav1.ConditionFalse, found[v1alpha1.ConditionMTASTSReady].verdict}
	case len(names) > 0:
		ready = condition{metav1.ConditionFalse, verdict{v1alpha1.ReasonSectionsNotReady, "not ready: " + strings.Join(names, ", ")}}
	}
	moving = moving && ready.verdict.reason == v1alpha1.ReasonSectionsNotReady || progresses(ready.verdict.reason)
	set(list, s.md, v1alpha1.ConditionReady, ready.status, ready.verdict, s.now)
	kstatus(list, s.md, ready, moving, s.now)
}

// kstatus sets Reconciling or Stalled; each is there only while it is true.
func kstatus(list *[]metav1.Condition, md *v1alpha1.MailDomain, ready condition, moving bool, now time.Time) {
	if ready.status == metav1.ConditionTrue {
		meta.RemoveStatusCondition(list, v1alpha1.ConditionReconciling)
		meta.RemoveStatusCondition(list, v1alpha1.ConditionStalled)
		return
	}
	kind, other := v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling
	if moving {
		kind, other = other, kind
	}
	meta.RemoveStatusCondition(list, other)
	set(list, md, kind, metav1.ConditionTrue, ready.verdict, now)
}

func set(list *[]metav1.Condition, md *v1alpha1.MailDomain, kind string, status metav1.ConditionStatus, v verdict, now time.Time) {
	meta.SetStatusCondition(list, metav1.Condition{
		Type: kind, Status: status, Reason: v.reason, Message: cut(v.message), ObservedGeneration: md.Generation, LastTransitionTime: metav1.NewTime(now),
	})
}

func cut(message string) string { return cutTo(message, maxMessage) }

// cutTo makes text of whatever the world serves fit for the API: the server refuses what is too
// long, and stores other octets than were sent for what is no UTF-8, so that status would be
// written in every pass.
func cutTo(text string, octets int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= octets {
		return text
	}
	return strings.ToValidUTF8(text[:octets-len("…")], "") + "…"
}

func recordStatuses(old []v1alpha1.RecordStatus, facts []fact, now time.Time) []v1alpha1.RecordStatus {
	var list []v1alpha1.RecordStatus
	for _, f := range facts {
		record := v1alpha1.RecordStatus{
			Name: f.slot.Name, Type: f.slot.Type, Purpose: f.slot.Purpose,
			State: f.state, Reason: cmp.Or(f.verdict.reason, v1alpha1.ReasonVerified), Message: cut(f.verdict.message),
			Vantage: f.vantage, LastTransitionTime: metav1.NewTime(now),
		}
		for _, before := range old {
			if before.Name == record.Name && before.Type == record.Type && before.Purpose == record.Purpose && before.State == record.State && before.Reason == record.Reason {
				record.LastTransitionTime = before.LastTransitionTime
			}
		}
		list = append(list, record)
	}
	slices.SortFunc(list, func(a, b v1alpha1.RecordStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Purpose, b.Purpose))
	})
	return list[:min(len(list), maxRecords)]
}

func dkimStatus(s *scope) *v1alpha1.DKIMStatus {
	if !s.dkim.managed && len(s.dkim.ring) == 0 {
		return nil
	}
	d := &v1alpha1.DKIMStatus{}
	for _, k := range s.dkim.ring {
		if k.State() == keys.Removed {
			continue
		}
		if k.State() == keys.Active {
			d.ActiveSelectors = append(d.ActiveSelectors, k.Selector)
		}
		key := v1alpha1.DKIMKeyStatus{
			Selector: k.Selector, Name: k.Name, Algorithm: v1alpha1.DKIMAlgorithm(k.Algorithm), State: v1alpha1.DKIMKeyState(k.State()),
			Created: stamp(k.Created), Published: stamp(k.Published), Propagated: stamp(k.Propagated),
			Active: stamp(k.Active), Retired: stamp(k.Retired), Revoked: stamp(k.Revoked),
		}
		if k.Bits > 0 {
			bits := int32(k.Bits)
			key.Bits = &bits
		}
		d.Keys = append(d.Keys, key)
	}
	d.Keys = d.Keys[max(0, len(d.Keys)-maxKeys):]
	if at, ok := keys.NextRotation(s.dkim.ring, s.dkim.policy); ok {
		d.NextRotation = stamp(at)
	}
	return d
}

func mtastsStatus(s *scope) *v1alpha1.MTASTSStatus {
	m := &v1alpha1.MTASTSStatus{MX: s.mtasts.live}
	told := s.book.MTASTS
	if x := s.mtasts.external; x != nil && !s.serving() {
		m.Mode = v1alpha1.MTASTSMode(x.served.policy.Mode)
		m.SafeToMoveMXAfter = stamp(x.movable(told, s.book.ThirdParty, s.now))
		return m
	}
	switch {
	case told != nil && told.Policy != "":
		m.PolicyID = told.ID
		if policy, err := mtasts.ParsePolicy(told.Policy); err == nil {
			m.Mode = v1alpha1.MTASTSMode(policy.Mode)
		}
	case told != nil && s.mtasts.withdrawing: // of what was never announced, but may be held
	case len(m.MX) == 0:
		return nil
	default:
		return m
	}
	if s.md.Spec.MTASTS == nil && s.dropped(sectionMTASTS) && closing(*told) {
		m.CommitmentEnds = stamp(ends(*told))
	} else {
		m.SafeToMoveMXAfter = stamp(movable(*told, s.now))
	}
	return m
}

// reserved is good news of the policy, with what was not seen and what waits.
func (m mtastsState) reserved(v verdict) verdict {
	switch {
	case len(m.unknown) > 0 && m.enforced():
		v = verdict{v1alpha1.ReasonProbeUnavailable, v.message + "; it can't be seen from here whether the MX hosts offer STARTTLS: " + strings.Join(m.unknown, "; ")}
	case m.unseen:
		v = verdict{v1alpha1.ReasonNotReachableFromHere, v.message + "; none of the public addresses of the policy host can be reached from here, so the replicas alone were asked"}
	}
	return verdict{v.reason, strings.Join(append([]string{v.message}, m.notes...), "; ")}
}

func stamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	at := metav1.NewTime(t)
	return &at
}

// suspended is the status of a MailDomain with which nothing is done.
func suspended(md *v1alpha1.MailDomain, now time.Time) v1alpha1.MailDomainStatus {
	next := *md.Status.DeepCopy()
	next.ObservedGeneration = md.Generation
	meta.RemoveStatusCondition(&next.Conditions, v1alpha1.ConditionReconciling)
	meta.RemoveStatusCondition(&next.Conditions, v1alpha1.ConditionStalled)
	set(&next.Conditions, md, v1alpha1.ConditionReady, metav1.ConditionUnknown, verdict{v1alpha1.ReasonSuspended, "nothing is done while spec.suspend is true"}, now)
	return next
}

// failed is the status after a pass that could not be made: what was known stays.
func failed(md *v1alpha1.MailDomain, why verdict, now time.Time) v1alpha1.MailDomainStatus {
	next := *md.Status.DeepCopy()
	next.ObservedGeneration = md.Generation
	ready := judged(why, verdict{})
	set(&next.Conditions, md, v1alpha1.ConditionReady, ready.status, ready.verdict, now)
	kstatus(&next.Conditions, md, ready, progresses(why.reason), now)
	return next
}

func sameStatus(a, b v1alpha1.MailDomainStatus) bool { return equality.Semantic.DeepEqual(a, b) }

// unsettled reports whether something is under way, so that the next look should come soon.
func unsettled(status v1alpha1.MailDomainStatus) bool {
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) {
		return true
	}
	if status.DKIM != nil {
		for _, k := range status.DKIM.Keys {
			if k.State == v1alpha1.KeyGenerated || k.State == v1alpha1.KeyPublished || k.State == v1alpha1.KeyPropagated {
				return true
			}
		}
	}
	return slices.ContainsFunc(status.Records, func(r v1alpha1.RecordStatus) bool { return r.State != v1alpha1.RecordVerified })
}

// lastTransition is when something last changed.
func lastTransition(status v1alpha1.MailDomainStatus) time.Time {
	var last time.Time
	for _, c := range status.Conditions {
		last = latest(last, c.LastTransitionTime.Time)
	}
	for _, r := range status.Records {
		last = latest(last, r.LastTransitionTime.Time)
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
