// Package envtest gives tests a real Kubernetes API server with the product's CRDs installed:
// one for each test binary, started by the first test that asks for it.
//
// A package that uses it hands its tests to Main:
//
//	func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		cfg := envtest.Config(t)
//		...
//	}
//
// kube-apiserver and etcd come from the directory that KUBEBUILDER_ASSETS names, which
// "make test" sets. Without it tests are skipped, or fail where MAILDOMAIN_REQUIRE_REAL=1.
package envtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	assetsVariable  = "KUBEBUILDER_ASSETS"
	requireVariable = "MAILDOMAIN_REQUIRE_REAL"

	// patience is long because the machine may be slow and busy: it ends a hang, nothing else.
	patience = 3 * time.Minute
)

// plane is the one control plane of this test binary.
var plane struct {
	owned  bool // Main runs, so somebody will stop it
	once   sync.Once
	env    *envtest.Environment
	config *rest.Config
	err    error
}

// Main runs the tests and then stops the control plane, if one was started. It returns the exit
// code.
func Main(m *testing.M) int {
	plane.owned = true
	code := m.Run()
	if plane.env == nil {
		return code
	}
	if err := plane.env.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "envtest: stop the control plane: %v\n", err)
		return max(code, 1)
	}
	return code
}

// Config returns a configuration for an administrator of the control plane, and starts it if no
// test did before. All tests of the binary share it, so each should use a namespace of its own.
func Config(t testing.TB) *rest.Config {
	t.Helper()
	if !plane.owned {
		t.Fatal("nobody would stop the control plane: add func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }")
	}
	if os.Getenv(assetsVariable) == "" {
		if os.Getenv(requireVariable) == "1" {
			t.Fatalf("%s is not set, so there is no kube-apiserver to test against, and %s=1 requires one", assetsVariable, requireVariable)
		}
		t.Skipf("SKIPPED: this test needs a real kube-apiserver and %s is not set: run \"make test\"", assetsVariable)
	}
	plane.once.Do(start)
	if plane.err != nil {
		t.Fatalf("start the control plane: %v", plane.err)
	}
	return rest.CopyConfig(plane.config)
}

func start() {
	env := &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(Root(), "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: patience,
		ControlPlaneStopTimeout:  patience,
		CRDInstallOptions:        envtest.CRDInstallOptions{MaxTime: patience},
	}
	plane.env = env // also after a failure: what did start must be stopped
	plane.config, plane.err = env.Start()
}

// Root returns the root directory of the repository that this package was built from.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}
