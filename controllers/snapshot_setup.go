package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// together is how long changes are collected before a snapshot is written.
const together = 500 * time.Millisecond

type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager has each process write its snapshot, leader or not: at the start, once the
// caches have synced, so that a domain's absence is known as well, and when a site or the metadata
// of a Secret that a site names changes.
func (w *SnapshotWriter) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	options.NeedLeaderElection = ptr.To(false)
	options.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](together, 10*time.Second)
	named := predicate.NewPredicateFuncs(func(secret client.Object) bool {
		watched := w.watched.Load()
		return watched == nil || (*watched)[client.ObjectKeyFromObject(secret)]
	})
	atStart := source.Func(func(_ context.Context, queue requests) error {
		queue.Add(w.request())
		return nil
	})
	b := ctrl.NewControllerManagedBy(mgr).
		Named("mta-sts-snapshot").
		Watches(&corev1.ConfigMap{}, w.soon(), builder.WithPredicates(sitesIn(w.Namespace))).
		WatchesRawSource(atStart).
		WithOptions(options)
	if !w.Plain { // else the process needs no right to Secrets
		b = b.WatchesMetadata(&corev1.Secret{}, w.soon(), builder.WithPredicates(named))
	}
	return b.Complete(w)
}

// soon has one snapshot written for all the changes of half a second: of several times for a
// request the queue keeps the earliest.
func (w *SnapshotWriter) soon() handler.EventHandler {
	add := func(queue requests) { queue.AddAfter(w.request(), together) }
	return handler.Funcs{
		CreateFunc:  func(_ context.Context, _ ctrlevent.CreateEvent, queue requests) { add(queue) },
		UpdateFunc:  func(_ context.Context, _ ctrlevent.UpdateEvent, queue requests) { add(queue) },
		DeleteFunc:  func(_ context.Context, _ ctrlevent.DeleteEvent, queue requests) { add(queue) },
		GenericFunc: func(_ context.Context, _ ctrlevent.GenericEvent, queue requests) { add(queue) },
	}
}

// request is the one there is: for the whole snapshot.
func (w *SnapshotWriter) request() reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: w.Namespace, Name: "snapshot"}}
}
