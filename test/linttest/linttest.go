// Package linttest checks the rules of a protocol package.
package linttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// Start returns a function that judges a subject, which must get the codes and no other, in their
// order, with spaces between; a code that is found twice in a row is named once. At the end of
// the test every rule must have been broken by a subject, and some subject have broken none.
func Start[S any](t *testing.T, rules []lint.Rule, judge func(S) []lint.Finding) (gets func(codes string, subject S)) {
	t.Helper()
	broken, sound := map[string]bool{}, false
	t.Cleanup(func() {
		for _, r := range rules {
			if !broken[r.Code] {
				t.Errorf("%s: no case breaks it", r.Code)
			}
		}
		if !sound {
			t.Error("no case is without a finding")
		}
	})
	return func(want string, subject S) {
		t.Helper()
		var codes []string
		for _, f := range judge(subject) {
			codes = append(codes, f.Code)
			broken[f.Code] = true
			if f.Message == "" || f.Title == "" || f.Mend == "" || f.Source == "" {
				t.Errorf("%s lacks a text: %+v", f.Code, f)
			}
		}
		sound = sound || len(codes) == 0
		if got := strings.Join(slices.Compact(codes), " "); got != want {
			t.Errorf("%.300s: got %q, want %q", fmt.Sprintf("%+v", subject), got, want)
		}
	}
}
