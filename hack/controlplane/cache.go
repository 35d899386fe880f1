package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// cacheEnv replaces the cache directory below the user's own.
const cacheEnv = "MAILDOMAIN_CONTROLPLANE_CACHE"

// goMod and goSum pin what is built. They are part of the program, so that the versions in the
// cache's names and those of the build cannot differ.
var (
	//go:embed go.mod
	goMod string
	//go:embed go.sum
	goSum string
)

// versions are the releases that go.mod pins, with their leading v.
type versions struct {
	kubernetes, etcd string
}

// pinned reads the versions from a go.mod.
func pinned(mod string) (versions, error) {
	v := versions{kubernetes: required(mod, "k8s.io/kubernetes"), etcd: required(mod, "go.etcd.io/etcd/server/v3")}
	if strings.Count(v.kubernetes, ".") != 2 || v.etcd == "" {
		return versions{}, fmt.Errorf("go.mod requires k8s.io/kubernetes at %q and etcd at %q: want a release of each", v.kubernetes, v.etcd)
	}
	return v, nil
}

// required returns the version at which a go.mod requires a module, or "".
func required(mod, path string) string {
	for line := range strings.Lines(mod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == path && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}

// minor returns v1.37 of v1.37.2.
func (v versions) minor() string { return v.kubernetes[:strings.LastIndex(v.kubernetes, ".")] }

// platform is what the programs run on.
const platform = runtime.GOOS + "-" + runtime.GOARCH

// cache keeps one directory of programs for each set of versions and each way to get them.
type cache struct {
	root     string
	versions versions
	platform string // linux-amd64
}

// cacheRoot returns the directory of the cache.
func cacheRoot(getenv func(string) string, userCacheDir func() (string, error)) (string, error) {
	if dir := getenv(cacheEnv); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", fmt.Errorf("%s=%s is not an absolute path", cacheEnv, dir)
		}
		return dir, nil
	}
	dir, err := userCacheDir()
	if err != nil {
		return "", fmt.Errorf("no directory for the cache: %w; set %s", err, cacheEnv)
	}
	return filepath.Join(dir, "maildomain-operator", "controlplane"), nil
}

// built is where the programs of a build stand.
func (c cache) built() string {
	return filepath.Join(c.root, fmt.Sprintf("kubernetes-%s-etcd-%s-%s", c.versions.kubernetes, c.versions.etcd, c.platform))
}

// downloaded is where the programs from setup-envtest stand. Its releases are not those of
// Kubernetes: often there is only the first of a minor version.
func (c cache) downloaded() string {
	return filepath.Join(c.root, fmt.Sprintf("setup-envtest-%s-%s", c.versions.minor(), c.platform))
}

// present are the cache's directories, the exact version first.
func (c cache) present() []source {
	var sources []source
	for _, dir := range []string{c.built(), c.downloaded()} {
		if _, err := os.Stat(dir); err == nil {
			sources = append(sources, source{"the cache", at(dir)})
		}
	}
	return sources
}

// makers fill the cache, the quickest first.
func (c cache) makers() []source {
	return []source{{"setup-envtest", c.download}, {"the build", c.build}}
}

// fill lets produce put the programs into an empty directory and puts that in place as a whole, so
// that a directory of the cache is complete whenever a run is stopped. The caller holds the lock.
func (c cache) fill(target string, produce func(staging string) (string, error)) (string, error) {
	staging := filepath.Join(c.root, "staging") // a stopped run may have left something
	if err := os.RemoveAll(staging); err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return "", err
	}
	dir, err := produce(staging)
	if err != nil {
		return "", err
	}
	if err := complete(dir); err != nil {
		return "", err
	}
	if err := os.RemoveAll(target); err != nil {
		return "", err
	}
	return target, os.Rename(dir, target)
}
