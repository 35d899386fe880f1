package signers

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// volume is the directory where a Secret is mounted, kept as kubelet keeps it: each state of the
// Secret is a directory of its own; ..data, a symbolic link, is switched to the newest by a rename;
// and each entry is a link through ..data. As in kubelet, the links of new entries come after the
// switch, and then those of old entries and the old state go. The top is writable for all, as that of
// a memory-backed volume is.
type volume struct {
	t     *testing.T
	path  string
	state string
	data  map[string][]byte

	// halfway is called when ..data is switched and links of new entries are not there yet.
	halfway func()
}

func newVolume(t *testing.T) *volume {
	v := &volume{t: t, path: t.TempDir()}
	v.must(os.Chmod(filepath.Dir(v.path), 0o711)) // programs run as somebody else
	v.must(os.Chmod(v.path, 0o777|os.ModeSticky))
	return v
}

// write brings a new state of the Secret into the volume.
func (v *volume) write(data map[string][]byte) {
	v.t.Helper()
	if v.data != nil && maps.EqualFunc(v.data, data, bytes.Equal) {
		return
	}
	state, err := os.MkdirTemp(v.path, "..2026_")
	v.must(err)
	v.must(os.Chmod(state, 0o755))
	for name, content := range data {
		v.must(os.WriteFile(filepath.Join(state, name), content, 0o644))
	}
	v.must(os.Symlink(filepath.Base(state), filepath.Join(v.path, "..data_tmp")))
	v.must(os.Rename(filepath.Join(v.path, "..data_tmp"), filepath.Join(v.path, "..data")))
	if v.halfway != nil {
		v.halfway()
	}
	for name := range data {
		if _, known := v.data[name]; !known {
			v.must(os.Symlink(filepath.Join("..data", name), filepath.Join(v.path, name)))
		}
	}
	for name := range v.data {
		if _, stays := data[name]; !stays {
			v.must(os.Remove(filepath.Join(v.path, name)))
		}
	}
	if v.state != "" {
		v.must(os.RemoveAll(v.state))
	}
	v.state, v.data = state, data
}

func (v *volume) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}
