package controllers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A claimed domain has a ConfigMap in the operator's namespace: who holds it, and the policy
// that is served for it. The writer beside each policy server makes what is served of these, so
// that serving needs neither the MailDomain nor a manager.
const (
	siteLabel  = "maildomain.dev/site"
	siteHolder = "holder"
	siteDomain = "domain"
	// siteProof is the hash of the secret in the holder's ledger. The holder is a name, and another
	// tenant can get a namespace of that name when it was deleted.
	siteProof  = "proof"
	sitePolicy = "policy"
	siteSince  = "since" // when the policy was stored
	// siteAnnounced is the policy that is announced, where that is not the one that is served: senders
	// hold it, and renew it while they see its id.
	siteAnnounced = "announced"
	// siteID is the id that was announced last, by whomever: no later one is the same.
	siteID = "id"
	// The Secret with the certificate: that of the holder who had the policy served.
	siteNamespace = "namespace"
	siteTLSSecret = "tlsSecret"
	// siteUntil is when senders have forgotten what was served before the policy.
	siteUntil = "until"
	// siteWithdrawn, with the value "true", says that a withdrawal is complete: the one thing
	// that ends serving. A policy or a ConfigMap that is not there does not (Laws 2 and 12).
	siteWithdrawn = "withdrawn"
)

// site is what is stored of a claimed domain.
type site struct {
	holder string
	config *corev1.ConfigMap // nil: there is none
}

// served is the policy that is served, and when senders have forgotten the ones before it.
func (s site) served() (policy string, until time.Time) {
	if s.config == nil {
		return "", time.Time{}
	}
	until, _ = time.Parse(time.RFC3339, s.config.Data[siteUntil]) // absent: nothing before it
	return s.config.Data[sitePolicy], until
}

// since is when the policy was stored; zero if that is not known.
func (s site) since() time.Time {
	if s.config == nil {
		return time.Time{}
	}
	since, _ := time.Parse(time.RFC3339, s.config.Data[siteSince]) // absent: by an earlier version, so long ago
	return since
}

// announced is the policy that is announced in place of the one that is served; "" is none.
func (s site) announced() string {
	if s.config == nil {
		return ""
	}
	return s.config.Data[siteAnnounced]
}

// id is the one that was announced last; "" is none.
func (s site) id() string {
	if s.config == nil {
		return ""
	}
	return s.config.Data[siteID]
}

// namesake reports whether the holder is another of the same name: its ledger is not the one that
// the claim was made with. A claim of an older version knows of no ledger.
func (s site) namesake(owner, proof string) bool {
	return s.holder == owner && s.config.Data[siteProof] != "" && s.config.Data[siteProof] != proofHash(proof)
}

func proofHash(proof string) string {
	sum := sha256.Sum256([]byte(proof))
	return hex.EncodeToString(sum[:])
}

func siteName(domain string) string {
	sum := sha256.Sum256([]byte(domain))
	return "claim-" + hex.EncodeToString(sum[:8])
}

// Claims, and what is served.
// +kubebuilder:rbac:namespace=maildomain-system,roleName=maildomain-manager,groups="",resources=configmaps,verbs=get;create;patch;delete

func (r *Reconciler) readSite(ctx context.Context, domain string) (site, error) {
	config := &corev1.ConfigMap{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: siteName(domain)}, config)
	if apierrors.IsNotFound(err) {
		return site{}, nil
	}
	if err != nil {
		return site{}, fmt.Errorf("reading the claim of %s: %w", domain, err)
	}
	// The name is a short hash. That of another domain is neither believed nor written over.
	if of := config.Data[siteDomain]; of != "" && of != domain {
		return site{}, fmt.Errorf("ConfigMap %s is the site of %s, not of %s", config.Name, of, domain)
	}
	return site{holder: config.Data[siteHolder], config: config}, nil
}

// release takes the holder out of what is stored, and nothing of what is served.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	if s.site.config == nil {
		return nil
	}
	next := s.site.config.DeepCopy()
	delete(next.Data, siteHolder)
	delete(next.Data, siteProof)
	if err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(s.site.config, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("releasing the claim of %s: %w", s.md.Spec.Domain, err)
	}
	s.site = site{config: next}
	return nil
}

