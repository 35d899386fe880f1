package v1alpha1_test

import (
	"os"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// newClient returns a client of the real API server. It is untyped: manifests go over the wire as
// they are written.
func newClient(t *testing.T) client.Client {
	t.Helper()
	config := envtest.Config(t)
	config.WarningHandler = rest.NoWarnings{}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
