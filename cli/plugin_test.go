package cli

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"

	"sigs.k8s.io/yaml"
)

// Called as a plugin, the program says in each help text and each complaint what a person has to type.
func TestPlugin(t *testing.T) {
	as := func(program string, args ...string) (int, string) {
		var out, complaints bytes.Buffer
		env := Env{Program: program, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &complaints, Now: func() time.Time { return now }}
		return Run(t.Context(), env, args), out.String() + complaints.String()
	}
	bare := regexp.MustCompile(`(?m)(^|[^-.l/] )maildomain [a-z]`) // not behind "kubectl"
	for _, args := range [][]string{{"--help"}, {"check", "--help"}, {"lint", "--help"}, {"message", "--help"}, {"import", "--help"}, {"plan", "--help"}, {"status", "--help"}, {"rotate", "--help"}, {"report", "--help"}} {
		code, text := as("/usr/local/bin/kubectl-maildomain", args...)
		if code != ExitOK || !strings.Contains(text, "kubectl maildomain") || bare.MatchString(text) {
			t.Errorf("%v: exit code %d, %q\n%s", args, code, bare.FindString(text), text)
		}
		if code, text = as("./maildomain", args...); code != ExitOK || strings.Contains(text, "kubectl maildomain") {
			t.Errorf("%v: exit code %d\n%s", args, code, text)
		}
	}
	if _, text := as("kubectl-maildomain.exe", "check"); !strings.HasPrefix(text, "kubectl maildomain: ") {
		t.Error(text)
	}
	if _, text := as("", "check"); !strings.HasPrefix(text, "maildomain: ") {
		t.Error(text)
	}
}

// The shell gets the names of the MailDomains, and none where there is no cluster to ask.
func TestCompletion(t *testing.T) {
	n := newNamespace(t)
	n.apply("example-test", soundSpec(), soundStatus())
	for _, command := range []string{"status", "plan", "rotate"} {
		_, stdout, _ := run(t, "", "__complete", command, "--kubeconfig", n.kubeconfig, "")
		if !strings.HasPrefix(stdout, "example-test\texample.test\n:4\n") {
			t.Errorf("%s: %q", command, stdout)
		}
		if _, stdout, _ := run(t, "", "__complete", command, "--kubeconfig", "/dev/null/none", ""); stdout != ":4\n" {
			t.Errorf("%s without a cluster: %q", command, stdout)
		}
	}
}

// What the template for krew becomes at a release is a manifest with the plugin's name and binary.
func TestKrew(t *testing.T) {
	content, err := os.ReadFile("../hack/krew/maildomain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	checksum := strings.Repeat("a", 64)
	made, err := template.New("krew").Funcs(template.FuncMap{"addURIAndSha": func(uri, tag string) string {
		uri = strings.ReplaceAll(uri, "{{ .TagName }}", tag) // as krew-release-bot does it
		return "uri: " + uri + "\n    sha256: " + checksum
	}}).Parse(string(content))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := made.Execute(&text, map[string]string{"TagName": "v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	var plugin struct {
		Kind     string
		Metadata struct{ Name string }
		Spec     struct {
			Version, ShortDescription string
			Platforms                 []struct {
				URI, SHA256, Bin string
				Selector         struct{ MatchLabels map[string]string }
			}
		}
	}
	if err := yaml.Unmarshal(text.Bytes(), &plugin); err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	if plugin.Kind != "Plugin" || plugin.Metadata.Name != "maildomain" || plugin.Spec.Version != "v1.2.3" || len(plugin.Spec.ShortDescription) > 50 || len(plugin.Spec.Platforms) != 5 {
		t.Errorf("%+v", plugin)
	}
	for _, p := range plugin.Spec.Platforms {
		os, arch := p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"]
		if !strings.HasSuffix(p.URI, "/v1.2.3/maildomain_"+os+"_"+arch+".tar.gz") || p.SHA256 != checksum || (p.Bin == "maildomain.exe") != (os == "windows") {
			t.Errorf("%+v", p)
		}
	}
}
