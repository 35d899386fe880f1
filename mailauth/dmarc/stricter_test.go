package dmarc

import (
	"testing"

	"pgregory.net/rapid"
)

func TestStricter(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"p=reject", "p=none", true},
		{"p=none", "p=reject", false},
		{"p=reject", "p=reject", false},
		// Receivers of before RFC 9989 ignore t.
		{"p=reject; t=y", "p=quarantine", true},
		{"p=quarantine; t=y", "p=none", true},
		{"p=quarantine; t=y; adkim=s", "p=quarantine", true},
		{"p=reject; t=y", "p=reject", false},
		{"p=quarantine", "p=reject; t=y", false},
		// They know pct, of which those of RFC 9989 know nothing.
		{"p=reject", "p=reject; pct=10", true},
		{"p=reject", "p=reject; pct=0", true},
		{"p=reject; pct=10", "p=reject; pct=9", true},
		{"p=reject; pct=10", "p=reject; pct=10", false},
		{"p=reject; pct=10", "p=reject", false},
		{"p=quarantine", "p=quarantine; pct=99", true},
		{"p=quarantine; pct=0", "p=none", true},
		{"p=quarantine", "p=reject; pct=0", false},
		{"p=none; pct=100", "p=reject; pct=0", false},
		{"p=none; sp=reject", "p=none; sp=reject; pct=10", true},
		{"p=quarantine; sp=reject; pct=50", "p=reject; sp=quarantine", true},
		// The organization moves.
		{"p=reject; psd=n", "p=reject", true},
		{"p=reject; psd=y", "p=reject", true},
		{"p=reject", "p=reject; psd=y", true},
		{"p=reject", "p=reject; psd=u", false},
		{"p=none; psd=n", "p=none", false},
		{"p=none; np=reject; t=y; psd=n", "p=none; np=reject", true},
		{"p=reject", "p=reject; t=y", true},
		{"p=none; np=reject", "p=none", true},
		{"p=quarantine; sp=none", "p=none; sp=reject", true},
		{"p=quarantine", "p=reject; sp=none", true},
		{"p=reject; adkim=s", "p=reject", true},
		{"p=none; adkim=s", "p=none", false},
		{"p=reject", "p=reject; aspf=s", false},
	} {
		if got := Stricter(must(t, "v=DMARC1; "+test.a), must(t, "v=DMARC1; "+test.b)); got != test.want {
			t.Errorf("%s stricter than %s: got %v", test.a, test.b, got)
		}
	}
}

// Two records that mean the same are as strict as each other, and of two records with
// different policies one at least is the stricter.
func TestStrictnessIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := record().Draw(t, "a"), record().Draw(t, "b")
		if Same(a.String(), b.String()) && (Stricter(a, b) || Stricter(b, a)) {
			t.Fatalf("%s and %s are the same, and one is stricter", a, b)
		}
		if a.Strictness() != b.Strictness() && !Stricter(a, b) && !Stricter(b, a) {
			t.Fatalf("%s and %s differ, and none is stricter", a, b)
		}
	})
}
