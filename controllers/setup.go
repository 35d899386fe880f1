package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// SetupWithManager has the manager call Reconcile when a MailDomain changes, or something that
// it depends on. Secrets are watched by their metadata only.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.MailDomain{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.DNSProvider{}, r.dependents(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterDNSProvider{}, r.dependents(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(&corev1.Secret{}, r.dependents()).
		WithOptions(options).
		Complete(r)
}

// SetupWithManager has the manager call Reconcile when a provider changes, or a Secret that may
// be its credentials.
func (r *ProviderReconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("dnsprovider").
		Watches(&v1alpha1.DNSProvider{}, &handler.EnqueueRequestForObject{}, changed).
		Watches(&v1alpha1.ClusterDNSProvider{}, &handler.EnqueueRequestForObject{}, changed).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, secret client.Object) []reconcile.Request {
			return r.requestsIn(ctx, secret.GetNamespace())
		})).
		WithOptions(options).
		Complete(r)
}

// dependents are the MailDomains of the object's namespace, or all for one without a namespace
// or in the operator's own.
func (r *Reconciler) dependents() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		var in []client.ListOption
		if namespace := object.GetNamespace(); namespace != "" && namespace != r.Namespace {
			in = append(in, client.InNamespace(namespace))
		}
		var list v1alpha1.MailDomainList
		if err := r.Client.List(ctx, &list, in...); err != nil {
			return nil // the cache is gone only at the end; the resync makes up for it
		}
		var requests []reconcile.Request
		for _, md := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&md)})
		}
		return requests
	})
}

// SetupWithManager has the manager write the snapshot on every replica: at the start, so that
// a domain's absence is known as well, and when a site or a Secret changes.
func (w *SnapshotWriter) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	options.NeedLeaderElection = ptr.To(false)
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: w.Namespace, Name: "snapshot"}}}
	})
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == w.Namespace && o.GetLabels()[siteLabel] != ""
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("mta-sts-snapshot").
		Watches(&corev1.ConfigMap{}, all, builder.WithPredicates(ours)).
		WatchesMetadata(&corev1.Secret{}, all).
		WithOptions(options).
		Complete(w)
	if err != nil {
		return err
	}
	return mgr.Add(atStart(func(ctx context.Context) error {
		_, err := w.Reconcile(ctx, ctrl.Request{})
		return err
	}))
}

// atStart runs once on every replica, after the caches have synced.
type atStart func(context.Context) error

// Start implements manager.Runnable.
func (f atStart) Start(ctx context.Context) error { return f(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (f atStart) NeedLeaderElection() bool { return false }
