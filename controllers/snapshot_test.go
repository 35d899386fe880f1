package controllers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

// countingReader counts what is read past the cache.
type countingReader struct {
	client.Reader
	gets atomic.Int64
}

func (r *countingReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	r.gets.Add(1)
	return r.Reader.Get(ctx, key, o, opts...)
}

// addSite stores a site of the domain and its certificate.
func (w *world) addSite(domain, policy string) {
	w.t.Helper()
	cert, key, err := certificate.SelfSigned("mta-sts." + domain)
	w.must(err)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: domain}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}})
	w.must(w.api.Create(w.t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: siteName(domain), Labels: map[string]string{siteLabel: "true"}},
		Data:       map[string]string{siteDomain: domain, sitePolicy: policy, siteNamespace: w.namespace, siteTLSSecret: domain},
	}))
}

func (w *world) setPolicy(domain, policy string) {
	w.t.Helper()
	config := w.siteOf(domain).config
	config.Data[sitePolicy] = policy
	w.must(w.api.Update(w.t.Context(), config))
}

func (w *world) renew(domain string) {
	w.t.Helper()
	secret := w.secret(domain)
	cert, key, err := certificate.SelfSigned("mta-sts." + domain)
	w.must(err)
	secret.Data = map[string][]byte{"tls.crt": cert, "tls.key": key}
	w.must(w.api.Update(w.t.Context(), secret))
}

// A change is one read of the API server at most, and none of the other domains' Secrets.
func TestSnapshotReadsWhatChanged(t *testing.T) {
	w := newWorld(t)
	const domains = 40
	for i := range domains {
		w.addSite(fmt.Sprintf("d%d.example", i), "policy")
	}
	reader := &countingReader{Reader: w.api}
	w.snapshot.Reader = reader
	for _, step := range []struct {
		what   string
		change func()
		reads  int64
	}{
		{"the first snapshot", func() {}, domains},
		{"nothing", func() {}, 0},
		{"a policy", func() { w.setPolicy("d7.example", "another policy") }, 0},
		{"a renewal", func() { w.renew("d8.example") }, 1},
		{"a renewal that can't be served", func() {
			secret := w.secret("d9.example")
			secret.Data["tls.key"] = w.secret("d8.example").Data["tls.key"]
			w.must(w.api.Update(t.Context(), secret))
		}, 1},
		{"nothing after it", func() {}, 0},
		{"the loss of a Secret", func() { w.must(w.api.Delete(t.Context(), w.secret("d10.example"))) }, 0},
		{"a new domain", func() { w.addSite("new.example", "policy") }, 1},
		{"a restart", func() {
			w.restart()
			w.snapshot.Reader = reader
		}, domains - 1 + 1}, // d10's is gone, and new.example has come
	} {
		step.change()
		before := reader.gets.Load()
		w.writeSnapshot()
		if got := reader.gets.Load() - before; got != step.reads {
			t.Errorf("%s costs %d reads, want %d", step.what, got, step.reads)
		}
	}
	sites := w.sites(w.snapshot.Dir)
	if len(sites) != domains+1 || sites["d7.example"].Policy != "another policy" || string(sites["d8.example"].Certificate) != string(w.secret("d8.example").Data["tls.crt"]) {
		t.Errorf("%d sites, of d7 %q", len(sites), sites["d7.example"].Policy)
	}
}

// forgetful reads Secrets of some names only.
type forgetful struct {
	client.Reader
	lost string
}

func (r *forgetful) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if key.Name == r.lost {
		return errors.New("no answer")
	}
	return r.Reader.Get(ctx, key, o, opts...)
}

// A writer is ready when it has written a whole snapshot, not before, and for good. A new process begins anew, but needs no
// certificate again that its directory has.
func TestAWriterIsReadyWithItsFirstSnapshot(t *testing.T) {
	w := newWorld(t)
	w.addSite("one.example", "policy")
	w.addSite("two.example", "policy")
	reader := &forgetful{w.api, "two.example"}
	w.snapshot.Reader = reader
	is := func(when string, want bool) {
		t.Helper()
		_, failed := w.snapshot.Reconcile(t.Context(), ctrl.Request{})
		if err := w.snapshot.Ready(nil); (err == nil) != want {
			t.Errorf("%s: %v (the pass: %v)", when, err, failed)
		}
	}
	if w.snapshot.Ready(nil) == nil {
		t.Error("ready before the first pass")
	}
	is("with a site that can't be read", false)
	reader.lost = ""
	is("with all of them", true)
	reader.lost = "two.example"
	w.renew("two.example")
	is("with a renewal that can't be read", true)

	w.restart()
	w.snapshot.Reader = reader
	if w.snapshot.Ready(nil) == nil {
		t.Error("ready with another process's snapshot")
	}
	is("with what the directory has of a site that can't be read", true)
	w.addSite("three.example", "policy")
	w.restart()
	reader.lost = "three.example"
	w.snapshot.Reader = reader
	is("with a new site that can't be read, beside a whole snapshot", true)
	w.snapshot.Dir = t.TempDir()
	w.restart()
	w.snapshot.Reader = reader
	is("with a site that can't be read, and no snapshot", false)
}

// A certificate that becomes valid is taken when it does, without any change in the cluster.
func TestCertificateTurns(t *testing.T) {
	w := newWorld(t)
	w.addSite("early.example", "policy")
	start := w.clock.Now()
	valid := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) // as test/certificate makes them
	w.clock.SetTime(valid.Add(-time.Hour))
	result, err := w.snapshot.Reconcile(t.Context(), ctrl.Request{})
	w.must(err)
	if len(w.sites(w.snapshot.Dir)) != 0 || result.RequeueAfter != time.Hour+time.Second {
		t.Errorf("before: looks again in %v", result.RequeueAfter)
	}
	w.clock.SetTime(start)
	w.writeSnapshot()
	if len(w.sites(w.snapshot.Dir)) != 1 {
		t.Error("a certificate that has become valid is not taken")
	}
}

