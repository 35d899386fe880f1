package controllers

import (
	"bytes"
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
	"github.com/maildomain/maildomain-operator/records"
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

// heir finds the ClusterDNSProvider that a tombstone may go on with: the MailDomain's own, or else the
// first by name with a grant for its namespace and domain that holds the zone. A tenant writes its
// ledger, so without a grant that would be a tenant's way to an administrator's credentials.
func (r *Reconciler) heir(ctx context.Context, s *scope) (string, error) {
	if s.md.Spec.Manual() {
		return "", nil
	}
	if ref := s.md.Spec.DNS.ProviderRef; ref.Kind == v1alpha1.KindClusterDNSProvider {
		if p, err := r.findProvider(ctx, s.md); err != nil || !p.granted {
			return "", err
		}
		return ref.Name, nil
	}
	var list v1alpha1.ClusterDNSProviderList
	if err := r.Client.List(ctx, &list); err != nil {
		return "", err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.ClusterDNSProvider) int { return cmp.Compare(a.Name, b.Name) })
	slot := records.ClaimSlot(s.md.Spec.Domain)
	claim := records.NewClaim(r.OwnerID, s.md.Namespace, s.md.Name).String()
	apex := s.apex(r.look(ctx, s, slot.Name))
	for _, object := range list.Items {
		spec := &object.Spec.DNSProviderSpec
		if granted, err := r.grants(ctx, object.Spec.Grants, s.md); err != nil {
			return "", err
		} else if !granted || !covers(spec, s.md.Spec.Domain) || apex == "" {
			continue
		}
		p, err := r.use(ctx, spec, providerRoom{v1alpha1.KindClusterDNSProvider, object.Name, r.Namespace})
		if err != nil {
			return "", err
		}
		if !p.usable() {
			continue
		}
		if zone, err := p.open(apex); err == nil {
			if seen := zone.Read(ctx, slot.Key)[0]; seen.Err == nil && slices.ContainsFunc(seen.RRset.Values(), func(v string) bool { return slot.Same(v, claim) }) {
				return object.Name, nil
			}
		}
	}
	return "", nil
}

// remains says what is left to be done, for people.
func (s *scope) remains() string {
	what := "the records " + cmp.Or(names(s.published()), "that a human published")
	if told := s.book.MTASTS; told != nil {
		what += fmt.Sprintf("; the MTA-STS policy, which senders may hold until %s", s.commitment().Until.Format(time.RFC3339))
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
	r.tell(secret, s.events)
	if done || err != nil {
		return ctrl.Result{}, err
	}
	s.again(r.Resync)
	return ctrl.Result{RequeueAfter: s.recheck}, nil
}

// returned reports whether the MailDomain is there, still or again, so that there is nothing to do
// here. A tombstone whose ledger is in use again goes.
func (r Tombstones) returned(ctx context.Context, s *scope) (after time.Duration, err error) {
	t := s.ending.tombstone
	uid, err := r.readNamespace(ctx, t.Namespace)
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
	return r.Resync, err
}

// finish ends the tombstone when nothing is left to be done, or to be done from here.
func (r Tombstones) finish(ctx context.Context, s *scope) (done bool, err error) {
	t := s.ending.tombstone
	if moved, err := s.moved(); err != nil {
		return false, err
	} else if moved {
		t.Moved = s.now
	}
	due := latest(s.commitment().Until, t.Moved.Add(s.dkim.policy.Retention))
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

// providerOf returns the provider that a tombstone may use.
func (r *Reconciler) providerOf(ctx context.Context, t *tombstone) (provider, error) {
	none := func(why string) provider { return provider{verdict: verdict{v1alpha1.ReasonProviderNotFound, why}} }
	switch {
	case t.Manual:
		return none(fmt.Sprintf("the records of %s were a human's to publish", t.Domain)), nil
	case t.Provider == "":
		return none(fmt.Sprintf("no ClusterDNSProvider with a grant for namespace %s held %s", t.Namespace, t.Domain)), nil
	}
	var object v1alpha1.ClusterDNSProvider
	err := r.Client.Get(ctx, types.NamespacedName{Name: t.Provider}, &object)
	switch {
	case apierrors.IsNotFound(err), err == nil && !covers(&object.Spec.DNSProviderSpec, t.Domain):
		return none(fmt.Sprintf("ClusterDNSProvider %s is not there for %s", t.Provider, t.Domain)), nil
	case err != nil:
		return provider{}, err
	}
	p, err := r.use(ctx, &object.Spec.DNSProviderSpec, providerRoom{v1alpha1.KindClusterDNSProvider, object.Name, r.Namespace})
	p.granted = true
	return p, err
}
