package mtastsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func policyOf(mode string) string {
	return "version: STSv1\r\nmode: " + mode + "\r\nmx: mx.example.com\r\nmax_age: 86400\r\n"
}

func sites(n int) []Site {
	list := make([]Site, n)
	for i := range list {
		list[i] = Site{
			Domain:      fmt.Sprintf("d%03d.example", i),
			Policy:      policyOf("testing"),
			Certificate: fmt.Appendf(nil, "certificate %d", i),
			PrivateKey:  fmt.Appendf(nil, "key %d", i),
		}
	}
	return list
}

func write(t *testing.T, dir string, list []Site) {
	t.Helper()
	if err := WriteSnapshot(dir, list); err != nil {
		t.Fatal(err)
	}
}

// encoded is the manifest of a snapshot of the sites.
func encoded(t testing.TB, list []Site) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := WriteSnapshot(dir, list); err != nil {
		t.Fatal(err)
	}
	content, err := readManifestFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// load reads a snapshot back as sites, by domain.
func load(t *testing.T, dir string) map[string]Site {
	t.Helper()
	s, err := LoadSnapshot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return served(s)
}

func served(s *Snapshot) map[string]Site {
	got := make(map[string]Site)
	for host, found := range s.hosts {
		if host != "mta-sts."+found.Domain {
			panic(host + " leads to " + found.Domain)
		}
		got[found.Domain] = Site{found.Domain, string(found.policy), found.certificatePEM, found.privateKeyPEM}
	}
	return got
}

func byDomain(list []Site) map[string]Site {
	want := make(map[string]Site)
	for _, s := range list {
		want[s.Domain] = s
	}
	return want
}

