package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// program is what is built of a package main.
type program struct {
	name, pkg string
	module    *module
	usually   string // the time that it takes on 2 cores after those before it, whose packages it shares
	tags      string // build tags
	needs     string // what it needs of the machine to be built with cgo; empty: it is built without
}

// build makes the programs from their Go modules, in modules of their own that are copies of those
// here: so it does not matter where this program runs.
func (c cache) build(ctx context.Context) (string, error) {
	return c.fill(c.built(), func(staging string) (string, error) {
		bin := filepath.Join(staging, "bin")
		say("building %s from source takes %s", c.set.name, c.set.usually)
		for i, p := range c.set.programs {
			dir, err := p.module.write(staging)
			if err != nil {
				return "", err
			}
			what := fmt.Sprintf("building %s (%d of %d)", p.name, i+1, len(c.set.programs))
			if err := p.compile(ctx, dir, bin, what); err != nil {
				return "", err
			}
		}
		return bin, nil
	})
}

// write puts the module's files into a directory below parent, and returns that.
func (m *module) write(parent string) (string, error) {
	dir := filepath.Join(parent, m.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, text := range map[string]string{"go.mod": m.mod, "go.sum": m.sum} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (p program) compile(ctx context.Context, module, bin, what string) error {
	defer heartbeat(say, what, p.usually)()
	cgo := "0" // no C compiler is asked for
	if p.needs != "" {
		cgo = "1"
	}
	// No workspace of the caller's takes part.
	_, err := output(ctx, module, []string{"CGO_ENABLED=" + cgo, "GOWORK=off"},
		"go", "build", "-trimpath", "-tags", p.tags, "-ldflags", ldflags(p.module), "-o", filepath.Join(bin, p.name), p.pkg)
	if err != nil && p.needs != "" {
		err = fmt.Errorf("%w\n%s needs %s", err, p.name, p.needs)
	}
	return err
}

// ldflags strips the programs and makes those of Kubernetes tell the version that they are.
// It is set where release builds set it; etcd knows its own.
func ldflags(m *module) string {
	flags := []string{"-s", "-w"}
	if version := required(m.mod, kubernetesModule); version != "" {
		number := strings.Split(strings.TrimPrefix(version, "v"), ".")
		for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
			flags = append(flags,
				"-X", pkg+".gitVersion="+version,
				"-X", pkg+".gitMajor="+number[0],
				"-X", pkg+".gitMinor="+number[1],
				"-X", pkg+".gitCommit=", // of a module it is not known
				"-X", pkg+".gitTreeState=archive")
		}
	}
	return strings.Join(flags, " ")
}
