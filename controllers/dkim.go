package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// decideDKIM makes the keys that are due, moves every key as far as its proof allows, and
// wants the records that follow.
func (r *Reconciler) decideDKIM(ctx context.Context, s *scope) error {
	s.dkim.managed = s.md.Spec.DKIM != nil
	if !s.dkim.managed && (!s.dropped(sectionDKIM) || len(s.book.Keyring) == 0 || s.abandoned()) {
		return nil
	}
	var err error
	if s.dkim.signers, err = r.readSigners(ctx, s); err != nil {
		return err
	}
	restored, lost, why := r.privates(s.book, s.dkim.signers, s.now)
	if s.ending != nil {
		lost, why = nil, verdict{} // nothing is going to be signed with it
	}
	s.dkim.lost = why
	s.block(v1alpha1.ConditionDKIMReady, why)
	for _, k := range s.book.Keyring {
		s.again(k.Lost.Add(r.LostKeyGrace).Sub(s.now))
	}
	if s.dkim.managed && !s.dkim.lost.bad() {
		s.dkim.lost = r.recall(ctx, s)
		s.block(v1alpha1.ConditionDKIMReady, s.dkim.lost)
	}
	if s.dkim.managed && !s.dkim.lost.bad() {
		if err := r.importKeys(ctx, s); err != nil {
			return err
		}
	}
	s.dkim.policy = r.keyPolicy(ctx, s)
	s.dkim.policy.Lost = lost
	for _, selector := range lost {
		s.block(v1alpha1.ConditionDKIMReady, verdict{v1alpha1.ReasonKeyLost, fmt.Sprintf("the private key of %s is lost: a new key takes its place as soon as its record is proven", selector)})
	}
	signer := s.dkim.signers[0]
	why = s.full(signer)
	if signer.foreign {
		why = verdict{v1alpha1.ReasonSecretConflict, fmt.Sprintf("Secret %s exists and is not the operator's for this MailDomain: remove it, or choose another name in spec.dkim.signerSecret.name; MailDomains that are to share one set signerSecret.combine, each of them", signer.name)}
	}
	if why.bad() && s.ending == nil {
		s.dkim.policy.Frozen = true
		s.block(v1alpha1.ConditionDKIMReady, why)
	}
	if s.dkim.managed {
		for _, external := range s.md.Spec.DKIM.External {
			s.block(v1alpha1.ConditionDKIMReady, r.external(ctx, s, external))
		}
	}
	if s.dkim.lost.bad() {
		s.dkim.policy.Frozen = true
		s.wantKeys(s.book.Keyring)
		return nil
	}
	if err := r.makeKeys(ctx, s); err != nil {
		return err
	}
	if !s.writes() {
		s.wantKeys(s.book.Keyring)
		return nil
	}
	if s.book.keyless {
		restored = nil // that is where they are kept
	}
	for _, selector := range restored {
		s.events = append(s.events, event{reason: "KeyRestored", action: "RestoreKey", part: partOf(partKeys, selector), note: fmt.Sprintf("the private key of %s was taken back from the signer's Secret", selector)})
	}
	before, anew := s.book.Keyring, false
	if s.toldNothing(signer) {
		before, anew = before.TellAnew(s.now)
		s.book.Keyring = before
	}
	ring := r.advance(ctx, s, s.dkim.policy)
	s.dkim.offered, s.dkim.offers = before.Offer(ring, s.now)
	s.dkim.offers = s.dkim.offers || anew
	if at, ok := keys.NextRotation(ring, s.dkim.policy); ok {
		s.again(at.Sub(s.now)) // one that is due is under way, or waits for something else than time
	}
	s.wantKeys(ring)
	return nil
}

// toldNothing reports whether the Secret that signers go by is gone, or was emptied, and this pass makes it anew.
func (s *scope) toldNothing(signer signer) bool {
	ring, ok := s.book.signable()
	return s.book.SignerInUse() == signer.name && len(signer.data[keys.SelectorsFile]) == 0 &&
		!s.dkim.policy.Frozen && ok && len(ring.With(keys.Active)) > 0
}