// listing maps each file below dir to its inode, size and time of change.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		files[name] = fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino, info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func changed(before, after map[string]string) (names []string) {
	for name, identity := range after {
		if before[name] != identity {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestWriteAndLoad(t *testing.T) {
	tests := map[string][]Site{
		"no sites":            nil,
		"sites":               sites(5),
		"without certificate": {{Domain: "example.com", Policy: policyOf("enforce")}},
		"unsorted":            {{Domain: "b.example", Policy: "x"}, {Domain: "a.example", Policy: "x"}, {Domain: "a-b.example", Policy: "y"}},
		"largest policy":      {{Domain: "example.com", Policy: strings.Repeat("x", maxPolicySize)}},
		"longest domain":      {{Domain: strings.Repeat(strings.Repeat("a", 60)+".", 4) + "a", Policy: "x"}},
	}
	for title, list := range tests {
		t.Run(title, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "not", "there", "yet")
			write(t, dir, list)
			if diff := cmp.Diff(byDomain(list), load(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnchangedSnapshotWritesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, sites(20))
	before := listing(t, dir)
	list := sites(20)
	slices.Reverse(list)
	write(t, dir, list)
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestOneChangeWritesOneObject(t *testing.T) {
	dir := t.TempDir()
	list := sites(200)
	write(t, dir, list)
	before := listing(t, dir)
	list[7].Policy = policyOf("enforce")
	write(t, dir, list)
	want := []string{"manifest.json", "objects/" + string(digestOf([]byte(list[7].Policy)))}
	if diff := cmp.Diff(want, changed(before, listing(t, dir))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(byDomain(list), load(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshot")
	write(t, dir, sites(1))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%s has mode %v: others can read, or the group can write", path, info.Mode())
		}
		if err == nil && !d.IsDir() && info.Mode().Perm() != fileMode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), fs.FileMode(fileMode))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A reader that has read a manifest still finds all its objects after the next
// write; after the one that follows they are gone.
func TestOldObjectsOutliveOneChange(t *testing.T) {
	dir := t.TempDir()
	generation := func(i int) []Site {
		return []Site{{"example.com", policyOf("testing"), fmt.Appendf(nil, "certificate %d", i), fmt.Appendf(nil, "key %d", i)}}
	}
	write(t, dir, generation(1))
	first, err := readManifestFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, generation(2))
	if s, err := loadManifest(dir, first, nil); err != nil {
		t.Errorf("the replaced snapshot does not load any more: %v", err)
	} else if diff := cmp.Diff(byDomain(generation(1)), served(s)); diff != "" {
		t.Error(diff)
	}
	write(t, dir, generation(2)) // unchanged: no reason to remove anything
	if _, err := loadManifest(dir, first, nil); err != nil {
		t.Errorf("an unchanged write removed objects: %v", err)
	}
	write(t, dir, generation(3))
	if _, err := loadManifest(dir, first, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("objects of a snapshot two changes ago are still there: %v", err)
	}
	if files := listing(t, dir); len(files) != 1+1+2+2 {
		t.Errorf("want the manifest, the policy and two pairs, got %d files", len(files))
	}
}

func TestWriteRefuses(t *testing.T) {
	good := Site{Domain: "example.com", Policy: "x"}
	tests := map[string][]Site{
		"doubled":             {good, good},
		"upper case":          {{Domain: "Example.com", Policy: "x"}},
		"trailing dot":        {{Domain: "example.com.", Policy: "x"}},
		"path":                {{Domain: "../x", Policy: "x"}},
		"empty domain":        {{Policy: "x"}},
		"too long":            {{Domain: strings.Repeat("a.", 123) + "a", Policy: "x"}},
		"no policy":           {{Domain: "example.com"}},
		"policy too large":    {{Domain: "example.com", Policy: strings.Repeat("x", maxPolicySize+1)}},
		"only a key":          {{Domain: "example.com", Policy: "x", PrivateKey: []byte("k")}},
		"only a certificate":  {{Domain: "example.com", Policy: "x", Certificate: []byte("c")}},
		"certificate too big": {{Domain: "example.com", Policy: "x", PrivateKey: []byte("k"), Certificate: make([]byte, MaxPEMSize+1)}},
	}
	dir := t.TempDir()
	write(t, dir, sites(2))
	before := listing(t, dir)
	for title, list := range tests {
		t.Run(title, func(t *testing.T) {
			if err := WriteSnapshot(dir, append(sites(2), list...)); err == nil {
				t.Error("written")
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each way of damaging a snapshot is refused, and the next write repairs it.
func TestDamagedSnapshots(t *testing.T) {
	list := sites(3)
	key := string(digestOf(list[1].PrivateKey))
	edit := func(name string, f func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(f(string(content))), fileMode); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	manifestOf := func(f func(m *manifest)) func(*testing.T, string) {
		return edit(manifestName, func(content string) string {
			m, err := decodeManifest([]byte(content))
			if err != nil {
				t.Fatal(err)
			}
			f(&m)
			encoded, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			return string(encoded)
		})
	}
	half := func(s string) string { return s[:len(s)/2] }
	tests := map[string]struct {
		damage func(*testing.T, string)
		want   string // in the error
	}{
		"no manifest":            {remove(manifestName), "no such file"},
		"nothing":                {remove(manifestName, objectsName), "no such file"},
		"no objects":             {remove(objectsName), "no such file"},
		"one object missing":     {remove("objects/" + key), "private key of d001.example"},
		"empty manifest":         {edit(manifestName, func(string) string { return "" }), "not a whole manifest"},
		"torn manifest":          {edit(manifestName, half), "not a whole manifest"},
		"more after the end":     {edit(manifestName, func(s string) string { return s + "{}" }), "content after the end"},
		"another domain":         {edit(manifestName, func(s string) string { return strings.Replace(s, "d001", "d009", 1) }), "checksum"},
		"another version":        {edit(manifestName, func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) }), "version 2"},
		"unknown field":          {edit(manifestName, func(s string) string { return `{"x":1,` + s[1:] }), "unknown field"},
		"checksum of other case": {edit(manifestName, func(s string) string { return strings.ToUpper(s) }), "manifest"},
		"torn object":            {edit("objects/"+key, half), "private key of d001.example: object " + key},
		"empty object":           {edit("objects/"+key, func(string) string { return "" }), "private key of d001.example"},
		"huge object":            {edit("objects/"+key, func(string) string { return strings.Repeat("x", maxObjectSize+1) }), "larger than"},
		"doubled domain":         {manifestOf(func(m *manifest) { m.sites[1].Domain = m.sites[0].Domain }), "out of order or doubled"},
		"unsorted domains":       {manifestOf(func(m *manifest) { slices.Reverse(m.sites) }), "out of order or doubled"},
		"no domain":              {manifestOf(func(m *manifest) { m.sites[0].Domain = "" }), "not a domain"},
		"path as object":         {manifestOf(func(m *manifest) { m.sites[0].Policy = "../manifest.json" }), "not a SHA-256"},
		"no policy":              {manifestOf(func(m *manifest) { m.sites[0].Policy = "" }), "not a SHA-256"},
		"half a pair":            {manifestOf(func(m *manifest) { m.sites[0].PrivateKey = "" }), "only one of certificate and private key"},
		"names another object":   {manifestOf(func(m *manifest) { m.sites[0].Policy = digestOf([]byte("gone")) }), "policy of d000.example"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, list)
			tt.damage(t, dir)
			if got, err := LoadSnapshot(dir); got != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, error %v, want one with %q", got, err, tt.want)
			}
			write(t, dir, list)
			if diff := cmp.Diff(byDomain(list), load(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An altered object of the right size is the one damage that a write does not look
// for: the reader refuses it, and a changed content replaces it.
func TestAlteredObjectIsRefused(t *testing.T) {
	dir := t.TempDir()
	list := sites(1)
	write(t, dir, list)
	path := filepath.Join(dir, objectsName, string(digestOf([]byte(list[0].Policy))))
	if err := os.WriteFile(path, []byte(strings.ToUpper(list[0].Policy)), fileMode); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSnapshot(dir); err == nil || !strings.Contains(err.Error(), "does not match its checksum") {
		t.Errorf("error %v, want a wrong checksum", err)
	}
}

// A writer that is killed leaves the old snapshot whole, whatever it left behind,
// and the next write does not trust the leftovers.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	old, list := sites(2), sites(4)
	write(t, dir, old)
	objects := filepath.Join(dir, objectsName)
	for name, content := range map[string]string{
		filepath.Join(objects, string(digestOf(list[2].Certificate))): string(list[2].Certificate),
		filepath.Join(objects, string(digestOf(list[2].PrivateKey))):  "k",     // torn
		filepath.Join(objects, string(digestOf(list[3].PrivateKey))):  "KEY 3", // altered
		filepath.Join(objects, ".new-123"):                            "half",
		filepath.Join(dir, ".new-456"):                                "half a manifest",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(byDomain(old), load(t, dir)); diff != "" {
		t.Errorf("after the kill: %s", diff)
	}
	write(t, dir, list)
	if diff := cmp.Diff(byDomain(list), load(t, dir)); diff != "" {
		t.Errorf("after the next write: %s", diff)
	}
	for name := range listing(t, dir) {
		if strings.Contains(name, ".new-") {
			t.Errorf("%s is left", name)
		}
	}
}

func TestReloadTakesOverWhatIsEqual(t *testing.T) {
	dir := t.TempDir()
	list := sites(3)
	write(t, dir, list)
	first, err := LoadSnapshot(dir)
	if err != nil {
		t.Fatal(err)
	}
	list[1].Policy = policyOf("enforce")
	write(t, dir, list[:2])
	// Objects that are in memory are not read again: they may even be gone.
	if err := os.Remove(filepath.Join(dir, objectsName, string(digestOf(list[0].PrivateKey)))); err != nil {
		t.Fatal(err)
	}
	second, err := loadAfter(dir, first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byDomain(list[:2]), served(second)); diff != "" {
		t.Error(diff)
	}
	if first.hosts["mta-sts.d000.example"] != second.hosts["mta-sts.d000.example"] {
		t.Error("the unchanged site was built anew")
	}
	if len(second.objects) != 6 {
		t.Errorf("%d objects are held, want 6: two policies and two pairs", len(second.objects))
	}
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{{Domain: "example.com", Policy: "x"}, {Domain: "xn--bcher-kva.example", Policy: "y"}})
	s, err := LoadSnapshot(dir)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"mta-sts.example.com":                "example.com",
		"MTA-STS.Example.COM":                "example.com",
		"mta-sts.example.com:8443":           "example.com",
		"mta-sts.example.com:":               "example.com",
		"mta-sts.example.com.":               "example.com",
		"mta-sts.example.com.:443":           "example.com",
		"mta-sts.xn--bcher-kva.example":      "xn--bcher-kva.example",
		"mta-sts.bücher.example":             "",
		"":                                   "",
		".":                                  "",
		":":                                  "",
		"example.com":                        "",
		"mta-sts.example.com..":              "",
		"mta-sts.example.com:443:443":        "",
		"mta-sts.example.com:https":          "",
		"x.mta-sts.example.com":              "",
		"mta-sts.example.com\x00":            "",
		"[::1]:443":                          "",
		strings.Repeat("a", 4096):            "",
		"mta-sts.\u212Aexample.com":          "", // the Kelvin sign lower-cases to k
		"mta-sts.example.com" + "\u3002":     "",
		strings.Repeat("A", maxHostSize):     "",
		strings.Repeat("A", maxHostSize+1):   "",
		"mta-sts.example.com:99999999999999": "example.com",
	}
	for host, want := range tests {
		got := ""
		if found := s.lookup(host); found != nil {
			got = found.Domain
		}
		if got != want {
			t.Errorf("lookup(%q) = %q, want %q", host, got, want)
		}
	}
	for _, host := range []string{"mta-sts.example.com", "MTA-STS.example.com:443", "other.example.com"} {
		if n := testing.AllocsPerRun(100, func() { _ = s.lookup(host) }); n != 0 {
			t.Errorf("lookup(%q) allocates %v times", host, n)
		}
	}
	var none *Snapshot
	if none.lookup("mta-sts.example.com") != nil {
		t.Error("no snapshot knows a host")
	}
}

func BenchmarkLookup(b *testing.B) {
	s := &Snapshot{hosts: make(map[string]*site)}
	for i := range 100_000 {
		s.hosts[fmt.Sprintf("mta-sts.d%d.example", i)] = &site{}
	}
	b.ReportAllocs()
	for b.Loop() {
		if s.lookup("mta-sts.d77777.example") == nil {
			b.Fatal("not found")
		}
	}
}

func FuzzManifest(f *testing.F) {
	for _, list := range [][]Site{nil, sites(2), {{Domain: "example.com", Policy: "x"}}} {
		whole := encoded(f, list)
		f.Add(whole)
		f.Add(whole[:len(whole)/2])
	}
	f.Add([]byte(`{"version":1,"checksum":"` + string(digestOf([]byte("null"))) + `","sites":null}`))
	f.Add([]byte(`{"version":1,"checksum":"","sites":[{"domain":"a"}]}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := decodeManifest(content)
		if err != nil {
			// Reach what is behind the checksum as well.
			file := fmt.Sprintf(`{"version":1,"checksum":"%s","sites":%s}`, digestOf(content), content)
			if m, err = decodeManifest([]byte(file)); err != nil {
				return
			}
		}
		for d := range m.objects() {
			if filepath.Base(string(d)) != string(d) || len(d) != 64 {
				t.Errorf("object %q escapes its folder", d)
			}
		}
		encoded, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeManifest(encoded)
		if err != nil || !slices.Equal(again.sites, m.sites) {
			t.Errorf("%s does not survive a round: %v", encoded, err)
		}
		s, err := loadManifest(dir, encoded, nil) // no object exists
		if (err == nil) != (len(m.sites) == 0) || (s == nil) != (err != nil) {
			t.Errorf("loaded %v, error %v, with %d sites and no object", s, err, len(m.sites))
		}
	})
}
