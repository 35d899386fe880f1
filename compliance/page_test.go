package compliance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write docs/compliance.md")

const page = "../docs/compliance.md"

// docs/compliance.md shows what is judged, from the data. Run this test with -update after a change.
func TestPage(t *testing.T) {
	var b strings.Builder
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const from = "The tables are written from `compliance/baselines.json` by `go test ./compliance -update`.\n"
	people, _, there := strings.Cut(string(written), from) // what stands above was written by people
	if !there {
		t.Fatalf("%s lacks the line %q", page, from)
	}
	b.WriteString(people + from)
	for _, base := range Baselines() {
		fmt.Fprintf(&b, "\n## %s\n\n%s. Source: %s.\n\n| control | passes with | test | source | |\n|---|---|---|---|---|\n", base.Name, base.Title, base.Source)
		for _, c := range base.Controls {
			want := ""
			text, err := json.Marshal(c.Want)
			if err != nil {
				t.Fatal(err)
			}
			if string(text) != "{}" {
				want = " `" + string(text) + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | `%s`%s | %s | %s |\n", c.Name, c.Title, c.Test, want, c.Source, map[bool]string{true: "second-hand"}[c.SecondHand])
		}
		b.WriteString("\nNot judged:\n\n")
		for _, n := range base.NotJudged {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(written), b.String()); diff != "" {
		t.Errorf("out of date: go test ./compliance -update\n%s", diff)
	}
}

// The API names the baselines that there are, and no other.
func TestAPI(t *testing.T) {
	var names []string
	for _, b := range Baselines() {
		names = append(names, b.Name)
	}
	var api []string
	for _, b := range []v1alpha1.Baseline{
		v1alpha1.BaselineGoogleYahooBulkSender, v1alpha1.BaselineMicrosoftHighVolumeSender, v1alpha1.BaselineCISABOD1801, v1alpha1.BaselineNCSCUK,
		v1alpha1.BaselineNZSGE, v1alpha1.BaselineInternetNL, v1alpha1.BaselinePCIDSS541, v1alpha1.BaselineM3AAWGParked,
	} {
		api = append(api, string(b))
	}
	if !slices.Equal(names, api) {
		t.Errorf("baselines %v, the API has %v", names, api)
	}
}

// What can't be judged is refused when the data are read.
func TestRead(t *testing.T) {
	for name, data := range map[string]string{
		"no list":          `{}`,
		"two values":       `[] []`,
		"an unknown field": `[{"name":"a","title":"t","source":"s","controlz":[]}]`,
		"no control":       `[{"name":"a","title":"t","source":"s","controls":[]}]`,
		"no source":        `[{"name":"a","title":"t","source":"s","controls":[{"name":"c","title":"t","test":"spf"}]}]`,
		"no such test":     `[{"name":"a","title":"t","source":"s","controls":[{"name":"c","title":"t","test":"x","source":"s"}]}]`,
		"a control twice":  `[{"name":"a","title":"t","source":"s","controls":[{"name":"c","title":"t","test":"spf","source":"s"},{"name":"c","title":"t","test":"spf","source":"s"}]}]`,
	} {
		if _, err := read([]byte(data)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