// forgetSite is release for a domain that is given up. The mark of a withdrawal stays: a replica may
// come to see it late. Where nothing was ever served, nothing stays.
func (r *Reconciler) forgetSite(ctx context.Context, s *scope) error {
	if s.site.config == nil || !s.claim.held || !s.proven() {
		return nil
	}
	if policy, _ := s.site.served(); policy == "" && s.site.config.Data[siteWithdrawn] == "" {
		return client.IgnoreNotFound(r.Client.Delete(ctx, s.site.config, client.Preconditions{UID: &s.site.config.UID, ResourceVersion: &s.site.config.ResourceVersion}))
	}
	return r.release(ctx, s)
}

// writeSite stores the claim and what is to be served.
func (r *Reconciler) writeSite(ctx context.Context, s *scope) error {
	if !s.writes() {
		return nil
	}
	data := siteData(s)
	if s.site.config == nil {
		made := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: siteName(s.md.Spec.Domain), Labels: map[string]string{managedByLabel: managedBy, siteLabel: "true"}},
			Data:       data,
		}
		if err := r.Client.Create(ctx, made); err != nil {
			return fmt.Errorf("storing the claim of %s: %w", s.md.Spec.Domain, err)
		}
		s.site = site{holder: ownerOf(s.md), config: made}
		return nil
	}
	if maps.Equal(data, s.site.config.Data) {
		return nil
	}
	next := s.site.config.DeepCopy()
	next.Data = data
	if err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(s.site.config, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("storing what is served for %s: %w", s.md.Spec.Domain, err)
	}
	before := s.site.holder
	s.site = site{holder: ownerOf(s.md), config: next}
	if served := s.mtasts.serve != nil && s.md.Spec.MTASTS != nil; s.mtasts.ended || served && before != ownerOf(s.md) {
		return r.dropCertificate(ctx, s.md.Spec.Domain) // what was kept of another's has served its time
	}
	return nil
}

// siteData is what is to be stored. What is served stays, with the certificate that it is served
// with, unless the pass says otherwise: also over a change of the holder, and while the section
// that named the certificate is gone from spec.
func siteData(s *scope) map[string]string {
	data := map[string]string{}
	if s.site.config != nil {
		maps.Copy(data, s.site.config.Data)
	}
	data[siteHolder], data[siteDomain], data[siteProof] = ownerOf(s.md), s.md.Spec.Domain, proofHash(s.book.Proof)
	if id := s.lastID(); id != "" {
		data[siteID] = id
	}
	if s.mtasts.ended {
		for _, key := range []string{sitePolicy, siteSince, siteAnnounced, siteNamespace, siteTLSSecret, siteUntil} {
			delete(data, key)
		}
		data[siteWithdrawn] = "true"
		return data
	}
	told := s.book.MTASTS
	if told == nil {
		return data // nothing of ours is served
	}
	switch {
	case s.mtasts.serve != nil:
		data[sitePolicy] = s.mtasts.serve.String()
	case data[sitePolicy] == "" && told.Policy != "":
		data[sitePolicy] = told.Policy // the ConfigMap was lost
	default:
		return data
	}
	delete(data, siteWithdrawn)
	if s.site.config == nil || s.site.config.Data[sitePolicy] != data[sitePolicy] {
		data[siteSince] = s.now.Format(time.RFC3339)
	}
	switch told.Policy {
	case "": // what the holder before has announced still is
	case data[sitePolicy]:
		delete(data, siteAnnounced)
	default:
		data[siteAnnounced] = told.Policy
	}
	if s.mtasts.serve != nil && s.md.Spec.MTASTS != nil || data[siteTLSSecret] == "" {
		data[siteNamespace], data[siteTLSSecret] = s.md.Namespace, cmp.Or(told.TLSSecret, s.md.TLSSecretName())
	}
	if end := ends(*told); !end.IsZero() {
		data[siteUntil] = end.Format(time.RFC3339)
	}
	return data
}
