package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// cacheEnv replaces the cache directory below the user's own.
const cacheEnv = "MAILDOMAIN_CONTROLPLANE_CACHE"

// platform is what the programs run on.
const platform = runtime.GOOS + "-" + runtime.GOARCH

// cache keeps one directory of a set's programs for each combination of versions and each way to get them.
type cache struct {
	root     string
	set      set
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
	var parts []string
	for _, v := range c.set.versions {
		parts = append(parts, v.name, required(v.module.mod, v.path))
	}
	return filepath.Join(c.root, c.set.prefix+strings.Join(append(parts, c.platform), "-"))
}

// downloaded is where the programs from setup-envtest stand. Its releases are not those of
// Kubernetes: often there is only the first of a minor version.
func (c cache) downloaded() string {
	return filepath.Join(c.root, fmt.Sprintf("setup-envtest-%s-%s", minor(), c.platform))
}

// minor is v1.37 of v1.37.2.
func minor() string {
	version := required(goMod, kubernetesModule)
	return version[:strings.LastIndex(version, ".")]
}

// present are the cache's directories, the exact version first.
func (c cache) present() []source {
	dirs := []string{c.built()}
	if c.set.download {
		dirs = append(dirs, c.downloaded())
	}
	var sources []source
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			sources = append(sources, source{"the cache", at(dir)})
		}
	}
	return sources
}

// makers fill the cache, the quickest first.
func (c cache) makers() []source {
	build := source{"the build", c.build}
	if !c.set.download {
		return []source{build}
	}
	return []source{{"setup-envtest", c.download}, build}
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
	if err := complete(dir, c.set.names()); err != nil {
		return "", err
	}
	if err := os.RemoveAll(target); err != nil {
		return "", err
	}
	return target, os.Rename(dir, target)
}
