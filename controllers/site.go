package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/mtastsserver"
)

// A claimed domain has a ConfigMap in the operator's namespace: who holds it, and the policy
// that is served for it. Every replica of the operator writes what is served from these, so
// that serving needs neither the MailDomain nor a leader.
const (
	siteLabel     = "maildomain.dev/site"
	siteHolder    = "holder"
	siteDomain    = "domain"
	sitePolicy    = "policy"
	siteTLSSecret = "tlsSecret" // in the namespace of the holder
	siteNamespace = "namespace"
)

// site is what is stored of a claimed domain.
type site struct {
	holder string
	config *corev1.ConfigMap // nil: there is none
}

func siteName(domain string) string {
	sum := sha256.Sum256([]byte(domain))
	return "claim-" + hex.EncodeToString(sum[:8])
}

func (r *Reconciler) readSite(ctx context.Context, domain string) (site, error) {
	config := &corev1.ConfigMap{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: siteName(domain)}, config)
	if apierrors.IsNotFound(err) {
		return site{}, nil
	}
	if err != nil {
		return site{}, fmt.Errorf("reading the claim of %s: %w", domain, err)
	}
	return site{holder: config.Data[siteHolder], config: config}, nil
}

// writeSite stores the claim and what is to be served.
func (r *Reconciler) writeSite(ctx context.Context, s *scope) error {
	if !s.writes() {
		return nil
	}
	stored, err := r.readSite(ctx, s.md.Spec.Domain)
	if err != nil {
		return err
	}
	data := map[string]string{siteHolder: ownerOf(s.md), siteDomain: s.md.Spec.Domain}
	if stored.config != nil && stored.holder == ownerOf(s.md) && !s.mtasts.ended {
		maps.Copy(data, stored.config.Data) // what is served stays, unless the pass says otherwise
	}
	if s.mtasts.serve != nil {
		data[sitePolicy] = s.mtasts.serve.String()
		data[siteNamespace], data[siteTLSSecret] = s.md.Namespace, s.md.TLSSecretName()
	}
	if stored.config == nil {
		return r.Client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: siteName(s.md.Spec.Domain), Labels: map[string]string{managedByLabel: managedBy, siteLabel: "true"}},
			Data:       data,
		})
	}
	if maps.Equal(data, stored.config.Data) {
		return nil
	}
	next := stored.config.DeepCopy()
	next.Data = data
	return r.Client.Patch(ctx, next, client.MergeFromWithOptions(stored.config, client.MergeFromWithOptimisticLock{}))
}

// SnapshotWriter keeps the directory that the policy server reads in step with the stored
// sites. It runs on every replica, leader or not.
type SnapshotWriter struct {
	Client    client.Client // the sites
	Reader    client.Reader // past any cache: the TLS Secrets
	Namespace string
	Dir       string

	mu   sync.Mutex
	last map[string]mtastsserver.Site // what was written last, by domain
}

// Reconcile writes a whole snapshot or none. A certificate that is gone or can't be read does
// not end what is served.
func (w *SnapshotWriter) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var configs corev1.ConfigMapList
	if err := w.Client.List(ctx, &configs, client.InNamespace(w.Namespace), client.HasLabels{siteLabel}); err != nil {
		return ctrl.Result{}, err
	}
	if w.last == nil {
		w.last = map[string]mtastsserver.Site{}
		if before, err := mtastsserver.LoadSnapshot(w.Dir); err == nil {
			for _, s := range before.Sites() {
				w.last[s.Domain] = s
			}
		}
	}
	next := map[string]mtastsserver.Site{}
	for _, config := range configs.Items {
		domain, policy := config.Data[siteDomain], config.Data[sitePolicy]
		if policy == "" {
			continue
		}
		var secret corev1.Secret
		err := w.Reader.Get(ctx, types.NamespacedName{Namespace: config.Data[siteNamespace], Name: config.Data[siteTLSSecret]}, &secret)
		switch {
		case err == nil && len(secret.Data[corev1.TLSCertKey]) > 0 && len(secret.Data[corev1.TLSPrivateKeyKey]) > 0:
			next[domain] = mtastsserver.Site{Domain: domain, Policy: policy, Certificate: secret.Data[corev1.TLSCertKey], PrivateKey: secret.Data[corev1.TLSPrivateKeyKey]}
		case err == nil || apierrors.IsNotFound(err):
			if before, served := w.last[domain]; served {
				before.Policy = policy
				next[domain] = before
			}
		default:
			return ctrl.Result{}, fmt.Errorf("reading the certificate of %s: %w", domain, err)
		}
	}
	var sites []mtastsserver.Site
	for _, s := range next {
		sites = append(sites, s)
	}
	if err := mtastsserver.WriteSnapshot(w.Dir, sites); err != nil {
		return ctrl.Result{}, fmt.Errorf("writing the snapshot: %w", err)
	}
	w.last = next
	return ctrl.Result{}, nil
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
