package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/records"
)

// decideDMARC wants the record of spec. A policy that is stricter than the one in force waits until
// the basics are there, because every mail without them would be lost by it (Law 15).
func (r *Reconciler) decideDMARC(ctx context.Context, s *scope) error {
	slot := records.DMARCSlot(s.md.Spec.Domain)
	if s.md.Spec.DMARC == nil {
		switch {
		case s.ending != nil:
			s.want(slot, "", verdict{}) // what is above the domain is to hold for it from now on
		case s.dropped(sectionDMARC):
			s.want(slot, "", r.inheritance(ctx, s, slot))
		}
		return nil
	}
	wished := records.DMARC(s.md.Spec.DMARC)
	inForce := r.lookForPolicy(ctx, s)
	if s.md.Spec.DMARC.EnforcementOrDefault() == v1alpha1.EnforceImmediate || !inForce.outdone(wished) {
		s.want(slot, wished.String(), verdict{})
		return nil
	}
	missing := r.basics(ctx, s)
	if len(missing) == 0 {
		s.want(slot, wished.String(), verdict{})
		return nil
	}
	why := verdict{v1alpha1.ReasonBasicsNotReady, fmt.Sprintf("%s: %q is held until %s; to publish it anyway set spec.dmarc.enforcement: Immediate", slot.Key, wished, strings.Join(missing, ", and "))}
	s.block(v1alpha1.ConditionDMARCReady, why)
	if seen := r.look(ctx, s, slot.Name); seen.absent() && inForce.walked && !enforced(inForce.inherited) {
		s.want(slot, dmarc.Record{Policy: dmarc.None, RUA: wished.RUA}.String(), verdict{})
		return nil
	}
	// Something stands there, or may; or p=none would take an inherited policy out of force.
	s.want(slot, wished.String(), why)
	return nil
}

// inheritance says why the domain's own record can't go yet: without it a stricter one from above
// would be in force.
func (r *Reconciler) inheritance(ctx context.Context, s *scope, slot records.Slot) verdict {
	if len(s.book.At(slot.Key)) == 0 && (!s.md.Spec.Manual() || r.look(ctx, s, slot.Name).absent()) {
		return verdict{} // it is gone
	}
	inherited, from, err := s.inherited(ctx)
	switch {
	case err != nil:
		return verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("%s: it is removed when it is known which policy would be inherited: %s", slot.Key, firstLine(err))}
	case !r.lookForPolicy(ctx, s).outdone(inherited):
		return verdict{}
	}
	if missing := r.basics(ctx, s); len(missing) > 0 {
		return verdict{v1alpha1.ReasonBasicsNotReady, fmt.Sprintf("%s: it is removed, so that the stricter policy of %s is in force, when %s", slot.Key, from, strings.Join(missing, ", and "))}
	}
	return verdict{}
}

// policyInForce is what receivers may find for the domain's mail (RFC 9989 §4.10.1).
type policyInForce struct {
	texts     []string       // at the domain itself; where it is not one, receivers go on upwards
	own       []dmarc.Record // of these, what receivers can use
	inherited dmarc.Record   // what applies where the domain has none of its own; zero: nothing does
	walked    bool           // inherited is known, or does not matter
	names     []string       // where the records are
	ttl       time.Duration  // the longest of them
	unknown   string         // what gave no answer; "" if all is known
}

// lookForPolicy looks once in a pass. What the authoritative servers say counts; where they say nothing,
// what the ledger knows of the domain's own record is taken for what stands.
func (r *Reconciler) lookForPolicy(ctx context.Context, s *scope) *policyInForce {
	if s.dmarc != nil {
		return s.dmarc
	}
	p := &policyInForce{walked: true}
	s.dmarc = p
	slot := records.DMARCSlot(s.md.Spec.Domain)
	seen := r.look(ctx, s, slot.Name)
	p.unknown = seen.unanswered()
	texts := seen.values()
	if seen.rrset(slot.Key).Alias != "" {
		// What stands at the alias's target is not the zone's to say.
		found, err := s.resolver.LookupTXT(ctx, slot.Name+".")
		if err != nil && !isNotFound(err) {
			p.unknown = firstLine(err)
		}
		texts = append(texts, found...)
	} else if !seen.absent() && len(texts) == 0 {
		for _, e := range s.book.At(slot.Key) {
			if e.Settled {
				texts = append(texts, e.Value)
			}
		}
	}
	for _, text := range texts {
		if !slot.Is(text) {
			continue
		}
		p.texts = append(p.texts, text)
		if record, err := dmarc.Interpret(text); err == nil {
			p.own = append(p.own, record)
		}
	}
	if len(p.texts) > 0 {
		p.names, p.ttl = []string{slot.Name}, seen.ttl()
	}
	if len(p.texts) == 1 && len(p.own) == 1 || s.ending != nil {
		return p
	}
	inherited, from, err := s.inherited(ctx)
	if err != nil {
		p.unknown, p.walked = firstLine(err), false
	} else if from != "" {
		p.inherited, p.names = inherited, append(p.names, from)
		p.ttl = max(p.ttl, lookThrough(ctx, s, from, nil).ttl())
	}
	return p
}

