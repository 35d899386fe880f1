package argocd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

const dir = "../../config/argocd"

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The cases are in the format of Argo CD's own tests, so that they can go with the script to its repository.
func TestHealth(t *testing.T) {
	var cases struct {
		Tests []struct {
			HealthStatus Health `json:"healthStatus"`
			InputPath    string `json:"inputPath"`
		} `json:"tests"`
	}
	if err := yaml.UnmarshalStrict(read(t, "health_test.yaml"), &cases); err != nil {
		t.Fatal(err)
	}
	script := string(read(t, "health.lua"))
	seen := map[string]bool{}
	for _, c := range cases.Tests {
		t.Run(c.InputPath, func(t *testing.T) {
			data, err := yaml.YAMLToJSON(read(t, c.InputPath))
			if err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{}
			if err := object.UnmarshalJSON(data); err != nil {
				t.Fatal(err)
			}
			got, err := Run(t.Context(), script, object.Object)
			if err != nil || got != c.HealthStatus {
				t.Errorf("%+v (%v), want %+v", got, err, c.HealthStatus)
			}
			kstatus, err := status.Compute(object)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(agree[got.Status], kstatus.Status) {
				t.Errorf("Argo CD says %s, kstatus %s", got.Status, kstatus.Status)
			}
		})
		seen[filepath.Base(c.InputPath)] = true
	}
	files, err := os.ReadDir(filepath.Join(dir, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !seen[file.Name()] {
			t.Errorf("testdata/%s is in no test", file.Name())
		}
	}
}

// agree is what kstatus may make of an object where Argo CD says so. Suspended is not among its words. A provider
// has neither Stalled nor Reconciling, so that one which can't be used is in progress to kstatus.
var agree = map[string][]status.Status{
	"Healthy":     {status.CurrentStatus},
	"Progressing": {status.InProgressStatus, status.TerminatingStatus},
	"Degraded":    {status.FailedStatus, status.InProgressStatus},
	"Suspended":   {status.FailedStatus, status.InProgressStatus},
}

// The patch for Argo CD's ConfigMap has the script for each kind, as it is.
func TestThePatchHasTheScript(t *testing.T) {
	var patch struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.UnmarshalStrict(read(t, "argocd-cm.yaml"), &patch); err != nil {
		t.Fatal(err)
	}
	script := string(read(t, "health.lua"))
	for _, kind := range []string{"MailDomain", "DNSProvider", "ClusterDNSProvider"} {
		if got := patch.Data["resource.customizations.health.maildomain.dev_"+kind]; got != script {
			t.Errorf("%s: another script than health.lua: %q", kind, got)
		}
	}
	if len(patch.Data) != 3 || !strings.Contains(script, "obj.") {
		t.Errorf("%d keys", len(patch.Data))
	}
}
