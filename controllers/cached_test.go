package controllers

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// What the cache has of a MailDomain is the same, but for what was written about it, and takes no more room than it needs.
func TestWhatTheCacheHasOfAMailDomain(t *testing.T) {
	decoded := func(name string) *v1alpha1.MailDomain {
		own := strings.Clone // as texts of different answers are
		md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{
			Namespace: "a", Name: name, Finalizers: []string{finalizer}, ManagedFields: []metav1.ManagedFieldsEntry{{}},
			Annotations: map[string]string{v1alpha1.AnnotationRotate: "now", corev1.LastAppliedConfigAnnotation: "{}"},
		}}
		md.Spec.Domain = name
		md.Status.Conditions = append(make([]metav1.Condition, 0, 16),
			metav1.Condition{Type: own("Ready"), Status: metav1.ConditionStatus(own("True")), Reason: own("Verified"), Message: own("all is proven")},
			metav1.Condition{Type: own("DMARCReady"), Status: metav1.ConditionStatus(own("False")), Reason: own("Conflict"), Message: name},
		)
		md.Status.Records = append(make([]v1alpha1.RecordStatus, 0, 16), v1alpha1.RecordStatus{
			Name: name, Type: own("TXT"), Purpose: v1alpha1.RecordPurpose(own("SPF")), State: v1alpha1.RecordState(own("Verified")), Reason: own("Verified"), Vantage: v1alpha1.Vantage(own("Delegation")),
		})
		return md
	}
	cached := func(name string) *v1alpha1.MailDomain {
		got, err := CachedMailDomain(decoded(name))
		if err != nil {
			t.Fatal(err)
		}
		return got.(*v1alpha1.MailDomain)
	}
	a, b := cached("a.example"), cached("b.example")
	want := decoded("a.example")
	want.ManagedFields = nil
	delete(want.Annotations, corev1.LastAppliedConfigAnnotation)
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	if cap(a.Status.Conditions) != 2 || cap(a.Status.Records) != 1 {
		t.Errorf("room for %d conditions and %d records", cap(a.Status.Conditions), cap(a.Status.Records))
	}
	for i, of := range a.Status.Conditions {
		other := b.Status.Conditions[i]
		shared(t, of.Type, other.Type)
		shared(t, string(of.Status), string(other.Status))
		shared(t, of.Reason, other.Reason)
	}
	shared(t, a.Status.Conditions[0].Message, b.Status.Conditions[0].Message)
	shared(t, a.Status.Records[0].Type, b.Status.Records[0].Type)
	shared(t, string(a.Status.Records[0].Purpose), string(b.Status.Records[0].Purpose))
	shared(t, string(a.Status.Records[0].State), string(b.Status.Records[0].State))
	shared(t, a.Status.Records[0].Reason, b.Status.Records[0].Reason)
	shared(t, string(a.Status.Records[0].Vantage), string(b.Status.Records[0].Vantage))
}

func shared(t *testing.T, a, b string) {
	t.Helper()
	if a != b || unsafe.StringData(a) != unsafe.StringData(b) {
		t.Errorf("%q and %q are not one", a, b)
	}
}

// Of a site the cache has who holds it, and what is served; of another's ConfigMap, all.
func TestWhatTheCacheHasOfAConfigMap(t *testing.T) {
	site := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", Labels: map[string]string{managedByLabel: managedBy, siteLabel: "true"}, ManagedFields: []metav1.ManagedFieldsEntry{{}}},
			Data:       map[string]string{siteHolder: "x/y/z", siteDomain: "z", siteProof: "secret's hash", sitePolicy: "policy"},
		}
	}
	want := site()
	want.ManagedFields = nil
	delete(want.Data, siteProof)
	got, err := CachedConfigMap(site())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	other := &corev1.ConfigMap{Data: map[string]string{siteProof: "a word"}}
	if got, err := CachedConfigMap(other.DeepCopy()); err != nil || cmp.Diff(other, got) != "" {
		t.Error(err, got)
	}
}

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
