package lint_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
)

func TestWorstFirst(t *testing.T) {
	var findings, want []lint.Finding
	for i, severity := range []lint.Severity{lint.Info, lint.Warning, lint.Error, lint.Warning, lint.Error, lint.Info} {
		findings = append(findings, lint.Finding{Rule: lint.Rule{Code: string(rune('a' + i)), Severity: severity}})
	}
	for _, i := range []int{2, 4, 1, 3, 0, 5} {
		want = append(want, findings[i])
	}
	if diff := cmp.Diff(want, lint.WorstFirst(findings)); diff != "" {
		t.Error(diff)
	}
}

// Nobody changes the rules by what he gets.
func TestRulesAreCopies(t *testing.T) {
	for _, rules := range []func() []lint.Rule{spf.Rules, dkim.Rules, dmarc.Rules, mtasts.Rules, tlsrpt.Rules} {
		was := rules()[0]
		if rules()[0].Code = "changed"; rules()[0] != was {
			t.Errorf("%s can be changed", was.Code)
		}
	}
}
