package main

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is who the program runs as: nobody in particular, and the same as in config/manager.
const user = "65532:65532"

// annotations say what the image is, in the words of the OCI. They stand on the index and on each image, where tools
// look for them, and as labels in the configuration, where engines show them.
func annotations(o order) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":         "maildomain-operator",
		"org.opencontainers.image.description":   "A Kubernetes operator that owns a domain's e-mail security",
		"org.opencontainers.image.source":        "https://github.com/maildomain/maildomain-operator",
		"org.opencontainers.image.documentation": "https://github.com/maildomain/maildomain-operator/blob/main/README.md",
		"org.opencontainers.image.licenses":      "Apache-2.0",
	}
	if o.version != "" {
		all["org.opencontainers.image.version"] = o.version
	}
	if o.revision != "" {
		all["org.opencontainers.image.revision"] = o.revision
	}
	return all
}

// assemble builds the image of each platform, and the index that leads to them.
func assemble(ctx context.Context, o order, stderr io.Writer) (v1.ImageIndex, error) {
	// The layer of certificates is the same on all platforms, and in most releases.
	certificates, err := layerOf(file{rootsFile, roots(), 0o444})
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range o.targets {
		fmt.Fprintf(stderr, "image: building for %s\n", platform)
		binary, err := compile(ctx, o.source, platform)
		if err != nil {
			return nil, err
		}
		program, err := layerOf(file{"maildomain", binary, 0o555})
		if err != nil {
			return nil, err
		}
		image, err := imageOf(o, platform, certificates, program)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return mutate.Annotations(index, annotations(o)).(v1.ImageIndex), nil
}

func imageOf(o order, platform v1.Platform, certificates, program v1.Layer) (v1.Image, error) {
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err := mutate.ConfigFile(image, &v1.ConfigFile{
		OS:           platform.OS,
		Architecture: platform.Architecture,
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       user,
			WorkingDir: "/",
			Entrypoint: []string{"/maildomain"},
			Env:        []string{"PATH=/"},
			Labels:     annotations(o),
		},
	})
	if err != nil {
		return nil, err
	}
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: certificates, History: v1.History{CreatedBy: "certificates of public authorities"}},
		mutate.Addendum{Layer: program, History: v1.History{CreatedBy: "/maildomain"}},
	)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, annotations(o)).(v1.Image), nil
}
