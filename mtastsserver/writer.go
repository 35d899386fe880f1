package mtastsserver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const objectsName = "objects"

// Writer keeps the snapshot in a directory. Put and Drop say what is to change, and Commit makes it
// the snapshot: objects are written first, each under its checksum, and the manifest is renamed into
// place last, so that a reader sees the old snapshot or the new one, also if this process or the
// machine stops half-way. A change costs the files that it changes and the manifest, however many
// sites there are.
//
// What no manifest names any more is removed with the commit after the next: a reader that is still
// loading the manifest that was replaced succeeds.
//
// One Writer at a time for a directory, and one goroutine for a Writer. After an error the old
// snapshot stands, and the Writer is of no more use: open another one.
type Writer struct {
	dir   string
	sites map[string]entry // as they stand after the next Commit, by domain
	uses  map[digest]int   // how often sites names an object: what is named is there, whole

	// Objects that the manifest in place names and sites does not, and those of the one before it.
	released, outgoing map[digest]bool

	changed  bool        // Commit may have something to do
	sum      digest      // of the manifest in place
	manifest os.FileInfo // the manifest in place; nil: none, or one that can't be read
	torn     bool        // it can't be read, so what its readers need is not known
	swept    bool        // what earlier Writers left behind is gone
}

// OpenWriter takes up the snapshot in dir, which need not be there yet. Every object is verified:
// sites of which one is missing or altered are left out, and so is everything if the manifest is
// torn. Callers Put them again before they Commit.
func OpenWriter(dir string) (*Writer, error) {
	w := &Writer{dir: dir, sites: map[string]entry{}, uses: map[digest]int{}, released: map[digest]bool{}, outgoing: map[digest]bool{}, changed: true}
	if err := os.MkdirAll(w.objects(), dirMode); err != nil {
		return nil, err
	}
	content, err := readManifestFile(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w, nil
	case isPathError(err):
		return nil, err
	case err != nil:
		w.torn = true
		return w, nil
	}
	standing, err := decodeManifest(content)
	if err != nil {
		w.torn = true
		return w, nil
	}
	whole := map[digest]bool{}
	for _, e := range standing.sites {
		if w.whole(e, whole) {
			w.sites[e.Domain] = e
			w.use(e)
		}
	}
	for d := range standing.objects() {
		if w.uses[d] == 0 {
			w.released[d] = true
		}
	}
	w.changed, w.sum = len(w.sites) < len(standing.sites), digestOf(content)
	w.manifest, err = os.Stat(filepath.Join(dir, manifestName))
	return w, err
}

// whole verifies the objects of a site that are not known to be whole.
func (w *Writer) whole(e entry, known map[digest]bool) bool {
	for _, d := range e.objects() {
		if !known[d] {
			content, err := readBounded(filepath.Join(w.objects(), string(d)), maxObjectSize)
			if err != nil || digestOf(content) != d {
				return false
			}
			known[d] = true
		}
	}
	return true
}

func (w *Writer) objects() string { return filepath.Join(w.dir, objectsName) }

// Has reports whether the site stands in the snapshot, or will after the next Commit.
func (w *Writer) Has(domain string) bool {
	_, has := w.sites[domain]
	return has
}

// Domains are those for which Has holds, in no particular order.
func (w *Writer) Domains() []string { return slices.Collect(maps.Keys(w.sites)) }

// Site reads a site for which Has holds from the directory.
func (w *Writer) Site(domain string) (Site, error) {
	e, has := w.sites[domain]
	if !has {
		return Site{}, fmt.Errorf("domain %s is not in the snapshot", domain)
	}
	s, err := loadSite(&Snapshot{objects: map[digest][]byte{}}, w.dir, e, nil)
	if err != nil {
		return Site{}, err
	}
	return Site{Domain: domain, Policy: string(s.policy), Certificate: s.certificatePEM, PrivateKey: s.privateKeyPEM}, nil
}

// Put adds a site, or replaces the one of its domain. Its objects are written, and s is not kept.
func (w *Writer) Put(s Site) error {
	if err := s.Check(); err != nil {
		return err
	}
	e := entry{Domain: s.Domain}
	var err error
	if e.Policy, err = w.object([]byte(s.Policy)); err != nil {
		return err
	}
	if len(s.Certificate) > 0 {
		if e.Certificate, err = w.object(s.Certificate); err != nil {
			return err
		}
		if e.PrivateKey, err = w.object(s.PrivateKey); err != nil {
			return err
		}
	}
	w.replace(s.Domain, &e)
	return nil
}

