// Command controlplane prints the directory that holds kube-apiserver, etcd and kubectl, for
// tests and for the demo. It looks, in this order, at KUBEBUILDER_ASSETS, at its own cache and
// at what setup-envtest can download, and else builds the programs from their Go modules.
//
// With -node it prints the directory of what runs Pods beside them: kubelet, containerd, runc and so on. These
// it looks for at MAILDOMAIN_NODE_ASSETS and in its cache, and else builds them.
//
// Standard output is the path alone; what happens meanwhile is told on standard error.
//
//	KUBEBUILDER_ASSETS="$(go run -C hack/controlplane .)" go test ./...
package main

import (
	"context"
	"errors"
	"flag"
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
	wanted := controlPlane
	flag.BoolFunc("node", "what runs Pods, instead of the control plane", func(string) error { wanted = node; return nil })
	flag.Parse()
	dir, err := run(ctx, wanted)
	if err != nil {
		say("%v", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}

// run finds or makes the programs. Under the lock it looks again: what another run has made
// meanwhile is not made twice.
func run(ctx context.Context, wanted set) (string, error) {
	programs := wanted.names()
	if dir := first(ctx, say, programs, source{wanted.env, at(os.Getenv(wanted.env))}); dir != "" {
		return dir, nil
	}
	root, err := cacheRoot(os.Getenv, os.UserCacheDir)
	if err != nil {
		return "", err
	}
	c := cache{root: root, set: wanted, platform: platform}
	if dir := first(ctx, say, programs, c.present()...); dir != "" {
		return dir, nil
	}
	unlock, err := lock(ctx, filepath.Join(root, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := first(ctx, say, programs, slices.Concat(c.present(), c.makers())...)
	switch {
	case ctx.Err() != nil:
		return "", errors.New("stopped")
	case dir == "":
		return "", fmt.Errorf("%s could not be had: set %s to a directory that holds %s", wanted.name, wanted.env, strings.Join(programs, ", "))
	}
	return dir, nil
}

// say tells the person at the terminal what goes on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "controlplane: "+format+"\n", args...)
}
