package cli

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The commands that the documentation shows have the flags that it shows, and the tables of codes are
// those of the rules.
func TestDocs(t *testing.T) {
	shown := 0
	for _, page := range []string{"../README.md", "../docs/cli.md"} {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^(?:.*\| )?maildomain ([a-z]+ [^#>\n]*)`).FindAllStringSubmatch(string(content), -1) {
			shown++
			code, stdout, stderr := run(t, "", append(strings.Fields(match[1]), "--help")...)
			if code != ExitOK || stderr != "" || !strings.Contains(stdout, "Exit code") {
				t.Errorf("%s: maildomain %s: exit code %d, %q", page, match[1], code, stderr)
			}
		}
		if strings.HasSuffix(page, "cli.md") {
			for _, r := range manifestRules {
				if row := fmt.Sprintf("| `%s` | %s | %s | %s |", r.Code, r.Severity, r.Title, r.Mend); !strings.Contains(string(content), row) {
					t.Errorf("%s lacks %s", page, row)
				}
			}
		}
	}
	if shown < 10 {
		t.Errorf("%d commands are shown", shown)
	}
}
