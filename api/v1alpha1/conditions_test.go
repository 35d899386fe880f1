package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Reasons lists every constant, and each says what it means and, if something is wrong, the
// way out.
func TestReasonsAreListedAndDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		name := spec.Names[0].Name
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || "Reason"+value != name {
			t.Errorf("%s is called %q", name, value)
		}
		if text := spec.Doc.Text(); !strings.HasPrefix(text, name+": ") || len(text) < len(name)+20 {
			t.Errorf("%s says nothing of its meaning: %q", name, text)
		}
		declared = append(declared, value)
		return true
	})
	if !slices.Equal(declared, v1alpha1.Reasons()) {
		t.Errorf("declared %v, listed %v", declared, v1alpha1.Reasons())
	}
}
