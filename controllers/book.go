package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

const (
	// ledgerType marks a Secret as a ledger: the type of a Secret can't be changed later.
	ledgerType = corev1.SecretType("maildomain.dev/ledger")
	ledgerFile = "ledger.json"

	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "maildomain-operator"
	// ownerAnnotation says for which MailDomain a Secret was made: <namespace>/<name>/<domain>.
	ownerAnnotation = "maildomain.dev/owner"

	// ledgerFinalizer keeps a ledger readable when its namespace is deleted, until the records that
	// it knows of are withdrawn or left to a tombstone: Secrets go before MailDomains do.
	ledgerFinalizer = "maildomain.dev/ledger"
)

// errLedger: the ledger can't be used, or is lost; nothing may be touched.
var errLedger = errors.New("the ledger can't be read")

// book is a ledger with the private keys, as they stand in one Secret: a key and the intent to
// publish it are stored by one write.
type book struct {
	*ledger.Ledger
	privates map[string][]byte // by selector
	secret   *corev1.Secret    // as read; without resourceVersion it does not exist yet
	// keyless: the private keys are not stored with it, as in a tombstone.
	keyless bool
	// kept: it is to outlive a deletion of its Secret, see ledgerFinalizer.
	kept bool
}

// ledgerName is the name of the Secret. It has no owner reference: it outlives the MailDomain,
// and one that is created again takes it up.
func ledgerName(name string) string { return name + "-maildomain-ledger" }

// ownerOf is the value of the annotation of Secrets that belong to a MailDomain.
func ownerOf(md *v1alpha1.MailDomain) string {
	return md.Namespace + "/" + md.Name + "/" + md.Spec.Domain
}

// openBook reads the ledger, past any cache. One that does not exist is empty, see lostLedger. An
// error wraps errLedger if it exists and can't be used.
func openBook(ctx context.Context, reader client.Reader, md *v1alpha1.MailDomain) (*book, error) {
	secret := &corev1.Secret{}
	err := reader.Get(ctx, types.NamespacedName{Namespace: md.Namespace, Name: ledgerName(md.Name)}, secret)
	if apierrors.IsNotFound(err) {
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace:   md.Namespace,
				Name:        ledgerName(md.Name),
				Labels:      map[string]string{managedByLabel: managedBy},
				Annotations: map[string]string{ownerAnnotation: ownerOf(md)},
			},
			Type: ledgerType,
		}
		return &book{Ledger: ledger.New(md.Spec.Domain), privates: map[string][]byte{}, secret: secret, kept: controllerutil.ContainsFinalizer(md, finalizer)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", ledgerName(md.Name), err)
	}
	if secret.Type != ledgerType {
		return nil, fmt.Errorf("%w: Secret %s is of type %s, wanted %s: it is not the operator's; remove or rename it", errLedger, secret.Name, secret.Type, ledgerType)
	}
	l, err := ledger.Decode(secret.Data[ledgerFile], md.Spec.Domain)
	if err != nil {
		return nil, fmt.Errorf("%w: Secret %s, key %s holds %w", errLedger, secret.Name, ledgerFile, err)
	}
	b := &book{Ledger: l, privates: map[string][]byte{}, secret: secret, kept: controllerutil.ContainsFinalizer(md, finalizer)}
	for name, data := range secret.Data {
		if selector, ok := strings.CutSuffix(name, keys.PrivateFile("")); ok {
			b.privates[selector] = data
		}
	}
	return b, nil
}

// lostLedger tells a ledger that is gone from one that never was (Law 2): what only follows from a
// ledger is still there. Without it nothing is known of keys and commitments, so the error, which
// wraps errLedger, ends the pass before anything is written or made.
func (r *Reconciler) lostLedger(ctx context.Context, s *scope) error {
	lost := func(trace, anew string) error {
		return fmt.Errorf("%w: Secret %s is gone, while %s: restore it from a backup; or, to begin anew with new keys, delete %s and the record %s, and create the MailDomain again", errLedger, s.book.secret.Name, trace, anew, records.ClaimSlot(s.md.Spec.Domain).Key)
	}
	for _, name := range slices.Compact([]string{s.md.SignerSecretName(), s.md.Name + "-dkim"}) {
		signer, err := r.readSigner(ctx, s.md, name)
		if err != nil {
			return err
		}
		if signer.secret != nil && !signer.foreign && (!signer.shared || len(signer.data) > 0) {
			return lost(fmt.Sprintf("Secret %s still holds keys of this MailDomain", name), "that Secret, the MailDomain")
		}
	}
	before := s.md.Status
	if before.DKIM != nil && len(before.DKIM.Keys) > 0 || before.MTASTS != nil && before.MTASTS.PolicyID != "" {
		return lost("status still lists what was in it", "the MailDomain")
	}
	// In mode Observe, and without the claim, status lists records that nobody here wrote, so it does
	// not tell alone; a stored claim does, unless it is a namesake's.
	stands := func(record v1alpha1.RecordStatus) bool {
		return record.State == v1alpha1.RecordVerified || record.State == v1alpha1.RecordPublished || record.State == v1alpha1.RecordWithdrawing
	}
	if r.returned(ctx, s) {
		return lost(fmt.Sprintf("%s names this MailDomain, which has no status, and there are selectors below _domainkey", records.ClaimSlot(s.md.Spec.Domain).Key), "the MailDomain")
	}
	ready := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady)
	if !slices.ContainsFunc(before.Records, stands) || ready != nil && ready.Reason == v1alpha1.ReasonDomainNotClaimed {
		return nil
	}
	stored, err := r.readSite(ctx, s.md.Spec.Domain)
	if err == nil && stored.holder == ownerOf(s.md) {
		return lost("status still lists records as written", "the MailDomain")
	}
	return err
}

