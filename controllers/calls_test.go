package controllers

import (
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// calls has workers bring many new MailDomains of one zone about at the same time, pass by pass, and
// returns how many calls to the provider's API that cost.
func (w *world) calls(h hosted, domains, workers int) int {
	w.t.Helper()
	w.r.Client, w.r.Events = w.api, events.NewFakeRecorder(100*domains) // the world's own count for one worker
	w.editProvider(func(p *v1alpha1.DNSProvider) {                      // the pace is of the world's clock, which stands still
		p.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerMinute: 600, Burst: ptr.To[int32](1000)}
	})
	h.calls()
	names := make(chan string, domains)
	var group sync.WaitGroup
	for i := range domains {
		name := fmt.Sprintf("d%d", i)
		w.apply(name, v1alpha1.MailDomainSpec{
			Domain: name + ".example.com", DNS: spec().DNS, TLSRPT: spec().TLSRPT,
		})
		names <- name
	}
	close(names)
	for range workers {
		group.Go(func() {
			for name := range names {
				for range 2 {
					if _, err := w.r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: name}}); err != nil {
						w.t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	for i := range domains {
		if md := w.get(fmt.Sprintf("d%d", i)); !isReady(md) {
			w.t.Errorf("%s\n%s", md.Name, describe(md))
		}
	}
	return h.calls()
}

// Alone a domain costs six calls, three for its claim and three for its records. Many in one zone go
// out together, so the more there are, the less each costs.
func TestDomainsOfOneZoneShareCalls(t *testing.T) {
	const domains, workers = 24, 8
	for name, host := range map[string]func(*world) hosted{"cloudflare": hostedByCloudflare, "route53": hostedByRoute53} {
		t.Run(name, func(t *testing.T) {
			least := 6 * domains
			for range 3 { // how many share depends on who waits for whom
				w := newWorld(t)
				least = min(least, w.calls(host(w), domains, workers))
				t.Logf("%d domains by %d workers: at least %d calls, %.2f each", domains, workers, least, float64(least)/domains)
				if least <= 6*domains/2 {
					return
				}
			}
			t.Errorf("%d calls for %d domains: they hardly share any", least, domains)
		})
	}
}
