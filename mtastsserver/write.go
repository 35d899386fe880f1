package mtastsserver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	objectsName = "objects"
	// Files hold private keys: the owner writes, the pod's group (fsGroup) reads.
	fileMode = 0o640
	dirMode  = 0o750
	// newPrefix begins the name of a file that is not yet in place.
	newPrefix = ".new-"

	maxPolicySize = 64 << 10 // RFC 8461 §3.3
	// MaxPEMSize is the most octets that a certificate with its chain, or a private key, may have.
	MaxPEMSize = 256 << 10
)

// Site is what one domain's policy host serves.
type Site struct {
	Domain string // lower-case A-labels, without the prefix mta-sts and a trailing dot
	Policy string // the body as it is served, 1 octet to 64 KiB
	// Certificate (the chain, leaf first) and PrivateKey are PEM, at most 256 KiB
	// each. Both empty: the site is not served over TLS.
	Certificate, PrivateKey []byte
}

// Check says what keeps the site from standing in a snapshot; nil: nothing. One bad site would
// keep all the others out, so a writer leaves it out, or as it was.
func (s Site) Check() error {
	switch n := max(len(s.Certificate), len(s.PrivateKey)); {
	case !isDomain(s.Domain):
		return fmt.Errorf("%.80q is not a domain in lower-case A-labels", s.Domain)
	case len(s.Policy) == 0 || len(s.Policy) > maxPolicySize:
		return fmt.Errorf("domain %s: the policy has %d octets, want 1 to %d", s.Domain, len(s.Policy), maxPolicySize)
	case n > MaxPEMSize:
		return fmt.Errorf("domain %s: the certificate or private key has %d octets, want at most %d", s.Domain, n, MaxPEMSize)
	case (len(s.Certificate) == 0) != (len(s.PrivateKey) == 0):
		return fmt.Errorf("domain %s has only one of certificate and private key", s.Domain)
	}
	return nil
}

// WriteSnapshot makes sites the snapshot in dir, which it creates if need be.
//
// Objects are written first, each under its checksum, and the manifest is renamed
// into place last, so that a reader sees the old snapshot or the new one, also if
// this process or the machine stops half-way. It writes only the objects that are
// not there yet, and nothing at all if the snapshot is what it should be. Objects
// that neither the new nor the replaced manifest names are removed afterwards: a
// reader that is still loading the replaced one succeeds.
//
// sites are all sites: one that is missing is no longer served. Callers must not
// pass a part of them, e.g. before their caches have synced.
//
// One writer at a time. On an error the old snapshot stands, unless the error comes
// from the removal of old objects.
func WriteSnapshot(dir string, sites []Site) error {
	wanted, contents, err := plan(sites)
	if err != nil {
		return err
	}
	encoded, err := wanted.encode()
	if err != nil {
		return err
	}
	objects := filepath.Join(dir, objectsName)
	if err := os.MkdirAll(objects, dirMode); err != nil {
		return err
	}
	current, err := readManifestFile(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	replaced, replacedErr := decodeManifest(current)

	if err := writeObjects(objects, contents, replaced.objects()); err != nil {
		return err
	}
	if bytes.Equal(current, encoded) {
		return nil
	}
	if err := writeFile(dir, manifestName, encoded); err != nil {
		return err
	}
	if current != nil && replacedErr != nil {
		return nil // what its readers may still need is not known; the next change cleans up
	}
	keep := wanted.objects()
	for d := range replaced.objects() {
		keep[d] = true
	}
	return errors.Join(removeExcept(objects, "", keep), removeExcept(dir, newPrefix, nil))
}

// plan checks the sites and lays out the manifest and the objects that it names.
func plan(sites []Site) (manifest, map[digest][]byte, error) {
	var m manifest
	contents := make(map[digest][]byte)
	object := func(content []byte) digest {
		if len(content) == 0 {
			return ""
		}
		d := digestOf(content)
		contents[d] = content
		return d
	}
	for _, s := range sites {
		if err := s.Check(); err != nil {
			return m, nil, err
		}
		m.sites = append(m.sites, entry{s.Domain, object([]byte(s.Policy)), object(s.Certificate), object(s.PrivateKey)})
	}
	slices.SortFunc(m.sites, func(a, b entry) int { return strings.Compare(a.Domain, b.Domain) })
	for i := 1; i < len(m.sites); i++ {
		if m.sites[i].Domain == m.sites[i-1].Domain {
			return m, nil, fmt.Errorf("domain %s stands twice", m.sites[i].Domain)
		}
	}
	return m, contents, nil
}

// writeObjects writes what is missing. An object that the standing manifest names
// was whole when that manifest was written, so its size is proof enough; any other
// one is a leftover and is compared.
func writeObjects(objects string, contents map[digest][]byte, standing map[digest]bool) error {
	wrote := false
	for d, content := range contents {
		path := filepath.Join(objects, string(d))
		if standing[d] {
			if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(content)) {
				continue
			}
		} else if found, err := os.ReadFile(path); err == nil && bytes.Equal(found, content) {
			continue
		}
		if err := replaceFile(objects, string(d), content); err != nil {
			return err
		}
		wrote = true
	}
	if !wrote {
		return nil
	}
	return syncDir(objects)
}

// writeFile puts a file into place for good: it outlives a loss of power.
func writeFile(dir, name string, content []byte) error {
	if err := replaceFile(dir, name, content); err != nil {
		return err
	}
	return syncDir(dir)
}

// replaceFile renames a new, synced file into place. The directory is not synced.
func replaceFile(dir, name string, content []byte) (err error) {
	f, err := os.CreateTemp(dir, newPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chmod(fileMode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeExcept removes the files whose names begin with prefix and are not to be
// kept: objects out of use, and what a writer that was killed left behind.
func removeExcept(dir, prefix string, keep map[digest]bool) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), prefix) || keep[digest(f.Name())] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
