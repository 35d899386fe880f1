package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Knot starts knotd, of Debian's knot.
func Knot(t testing.TB, key Key, zones ...Zone) (addr string) {
	t.Helper()
	knotd := Program(t, "knotd")
	d := newDir(t)
	db := filepath.Join(d.path, "db") // without it every update is SERVFAIL
	if err := os.Mkdir(db, 0o700); err != nil {
		t.Fatal(err)
	}
	var statements strings.Builder
	for _, z := range zones {
		fmt.Fprintf(&statements, "  - domain: %q\n    file: %q\n", z.Apex, d.write(z.Apex+".zone", z.file()))
		if !z.Closed {
			statements.WriteString("    acl: update\n")
		}
	}
	return serve(t, zones[0].Apex, func(port int) *exec.Cmd {
		conf := d.write("knot.conf", fmt.Sprintf(`
server:
    listen: 127.0.0.1@%d
    rundir: %q
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: %q
key:
  - id: %q
    algorithm: hmac-sha256
    secret: %q
acl:
  - id: update
    key: %q
    action: update
template:
  - id: default
    zonefile-sync: -1
zone:
%s`, port, d.path, db, key.Name, key.Secret, key.Name, &statements))
		return exec.Command(knotd, "-c", conf)
	})
}
