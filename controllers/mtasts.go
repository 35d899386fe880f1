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
	if s.external() {
		r.decideExternal(ctx, s, slot)
		return nil
	}
	why := r.afterExternal(ctx, s, slot)
	switch {
	case why.bad():
		s.block(v1alpha1.ConditionMTASTSReady, why)
	case s.md.Spec.MTASTS != nil:
		r.advancePolicy(ctx, s, slot)
	case s.handedOver():
		s.serveForCaches()
	case s.dropped(sectionMTASTS) && s.hasPolicy(slot):
		r.withdrawPolicy(ctx, s, slot)
	}
	return nil
}

// advancePolicy serves the policy that spec asks for, as far as the gates let it through, and announces what is
// proven to be served.
func (r *Reconciler) advancePolicy(ctx context.Context, s *scope, slot records.Slot) {
	a := r.gatherAnnouncement(ctx, s)
	if a.wanted.Mode != mtasts.None && s.withdrawnBefore(slot) {
		s.endCommitment()
		a.told = ledger.MTASTS{}
	}
	a.pending, a.certificate = r.pending(ctx, s, slot), r.certificate(ctx, s)
	next, kept := a.next()
	why := a.hold(next)
	s.commitProbing(a.unprobed())
	serve := a.serve(next, why)
	if serve.Mode == "" {
		r.keepAnnounced(ctx, s, slot, why)
	} else if unproven := r.serveAndProve(ctx, s, serve, a.certificate); unproven.bad() {
		why = cmp.Or(why, unproven)
		r.keepAnnounced(ctx, s, slot, why)
	} else {
		r.announce(ctx, s, slot, serve)
	}
	s.mtasts.early = s.tooEarly(why, serve)
	if s.book.MTASTS != nil {
		a.told, a.pending = *s.book.MTASTS, r.pending(ctx, s, slot)
	}
	s.mtasts.live, s.mtasts.unknown = a.mxStatus(next), a.those(v1alpha1.VerdictUnknown)
	s.mtasts.noteThat(kept)
	for _, wrong := range []verdict{a.risk(), a.certificate, why} {
		s.block(v1alpha1.ConditionMTASTSReady, wrong)
	}
	s.again(a.unprobed().Add(probeWait).Sub(s.now))
	s.again(movable(a.told, s.now).Sub(s.now))
}

// serveAndProve has the replicas serve the policy, and says what is missing before senders may be told of it.
func (r *Reconciler) serveAndProve(ctx context.Context, s *scope, policy mtasts.Policy, certificate verdict) verdict {
	s.mtasts.serve = &policy
	c := offer(s.commitment(), policy)
	if !certificate.bad() || c.TLSSecret == "" {
		c.TLSSecret = s.md.TLSSecretName()
	}
	s.commit(c)
	return r.proof(ctx, s, policy)
}

// handedOver reports whether a third party was seen to serve the domain's policy in place of the operator's.
func (s *scope) handedOver() bool {
	return s.book.MTASTS != nil && !s.book.MTASTS.HandedOver.IsZero()
}

// hasPolicy reports whether senders may have, or are led to, a policy of the operator's.
func (s *scope) hasPolicy(slot records.Slot) bool {
	policy, _ := s.site.served()
	return s.book.MTASTS != nil || policy != "" || len(s.book.At(slot.Key)) > 0
}

// commitment is what the ledger says, and what is served meanwhile by whomever: a new holder of
// the domain takes over what senders got from the one before.
func (s *scope) commitment() ledger.MTASTS {
	c := ledger.MTASTS{ID: s.lastID()}
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

// lastID is the id that was announced last: by this holder of the domain or, before it has announced any, by the one
// before. "" is none.
func (s *scope) lastID() string {
	if told := s.book.MTASTS; told != nil && told.ID != "" {
		return told.ID
	}
	return cmp.Or(s.site.id(), s.book.PolicyID)
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

// endCommitment forgets a commitment that binds nobody any more. Caches may have its id for another day.
func (s *scope) endCommitment() {
	if told := s.book.MTASTS; told != nil && told.ID != "" {
		s.book.PolicyID = told.ID
	}
	s.book.MTASTS = nil
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
