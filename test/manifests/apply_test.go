package manifests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

// warnings collects what the API server warns of, as a Pod that breaks the rules would have it do.
type warnings struct{ all []string }

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _ string, text string) {
	w.all = append(w.all, text)
}

func admin(t *testing.T, heard *warnings) client.Client {
	t.Helper()
	config := envtest.Config(t)
	config.QPS = -1
	if heard != nil {
		config.WarningHandlerWithContext = rest.WarningHandlerWithContext(heard)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// apply applies all as `kubectl apply --server-side` does, and returns the versions.
func apply(t *testing.T, api client.Client, r rendered) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, o := range r.objects {
		if o.GetNamespace() == watchedNamespace { // a user's, so no part of an installation
			must(t, client.IgnoreAlreadyExists(api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: watchedNamespace}})))
		}
		applied := o.DeepCopy()
		options := []client.ApplyOption{client.FieldOwner("manifests-test")}
		if o.GetKind() == "CustomResourceDefinition" {
			options = append(options, client.ForceOwnership) // the harness has installed them
		}
		if err := api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), options...); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		versions[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = applied.GetResourceVersion()
	}
	return versions
}

// The API server takes every object, in a namespace that enforces Pod Security restricted, and a second time
// there is nothing to change.
func TestApply(t *testing.T) {
	for _, dir := range installations {
		t.Run(dir, func(t *testing.T) {
			heard := &warnings{}
			api := admin(t, heard)
			r := render(t, dir)
			t.Cleanup(func() { remove(t, api, r) })
			first := apply(t, api, r)
			if first["Namespace /"+namespace] == "" || len(first) < 15 {
				t.Fatalf("applied only %v", first)
			}
			for what, version := range apply(t, api, r) {
				if first[what] != version {
					t.Errorf("a second apply changes %s", what)
				}
			}
			var ns corev1.Namespace
			must(t, api.Get(t.Context(), client.ObjectKey{Name: namespace}, &ns))
			if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
				t.Errorf("the namespace enforces %q", ns.Labels["pod-security.kubernetes.io/enforce"])
			}
			if len(heard.all) > 0 {
				t.Errorf("the API server warns: %q", heard.all)
			}
			for _, p := range pods(r) {
				admit(t, api, p)
			}
		})
	}
}

// admit creates a Pod as the Deployment's controller would. One with a capability more is refused, so the rules
// are really enforced.
func admit(t *testing.T, api client.Client, p pod) {
	t.Helper()
	template := p.deployment.Spec.Template
	made := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: template.Labels}, Spec: *template.Spec.DeepCopy()}
	}
	bad := made(p.deployment.Name + "-bad")
	bad.Spec.Containers[0].SecurityContext.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_ADMIN"}}
	if err := api.Create(t.Context(), bad); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a Pod with a capability: %v", err)
	}
	good := made(p.deployment.Name + "-good")
	if err := api.Create(t.Context(), good); err != nil {
		t.Errorf("the Pod of %s: %v", p.deployment.Name, err)
		return
	}
	must(t, api.Delete(t.Context(), good, client.GracePeriodSeconds(0)))
}

// remove deletes what the next test would find, but for the CRDs, which are everybody's, and the namespace, which
// nobody would ever end here.
func remove(t *testing.T, api client.Client, r rendered) {
	t.Helper()
	for _, o := range slices.Backward(r.objects) {
		if o.GetKind() == "CustomResourceDefinition" || o.GetKind() == "Namespace" {
			continue
		}
		must(t, client.IgnoreNotFound(api.Delete(context.WithoutCancel(t.Context()), o.DeepCopy())))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The samples beside the Service name it, and what the API server knows of them it takes.
func TestSamples(t *testing.T) {
	r := rendered{t, readAll(t, "config/samples/mta-sts/*.yaml")}
	service := one[corev1.Service](renderPlain(t), "Service", "maildomain-mta-sts")
	ingress := one[networkingv1.Ingress](r, "Ingress", "mta-sts")
	backend := ingress.Spec.Rules[0].HTTP.Paths[0]
	if backend.Path != policyPath || backend.Backend.Service.Name != service.Name || backend.Backend.Service.Port.Name != service.Spec.Ports[0].Name || ingress.Namespace != service.Namespace {
		t.Errorf("the Ingress leads to %+v", backend)
	}
	api := admin(t, nil)
	made := ingress.DeepCopy()
	made.Namespace = "default"
	must(t, api.Create(t.Context(), made, client.DryRunAll))
	seen := map[string]bool{}
	for _, o := range r.objects {
		seen[o.GetKind()] = true
		text := fmt.Sprint(o.Object)
		switch o.GetKind() {
		case "HTTPRoute":
			if !strings.Contains(text, service.Name) || !strings.Contains(text, policyPath) || !strings.Contains(text, fmt.Sprint(service.Spec.Ports[0].Port)) {
				t.Errorf("the HTTPRoute: %s", text)
			}
		case "Certificate":
			name, _, err := unstructured.NestedString(o.Object, "spec", "secretName")
			must(t, err)
			hosts, _, err := unstructured.NestedStringSlice(o.Object, "spec", "dnsNames")
			must(t, err)
			for _, md := range readAll(t, "config/samples/maildomain_v1alpha1_maildomain.yaml") {
				domain, _, err := unstructured.NestedString(md.Object, "spec", "domain")
				must(t, err)
				wanted, _, err := unstructured.NestedString(md.Object, "spec", "mtaSTS", "tls", "secretName")
				must(t, err)
				if name != wanted || !slices.Equal(hosts, []string{"mta-sts." + domain}) || o.GetNamespace() != md.GetNamespace() {
					t.Errorf("the Certificate is for %q in Secret %s/%s, and the MailDomain in %s wants mta-sts.%s in %s", hosts, o.GetNamespace(), name, md.GetNamespace(), domain, wanted)
				}
			}
		}
	}
	for _, kind := range []string{"Certificate", "Ingress", "Gateway", "HTTPRoute"} {
		if !seen[kind] {
			t.Errorf("there is no sample of a %s", kind)
		}
	}
}

const policyPath = "/.well-known/mta-sts.txt"
