package controllers

import (
	"maps"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// The transforms of the caches: nearly all of the operator's memory is what they hold of each MailDomain.

// CachedMailDomain leaves out what nobody looks at, and has MailDomains share the words that they have in common. What the
// decoder has made has room for more, and its copy has not.
func CachedMailDomain(object any) (any, error) {
	md, ok := object.(*v1alpha1.MailDomain)
	if !ok {
		return object, nil
	}
	md.ManagedFields = nil
	delete(md.Annotations, corev1.LastAppliedConfigAnnotation) // spec, once more
	md = md.DeepCopy()
	for i := range md.Status.Conditions {
		c := &md.Status.Conditions[i]
		share(&c.Type)
		share(&c.Status)
		share(&c.Reason)
		if c.Status == metav1.ConditionTrue {
			share(&c.Message) // what is wrong names the domain
		}
	}
	for i := range md.Status.Records {
		r := &md.Status.Records[i]
		share(&r.Type)
		share(&r.Purpose)
		share(&r.State)
		share(&r.Reason)
		share(&r.Vantage)
	}
	return md, nil
}

// share has equal texts be the same.
func share[S ~string](text *S) { *text = S(unique.Make(string(*text)).Value()) }

// CachedConfigMap leaves of a site what the snapshot is made of, and who holds it.
func CachedConfigMap(object any) (any, error) {
	config, ok := object.(*corev1.ConfigMap)
	if !ok || config.Labels[siteLabel] == "" {
		return object, nil
	}
	config.ManagedFields = nil
	config.Labels = interned(config.Labels)
	delete(config.Data, siteProof)
	return config, nil
}

// CachedSecret leaves of a Secret's metadata what is looked at in the cache: a cluster has many Secrets that are none of the
// operator's business, and all of them are in there.
func CachedSecret(object any) (any, error) {
	secret, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	secret.ObjectMeta = metav1.ObjectMeta{
		Namespace: secret.Namespace, Name: secret.Name, UID: secret.UID, ResourceVersion: secret.ResourceVersion,
		Labels:      interned(only(secret.Labels, managedByLabel, tombstoneLabel)),
		Annotations: only(secret.Annotations, ownerAnnotation, sharedAnnotation),
	}
	return secret, nil
}

// The labels of nearly all Secrets and ConfigMaps that the operator makes.
var (
	ofOurs  = map[string]string{managedByLabel: managedBy}
	ofSites = map[string]string{managedByLabel: managedBy, siteLabel: "true"}
)

// interned has those with the same labels hold the same map: nobody changes what is in the cache.
func interned(labels map[string]string) map[string]string {
	for _, usual := range []map[string]string{ofOurs, ofSites} {
		if maps.Equal(labels, usual) {
			return usual
		}
	}
	return labels
}

// only returns the entries of these names; nil if there are none.
func only(all map[string]string, names ...string) (some map[string]string) {
	for _, name := range names {
		if value, ok := all[name]; ok {
			if some == nil {
				some = map[string]string{}
			}
			some[name] = value
		}
	}
	return some
}
