package real

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// dir is the directory of a program's files.
type dir struct {
	t    testing.TB
	path string
}

func newDir(t testing.TB) dir { return dir{t, t.TempDir()} }

func (d dir) write(name, text string) (path string) {
	d.t.Helper()
	path = filepath.Join(d.path, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d dir) run(program string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// handOver gives everything in the directory to the user that runs programs that handle mail, and lets
// it pass on the way there.
func (d dir) handOver() {
	d.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	uid, gid := idsOf(d.t, nobody)
	if err := os.Chmod(filepath.Dir(d.path), 0o711); err != nil {
		d.t.Fatal(err)
	}
	if err := filepath.WalkDir(d.path, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	}); err != nil {
		d.t.Fatal(err)
	}
}
