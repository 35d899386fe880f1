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
	b.WriteString("# Compliance baselines\n\n" +
		"A domain is judged by what the world sees of it: DNS, the MTA-STS policy over HTTPS and, where it can be\n" +
		"asked for, TLS at the MX hosts. Each control ends in *pass*, *fail*, *notApplicable* (what it is about does\n" +
		"not exist, and need not) or *unknown*, with the cause: a question without an answer is never a pass. The\n" +
		"DMARC policy is the one in force, by the tree walk of RFC 9989 and with `t=y` a step less; so it is with\n" +
		"`pct` below 100, since receivers of before RFC 9989 apply it. A baseline fails if one control does, else it is\n" +
		"unknown if one control is.\n\n" +
		"*Second-hand* marks what was read in texts about a source, not in the source: read the source before you\n" +
		"rely on it in an audit. A pass says nothing of what stands under *not judged*.\n\n" +
		"The tables are written from `compliance/baselines.json` by `go test ./compliance -update`.\n")
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
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
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
