package v1alpha1_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

const conditionsPage = "../../docs/conditions.md"

// documented is a constant with what its comment says of it.
type documented struct{ name, value, meaning string }

// constants are those of conditions.go whose names begin with prefix, each with "Name: meaning" as its
// comment.
func constants(t *testing.T, prefix string) []documented {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var list []documented
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		name := spec.Names[0].Name
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || prefix+value != name {
			t.Errorf("%s is called %q", name, value)
		}
		meaning, ok := strings.CutPrefix(spec.Doc.Text(), name+": ")
		if !ok || len(meaning) < 20 {
			t.Errorf("%s says nothing of its meaning: %q", name, spec.Doc.Text())
		}
		list = append(list, documented{name, value, strings.Join(strings.Fields(meaning), " ")})
		return true
	})
	return list
}

// Reasons lists every constant, and each says what it means and, if something is wrong, the
// way out.
func TestReasonsAreListedAndDocumented(t *testing.T) {
	var declared []string
	for _, c := range constants(t, "Reason") {
		declared = append(declared, c.value)
	}
	if !slices.Equal(declared, v1alpha1.Reasons()) {
		t.Errorf("declared %v, listed %v", declared, v1alpha1.Reasons())
	}
}

const aboutEvents = `Each Event is a write to the API server, so what goes well is told in few: the records that a pass made, the keys that came as
far as each other, and the conditions that are True for the same reason are one Event each; of the steps of a key up to
` + "`KeyActive`" + ` that come at once the last is told, and that a key was published is told by the Event of its record. What goes wrong has an Event of its own (type ` + "`Warning`" + `), and so has a record that was
replaced or removed, with what stood there before. How a condition begins is in status, and told only if it is wrong, or if
` + "`Ready`" + ` is True at once. ` + "`regarding.fieldPath`" + ` has what of the object an Event is about, as ` + "`status.records{TXT example.com}`" + `. One that says all the same
of the same version of the object, as that of a pass which fails again, is written once in six minutes.

`

// docs/conditions.md says of every condition, reason and Event what its constant says.
func TestConditionsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Conditions, reasons and Events\n\n" +
		"The list is closed: status and Events have no other words. `go test ./api/v1alpha1 -run ConditionsPage -update`\n" +
		"writes this page from the constants of api/v1alpha1/conditions.go.\n\n" +
		"    kubectl get maildomain example-com -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\\n\"}{end}'\n" +
		"    kubectl wait --for=condition=Ready --timeout=10m maildomain/example-com\n")
	table := func(title, prose, head string, rows []documented) {
		fmt.Fprintf(&b, "\n## %s\n\n%s| %s | meaning |\n|---|---|\n", title, prose, head)
		for _, c := range rows {
			fmt.Fprintf(&b, "| `%s` | %s |\n", c.value, strings.ReplaceAll(c.meaning, "<", "\\<"))
		}
	}
	table("Conditions", "", "type", constants(t, "Condition"))
	var reasons, events []documented
	for _, c := range constants(t, "Reason") {
		if meaning, isEvent := strings.CutPrefix(c.meaning, "Event: "); isEvent {
			c.meaning = meaning
			events = append(events, c)
			continue
		}
		reasons = append(reasons, c)
	}
	table("Reasons", "", "reason, of conditions, of records and of Events about them", reasons)
	table("Events", aboutEvents, "reason, of Events alone", events)
	if *update {
		if err := os.WriteFile(conditionsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(conditionsPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), b.String()); diff != "" {
		t.Errorf("out of date: go test ./api/v1alpha1 -run ConditionsPage -update\n%s", diff)
	}
}
