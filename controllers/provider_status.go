package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// ProviderReconciler says in the status of DNSProviders and ClusterDNSProviders whether they
// could be used: that the spec is sound and the credentials are there. It asks no provider
// anything; what one answers shows in the MailDomains that use it.
type ProviderReconciler struct {
	Client    client.Client
	Reader    client.Reader // past any cache: for Secrets
	Clock     clock.PassiveClock
	Namespace string // the operator's own, with the Secrets of ClusterDNSProviders
	Watched   Watched
	Ambient   bool // as in Accounts
}

// +kubebuilder:rbac:roleName=maildomain-domains,groups=maildomain.dev,resources=dnsproviders/status,verbs=patch
// +kubebuilder:rbac:roleName=maildomain-cluster,groups=maildomain.dev,resources=clusterdnsproviders/status,verbs=patch

// Reconcile takes a request without a namespace for a ClusterDNSProvider.
func (r *ProviderReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var (
		object client.Object
		spec   *v1alpha1.DNSProviderSpec
		status *v1alpha1.DNSProviderStatus
		in     = providerRoom{kind: v1alpha1.KindDNSProvider, name: req.Name, secrets: req.Namespace}
	)
	if req.Namespace == "" {
		o := &v1alpha1.ClusterDNSProvider{}
		object, spec, status = o, &o.Spec.DNSProviderSpec, &o.Status
		in.kind, in.secrets = v1alpha1.KindClusterDNSProvider, r.Namespace
	} else {
		o := &v1alpha1.DNSProvider{}
		object, spec, status = o, &o.Spec, &o.Status
	}
	if err := r.Client.Get(ctx, req.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	old := object.DeepCopyObject().(client.Object)
	before := status.DeepCopy()
	_, why, err := checkProvider(ctx, r.read, spec, in, r.Ambient)
	if err != nil {
		return ctrl.Result{}, err
	}
	ready := judged(why, verdict{v1alpha1.ReasonReady, "the spec is sound and the credentials are there"})
	status.Type, status.ObservedGeneration = spec.Type(), object.GetGeneration()
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: ready.status, Reason: ready.verdict.reason, Message: cut(ready.verdict.message),
		ObservedGeneration: object.GetGeneration(), LastTransitionTime: metav1.NewTime(r.Clock.Now()),
	})
	if equality.Semantic.DeepEqual(before, status) {
		return ctrl.Result{}, nil
	}
	if err := r.Client.Status().Patch(ctx, object, client.MergeFrom(old)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
	}
	return ctrl.Result{}, nil
}

func (r *ProviderReconciler) read(ctx context.Context, at credentialAt) (value string, there bool, err error) {
	var secret corev1.Secret
	err = r.Reader.Get(ctx, at.secret, &secret)
	text, there := secret.Data[at.key]
	return string(text), there, err
}

// requestsFor are the providers that take credentials from the Secret.
func (r *ProviderReconciler) requestsFor(ctx context.Context, namespace, secret string) []ctrl.Request {
	var requests []ctrl.Request
	var list v1alpha1.DNSProviderList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err == nil {
		for i := range list.Items {
			if p := &list.Items[i]; usesSecret(&p.Spec, secret) {
				requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p)})
			}
		}
	}
	var cluster v1alpha1.ClusterDNSProviderList
	if namespace == r.Namespace && r.Watched.cluster() && r.Client.List(ctx, &cluster, client.UnsafeDisableDeepCopy) == nil {
		for i := range cluster.Items {
			if p := &cluster.Items[i]; usesSecret(&p.Spec.DNSProviderSpec, secret) {
				requests = append(requests, ctrl.Request{NamespacedName: types.NamespacedName{Name: p.Name}})
			}
		}
	}
	return requests
}
