package dkim

import (
	"slices"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/test/corpora"
)

func TestCorpus(t *testing.T) {
	corpora.Check(t, corpora.Cases(t, "TestParseRecord", "mox", "dkim_txt.json"), func(text string) error {
		r, err := Parse(text)
		if err == nil && !r.Revoked() {
			_, err = r.Public()
		}
		return err
	}, map[string]string{
		"v=DKIM1; p=; ":          "white space behind the last semicolon is against the grammar of RFC 6376 §3.2, and means nothing else",
		"v=DKIM1; k=unknown; p=": "verifiers ignore a record of an unknown type (RFC 6376 §3.6.1); it is well-formed, and Lint has DKIM-KEY-TYPE for a key of that type",
	})
}

func TestSignatureCorpus(t *testing.T) {
	cases := corpora.Cases(t, "TestSig", "mox", "dkim_sig.json")
	for i := range cases {
		// In this file a comment that names an error is the verdict.
		cases[i].Valid = cases[i].Comment == ""
		cases[i].Input = strings.TrimPrefix(cases[i].Input, "dkim-signature:")
	}
	// A deviation: line 101 once more, for a message that is not internationalized, where i= in
	// UTF-8 is an error. Which sort a message is of can't be seen from the signature.
	before := len(cases)
	cases = slices.DeleteFunc(cases, func(c corpora.Case) bool { return c.Line == 102 && strings.Contains(c.Comment, "No UTF-8") })
	if len(cases) != before-1 {
		t.Errorf("the case of line 102 stands %d times", before-len(cases))
	}
	corpora.Check(t, cases, func(value string) error { _, err := ParseSignature(value); return err }, nil)
}
