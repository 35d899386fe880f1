package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	if !s.dkim.managed && (!s.dropped(sectionDKIM) || len(s.book.Keyring) == 0) {
		return nil
	}
	var err error
	if s.dkim.signers, err = r.readSigners(ctx, s); err != nil {
		return err
	}
	var restored []string
	restored, s.dkim.lost = privates(s.book, s.dkim.signers)
	s.block(v1alpha1.ConditionDKIMReady, s.dkim.lost)
	s.dkim.policy = r.keyPolicy(ctx, s)
	if signer := s.dkim.signers[0]; signer.foreign {
		s.dkim.policy.Frozen = true
		s.block(v1alpha1.ConditionDKIMReady, verdict{v1alpha1.ReasonSecretConflict, fmt.Sprintf("Secret %s exists and is not the operator's: remove it, or choose another name in spec.dkim.signerSecret.name", signer.name)})
	}
	s.block(v1alpha1.ConditionDKIMReady, unsupportedDKIM(s.md.Spec.DKIM))
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
	for _, selector := range restored {
		s.events = append(s.events, event{reason: "KeyRestored", action: "RestoreKey", note: fmt.Sprintf("the private key of %s was taken back from the signer's Secret", selector)})
	}
	evidence := map[string]keys.Evidence{}
	for _, k := range s.book.Keyring {
		if k.Pending() || k.State() == keys.Active && len(k.Silent) > 0 {
			slot := records.DKIMSlot(s.md.Spec.Domain, k.Selector)
			seen := r.look(ctx, s, slot.Name)
			e := seen.evidence(slot, k.Record, standingKey(s, slot, k, seen))
			e.Mounted = mounted(s.dkim.signers, k)
			evidence[k.Selector] = e
		}
	}
	// What was seen counts from when it was seen: the pass may have begun long before.
	out := keys.Advance(s.book.Keyring, s.dkim.policy, evidence, r.Clock.Now())
	s.book.Keyring, s.dkim.ring, s.dkim.ignored = out.Ring, out.Ring, out.Ignored
	for _, t := range out.Transitions {
		s.events = append(s.events, event{reason: "Key" + string(t.To), action: "RotateKey", note: fmt.Sprintf("DKIM key %s is %s", t.Selector, strings.ToLower(string(t.To)))})
	}
	for _, w := range out.Waits {
		why := verdict{v1alpha1.ReasonRotating, fmt.Sprintf("DKIM key %s waits for %s", w.Selector, w.Why)}
		if w.Person {
			why.reason = v1alpha1.ReasonWaitingForSigner
			why.message += fmt.Sprintf(": set the annotation %s to the selector that it signs with now", v1alpha1.AnnotationSignerSwitched)
		}
		s.block(v1alpha1.ConditionDKIMReady, why)
	}
	s.again(out.Recheck)
	if at, ok := keys.NextRotation(out.Ring, s.dkim.policy); ok {
		s.again(at.Sub(s.now)) // one that is due is under way, or waits for something else than time
	}
	s.wantKeys(out.Ring)
	return nil
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
	rotation := (*v1alpha1.DKIMRotation)(nil)
	if d != nil {
		rotation = d.Rotation
	}
	p := keys.Policy{
		Interval:  rotation.IntervalOrDefault(),
		Retention: rotation.RetentionOrDefault(),
		Paused:    rotation.IsPaused(),
		Spread:    s.md.Namespace + "/" + s.md.Name,
	}
	for _, key := range d.KeysOrDefault() {
		if key.Import != nil {
			p.Kept = append(p.Kept, key.Name) // not supported yet, which is no wish to have it stop
			continue
		}
		spec := keys.Spec{Name: string(key.Name), Algorithm: string(key.AlgorithmOrDefault())}
		if spec.Algorithm == string(v1alpha1.DKIMRSA) {
			spec.Bits = int(key.BitsOrDefault())
		}
		p.Keys = append(p.Keys, spec)
	}
	if asked := s.md.Annotations[v1alpha1.AnnotationRotate]; asked != s.book.Handled[v1alpha1.AnnotationRotate] {
		p.RotateNow = asked != ""
	}
	if selector := s.md.Annotations[v1alpha1.AnnotationCompromised]; selector != "" {
		p.Compromised = []string{selector}
	}
	if rotation.ConfirmOrDefault() == v1alpha1.ConfirmManual {
		switched := s.md.Annotations[v1alpha1.AnnotationSignerSwitched]
		p.Unconfirmed = !slices.ContainsFunc(s.book.Keyring.With(keys.Active), func(k keys.Key) bool { return k.Selector == switched }) &&
			!slices.ContainsFunc(d.External, func(e v1alpha1.ExternalSelector) bool { return e.Selector == switched })
	}
	switch going := len(d.KeysOrDefault()) == 0; {
	case len(s.book.Keyring.With(keys.Active)) == 0:
	case going && r.othersSign(ctx, s):
	default:
		ttl := s.md.Spec.DNS.TTLOrDefault()
		known, why := r.lookForPolicy(ctx, s).release(s.book.DMARC, going, ttl, s.now)
		s.book.DMARC = known
		p.Frozen = why.bad()
		s.block(v1alpha1.ConditionDKIMReady, why)
		if why.reason == v1alpha1.ReasonWithdrawing {
			s.again(known.Released(ttl).Sub(s.now))
		}
	}
	return p
}

