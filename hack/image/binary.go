package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// levels say of each architecture which processors the binary runs on: all of them. The setting of the one who builds
// must not decide it.
var levels = map[string]string{"amd64": "GOAMD64=v1", "arm64": "GOARM64=v8.0"}

// compile builds the program for a platform: static, and the same bytes from any directory.
func compile(ctx context.Context, source string, platform v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "maildomain-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "maildomain")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", file, ".")
	cmd.Dir = source
	// What the environment or `go env -w` says otherwise would be another image.
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off",
		"GOOS="+platform.OS, "GOARCH="+platform.Architecture, levels[platform.Architecture])
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building for %s: %w\n%s", platform, err, strings.TrimSpace(said.String()))
	}
	return os.ReadFile(file)
}
