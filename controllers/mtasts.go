package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// decideMTASTS has the policy served first, and announces it once the world gets exactly it.
func (r *Reconciler) decideMTASTS(ctx context.Context, s *scope) error {
	slot := records.MTASTSSlot(s.md.Spec.Domain)
	spec := s.md.Spec.MTASTS
	if s.external() {
		r.decideExternal(ctx, s, slot)
		return nil
	}
	if why := r.afterExternal(ctx, s, slot); why.bad() {
		s.block(v1alpha1.ConditionMTASTSReady, why)
		return nil
	}
	if spec == nil {
		if told := s.book.MTASTS; told != nil && !told.HandedOver.IsZero() {
			s.serveForCaches()
			return nil
		}
		if policy, _ := s.site.served(); s.book.MTASTS == nil && policy == "" && len(s.book.At(slot.Key)) == 0 {
			return nil // there is none of the operator's
		}
		if s.dropped(sectionMTASTS) {
			return r.withdrawMTASTS(ctx, s, slot)
		}
		return nil
	}
	a := r.gatherAnnouncement(ctx, s, spec)
	a.pending = r.pending(ctx, s, slot)
	next, kept := a.next()
	why, certificate := a.hold(next), r.certificate(ctx, s)
	if certificate.bad() && a.stricter(next) {
		why = certificate
	}
	s.commitProbing(a.unprobed())
	serve := next
	switch {
	case !why.bad():
	case a.entering() || why.reason == v1alpha1.ReasonServersUnreachable || why.reason == v1alpha1.ReasonProbeUnavailable:
		serve = mtasts.Policy{} // what is served stays as it is: nothing is known against it (Law 2), or nobody is led to it yet
	default:
		if s.withdrawnBefore(slot) {
			s.commit(unannounce(a.told))
			a.told = *s.book.MTASTS
		}
		serve = a.inForce() // it goes on being served, or is again if the one held back was
	}
	if serve.Mode == "" {
		r.keepAnnounced(ctx, s, slot, why)
	} else {
		s.mtasts.serve = &serve
		c := offer(s.commitment(), serve)
		if !certificate.bad() || c.TLSSecret == "" {
			c.TLSSecret = s.md.TLSSecretName()
		}
		s.commit(c)
		if unproven := r.proof(ctx, s, serve); unproven.bad() {
			why = cmp.Or(why, unproven)
			r.keepAnnounced(ctx, s, slot, why)
		} else {
			r.announce(ctx, s, slot, serve)
		}
	}
	s.mtasts.early = s.tooEarly(why, serve)
	if s.book.MTASTS != nil {
		a.told = *s.book.MTASTS
	}
	s.mtasts.live = a.mxStatus(next)
	s.mtasts.noteThat(kept)
	s.mtasts.unknown = a.those(v1alpha1.VerdictUnknown)
	s.block(v1alpha1.ConditionMTASTSReady, a.risk())
	s.block(v1alpha1.ConditionMTASTSReady, certificate)
	s.block(v1alpha1.ConditionMTASTSReady, why)
	s.again(a.unprobed().Add(probeWait).Sub(s.now))
	s.again(movable(a.told, s.now).Sub(s.now))
	return nil
}

// commitment is what the ledger says, and what is served meanwhile by whomever: a new holder of
// the domain takes over what senders got from the one before.
func (s *scope) commitment() ledger.MTASTS {
	var c ledger.MTASTS
	if s.book.MTASTS != nil {
		c = *s.book.MTASTS
	}
	body, until := s.site.served()
	announced, errAnnounced := mtasts.ParsePolicy(s.site.announced())
	if errAnnounced == nil {
		c = hold(c, announced)
	}
	served, errServed := mtasts.ParsePolicy(body)
	c.Astray = c.Astray || s.book.MTASTS == nil && (errAnnounced == nil || errServed == nil) // under whatever ids it was announced
	if errServed == nil {
		c = offer(c, served)
	}
	if until.After(ends(c)) {
		c.Until = until
	}
	return c
}

// commit has the commitment stored, before the site is written (Law 5).
func (s *scope) commit(c ledger.MTASTS) {
	if s.writes() {
		s.book.MTASTS = &c
	}
}

// commitProbing has stored since when probes are waited for.
func (s *scope) commitProbing(since time.Time) {
	if s.book.MTASTS == nil && since.IsZero() {
		return
	}
	c := s.commitment()
	c.Unprobed = since
	s.commit(c)
}

// announce wants the record of a policy that the world gets.
func (r *Reconciler) announce(ctx context.Context, s *scope, slot records.Slot, policy mtasts.Policy) {
	c := announced(s.commitment(), policy, s.now)
	record := mtasts.Record{ID: c.ID}.String()
	if open(c) {
		switch s.mtasts.untold = r.untold(ctx, s, slot, record); {
		case !s.mtasts.untold.bad():
			c = settled(c, s.now)
		case s.writes(): // else it stays as it is
			s.again(max(r.Poll, s.now.Sub(c.Since)/4))
		}
	}
	s.commit(c)
	s.want(slot, record, verdict{})
}

