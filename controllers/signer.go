package controllers

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
)

// signer is a Secret that the domain's signer mounts.
type signer struct {
	name    string
	secret  *corev1.Secret    // nil: there is none
	foreign bool              // it is not ours to write
	shared  bool              // other MailDomains have their parts in it
	data    map[string][]byte // what this domain has in it, under the names of keys.SignerData
}

// readSigners reads the Secret that spec wants, and behind it those that the ledger knows from
// before. Without a section the one in use stays the wanted one.
func (r *Reconciler) readSigners(ctx context.Context, s *scope) ([]signer, error) {
	wanted := s.md.SignerSecretName()
	if inUse := s.book.SignerInUse(); s.md.Spec.DKIM == nil && inUse != "" {
		wanted = inUse
	}
	names := []string{wanted}
	for _, known := range s.book.Signers {
		if known.Name != wanted {
			names = append(names, known.Name)
		}
	}
	signers := make([]signer, len(names))
	for i, name := range names {
		if s.homeless() {
			signers[i] = signer{name: name}
			continue
		}
		var err error
		if signers[i], err = r.readSigner(ctx, s.md, name); err != nil {
			return nil, err
		}
	}
	return signers, nil
}

// ours reports whether the Secret is there, and the operator's.
func (s signer) ours() bool { return s.secret != nil && !s.foreign }

// readSigner reads past any cache.
func (r *Reconciler) readSigner(ctx context.Context, md *v1alpha1.MailDomain, name string) (signer, error) {
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: md.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return signer{name: name, shared: md.Spec.DKIM != nil && md.Spec.DKIM.SignerSecret.Combined() && name == md.SignerSecretName()}, nil
	case err != nil:
		return signer{}, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	to := signer{name: name, secret: secret, data: secret.Data}
	// The ledger carries the same annotation, so that alone does not make a signer's Secret.
	ours := secret.Type == corev1.SecretTypeOpaque && secret.Annotations[ownerAnnotation] == ownerOf(md) && name != ledgerName(md.Name)
	if secret.Type == corev1.SecretTypeOpaque && secret.Annotations[sharedAnnotation] == "true" {
		to.shared, to.data = true, keys.PartOf(secret.Data, md.Spec.Domain)
		ours = len(to.data) > 0 // also where spec names another one now
	}
	if md.Spec.DKIM != nil && name == md.SignerSecretName() {
		combined := md.Spec.DKIM.SignerSecret.Combined()
		ours = to.shared && combined || ours && !to.shared && !combined
	}
	to.foreign = !ours
	return to, nil
}

// privates sees to it that the private half of every key that needs one is at hand and belongs
// to the key's record. Whichever Secret holds the right one is believed: what the ledger has lost
// is taken back from the signer's Secret. Both were read past any cache. Nothing is overwritten where
// none of them has it.
//
// A key that is gone, or of which an empty entry is left, is waited for as long as LostKeyGrace, so that a
// backup can be restored; then it is one of lost, to be replaced (Law 2). Content that is not the key
// stops everything: it is somebody's, and only a person can say what it means.
func (r *Reconciler) privates(b *book, signers []signer, now time.Time) (restored, lost []string, why verdict) {
	var gone []string
	for _, k := range b.Keyring {
		if !k.NeedsPrivate() && k.State() != keys.Retired {
			continue
		}
		file := keys.PrivateFile(k.Selector)
		stored := b.privates[k.Selector]
		if r.proven.Belongs(stored, k.Record) {
			continue
		}
		found := false
		for _, signer := range signers {
			if !signer.ours() {
				continue
			}
			if private := signer.data[file]; r.proven.Belongs(private, k.Record) {
				b.privates[k.Selector], found = private, true
				restored = append(restored, k.Selector)
				break
			}
		}
		switch {
		case found || !k.NeedsPrivate():
		case len(stored) == 0:
			gone = append(gone, k.Selector)
		case !why.bad():
			is := "can't be read"
			if _, err := keys.RecordOf(stored); err == nil {
				is = "is another key's"
			}
			why = verdict{v1alpha1.ReasonKeyUnreadable, fmt.Sprintf("the private key of %s in Secret %s %s, and the signer's Secret does not hold the right one: restore %s from a backup, or remove that entry to have a new key made", k.Selector, b.secret.Name, is, file)}
		}
	}
	b.Keyring.Lose(gone, now)
	for _, selector := range gone {
		k := b.Keyring[b.Keyring.Find(selector)]
		if !now.Before(k.Lost.Add(r.LostKeyGrace)) {
			lost = append(lost, selector)
		} else if !why.bad() {
			why = verdict{v1alpha1.ReasonKeyLost, fmt.Sprintf("the private key of %s is gone from Secret %s, and the signer's Secret does not hold it: restore %s from a backup, or a new key under another selector takes its place after %s", selector, b.secret.Name, keys.PrivateFile(selector), r.LostKeyGrace)}
		}
	}
	return restored, lost, why
}

