package helm

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the chart's README")

// The README lists the values as they are.
func TestREADME(t *testing.T) {
	values, err := os.ReadFile(filepath.Join(chartDir(), "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := readme(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(chartDir(), "README.md")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("out of date, run go test -C test/helm -run README -update (-want +got):\n%s", diff)
	}
}

func TestReadme(t *testing.T) {
	const values = `
# -- What a is | for.
a: 1
b:
  # -- A list,
  # over two lines.
  c: [x, "y"]
  d: {}
# No description.
e: "text"
f:
  g: null
`
	got, err := rows([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"a", "1", "What a is | for."},
		{"b.c", `["x","y"]`, "A list, over two lines."},
		{"b.d", "{}", ""},
		{"e", `"text"`, ""},
		{"f.g", "null", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text := table(want[:1]); text != "| value | default | meaning |\n|---|---|---|\n| `a` | `1` | What a is \\| for. |\n" {
		t.Errorf("%q", text)
	}
}
