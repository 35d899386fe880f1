// Command image makes the operator's image from nothing but Go modules: no container engine, no base image, no
// Dockerfile. The same sources and Go version give the same digest, wherever and whenever they are built.
//
//	go run -C hack/image . -out DIR             an OCI layout, with an index of all platforms
//	go run -C hack/image . -archive FILE        also what `docker load` and `ctr images import` take: one platform
//	go run -C hack/image . -tag IMAGE -push     also to a registry, with the credentials of `docker login`
//
// Standard output is the digest of the index; what happens meanwhile is told on standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// order is what was asked for.
type order struct {
	source   string // directory of the operator's module
	tag      name.Tag
	named    bool // tag was given
	version  string
	revision string
	out      string
	archive  string
	push     bool
	targets  []v1.Platform
}

func parse(args []string, stderr io.Writer) (order, error) {
	var o order
	set := flag.NewFlagSet("image", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.source, "source", "../..", "`directory` of the program's module, with its package main")
	tag := set.String("tag", "", "`name` of the image, with its tag: what the layout and the archive call it, and where -push puts it")
	platforms := set.String("platforms", "linux/amd64,linux/arm64", "`list` of platforms, with commas between them")
	set.StringVar(&o.version, "version", "", "`version` for the annotations; empty: none")
	set.StringVar(&o.revision, "revision", "", "`commit` for the annotations; empty: none")
	set.StringVar(&o.out, "out", "", "`directory` for the OCI layout, which replaces what is there; empty: none")
	set.StringVar(&o.archive, "archive", "", "`file` for an archive of the platform of this machine's processor; empty: none")
	set.BoolVar(&o.push, "push", false, "push to -tag")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	switch {
	case set.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case o.push && *tag == "":
		return o, errors.New("-push needs -tag: where to")
	case o.archive != "" && *tag == "":
		return o, errors.New("-archive needs -tag: what a container engine is to call the image")
	}
	if *tag != "" {
		var err error
		if o.tag, err = name.NewTag(*tag, name.StrictValidation); err != nil {
			return o, fmt.Errorf("-tag: %w: want a whole name, with its registry and tag", err)
		}
		o.named = true
	}
	for text := range strings.SplitSeq(*platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil || platform.OS != "linux" || levels[platform.Architecture] == "" || platform.Variant != "" {
			return o, fmt.Errorf("-platforms: %q, want linux/amd64 or linux/arm64", text)
		}
		o.targets = append(o.targets, *platform)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	index, err := assemble(ctx, o, stderr)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := writeLayout(o, index); err != nil {
			return fmt.Errorf("writing %s: %w", o.out, err)
		}
	}
	if o.archive != "" {
		if err := writeArchive(o, index, runtime.GOARCH); err != nil {
			return fmt.Errorf("writing %s: %w", o.archive, err)
		}
	}
	if o.push {
		if err := push(ctx, o, index); err != nil {
			return fmt.Errorf("pushing %s: %w", o.tag, err)
		}
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, digest)
	return err
}
