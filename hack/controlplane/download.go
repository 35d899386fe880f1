package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"
)

// setupEnvtest is the tool of controller-runtime that downloads published control planes.
const setupEnvtest = "sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1"

const (
	// installLimit ends the wait for the tool itself. It comes from the module proxy, as all
	// that a build needs.
	installLimit = 2 * time.Minute
	// downloadLimit keeps a network that lets nothing through from delaying the build.
	downloadLimit = 10 * time.Second
)

// download gets the programs of the pinned minor version by setup-envtest.
func (c cache) download(ctx context.Context) (string, error) {
	defer heartbeat(say, "trying setup-envtest", "a few seconds")()
	return c.fill(c.downloaded(), func(staging string) (string, error) {
		installing, cancel := context.WithTimeout(ctx, installLimit)
		defer cancel()
		if _, err := output(installing, staging, []string{"GOBIN=" + staging}, "go", "install", setupEnvtest); err != nil {
			return "", err
		}
		downloading, cancel := context.WithTimeout(ctx, downloadLimit)
		defer cancel()
		out, err := output(downloading, staging, nil, filepath.Join(staging, "setup-envtest"),
			"use", "--bin-dir", staging, "--print", "path", strings.TrimPrefix(minor(), "v")+".x")
		return strings.TrimSpace(out), err
	})
}
