package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
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
// sites. One runs beside each policy server, and its directory is its own; in a manager it runs
// whether or not that leads.
//
// Sites come from the cache, and so does the metadata of TLS Secrets. A Secret itself is read past
// the cache, and only when its resourceVersion is not the one that was read last: a change costs a
// read and the files that it changes, however many domains there are.
type SnapshotWriter struct {
	Client    client.Client // the sites, and the metadata of Secrets
	Reader    client.Reader // past any cache: the TLS Secrets
	Clock     clock.PassiveClock
	Namespace string
	Dir       string
	// Plain leaves certificates out: what ends TLS in front of the policy server has them. No Secret is read.
	Plain bool

	mu       sync.Mutex
	writer   *mtastsserver.Writer // nil: to be opened
	sites    map[string]*written  // what the writer was given, by domain
	complete bool                 // a snapshot with all sites was committed
	faults   map[string]string    // what was last logged as wrong, by domain

	watched atomic.Pointer[map[types.NamespacedName]bool] // the Secrets that sites name; nil: not known yet
	wrote   atomic.Bool                                   // this process has written a snapshot
}

// written is what the writer was given of a site, and what was found in the Secrets that its
// certificate may come from.
type written struct {
	policy string
	unread bool  // its Secrets could not be read
	unfit  error // what keeps it from standing in a snapshot

	from  secretVersion // "" where it is not known: an earlier process wrote it
	found [2]reading    // as in secretsOf
}

// Reconcile writes a whole snapshot or none. What was served stays (Laws 2 and 12): only the mark
// of a complete withdrawal ends it, and only something better replaces it. What is wrong with one
// site does not keep the others from theirs.
func (w *SnapshotWriter) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var configs corev1.ConfigMapList
	if err := w.Client.List(ctx, &configs, client.InNamespace(w.Namespace), client.HasLabels{siteLabel}, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, err
	}
	if w.writer == nil {
		writer, err := mtastsserver.OpenWriter(w.Dir)
		if err != nil {
			return ctrl.Result{}, fmt.Errorf("opening the snapshot: %w", err)
		}
		w.writer, w.sites = writer, map[string]*written{}
		w.complete = len(writer.Domains()) > 0 // as only a whole one was ever written
	}
	sites := w.current(configs.Items)
	unread, err := w.give(ctx, sites)
	if err == nil && w.partial() {
		return ctrl.Result{}, unread
	}
	if err == nil {
		err = w.writer.Commit()
	}
	if err != nil {
		w.writer = nil
		return ctrl.Result{}, fmt.Errorf("writing the snapshot: %w", err)
	}
	w.wrote.Store(true)
	w.complete = w.complete || unread == nil
	w.complain(ctx, sites)
	return ctrl.Result{RequeueAfter: w.nextTurn()}, unread
}

// Ready implements healthz.Checker: not before this process has written a snapshot, and from then on, whatever becomes of the API
// server (Law 12). It is a whole one, but for new sites that can't be read where there was a whole one before.
func (w *SnapshotWriter) Ready(*http.Request) error {
	if !w.wrote.Load() {
		return errors.New("no snapshot has been written yet: the caches are not filled, or the log says what could not be read")
	}
	return nil
}

// partial reports whether what could be written now would be a part of a snapshot: none with all
// sites was written before, and one is missing that could not be read.
func (w *SnapshotWriter) partial() bool {
	for domain, state := range w.sites {
		if state.unread && !w.writer.Has(domain) && !w.complete {
			return true
		}
	}
	return false
}

// current are the sites that are to be served. Those whose withdrawal is complete are dropped.
func (w *SnapshotWriter) current(configs []corev1.ConfigMap) []*corev1.ConfigMap {
	sites, watched := make([]*corev1.ConfigMap, 0, len(configs)), map[types.NamespacedName]bool{}
	for i := range configs {
		site := &configs[i]
		domain := site.Data[siteDomain]
		switch {
		case site.Name != siteName(domain): // somebody's copy
		case site.Data[siteWithdrawn] == "true":
			w.writer.Drop(domain)
			delete(w.sites, domain)
		case site.Data[sitePolicy] != "":
			sites = append(sites, site)
			if !w.Plain {
				for _, secret := range secretsOf(site) {
					watched[secret] = true
				}
			}
			if w.sites[domain] == nil {
				w.sites[domain] = &written{}
			}
		}
	}
	w.watched.Store(&watched) // before any of them is looked at: what comes later is an event
	return sites
}

// parallel is how many Secrets are read at the same time, and how many are held.
const parallel = 16

