package mtastsserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
	maxManifestSize = 128 << 20 // some 400,000 domains
)

// manifest says which objects make up a snapshot. Sites are sorted by domain, so
// that equal snapshots have equal manifests.
type manifest struct {
	sites []entry
}

// entry is one site: its domain and the names of its objects.
type entry struct {
	Domain      string `json:"domain"`
	Policy      digest `json:"policy"`
	Certificate digest `json:"certificate,omitempty"`
	PrivateKey  digest `json:"privateKey,omitempty"`
}

// manifestFile is the manifest on disk. Checksum is that of Sites, octet by octet.
type manifestFile struct {
	Version  int             `json:"version"`
	Checksum digest          `json:"checksum"`
	Sites    json.RawMessage `json:"sites"`
}

// digest is the name of an object: the SHA-256 of its content in lower-case hex;
// "" is no object.
type digest string

func digestOf(content []byte) digest {
	sum := sha256.Sum256(content)
	return digest(hex.EncodeToString(sum[:]))
}

func (d digest) valid() bool {
	return len(d) == hex.EncodedLen(sha256.Size) && strings.Trim(string(d), "0123456789abcdef") == ""
}

func (e entry) objects() []digest {
	if e.Certificate == "" {
		return []digest{e.Policy}
	}
	return []digest{e.Policy, e.Certificate, e.PrivateKey}
}

// objects is the set of all objects that the manifest names.
func (m manifest) objects() map[digest]bool {
	set := make(map[digest]bool)
	for _, e := range m.sites {
		for _, d := range e.objects() {
			set[d] = true
		}
	}
	return set
}

func (m manifest) encode() ([]byte, error) {
	sites := m.sites
	if sites == nil {
		sites = []entry{}
	}
	raw, err := json.Marshal(sites)
	if err != nil {
		return nil, err
	}
	return json.Marshal(manifestFile{Version: manifestVersion, Checksum: digestOf(raw), Sites: raw})
}

// decodeManifest refuses torn, altered and unknown content, names that are no
// digests (they become file names), and domains that are malformed, unsorted or
// doubled.
func decodeManifest(content []byte) (manifest, error) {
	var file manifestFile
	if err := decodeStrictly(content, &file); err != nil {
		return manifest{}, fmt.Errorf("%s is not a whole manifest: %w", manifestName, err)
	}
	if file.Version != manifestVersion {
		return manifest{}, fmt.Errorf("%s has version %d, want %d", manifestName, file.Version, manifestVersion)
	}
	if digestOf(file.Sites) != file.Checksum {
		return manifest{}, fmt.Errorf("%s does not match its checksum", manifestName)
	}
	var m manifest
	if err := decodeStrictly(file.Sites, &m.sites); err != nil {
		return manifest{}, fmt.Errorf("the sites in %s: %w", manifestName, err)
	}
	previous := ""
	for _, e := range m.sites {
		if err := e.check(); err != nil {
			return manifest{}, fmt.Errorf("%s: %w", manifestName, err)
		}
		if e.Domain <= previous {
			return manifest{}, fmt.Errorf("%s: domain %s is out of order or doubled", manifestName, e.Domain)
		}
		previous = e.Domain
	}
	return m, nil
}

func (e entry) check() error {
	if !isDomain(e.Domain) {
		return fmt.Errorf("%.80q is not a domain in lower-case A-labels", e.Domain)
	}
	if (e.Certificate == "") != (e.PrivateKey == "") {
		return fmt.Errorf("domain %s has only one of certificate and private key", e.Domain)
	}
	for _, d := range e.objects() {
		if !d.valid() {
			return fmt.Errorf("domain %s names an object %.80q that is not a SHA-256", e.Domain, string(d))
		}
	}
	return nil
}

// decodeStrictly takes one JSON value without unknown fields and nothing after it.
func decodeStrictly(content []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("content after the end")
	}
	return nil
}

// isDomain holds for lower-case A-labels that leave room for the prefix mta-sts.
func isDomain(domain string) bool {
	if len(hostPrefix)+len(domain) > maxHostSize {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
