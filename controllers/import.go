package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/records"
)

// importKeys takes up the keys that spec wants to import and that the keyring does not know yet. Each
// selector is imported once: from then on the ledger holds the key, and the Secret that it came from
// is not looked at again.
func (r *Reconciler) importKeys(ctx context.Context, s *scope) error {
	for _, key := range s.md.Spec.DKIM.Keys {
		if key.Import == nil || s.imported(key) >= 0 {
			continue
		}
		private, why, err := r.readImport(ctx, s, key)
		if err != nil {
			return err
		}
		if !why.bad() {
			why = r.takeUp(ctx, s, key, private)
		}
		s.block(v1alpha1.ConditionDKIMReady, why)
	}
	return nil
}

// imported is the index of the key in the keyring, -1 before it was imported.
func (s *scope) imported(key v1alpha1.DKIMKey) int {
	i := s.book.Keyring.Find(key.Import.Selector)
	if i >= 0 && s.book.Keyring[i].Imported && s.book.Keyring[i].Name == key.Name {
		return i
	}
	return -1
}

// importFailed says of the key what is wrong with its import.
func importFailed(key v1alpha1.DKIMKey, format string, args ...any) verdict {
	return verdict{v1alpha1.ReasonImportFailed, fmt.Sprintf("spec.dkim.keys[%s].import: ", key.Name) + fmt.Sprintf(format, args...)}
}

// readImport reads the private key from the user's Secret, past any cache. The label says that its
// owner wants that: to name a Secret is not to be allowed to read it.
func (r *Reconciler) readImport(ctx context.Context, s *scope, key v1alpha1.DKIMKey) (keys.Private, verdict, error) {
	from := key.Import
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: s.md.Namespace, Name: from.SecretName}, secret)
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return keys.Private{}, verdict{}, fmt.Errorf("reading Secret %s: %w", from.SecretName, err)
	case err != nil || secret.Labels[v1alpha1.LabelImport] != "true":
		return keys.Private{}, importFailed(key, "there is no Secret %s with the label %s: \"true\": create it, or set the label", from.SecretName, v1alpha1.LabelImport), nil
	}
	file, there := secret.Data[from.Key]
	if !there {
		return keys.Private{}, importFailed(key, "Secret %s has no key %s: add it, or correct import.key", from.SecretName, from.Key), nil
	}
	private, err := keys.ReadPrivate(file)
	if err != nil {
		return keys.Private{}, importFailed(key, "Secret %s, key %s %v", from.SecretName, from.Key, err), nil
	}
	return private, verdict{}, nil
}

// takeUp enters the key in the keyring, if DNS serves it or serves nothing at its selector. Its record
// is the one that stands, octet for octet: it is taken over without a write, and proven like others.
func (r *Reconciler) takeUp(ctx context.Context, s *scope, key v1alpha1.DKIMKey, private keys.Private) verdict {
	from := key.Import
	if i := s.book.Keyring.Find(from.Selector); i >= 0 {
		return importFailed(key, "the selector %s belongs to the key %s of this MailDomain, and a selector is never used twice: leave import out, or name another selector", from.Selector, s.book.Keyring[i].Name)
	}
	for _, k := range s.book.Keyring {
		if keys.SameKey(k.Record, private.Record) {
			return importFailed(key, "Secret %s, key %s holds the private key of selector %s, which this MailDomain has already: a key can be imported once", from.SecretName, from.Key, k.Selector)
		}
	}
	record, why := r.recordOf(ctx, s, key, private)
	if why.bad() {
		return why
	}
	slot := records.DKIMSlot(s.md.Spec.Domain, from.Selector)
	if !s.writes() {
		s.want(slot, record, verdict{})
		return verdict{v1alpha1.ReasonObserving, fmt.Sprintf("DKIM key %s would be imported for %s", key.Name, slot.Name)}
	}
	s.book.privates[from.Selector] = private.Private
	s.book.Keyring = append(s.book.Keyring, keys.Key{
		Name: key.Name, Selector: from.Selector, Algorithm: private.Algorithm, Bits: private.Bits, Record: record, Imported: true, Created: s.now,
	})
	s.events = append(s.events, event{reason: v1alpha1.ReasonKeyImported, action: "ImportKey", part: partOf(partKeys, from.Selector), note: fmt.Sprintf("the private key of %s was copied from Secret %s, key %s, which is no longer needed for it", from.Selector, from.SecretName, from.Key)})
	return verdict{}
}

// recordOf returns the record that is to stand at the selector of a key to import: what stands there,
// if it holds the key's public half, or a new one where nobody has a key there. A server without an
// answer may have one, so it is waited for as for a new selector.
func (r *Reconciler) recordOf(ctx context.Context, s *scope, key v1alpha1.DKIMKey, private keys.Private) (string, verdict) {
	slot := records.DKIMSlot(s.md.Spec.Domain, key.Import.Selector)
	seen, wildcard := r.look(ctx, s, slot.Name), r.look(ctx, s, "*._domainkey."+s.md.Spec.Domain)
	if alias := seen.rrset(slot.Key).Alias; alias != "" && alias != wildcard.rrset(slot.Key).Alias {
		return "", importFailed(key, "%s is a CNAME to %s, so the record is not this zone's: publish the key itself there, or name the selector in spec.dkim.external with verifyOnly: true", slot.Key, alias)
	}
	var texts []string
	for _, text := range seen.values() {
		if slot.Is(text) && !slices.Contains(wildcard.values(), text) {
			texts = append(texts, text)
		}
	}
	switch {
	case len(texts) > 1:
		return "", importFailed(key, "the name servers show %d keys at %s: leave the one that signs", len(texts), slot.Key)
	case len(texts) == 1 && !keys.SameKey(texts[0], private.Record):
		return "", importFailed(key, "Secret %s, key %s holds the private key of %q, and %s is %q: name the Secret of the key that is served, or another selector", key.Import.SecretName, key.Import.Key, private.Record, slot.Key, texts[0])
	case len(texts) == 1:
		return texts[0], verdict{}
	}
	names := s.silence(seen)
	if !slices.ContainsFunc(seen.answers, proves) {
		_, why := seen.verify(slot, "")
		return "", why
	}
	if len(names) > 0 {
		return "", verdict{v1alpha1.ReasonRotating, fmt.Sprintf("%s: before a key is published there, %s is waited for, for an hour at the most: it may have one", slot.Key, strings.Join(names, ", "))}
	}
	return private.Record, verdict{}
}
