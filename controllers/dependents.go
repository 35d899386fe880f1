package controllers

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Which MailDomains have to be looked at when something else changes. Every domain has Secrets that the operator writes
// itself, and any namespace may be full of others: if each of them led to all MailDomains of its namespace, N domains would
// cost N². So the cache finds by an index those that name it; what is named after its MailDomain needs none, see namedAfter.
const (
	bySecret   = "secret"   // the names of the Secrets that spec names
	byProvider = "provider" // kind and name of its provider
)

var indexes = map[string]func(*v1alpha1.MailDomain) []string{bySecret: secretNames, byProvider: providerNames}

func index(ctx context.Context, by client.FieldIndexer) error {
	for field, values := range indexes {
		if err := by.IndexField(ctx, &v1alpha1.MailDomain{}, field, valuesOf(values)); err != nil {
			return err
		}
	}
	return nil
}

func valuesOf(values func(*v1alpha1.MailDomain) []string) client.IndexerFunc {
	return func(o client.Object) []string {
		md, ok := o.(*v1alpha1.MailDomain)
		if !ok {
			return nil
		}
		return values(md)
	}
}

// secretNames are the Secrets that spec names, but for the provider's.
func secretNames(md *v1alpha1.MailDomain) (names []string) {
	for _, name := range []string{md.SignerSecretName(), md.TLSSecretName()} {
		if !slices.Contains(namedAfter(name), md.Name) {
			names = append(names, name)
		}
	}
	if md.Spec.DKIM != nil {
		for _, key := range md.Spec.DKIM.Keys {
			if key.Import != nil {
				names = append(names, key.Import.SecretName)
			}
		}
	}
	return distinct(names)
}

// namedAfter are the names of the MailDomains whose ledger, signer's Secret or certificate a Secret of this name is, if spec names
// no other. One that spec has left for another may still hold keys.
func namedAfter(secret string) (mailDomains []string) {
	var nameless v1alpha1.MailDomain
	for _, suffix := range []string{ledgerName(""), nameless.SignerSecretName()} {
		if name, ok := strings.CutSuffix(secret, suffix); ok {
			mailDomains = append(mailDomains, name)
		}
	}
	if name, ok := strings.CutPrefix(secret, nameless.TLSSecretName()); ok {
		mailDomains = append(mailDomains, name)
	}
	return mailDomains
}

func providerNames(md *v1alpha1.MailDomain) []string {
	if md.Spec.Manual() {
		return nil
	}
	return []string{providerNamed(md.Spec.DNS.ProviderRef.Kind, md.Spec.DNS.ProviderRef.Name)}
}

func providerNamed(kind v1alpha1.ProviderKind, name string) string { return string(kind) + "/" + name }

// usesSecret reports whether the provider's credentials are in the Secret of that name.
func usesSecret(spec *v1alpha1.DNSProviderSpec, name string) bool {
	b, known := backends[spec.Type()]
	return known && slices.ContainsFunc(b.secrets(spec), func(ref *v1alpha1.SecretKeyRef) bool { return ref != nil && ref.Name == name })
}

// found are the MailDomains that the index has under the value, in the namespace or, with "", in all. The cache is gone
// only at the end, so an error says nothing that the resync does not make up for.
func (r *Reconciler) found(ctx context.Context, namespace, field, value string) (requests []reconcile.Request) {
	var list v1alpha1.MailDomainList
	if r.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// ofSecret are the MailDomains that a Secret matters to: whom it was written for, who names it, and whose provider has its
// credentials in it. One with the keys of several does not say whose: spec may have left it, and the signer not yet.
func (r *Reconciler) ofSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	namespace, name := secret.GetNamespace(), secret.GetName()
	if _, shared := secret.GetAnnotations()[sharedAnnotation]; shared {
		return r.every(ctx, namespace)
	}
	requests := r.found(ctx, namespace, bySecret, name)
	for _, mailDomain := range namedAfter(name) {
		at := types.NamespacedName{Namespace: namespace, Name: mailDomain}
		if r.Client.Get(ctx, at, &v1alpha1.MailDomain{}, client.UnsafeDisableDeepCopy) == nil { // else there is none, as in found
			requests = append(requests, reconcile.Request{NamespacedName: at})
		}
	}
	if owner := strings.Split(secret.GetAnnotations()[ownerAnnotation], "/"); len(owner) == 3 && owner[0] == namespace {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: owner[1]}})
	}
	if secret.GetLabels()[managedByLabel] == managedBy && secret.GetAnnotations()[ownerAnnotation] != "" {
		return requests // nobody's credentials
	}
	var providers v1alpha1.DNSProviderList
	if r.Client.List(ctx, &providers, client.InNamespace(namespace), client.UnsafeDisableDeepCopy) == nil {
		for i := range providers.Items {
			if p := &providers.Items[i]; usesSecret(&p.Spec, name) {
				requests = append(requests, r.found(ctx, namespace, byProvider, providerNamed(v1alpha1.KindDNSProvider, p.Name))...)
			}
		}
	}
	var cluster v1alpha1.ClusterDNSProviderList
	if namespace == r.Namespace && r.Watched.cluster() && r.Client.List(ctx, &cluster, client.UnsafeDisableDeepCopy) == nil {
		for i := range cluster.Items {
			if p := &cluster.Items[i]; usesSecret(&p.Spec.DNSProviderSpec, name) {
				requests = append(requests, r.found(ctx, "", byProvider, providerNamed(v1alpha1.KindClusterDNSProvider, p.Name))...)
			}
		}
	}
	return requests
}

// ofProvider are the MailDomains that refer to a DNSProvider or a ClusterDNSProvider.
func (r *Reconciler) ofProvider(ctx context.Context, provider client.Object) []reconcile.Request {
	kind := v1alpha1.KindDNSProvider
	if provider.GetNamespace() == "" {
		kind = v1alpha1.KindClusterDNSProvider
	}
	return r.found(ctx, provider.GetNamespace(), byProvider, providerNamed(kind, provider.GetName()))
}

// ofService are the MailDomains with a policy host, which may lead to the Service.
func (r *Reconciler) ofService(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.every(ctx, "")
}

// every is all MailDomains of the namespace or, with "", of all.
func (r *Reconciler) every(ctx context.Context, namespace string) (requests []reconcile.Request) {
	var list v1alpha1.MailDomainList
	if r.Client.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy) != nil {
		return nil // as in found
	}
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
