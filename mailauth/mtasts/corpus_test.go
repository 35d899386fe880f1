package mtasts

import (
	"encoding/json"
	"testing"

	"github.com/maildomain/maildomain-operator/test/corpora"
)

func TestCorpus(t *testing.T) {
	corpora.Check(t, corpora.Cases(t, "TestRecord", "mox", "mtasts_parse.json"), func(text string) error { _, err := ParseRecord(text); return err }, nil)
	corpora.Check(t, corpora.Cases(t, "TestParsePolicy", "mox", "mtasts_parse.json"), func(text string) error { _, err := ParsePolicy(text); return err }, nil)
}

// Which hosts a pattern covers.
func TestMatchCorpus(t *testing.T) {
	var cases []struct {
		Host, Pattern string
		Match         bool
	}
	if err := json.Unmarshal(corpora.Read(t, "mtasts-match", "mx_match.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 10 {
		t.Fatalf("%d cases", len(cases))
	}
	const aLabels = "a policy holds A-labels (RFC 8461 §3.2), and so does DNS: U-labels are for the one who asks to convert"
	deviations := map[string]string{"x.ñaca.com x.xn--aca-6ma.com": aLabels, "x.xn--aca-6ma.com x.ñaca.com": aLabels}
	for _, c := range cases {
		if reason := deviations[c.Host+" "+c.Pattern]; reason != "" {
			c.Match = !c.Match
		}
		if got := (Policy{MX: []string{c.Pattern}}).Covers(c.Host); got != c.Match {
			t.Errorf("%s covers %s: got %v, want %v", c.Pattern, c.Host, got, c.Match)
		}
	}
}
