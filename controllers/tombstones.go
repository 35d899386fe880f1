package controllers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Tombstones finishes what MailDomains left.
type Tombstones struct{ *Reconciler }

// Reconcile makes one pass for one tombstone: that of a MailDomain at its end.
func (r Tombstones) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	secret := &corev1.Secret{}
	if err := r.Reader.Get(ctx, req.NamespacedName, secret); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if secret.Type != tombstoneType || secret.Labels[tombstoneLabel] == "" || secret.Namespace != r.Namespace {
		return ctrl.Result{}, nil
	}
	t, l, err := readWill(secret)
	if err != nil {
		return ctrl.Result{}, err
	}
	s := r.newScope(&v1alpha1.MailDomain{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name, Annotations: map[string]string{v1alpha1.AnnotationCompromised: t.Compromised}},
		Spec: v1alpha1.MailDomainSpec{Domain: t.Domain, DNS: &v1alpha1.DNSSpec{
			ProviderRef:    &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: t.Provider},
			Zone:           t.Zone,
			TTL:            t.TTL,
			DeletionPolicy: v1alpha1.DeletionDelete,
		}},
	})
	s.ending = &ending{rotation: &v1alpha1.DKIMRotation{Retention: t.Retention}, tombstone: t}
	s.book = &book{Ledger: l, privates: map[string][]byte{}, secret: secret, keyless: true}
	s.dkim.ring = l.Keyring
	if t.before, err = l.Encode(); err != nil {
		return ctrl.Result{}, err
	}
	if after, err := r.returned(ctx, s); after > 0 || err != nil {
		return ctrl.Result{RequeueAfter: after}, err
	}
	if err := run(ctx, s, r.endingSteps()); err != nil {
		if outdone(err) {
			return ctrl.Result{RequeueAfter: r.Poll}, nil
		}
		return ctrl.Result{}, err
	}
	done, err := r.finish(ctx, s)
	r.tell(secret, s.told())
	if done || err != nil {
		return ctrl.Result{}, err
	}
	s.again(r.unwatched())
	return ctrl.Result{RequeueAfter: s.recheck}, nil
}

// returned reports whether the MailDomain is there, still or again, so that there is nothing to do
// here. A tombstone whose ledger is in use again goes.
func (r Tombstones) returned(ctx context.Context, s *scope) (after time.Duration, err error) {
	t := s.ending.tombstone
	uid, err := r.readNamespace(ctx, t.Namespace)
	if apierrors.IsForbidden(err) && !r.Watched.cluster() {
		t.homeless = true // the Role went with its namespace, or was taken away: what is there now can't be read
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	t.homeless = uid != t.UID
	md := &v1alpha1.MailDomain{}
	err = r.Reader.Get(ctx, client.ObjectKeyFromObject(s.md), md)
	switch {
	case apierrors.IsNotFound(err), err == nil && md.Spec.Domain != t.Domain:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("reading MailDomain %s/%s: %w", t.Namespace, t.Name, err)
	case !md.DeletionTimestamp.IsZero():
		return r.Poll, nil // it goes right now
	case md.Spec.ModeOrDefault() == v1alpha1.ModeObserve:
		return 0, nil
	}
	own, err := openBook(ctx, r.Reader, md)
	switch {
	case err == nil && own.Proof != "" && own.Proof == s.book.Proof:
		return r.Poll, s.book.delete(ctx, r.Client) // taken up, or restored from a backup
	case t.homeless:
		return 0, nil // a stranger; whose the domain is will be seen
	}
	return r.unwatched(), err
}

// finish ends the tombstone when nothing is left to be done, or to be done from here.
func (r Tombstones) finish(ctx context.Context, s *scope) (done bool, err error) {
	t := s.ending.tombstone
	if moved, err := s.moved(); err != nil {
		return false, err
	} else if moved {
		t.Moved = s.now
	}
	due := latest(ends(s.commitment()), t.Moved.Add(s.dkim.policy.Retention))
	working := s.claim.held && (s.abandoned() || s.provider.verdict.reason != v1alpha1.ReasonProviderNotFound) && s.now.Before(due.Add(lingerLimit))
	why := cmp.Or(s.claim.verdict.message, s.provider.verdict.message, "what has to be known before the records may go can't be found out")
	switch {
	case s.claim.held && s.over():
		return r.close(ctx, s)
	case s.claim.held && s.abandoned() && s.book.MTASTS == nil:
		s.abandon(s.provider.verdict.message)
	case working:
		t.Stuck = time.Time{}
		return false, r.note(ctx, s)
	case t.Stuck.IsZero() || t.Stuck.After(s.now):
		t.Stuck = s.now
		s.events = append(s.events, event{warning: true, reason: v1alpha1.ReasonProgressing, action: "Withdraw", note: fmt.Sprintf("%s: waited for until %s", why, s.now.Add(stuckLimit).Format(time.RFC3339))})
		s.again(stuckLimit)
		return false, r.note(ctx, s)
	case s.now.Sub(t.Stuck) < stuckLimit:
		s.again(t.Stuck.Add(stuckLimit).Sub(s.now))
		return false, nil
	default:
		s.abandon(why)
	}
	left := len(s.published())
	if err := r.forgetSite(ctx, s); err != nil {
		return false, err
	}
	if err := s.book.delete(ctx, r.Client); err != nil {
		return false, err
	}
	if r.Left != nil {
		r.Left(left)
	}
	return true, nil
}

func (s *scope) abandon(why string) {
	what := cmp.Or(names(s.book.Entries), "those that a human published")
	for _, signer := range s.book.Signers {
		what += fmt.Sprintf("; and Secret %s with their keys", signer.Name)
	}
	s.left(fmt.Sprintf("%s; these records stay published, remove them by hand: %s", why, what))
}

// moved reports whether the pass has changed the ledger.
func (s *scope) moved() (bool, error) {
	text, err := s.book.Encode()
	return !bytes.Equal(text, s.ending.tombstone.before), err
}

// note stores what has changed of the tombstone besides its ledger.
func (r Tombstones) note(ctx context.Context, s *scope) error {
	will, err := json.Marshal(s.ending.tombstone)
	if err != nil || bytes.Equal(will, s.book.secret.Data[tombstoneFile]) {
		return err
	}
	next := s.book.secret.DeepCopy()
	next.Data[tombstoneFile] = will
	return updateSecret(ctx, r.Client, next)
}
