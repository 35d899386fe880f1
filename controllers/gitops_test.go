package controllers

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// committed is a manifest as it lies in a repository: with spellings that a program would choose otherwise, and with what Argo CD puts on it.
const committed = `
apiVersion: maildomain.dev/v1alpha1
kind: MailDomain
metadata:
  name: example-com
  labels:
    app.kubernetes.io/instance: mail
  annotations:
    argocd.argoproj.io/tracking-id: "mail:maildomain.dev/MailDomain:mail/example-com"
spec:
  domain: example.com
  suspend: false
  dns: {providerRef: {kind: DNSProvider, name: dns}, ttl: 90m, deletionPolicy: Retain}
  spf: {mechanisms: [mx, "ip4:192.0.2.0/24"], all: fail}
  dkim:
    keys:
    - {name: ed25519, algorithm: ed25519}
    - {name: rsa, algorithm: rsa, bits: 2048}
    rotation: {interval: 4320h, retention: 168h0m}
  dmarc: {policy: reject, rua: ["mailto:z@example.com", "mailto:a@example.com"]}
  mtaSTS: {mode: testing, mx: [mx1.example.com], maxAge: 168h}
  tlsRPT: {rua: ["mailto:tls@example.com"]}
`

// way is a way to apply a manifest.
type way struct {
	manager string
	apply   func(w *world, manifest *unstructured.Unstructured)
}

var ways = map[string]way{
	"server-side": {"flux", func(w *world, manifest *unstructured.Unstructured) {
		w.must(w.api.Apply(w.t.Context(), client.ApplyConfigurationFromUnstructured(manifest), client.FieldOwner("flux")))
	}},
	"client-side": {"kubectl-client-side-apply", applyClientSide},
}

// applyClientSide is what kubectl apply does: a three-way merge of what it applied last, of what it applies, and of what is there.
func applyClientSide(w *world, manifest *unstructured.Unstructured) {
	w.t.Helper()
	owner := client.FieldOwner("kubectl-client-side-apply")
	last, err := json.Marshal(manifest)
	w.must(err)
	annotations := manifest.GetAnnotations()
	annotations[corev1.LastAppliedConfigAnnotation] = string(last)
	manifest.SetAnnotations(annotations)
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(manifest.GroupVersionKind())
	err = w.api.Get(w.t.Context(), client.ObjectKeyFromObject(manifest), there)
	if client.IgnoreNotFound(err) == nil && err != nil {
		w.must(w.api.Create(w.t.Context(), manifest, owner))
		return
	}
	w.must(err)
	next, err := json.Marshal(manifest)
	w.must(err)
	current, err := json.Marshal(there)
	w.must(err)
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch([]byte(there.GetAnnotations()[corev1.LastAppliedConfigAnnotation]), next, current)
	w.must(err)
	if string(patch) != "{}" {
		w.must(w.api.Patch(w.t.Context(), manifest, client.RawPatch(types.MergePatchType, patch), owner))
	}
}

// What a repository says of a MailDomain stays as it was applied, octet by octet, and is nobody else's. Applied again it changes
// nothing, so Argo CD has nothing to sync. What the operator makes carries none of the marks by which tools know what to prune.
func TestSpecStaysAsApplied(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			manifest := func() *unstructured.Unstructured {
				object := &unstructured.Unstructured{}
				w.must(yaml.Unmarshal([]byte(committed), &object.Object))
				object.SetNamespace(w.namespace)
				return object
			}
			way.apply(w, manifest())
			w.until("example-com", "ready", isReady)
			w.settles("example-com")

			md := w.raw("example-com")
			if diff := cmp.Diff(specOf(w, manifest()), specOf(w, md)); diff != "" {
				t.Errorf("spec is not as applied (-applied +found):\n%s", diff)
			}
			if got := managersOfSpec(w, md); !slices.Equal(got, []string{way.manager}) {
				t.Errorf("spec has fields of %q, want of %q alone", got, way.manager)
			}
			way.apply(w, manifest())
			if again := w.raw("example-com"); again.GetResourceVersion() != md.GetResourceVersion() {
				t.Errorf("the same manifest changes something:\n%s", cmp.Diff(md.Object, again.Object))
			}
			w.isNotPruned()
		})
	}
}

// raw is the MailDomain as the API server gives it, through no type of ours.
func (w *world) raw(name string) *unstructured.Unstructured {
	w.t.Helper()
	md := &unstructured.Unstructured{}
	md.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MailDomain"))
	w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, md))
	return md
}

func specOf(w *world, md *unstructured.Unstructured) string {
	w.t.Helper()
	spec, err := json.MarshalIndent(md.Object["spec"], "", " ")
	w.must(err)
	return string(spec)
}

// managersOfSpec are those who manage a field of spec, or a label or an annotation.
func managersOfSpec(w *world, md *unstructured.Unstructured) []string {
	w.t.Helper()
	found := map[string]bool{}
	for _, entry := range md.GetManagedFields() {
		var fields struct {
			Spec     json.RawMessage            `json:"f:spec"`
			Metadata map[string]json.RawMessage `json:"f:metadata"`
		}
		w.must(json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields))
		if fields.Spec != nil || fields.Metadata["f:labels"] != nil || fields.Metadata["f:annotations"] != nil {
			found[entry.Manager] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// isNotPruned: Argo CD takes for its own, and removes, what has its label or annotation and is not in the repository; Flux goes by an inventory.
func (w *world) isNotPruned() {
	w.t.Helper()
	var secrets corev1.SecretList
	w.must(w.api.List(w.t.Context(), &secrets, client.InNamespace(w.namespace)))
	made := 0
	for _, secret := range secrets.Items {
		if secret.Name == "tsig" || secret.Type == corev1.SecretTypeTLS {
			continue // the user's
		}
		made++
		if _, has := secret.Labels["app.kubernetes.io/instance"]; has {
			w.t.Errorf("Secret %s has the label of the MailDomain", secret.Name)
		}
		for key := range secret.Annotations {
			if strings.HasPrefix(key, "argocd.argoproj.io/") {
				w.t.Errorf("Secret %s has the annotation %s", secret.Name, key)
			}
		}
	}
	if made < 2 {
		w.t.Errorf("%d Secrets were made, want the ledger and the signer's", made)
	}
}