// signable leaves out the active keys whose private half is lost: tables must not name a file that is
// not there. ok is false if no other key signs: then what the signer has stays as it is, until one
// takes over.
func (b *book) signable() (ring keys.Keyring, ok bool) {
	lost := func(k keys.Key) bool { return k.State() == keys.Active && len(b.privates[k.Selector]) == 0 }
	ring = slices.DeleteFunc(slices.Clone(b.Keyring), lost)
	return ring, len(ring) == len(b.Keyring) || len(ring.With(keys.Active)) > 0
}

// mounted reports whether a signer's Secret has the private key.
func (r *Reconciler) mounted(signers []signer, k keys.Key) bool {
	return slices.ContainsFunc(signers, func(one signer) bool {
		return one.ours() && r.proven.Belongs(one.data[keys.PrivateFile(k.Selector)], k.Record)
	})
}

// writeSigner puts the keys that may sign where the signers find them. It comes before the
// ledger: a crash in between makes a retirement later, never earlier.
func (r *Reconciler) writeSigner(ctx context.Context, s *scope) error {
	if !s.writes() || len(s.dkim.signers) == 0 || s.dkim.lost.bad() {
		return nil
	}
	ring, ok := s.book.signable()
	began := slices.ContainsFunc(ring, func(k keys.Key) bool { return !k.Active.IsZero() })
	if !began || !ok {
		return nil
	}
	lingers := func(k keys.Key) bool {
		return k.State() == keys.Active || k.State() == keys.Retired && k.Withdrawn.IsZero()
	}
	if s.ending != nil && !slices.ContainsFunc(s.book.Keyring, lingers) {
		return r.dropSigners(ctx, s)
	}
	if err := r.offer(ctx, s); err != nil {
		return err
	}
	wanted := s.dkim.signers[0]
	signs := len(ring.With(keys.Active)) > 0
	if !wanted.foreign && (wanted.secret != nil || signs) { // one to say that nothing signs is not made
		if err := r.putSigner(ctx, s, wanted, ring); err != nil {
			return err
		}
		if before := s.book.SignerInUse(); before != "" && before != wanted.name {
			s.events = append(s.events, event{warning: true, reason: "SignerSecretRenamed", action: "WriteSecret", part: partOf(partSecrets, wanted.name), note: fmt.Sprintf(
				"the signer's Secret is now %s: have the signer mount it; %s is kept up to date for %s, and then given up", wanted.name, before, s.dkim.policy.Retention/2)})
		}
		s.book.UseSigner(wanted.name, s.now)
	}
	for _, known := range slices.Clone(s.book.Signers) {
		if known.Name == wanted.name {
			continue
		}
		if err := r.leaveSigner(ctx, s, known, ring); err != nil {
			return err
		}
	}
	return nil
}

// offer stores which keys the signer's Secret is about to have, see keys.Offer.
func (r *Reconciler) offer(ctx context.Context, s *scope) error {
	if !s.dkim.offers {
		return nil
	}
	next := s.book.Keyring
	defer func() { s.book.Keyring = next }()
	s.book.Keyring = s.dkim.offered
	return s.book.save(ctx, r.Client)
}