// inherited returns the policy that applies to a domain without a record of its own, in the form
// that such a record would have, and at which name it stands.
func (s *scope) inherited(ctx context.Context) (record dmarc.Record, from string, err error) {
	domain := s.md.Spec.Domain
	found, err := dmarc.Discover(ctx, without{s.resolver, records.DMARCSlot(domain).Name + "."}, domain)
	if err != nil || found.Policy == nil {
		return dmarc.Record{}, "", err
	}
	record = found.Policy.Record
	record.Policy = cmp.Or(record.SubdomainPolicy, record.Policy)
	record.SubdomainPolicy = record.Policy
	return record, records.DMARCSlot(found.Policy.Domain).Name, nil
}

// without is DNS without the one name.
type without struct {
	dmarc.Resolver
	name string
}

// LookupTXT implements dmarc.Resolver.
func (w without) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if name == w.name {
		return nil, nil
	}
	return w.Resolver.LookupTXT(ctx, name)
}

// applicable are the records that one receiver or another may apply: of several at one name
// receivers discard all, and which of them a cache holds alone is not known.
func (p *policyInForce) applicable() []dmarc.Record {
	if len(p.texts) == 1 && len(p.own) == 1 {
		return p.own
	}
	return append(slices.Clone(p.own), p.inherited)
}

// outdone reports whether the record is stricter than one that receivers may apply: with several,
// none of them opens the gate for it.
func (p *policyInForce) outdone(record dmarc.Record) bool {
	return slices.ContainsFunc(p.applicable(), func(now dmarc.Record) bool { return dmarc.Stricter(record, now) })
}

// demands reports whether any receiver may treat mail worse for want of a signature.
func (p *policyInForce) demands() bool { return slices.ContainsFunc(p.applicable(), enforced) }

func enforced(record dmarc.Record) bool { return record.Strictness() != [3]int{} }

// reliedOn says why what DMARC relies on has to stay: a policy in force demands it, or may still be
// held by caches. going: the keys are to go.
func (r *Reconciler) reliedOn(ctx context.Context, s *scope, going bool) verdict {
	ttl := s.md.Spec.DNS.TTLOrDefault()
	known, why := r.lookForPolicy(ctx, s).release(s.book.DMARC, going, ttl, s.now)
	s.book.DMARC = known
	if why.reason == v1alpha1.ReasonWithdrawing {
		s.again(known.Released(ttl).Sub(s.now))
	}
	return why
}

// longestTTL is how long resolvers keep a record at the most (RFC 8767 §4 names a week).
const longestTTL = 7 * 24 * time.Hour

// release says why keys that spec no longer names go on signing (Law 2), and what the ledger is to
// know of it. They may stop when it is proven that no policy in force relies on them, and the
// last one that did has left the caches. ttl is that of the records that we write.
func (p *policyInForce) release(known ledger.DMARC, going bool, ttl time.Duration, now time.Time) (next ledger.DMARC, why verdict) {
	next = known
	if p.demands() && p.ttl > ttl {
		next.Seconds = max(next.Seconds, int64(min(p.ttl, longestTTL)/time.Second))
	}
	if !going || p.demands() {
		next.Relaxed = time.Time{}
	}
	switch where := strings.Join(p.names, " and "); {
	case !going:
	case p.demands():
		return next, verdict{v1alpha1.ReasonDKIMRequired, fmt.Sprintf("spec.dkim names no key of the operator's, while the DMARC policy in force (TXT %s) relies on DKIM, so the keys go on signing: set spec.dmarc.policy: none first, or name external selectors that are served", where)}
	case p.unknown != "":
		return next, verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("spec.dkim names no key of the operator's, and it can't be found out whether a DMARC policy relies on them, so the keys go on signing: %s", p.unknown)}
	default:
		if next.Relaxed.IsZero() || next.Relaxed.After(now) {
			next.Relaxed = now
		}
		if now.Before(next.Released(ttl)) {
			return next, verdict{v1alpha1.ReasonWithdrawing, "spec.dkim names no key of the operator's; the keys go on signing until caches have forgotten the DMARC policy that may have relied on them"}
		}
	}
	return next, verdict{}
}

