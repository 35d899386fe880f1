package helm

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const namespace = "maildomain-system"

func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

func chartDir() string { return filepath.Join(root(), "charts", "maildomain-operator") }

type object = map[string]any

// objects are those of a release or of a directory, by kind, namespace and name.
type objects map[string]object

func decode(t *testing.T, content string, into objects) {
	t.Helper()
	for text := range strings.SplitSeq("\n"+content, "\n---") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(text), &o); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if len(o) == 0 {
			continue
		}
		id := fmt.Sprintf("%v %v/%v", o["kind"], at(o, "metadata", "namespace"), at(o, "metadata", "name"))
		if into[id] != nil {
			t.Errorf("there are two: %s", id)
		}
		into[id] = o
	}
}

// at walks down maps; nil where there is nothing.
func at(o any, path ...string) any {
	for _, key := range path {
		m, _ := o.(object)
		o = m[key]
	}
	return o
}

// required is what has no default.
const required = "{image: {repository: registry.example/maildomain-operator, tag: dev}, ownerID: example}"

// release renders the chart as `helm install` does, with values in YAML in the place of those required.
func release(t *testing.T, values string) (objects, error) {
	t.Helper()
	chart, err := loader.Load(chartDir())
	if err != nil {
		t.Fatal(err)
	}
	given := object{}
	for _, text := range []string{required, values} { // the second takes the place of the first, key by key
		if err := yaml.Unmarshal([]byte(text), &given); err != nil {
			t.Fatal(err)
		}
	}
	options := common.ReleaseOptions{Name: "maildomain", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, given, options, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	rendered := objects{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			decode(t, files[name], rendered)
		}
	}
	return rendered, nil
}

func mustRelease(t *testing.T, values string) objects {
	t.Helper()
	rendered, err := release(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

// kustomized renders directories and components of config/ with the same image and owner, by kubectl, as users do.
func kustomized(t *testing.T, resource, component string) objects {
	t.Helper()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		if os.Getenv("MAILDOMAIN_REQUIRE_REAL") == "1" {
			t.Fatal("KUBEBUILDER_ASSETS is not set, so there is no kubectl, and MAILDOMAIN_REQUIRE_REAL=1 requires one")
		}
		t.Skip(`SKIPPED: this test needs a kubectl and KUBEBUILDER_ASSETS is not set: run "make test"`)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Rel(dir, filepath.Join(root(), "config")) // kustomize takes no other paths
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
resources: [%[1]s/%[2]s]
images: [{name: maildomain, newName: registry.example/maildomain-operator, newTag: dev}]
patches:
- target: {kind: Deployment, name: maildomain-manager}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --owner-id=example}
`, config, resource)
	if component != "" {
		text += fmt.Sprintf("components: [%s/%s]\n", config, component)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	command := exec.Command(filepath.Join(assets, "kubectl"), "kustomize", dir)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	rendered := objects{}
	decode(t, string(out), rendered)
	return rendered
}

// compared leaves out what differs by design, each with its reason.
func compared(all objects) objects {
	for id, o := range all {
		kind := o["kind"]
		if kind == "Namespace" { // a release's namespace is made by --create-namespace
			delete(all, id)
			continue
		}
		if labels, ok := at(o, "metadata", "labels").(object); ok {
			delete(labels, "app.kubernetes.io/managed-by") // each names itself
			delete(labels, "helm.sh/chart")
		}
		if annotations, ok := at(o, "metadata", "annotations").(object); ok {
			delete(annotations, "helm.sh/resource-policy")
		}
		if kind != "Deployment" {
			continue
		}
		spec := at(o, "spec", "template", "spec")
		for _, list := range []string{"initContainers", "containers"} {
			containers, _ := at(spec, list).([]any)
			for _, c := range containers {
				c := c.(object)
				if c["imagePullPolicy"] == "IfNotPresent" { // what there is without one, for a tag
					delete(c, "imagePullPolicy")
				}
				args := c["args"].([]any) // flags may come in any order
				slices.SortFunc(args[1:], func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
			}
		}
	}
	return all
}

// The chart and config/ are two ways to the same objects.
func TestSameAsKustomize(t *testing.T) {
	for _, c := range []struct{ values, resource, component string }{
		{"", "default", ""},
		{"mtaSTS: {plain: true}", "default", "plain"},
		{"watchNamespaces: [mail]", "namespaced", ""},
		{"{watchNamespaces: [mail], mtaSTS: {plain: true}}", "namespaced", "plain"},
		{"metrics: {certificateSecret: maildomain-metrics-tls}", "default", "metrics-certificate"},
	} {
		t.Run(c.resource+c.component, func(t *testing.T) {
			want := compared(kustomized(t, c.resource, c.component))
			if len(want) < 15 {
				t.Fatalf("config/%s has %d objects", c.resource, len(want))
			}
			if diff := cmp.Diff(want, compared(mustRelease(t, c.values))); diff != "" {
				t.Errorf("config/%s (-) and the chart with %q (+):\n%s", c.resource, c.values, diff)
			}
		})
	}
}

// What Prometheus and Grafana take is that of config/prometheus, each with a switch, and off without it.
func TestMonitoringSameAsKustomize(t *testing.T) {
	for _, c := range []struct{ values, component string }{
		{"metrics: {}", ""},
		{"metrics: {certificateSecret: maildomain-metrics-tls}", "metrics-certificate"},
	} {
		want := compared(kustomized(t, "prometheus", c.component))
		if len(want) != 3 {
			t.Fatalf("config/prometheus has %d objects", len(want))
		}
		without := compared(mustRelease(t, c.values))
		for kind, value := range map[string]string{"ServiceMonitor": "serviceMonitor", "PrometheusRule": "prometheusRule", "ConfigMap": "dashboard"} {
			got := compared(mustRelease(t, c.values+"\n"+value+": {enabled: true}"))
			for id := range without {
				delete(got, id)
			}
			if len(got) != 1 {
				t.Errorf("%s brings %d objects", value, len(got))
			}
			for id, o := range want {
				if o["kind"] != kind {
					continue
				}
				if diff := cmp.Diff(o, got[id]); diff != "" {
					t.Errorf("%s with %s: config/prometheus (-) and the chart (+):\n%s", id, c.values, diff)
				}
			}
		}
	}
}
