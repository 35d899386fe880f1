package tlsrpt

import (
	"testing"

	"github.com/maildomain/maildomain-operator/test/corpora"
)

func TestCorpus(t *testing.T) {
	corpora.Check(t, corpora.Cases(t, "TestRecord", "mox", "tlsrpt_parse.json"), func(text string) error { _, err := Parse(text); return err }, nil)
}
