package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

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
func first(ctx context.Context, say func(string, ...any), programs []string, sources ...source) string {
	for _, s := range sources {
		if ctx.Err() != nil {
			break
		}
		dir, err := s.dir(ctx)
		if err == nil && dir != "" {
			err = complete(dir, programs)
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

// complete reports which of the programs a directory lacks.
func complete(dir string, programs []string) error {
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
