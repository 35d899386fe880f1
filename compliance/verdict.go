package compliance

import "strings"

// Outcome is how a control or a baseline ends.
type Outcome string

const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "notApplicable" // what the control is about does not exist, and need not
	Unknown       Outcome = "unknown"       // the facts do not say; never a pass
)

// Verdict is how one control ends.
type Verdict struct {
	Control string  `json:"control"`
	Title   string  `json:"title"`
	Outcome Outcome `json:"outcome"`
	Seen    string  `json:"seen"` // what was seen; with unknown, why nothing was
	Source  string  `json:"source"`
}

// Result is how a domain does by one baseline.
type Result struct {
	Baseline string    `json:"baseline"`
	Outcome  Outcome   `json:"outcome"`
	Verdicts []Verdict `json:"controls"`
	// NotJudged is what the baseline demands beside, and the facts can't show.
	NotJudged []string `json:"notJudged,omitempty"`
}

// Failing are the names of the controls that fail.
func (r Result) Failing() (names []string) {
	for _, v := range r.Verdicts {
		if v.Outcome == Fail {
			names = append(names, v.Control)
		}
	}
	return names
}

// finding is the outcome of a test, and what was seen.
type finding struct {
	outcome Outcome
	seen    string
}

// worst sums outcomes up: a fail, else an unknown, else a pass. Without any it is not applicable.
func worst(outcomes ...Outcome) Outcome {
	sum := NotApplicable
	for _, o := range outcomes {
		switch {
		case o == Fail, sum == Fail:
			sum = Fail
		case o == Unknown, sum == Unknown:
			sum = Unknown
		case o == Pass:
			sum = Pass
		}
	}
	return sum
}

// all sums findings up and shows those that decide.
func all(findings ...finding) finding {
	var outcomes []Outcome
	for _, f := range findings {
		outcomes = append(outcomes, f.outcome)
	}
	sum := finding{outcome: worst(outcomes...)}
	var seen []string
	for _, f := range findings {
		if f.outcome == sum.outcome {
			seen = append(seen, f.seen)
		}
	}
	sum.seen = strings.Join(seen, "; ")
	return sum
}

// maxSeen bounds what a verdict shows: it holds strangers' texts.
const maxSeen = 600

func cut(text string) string {
	if len(text) <= maxSeen {
		return text
	}
	return strings.ToValidUTF8(text[:maxSeen], "") + "…"
}