// SetPolicy is Put of a site for which Has holds with another policy, and the certificate that it has.
func (w *Writer) SetPolicy(domain, policy string) error {
	e, has := w.sites[domain]
	if !has {
		return fmt.Errorf("domain %s is not in the snapshot", domain)
	}
	if err := (Site{Domain: domain, Policy: policy}).Check(); err != nil {
		return err
	}
	var err error
	if e.Policy, err = w.object([]byte(policy)); err != nil {
		return err
	}
	w.replace(domain, &e)
	return nil
}

// Drop takes a site out, if it is there: it is no longer served after the next Commit.
func (w *Writer) Drop(domain string) { w.replace(domain, nil) }

// replace has the entry stand for the domain; nil: none.
func (w *Writer) replace(domain string, next *entry) {
	before, had := w.sites[domain]
	if had && next != nil && before == *next || !had && next == nil {
		return
	}
	w.changed = true
	if next != nil {
		w.sites[domain] = *next
		w.use(*next)
	} else {
		delete(w.sites, domain)
	}
	if !had {
		return
	}
	for _, d := range before.objects() {
		if w.uses[d]--; w.uses[d] == 0 {
			delete(w.uses, d)
			w.released[d] = true
		}
	}
}

func (w *Writer) use(e entry) {
	for _, d := range e.objects() {
		w.uses[d]++
	}
}

// object writes the content, unless it is there. What sites names is whole; any other file of its
// name is a leftover and is compared.
func (w *Writer) object(content []byte) (digest, error) {
	d := digestOf(content)
	if w.uses[d] > 0 {
		return d, nil
	}
	if found, err := readBounded(filepath.Join(w.objects(), string(d)), maxObjectSize); err == nil && bytes.Equal(found, content) {
		return d, nil
	}
	return d, replaceFile(w.objects(), string(d), content)
}

// Commit makes what was Put and not Dropped the snapshot. Whoever calls it must know all sites: one
// that is missing is no longer served. Without a change nothing is written.
func (w *Writer) Commit() error {
	if err := w.undisturbed(); err != nil || !w.changed {
		return err
	}
	encoded, err := w.encode()
	if err != nil {
		return err
	}
	if digestOf(encoded) == w.sum {
		w.changed = false // it was changed back
		return nil
	}
	if err := syncDir(w.objects()); err != nil {
		return err
	}
	if err := writeFile(w.dir, manifestName, encoded); err != nil {
		return err
	}
	if w.manifest, err = os.Stat(filepath.Join(w.dir, manifestName)); err != nil {
		return err
	}
	w.changed, w.sum = false, digestOf(encoded)
	return w.clean()
}

func (w *Writer) encode() ([]byte, error) {
	m := manifest{sites: slices.SortedFunc(maps.Values(w.sites), func(a, b entry) int { return cmp.Compare(a.Domain, b.Domain) })}
	return m.encode()
}

// undisturbed is an error if the manifest is not the one that this Writer knows: what it thinks is
// there may not be.
func (w *Writer) undisturbed() error {
	if w.manifest == nil {
		return nil
	}
	info, err := os.Stat(filepath.Join(w.dir, manifestName))
	if err != nil {
		return err
	}
	if !sameFile(info, w.manifest) {
		return fmt.Errorf("%s was changed by somebody else: one process may write to the directory", filepath.Join(w.dir, manifestName))
	}
	return nil
}

// clean removes what only the manifest before the one that was just replaced named. The first time
// it looks for everything that earlier Writers left behind, if it knows what readers may need.
func (w *Writer) clean() error {
	old := w.outgoing
	w.outgoing, w.released = w.released, map[digest]bool{}
	if w.torn {
		w.torn = false // the next one cleans up
		return nil
	}
	if !w.swept {
		w.swept = true
		keep := func(name string) bool { return w.uses[digest(name)] > 0 || w.outgoing[digest(name)] }
		return errors.Join(
			removeFiles(w.objects(), func(name string) bool { return !keep(name) }),
			removeFiles(w.dir, func(name string) bool { return strings.HasPrefix(name, newPrefix) }))
	}
	for d := range old {
		if w.uses[d] > 0 || w.outgoing[d] {
			continue
		}
		if err := os.Remove(filepath.Join(w.objects(), string(d))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// WriteSnapshot makes sites, which are all there are, the snapshot in dir: for who has them all at
// hand, and writes once.
func WriteSnapshot(dir string, sites []Site) error {
	wanted := map[string]bool{}
	for _, s := range sites {
		if err := s.Check(); err != nil {
			return err
		}
		if wanted[s.Domain] {
			return fmt.Errorf("domain %s stands twice", s.Domain)
		}
		wanted[s.Domain] = true
	}
	w, err := OpenWriter(dir)
	if err != nil {
		return err
	}
	for _, domain := range w.Domains() {
		if !wanted[domain] {
			w.Drop(domain)
		}
	}
	for _, s := range sites {
		if err := w.Put(s); err != nil {
			return err
		}
	}
	return w.Commit()
}
