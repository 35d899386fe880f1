package controllers

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// DriftWatch looks, between the passes of a Reconciler, whether DNS still shows what the last one saw, and has a pass made at once
// where it does not. A check asks one name server of a zone, and the next check another one, where a pass asks all of them (MX
// records are asked of all, as each host that any of them names counts); it reads nothing from the API server and writes
// nothing anywhere (Law 14).
//
// Only what is at rest and in plain sight is watched: a MailDomain that is Ready, with nothing under way, of which the name servers that
// answered said the same, and which goes by nothing behind an alias or at a third party. For any other passes come as often
// as checks would. What is known is gone with the process.
type DriftWatch struct {
	Prober   ServerProber
	Interval time.Duration // between the checks of a MailDomain, at most: up to a tenth earlier

	mu      sync.Mutex
	watches map[types.NamespacedName]*watch
	due     workqueue.TypedRateLimitingInterface[reconcile.Request] // of this watch; nil until it is started
	news    workqueue.TypedRateLimitingInterface[reconcile.Request] // of the Reconciler
}

// foundPriority is that of a pass which a check asks for: after what users change, before mere looks.
const foundPriority = handler.LowPriority / 2

// watch is what is known of a MailDomain.
type watch struct {
	view *view  // nil: passes go on
	turn uint64 // which of the name servers is asked next
}

// begin is for a pass that begins, which sees for itself.
func (w *DriftWatch) begin(name types.NamespacedName) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.watches[name]; ok {
		known.view = nil
	}
}

// remember takes the view of a pass, and plans a check. watched is false if there is no view, or nobody to check it yet.
func (w *DriftWatch) remember(name types.NamespacedName, v *view) (watched bool) {
	if w == nil || v == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.due == nil || w.news == nil {
		return false
	}
	if w.watches == nil {
		w.watches = map[types.NamespacedName]*watch{}
	}
	if w.watches[name] == nil {
		w.watches[name] = &watch{turn: maphash.String(seed, name.String())}
	}
	w.watches[name].view = v
	w.due.AddAfter(reconcile.Request{NamespacedName: name}, early(w.Interval, name.String()))
	return true
}

// forget is for a MailDomain that is gone.
func (w *DriftWatch) forget(name types.NamespacedName) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watches, name)
}

// next is the view to be checked, and by the turn of which server; nil if there is none.
func (w *DriftWatch) next(name types.NamespacedName) (v *view, turn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.watches[name]
	if known == nil || known.view == nil {
		return nil, 0
	}
	known.turn++
	return known.view, known.turn
}

// changed asks for a pass, unless one was faster since the view.
func (w *DriftWatch) changed(name types.NamespacedName, since *view) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.watches[name]; known == nil || known.view != since {
		return
	}
	w.watches[name].view = nil
	request := reconcile.Request{NamespacedName: name}
	if queue, ok := w.news.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		queue.AddWithOpts(priorityqueue.AddOpts{Priority: new(foundPriority)}, request)
	} else {
		w.news.Add(request)
	}
}

// Reconcile makes one check.
func (w *DriftWatch) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	v, turn := w.next(req.NamespacedName)
	if v == nil {
		return ctrl.Result{}, nil
	}
	if w.stands(ctx, v, turn) {
		return ctrl.Result{RequeueAfter: early(w.Interval, req.String())}, nil
	}
	w.changed(req.NamespacedName, v)
	return ctrl.Result{}, nil
}

// SetupWithManager has the manager call Reconcile when a check is due.
func (w *DriftWatch) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).Named("drift").WatchesRawSource(w.into(&w.due)).WithOptions(options).Complete(w)
}

// into fetches the work queue of a controller.
func (w *DriftWatch) into(queue *workqueue.TypedRateLimitingInterface[reconcile.Request]) source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		*queue = q
		return nil
	})
}
