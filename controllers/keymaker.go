package controllers

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/maildomain/maildomain-operator/keys"
)

// KeyMaker makes DKIM keys outside of the passes: a keys.Pool.
type KeyMaker interface {
	// Take returns a pair for each spec, or ok false while they are being made.
	Take(customer string, specs []keys.Spec) (pairs []keys.Pair, ok bool, err error)
	// Forget is for a customer who will not come back.
	Forget(customer string)
	// OnReady says whom to tell that a customer should come back.
	OnReady(wake func(customer string))
}

// customer is the name under which a MailDomain orders its keys.
func customer(namespace, name string) string { return namespace + "/" + name }

// madeKeys has those MailDomains come again whose keys are ready.
func (r *Reconciler) madeKeys() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.Keys.OnReady(func(customer string) {
			namespace, name, _ := strings.Cut(customer, "/")
			queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}})
		})
		return nil
	})
}
