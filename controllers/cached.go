package controllers

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CachedSecret leaves of a Secret's metadata what is looked at in the cache: a cluster has many Secrets that are none of the
// operator's business, and all of them are in there. It is a transform of the cache.
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

// ofOurs are the labels of nearly all Secrets that the operator makes.
var ofOurs = map[string]string{managedByLabel: managedBy}

// interned has those with the same labels hold the same map: nobody changes what is in the cache.
func interned(labels map[string]string) map[string]string {
	if maps.Equal(labels, ofOurs) {
		return ofOurs
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
