package controllers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
)

// A tombstone is the ledger of a MailDomain that is gone, in the operator's namespace. From it the
// operator goes on to withdraw what others still rely on: public keys in their retention, and the
// MTA-STS policy that senders hold for up to a year (Law 11). It has no credentials and no private
// keys. What it needs of a provider it gets from a ClusterDNSProvider for the domain.
const (
	tombstoneType  = corev1.SecretType("maildomain.dev/tombstone")
	tombstoneLabel = "maildomain.dev/tombstone"
	tombstoneFile  = "maildomain.json"
	// takenAnnotation stops a tombstone whose MailDomain is there again: the ledger is its to keep.
	takenAnnotation = "maildomain.dev/taken-up"

	// unclaimedLimit is how long a tombstone waits for its registry record to be seen again.
	unclaimedLimit = 24 * time.Hour
)

// tombstone is what has to be known of the MailDomain besides its ledger.
type tombstone struct {
	Namespace string    `json:"namespace"`
	UID       types.UID `json:"namespaceUID"` // a namespace of the same name may be another's later
	Name      string    `json:"name"`
	Domain    string    `json:"domain"`

	Manual    bool             `json:"manual,omitempty"`   // its records were a human's to publish
	Provider  string           `json:"provider,omitempty"` // the ClusterDNSProvider that it had, if it had one
	Zone      string           `json:"zone,omitempty"`
	TTL       *metav1.Duration `json:"ttl,omitempty"`
	Retention *metav1.Duration `json:"retention,omitempty"`

	// Unclaimed is since when the registry record does not name the MailDomain any more.
	Unclaimed time.Time `json:"unclaimed,omitzero"`

	homeless bool // its namespace is gone
}

// homeless reports whether what stands in the namespace is not that of the MailDomain.
func (s *scope) homeless() bool {
	return s.ending != nil && s.ending.tombstone != nil && s.ending.tombstone.homeless
}

// abandoned reports whether nothing can be done about the records any more.
func (s *scope) abandoned() bool {
	return s.ending != nil && s.ending.tombstone != nil && !s.provider.usable() && s.provider.verdict.reason == v1alpha1.ReasonProviderNotFound
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

// bury leaves the tombstone, and then forgets the ledger.
func (r *Reconciler) bury(ctx context.Context, s *scope) error {
	uid, err := r.readNamespace(ctx, s.md.Namespace)
	if err != nil {
		return err
	}
	t := tombstone{Namespace: s.md.Namespace, UID: uid, Name: s.md.Name, Domain: s.md.Spec.Domain, Manual: s.md.Spec.Manual()}
	if dns := s.md.Spec.DNS; dns != nil {
		t.Zone, t.TTL = dns.Zone, dns.TTL
		if ref := dns.ProviderRef; ref != nil && ref.Kind == v1alpha1.KindClusterDNSProvider {
			t.Provider = ref.Name
		}
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
	default: // of a pass that did not get further; the ledger knows better
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
		what += fmt.Sprintf("; the MTA-STS policy, which senders may hold until %s", s.commitment().Until.Format(time.RFC3339))
	}
	return what
}

// takeUpTombstone makes a tombstone the ledger again, for a MailDomain that is there again. In a
// namespace that is another one, the right to the domain has to be proven anew.
func (r *Reconciler) takeUpTombstone(ctx context.Context, s *scope) (bool, error) {
	secret, err := r.readTombstone(ctx, s.md)
	if secret == nil || err != nil {
		return false, err
	}
	t, l, err := readWill(secret)
	if err != nil {
		return false, err
	}
	if secret.Annotations[takenAnnotation] == "" {
		if secret.Annotations == nil {
			secret.Annotations = map[string]string{}
		}
		secret.Annotations[takenAnnotation] = "true"
		if err := updateSecret(ctx, r.Client, secret); err != nil {
			return false, fmt.Errorf("taking up Secret %s: %w", secret.Name, err)
		}
	}
	uid, err := r.readNamespace(ctx, s.md.Namespace)
	if err != nil {
		return false, err
	}
	l.Spec = ledger.SpecSeen{}
	if uid != t.UID {
		l.Proof = ""
	}
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
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name},
		Spec: v1alpha1.MailDomainSpec{Domain: t.Domain, DNS: &v1alpha1.DNSSpec{
			ProviderRef:    &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider},
			Zone:           t.Zone,
			TTL:            t.TTL,
			DeletionPolicy: v1alpha1.DeletionDelete,
		}},
	})
	s.ending = &ending{rotation: &v1alpha1.DKIMRotation{Retention: t.Retention}, tombstone: t}
	s.book = &book{Ledger: l, privates: map[string][]byte{}, secret: secret, keyless: true}
	s.dkim.ring = l.Keyring
	if back, err := r.returned(ctx, s); back || err != nil {
		return ctrl.Result{RequeueAfter: r.Resync}, err
	}
	if err := run(ctx, s, r.endingSteps()); err != nil {
		if outdone(err) {
			return ctrl.Result{RequeueAfter: r.Poll}, nil
		}
		return ctrl.Result{}, err
	}
	done, err := r.finish(ctx, s)
	r.tell(secret, s.events)
	if done || err != nil {
		return ctrl.Result{}, err
	}
	s.again(r.Resync)
	return ctrl.Result{RequeueAfter: s.recheck}, nil
}