// A ConfigMap under another name than its domain's is somebody's copy, and ends nothing.
func TestACopyOfASiteIsNoSite(t *testing.T) {
	w := newWorld(t)
	w.addSite("one.example", "policy")
	copied := func(name string, data map[string]string) {
		w.must(w.api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: name, Labels: map[string]string{siteLabel: "true"}}, Data: data}))
	}
	copied("withdrawn", map[string]string{siteDomain: "one.example", siteWithdrawn: "true"})
	copied("zealous", map[string]string{siteDomain: "one.example", sitePolicy: "another policy", siteNamespace: w.namespace, siteTLSSecret: "one.example"})
	w.writeSnapshot()
	if got := w.sites(w.snapshot.Dir); len(got) != 1 || got["one.example"].Policy != "policy" {
		t.Errorf("%d sites, policy %q", len(got), got["one.example"].Policy)
	}
}

// A directory that somebody else writes to, or that is lost, is made anew from what is stored.
func TestSnapshotIsRepaired(t *testing.T) {
	w := newWorld(t)
	w.addSite("one.example", "policy")
	w.addSite("two.example", "policy")
	w.writeSnapshot()
	objects, err := os.ReadDir(filepath.Join(w.snapshot.Dir, "objects"))
	w.must(err)
	for what, damage := range map[string]func(){
		"another's":  func() { w.must(mtastsserver.WriteSnapshot(w.snapshot.Dir, nil)) },
		"torn":       func() { w.must(os.Truncate(filepath.Join(w.snapshot.Dir, "manifest.json"), 20)) },
		"lost":       func() { w.must(os.RemoveAll(w.snapshot.Dir)) },
		"no objects": func() { w.must(os.RemoveAll(filepath.Join(w.snapshot.Dir, "objects"))) },
	} {
		damage()
		w.setPolicy("one.example", what)
		for range 2 { // the first pass finds it
			_, _ = w.snapshot.Reconcile(t.Context(), ctrl.Request{})
		}
		if got := w.sites(w.snapshot.Dir); len(got) != 2 || got["one.example"].Policy != what {
			t.Errorf("%s: %d sites, policy %q", what, len(got), got["one.example"].Policy)
		}
	}
	if len(objects) != 5 {
		t.Errorf("%d objects, want a policy and two pairs", len(objects))
	}
}

// Changes of half a second are one snapshot, and a steady stream of them does not put it off.
func TestChangesAreTakenTogether(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	queue := workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request](), workqueue.TypedRateLimitingQueueConfig[ctrl.Request]{Clock: clock})
	defer queue.ShutDown()
	soon := (&SnapshotWriter{Namespace: "operator"}).soon()
	for range 4 {
		soon.Create(t.Context(), ctrlevent.CreateEvent{}, queue)
		soon.Update(t.Context(), ctrlevent.UpdateEvent{}, queue)
		soon.Delete(t.Context(), ctrlevent.DeleteEvent{}, queue)
		for range 200 { // the queue has had the time to take them over
			runtime.Gosched()
		}
		if queue.Len() != 0 {
			t.Fatal("a change is not waited for")
		}
		clock.Step(together/4 - time.Millisecond)
	}
	clock.Step(4 * time.Millisecond) // half a second after the first
	for end := time.Now().Add(20 * time.Second); queue.Len() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the changes are put off")
		}
	}
	if queue.Len() != 1 {
		t.Errorf("%d snapshots for them", queue.Len())
	}
}

// In a manager: the first snapshot comes with the caches, many changes at once are few snapshots, and
// foreign Secrets are none.
func TestSnapshotInAManager(t *testing.T) {
	w := newWorld(t)
	w.addSite("one.example", "policy")
	mgr, err := ctrl.NewManager(envtest.Config(t), ctrl.Options{
		Scheme: w.api.Scheme(), Metrics: server.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{w.operator: {}}}}},
	})
	w.must(err)
	reader := &countingReader{Reader: mgr.GetAPIReader()}
	writer := &SnapshotWriter{Client: mgr.GetClient(), Reader: reader, Clock: w.clock, Namespace: w.operator, Dir: t.TempDir()}
	skip := true
	w.must(writer.SetupWithManager(mgr, controller.Options{SkipNameValidation: &skip}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() { cancel(); w.must(<-ended) }()
	until := func(what string, holds func(map[string]mtastsserver.Site) bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			snapshot, err := mtastsserver.LoadSnapshot(writer.Dir)
			if err == nil {
				sites := map[string]mtastsserver.Site{}
				for _, s := range snapshot.Sites() {
					sites[s.Domain] = s
				}
				if holds(sites) {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("still not: %s (%v)", what, err)
			}
		}
	}
	until("the first snapshot", func(s map[string]mtastsserver.Site) bool { return len(s) == 1 })
	w.renew("one.example")
	renewed := string(w.secret("one.example").Data["tls.crt"])
	until("a renewal is taken", func(s map[string]mtastsserver.Site) bool { return string(s["one.example"].Certificate) == renewed })
	before := reader.gets.Load()
	for i := range 20 {
		w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("foreign-", i)}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": nil, "tls.key": nil}})
	}
	w.addSite("two.example", "policy")
	until("a second domain", func(s map[string]mtastsserver.Site) bool { return len(s) == 2 })
	if got := reader.gets.Load() - before; got != 1 {
		t.Errorf("%d Secrets were read, want that of the new domain", got)
	}
}
