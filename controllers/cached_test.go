package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of somebody else's Secret the cache has its name and its version; of the operator's own, whom it belongs to.
func TestWhatTheCacheHasOfASecret(t *testing.T) {
	large := map[string]string{"somebody's": strings.Repeat("x", 10000)}
	with := func(name, value string) map[string]string { return map[string]string{name: value} }
	for name, test := range map[string]struct{ secret, want metav1.ObjectMeta }{
		"somebody's": {
			metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "c", ResourceVersion: "1", Labels: large, Annotations: large, ManagedFields: []metav1.ManagedFieldsEntry{{}}},
			metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "c", ResourceVersion: "1"},
		},
		"the operator's": {
			metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "c", ResourceVersion: "1", Labels: with(managedByLabel, managedBy), Annotations: with(ownerAnnotation, "a/b/c"), Finalizers: []string{ledgerFinalizer}},
			metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "c", ResourceVersion: "1", Labels: with(managedByLabel, managedBy), Annotations: with(ownerAnnotation, "a/b/c")},
		},
		"a tombstone": {
			metav1.ObjectMeta{Namespace: "a", Name: "b", Labels: with(tombstoneLabel, "true")},
			metav1.ObjectMeta{Namespace: "a", Name: "b", Labels: with(tombstoneLabel, "true")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := CachedSecret(&metav1.PartialObjectMetadata{ObjectMeta: test.secret})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&metav1.PartialObjectMetadata{ObjectMeta: test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
