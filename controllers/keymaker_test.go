package controllers

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// instantly makes keys while one waits.
type instantly struct{}

func (instantly) Take(_ string, specs []keys.Spec) (pairs []keys.Pair, ok bool, err error) {
	for _, s := range specs {
		pair, err := keys.Generate(s.Algorithm, s.Bits)
		if err != nil {
			return nil, false, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, true, nil
}

func (instantly) Forget(string) {}

func (instantly) OnReady(func(string)) {}

// A pass does not wait for keys: all else goes on, the MailDomain is queued when they are there, and
// however often it is looked at in between, each key is made once. What was asked for by annotation
// is done only then.
func TestKeysAreMadeOutsideOfThePass(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	made := 0
	pool := keys.NewPool(1, 0, func(algorithm string, bits int) (keys.Pair, error) {
		if algorithm == "rsa" {
			<-gate
		}
		made++
		return keys.Generate("ed25519", 0)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pool.Start(ctx) }()
	w.r.Keys = pool
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	w.must(w.r.madeKeys().Start(ctx, queue))
	waits := func() {
		t.Helper()
		for range 3 {
			w.pass("example-com")
			w.forward(time.Second)
		}
		if md := w.get("example-com"); !strings.Contains(message(md, v1alpha1.ConditionDKIMReady), "DKIM key rsa is being made") {
			t.Fatal(describe(md))
		}
	}
	called := func() {
		t.Helper()
		gate <- struct{}{}
		got, _ := queue.Get()
		queue.Done(got)
		if want := (types.NamespacedName{Namespace: w.namespace, Name: "example-com"}); got.NamespacedName != want {
			t.Errorf("%s was queued, want %s", got, want)
		}
	}
	s := spec()
	s.DMARC, s.MTASTS, s.TLSRPT = nil, nil, nil
	w.apply("example-com", s)
	waits()
	if texts := w.dns.TXT("example.com"); len(texts) != 1 || len(w.get("example-com").Status.DKIM.Keys) > 0 {
		t.Errorf("SPF waits too: %q, or half of the keys are there", texts)
	}
	called()
	w.until("example-com", "ready", isReady)
	if made != 2 || len(w.get("example-com").Status.DKIM.Keys) != 2 {
		t.Errorf("%d made", made)
	}

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	waits()
	if md := w.get("example-com"); !isReady(md) || len(md.Status.DKIM.ActiveSelectors) != 2 {
		t.Errorf("the active keys do not count:\n%s", describe(md))
	}
	res, err := w.r.Reconcile(ctx, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}})
	if err != nil || res.RequeueAfter > w.r.Poll {
		t.Errorf("it comes back after %s, %v", res.RequeueAfter, err)
	}
	called()
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool {
		return !slices.ContainsFunc(md.Status.DKIM.Keys[:2], func(k v1alpha1.DKIMKeyStatus) bool { return k.State != v1alpha1.KeyRetired })
	})
	if n := len(w.get("example-com").Status.DKIM.Keys); n != 4 || made != 4 {
		t.Errorf("%d keys, %d made", n, made)
	}

	// One that is gone leaves what was made for it to others.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations[v1alpha1.AnnotationRotate] = "2" })
	waits()
	called()
	if pool.Ready() != 0 {
		t.Errorf("%d in stock that were put aside", pool.Ready())
	}
	w.vanish(w.get("example-com"))
	w.pass("example-com")
	if pool.Ready() != 1 {
		t.Errorf("%d in stock", pool.Ready())
	}
	cancel()
	w.must(<-ended)
}
