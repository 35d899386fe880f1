// Package lint is what the judgements of the protocol packages have in common: a rule with a
// stable code, and a finding, which is a rule that a record breaks.
package lint

import (
	"fmt"
	"slices"
)

// Severity says how much a finding hurts.
type Severity string

const (
	Error   Severity = "error"   // receivers ignore or misread the record, or mail is lost
	Warning Severity = "warning" // it works, and it will hurt some day or with some receiver
	Info    Severity = "info"    // worth to know
)

// Rule is one thing that can be wrong.
type Rule struct {
	Code     string // stable: it is never reused with another meaning
	Severity Severity
	Title    string // what is wrong, in general
	Mend     string // what to do about it
	Source   string // who wants it
}

// NewRule returns a rule; it makes a table readable.
func NewRule(code string, severity Severity, title, mend, source string) Rule {
	return Rule{Code: code, Severity: severity, Title: title, Mend: mend, Source: source}
}

// Finding is a rule that is broken.
type Finding struct {
	Rule
	Message string // what was seen, and where
}

func (f Finding) String() string {
	return fmt.Sprintf("%s %s: %s: %s", f.Severity, f.Code, f.Message, f.Mend)
}

// WorstFirst sorts findings by severity. Those of one severity stay in their order.
func WorstFirst(findings []Finding) []Finding {
	order := []Severity{Error, Warning, Info}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return slices.Index(order, a.Severity) - slices.Index(order, b.Severity)
	})
	return findings
}

// Table is the rules of one protocol.
type Table []Rule

// Find returns the finding of a rule of the table. It panics if the code is none of the table's.
func (t Table) Find(code, format string, args ...any) Finding {
	for _, r := range t {
		if r.Code == code {
			return Finding{Rule: r, Message: fmt.Sprintf(format, args...)}
		}
	}
	panic("lint: no rule " + code)
}
