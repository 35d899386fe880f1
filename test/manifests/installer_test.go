package manifests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

// installer is what `make build-installer` writes.
func installer(t *testing.T, variables ...string) (r rendered, said string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "install.yaml")
	command := exec.Command("make", append([]string{"-C", envtest.Root(), "--no-print-directory", "build-installer", "INSTALLER=" + file}, variables...)...)
	out, err := command.CombinedOutput()
	if err != nil {
		return rendered{}, string(out), err
	}
	content, err := os.ReadFile(file)
	return rendered{t, decode(t, content)}, string(out), err
}

// The one file says what config/install says with the same image and id, and a real API server takes it.
func TestInstaller(t *testing.T) {
	want := render(t, "install")
	r, said, err := installer(t, "IMG=registry.example/maildomain-operator:dev", "OWNER_ID=example")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if diff := cmp.Diff(want.objects, r.objects); diff != "" {
		t.Errorf("config/install (-) and the file (+):\n%s", diff)
	}
	api := admin(t, nil)
	t.Cleanup(func() { remove(t, api, r) })
	first := apply(t, api, r)
	for what, version := range apply(t, api, r) {
		if first[what] != version {
			t.Errorf("a second apply changes %s", what)
		}
	}
}

// An image by its digest, on what CONFIG names.
func TestInstallerOfOtherConfigurations(t *testing.T) {
	envtest.Config(t)
	const image = "registry.example:5000/team/mail@sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090"
	r, said, err := installer(t, "IMG="+image, "OWNER_ID=eu", "CONFIG=namespaced")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	manager := one[appsv1.Deployment](r, "Deployment", "maildomain-manager")
	if given := argumentsOf(t, &manager.Spec.Template.Spec.Containers[0]); given["owner-id"] != "eu" || given["watch-namespaces"] != watchedNamespace {
		t.Errorf("--owner-id=%s --watch-namespaces=%s", given["owner-id"], given["watch-namespaces"])
	}
	for _, p := range pods(r) {
		for _, c := range p.containers() {
			if c.Image != image {
				t.Errorf("%s has image %s", c.Name, c.Image)
			}
		}
	}
}

// Two installations of one id would take each other's claims for their own, so there is no default.
func TestInstallerWantsAnOwner(t *testing.T) {
	envtest.Config(t)
	if _, said, err := installer(t); err == nil || !strings.Contains(said, "OWNER_ID is not set") {
		t.Errorf("%v: %s", err, said)
	}
}