// give hands the writer what is new of the sites. unread is what could not be read: that site stays
// as it was. err is the writer's.
func (w *SnapshotWriter) give(ctx context.Context, sites []*corev1.ConfigMap) (unread, err error) {
	now := w.Clock.Now()
	var failed []error
	for batch := range slices.Chunk(sites, parallel) {
		secrets, errs := make([]*corev1.Secret, len(batch)), make([]error, len(batch))
		var group sync.WaitGroup
		for i, site := range batch {
			group.Go(func() { secrets[i], errs[i] = w.better(ctx, site, w.sites[site.Data[siteDomain]], now) })
		}
		group.Wait()
		for i, site := range batch {
			domain := site.Data[siteDomain]
			state := w.sites[domain]
			if state.unread = errs[i] != nil; state.unread {
				failed = append(failed, fmt.Errorf("reading the certificate of %s: %w", domain, errs[i]))
			}
			if err := w.put(domain, site.Data[sitePolicy], state, secrets[i]); err != nil {
				return nil, err
			}
		}
	}
	return errors.Join(failed...), nil
}

// better returns the Secret whose certificate is to be served in place of the one that is; nil: none.
func (w *SnapshotWriter) better(ctx context.Context, site *corev1.ConfigMap, state *written, now time.Time) (*corev1.Secret, error) {
	if w.Plain {
		return nil, nil
	}
	for i, name := range secretsOf(site) {
		found := &state.found[i]
		version, err := w.version(ctx, name)
		if err != nil {
			return nil, err
		}
		var secret *corev1.Secret
		if found.version != version {
			if secret, *found, err = w.read(ctx, site, version); err != nil {
				return nil, err
			}
		}
		if found.fault(now) != "" {
			continue
		}
		if found.version == state.from {
			return nil, nil // it is served
		}
		if secret == nil { // found earlier, and not good then
			if secret, *found, err = w.read(ctx, site, version); err != nil {
				return nil, err
			}
			if found.fault(now) != "" {
				continue
			}
		}
		return secret, nil
	}
	return nil, nil
}

// put hands the site to the writer. A site that can't stand in a snapshot at all stays as it was.
func (w *SnapshotWriter) put(domain, policy string, state *written, secret *corev1.Secret) error {
	site := mtastsserver.Site{Domain: domain, Policy: policy}
	if secret != nil {
		site.Certificate, site.PrivateKey = secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	}
	if state.unfit = site.Check(); state.unfit != nil {
		return nil
	}
	switch {
	case w.Plain:
		return w.writer.Put(site)
	case secret != nil:
		if err := w.writer.Put(site); err != nil {
			return err
		}
		state.from = versionOf(secret)
	case w.writer.Has(domain) && state.policy != policy:
		if err := w.writer.SetPolicy(domain, policy); err != nil {
			return err
		}
	}
	state.policy = policy
	return nil
}

// nextTurn is the time until a certificate that was read becomes valid, or expires, and another one
// may be the one to serve; 0: never.
func (w *SnapshotWriter) nextTurn() time.Duration {
	now := w.Clock.Now()
	var next time.Duration
	for _, state := range w.sites {
		for _, found := range state.found {
			for _, turn := range []time.Time{found.notBefore, found.notAfter} {
				if left := turn.Sub(now) + time.Second; turn.After(now) && (next == 0 || left < next) {
					next = left
				}
			}
		}
	}
	return next
}

// Certificates implements Certificates with what is in the snapshot.
func (w *SnapshotWriter) Certificates(domain string) (certificate, key []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writer == nil {
		return nil, nil
	}
	site, err := w.writer.Site(domain)
	if err != nil {
		return nil, nil
	}
	return site.Certificate, site.PrivateKey
}

// complain logs each fault once for as long as it lasts. Users read it in the MailDomain's
// condition MTASTSReady.
func (w *SnapshotWriter) complain(ctx context.Context, sites []*corev1.ConfigMap) {
	now, faults := w.Clock.Now(), map[string]string{}
	for _, site := range sites {
		domain := site.Data[siteDomain]
		state := w.sites[domain]
		switch what := state.found[0].fault(now); {
		case state.unfit != nil:
			faults[domain] = state.unfit.Error()
		case !w.Plain && what != "" && state.found[1].fault(now) != "":
			faults[domain] = fmt.Sprintf("Secret %s/%s: %s", site.Data[siteNamespace], site.Data[siteTLSSecret], what)
		}
		if what := faults[domain]; what != "" && w.faults[domain] != what {
			log.FromContext(ctx).Info("the last good site stays in the snapshot", "domain", domain, "fault", what)
		}
	}
	w.faults = faults
}