// untold says where senders may see another id than that of the record, and so go on to renew what they hold.
func (r *Reconciler) untold(ctx context.Context, s *scope, slot records.Slot, record string) verdict {
	if s.abandoned() {
		return verdict{} // what stands there stays
	}
	seen := r.look(ctx, s, slot.Name)
	where, silent := seen.others(slot, record), s.silence(seen)
	switch {
	case !slices.ContainsFunc(seen.answers, proves):
		_, why := seen.verify(slot, record)
		return why
	case len(where) > 0:
		return verdict{v1alpha1.ReasonWaitingForPropagation, fmt.Sprintf("%s: senders hold on to the policy before while %s may show its id", slot, strings.Join(where, ", "))}
	case len(silent) > 0:
		return verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("%s: %s may have the id of the policy before, and is waited for, for an hour at the most", slot, strings.Join(silent, ", "))}
	}
	return verdict{}
}

// keepAnnounced leaves the record as it is; nothing new is announced, nor what was to be and is not out yet.
func (r *Reconciler) keepAnnounced(ctx context.Context, s *scope, slot records.Slot, why verdict) {
	told := s.book.MTASTS
	switch {
	case told == nil || told.Policy == "":
		s.want(slot, "v=STSv1; id=…", why)
	case r.pending(ctx, s, slot):
		s.want(slot, mtasts.Record{ID: told.ID}.String(), why)
	default:
		s.want(slot, mtasts.Record{ID: told.ID}.String(), verdict{})
	}
}

// pending reports whether the id that the ledger calls announced never got out, as far as is known: the process
// died before it was written, or the provider did not take it.
func (r *Reconciler) pending(ctx context.Context, s *scope, slot records.Slot) bool {
	told := s.book.MTASTS
	if told == nil || told.Policy == "" {
		return false
	}
	is := func(value string) bool {
		return slot.Is(value) && slot.Same(value, mtasts.Record{ID: told.ID}.String())
	}
	return !slices.ContainsFunc(s.book.At(slot.Key), func(e ledger.Entry) bool { return e.Settled && is(e.Value) }) &&
		!slices.ContainsFunc(r.look(ctx, s, slot.Name).values(), is)
}

// withdrawMTASTS ends the commitment as RFC 8461 §8.3 wants: a policy with mode none is served
// and announced until every sender has forgotten the ones before it. Then the record goes, and
// after it the policy. A policy that was never announced needs no announcement of its end.
func (r *Reconciler) withdrawMTASTS(ctx context.Context, s *scope, slot records.Slot) error {
	c := s.commitment()
	if closing(c) && !s.now.Before(ends(c)) {
		s.want(slot, "", verdict{})
		if (s.abandoned() || r.withdrawn(ctx, s, slot)) && s.writes() {
			s.book.MTASTS, s.mtasts.ended = nil, true
		}
		return nil
	}
	none := records.MTASTSWithdrawal()
	s.mtasts.serve = &none
	c = offer(c, none)
	s.commit(c)
	why := r.proof(ctx, s, none)
	if body, _ := s.site.served(); s.ending != nil && body == none.String() && why.bad() {
		if _, err := r.Fetcher.Fetch(ctx, s.md.Spec.Domain); isNotFound(err) {
			why = verdict{} // the host has no address any more, and no earlier policy waits behind it
		}
	}
	s.mtasts.withdrawing = true
	s.block(v1alpha1.ConditionMTASTSReady, why)
	switch {
	case c.Policy == "" && why.bad():
		return nil
	case c.Policy == "":
		s.commit(settled(c, s.now))
	case why.bad():
		r.keepAnnounced(ctx, s, slot, why)
		return nil
	default:
		r.announce(ctx, s, slot, none)
	}
	if told := s.book.MTASTS; told != nil && closing(*told) {
		s.again(max(ends(*told).Sub(s.now), time.Second))
	}
	return nil
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

// certificate says whether the TLS Secret holds what the policy host needs. In plain mode that is an Ingress's
// business, and what the world gets from it is seen by asking the public name.
func (r *Reconciler) certificate(ctx context.Context, s *scope) verdict {
	if r.Plain {
		return verdict{}
	}
	name := s.md.TLSSecretName()
	bad := func(what string) verdict {
		return verdict{v1alpha1.ReasonCertificateNotReady, fmt.Sprintf("Secret %s: %s: issue a certificate for mta-sts.%s", name, what, s.md.Spec.Domain)}
	}
	var secret corev1.Secret
	if err := r.Reader.Get(ctx, types.NamespacedName{Namespace: s.md.Namespace, Name: name}, &secret); apierrors.IsNotFound(err) {
		return bad("it does not exist")
	} else if err != nil {
		return bad("it can't be read now")
	}
	if what := pairFault(s.md.Spec.Domain, secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey], s.now); what != "" {
		return bad(what)
	}
	return verdict{}
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
