// Package corpora finds the test vectors of other projects. They stand beside the repository,
// in ../shared/corpora, as they belong to others.
package corpora

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/maildomain/maildomain-operator/test/real"
)

// Read returns a file of test vectors. Without it the test is skipped, or fails where
// real.RequireEnv is 1.
func Read(t testing.TB, parts ...string) []byte {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	content, err := os.ReadFile(filepath.Join(append([]string{root, "..", "shared", "corpora"}, parts...)...))
	if err == nil {
		return content
	}
	if os.Getenv(real.RequireEnv) == "1" {
		t.Fatalf("%v, and %s=1 requires it", err, real.RequireEnv)
	}
	t.Skipf("SKIPPED: others' test vectors are not there: %v", err)
	return nil
}

// Case is one text of a parser's vectors, with the verdict that their authors give.
type Case struct {
	Func    string // the test that it is from
	Input   string
	Valid   bool
	Line    int
	Comment string
}

// Cases returns a file of parser vectors, of one test function; "" is all.
func Cases(t testing.TB, function string, parts ...string) []Case {
	t.Helper()
	var all, cases []Case
	if err := json.Unmarshal(Read(t, parts...), &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if function == "" || c.Func == function {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		t.Fatalf("no case of %q in %v", function, parts)
	}
	return cases
}

// Check runs a parser over the cases. Where it differs by intent, deviations has the reason, by
// input; one that does not differ any more fails as well.
func Check(t *testing.T, cases []Case, parse func(string) error, deviations map[string]string) {
	t.Helper()
	deviated := 0
	for _, c := range cases {
		err := parse(c.Input)
		reason, expected := deviations[c.Input]
		switch agrees := (err == nil) == c.Valid; {
		case expected:
			deviated++
			if agrees {
				t.Errorf("line %d: %q: no deviation any more: %s", c.Line, c.Input, reason)
			}
		case !agrees:
			t.Errorf("line %d: %q: got %v, want valid %v (%s)", c.Line, c.Input, err, c.Valid, c.Comment)
		}
	}
	if deviated != len(deviations) {
		t.Errorf("%d of %d deviations are among the cases", deviated, len(deviations))
	}
	t.Logf("%d of %d cases agree", len(cases)-deviated, len(cases))
}
