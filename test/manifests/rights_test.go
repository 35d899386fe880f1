package manifests

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

var update = flag.Bool("update", false, "write the golden files")

// watchedNamespace is the one with MailDomains in config/namespaced.
const watchedNamespace = "mail"

// rightsOf lists who may do what where, a line for each resource.
func rightsOf(r rendered) string {
	r.t.Helper()
	var lines []string
	list := func(where string, subjects []rbacv1.Subject, rules []rbacv1.PolicyRule) {
		for _, subject := range subjects {
			for _, rule := range rules {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						lines = append(lines, fmt.Sprintf("%s %s/%s: %s %s", subject.Namespace, subject.Name, where, resourceName(group, resource), strings.Join(rule.Verbs, " ")))
					}
				}
				for _, url := range rule.NonResourceURLs {
					lines = append(lines, fmt.Sprintf("%s %s/%s: %s %s", subject.Namespace, subject.Name, where, url, strings.Join(rule.Verbs, " ")))
				}
			}
		}
	}
	for _, b := range all[rbacv1.ClusterRoleBinding](r, "ClusterRoleBinding") {
		list("everywhere", b.Subjects, one[rbacv1.ClusterRole](r, "ClusterRole", b.RoleRef.Name).Rules)
	}
	for _, b := range all[rbacv1.RoleBinding](r, "RoleBinding") {
		found := false
		for _, role := range all[rbacv1.Role](r, "Role") {
			if role.Name == b.RoleRef.Name && role.Namespace == b.Namespace {
				found = true
				list("in "+b.Namespace, b.Subjects, role.Rules)
			}
		}
		if !found {
			r.t.Errorf("RoleBinding %s/%s binds nothing", b.Namespace, b.Name)
		}
	}
	slices.SortFunc(lines, cmp.Compare)
	return strings.Join(lines, "\n") + "\n"
}

func resourceName(group, resource string) string {
	if group == "" {
		return resource
	}
	return resource + "." + group
}

// Who may do what is written down: a right more, or one in another place, is a change of testdata/rights that a
// reviewer sees. Another test shows that each of them is needed.
func TestRights(t *testing.T) {
	for _, dir := range installations {
		got := rightsOf(render(t, dir))
		file := filepath.Join("testdata", "rights", dir+".txt")
		if *update {
			must(t, os.MkdirAll(filepath.Dir(file), 0o755))
			must(t, os.WriteFile(file, []byte(got), 0o600))
			continue
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if diff := gocmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: rights (-want +got), to be written with -update:\n%s", dir, diff)
		}
	}
}

// Confined to namespaces, the operator has no right to an object outside of them: it may ask who reads its metrics, and
// there is a role for those.
func TestNamespacedModeHasNoRightToObjectsOfTheCluster(t *testing.T) {
	r := render(t, "namespaced")
	for _, line := range strings.Split(rightsOf(r), "\n") {
		if strings.Contains(line, "everywhere") && !strings.HasSuffix(line, "tokenreviews.authentication.k8s.io create") && !strings.HasSuffix(line, "subjectaccessreviews.authorization.k8s.io create") {
			t.Error(line)
		}
	}
	for _, p := range pods(r) {
		if given := argumentsOf(t, p.other); given["watch-namespaces"] != watchedNamespace {
			t.Errorf("%s: --watch-namespaces=%s", p.other.Name, given["watch-namespaces"])
		}
	}
}
