package controllers

import (
	"container/heap"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// At rest MailDomains, here without MTA-STS, cost questions to name servers, one check in ten minutes and one pass in an hour, and
// for each pass three reads of the API server; and nothing else: no write to it, which an Event is too, and no call of the provider.
func TestAnHourAtRest(t *testing.T) {
	restOf(t, 20)
}

// The hour of ten thousand MailDomains, and what of a processor it takes: with all that there is in one process, so a bit too much.
func BenchmarkAnHourAtRest(b *testing.B) {
	for b.Loop() {
		hour := restOf(b, 10000)
		b.ReportMetric(float64(hour.checking.Microseconds())/float64(hour.checks), "µs/check")
		b.ReportMetric(float64(hour.passing.Microseconds())/float64(hour.passes), "µs/pass")
		b.ReportMetric(100*hour.checking.Seconds()/time.Hour.Seconds(), "%/checks")
		b.ReportMetric(100*(hour.checking+hour.passing).Seconds()/time.Hour.Seconds(), "%/all")
	}
}

// hour is what was done in it.
type hour struct {
	checks, passes     int
	checking, passing  time.Duration
	busiest            int // checks in one minute
	writes, operations int64
	queries            int
	reads              int64 // past the cache
}

func restOf(t testing.TB, n int) hour {
	w := newManyAtRest(t, n)
	w.hour() // in which they fall apart
	h := w.hour()
	if h.writes > 0 || h.operations > 0 {
		t.Errorf("in an hour in which nothing happens there are %d writes to the API server and %d operations at the provider", h.writes, h.operations)
	}
	if h.checks < 5*n || h.checks > 7*n || h.passes < n || h.passes > n*5/4 { // each up to a tenth earlier; a check is left out for a pass
		t.Errorf("%d checks and %d passes of %d MailDomains", h.checks, h.passes, n)
	}
	// A check looks at six names, after who serves their zone (NS, A, AAAA). A pass finds that zone for each of them (SOA), beside them
	// the servers' own SOA, and the policies (four names) by which receivers judge. Nobody is asked the same twice.
	if most := 9*h.checks + 21*h.passes; h.queries > most {
		t.Errorf("%d DNS queries in %d checks and %d passes, want at most %d", h.queries, h.checks, h.passes, most)
	}
	if most := int64(3 * h.passes); h.reads > most { // the ledger, the signer's Secret, what is served
		t.Errorf("%d reads of the API server in %d passes, want at most %d", h.reads, h.passes, most)
	}
	if mean := float64(h.checks) / 60; n >= 1000 && float64(h.busiest) > 2*mean {
		t.Errorf("%d checks in one minute, of %.0f in the mean", h.busiest, mean)
	}
	return h
}

// manyAtRest are MailDomains that are Ready, with nothing under way, on an API server in memory and a name server on loopback.
type manyAtRest struct {
	t          testing.TB
	clock      *clocktesting.FakePassiveClock
	r          *Reconciler
	server     *dnsserver.Server
	writes     atomic.Int64 // to the API server
	reads      atomic.Int64 // of it, past the cache
	operations atomic.Int64 // at the provider
	agenda     appointments
	planned    map[engagement]time.Time
	found      []string // what checks asked a pass for
}

// engagement is a check or a pass.
type engagement struct {
	check bool
	name  types.NamespacedName
}

// appointment is one that is due.
type appointment struct {
	at time.Time
	engagement
}

// appointments are a heap, the next one first.
type appointments []appointment

// Len implements heap.Interface.
func (a appointments) Len() int { return len(a) }

// Less implements heap.Interface.
func (a appointments) Less(i, j int) bool { return a[i].at.Before(a[j].at) }

// Swap implements heap.Interface.
func (a appointments) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *appointments) Push(x any) { *a = append(*a, x.(appointment)) }

// Pop implements heap.Interface.
func (a *appointments) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// checksDue is the queue of checks, which go on the agenda; what is added to be done at once is news for the reconciler.
type checksDue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	w *manyAtRest
}

