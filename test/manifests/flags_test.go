package manifests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

var flagLine = regexp.MustCompile(`(?m)^  -([a-z][a-z-]*)`)

// flagsOf are the flags that a command of the program has.
func flagsOf(t *testing.T, command string) []string {
	t.Helper()
	out, err := exec.Command(build(t), command, "-h").CombinedOutput()
	if err != nil {
		t.Fatalf("maildomain %s -h: %v\n%s", command, err, out)
	}
	var names []string
	for _, match := range flagLine.FindAllStringSubmatch(string(out), -1) {
		names = append(names, match[1])
	}
	if len(names) == 0 {
		t.Fatalf("maildomain %s -h names no flag:\n%s", command, out)
	}
	return names
}

// argumentsOf are the flags that a container is given, each once.
func argumentsOf(t *testing.T, c *corev1.Container) map[string]string {
	t.Helper()
	given := map[string]string{}
	for _, arg := range c.Args[1:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if _, twice := given[name]; twice || !strings.HasPrefix(arg, "--") {
			t.Errorf("%s: argument %q", c.Name, arg)
		}
		given[name] = value
	}
	return given
}

// checkArguments: the program knows each flag, and what they name is there.
func checkArguments(t *testing.T, p pod) {
	t.Helper()
	for _, c := range p.containers() {
		if !slices.Equal(c.Command, []string{"/maildomain"}) {
			t.Errorf("%s: command %q", c.Name, c.Command)
		}
		known, given := flagsOf(t, c.Args[0]), argumentsOf(t, c)
		for name := range given {
			if !slices.Contains(known, name) {
				t.Errorf("%s: maildomain %s has no flag --%s", c.Name, c.Args[0], name)
			}
		}
		for name, port := range map[string]string{"listen": "policy", "metrics-listen": "metrics", "health-listen": "health"} {
			if c == p.sidecar && name == "health-listen" {
				port = "policy-metrics"
			}
			if want := fmt.Sprintf(":%d", portNamed(c, port)); slices.Contains(known, name) && given[name] != want {
				t.Errorf("%s: --%s=%s, and port %s is %s", c.Name, name, given[name], port, want)
			}
		}
		for _, name := range []string{"dir", "snapshot-dir"} {
			if dir, is := given[name]; is && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "snapshot" && m.MountPath == dir }) {
				t.Errorf("%s: --%s=%s is not the snapshot's volume", c.Name, name, dir)
			}
		}
	}
}

func TestArguments(t *testing.T) {
	for _, dir := range installations {
		r := render(t, dir)
		for _, p := range pods(r) {
			checkArguments(t, p)
			if p.other.Name != "manager" {
				continue
			}
			given := argumentsOf(t, p.other)
			one[corev1.Service](r, "Service", given["mta-sts-service"])
			if _, elects := given["leader-elect"]; !elects {
				t.Errorf("%s: %d managers write", dir, *p.deployment.Spec.Replicas)
			}
			if _, named := given["owner-id"]; named != (dir == "install") {
				t.Errorf("%s: --owner-id is %q: an installation names itself", dir, given["owner-id"])
			}
			if !slices.ContainsFunc(p.other.Env, func(e corev1.EnvVar) bool {
				return e.Name == "POD_NAMESPACE" && e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "metadata.namespace"
			}) {
				t.Errorf("%s: the manager does not know its namespace: %v", dir, p.other.Env)
			}
		}
	}
}

// What two commands have in common has one name and one meaning.
func TestFlagsOfTheCommands(t *testing.T) {
	of := map[string][]string{}
	for _, command := range []string{"manager", "snapshot", "mta-sts"} {
		of[command] = flagsOf(t, command)
		if sorted := slices.Sorted(slices.Values(of[command])); len(slices.Compact(sorted)) != len(of[command]) {
			t.Errorf("%s names a flag twice: %q", command, of[command])
		}
	}
	for _, name := range of["snapshot"] {
		if !slices.Contains(of["manager"], name) {
			t.Errorf("snapshot has --%s, and manager has not", name)
		}
	}
}

// renderPlain renders config/install as its comment says for plain mode.
func renderPlain(t *testing.T) rendered {
	t.Helper()
	return renderInstall(t, "# components: [../plain]", "components: [../plain]")
}

// renderInstall renders a copy of config/install in which some text was replaced, pair by pair, as a user does.
func renderInstall(t *testing.T, replace ...string) rendered {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(envtest.Root(), "config", "install", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for pair := range slices.Chunk(replace, 2) {
		if strings.Count(text, pair[0]) != 1 {
			t.Fatalf("config/install does not say %q", pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	to, err := filepath.Rel(dir, filepath.Join(envtest.Root(), "config")) // kustomize takes no other paths
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "../", to+"/")
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return renderPath(t, dir)
}

// A name that no namespace can have is said, and nothing is started.
func TestWatchNamespacesAreNames(t *testing.T) {
	for _, command := range [][]string{{"manager", "--owner-id=test"}, {"snapshot", "--snapshot-dir=/nowhere"}} {
		out, err := exec.Command(build(t), append(command, "--namespace=mail-system", "--watch-namespaces=mail,Mail")...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), `--watch-namespaces: "Mail" is not the name of a namespace`) {
			t.Errorf("%s: %v\n%s", command[0], err, out)
		}
	}
}
