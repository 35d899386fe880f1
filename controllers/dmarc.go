package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/records"
)

// decideDMARC wants the record of spec. A policy that is stricter than what stands waits until
// the basics are there, because every mail without them would be lost by it.
func (r *Reconciler) decideDMARC(ctx context.Context, s *scope) error {
	slot := records.DMARCSlot(s.md.Spec.Domain)
	if s.md.Spec.DMARC == nil {
		if s.dropped(sectionDMARC) {
			s.want(slot, "", verdict{})
		}
		return nil
	}
	wished := records.DMARC(s.md.Spec.DMARC)
	seen := r.look(ctx, s, slot.Name)
	now, stands := standingDMARC(s, slot, seen)
	if s.md.Spec.DMARC.EnforcementOrDefault() == v1alpha1.EnforceImmediate || !dmarc.Stricter(wished, now) {
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
	switch {
	case stands:
		s.want(slot, wished.String(), why)
	case seen.absent():
		s.want(slot, dmarc.Record{Policy: dmarc.None, RUA: wished.RUA}.String(), verdict{})
	default:
		s.want(slot, wished.String(), why) // what stands is not known
	}
	return nil
}

// standingDMARC is the policy in force: what the name servers show, else what the ledger says.
// The least strict record of several is taken, so that none of them can open the gate.
func standingDMARC(s *scope, slot records.Slot, seen sight) (record dmarc.Record, stands bool) {
	texts := seen.values()
	if !seen.absent() && len(texts) == 0 {
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
		r, err := dmarc.Parse(text)
		if err != nil {
			r = dmarc.Record{}
		}
		if !stands || dmarc.Stricter(record, r) {
			record = r
		}
		stands = true
	}
	return record, stands
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
	for _, text := range seen.values() {
		if record, err := dkim.Parse(text); err == nil && !record.Revoked() {
			if state, _ := seen.verify(slot, text); state == v1alpha1.RecordVerified {
				return verdict{}
			}
		}
	}
	return verdict{v1alpha1.ReasonNotServed, fmt.Sprintf("%s: the name servers do not all serve one DKIM key there: have its owner publish it", slot.Key)}
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
