package controllers

import (
	"os"
	"path/filepath"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	cliutils "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/argocd"
)

var healthScript = sync.OnceValues(func() (string, error) {
	script, err := os.ReadFile(filepath.Join("..", "config", "argocd", "health.lua"))
	return string(script), err
})

// toolsAgree checks what kstatus (Flux, kubectl wait's kin) and Argo CD make of the status as it stands: Current and
// Healthy is what is Ready, Failed and Degraded what waits for somebody, and all else is under way.
func (w *world) toolsAgree(md *v1alpha1.MailDomain) {
	w.t.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(md)
	w.must(err)
	object := &unstructured.Unstructured{Object: raw}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MailDomain"))
	got, err := cliutils.Compute(object)
	w.must(err)
	script, err := healthScript()
	w.must(err)
	health, err := argocd.Run(w.t.Context(), script, object.Object)
	w.must(err)

	is := func(kind string) bool { return meta.IsStatusConditionTrue(md.Status.Conditions, kind) }
	ready := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionReady)
	want, wantHealth := cliutils.InProgressStatus, "Progressing"
	switch {
	case !md.DeletionTimestamp.IsZero():
		want = cliutils.TerminatingStatus
	case ready == nil || md.Status.ObservedGeneration != md.Generation:
	case md.Spec.Suspend != nil && *md.Spec.Suspend:
		wantHealth = "Suspended"
	case is(v1alpha1.ConditionReady):
		want, wantHealth = cliutils.CurrentStatus, "Healthy"
	case ready.Reason == v1alpha1.ReasonObserving:
		wantHealth = "Suspended"
		if is(v1alpha1.ConditionStalled) {
			want = cliutils.FailedStatus
		}
	case is(v1alpha1.ConditionStalled):
		want, wantHealth = cliutils.FailedStatus, "Degraded"
	}
	if is(v1alpha1.ConditionStalled) == is(v1alpha1.ConditionReconciling) && ready != nil && !is(v1alpha1.ConditionReady) && wantHealth != "Suspended" && md.DeletionTimestamp.IsZero() {
		w.t.Errorf("neither or both of Stalled and Reconciling:\n%s", describe(md))
	}
	if got.Status != want || health.Status != wantHealth {
		w.t.Errorf("kstatus says %s (%s), want %s; Argo CD says %s (%s), want %s:\n%s", got.Status, got.Message, want, health.Status, health.Message, wantHealth, describe(md))
	}
}