// advance moves every key as far as the policy and what is seen now allow.
func (r *Reconciler) advance(ctx context.Context, s *scope, policy keys.Policy) keys.Keyring {
	evidence := map[string]keys.Evidence{}
	for _, k := range s.book.Keyring {
		if k.Pending() || k.State() == keys.Active && len(k.Silent) > 0 {
			slot := records.DKIMSlot(s.md.Spec.Domain, k.Selector)
			seen := r.look(ctx, s, slot.Name)
			e := seen.evidence(slot, k.Record, standingKey(s, slot, k, seen))
			e.Mounted = r.mounted(s.dkim.signers, k)
			evidence[k.Selector] = e
		}
	}
	// What was seen counts from when it was seen: the pass may have begun long before.
	out := keys.Advance(s.book.Keyring, policy, evidence, r.Clock.Now())
	s.book.Keyring, s.dkim.ring, s.dkim.ignored = out.Ring, out.Ring, out.Ignored
	for _, t := range out.Transitions {
		s.steps = append(s.steps, keyStep{t.Selector, out.Ring[out.Ring.Find(t.Selector)].Name, t.To})
	}
	if s.blocked[v1alpha1.ConditionDKIMReady] == s.dkim.waits {
		delete(s.blocked, v1alpha1.ConditionDKIMReady) // what was waited for before
	}
	s.dkim.waits = verdict{}
	for _, w := range out.Waits {
		why := verdict{v1alpha1.ReasonRotating, "waiting for " + w.For}
		if w.Person {
			why.reason = v1alpha1.ReasonWaitingForSigner
			why.message += s.howToConfirm(w.Confirm, out.Ring)
		}
		if !s.dkim.waits.bad() {
			s.dkim.waits = why
		}
		s.block(v1alpha1.ConditionDKIMReady, why)
	}
	s.again(out.Recheck)
	return out.Ring
}

// seeNewKeys has the time that a new key waits for begin in the pass that has written its record, as what is served was looked
// at after that: to see it in a pass of its own would be another write for each key. Nothing begins to sign here, after the
// signer's Secret had its turn.
func (r *Reconciler) seeNewKeys(ctx context.Context, s *scope) {
	stands := func(k keys.Key) bool {
		return k.State() == keys.Generated && standingKey(s, records.DKIMSlot(s.md.Spec.Domain, k.Selector), k, sight{})
	}
	if s.ending != nil || !s.dkim.managed || s.dkim.lost.bad() || !s.writes() || s.md.Spec.Manual() || !slices.ContainsFunc(s.book.Keyring, stands) {
		return
	}
	policy := s.dkim.policy
	policy.Frozen = true
	r.advance(ctx, s, policy)
}

// howToConfirm tells the person whom a retired key waits for what to say: that the signer signs with the
// selector; or where no key took over, with any that is left, in a word that was not there before.
func (s *scope) howToConfirm(selector string, ring keys.Keyring) string {
	if selector != "" {
		return fmt.Sprintf(": when it signs with %s, set the annotation %s to that", selector, v1alpha1.AnnotationSignerSwitched)
	}
	left := append(selectorsOf(ring, keys.Active), s.externals()...)
	return fmt.Sprintf(": when it signs with %s and no more with that, set the annotation %s to it, removing it first if it is there already", strings.Join(left, " or "), v1alpha1.AnnotationSignerSwitched)
}

// externals are the selectors of spec that others sign with.
func (s *scope) externals() []string {
	if s.md.Spec.DKIM == nil {
		return nil
	}
	var list []string
	for _, e := range s.md.Spec.DKIM.External {
		list = append(list, e.Selector)
	}
	return list
}

// selectorsOf are those of the keys in the state.
func selectorsOf(ring keys.Keyring, state keys.State) []string {
	var list []string
	for _, k := range ring.With(state) {
		list = append(list, k.Selector)
	}
	return list
}

// standingKey reports whether the key's record was written and read back; without a provider,
// whether a human's is seen anywhere.
func standingKey(s *scope, slot records.Slot, k keys.Key, seen sight) bool {
	if s.md.Spec.Manual() {
		return slices.ContainsFunc(seen.answers, func(a probe.Answer) bool { return shows(a, slot, k.Record) })
	}
	return slices.ContainsFunc(s.book.At(slot.Key), func(e ledger.Entry) bool { return e.Settled && slot.Same(e.Value, k.Record) })
}

