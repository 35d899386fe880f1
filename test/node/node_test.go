//go:build node

package node

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	assetsEnv       = "MAILDOMAIN_NODE_ASSETS" // directory of kubelet, containerd, runc and so on
	controlPlaneEnv = "KUBEBUILDER_ASSETS"
	imageEnv        = "MAILDOMAIN_IMAGE" // archive of the operator's image, as `make image` writes it
)

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	if os.Getenv(assetsEnv) == "" || os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	code, err := enclose()
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
	}
	os.Exit(code)
}

// sights are what is to be seen of an installation, in this order.
var sights = []struct {
	name string
	see  func(scene)
}{
	{"Pods run under Pod Security restricted", scene.restricted},
	{"a MailDomain goes Ready", scene.goesReady},
	{"the policy server has no token", scene.noToken},
	{"every replica serves the policy", scene.everyReplicaServes},
	{"the policy is served while managers crash", scene.managersCrash},
	{"the policy is served while a writer crashes", scene.writerCrashes},
	{"a rolling update loses no fetch", scene.rollingUpdate},
	{"an update that can't start loses no fetch", scene.badUpdate},
}

// What only a real kubelet, a real runtime and real network rules can show of an installation.
func TestNode(t *testing.T) {
	s := raise(t)
	s.install()
	for _, sight := range sights {
		if !t.Run(sight.name, func(t *testing.T) { sight.see(s.in(t)) }) {
			break // what comes next starts from what was seen here
		}
	}
}