func (q checksDue) Add(r reconcile.Request) { q.w.found = append(q.w.found, r.Name) }

func (q checksDue) AddAfter(r reconcile.Request, after time.Duration) {
	q.w.plan(engagement{true, r.NamespacedName}, after)
}

// plan puts a check or a pass on the agenda; what is due before then stays, as in a work queue.
func (w *manyAtRest) plan(what engagement, after time.Duration) {
	at := w.clock.Now().Add(after)
	if before, there := w.planned[what]; there && !before.After(at) {
		return
	}
	w.planned[what] = at
	heap.Push(&w.agenda, appointment{at, what})
}

// next takes what is due next off the agenda, and has the clock go on until then.
func (w *manyAtRest) next(end time.Time) (what engagement, ok bool) {
	for len(w.agenda) > 0 && !w.agenda[0].at.After(end) {
		next := heap.Pop(&w.agenda).(appointment)
		if w.planned[next.engagement].Equal(next.at) {
			delete(w.planned, next.engagement)
			w.clock.SetTime(next.at)
			return next.engagement, true
		}
	}
	w.clock.SetTime(end)
	return engagement{}, false
}

// sameKeys has each MailDomain of a test sign with the same keys, as making them takes long.
type sameKeys struct {
	instantly
	once  sync.Once
	pairs []keys.Pair
	err   error
}

func (k *sameKeys) Take(customer string, specs []keys.Spec) ([]keys.Pair, bool, error) {
	k.once.Do(func() { k.pairs, _, k.err = k.instantly.Take(customer, specs) })
	return k.pairs, k.err == nil, k.err
}

func newManyAtRest(t testing.TB, n int) *manyAtRest {
	t.Helper()
	w := &manyAtRest{t: t, planned: map[engagement]time.Time{}, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))}
	server, err := dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example"}, SOATTL: time.Second, Minimum: time.Second,
	})
	w.must(err)
	t.Cleanup(func() { server.Close() })
	w.server = server
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "mail", Name: name} }
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: named("tsig"), Data: map[string][]byte{"secret": []byte(tsigSecret)}},
		&v1alpha1.DNSProvider{ObjectMeta: named("dns"), Spec: v1alpha1.DNSProviderSpec{
			Domains: []string{"example"},
			RFC2136: &v1alpha1.RFC2136Provider{Server: server.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
		}},
	}
	var names []types.NamespacedName
	for i := range n {
		md := &v1alpha1.MailDomain{ObjectMeta: named(fmt.Sprintf("d%05d", i)), Spec: v1alpha1.MailDomainSpec{
			DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
			SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"ip4:192.0.2.0/24"}, All: v1alpha1.SPFFail},
			DKIM:   &v1alpha1.DKIMSpec{},
			DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject, RUA: []string{"mailto:dmarc@mail.example"}},
			TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@mail.example"}},
		}}
		md.Spec.Domain, md.UID, md.Generation = md.Name+".example", types.UID(md.Name), 1
		objects, names = append(objects, md), append(names, client.ObjectKeyFromObject(md))
	}
	w.r = w.reconciler(server, objects)
	w.untilAtRest(names)
	return w
}

