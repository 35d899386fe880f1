package real

import (
	"runtime"
	"testing"
)

// fatal records how Program ends a test.
type fatal struct {
	testing.TB
	skipped, failed bool
}

func (f *fatal) Helper()               {}
func (f *fatal) Skipf(string, ...any)  { f.skipped = true; runtime.Goexit() }
func (f *fatal) Fatalf(string, ...any) { f.failed = true; runtime.Goexit() }

func outcome(t *testing.T, program string) (path string, f *fatal) {
	t.Helper()
	f = &fatal{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		path = Program(f, program)
	}()
	<-done
	return path, f
}

func TestProgram(t *testing.T) {
	t.Setenv(RequireEnv, "")
	if path, f := outcome(t, "sh"); path == "" || f.skipped || f.failed {
		t.Errorf("sh: path %q, skipped %v, failed %v; want a path", path, f.skipped, f.failed)
	}
	if _, f := outcome(t, "no-such-program-anywhere"); !f.skipped || f.failed {
		t.Errorf("missing program: skipped %v, failed %v; want a skip", f.skipped, f.failed)
	}
	t.Setenv(RequireEnv, "1")
	if _, f := outcome(t, "no-such-program-anywhere"); f.skipped || !f.failed {
		t.Errorf("missing program, %s=1: skipped %v, failed %v; want a failure", RequireEnv, f.skipped, f.failed)
	}
}