// wantKeys wants the record of each key. A removed one is looked after until its record is gone;
// a human is told of it for the retention.
func (s *scope) wantKeys(ring keys.Keyring) {
	for _, k := range ring {
		slot := records.DKIMSlot(s.md.Spec.Domain, k.Selector)
		told := s.md.Spec.Manual() && s.now.Before(k.Removed.Add(s.dkim.policy.Retention))
		if k.State() != keys.Removed || told || len(s.book.At(slot.Key)) > 0 {
			s.want(slot, records.DKIM(k), verdict{})
		}
	}
}

// keyPolicy is what spec and the annotations want of the keys.
func (r *Reconciler) keyPolicy(ctx context.Context, s *scope) keys.Policy {
	d := s.md.Spec.DKIM
	rotation := s.rotation()
	p := keys.Policy{
		Interval:  rotation.IntervalOrDefault(),
		Retention: rotation.RetentionOrDefault(),
		Paused:    rotation.IsPaused(),
		Spread:    s.md.Namespace + "/" + s.md.Name,
	}
	for _, key := range d.KeysOrDefault() {
		if key.Import != nil && s.imported(key) < 0 {
			p.Kept = append(p.Kept, key.Name)
		} else {
			p.Keys = append(p.Keys, s.specOf(key))
		}
	}
	if asked := s.md.Annotations[v1alpha1.AnnotationRotate]; asked != s.book.Handled[v1alpha1.AnnotationRotate] {
		p.RotateNow = asked != ""
	}
	if selector := s.md.Annotations[v1alpha1.AnnotationCompromised]; selector != "" {
		p.Compromised = []string{selector}
	}
	if switched := s.md.Annotations[v1alpha1.AnnotationSignerSwitched]; switched != s.book.Switched.Selector {
		s.book.Switched = keys.Confirmation{Selector: switched, Turn: s.book.Keyring.Turn()}
	}
	if rotation.ConfirmOrDefault() == v1alpha1.ConfirmManual && s.ending == nil {
		p.Confirm, p.External = &s.book.Switched, s.externals()
	}
	switch going := len(d.KeysOrDefault()) == 0; {
	case len(s.book.Keyring.With(keys.Active)) == 0:
	case going && r.othersSign(ctx, s):
	case s.ending != nil && !slices.ContainsFunc(s.dkim.signers, signer.ours):
		// No signer gets them from us any more.
	default:
		why := r.reliedOn(ctx, s, going)
		p.Frozen = why.bad()
		s.block(v1alpha1.ConditionDKIMReady, why)
	}
	return p
}

// specOf is what the operator makes for a key of spec.
func (s *scope) specOf(key v1alpha1.DKIMKey) keys.Spec {
	if key.Import != nil {
		if i := s.imported(key); i >= 0 {
			return s.book.Keyring[i].Succeeds()
		}
	}
	spec := keys.Spec{Name: key.Name, Algorithm: string(key.AlgorithmOrDefault())}
	if spec.Algorithm == string(v1alpha1.DKIMRSA) {
		spec.Bits = int(key.BitsOrDefault())
	}
	return spec
}

// othersSign reports whether the external selectors of spec have taken over: each is served.
func (r *Reconciler) othersSign(ctx context.Context, s *scope) bool {
	if s.md.Spec.DKIM == nil || len(s.md.Spec.DKIM.External) == 0 {
		return false
	}
	return !slices.ContainsFunc(s.md.Spec.DKIM.External, func(e v1alpha1.ExternalSelector) bool { return r.external(ctx, s, e).bad() })
}

