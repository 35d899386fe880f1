// Command controlplane prints the directory that holds kube-apiserver, etcd and kubectl, for
// tests and for the demo. It looks, in this order, at KUBEBUILDER_ASSETS, at its own cache and
// at what setup-envtest can download, and else builds the programs from their Go modules.
//
// Standard output is the path alone; what happens meanwhile is told on standard error.
//
//	KUBEBUILDER_ASSETS="$(go run -C hack/controlplane .)" go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := run(ctx)
	if err != nil {
		say("%v", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}

// run finds or makes the programs. Under the lock it looks again: what another run has made
// meanwhile is not made twice.
func run(ctx context.Context) (string, error) {
	if dir := first(ctx, say, source{assetsEnv, at(os.Getenv(assetsEnv))}); dir != "" {
		return dir, nil
	}
	root, err := cacheRoot(os.Getenv, os.UserCacheDir)
	if err != nil {
		return "", err
	}
	v, err := pinned(goMod)
	if err != nil {
		return "", err
	}
	c := cache{root: root, versions: v, platform: platform}
	if dir := first(ctx, say, c.present()...); dir != "" {
		return dir, nil
	}
	unlock, err := lock(ctx, filepath.Join(root, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := first(ctx, say, slices.Concat(c.present(), c.makers())...)
	switch {
	case ctx.Err() != nil:
		return "", errors.New("stopped")
	case dir == "":
		return "", fmt.Errorf("no control plane: set %s to a directory that holds %s", assetsEnv, strings.Join(programs, ", "))
	}
	return dir, nil
}

// say tells the person at the terminal what goes on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "controlplane: "+format+"\n", args...)
}
