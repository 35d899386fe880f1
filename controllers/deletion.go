package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/records"
)

// finalizer has a MailDomain that is deleted wait until end has done its part.
const finalizer = "maildomain.dev/maildomain"

// ending is the part of a scope that only the end of a MailDomain has.
type ending struct {
	rotation *v1alpha1.DKIMRotation // as spec had it: how long retired keys stay
	// tombstone is what goes on without the MailDomain; nil while it is still there.
	tombstone *tombstone
}

// holdDeletion sets the finalizer, before the first record and the first ledger are written.
func (r *Reconciler) holdDeletion(ctx context.Context, s *scope) error {
	if !s.md.DeletionTimestamp.IsZero() || s.ending != nil || controllerutil.ContainsFinalizer(s.md, finalizer) {
		return nil
	}
	next := s.md.DeepCopy()
	controllerutil.AddFinalizer(next, finalizer)
	if err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(s.md, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("setting the finalizer: %w", err)
	}
	s.md, s.book.kept = next, true
	return nil
}

// withdraws reports whether a deletion of the MailDomain is to take its records away.
func withdraws(md *v1alpha1.MailDomain) bool {
	return md.Spec.DNS.DeletionPolicyOrDefault() == v1alpha1.DeletionDelete && md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce
}

// end winds a MailDomain up that was deleted. It does not wait for what takes longer than the grace,
// and for nothing at all that the operator has no means to bring about (Law 11).
func (r *Reconciler) end(ctx context.Context, s *scope) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.md, finalizer) {
		return ctrl.Result{}, nil // somebody else's finalizer
	}
	late := !s.now.Before(s.md.DeletionTimestamp.Add(r.DeletionGrace))
	done, err := true, error(nil)
	switch {
	case s.md.Spec.Suspended() || s.md.Spec.ModeOrDefault() == v1alpha1.ModeObserve:
		// Nothing is written, to the end.
	case withdraws(s.md):
		s.ending = &ending{rotation: s.rotation()}
		s.md = bare(s.md)
		done, err = r.withdrawAll(ctx, s, late)
	default:
		done, err = r.retain(ctx, s)
	}
	switch {
	case err != nil && (!late || outdone(err) || !lasting(err) && s.now.Before(s.md.DeletionTimestamp.Add(2*r.DeletionGrace))):
		return r.failed(ctx, s, err)
	case err != nil:
		s.left("its end failed: " + firstLine(err))
	case !done && !late:
		left := s.md.DeletionTimestamp.Add(r.DeletionGrace).Sub(s.now)
		return ctrl.Result{RequeueAfter: max(r.Poll, min(s.notBefore, left)), Priority: new(0)}, r.report(ctx, s, status(s))
	case !done:
		s.unreleased("it could not be marked")
	}
	if err := r.freeLedger(ctx, s.md); err != nil {
		return ctrl.Result{}, err
	}
	next := s.md.DeepCopy()
	controllerutil.RemoveFinalizer(next, finalizer)
	if err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(s.md, client.MergeFromWithOptimisticLock{})); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("removing the finalizer: %w", err))
	}
	r.tell(s.md, s.told())
	return ctrl.Result{}, nil
}

// lasting reports whether an error will be the same however often it is tried again.
func lasting(err error) bool {
	return errors.Is(err, errLedger) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
}

// bare is the MailDomain without what it asks for: each section is to be withdrawn.
func bare(md *v1alpha1.MailDomain) *v1alpha1.MailDomain {
	md = md.DeepCopy()
	spec := &md.Spec
	spec.SPF, spec.DKIM, spec.DMARC, spec.MTASTS, spec.TLSRPT, spec.Compliance = nil, nil, nil, nil, nil, nil
	return md
}

// left tells of what stays published, of all records or of those that are named.
func (s *scope) left(what string, names ...string) {
	e := event{warning: true, reason: v1alpha1.ReasonRecordsLeft, action: "Delete", note: what}
	if len(names) > 0 {
		e.part = partOf(partRecords, names...)
	}
	s.events = append(s.events, e)
}

