package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRequired(t *testing.T) {
	const etcd = etcdModule
	cases := []struct {
		name, mod, path string
		want            string
	}{
		{"a block", "module m\n\ntool k8s.io/kubernetes/cmd/kubectl\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.7.3 // indirect\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n", etcd, "v3.7.3"},
		{"a single line", "require k8s.io/kubernetes v1.2.3\nrequire go.etcd.io/etcd/server/v3 v3.0.1\n", kubernetesModule, "v1.2.3"},
		{"replaced modules do not count", "replace k8s.io/kubernetes => ../k v1.0.0\nrequire go.etcd.io/etcd/server/v3 v3.0.1\n", kubernetesModule, ""},
		{"another module", "require k8s.io/kubernetes v1.2.3\n", etcd, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := required(c.mod, c.path); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Every set has a release of all that its directory is named by, and every program's module pins that.
func TestPinned(t *testing.T) {
	for _, set := range []set{controlPlane, node} {
		for _, v := range set.versions {
			if got := required(v.module.mod, v.path); strings.Count(got, ".") != 2 || strings.Contains(got, "-") {
				t.Errorf("%s: %s is at %q, want a release", set.name, v.path, got)
			}
		}
		for _, p := range set.programs {
			if !strings.Contains(p.module.mod, "\t"+p.pkg+"\n") {
				t.Errorf("%s: module %s does not name %s as a tool, so what it is built of may be missing", set.name, p.module.name, p.pkg)
			}
		}
	}
}

func TestNamesInTheCache(t *testing.T) {
	kubernetes := &module{mod: "require k8s.io/kubernetes v1.2.3\nrequire go.etcd.io/etcd/server/v3 v3.0.1\n"}
	c := cache{root: "/cache", platform: "linux-amd64", set: set{
		prefix: "some-", versions: []version{{"kubernetes", kubernetesModule, kubernetes}, {"etcd", etcdModule, kubernetes}},
	}}
	if got, want := c.built(), "/cache/some-kubernetes-v1.2.3-etcd-v3.0.1-linux-amd64"; got != want {
		t.Errorf("built: got %s, want %s", got, want)
	}
	if got, want := c.downloaded(), "/cache/setup-envtest-"+minor()+"-linux-amd64"; got != want || strings.Count(minor(), ".") != 1 {
		t.Errorf("downloaded: got %s, want %s", got, want)
	}
}

func TestCacheRoot(t *testing.T) {
	none := func() (string, error) { return "", errors.New("HOME is not defined") }
	home := func() (string, error) { return "/home/u/.cache", nil }
	cases := []struct {
		name, env string
		user      func() (string, error)
		want      string
	}{
		{"the user's", "", home, "/home/u/.cache/maildomain-operator/controlplane"},
		{"chosen", "/elsewhere", home, "/elsewhere"},
		{"chosen, without a home", "/elsewhere", none, "/elsewhere"},
		{"without a home", "", none, ""},
		{"relative", "elsewhere", home, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			getenv := func(name string) string { return map[string]string{cacheEnv: c.env}[name] }
			got, err := cacheRoot(getenv, c.user)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestFill(t *testing.T) {
	writeAll := func(staging string) (string, error) {
		for _, name := range programs {
			if err := os.WriteFile(filepath.Join(staging, name), nil, 0o755); err != nil {
				return "", err
			}
		}
		return staging, nil
	}
	target := func(root string) string { return filepath.Join(root, "target") }

	t.Run("replaces what is incomplete", func(t *testing.T) {
		root := t.TempDir()
		for _, dir := range []string{target(root), filepath.Join(root, "staging", "left")} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if dir, err := (cache{root: root, set: controlPlane}).fill(target(root), writeAll); err != nil || dir != target(root) {
			t.Fatal(dir, err)
		}
		if err := complete(target(root), programs); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(target(root), "left")); err == nil {
			t.Error("what a stopped run left is in the cache")
		}
	})
	for name, produce := range map[string]func(string) (string, error){
		"fails":               func(string) (string, error) { return "", errors.New("no compiler") },
		"makes only one part": func(staging string) (string, error) { return staging, os.Mkdir(filepath.Join(staging, "x"), 0o755) },
	} {
		t.Run("keeps the cache when it "+name, func(t *testing.T) {
			root := t.TempDir()
			if _, err := (cache{root: root, set: controlPlane}).fill(target(root), produce); err == nil {
				t.Error("no error")
			}
			if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
				t.Errorf("left behind: %v %v", entries, err)
			}
		})
	}
}
