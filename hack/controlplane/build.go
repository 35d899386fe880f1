package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// usualBuild is how long all programs take from source.
const usualBuild = "4 minutes on 2 cores, up to 10 with the modules to download, seconds if Go has them in its build cache"

// mains are the packages of the programs, with the time that each takes on 2 cores after those
// before it, whose packages it shares.
var mains = []struct{ program, pkg, usually string }{
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "3 minutes, up to 9 with the modules to download"},
	{"etcd", "go.etcd.io/etcd/server/v3", "10 seconds"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl", "20 seconds"},
}

// build makes the programs from their Go modules, in a module of their own that is a copy of
// this one's go.mod: so it does not matter where this program runs.
func (c cache) build(ctx context.Context) (string, error) {
	return c.fill(c.built(), func(staging string) (string, error) {
		module, bin := filepath.Join(staging, "module"), filepath.Join(staging, "bin")
		if err := os.Mkdir(module, 0o755); err != nil {
			return "", err
		}
		for name, text := range map[string]string{"go.mod": goMod, "go.sum": goSum} {
			if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o644); err != nil {
				return "", err
			}
		}
		say("building the control plane from source takes %s", usualBuild)
		for i, m := range mains {
			what := fmt.Sprintf("building %s (%d of %d)", m.program, i+1, len(mains))
			if err := c.compile(ctx, module, m.pkg, filepath.Join(bin, m.program), what, m.usually); err != nil {
				return "", err
			}
		}
		return bin, nil
	})
}

func (c cache) compile(ctx context.Context, module, pkg, program, what, usually string) error {
	defer heartbeat(say, what, usually)()
	// No C compiler is asked for, and no workspace of the caller's takes part.
	_, err := output(ctx, module, []string{"CGO_ENABLED=0", "GOWORK=off"},
		"go", "build", "-trimpath", "-ldflags", ldflags(c.versions), "-o", program, pkg)
	return err
}

// ldflags strips the programs and makes those of Kubernetes tell the version that they are.
// It is set where release builds set it; etcd knows its own.
func ldflags(v versions) string {
	number := strings.Split(strings.TrimPrefix(v.kubernetes, "v"), ".")
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X", pkg+".gitVersion="+v.kubernetes,
			"-X", pkg+".gitMajor="+number[0],
			"-X", pkg+".gitMinor="+number[1],
			"-X", pkg+".gitCommit=", // of a module it is not known
			"-X", pkg+".gitTreeState=archive")
	}
	return strings.Join(flags, " ")
}
