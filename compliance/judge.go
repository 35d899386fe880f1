package compliance

// test judges facts by what a control wants.
type test func(f Facts, want Want) finding

// tests is the vocabulary of baselines.json.
var tests = map[string]test{
	"spf":           spfEvaluates,
	"spf-end":       spfEnds,
	"spf-nobody":    spfLetsNobody,
	"dkim-keys":     dkimKeys,
	"dkim-parent":   dkimParent,
	"dkim-null":     dkimNull,
	"dmarc-policy":  dmarcPolicy,
	"dmarc-reports": dmarcReports,
	"dmarc-consent": dmarcConsent,
	"dmarc-testing": dmarcTesting,
	"mx-null":       mxNull,
	"mx-starttls":   mxSTARTTLS,
	"mx-ipv6":       mxIPv6,
	"mta-sts":       mtaSTS,
	"tls-rpt":       tlsRPT,
}

// Judge says how the facts do by a baseline.
func Judge(b Baseline, f Facts) Result {
	r := Result{Baseline: b.Name, NotJudged: b.NotJudged}
	var outcomes []Outcome
	for _, c := range b.Controls {
		found := tests[c.Test](f, c.Want)
		source := c.Source
		if c.SecondHand {
			source += " (second-hand)"
		}
		r.Verdicts = append(r.Verdicts, Verdict{Control: c.Name, Title: c.Title, Outcome: found.outcome, Seen: cut(found.seen), Source: source})
		outcomes = append(outcomes, found.outcome)
	}
	r.Outcome = worst(outcomes...)
	return r
}

func pass(seen string) finding   { return finding{Pass, seen} }
func fail(seen string) finding   { return finding{Fail, seen} }
func unseen(seen string) finding { return finding{Unknown, seen} }
