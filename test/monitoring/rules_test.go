// Package monitoring holds the tests of config/prometheus: that alerts fire when they should and not otherwise, as promtool sees it; that
// alerts and dashboard ask for metrics that there are; and that each alert has its runbook.
package monitoring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/test/envtest"
	"github.com/maildomain/maildomain-operator/test/real"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(envtest.Root(), filepath.FromSlash(path)))
	must(t, err)
	return content
}

// rules reads the PrometheusRule by the types of the Prometheus operator: a field that they don't have is an error.
func rules(t *testing.T) monitoringv1.PrometheusRule {
	t.Helper()
	var rule monitoringv1.PrometheusRule
	must(t, yaml.UnmarshalStrict(file(t, "config/prometheus/rules.yaml"), &rule))
	return rule
}

func alerts(t *testing.T) (all []monitoringv1.Rule) {
	t.Helper()
	for _, group := range rules(t).Spec.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// promtool runs it in a directory that holds the spec of the rules as a file of Prometheus.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	command := exec.Command(real.Program(t, "promtool"), args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

const testsFile = "alerts_test.yaml"

func TestRules(t *testing.T) {
	spec, err := yaml.Marshal(rules(t).Spec)
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), spec, 0o600))
	content, err := os.ReadFile(filepath.Join("testdata", testsFile))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, testsFile), content, 0o600))
	promtool(t, dir, "check", "rules", "rules.yaml")
	promtool(t, dir, "test", "rules", testsFile)
}

// Each alert is seen to fire, and not to fire, by what promtool tests.
func TestEachAlertIsTested(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("testdata", testsFile))
	must(t, err)
	var file struct {
		Tests []struct {
			AlertRuleTest []struct {
				Name      string `json:"alertname"`
				ExpAlerts []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	must(t, yaml.Unmarshal(content, &file))
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Name] = true
			} else {
				rests[a.Name] = true
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !rests[a.Alert] {
			t.Errorf("%s: seen to fire %v, not to fire %v", a.Alert, fires[a.Alert], rests[a.Alert])
		}
		delete(fires, a.Alert)
	}
	if len(fires) > 0 {
		t.Errorf("tested and not there: %v", fires)
	}
}

const runbooks = "https://github.com/maildomain/maildomain-operator/blob/main/docs/runbooks.md"

// Each alert has its runbook, with all that somebody needs who was woken up; and no runbook is of an alert that is gone.
func TestRunbooks(t *testing.T) {
	sections := map[string]string{}
	var headings []string
	for _, section := range strings.Split(string(file(t, "docs/runbooks.md")), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		sections[heading] = text
		headings = append(headings, heading)
	}
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: severity %q", a.Alert, a.Labels["severity"])
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || len(a.Annotations) != 3 {
			t.Errorf("%s: annotations %q", a.Alert, a.Annotations)
		}
		if want := runbooks + "#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %s, want %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		for _, part := range []string{"**Meaning.** ", "**Impact on mail.** ", "**Diagnosis.**", "**What to do.** "} {
			if strings.Count(sections[a.Alert], "\n"+part) != 1 {
				t.Errorf("%s: its runbook lacks %s", a.Alert, part)
			}
		}
	}
	slices.Sort(names)
	slices.Sort(headings)
	if !slices.Equal(names, headings) {
		t.Errorf("alerts %q\nrunbooks %q", names, headings)
	}
}

// What a runbook tells somebody to type names flags, roles and links that there are.
func TestRunbooksLead(t *testing.T) {
	text := string(file(t, "docs/runbooks.md"))
	for _, match := range regexp.MustCompile(`\]\(([a-z-]*\.md)?(?:#([a-z-]+))?\)`).FindAllStringSubmatch(text, -1) {
		page := text
		if match[1] != "" {
			page = string(file(t, "docs/"+match[1]))
		}
		if match[2] == "" {
			continue
		}
		found := slices.ContainsFunc(strings.Split(page, "\n"), func(line string) bool {
			heading := strings.TrimLeft(line, "#")
			return heading != line && strings.ToLower(strings.ReplaceAll(strings.TrimSpace(heading), " ", "-")) == match[2]
		})
		if !found {
			t.Errorf("%s leads nowhere", match[0])
		}
	}
}

// expressions are all that is asked of Prometheus, by what asks.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, a := range alerts(t) {
		all[a.Alert] = a.Expr.String()
	}
	for name, expr := range queries(t) {
		all[fmt.Sprintf("the dashboard's %q", name)] = expr
	}
	return all
}
