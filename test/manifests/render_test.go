// Package manifests holds the tests of what config/ renders to: what each object must say, that a real API server
// takes all of it, and that the operator can live with the rights that it is given.
package manifests

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

const namespace = "maildomain-system"

// program is the operator, built once for all tests; "" before.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
	out  []byte
}

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	code := envtest.Main(m)
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "maildomain-manifests-"); program.err != nil { //nolint:usetesting // all tests share it
			return
		}
		program.path = filepath.Join(program.dir, "maildomain")
		program.out, program.err = exec.Command("go", "build", "-buildvcs=false", "-o", program.path, envtest.Root()).CombinedOutput()
	})
	if program.err != nil {
		t.Fatalf("%v\n%s", program.err, program.out)
	}
	return program.path
}

// rendered is what a directory below config/ renders to.
type rendered struct {
	t       *testing.T
	objects []*unstructured.Unstructured
}

func render(t *testing.T, dir string) rendered {
	t.Helper()
	return renderPath(t, filepath.Join(envtest.Root(), "config", dir))
}

// renderPath asks the kubectl of the control plane, as users do.
func renderPath(t *testing.T, path string) rendered {
	t.Helper()
	envtest.Config(t) // skips where there are no programs
	command := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", path)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil || stderr.Len() > 0 { // a warning is of something deprecated
		t.Fatalf("kubectl kustomize %s: %v\n%s", path, err, stderr.Bytes())
	}
	return rendered{t, decode(t, out)}
}

func decode(t *testing.T, content []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
}

// all are the objects of a kind, strictly decoded: a field that the type does not have is an error.
func all[T any](r rendered, kind string) []*T {
	r.t.Helper()
	var list []*T
	for _, o := range r.objects {
		if o.GetKind() != kind {
			continue
		}
		into := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true); err != nil {
			r.t.Fatalf("%s %s: %v", kind, o.GetName(), err)
		}
		list = append(list, into)
	}
	return list
}

// one is the object of a kind and name.
func one[T any, P interface {
	*T
	client.Object
}](r rendered, kind, name string) *T {
	r.t.Helper()
	for _, o := range all[T](r, kind) {
		if P(o).GetName() == name {
			return o
		}
	}
	r.t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// pod is the Pod of a Deployment, with the container that has the policy server, nil where there is none, and the one
// with a token: the manager, or the writer beside a policy server.
type pod struct {
	deployment     *appsv1.Deployment
	spec           *corev1.PodSpec
	sidecar, other *corev1.Container
}

func pods(r rendered) []pod {
	r.t.Helper()
	var list []pod
	for _, d := range all[appsv1.Deployment](r, "Deployment") {
		p := pod{deployment: d, spec: &d.Spec.Template.Spec}
		if len(p.spec.InitContainers) > 1 || len(p.spec.Containers) != 1 {
			r.t.Fatalf("Deployment %s has containers that these tests don't know", d.Name)
		}
		for i := range p.spec.InitContainers {
			p.sidecar = &p.spec.InitContainers[i]
		}
		p.other = &p.spec.Containers[0]
		list = append(list, p)
	}
	return list
}

func (p pod) containers() []*corev1.Container {
	if p.sidecar == nil {
		return []*corev1.Container{p.other}
	}
	return []*corev1.Container{p.sidecar, p.other}
}

// readAll reads files of the repository.
func readAll(t *testing.T, pattern string) []*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(envtest.Root(), pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, decode(t, content)...)
	}
	return objects
}
