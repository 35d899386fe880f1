package controllers

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

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
	secret  *corev1.Secret // nil: there is none
	foreign bool           // it is not ours to write
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
		var err error
		if signers[i], err = r.readSigner(ctx, s.md, name); err != nil {
			return nil, err
		}
	}
	return signers, nil
}

// readSigner reads past any cache.
func (r *Reconciler) readSigner(ctx context.Context, md *v1alpha1.MailDomain, name string) (signer, error) {
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: md.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return signer{name: name}, nil
	case err != nil:
		return signer{}, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	// The ledger carries the same annotation, so that alone does not make a signer's Secret.
	ours := secret.Type == corev1.SecretTypeOpaque && secret.Annotations[ownerAnnotation] == ownerOf(md) && name != ledgerName(md.Name)
	return signer{name: name, secret: secret, foreign: !ours}, nil
}

// privates sees to it that the private half of every key that needs one is at hand and belongs
// to the key's record. Whichever Secret holds the right one is believed: what the ledger has lost
// is taken back from the signer's Secret. Nothing is overwritten where none of them does.
func privates(b *book, signers []signer) (restored []string, why verdict) {
	for _, k := range b.Keyring {
		if !k.NeedsPrivate() && k.State() != keys.Retired {
			continue
		}
		file := keys.PrivateFile(k.Selector)
		stored, there := b.privates[k.Selector]
		if there && matches(stored, k) {
			continue
		}
		found := false
		for _, signer := range signers {
			if signer.secret == nil || signer.foreign {
				continue
			}
			if private := signer.secret.Data[file]; matches(private, k) {
				b.privates[k.Selector], found = private, true
				restored = append(restored, k.Selector)
				break
			}
		}
		switch {
		case found || why.bad() || !k.NeedsPrivate():
		case !there:
			why = verdict{v1alpha1.ReasonKeyLost, fmt.Sprintf("the private key of %s is gone from Secret %s, and the signer's Secret does not hold it: restore %s from a backup", k.Selector, b.secret.Name, file)}
		default:
			why = verdict{v1alpha1.ReasonKeyUnreadable, fmt.Sprintf("the private key of %s in Secret %s can't be read or does not belong to its record, and the signer's Secret does not hold the right one: restore %s from a backup", k.Selector, b.secret.Name, file)}
		}
	}
	return restored, why
}

// matches reports whether the private key is that of the key's record.
func matches(private []byte, k keys.Key) bool {
	record, err := keys.RecordOf(private)
	return err == nil && record == k.Record
}

// mounted reports whether a signer's Secret has the private key.
func mounted(signers []signer, k keys.Key) bool {
	return slices.ContainsFunc(signers, func(one signer) bool {
		return one.secret != nil && !one.foreign && matches(one.secret.Data[keys.PrivateFile(k.Selector)], k)
	})
}

// writeSigner puts the keys that may sign where the signers find them. It comes before the
// ledger: a crash in between makes a retirement later, never earlier.
func (r *Reconciler) writeSigner(ctx context.Context, s *scope) error {
	if !s.writes() || len(s.dkim.signers) == 0 || s.dkim.lost.bad() {
		return nil
	}
	data := keys.SignerData(s.md.Spec.Domain, s.book.Keyring, s.dkim.policy, s.book.privates)
	if data == nil {
		return nil
	}
	wanted := s.dkim.signers[0]
	signs := len(data[keys.SelectorFile]) > 0
	if !wanted.foreign && (wanted.secret != nil || signs) { // one to say that nothing signs is not made
		if err := r.putSigner(ctx, s, wanted, data); err != nil {
			return err
		}
		if before := s.book.SignerInUse(); before != "" && before != wanted.name {
			s.events = append(s.events, event{warning: true, reason: "SignerSecretRenamed", action: "WriteSecret", note: fmt.Sprintf(
				"the signer's Secret is now %s: have the signer mount it; %s is kept up to date for %s, and then deleted", wanted.name, before, s.dkim.policy.Retention/2)})
		}
		s.book.UseSigner(wanted.name, s.now)
	}
	for _, known := range slices.Clone(s.book.Signers) {
		if known.Name == wanted.name {
			continue
		}
		if err := r.leaveSigner(ctx, s, known, data); err != nil {
			return err
		}
	}
	return nil
}

// leaveSigner looks after a Secret that spec does not name any more. Its signer may still mount
// it, so for half of the retention it is kept up to date, as the file of a retired key is. Then it
// is deleted, not emptied: from a running signer a deleted Secret takes nothing away, while one
// that starts anew fails where its owner sees it.
func (r *Reconciler) leaveSigner(ctx context.Context, s *scope, known ledger.Signer, data map[string][]byte) error {
	i := slices.IndexFunc(s.dkim.signers, func(one signer) bool { return one.name == known.Name })
	if i < 0 || s.dkim.signers[i].secret == nil || s.dkim.signers[i].foreign {
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
		return r.putSigner(ctx, s, old, data)
	}
	if err := r.Client.Delete(ctx, old.secret, client.Preconditions{UID: &old.secret.UID, ResourceVersion: &old.secret.ResourceVersion}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting Secret %s: %w", old.name, err)
	}
	s.book.ForgetSigner(known.Name)
	s.events = append(s.events, event{reason: "SignerSecretDeleted", action: "DeleteSecret", note: fmt.Sprintf("Secret %s is deleted: the signer's Secret is %s", old.name, s.book.SignerInUse())})
	return nil
}

// putSigner writes the Secret if it differs. A conflict with another writer is an error, as for
// the ledger: it was read in this pass.
func (r *Reconciler) putSigner(ctx context.Context, s *scope, to signer, data map[string][]byte) error {
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.md.Namespace, Name: to.name}, Type: corev1.SecretTypeOpaque}
	if to.secret != nil {
		next = to.secret.DeepCopy()
	}
	var template *v1alpha1.SignerSecret
	if s.md.Spec.DKIM != nil && to.name == s.md.SignerSecretName() {
		template = s.md.Spec.DKIM.SignerSecret
	}
	labels, annotations := template.Metadata()
	next.Labels = merged(next.Labels, labels, map[string]string{managedByLabel: managedBy})
	next.Annotations = merged(next.Annotations, annotations, map[string]string{ownerAnnotation: ownerOf(s.md)})
	next.Data = data
	switch {
	case to.secret == nil:
		return r.Client.Create(ctx, next)
	case maps.EqualFunc(data, to.secret.Data, bytes.Equal) && maps.Equal(next.Labels, to.secret.Labels) && maps.Equal(next.Annotations, to.secret.Annotations):
		return nil
	}
	return updateSecret(ctx, r.Client, next)
}

// merged lays maps over each other.
func merged(layers ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, layer := range layers {
		maps.Copy(out, layer)
	}
	return out
}
