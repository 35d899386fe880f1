package controllers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
)

// A tombstone is the ledger of a MailDomain that is gone, in the operator's namespace. From it the
// operator goes on to withdraw what others still rely on: public keys in their retention, and the
// MTA-STS policy that senders hold for up to a year (Law 11). It has no credentials and no private
// keys. What it needs of a provider it gets from a ClusterDNSProvider that was granted for the domain.
const (
	tombstoneType  = corev1.SecretType("maildomain.dev/tombstone")
	tombstoneLabel = "maildomain.dev/tombstone"
	tombstoneFile  = "maildomain.json"
	// takenAnnotation stops a tombstone whose MailDomain is there again: the ledger is its to keep.
	takenAnnotation = "maildomain.dev/taken-up"

	// stuckLimit is how long a tombstone waits for its provider, or for its registry record to be seen
	// again; lingerLimit how long, beyond what it has to wait for, for anything to move.
	stuckLimit  = 24 * time.Hour
	lingerLimit = 30 * 24 * time.Hour
)

// tombstone is what has to be known of the MailDomain besides its ledger.
type tombstone struct {
	Namespace string    `json:"namespace"`
	UID       types.UID `json:"namespaceUID"` // a namespace of the same name may be another's later
	Name      string    `json:"name"`
	Domain    string    `json:"domain"`

	// Provider is the ClusterDNSProvider that may be used: granted to the namespace when it was left.
	// Empty: none was, and what is published stays.
	Provider  string           `json:"provider,omitempty"`
	Manual    bool             `json:"manual,omitempty"` // its records were a human's to publish
	Zone      string           `json:"zone,omitempty"`
	TTL       *metav1.Duration `json:"ttl,omitempty"`
	Retention *metav1.Duration `json:"retention,omitempty"`
	// Compromised is the selector that a person has named so.
	Compromised string `json:"compromised,omitempty"`

	Moved time.Time `json:"moved"`          // when something was last brought about
	Stuck time.Time `json:"stuck,omitzero"` // since when nothing can be done: no provider, or no claim

	homeless bool   // its namespace is gone
	before   []byte // the ledger as it was read
}

// homeless reports whether what stands in the namespace is not that of the MailDomain.
func (s *scope) homeless() bool {
	return s.ending != nil && s.ending.tombstone != nil && s.ending.tombstone.homeless
}

// abandoned reports whether nothing can be done about the records, now or later.
func (s *scope) abandoned() bool {
	return s.ending != nil && s.ending.tombstone != nil && s.ending.tombstone.Provider == ""
}

// tombstoneName is that of the Secret for the owner, as in ownerAnnotation.
func tombstoneName(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return "tombstone-" + hex.EncodeToString(sum[:16])
}

// readTombstone returns that of the MailDomain; nil if there is none.
func (r *Reconciler) readTombstone(ctx context.Context, md *v1alpha1.MailDomain) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: tombstoneName(ownerOf(md))}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the tombstone of %s: %w", ownerOf(md), err)
	}
	return secret, nil
}

func (r *Reconciler) readNamespace(ctx context.Context, name string) (types.UID, error) {
	var namespace corev1.Namespace
	err := r.Reader.Get(ctx, types.NamespacedName{Name: name}, &namespace)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading Namespace %s: %w", name, err)
	}
	return namespace.UID, nil
}

// bury leaves the tombstone, and then forgets the ledger. Where the domain was never this ledger's, it
// may not act from anywhere.
func (r *Reconciler) bury(ctx context.Context, s *scope) error {
	if !s.proven() {
		if len(s.published()) > 0 {
			s.abandon(fmt.Sprintf("%s was not claimed by this MailDomain", s.md.Spec.Domain))
		}
		return s.book.delete(ctx, r.Client)
	}
	uid, err := r.readNamespace(ctx, s.md.Namespace)
	if err != nil {
		return err
	}
	t := tombstone{Namespace: s.md.Namespace, UID: uid, Name: s.md.Name, Domain: s.md.Spec.Domain, Manual: s.md.Spec.Manual(), Moved: s.now,
		Compromised: s.md.Annotations[v1alpha1.AnnotationCompromised]}
	if t.Provider, err = r.heir(ctx, s); err != nil {
		return err
	}
	if dns := s.md.Spec.DNS; dns != nil {
		t.Zone, t.TTL = dns.Zone, dns.TTL
	}
	if rotation := s.rotation(); rotation != nil {
		t.Retention = rotation.Retention
	}
	will, err := json.Marshal(t)
	if err != nil {
		return err
	}
	text, err := s.book.Encode()
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: tombstoneName(ownerOf(s.md)),
			Labels:      map[string]string{managedByLabel: managedBy, tombstoneLabel: "true"},
			Annotations: map[string]string{ownerAnnotation: ownerOf(s.md)},
		},
		Type: tombstoneType,
		Data: map[string][]byte{ledgerFile: text, tombstoneFile: will},
	}
	known, err := r.readTombstone(ctx, s.md)
	switch {
	case err != nil:
		return err
	case known == nil:
		err = r.Client.Create(ctx, secret)
	default: // of a pass that did not get further, or of an owner who lost the domain since; the ledger knows better
		known.Data, known.Annotations = secret.Data, secret.Annotations
		err = updateSecret(ctx, r.Client, known)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", secret.Name, err)
	}
	s.events = append(s.events, event{reason: v1alpha1.ReasonHandedOver, action: "Delete", note: fmt.Sprintf(
		"what has to stay for longer is left to Secret %s in namespace %s: %s", secret.Name, r.Namespace, s.remains())})
	return s.book.delete(ctx, r.Client)
}

// remains says what is left to be done, for people.
func (s *scope) remains() string {
	what := "the records " + cmp.Or(names(s.published()), "that a human published")
	if told := s.book.MTASTS; told != nil {
		what += fmt.Sprintf("; the MTA-STS policy, which senders may hold until %s", ends(s.commitment()).Format(time.RFC3339))
	}
	return what
}

// takeUpTombstone makes a tombstone the ledger again, for a MailDomain that is there again in the same
// namespace. One in a namespace that was made anew is a stranger until it has proven control.
func (r *Reconciler) takeUpTombstone(ctx context.Context, s *scope) (bool, error) {
	secret, err := r.readTombstone(ctx, s.md)
	if secret == nil || err != nil {
		return false, err
	}
	t, l, err := readWill(secret)
	if err != nil {
		return false, err
	}
	if uid, err := r.readNamespace(ctx, s.md.Namespace); err != nil || uid != t.UID {
		return false, err
	}
	if s.md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce && secret.Annotations[takenAnnotation] == "" {
		if secret.Annotations == nil {
			secret.Annotations = map[string]string{}
		}
		secret.Annotations[takenAnnotation] = "true"
		if err := updateSecret(ctx, r.Client, secret); err != nil {
			return false, fmt.Errorf("taking up Secret %s: %w", secret.Name, err)
		}
	}
	l.Spec = ledger.SpecSeen{}
	s.book.Ledger = l
	return true, nil
}

// readWill reads what is in a tombstone. An error wraps errLedger.
func readWill(secret *corev1.Secret) (*tombstone, *ledger.Ledger, error) {
	t := &tombstone{}
	if err := json.Unmarshal(secret.Data[tombstoneFile], t); err != nil {
		return nil, nil, fmt.Errorf("%w: Secret %s, key %s: %w", errLedger, secret.Name, tombstoneFile, err)
	}
	l, err := ledger.Decode(secret.Data[ledgerFile], t.Domain)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: Secret %s, key %s holds %w", errLedger, secret.Name, ledgerFile, err)
	}
	return t, l, nil
}
