package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/ledger"
)

func TestSectionsAreDroppedOnlyByALaterGeneration(t *testing.T) {
	seen := ledger.SpecSeen{}.Next("u1", 1, []string{"spf", "dmarc"})
	for name, test := range map[string]struct {
		uid        string
		generation int64
		sections   []string
		dropped    []string
	}{
		"unchanged":            {"u1", 1, []string{"spf", "dmarc"}, nil},
		"removed by the user":  {"u1", 2, []string{"spf"}, []string{"dmarc"}},
		"all removed":          {"u1", 2, nil, []string{"dmarc", "spf"}},
		"added":                {"u1", 2, []string{"spf", "dmarc", "dkim"}, nil},
		"created again":        {"u2", 1, []string{"spf"}, nil},
		"created again, later": {"u2", 5, []string{"spf"}, nil},
		"restored from backup": {"u1", 0, []string{"spf"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.dropped, seen.Next(test.uid, test.generation, test.sections).Dropped); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDroppedSectionStaysDroppedUntilItIsBack(t *testing.T) {
	seen := ledger.SpecSeen{}.Next("u", 1, []string{"spf"}).Next("u", 2, nil)
	if diff := cmp.Diff([]string{"spf"}, seen.Next("u", 3, nil).Dropped); diff != "" {
		t.Error("a later generation forgot:", diff)
	}
	if diff := cmp.Diff([]string(nil), seen.Next("u", 3, []string{"spf"}).Dropped); diff != "" {
		t.Error("it is back:", diff)
	}
}
