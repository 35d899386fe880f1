package lint_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
)

var update = flag.Bool("update", false, "write docs/lint.md")

const catalogue = "../../docs/lint.md"

// docs/lint.md lists every rule there is: a code that people know must not change its meaning
// unseen. Run this test with -update after a change of the rules.
func TestCatalogue(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What is judged\n\n" +
		"Every finding has a code that keeps its meaning. An *error* is something that receivers or senders\n" +
		"ignore or misread, or that loses mail; a *warning* works, and will hurt some day or with some of\n" +
		"them; an *info* is worth to know. `go test ./mailauth/lint -update` writes this page from the rules.\n")
	codes := map[string]bool{}
	for _, protocol := range []struct {
		title string
		rules []lint.Rule
	}{
		{"SPF", spf.Rules()}, {"DKIM", dkim.Rules()}, {"DMARC", dmarc.Rules()}, {"MTA-STS", mtasts.Rules()}, {"TLS-RPT", tlsrpt.Rules()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| code | severity | what is wrong | what to do | source |\n|---|---|---|---|---|\n", protocol.title)
		for _, r := range protocol.rules {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.Code, r.Severity, r.Title, r.Mend, r.Source)
			if codes[r.Code] {
				t.Errorf("%s stands twice", r.Code)
			}
			codes[r.Code] = true
			if !strings.HasPrefix(r.Code, strings.ReplaceAll(protocol.title, "-", "")+"-") {
				t.Errorf("%s does not begin with its protocol", r.Code)
			}
		}
	}
	if *update {
		if err := os.WriteFile(catalogue, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), b.String()); diff != "" {
		t.Errorf("out of date: go test ./mailauth/lint -update\n%s", diff)
	}
}