// basics says what is missing before a strict policy can do no harm.
func (r *Reconciler) basics(ctx context.Context, s *scope) []string {
	var missing []string
	slot := records.SPFSlot(s.md.Spec.Domain)
	seen := r.look(ctx, s, slot.Name)
	switch {
	case !s.spf.known:
		missing = append(missing, "the domain has one SPF record that can be read")
	case !s.spf.analysis.OK():
		missing = append(missing, "the SPF record evaluates without error")
	case s.md.Spec.SPF != nil:
		if record, err := records.SPF(s.md.Spec.SPF); err != nil {
			missing = append(missing, "the SPF record can be read")
		} else if state, _ := seen.verify(slot, record.String()); state != v1alpha1.RecordVerified {
			missing = append(missing, "the SPF record is verified")
		}
	}
	if s.md.Spec.DKIM == nil {
		return missing
	}
	for _, key := range s.md.Spec.DKIM.KeysOrDefault() {
		signs := slices.ContainsFunc(s.dkim.ring.With(keys.Active), func(k keys.Key) bool { return k.Name == key.Name })
		if !signs {
			missing = append(missing, fmt.Sprintf("the DKIM key %s is active", key.Name))
		}
	}
	for _, external := range s.md.Spec.DKIM.External {
		if r.external(ctx, s, external).bad() {
			missing = append(missing, fmt.Sprintf("the external selector %s is verified", external.Selector))
		}
	}
	return missing
}

// external says whether a selector of somebody else's key is served.
func (r *Reconciler) external(ctx context.Context, s *scope, e v1alpha1.ExternalSelector) verdict {
	slot := records.DKIMSlot(s.md.Spec.Domain, string(e.Selector))
	if !e.VerifiesOnly() {
		return verdict{v1alpha1.ReasonUnsupported, fmt.Sprintf("%s: this version does not publish external selectors: publish it by hand and set verifyOnly: true", slot.Key)}
	}
	seen := r.look(ctx, s, slot.Name)
	if seen.rrset(slot.Key).Alias != "" {
		return s.aliased(ctx, slot)
	}
	for _, text := range seen.values() {
		if signsWith(text) {
			if state, _ := seen.verify(slot, text); state == v1alpha1.RecordVerified {
				return verdict{}
			}
		}
	}
	return verdict{v1alpha1.ReasonNotServed, fmt.Sprintf("%s: the name servers do not all serve one DKIM key there: have its owner publish it", slot.Key)}
}

// aliased says whether the CNAME at the selector of somebody else's key leads to one.
func (s *scope) aliased(ctx context.Context, slot records.Slot) verdict {
	switch texts, err := s.resolver.LookupTXT(ctx, slot.Name+"."); {
	case err != nil && !isNotFound(err):
		return verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("%s: the target of its CNAME can't be found out now", slot.Key)}
	case len(texts) != 1 || !signsWith(texts[0]):
		return verdict{v1alpha1.ReasonNotServed, fmt.Sprintf("%s: its CNAME does not lead to one DKIM key: have its owner publish it", slot.Key)}
	}
	return verdict{}
}

// signsWith reports whether a text is the record of a key that may sign.
func signsWith(text string) bool {
	record, err := dkim.Parse(text)
	return err == nil && !record.Revoked()
}

// decideTLSRPT wants the record of spec.
func (r *Reconciler) decideTLSRPT(_ context.Context, s *scope) error {
	slot := records.TLSRPTSlot(s.md.Spec.Domain)
	switch {
	case s.md.Spec.TLSRPT != nil:
		s.want(slot, records.TLSRPT(s.md.Spec.TLSRPT).String(), verdict{})
	case s.dropped(sectionTLSRPT):
		s.want(slot, "", verdict{})
	}
	return nil
}
