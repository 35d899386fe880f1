package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/mtastsserver"
)

// SnapshotWriter keeps the directory that the policy server reads in step with the stored
// sites. It runs on every replica, leader or not.
type SnapshotWriter struct {
	Client    client.Client // the sites
	Reader    client.Reader // past any cache: the TLS Secrets
	Clock     clock.PassiveClock
	Namespace string
	Dir       string

	mu     sync.Mutex
	last   map[string]mtastsserver.Site // what was written last, by domain
	faults map[string]string            // what was last logged as wrong, by domain
}

// Reconcile writes a whole snapshot or none. What was served stays (Laws 2 and 12): only the mark
// of a complete withdrawal ends it, and only something better replaces it. What is wrong with one
// site does not keep the others from theirs.
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
	next, faults := maps.Clone(w.last), map[string]string{}
	var unread []error
	for _, config := range configs.Items {
		domain := config.Data[siteDomain]
		if config.Name != siteName(domain) {
			continue // somebody's copy
		}
		if config.Data[siteWithdrawn] == "true" {
			delete(next, domain)
			continue
		}
		if config.Data[sitePolicy] == "" {
			continue
		}
		wanted := mtastsserver.Site{Domain: domain, Policy: config.Data[sitePolicy]}
		secret, err := w.certificate(ctx, &config)
		if err != nil {
			err = fmt.Errorf("reading the certificate of %s: %w", domain, err)
			if _, served := next[domain]; !served {
				return ctrl.Result{}, err // a snapshot without it would be a part of one
			}
			unread = append(unread, err)
		}
		if what := fault(&config, secret, w.Clock.Now()); what == "" {
			wanted.Certificate, wanted.PrivateKey = secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
		} else {
			wanted.Certificate, wanted.PrivateKey = next[domain].Certificate, next[domain].PrivateKey
			faults[domain] = fmt.Sprintf("Secret %s/%s: %s", config.Data[siteNamespace], config.Data[siteTLSSecret], what)
		}
		if err := wanted.Check(); err != nil {
			faults[domain] = err.Error()
		} else if len(wanted.Certificate) > 0 {
			next[domain] = wanted
		}
	}
	w.complain(ctx, faults)
	if err := mtastsserver.WriteSnapshot(w.Dir, slices.Collect(maps.Values(next))); err != nil {
		return ctrl.Result{}, fmt.Errorf("writing the snapshot: %w", err)
	}
	w.last = next
	return ctrl.Result{}, errors.Join(unread...)
}

// certificate returns the Secret with the certificate of a site: the holder's, or what was kept of it
// when that can't be served.
func (w *SnapshotWriter) certificate(ctx context.Context, site *corev1.ConfigMap) (*corev1.Secret, error) {
	holders, kept := &corev1.Secret{}, &corev1.Secret{}
	err := w.Reader.Get(ctx, types.NamespacedName{Namespace: site.Data[siteNamespace], Name: site.Data[siteTLSSecret]}, holders)
	if client.IgnoreNotFound(err) != nil || fault(site, holders, w.Clock.Now()) == "" {
		return holders, err
	}
	err = w.Reader.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: site.Name}, kept)
	if err != nil || fault(site, kept, w.Clock.Now()) != "" {
		return holders, client.IgnoreNotFound(err)
	}
	return kept, nil
}

func fault(site *corev1.ConfigMap, secret *corev1.Secret, now time.Time) string {
	return pairFault(site.Data[siteDomain], secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey], now)
}

// Certificates implements Certificates with what is in the snapshot.
func (w *SnapshotWriter) Certificates(domain string) (certificate, key []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	site := w.last[domain]
	return site.Certificate, site.PrivateKey
}

// complain logs each fault once for as long as it lasts. Users read it in the MailDomain's
// condition MTASTSReady.
func (w *SnapshotWriter) complain(ctx context.Context, faults map[string]string) {
	for domain, what := range faults {
		if w.faults[domain] != what {
			log.FromContext(ctx).Info("the last good site stays in the snapshot", "domain", domain, "fault", what)
		}
	}
	w.faults = faults
}
