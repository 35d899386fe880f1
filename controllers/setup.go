package controllers

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// What is watched. Secrets have names that users choose: credentials, certificates, keys to import and signers'.
// +kubebuilder:rbac:roleName=maildomain-domains,groups=maildomain.dev,resources=dnsproviders,verbs=list;watch
// +kubebuilder:rbac:roleName=maildomain-cluster,groups=maildomain.dev,resources=clusterdnsproviders,verbs=list;watch
// +kubebuilder:rbac:roleName=maildomain-domains,groups="",resources=secrets,verbs=get;list;watch
// +kubebuilder:rbac:namespace=maildomain-system,roleName=maildomain-manager,groups="",resources=configmaps;services,verbs=list;watch
//
// Of several managers one leads, and says so in an Event.
// +kubebuilder:rbac:namespace=maildomain-system,roleName=maildomain-leader-election,groups=coordination.k8s.io,resources=leases,verbs=get;create;update
// +kubebuilder:rbac:namespace=maildomain-system,roleName=maildomain-leader-election,groups="",resources=events,verbs=create;patch

// SetupWithManager has the manager call Reconcile when a MailDomain changes, or something that
// it depends on. Secrets are watched by their metadata only.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	if err := index(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.MailDomain{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.DNSProvider{}, handler.EnqueueRequestsFromMapFunc(r.ofProvider), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret), builder.WithPredicates(notKeptHere(r.Namespace))).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(holderOf), builder.WithPredicates(sitesIn(r.Namespace), notCreated)).
		WatchesRawSource(r.madeKeys()).
		WithOptions(options)
	if r.Watched.cluster() {
		b = b.Watches(&v1alpha1.ClusterDNSProvider{}, handler.EnqueueRequestsFromMapFunc(r.ofProvider), builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	}
	if r.PolicyService != "" && len(r.PolicyAddress) == 0 {
		b = b.Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.ofService), builder.WithPredicates(r.moved()))
	}
	if r.Drift != nil {
		b = b.WatchesRawSource(r.Drift.into(&r.Drift.news))
	}
	return b.Complete(r)
}

// moved lets the mta-sts Service through when the address of its load balancer has changed.
func (r *Reconciler) moved() predicate.Predicate {
	address := func(o client.Object) any {
		service, ok := o.(*corev1.Service)
		if !ok {
			return nil
		}
		return service.Status.LoadBalancer
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace && o.GetName() == r.PolicyService })
	return predicate.And(ours, predicate.Funcs{UpdateFunc: func(e ctrlevent.UpdateEvent) bool {
		return !equality.Semantic.DeepEqual(address(e.ObjectOld), address(e.ObjectNew))
	}})
}

// sitesIn are the ConfigMaps of claimed domains.
func sitesIn(namespace string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == namespace && o.GetLabels()[siteLabel] != ""
	})
}

// notKeptHere leaves out what the operator keeps in its own namespace: no MailDomain depends on it.
func notKeptHere(namespace string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() != namespace || o.GetLabels()[managedByLabel] != managedBy
	})
}

// notCreated: what the operator itself creates is news to nobody; what was deleted is made again.
var notCreated = predicate.Funcs{CreateFunc: func(ctrlevent.CreateEvent) bool { return false }}

// holderOf is the MailDomain that a site belongs to.
func holderOf(_ context.Context, site client.Object) []reconcile.Request {
	config, ok := site.(*corev1.ConfigMap)
	if !ok {
		return nil
	}
	parts := strings.Split(config.Data[siteHolder], "/")
	if len(parts) != 3 {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: parts[0], Name: parts[1]}}}
}

// SetupWithManager has the manager call Reconcile when a provider changes, or a Secret that may
// be its credentials.
func (r *ProviderReconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	b := ctrl.NewControllerManagedBy(mgr).
		Named("dnsprovider").
		Watches(&v1alpha1.DNSProvider{}, &handler.EnqueueRequestForObject{}, changed).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, secret client.Object) []reconcile.Request {
			return r.requestsFor(ctx, secret.GetNamespace(), secret.GetName())
		})).
		WithOptions(options)
	if r.Watched.cluster() {
		b = b.Watches(&v1alpha1.ClusterDNSProvider{}, &handler.EnqueueRequestForObject{}, changed)
	}
	return b.Complete(r)
}

// SetupWithManager has the manager call Reconcile for each tombstone, and again when a provider may
// have come that is for its domain.
func (r Tombstones) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	tombstones := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == r.Namespace && o.GetLabels()[tombstoneLabel] != ""
	})
	all := func(ctx context.Context, _ client.Object) []reconcile.Request {
		list := metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
		if err := r.Client.List(ctx, &list, client.InNamespace(r.Namespace), client.HasLabels{tombstoneLabel}); err != nil {
			return nil // as in found
		}
		var requests []reconcile.Request
		for _, secret := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&secret)})
		}
		return requests
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("tombstone").
		WatchesMetadata(&corev1.Secret{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(tombstones)).
		WithOptions(options)
	if r.Watched.cluster() {
		b = b.Watches(&v1alpha1.ClusterDNSProvider{}, handler.EnqueueRequestsFromMapFunc(all), builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	}
	return b.Complete(r)
}
