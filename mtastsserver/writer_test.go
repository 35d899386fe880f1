package mtastsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func open(t testing.TB, dir string) *Writer {
	t.Helper()
	w, err := OpenWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Whatever is put, dropped and committed, by however many writers after one another: a reader finds
// what was committed last, one that has just read the manifest before it still finds that one's
// objects, and in the long run nothing else stays.
func TestWriterKeepsWhatWasCommitted(outer *testing.T) {
	rapid.Check(outer, func(t *rapid.T) {
		dir := outer.TempDir()
		reopen := func() *Writer {
			w, err := OpenWriter(dir)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		w := reopen()
		committed, wanted := map[string]Site{}, map[string]Site{}
		var before []byte
		domain := rapid.SampledFrom([]string{"a.example", "b.example", "c.example"})
		content := rapid.IntRange(0, 3) // few, so that sites share objects and come back to old ones
		put := func(s Site) {
			if err := w.Put(s); err != nil {
				t.Fatal(err)
			}
			wanted[s.Domain] = s
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := content.Draw(t, "pair")
				put(Site{domain.Draw(t, "domain"), fmt.Sprint("policy ", content.Draw(t, "policy")), fmt.Appendf(nil, "certificate %d", i), fmt.Appendf(nil, "key %d", i)})
			},
			"put without a certificate": func(t *rapid.T) {
				put(Site{Domain: domain.Draw(t, "domain"), Policy: fmt.Sprint("policy ", content.Draw(t, "policy"))})
			},
			"set a policy": func(t *rapid.T) {
				d, policy := domain.Draw(t, "domain"), fmt.Sprint("policy ", content.Draw(t, "policy"))
				s, has := wanted[d]
				if err := w.SetPolicy(d, policy); (err == nil) != has {
					t.Fatal(err)
				}
				if has {
					s.Policy = policy
					wanted[d] = s
				}
			},
			"drop": func(t *rapid.T) {
				d := domain.Draw(t, "domain")
				w.Drop(d)
				delete(wanted, d)
			},
			"another writer": func(*rapid.T) {
				w = reopen()
				wanted = maps.Clone(committed)
			},
			"commit": func(t *rapid.T) {
				last, _ := readManifestFile(dir)
				if err := w.Commit(); err != nil {
					t.Fatal(err)
				}
				if now, _ := readManifestFile(dir); string(now) != string(last) {
					before = last
				}
				committed = maps.Clone(wanted)
			},
			"": func(t *rapid.T) {
				if got := slices.Sorted(slices.Values(w.Domains())); !slices.Equal(got, slices.Sorted(maps.Keys(wanted))) {
					t.Fatalf("has %v, want %v", got, wanted)
				}
				for d, want := range wanted {
					if got, err := w.Site(d); err != nil || !cmp.Equal(got, want) {
						t.Fatalf("%s: %v, %v, want %v", d, got, err, want)
					}
				}
				current, err := readManifestFile(dir)
				if err != nil {
					return // nothing was committed yet
				}
				s, err := loadManifest(dir, current, nil)
				if err != nil || !cmp.Equal(served(s), committed) {
					t.Fatalf("read %v, %v, want %v", served(s), err, committed)
				}
				if before != nil {
					if _, err := loadManifest(dir, before, nil); err != nil {
						t.Fatalf("who reads the manifest before the last one fails: %v", err)
					}
				}
			},
		})
		// Two more changes, and only what they name is left.
		w = reopen()
		for i := range 3 {
			put(Site{Domain: "z.example", Policy: fmt.Sprint("last ", i)})
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		files, err := os.ReadDir(filepath.Join(dir, objectsName))
		if want := len(w.uses) + 1; err != nil || len(files) != want {
			t.Fatalf("%d objects stay, want %d: %v", len(files), want, err)
		}
	})
}

// Among ten thousand, the change of a policy costs two files, that of a certificate three; and old
// objects are found without looking through all of them.
func TestOneChangeAmongTenThousand(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	for i := range 10_000 { // one pair for all of them: what is tested does not depend on it
		must(t, w.Put(Site{fmt.Sprintf("d%05d.example", i), policyOf("testing"), []byte("certificate"), []byte("key")}))
	}
	must(t, w.Commit())
	stray := filepath.Join(dir, objectsName, "somebody else's")
	must(t, os.WriteFile(stray, nil, fileMode))
	policy := policyOf("enforce")
	for _, step := range []struct {
		what string
		site Site
		want []string // contents of the objects that are written
	}{
		{"policy", Site{"d07777.example", policy, []byte("certificate"), []byte("key")}, []string{policy}},
		{"certificate", Site{"d07777.example", policy, []byte("renewed"), []byte("another")}, []string{"renewed", "another"}},
		{"nothing", Site{"d00001.example", policyOf("testing"), []byte("certificate"), []byte("key")}, nil},
	} {
		before := listing(t, dir)
		must(t, w.Put(step.site), w.Commit())
		var want []string
		for _, content := range step.want {
			want = append(want, objectsName+"/"+string(digestOf([]byte(content))))
		}
		if want != nil {
			want = append(want, manifestName)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, changed(before, listing(t, dir))); diff != "" {
			t.Errorf("%s: %s", step.what, diff)
		}
	}
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("a change looks through all objects: %v", err)
	}
}

// A writer that finds another snapshot than its own writes nothing over it.
func TestWriterNoticesAnother(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	must(t, w.Put(Site{Domain: "a.example", Policy: "x"}), w.Commit())
	write(t, dir, []Site{{Domain: "b.example", Policy: "x"}})
	must(t, w.Put(Site{Domain: "c.example", Policy: "x"}))
	if err := w.Commit(); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("got %v", err)
	}
	if got := load(t, dir); len(got) != 1 || got["b.example"].Policy != "x" {
		t.Errorf("read %v", got)
	}
	must(t, os.RemoveAll(dir))
	if err := w.Commit(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
}

// What is damaged in a snapshot takes nothing else with it.
func TestWriterTakesUpWhatIsWhole(t *testing.T) {
	dir := t.TempDir()
	list := sites(3)
	write(t, dir, list)
	object := func(content []byte) string { return filepath.Join(dir, objectsName, string(digestOf(content))) }
	must(t, os.Remove(object(list[0].PrivateKey)), os.WriteFile(object(list[1].Certificate), []byte("certificate 9"), fileMode))
	w := open(t, dir)
	if got := w.Domains(); !slices.Equal(got, []string{"d002.example"}) {
		t.Errorf("took up %v", got)
	}
	must(t, w.Put(list[0]), w.Put(list[1]), w.Commit())
	if diff := cmp.Diff(byDomain(list), load(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// Cut off at any octet, or with any octet altered, a snapshot is refused: each of its files.
func TestEveryOctetCounts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{{"example.com", policyOf("enforce"), []byte("the certificate"), []byte("the key")}})
	for name := range listing(t, dir) {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		must(t, err)
		refused := func(what string, content []byte) {
			t.Helper()
			must(t, os.WriteFile(path, content, fileMode))
			if _, err := LoadSnapshot(dir); err == nil {
				t.Fatalf("%s %s is taken", name, what)
			}
		}
		for i := range whole {
			refused(fmt.Sprintf("cut off after %d octets", i), whole[:i])
			altered := slices.Clone(whole)
			altered[i] ^= 0x01
			refused(fmt.Sprintf("with octet %d altered", i), altered)
		}
		refused("with one octet more", append(slices.Clone(whole), 'x'))
		must(t, os.WriteFile(path, whole, fileMode))
	}
	if _, err := LoadSnapshot(dir); err != nil {
		t.Error(err)
	}
}
