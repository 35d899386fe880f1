package main

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/metrics"
)

// meter registers the operator's metrics beside those of controller-runtime.
func meter(ctx context.Context, mgr ctrl.Manager, pool *keys.Pool, perObject bool) *metrics.Process {
	leads := func() bool {
		select {
		case <-mgr.Elected(): // not before the caches have synced
			return true
		default:
			return false
		}
	}
	list := func() ([]v1alpha1.MailDomain, error) {
		var all v1alpha1.MailDomainList
		err := mgr.GetClient().List(ctx, &all, client.UnsafeDisableDeepCopy)
		return all.Items, err
	}
	ctrlmetrics.Registry.MustRegister(metrics.NewCollector(leads, list, perObject))
	return metrics.NewProcess(ctrlmetrics.Registry, pool.Ready, leads)
}
