package mtastsserver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxObjectSize bounds what is read before its checksum can be verified.
const maxObjectSize = max(maxPolicySize, MaxPEMSize)

// LoadSnapshot reads the snapshot in dir, whole or not at all: anything missing,
// torn, altered or malformed is an error that says what and where. An absent
// manifest is fs.ErrNotExist.
func LoadSnapshot(dir string) (*Snapshot, error) {
	return loadAfter(dir, nil)
}

// loadAfter is LoadSnapshot that takes over what previous already holds of the new
// snapshot: objects are named by their content, so equal names need no second look,
// and parsed certificates stay parsed.
//
// A writer may replace the manifest twice while it is being loaded, and remove
// objects of the one that was read; then the newer one is loaded instead.
func loadAfter(dir string, previous *Snapshot) (*Snapshot, error) {
	content, err := readManifestFile(dir)
	for err == nil {
		snapshot, loadErr := loadManifest(dir, content, previous)
		if !errors.Is(loadErr, fs.ErrNotExist) {
			return snapshot, loadErr
		}
		var newer []byte
		if newer, err = readManifestFile(dir); err == nil && string(newer) == string(content) {
			return nil, loadErr
		}
		content = newer
	}
	return nil, err
}

func loadManifest(dir string, content []byte, previous *Snapshot) (*Snapshot, error) {
	m, err := decodeManifest(content)
	if err != nil {
		return nil, err
	}
	snapshot := &Snapshot{hosts: make(map[string]*site, len(m.sites)), objects: make(map[digest][]byte)}
	for _, e := range m.sites {
		if old := previous.site(hostPrefix + e.Domain); old != nil && old.entry == e {
			snapshot.add(old)
			for _, d := range e.objects() {
				snapshot.objects[d] = previous.objects[d]
			}
			continue
		}
		s, err := loadSite(snapshot, dir, e, previous)
		if err != nil {
			return nil, err
		}
		snapshot.add(s)
	}
	return snapshot, nil
}

func (s *Snapshot) add(h *site) {
	s.hosts[hostPrefix+h.Domain] = h
	if !h.notAfter.IsZero() && (s.firstExpiry.IsZero() || h.notAfter.Before(s.firstExpiry)) {
		s.firstExpiry = h.notAfter
	}
}

// loadSite takes the objects of a site into the snapshot.
func loadSite(snapshot *Snapshot, dir string, e entry, previous *Snapshot) (*site, error) {
	s := &site{entry: e}
	var err error
	if s.policy, err = snapshot.object(dir, e.Policy, maxPolicySize, previous); err != nil {
		return nil, fmt.Errorf("policy of %s: %w", e.Domain, err)
	}
	if e.Certificate == "" {
		return s, nil
	}
	if s.certificatePEM, err = snapshot.object(dir, e.Certificate, MaxPEMSize, previous); err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", e.Domain, err)
	}
	if s.privateKeyPEM, err = snapshot.object(dir, e.PrivateKey, MaxPEMSize, previous); err != nil {
		return nil, fmt.Errorf("private key of %s: %w", e.Domain, err)
	}
	s.notAfter = notAfterOf(s.certificatePEM)
	return s, nil
}

// object is the content with the digest d: as already loaded, or read and verified.
func (s *Snapshot) object(dir string, d digest, limit int, previous *Snapshot) ([]byte, error) {
	content, ok := s.objects[d]
	if !ok && previous != nil {
		content, ok = previous.objects[d]
	}
	if !ok {
		var err error
		if content, err = readBounded(filepath.Join(dir, objectsName, string(d)), maxObjectSize); err != nil {
			return nil, err
		}
		if digestOf(content) != d {
			return nil, fmt.Errorf("object %s does not match its checksum", d)
		}
	}
	if len(content) == 0 || len(content) > limit {
		return nil, fmt.Errorf("object %s has %d octets, want 1 to %d", d, len(content), limit)
	}
	s.objects[d] = content
	return content, nil
}

func readManifestFile(dir string) ([]byte, error) {
	return readBounded(filepath.Join(dir, manifestName), maxManifestSize)
}

// readBounded reads a file of at most limit octets. What it returns takes no more memory than that: there are
// 300,000 small ones.
func readBounded(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > int64(limit) {
		return nil, fmt.Errorf("%s is larger than %d octets", path, limit)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, err
	}
	return content, nil
}
