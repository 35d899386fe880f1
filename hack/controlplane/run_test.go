package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeGo stands in for the go command: it notes each call, installs a setup-envtest, and
// builds programs that do nothing.
const fakeGo = `#!/bin/sh
echo "$*" >>"$CALLS"
case "$1" in
install)
	cp "$SETUP_ENVTEST" "$GOBIN/setup-envtest" ;;
build)
	cgo=0
	case "$*" in *opencontainers/runc) cgo=1 ;; esac
	test "$CGO_ENABLED" = $cgo && test -s go.mod && test -s go.sum || exit 1
	while [ "$1" != -o ]; do shift; done
	mkdir -p "$(dirname "$2")" && touch "$2" && chmod +x "$2" ;;
esac
`

const (
	// offline fails as setup-envtest does without a network.
	offline = `#!/bin/sh
echo "unable to get index" >&2
exit 2
`
	// online unpacks programs below --bin-dir and prints where.
	online = `#!/bin/sh
test "$1 $2 $4 $5 $6" = "use --bin-dir --print path $MINOR.x" || exit 1
dir="$3/k8s/$MINOR.0-linux-amd64"
mkdir -p "$dir" && cd "$dir" && touch kube-apiserver etcd kubectl && chmod +x * || exit 1
echo "$dir"
`
)

// world sets the environment of a run; calls returns what was asked of the go command.
func world(t *testing.T, setupEnvtest string) (c cache, calls func() []string) {
	t.Helper()
	bin, notes := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	tool := filepath.Join(t.TempDir(), "setup-envtest")
	for path, text := range map[string]string{filepath.Join(bin, "go"): fakeGo, tool: setupEnvtest} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c = cache{root: t.TempDir(), set: controlPlane, platform: platform}
	for name, value := range map[string]string{
		"PATH":          bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"CALLS":         notes,
		"SETUP_ENVTEST": tool,
		"MINOR":         strings.TrimPrefix(minor(), "v"),
		assetsEnv:       "",
		node.env:        "",
		cacheEnv:        c.root,
	} {
		t.Setenv(name, value)
	}
	return c, func() []string {
		text, _ := os.ReadFile(notes)
		var verbs []string
		for line := range strings.Lines(string(text)) {
			verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			verbs = append(verbs, verb+" "+rest[strings.LastIndex(rest, " ")+1:])
		}
		return verbs
	}
}

const assetsEnv = "KUBEBUILDER_ASSETS"

var (
	programs = controlPlane.names()

	install = "install " + setupEnvtest
	builds  = []string{
		"build k8s.io/kubernetes/cmd/kube-apiserver",
		"build go.etcd.io/etcd/server/v3",
		"build k8s.io/kubernetes/cmd/kubectl",
	}
)

// wantRun runs, and compares the directory and all calls of the go command so far.
func wantRun(t *testing.T, dir string, calls func() []string, wantCalls ...string) {
	t.Helper()
	got, err := run(t.Context(), controlPlane)
	if err != nil || got != dir {
		t.Errorf("got %q, %v; want %q", got, err, dir)
	}
	if !slices.Equal(calls(), wantCalls) {
		t.Errorf("go was asked for %q, want %q", calls(), wantCalls)
	}
}

func TestRunTakesTheAssetsFirst(t *testing.T) {
	_, calls := world(t, online)
	assets := directory(t, programs...)
	t.Setenv(assetsEnv, assets)
	t.Setenv(cacheEnv, "relative, and not looked at")
	wantRun(t, assets, calls)
}

func TestRunPassesOverIncompleteAssets(t *testing.T) {
	c, calls := world(t, offline)
	t.Setenv(assetsEnv, directory(t, "etcd"))
	if err := os.Rename(directory(t, programs...), c.downloaded()); err != nil {
		t.Fatal(err)
	}
	wantRun(t, c.downloaded(), calls)
}

func TestRunDownloadsOnce(t *testing.T) {
	c, calls := world(t, online)
	wantRun(t, c.downloaded(), calls, install)
	wantRun(t, c.downloaded(), calls, install)
}

func TestRunBuildsOnce(t *testing.T) {
	c, calls := world(t, offline)
	all := append([]string{install}, builds...)
	wantRun(t, c.built(), calls, all...)
	wantRun(t, c.built(), calls, all...)

	if err := os.Remove(filepath.Join(c.built(), "kubectl")); err != nil {
		t.Fatal(err)
	}
	wantRun(t, c.built(), calls, append(all, all...)...)
}

func TestRunPrefersTheExactVersion(t *testing.T) {
	c, calls := world(t, offline)
	for _, dir := range []string{c.downloaded(), c.built()} {
		if err := os.Rename(directory(t, programs...), dir); err != nil {
			t.Fatal(err)
		}
	}
	wantRun(t, c.built(), calls)
}

// The node's programs are built too, by themselves: nobody offers them for download.
func TestRunBuildsTheNodeOnce(t *testing.T) {
	c, calls := world(t, online)
	c.set = node
	for range 2 {
		if got, err := run(t.Context(), node); err != nil || got != c.built() {
			t.Errorf("got %q, %v; want %q", got, err, c.built())
		}
	}
	var builds []string
	for _, p := range node.programs {
		builds = append(builds, "build "+p.pkg)
	}
	if !slices.Equal(calls(), builds) {
		t.Errorf("go was asked for %q, want %q", calls(), builds)
	}
}

func TestRunSaysWhatToDo(t *testing.T) {
	world(t, offline)
	t.Setenv("PATH", directory(t, "go")) // succeeds, and makes nothing
	_, err := run(t.Context(), controlPlane)
	if err == nil || !strings.Contains(err.Error(), assetsEnv) {
		t.Errorf("got %v, want advice to set %s", err, assetsEnv)
	}
}

func TestLDFlags(t *testing.T) {
	got := ldflags(&module{mod: "require k8s.io/kubernetes v1.37.2\n"})
	for _, want := range []string{
		"-s -w ",
		"-X k8s.io/component-base/version.gitVersion=v1.37.2 ",
		"-X k8s.io/client-go/pkg/version.gitVersion=v1.37.2 ",
		"-X k8s.io/component-base/version.gitMajor=1 ",
		"-X k8s.io/component-base/version.gitMinor=37 ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}