func (w *manyAtRest) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *manyAtRest) reconciler(server *dnsserver.Server, objects []client.Object) *Reconciler {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		w.must(add(scheme))
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.MailDomain{}).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			w.writes.Add(1)
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			w.writes.Add(1)
			return c.Update(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			w.writes.Add(1)
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes.Add(1)
			return c.Delete(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			w.writes.Add(1)
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	api := builder.Build()
	loopback := func(a netip.Addr) bool { return a.IsLoopback() }
	resolver := probe.NewResolver([]string{server.Addr()}, 10*time.Second)
	prober := probe.NewProber(probe.Options{Resolver: resolver, Port: server.AddrPort().Port(), Timeout: 10 * time.Second, AllowPrivate: loopback})
	return &Reconciler{
		Client: api, Reader: pastTheCache{api, w}, Clock: w.clock, Events: eachAWrite{w},
		Resolver: resolver, Prober: prober, Keys: &sameKeys{},
		Accounts: &Accounts{Clock: w.clock, Timeout: 10 * time.Second, Operated: func(string, string, time.Duration, []error) { w.operations.Add(1) }},
		Drift:    &DriftWatch{Prober: prober, Interval: 10 * time.Minute, due: checksDue{w: w}, news: checksDue{w: w}},

		Namespace: "operator", OwnerID: "test", AllowPrivate: loopback,
		Poll: time.Second, Resync: time.Hour, DeletionGrace: 5 * time.Minute, LostKeyGrace: 10 * time.Minute,
	}
}

// pastTheCache counts reads.
type pastTheCache struct {
	client.Reader
	w *manyAtRest
}

// Get implements client.Reader.
func (p pastTheCache) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	p.w.reads.Add(1)
	return p.Reader.Get(ctx, key, o, opts...)
}

// List implements client.Reader.
func (p pastTheCache) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	p.w.reads.Add(1)
	return p.Reader.List(ctx, list, opts...)
}

// eachAWrite counts Events.
type eachAWrite struct{ w *manyAtRest }

// Eventf implements events.EventRecorder.
func (e eachAWrite) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {
	e.w.writes.Add(1)
}

// untilAtRest makes passes over all MailDomains, with a minute of the fake clock between them, until each has a view that checks go by.
func (w *manyAtRest) untilAtRest(names []types.NamespacedName) {
	w.t.Helper()
	for range 100 {
		busy := make([]bool, len(names))
		passes, ctx := errgroup.WithContext(w.t.Context())
		passes.SetLimit(16)
		for i, name := range names {
			passes.Go(func() error {
				result, err := w.r.Reconcile(ctx, ctrl.Request{NamespacedName: name})
				busy[i] = result.RequeueAfter <= w.r.Drift.Interval
				return err
			})
		}
		w.must(passes.Wait())
		var left []types.NamespacedName
		for i, name := range names {
			if busy[i] {
				left = append(left, name)
			} else {
				w.plan(engagement{false, name}, early(w.r.Resync, name.String()))
			}
		}
		if names = left; len(names) == 0 {
			return
		}
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
	}
	var md v1alpha1.MailDomain
	w.must(w.r.Client.Get(w.t.Context(), names[0], &md))
	w.t.Fatalf("%d MailDomains are never at rest; the first:\n%s", len(names), describe(&md))
}

// hour makes what is due in the next hour.
func (w *manyAtRest) hour() (h hour) {
	w.t.Helper()
	began, writes, reads, operations, queries := w.clock.Now(), w.writes.Load(), w.reads.Load(), w.operations.Load(), w.server.Queries()
	minutes := map[int]int{}
	for {
		due, ok := w.next(began.Add(time.Hour))
		if !ok {
			break
		}
		var reconciler reconcile.Reconciler = w.r
		if due.check {
			reconciler = w.r.Drift
		}
		start := time.Now()
		result, err := reconciler.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: due.name})
		took := time.Since(start)
		w.must(err)
		if due.check {
			minute := int(w.clock.Now().Sub(began) / time.Minute)
			minutes[minute]++
			h.checks, h.checking, h.busiest = h.checks+1, h.checking+took, max(h.busiest, minutes[minute])
		} else {
			h.passes, h.passing = h.passes+1, h.passing+took
		}
		if result.RequeueAfter > 0 {
			w.plan(due, result.RequeueAfter)
		}
	}
	h.queries = w.server.Queries() - queries
	h.writes, h.operations, h.reads = w.writes.Load()-writes, w.operations.Load()-operations, w.reads.Load()-reads
	if len(w.found) > 0 {
		w.t.Errorf("checks find that %v have changed", w.found)
	}
	return h
}