// leaveSigner looks after a Secret that spec does not name any more. Its signer may still mount
// it, so for half of the retention it is kept up to date, as the file of a retired key is. Then it
// is deleted, not emptied: from a running signer a deleted Secret takes nothing away, while one
// that starts anew fails where its owner sees it.
func (r *Reconciler) leaveSigner(ctx context.Context, s *scope, known ledger.Signer, ring keys.Keyring) error {
	i := slices.IndexFunc(s.dkim.signers, func(one signer) bool { return one.name == known.Name })
	if i < 0 || !s.dkim.signers[i].ours() {
		if !known.Left.IsZero() {
			s.book.ForgetSigner(known.Name)
		}
		return nil
	}
	old := s.dkim.signers[i]
	ends := known.Left.Add(s.dkim.policy.Retention / 2)
	if known.Left.IsZero() || s.now.Before(ends) {
		if !known.Left.IsZero() {
			s.again(ends.Sub(s.now))
		}
		return r.putSigner(ctx, s, old, ring)
	}
	if old.shared {
		if err := r.putShare(ctx, s, old, nil); err != nil {
			return err
		}
		s.book.ForgetSigner(known.Name)
		s.events = append(s.events, event{reason: v1alpha1.ReasonSignerSecretLeft, action: "WriteSecret", part: partOf(partSecrets, old.name), note: fmt.Sprintf("the domain's part of Secret %s is removed: the signer's Secret is %s", old.name, s.book.SignerInUse())})
		return nil
	}
	if err := r.deleteSigner(ctx, old); err != nil {
		return err
	}
	s.book.ForgetSigner(known.Name)
	s.events = append(s.events, event{reason: "SignerSecretDeleted", action: "DeleteSecret", part: partOf(partSecrets, old.name), note: fmt.Sprintf("Secret %s is deleted: the signer's Secret is %s", old.name, s.book.SignerInUse())})
	return nil
}

// dropSigners deletes all of them: no key is left to sign with.
func (r *Reconciler) dropSigners(ctx context.Context, s *scope) error {
	if err := s.book.confirm(ctx, r.Client); err != nil {
		return err
	}
	for _, one := range s.dkim.signers {
		if one.ours() {
			drop := r.deleteSigner
			if one.shared {
				drop = func(ctx context.Context, one signer) error { return r.putShare(ctx, s, one, nil) }
			}
			if err := drop(ctx, one); err != nil {
				return err
			}
			s.events = append(s.events, event{reason: "SignerSecretDeleted", action: "DeleteSecret", part: partOf(partSecrets, one.name), note: fmt.Sprintf("Secret %s is deleted, or the domain's part of it: the domain has no keys any more", one.name)})
		}
		s.book.ForgetSigner(one.name)
	}
	return nil
}

func (r *Reconciler) deleteSigner(ctx context.Context, old signer) error {
	if err := r.Client.Delete(ctx, old.secret, client.Preconditions{UID: &old.secret.UID, ResourceVersion: &old.secret.ResourceVersion}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting Secret %s: %w", old.name, err)
	}
	return nil
}

// putSigner writes the Secret if it differs. A conflict with another writer is an error, as for
// the ledger: it was read in this pass.
func (r *Reconciler) putSigner(ctx context.Context, s *scope, to signer, ring keys.Keyring) error {
	if to.shared {
		return r.putShare(ctx, s, to, keys.SharedData(s.md.Spec.Domain, ring, s.dkim.policy, s.book.privates))
	}
	data := keys.SignerData(s.md.Spec.Domain, ring, s.dkim.policy, s.book.privates)
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.md.Namespace, Name: to.name}, Type: corev1.SecretTypeOpaque}
	if to.secret != nil {
		next = to.secret.DeepCopy()
	}
	labels, annotations := s.templateFor(to).Metadata()
	next.Labels = merged(next.Labels, labels, map[string]string{managedByLabel: managedBy})
	next.Annotations = merged(next.Annotations, annotations, map[string]string{ownerAnnotation: ownerOf(s.md)})
	next.Data = data
	switch {
	case to.secret == nil:
		return r.Client.Create(ctx, next)
	case maps.EqualFunc(data, to.secret.Data, bytes.Equal) && maps.Equal(next.Labels, to.secret.Labels) && maps.Equal(next.Annotations, to.secret.Annotations):
		return nil
	}
	if err := s.book.confirm(ctx, r.Client); err != nil {
		return err
	}
	return updateSecret(ctx, r.Client, next)
}

// templateFor is the metadata that spec wants of the Secret.
func (s *scope) templateFor(to signer) *v1alpha1.SignerSecret {
	if s.md.Spec.DKIM == nil || to.name != s.md.SignerSecretName() {
		return nil
	}
	return s.md.Spec.DKIM.SignerSecret
}

// merged lays maps over each other.
func merged(layers ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, layer := range layers {
		maps.Copy(out, layer)
	}
	return out
}