// returned reports whether the MailDomain seems to come from a backup without ledger and status: it was
// never looked at, while its own registry record, which only is written with a ledger, stands already
// and the domain has selectors. In manual mode a human writes that record, so it does not tell.
func (r *Reconciler) returned(ctx context.Context, s *scope) bool {
	seen := meta.FindStatusCondition(s.md.Status.Conditions, v1alpha1.ConditionProviderReady) != nil // there after any whole pass
	if seen || s.md.Spec.Manual() || s.md.Spec.DKIM == nil {
		return false
	}
	slot := records.ClaimSlot(s.md.Spec.Domain)
	claim := records.NewClaim(r.OwnerID, s.md.Namespace, s.md.Name).String()
	if !slices.ContainsFunc(lookThrough(ctx, s, slot.Name, nil).answers, func(a probe.Answer) bool { return shows(a, slot, claim) }) {
		return false
	}
	below := lookThrough(ctx, s, "_domainkey."+s.md.Spec.Domain, nil).answers
	return slices.ContainsFunc(below, func(a probe.Answer) bool { return a.Outcome == probe.Found || a.Outcome == probe.NoData })
}

// save writes the book if it differs from what is stored. A conflict with another writer is an
// error: the pass ends and the next one reads anew.
func (b *book) save(ctx context.Context, writer client.Client) error {
	text, err := b.Encode()
	if err != nil {
		return fmt.Errorf("encoding the ledger: %w", err)
	}
	data := map[string][]byte{ledgerFile: text}
	if will, ok := b.secret.Data[tombstoneFile]; ok {
		data[tombstoneFile] = will
	}
	for selector, private := range b.privates {
		if i := b.Keyring.Find(selector); i >= 0 && !b.keyless && b.Keyring[i].State() != keys.Removed && b.Keyring[i].State() != keys.Revoked {
			data[keys.PrivateFile(selector)] = private
		}
	}
	next := b.secret.DeepCopy()
	next.Data = data
	if next.DeletionTimestamp.IsZero() { // else it would be the end of it, or is refused
		if b.kept {
			controllerutil.AddFinalizer(next, ledgerFinalizer)
		} else {
			controllerutil.RemoveFinalizer(next, ledgerFinalizer)
		}
	}
	if maps.EqualFunc(data, b.secret.Data, bytes.Equal) && slices.Equal(next.Finalizers, b.secret.Finalizers) {
		return nil
	}
	if next.ResourceVersion == "" {
		err = writer.Create(ctx, next)
	} else {
		err = updateSecret(ctx, writer, next)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", next.Name, err)
	}
	b.secret = next
	return nil
}

// confirm fails if a tombstone has changed since it was read, for example because its MailDomain takes
// it up. What acts on a tombstone asks right before. An unchanged Secret costs no write.
func (b *book) confirm(ctx context.Context, writer client.Client) error {
	if !b.keyless {
		return nil
	}
	return updateSecret(ctx, writer, b.secret.DeepCopy())
}

// delete removes the Secret for good.
func (b *book) delete(ctx context.Context, writer client.Client) error {
	if b.secret.ResourceVersion == "" {
		return nil
	}
	next := b.secret.DeepCopy()
	if controllerutil.RemoveFinalizer(next, ledgerFinalizer) {
		if err := updateSecret(ctx, writer, next); err != nil {
			return client.IgnoreNotFound(fmt.Errorf("letting go of Secret %s: %w", next.Name, err))
		}
	}
	if err := writer.Delete(ctx, next, client.Preconditions{UID: &next.UID, ResourceVersion: &next.ResourceVersion}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", next.Name, err)
	}
	return nil
}

// Ledgers, signers' Secrets and kept certificates.
// +kubebuilder:rbac:roleName=maildomain-domains,groups="",resources=secrets,verbs=create;update;delete

// updateSecret is the one place of an Update: of a MailDomain it would rewrite the user's spec.
func updateSecret(ctx context.Context, writer client.Client, secret *corev1.Secret) error {
	return writer.Update(ctx, secret) //nolint:forbidigo // a Secret, and the whole of it is ours
}
