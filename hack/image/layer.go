package main

import (
	"archive/tar"
	"bytes"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// file is a file of the image. It belongs to root, and everybody may read it.
type file struct {
	name    string // without a slash before it
	content []byte
	mode    int64
}

// layerOf puts files, and the directories that they are in, into a layer: in order of their names, without times and
// names of users.
func layerOf(files ...file) (v1.Layer, error) {
	var content bytes.Buffer
	out := tar.NewWriter(&content)
	for _, header := range headers(files) {
		if err := out.WriteHeader(&header.Header); err != nil {
			return nil, err
		}
		if _, err := out.Write(header.content); err != nil {
			return nil, err
		}
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

type entry struct {
	tar.Header
	content []byte
}

func headers(files []file) []entry {
	var entries []entry
	for _, f := range files {
		for dir := path.Dir(f.name); dir != "."; dir = path.Dir(dir) {
			entries = append(entries, entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}})
		}
		entries = append(entries, entry{tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content))}, f.content})
	}
	byName := func(a, b entry) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(entries, byName)
	return slices.CompactFunc(entries, func(a, b entry) bool { return a.Name == b.Name })
}