// othersSign reports whether the external selectors of spec have taken over: each is served.
func (r *Reconciler) othersSign(ctx context.Context, s *scope) bool {
	if s.md.Spec.DKIM == nil || len(s.md.Spec.DKIM.External) == 0 {
		return false
	}
	return !slices.ContainsFunc(s.md.Spec.DKIM.External, func(e v1alpha1.ExternalSelector) bool { return r.external(ctx, s, e).bad() })
}

func unsupportedDKIM(d *v1alpha1.DKIMSpec) verdict {
	if d == nil {
		return verdict{}
	}
	for _, key := range d.Keys {
		if key.Import != nil {
			return verdict{v1alpha1.ReasonUnsupported, fmt.Sprintf("spec.dkim.keys[%s].import: this version does not import keys: leave import out to have one made", key.Name)}
		}
	}
	if d.SignerSecret.Combined() {
		return verdict{v1alpha1.ReasonUnsupported, "spec.dkim.signerSecret.combine: this version writes one Secret for each MailDomain: leave combine out"}
	}
	return verdict{}
}

// makeKeys makes the keys that are due, each under a selector that nobody knows.
func (r *Reconciler) makeKeys(ctx context.Context, s *scope) error {
	defer func() { s.book.Silent = s.dkim.silent }()
	for _, spec := range keys.Due(s.book.Keyring, s.dkim.policy, s.now) {
		selector, why := r.newSelector(ctx, s)
		if why.bad() {
			s.block(v1alpha1.ConditionDKIMReady, why)
			return nil
		}
		if !s.writes() {
			name := records.DKIMSlot(s.md.Spec.Domain, selector).Name
			s.dkim.plan = append(s.dkim.plan, v1alpha1.PlannedChange{Action: v1alpha1.PlanGenerate, Name: name, Type: "TXT"})
			s.block(v1alpha1.ConditionDKIMReady, verdict{v1alpha1.ReasonObserving, fmt.Sprintf("DKIM key %s would be made, under %s", spec.Name, name)})
			continue
		}
		generate := r.Generate
		if generate == nil {
			generate = keys.Generate
		}
		private, record, err := generate(spec.Algorithm, spec.Bits)
		if err != nil {
			return err
		}
		s.book.privates[selector] = private
		s.book.Keyring = append(s.book.Keyring, keys.Key{Name: spec.Name, Selector: selector, Algorithm: spec.Algorithm, Bits: spec.Bits, Record: record, Created: s.now})
		s.events = append(s.events, event{reason: "KeyGenerated", action: "RotateKey", note: fmt.Sprintf("DKIM key %s was made for %s", selector, spec.Name)})
	}
	if s.writes() {
		if s.book.Handled == nil {
			s.book.Handled = map[string]string{}
		}
		s.book.Handled[v1alpha1.AnnotationRotate] = s.md.Annotations[v1alpha1.AnnotationRotate]
	}
	return nil
}

// maxSelectors bounds how many selectors one pass asks for: a name server may have an answer for
// each (Law 13).
const maxSelectors = 100

// newSelector finds a selector that neither the keyring nor any name server knows (design §6). A
// server without an answer may know it, so it is waited for. What a wildcard makes up is at no
// selector in particular.
func (r *Reconciler) newSelector(ctx context.Context, s *scope) (string, verdict) {
	var why verdict
	asked := 0
	domain := s.md.Spec.Domain
	wildcard := r.look(ctx, s, "*._domainkey."+domain)
	selector := keys.NewSelector(s.md.Spec.DKIM.SelectorOrDefault(), s.now, func(selector string) bool {
		if s.book.Keyring.Find(selector) >= 0 || slices.ContainsFunc(s.dkim.plan, func(p v1alpha1.PlannedChange) bool { return strings.HasPrefix(p.Name, selector+".") }) {
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
		var names []string
		names, s.dkim.silent = seen.waiting(s.book.Silent, s.now)
		if !slices.ContainsFunc(seen.answers, proves) {
			_, why = seen.verify(slot, "")
		} else if len(names) > 0 {
			why = verdict{v1alpha1.ReasonRotating, fmt.Sprintf("%s: before a new key takes the selector, %s is waited for, for an hour at the most: it may know it", slot.Key, strings.Join(names, ", "))}
		}
		return false
	})
	return selector, why
}