// makeKeys makes the keys that are due, each under a selector that nobody knows. They come from
// outside of the pass; while they are made the pass goes on without them.
func (r *Reconciler) makeKeys(ctx context.Context, s *scope) error {
	due := keys.Due(s.book.Keyring, s.dkim.policy, s.now)
	var selectors []string
	for range due {
		selector, why := r.newSelector(ctx, s, selectors)
		if why.bad() {
			s.block(v1alpha1.ConditionDKIMReady, why)
			return nil
		}
		selectors = append(selectors, selector)
	}
	if !s.writes() {
		for i, spec := range due {
			name := records.DKIMSlot(s.md.Spec.Domain, selectors[i]).Name
			s.dkim.plan = append(s.dkim.plan, v1alpha1.PlannedChange{Action: v1alpha1.PlanGenerate, Name: name, Type: "TXT"})
			s.block(v1alpha1.ConditionDKIMReady, verdict{v1alpha1.ReasonObserving, fmt.Sprintf("DKIM key %s would be made, under %s", spec.Name, name)})
		}
		return nil
	}
	if len(due) > 0 {
		pairs, ok, err := r.Keys.Take(customer(s.md.Namespace, s.md.Name), due)
		if err != nil {
			return err
		}
		if !ok {
			s.block(v1alpha1.ConditionDKIMReady, verdict{v1alpha1.ReasonRotating, fmt.Sprintf("DKIM key %s is being made", due[0].Name)})
			s.again(r.Poll) // should the call be lost
			return nil
		}
		for i, spec := range due {
			s.book.privates[selectors[i]] = pairs[i].Private
			s.book.Keyring = append(s.book.Keyring, keys.Key{Name: spec.Name, Selector: selectors[i], Algorithm: spec.Algorithm, Bits: spec.Bits, Record: pairs[i].Record, Created: s.now})
			s.steps = append(s.steps, keyStep{selectors[i], spec.Name, keys.Generated})
			for _, k := range s.book.Keyring {
				if k.Name == spec.Name && slices.Contains(s.dkim.policy.Lost, k.Selector) {
					s.events = append(s.events, event{warning: true, reason: v1alpha1.ReasonKeyReplaced, action: "RotateKey", part: partOf(partKeys, k.Selector), note: fmt.Sprintf("the private key of %s was lost, and not restored in time: %s takes its place", k.Selector, selectors[i])})
				}
			}
		}
	}
	s.book.Handle(v1alpha1.AnnotationRotate, s.md.Annotations[v1alpha1.AnnotationRotate])
	return nil
}

// maxSelectors bounds how many selectors one pass asks for: a name server may have an answer for
// each (Law 13).
const maxSelectors = 100

// newSelector finds a selector that neither the keyring nor any name server knows (design §6), and
// that is not among those chosen before in the pass. A server without an answer may know it, so it
// is waited for. What a wildcard makes up is at no selector in particular.
func (r *Reconciler) newSelector(ctx context.Context, s *scope, chosen []string) (string, verdict) {
	var why verdict
	asked := 0
	domain := s.md.Spec.Domain
	wildcard := r.look(ctx, s, "*._domainkey."+domain)
	selector := keys.NewSelector(s.md.Spec.DKIM.SelectorOrDefault(), s.now, func(selector string) bool {
		if s.book.Keyring.Find(selector) >= 0 || slices.Contains(chosen, selector) {
			return true
		}
		slot := records.DKIMSlot(domain, selector)
		if asked++; asked > maxSelectors {
			why = verdict{v1alpha1.ReasonVerificationFailed, fmt.Sprintf("no new selector is free: the name servers show something at each of %d names up to %s: remove what answers for all names there, or correct the provider's spec.nameservers", maxSelectors, slot.Key)}
			return false
		}
		seen := r.look(ctx, s, slot.Name)
		values, alias := seen.values(), seen.rrset(slot.Key).Alias
		if (len(values) > 0 || alias != "") && (!slices.Equal(values, wildcard.values()) || alias != wildcard.rrset(slot.Key).Alias) {
			return true
		}
		names := s.silence(seen)
		if !slices.ContainsFunc(seen.answers, proves) {
			_, why = seen.verify(slot, "")
		} else if len(names) > 0 {
			why = verdict{v1alpha1.ReasonRotating, fmt.Sprintf("%s: before a new key takes the selector, %s is waited for, for an hour at the most: it may know it", slot.Key, strings.Join(names, ", "))}
		}
		return false
	})
	return selector, why
}

// silence notes who gave no answer where it counts, and names those that are waited for.
func (s *scope) silence(seen sight) []string {
	names, silent := seen.waiting(s.book.Silent, s.now)
	if s.silent == nil {
		s.silent = map[string]time.Time{}
	}
	maps.Copy(s.silent, silent)
	return names
}

// keepSilence is for what could not be looked at: who was silent is still, as far as anybody knows.
func (s *scope) keepSilence() {
	if s.silent == nil {
		s.silent = map[string]time.Time{}
	}
	maps.Copy(s.silent, s.book.Silent)
}

// rememberSilence has it stored.
func (r *Reconciler) rememberSilence(_ context.Context, s *scope) error {
	s.book.Silent = s.silent
	return nil
}
