package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// assetsEnv is where envtest, too, looks for the programs.
const assetsEnv = "KUBEBUILDER_ASSETS"

// programs is what a control plane directory holds.
var programs = []string{"kube-apiserver", "etcd", "kubectl"}

// source is one place to get the programs from. An empty directory without an error means
// that it has nothing to offer.
type source struct {
	name string
	dir  func(context.Context) (string, error)
}

// at is a source's directory that needs no work.
func at(dir string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return dir, nil }
}

// first returns the first directory with all programs, or "". Why a source was passed over is
// said; one that has nothing to offer is passed over in silence.
func first(ctx context.Context, say func(string, ...any), sources ...source) string {
	for _, s := range sources {
		if ctx.Err() != nil {
			break
		}
		dir, err := s.dir(ctx)
		if err == nil && dir != "" {
			err = complete(dir)
		}
		switch {
		case err != nil:
			say("%s: %v", s.name, err)
		case dir != "":
			return dir
		}
	}
	return ""
}

// complete reports which programs a directory lacks.
func complete(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%s is not an absolute path", dir)
	}
	var missing []string
	for _, name := range programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return fmt.Errorf("no %s in %s", strings.Join(missing, ", "), dir)
	}
	return nil
}
