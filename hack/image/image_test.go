package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// program is a module as small as can be, which would show where it was built: in the path of its own file.
func program(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module example.com/program\n\ngo 1.26.0\n",
		"main.go": "package main\n\nimport \"runtime\"\n\nfunc main() {\n\t_, file, _, _ := runtime.Caller(0)\n\tprintln(file, \"" + text + "\")\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// image runs the command on a program, and returns the digest that it prints.
func image(t *testing.T, source string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), append([]string{"-source", source}, args...), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String())
}

// files are all files of a directory, by their paths in it.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Two directories, two caches, another user's settings: the same bytes.
func TestReproducible(t *testing.T) {
	var layouts []map[string]string
	var archives [][]byte
	var digests []string
	for _, settings := range []map[string]string{{}, {"GOFLAGS": "-ldflags=-X=main.x=y", "GOAMD64": "v2", "GOARM64": "v8.2", "CGO_ENABLED": "1", "TZ": "Asia/Tokyo"}} {
		for name, value := range settings {
			t.Setenv(name, value)
		}
		t.Setenv("GOCACHE", t.TempDir())
		out := t.TempDir()
		archive := filepath.Join(t.TempDir(), "image.tar")
		digests = append(digests, image(t, program(t, "hello"), "-out", out, "-tag", "registry.example/p:1", "-archive", archive, "-version", "1", "-revision", "abc"))
		layouts = append(layouts, files(t, out))
		content, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, content)
	}
	if digests[0] != digests[1] || !strings.HasPrefix(digests[0], "sha256:") {
		t.Errorf("digests %q", digests)
	}
	// index.json, oci-layout, the index; of each platform a manifest, a configuration and the program; the certificates.
	if len(layouts[0]) != 10 {
		t.Errorf("the layout has %d files", len(layouts[0]))
	}
	for path, content := range layouts[0] {
		if layouts[1][path] != content {
			t.Errorf("%s differs", path)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
	if other := image(t, program(t, "another text")); other == digests[0] {
		t.Error("another program has the same digest")
	}
}

// What is in the image of each platform, and what it says of itself.
func TestContent(t *testing.T) {
	out := t.TempDir()
	source := program(t, "hello")
	first := image(t, source, "-out", out, "-platforms", "linux/amd64")
	if digest := image(t, source, "-out", out, "-version", "v1.2.3"); digest == first { // in the place of the first one
		t.Error("another version has the same digest")
	}
	index, err := layout.ImageIndexFromPath(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	top, err := index.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%+v, %v", top, err)
	}
	inner, err := index.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Annotations["org.opencontainers.image.version"] != "v1.2.3" || manifest.Annotations["org.opencontainers.image.licenses"] != "Apache-2.0" {
		t.Errorf("annotations of the index: %v", manifest.Annotations)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		if m.MediaType != types.OCIManifestSchema1 {
			t.Errorf("%s is %s", m.Platform, m.MediaType)
		}
		one, err := inner.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, one, m.Platform.Architecture)
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %q", platforms)
	}
}

func checkImage(t *testing.T, image v1.Image, architecture string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != architecture || config.OS != "linux" || !config.Created.IsZero() {
		t.Errorf("configuration %s/%s of %s", config.OS, config.Architecture, config.Created)
	}
	if c := config.Config; c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/maildomain"}) || c.Labels["org.opencontainers.image.version"] != "v1.2.3" {
		t.Errorf("configuration %+v", c)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	found := map[string][]byte{}
	var order []string
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for in := tar.NewReader(content); ; {
			header, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.ModTime.Unix() != 0 || header.Mode&0o022 != 0 || header.Mode&0o444 != 0o444 {
				t.Errorf("%+v", header)
			}
			order = append(order, header.Name)
			if found[header.Name], err = io.ReadAll(in); err != nil {
				t.Fatal(err)
			}
		}
		content.Close()
	}
	if want := []string{"etc/", "etc/ssl/", "etc/ssl/certs/", rootsFile, "maildomain"}; !slices.Equal(order, want) {
		t.Errorf("the image has %q, want %q", order, want)
	}
	machine := map[string][]byte{"amd64": {0x3e, 0}, "arm64": {0xb7, 0}}[architecture]
	if binary := found["maildomain"]; len(binary) < 20 || !bytes.Equal(binary[18:20], machine) { // e_machine of ELF
		t.Errorf("the program is not for %s", architecture)
	}
}

// The certificates are whole, for authorities, and many.
func TestRoots(t *testing.T) {
	count, rest := 0, roots()
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		count++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !certificate.IsCA {
			t.Errorf("certificate %d: %v", count, err)
		}
	}
	if count < 100 || len(rest) > 0 {
		t.Errorf("%d certificates, and %d bytes more", count, len(rest))
	}
}

// The archive has the image for this machine under its name, and is what a reader of such archives takes.
func TestArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dist", "image.tar")
	image(t, program(t, "hello"), "-tag", "registry.example/p:1", "-archive", file)
	tag, err := name.NewTag("registry.example/p:1")
	if err != nil {
		t.Fatal(err)
	}
	one, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(one); err != nil {
		t.Error(err)
	}
	if config, err := one.ConfigFile(); err != nil || config.Architecture != runtime.GOARCH {
		t.Errorf("%+v, %v", config, err)
	}
}

// A registry has what was built, under the tag, and the digest that was printed.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // nobody's credentials
	tag := strings.TrimPrefix(server.URL, "http://") + "/team/maildomain-operator:v1"
	digest := image(t, program(t, "hello"), "-tag", tag, "-push")
	reference, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Index(reference)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pulled.Digest(); err != nil || got.String() != digest {
		t.Errorf("the registry has %s, %v, want %s", got, err, digest)
	}
	if err := validate.Index(pulled); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "thesis.txt"), []byte("ten years"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := program(t, "hello")
	other := map[string]string{"amd64": "linux/arm64", "arm64": "linux/amd64"}[runtime.GOARCH]
	for want, args := range map[string][]string{
		"-push needs -tag":                      {"-push"},
		"-archive needs -tag":                   {"-archive", "x.tar"},
		"want a whole name":                     {"-tag", "maildomain-operator"},
		"want linux/amd64 or linux/arm64":       {"-platforms", "windows/amd64"},
		"unexpected argument":                   {"here"},
		"something else than an OCI layout":     {"-out", occupied},
		"which -platforms does not name":        {"-tag", "registry.example/p:1", "-archive", filepath.Join(t.TempDir(), "x.tar"), "-platforms", other},
		"building for linux/amd64: exit status": {"-source", t.TempDir()},
	} {
		err := run(t.Context(), append([]string{"-source", source}, args...), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	if files(t, occupied)["thesis.txt"] != "ten years" {
		t.Error("somebody's file is gone")
	}
}