// retain leaves the records, and says in the registry record that the domain may be claimed anew.
func (r *Reconciler) retain(ctx context.Context, s *scope) (done bool, err error) {
	err = run(ctx, s, []step{
		{"read the ledger", r.openLedger},
		{"find the provider", r.readProvider},
		{"see whose the domain is", r.seeClaim},
		{"keep the certificate", r.keepCertificate},
	})
	switch {
	case err != nil:
		return false, err
	case !s.claim.held:
		return true, nil
	case s.md.Spec.Manual():
		s.unreleased("a human publishes its records")
		return true, nil
	case !s.provider.usable():
		s.unreleased(s.provider.verdict.message)
		return true, nil
	}
	slot := records.ClaimSlot(s.md.Spec.Domain)
	released := records.NewClaim(r.OwnerID, s.md.Namespace, s.md.Name)
	released.Released = true
	if err := run(ctx, s, []step{{"release the domain", func(ctx context.Context, s *scope) error {
		return r.work(ctx, s, []wish{{slot: slot, value: released.String()}})
	}}}); err != nil {
		return false, err
	}
	if entries := s.entries(slot, s.looks[slot.Name]); len(entries) != 1 || !entries[0].Settled || !slot.Same(entries[0].Value, released.String()) {
		return false, nil
	}
	return true, r.release(ctx, s)
}

// unreleased tells that the registry record is as it was.
func (s *scope) unreleased(why string) {
	key := records.ClaimSlot(s.md.Spec.Domain).Key
	s.left(fmt.Sprintf("%s still claims the domain: %s; to have it claimed anew, remove it, or add \"; state=released\"", key, why), key.String())
}

// freeLedger lets the ledger go with its namespace, or when somebody deletes it.
func (r *Reconciler) freeLedger(ctx context.Context, md *v1alpha1.MailDomain) error {
	secret := &corev1.Secret{}
	if err := r.Reader.Get(ctx, types.NamespacedName{Namespace: md.Namespace, Name: ledgerName(md.Name)}, secret); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("reading Secret %s: %w", ledgerName(md.Name), err))
	}
	if !controllerutil.RemoveFinalizer(secret, ledgerFinalizer) {
		return nil
	}
	return client.IgnoreNotFound(updateSecret(ctx, r.Client, secret))
}

// openLedger reads the ledger as it is: an end takes nothing up, and makes nothing new.
func (r *Reconciler) openLedger(ctx context.Context, s *scope) (err error) {
	if s.book, err = openBook(ctx, r.Reader, s.md); err == nil {
		s.dkim.ring = s.book.Keyring
	}
	return err
}

// endingSteps are those of a pass that withdraws everything.
func (r *Reconciler) endingSteps() []step {
	return []step{
		{"find the provider", r.readProvider},
		{"see whose the domain is", r.seeClaim},
		{"SPF", r.decideSPF},
		{"DKIM", r.decideDKIM},
		{"DMARC", r.decideDMARC},
		{"TLS-RPT", r.decideTLSRPT},
		{"MTA-STS", r.decideMTASTS},
		{"the policy host", r.decideHost},
		{"note who is silent", r.rememberSilence},
		{"write the signer's Secret", r.writeSigner},
		{"write the records", r.writeRecords},
		{"write the policy host", r.writeHost},
		{"write what is served", r.writeSite},
	}
}

