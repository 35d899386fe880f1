package signers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/maildomain/maildomain-operator/test/real"
)

// testkey runs opendkim-testkey over a KeyTable: does the zone serve the public key of each private
// one? Paths in the table are relative to where it runs. The answer is in what it prints.
func testkey(t *testing.T, d *domain, config string) string {
	t.Helper()
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(d.server)
	if err != nil {
		t.Fatal(err)
	}
	resolver := filepath.Join(dir, "unbound.conf")
	conf := filepath.Join(dir, "opendkim.conf")
	for path, text := range map[string]string{
		resolver: fmt.Sprintf("server:\n  do-not-query-localhost: no\nstub-zone:\n  name: %s\n  stub-addr: %s@%s\n", theDomain, host, port),
		conf:     fromDoc(t, config, d.volume.path) + "ResolverConfiguration " + resolver + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(real.Program(t, "opendkim-testkey"), "-vvv", "-x", conf)
	cmd.Dir = d.volume.path
	out, _ := cmd.CombinedOutput() // it ends well even if keys do not match
	return string(out)
}
