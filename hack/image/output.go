package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// writeLayout puts an OCI layout in the place of what was there: a layout of before, or nothing.
func writeLayout(o order, index v1.ImageIndex) error {
	if old, err := os.ReadDir(o.out); err == nil && len(old) > 0 {
		if _, err := os.Stat(filepath.Join(o.out, "oci-layout")); err != nil {
			return fmt.Errorf("there is something else than an OCI layout: %w", err)
		}
		if err := os.RemoveAll(o.out); err != nil {
			return err
		}
	}
	to, err := layout.Write(o.out, empty.Index)
	if err != nil {
		return err
	}
	var options []layout.Option
	if o.named {
		options = append(options, layout.WithAnnotations(map[string]string{
			"org.opencontainers.image.ref.name": o.tag.TagStr(),
			"io.containerd.image.name":          o.tag.Name(), // what ctr and nerdctl call it
		}))
	}
	return to.AppendIndex(index, options...)
}

// writeArchive writes the image of one architecture, in the format of `docker save`, which every engine reads.
func writeArchive(o order, index v1.ImageIndex, architecture string) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture != architecture {
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(o.archive), 0o755); err != nil {
			return err
		}
		return tarball.WriteToFile(o.archive, o.tag, image)
	}
	return fmt.Errorf("an archive is for the processor of this machine, linux/%s, which -platforms does not name", architecture)
}

// push writes the index, and all that it leads to, to the registry of the tag.
func push(ctx context.Context, o order, index v1.ImageIndex) error {
	return remote.WriteIndex(o.tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}