// returned reports whether the MailDomain is there: still, or again. Then the ledger is its own, and
// a tombstone that it has taken up goes.
func (r Tombstones) returned(ctx context.Context, s *scope) (bool, error) {
	t := s.ending.tombstone
	uid, err := r.readNamespace(ctx, t.Namespace)
	if err != nil {
		return false, err
	}
	t.homeless = uid != t.UID
	md := &v1alpha1.MailDomain{}
	err = r.Reader.Get(ctx, client.ObjectKeyFromObject(s.md), md)
	switch {
	case apierrors.IsNotFound(err), err == nil && md.Spec.Domain != t.Domain:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading MailDomain %s/%s: %w", t.Namespace, t.Name, err)
	case s.book.secret.Annotations[takenAnnotation] == "":
		return true, nil
	}
	own, err := openBook(ctx, r.Reader, md)
	if err != nil || own.secret.ResourceVersion == "" {
		return true, err
	}
	return true, s.book.delete(ctx, r.Client)
}

// finish ends the tombstone when nothing is left to be done, or to be done from here.
func (r Tombstones) finish(ctx context.Context, s *scope) (done bool, err error) {
	t := s.ending.tombstone
	switch {
	case s.claim.held && s.over():
		return r.close(ctx, s)
	case s.claim.held && s.abandoned() && s.book.MTASTS == nil:
		s.abandon(s.provider.verdict.message)
	case s.claim.held:
		return false, r.waits(ctx, s, time.Time{})
	case t.Unclaimed.IsZero() || t.Unclaimed.After(s.now):
		return false, r.waits(ctx, s, s.now)
	case s.now.Sub(t.Unclaimed) < unclaimedLimit:
		s.again(t.Unclaimed.Add(unclaimedLimit).Sub(s.now))
		return false, nil
	default:
		s.abandon(s.claim.verdict.message)
	}
	if r.Left != nil {
		r.Left(len(s.published()))
	}
	if err := r.forgetSite(ctx, s); err != nil {
		return false, err
	}
	return true, s.book.delete(ctx, r.Client)
}

func (s *scope) abandon(why string) {
	what := cmp.Or(names(s.published()), "those that a human published")
	for _, signer := range s.book.Signers {
		what += fmt.Sprintf("; and Secret %s with their keys", signer.Name)
	}
	s.left(fmt.Sprintf("%s; these records stay published, remove them by hand: %s", why, what))
}

// waits notes since when the claim is not seen.
func (r Tombstones) waits(ctx context.Context, s *scope, unclaimed time.Time) error {
	t := s.ending.tombstone
	if t.Unclaimed.Equal(unclaimed) {
		return nil
	}
	t.Unclaimed = unclaimed
	will, err := json.Marshal(t)
	if err != nil {
		return err
	}
	stored := s.book.secret.DeepCopy()
	stored.Data[tombstoneFile] = will
	return updateSecret(ctx, r.Client, stored)
}

// coveringProvider finds an administrator's provider for the domain of a tombstone: that which the
// MailDomain had, or the first by name that can be used.
func (r *Reconciler) coveringProvider(ctx context.Context, t *tombstone) (provider, error) {
	none := provider{verdict: verdict{v1alpha1.ReasonProviderNotFound, fmt.Sprintf("no ClusterDNSProvider is for %s", t.Domain)}}
	if t.Manual {
		none.verdict.message = fmt.Sprintf("the records of %s were a human's to publish", t.Domain)
		return none, nil
	}
	var list v1alpha1.ClusterDNSProviderList
	if err := r.Client.List(ctx, &list); err != nil {
		return none, err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.ClusterDNSProvider) int {
		switch t.Provider {
		case a.Name:
			return -1
		case b.Name:
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	for _, object := range list.Items {
		if !covers(&object.Spec.DNSProviderSpec, t.Domain) {
			continue
		}
		p, err := r.use(ctx, &object.Spec.DNSProviderSpec, providerRoom{v1alpha1.KindClusterDNSProvider, object.Name, r.Namespace})
		if err != nil {
			return none, err
		}
		p.granted = true
		if p.usable() {
			return p, nil
		}
		none = p
	}
	return none, nil
}