// withdrawAll takes away what was written, as far as it may go by now, and leaves the rest to a
// tombstone: at once where that can do as much as the MailDomain, else when it is late.
func (r *Reconciler) withdrawAll(ctx context.Context, s *scope, late bool) (done bool, err error) {
	if err := run(ctx, s, []step{{"read the ledger", r.openLedger}}); err != nil {
		return false, err
	}
	if s.book.secret.ResourceVersion == "" {
		if known, err := r.readTombstone(ctx, s.md); known != nil || err != nil {
			return err == nil, err // a pass before this one got so far
		}
		return true, run(ctx, s, []step{{"read the ledger", r.lostLedger}}) // else nothing was ever written
	}
	if !late {
		if err := run(ctx, s, r.endingSteps()); err != nil {
			return false, err
		}
		if s.over() {
			return r.close(ctx, s)
		}
		if s.claim.held && s.provider.usable() && s.md.Spec.DNS.ProviderRef.Kind == v1alpha1.KindDNSProvider {
			return false, nil // its credentials are in this namespace, so what can be done by now is done by now
		}
	}
	return true, run(ctx, s, []step{{"keep the certificate", r.keepCertificate}, {"leave a tombstone", r.bury}})
}

// seeClaim finds out whether the domain is still this MailDomain's. It claims nothing.
func (r *Reconciler) seeClaim(ctx context.Context, s *scope) error {
	c, err := r.lookForClaim(ctx, s)
	if err != nil {
		return err
	}
	s.claim.held = !c.others && s.proven() && (c.stands || c.unanswered(s))
	if !s.claim.held {
		s.claim.verdict = verdict{v1alpha1.ReasonDomainNotClaimed, fmt.Sprintf("%s does not name this MailDomain any more", c.slot.Key)}
	}
	if c.others {
		s.claim.verdict.message = claimedByAnother(c.slot)
	}
	return nil
}

// proven reports whether the domain was claimed with this ledger: whoever writes a namespace of the
// same name can write a ledger too.
func (s *scope) proven() bool {
	return s.book.Proof != "" && (s.site.config == nil || s.site.holder == ownerOf(s.md)) && !s.site.namesake(ownerOf(s.md), s.book.Proof)
}

// published are the entries of records that still stand, but for the registry record.
func (s *scope) published() []ledger.Entry {
	return slices.DeleteFunc(slices.Clone(s.book.Entries), func(e ledger.Entry) bool { return e.Purpose == string(v1alpha1.PurposeClaim) })
}

// over reports whether all is withdrawn and nothing binds any more.
func (s *scope) over() bool {
	return len(s.published()) == 0 && s.book.MTASTS == nil && len(s.book.Signers) == 0 &&
		!slices.ContainsFunc(s.book.Keyring, func(k keys.Key) bool { return k.State() != keys.Removed })
}

// close gives the domain up when nothing of it is left, and forgets it. The registry record goes
// last: it is the right to all the others.
func (r *Reconciler) close(ctx context.Context, s *scope) (done bool, err error) {
	slot := records.ClaimSlot(s.md.Spec.Domain)
	claimed := func() bool { return len(s.book.Of(string(v1alpha1.PurposeClaim))) > 0 }
	if claimed() && s.claim.held && s.provider.usable() {
		if err := run(ctx, s, []step{{"give the domain up", func(ctx context.Context, s *scope) error { return r.work(ctx, s, []wish{{slot: slot}}) }}}); err != nil {
			return false, err
		}
	}
	switch {
	case !claimed() || !s.claim.held:
	case s.abandoned():
		s.left(fmt.Sprintf("%s; this stays published, remove it by hand: %s", s.provider.verdict.message, slot.Key), slot.String())
	default:
		return false, nil
	}
	err = run(ctx, s, []step{
		{"give up what is stored of the domain", r.forgetSite},
		{"forget the ledger", func(ctx context.Context, s *scope) error { return s.book.delete(ctx, r.Client) }},
	})
	return err == nil, err
}

// names lists the records of entries, for people: with their texts, since somebody else's may come to
// stand at the same names.
func names(entries []ledger.Entry) string {
	var list []string
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%s %s %q", e.Type, e.Name, cutTo(e.Value, 60)))
	}
	return strings.Join(distinct(list), ", ")
}
