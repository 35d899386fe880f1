// Package real finds the real programs that some tests run against.
package real

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RequireEnv, set to 1, turns the skip of a test whose program is missing into a failure.
const RequireEnv = "MAILDOMAIN_REQUIRE_REAL"

// Daemons live outside the PATH of an ordinary user.
var daemonDirs = []string{"/usr/sbin", "/usr/local/sbin", "/sbin"}

// Program returns the path of an installed program. Without it the test is skipped, or
// fails where RequireEnv is 1.
func Program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range daemonDirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%s is not installed, and %s=1 requires it", name, RequireEnv)
	}
	t.Skipf("%s is not installed; %s=1 makes this a failure", name, RequireEnv)
	return ""
}
