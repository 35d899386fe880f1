package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// sharedAnnotation marks a signer's Secret that MailDomains with combine: true share. It has no owner
// annotation: it is of all of them, and of nobody without combine.
const sharedAnnotation = "maildomain.dev/shared"

// full says whether the shared Secret has no room for this domain. One that is in it already may grow
// up to what the API server stores; what a new one will need is known before its first key signs.
func (s *scope) full(to signer) verdict {
	if !to.shared || to.foreign || len(to.data) > 0 {
		return verdict{}
	}
	ring := s.book.Keyring[:0:0]
	for _, k := range s.book.Keyring {
		if k.Pending() {
			k.Active = s.now
		}
		ring = append(ring, k)
	}
	share := keys.SharedData(s.md.Spec.Domain, ring, s.dkim.policy, s.book.privates)
	if size := keys.SizeOf(keys.Combine(to.content(), s.md.Spec.Domain, share)); size > keys.SharedLimit {
		return verdict{v1alpha1.ReasonSecretFull, fmt.Sprintf("Secret %s would have %d KiB with this domain, and takes up no further one beyond %d KiB: name another Secret in spec.dkim.signerSecret.name", to.name, size>>10, keys.SharedLimit>>10)}
	}
	return verdict{}
}

func (to signer) content() map[string][]byte {
	if to.secret == nil {
		return nil
	}
	return to.secret.Data
}

// patch: the signer's Secret that several MailDomains share.
// +kubebuilder:rbac:roleName=maildomain-domains,groups="",resources=secrets,verbs=patch

// putShare puts the domain's part into the shared Secret, in the place of what it had there; an empty
// share takes it out, and the last one takes the Secret with it. Server-side apply keeps by the
// domain's own manager which files are its; the tables are one value for all domains, so the write is
// refused if the Secret has changed since it was read.
func (r *Reconciler) putShare(ctx context.Context, s *scope, to signer, share map[string][]byte) error {
	wanted := keys.Combine(to.content(), s.md.Spec.Domain, share)
	if err := s.book.confirm(ctx, r.Client); err != nil {
		return err
	}
	if len(share) == 0 && !keys.Shared(wanted) {
		if to.secret == nil {
			return nil
		}
		err := r.Client.Delete(ctx, to.secret, client.Preconditions{UID: &to.secret.UID, ResourceVersion: &to.secret.ResourceVersion})
		return client.IgnoreNotFound(err)
	}
	secret := to.secret
	if secret == nil { // made whole: a volume must not see an empty one, in the place of one that was deleted
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.md.Namespace, Name: to.name,
				Labels: map[string]string{managedByLabel: managedBy}, Annotations: map[string]string{sharedAnnotation: "true"},
			},
			Type: corev1.SecretTypeOpaque,
			Data: wanted,
		}
		if err := r.Client.Create(ctx, secret); err != nil {
			return err
		}
	}
	labels, annotations := s.templateFor(to).Metadata()
	labels, news := unclaimed(labels, secret.Labels)
	annotations, more := unclaimed(annotations, secret.Annotations)
	if to.secret != nil && maps.EqualFunc(wanted, secret.Data, bytes.Equal) && !news && !more {
		return nil
	}
	mine := maps.Clone(share)
	if mine == nil {
		mine = map[string][]byte{}
	}
	for name := range keys.Combine(nil, s.md.Spec.Domain, nil) { // the tables
		mine[name] = wanted[name]
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "data": mine,
		"metadata": map[string]any{"name": to.name, "namespace": s.md.Namespace, "resourceVersion": secret.ResourceVersion, "labels": labels, "annotations": annotations},
	})
	if err != nil {
		return err
	}
	applied := secret.DeepCopy()
	if err := r.Client.Patch(ctx, applied, client.RawPatch(types.ApplyPatchType, body), fieldManager(s.md.Spec.Domain), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing Secret %s: %w", to.name, err)
	}
	if maps.EqualFunc(wanted, applied.Data, bytes.Equal) {
		return nil
	}
	applied.Data = wanted // a restored Secret has no managers, so nothing of it was this one's to remove
	return updateSecret(ctx, r.Client, applied)
}

// unclaimed leaves out what the Secret has with another value: of two domains' templates the first
// counts. changes is true if any of the rest is not there yet.
func unclaimed(template, there map[string]string) (rest map[string]string, changes bool) {
	rest = map[string]string{}
	for name, value := range template {
		now, taken := there[name]
		if !taken || now == value {
			rest[name] = value
			changes = changes || !taken
		}
	}
	return rest, changes
}

// fieldManager is the name under which a domain's part is applied; the API takes 128 octets.
func fieldManager(domain string) client.FieldOwner {
	name := "maildomain-" + domain
	if len(name) > 128 {
		hash := fnv.New128a()
		hash.Write([]byte(domain))
		name = fmt.Sprintf("maildomain-%x", hash.Sum(nil))
	}
	return client.FieldOwner(name)
}
