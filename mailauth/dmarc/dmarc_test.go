package dmarc

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func must(t *testing.T, text string) Record {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

func TestParse(t *testing.T) {
	yes, pct, ri := true, 50, 3600
	tests := map[string]Record{
		"v=DMARC1; p=none": {Policy: None},
		"v=DMARC1;p=REJECT;sp=quarantine;np=none;t=y;adkim=s;aspf=R;fo=1:d;psd=n": {
			Policy: Reject, SubdomainPolicy: Quarantine, NonexistentSubdomainPolicy: None, Testing: &yes,
			DKIMAlignment: "s", SPFAlignment: "r", FailureOptions: []string{"1", "d"}, PSD: "n",
		},
		"v = DMARC1 ; p = none ; rua = mailto:a@x.se , mailto:b@x.se!10m ; pct=50; rf=afrf; ri=3600; x=y;": {
			Policy: None, RUA: []string{"mailto:a@x.se", "mailto:b@x.se!10m"}, Pct: &pct, RF: "afrf", RI: &ri,
			Extensions: []Extension{{"x", "y"}},
		},
		"v=DMARC1; rua=mailto:a@x.se": {RUA: []string{"mailto:a@x.se"}},
	}
	for text, want := range tests {
		if diff := cmp.Diff(want, must(t, text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"p=none; v=DMARC1":                       "v=DMARC1 first",
		"v=dmarc1; p=none":                       "v=DMARC1 first",
		"v=DMARC1":                               "the tag p",
		"v=DMARC1; p=monitor":                    "none, quarantine or reject",
		"v=DMARC1; p=none; p=reject":             "only once",
		"v=DMARC1; p=none; pct=101":              "0 to 100",
		"v=DMARC1; p=none; t=maybe":              "y or n",
		"v=DMARC1; p=none; adkim=x":              "r or s",
		"v=DMARC1; p=none; fo=2":                 "0, 1, d and s",
		"v=DMARC1; p=none; rua=a@x":              "URIs",
		"v=DMARC1; p=none; rua=mailto:a@x.se, ,": "URIs",
		"v=DMARC1 p=none":                        "v=DMARC1 first",
		" v=DMARC1; p=none":                      "v=DMARC1 first",
		"\tv=DMARC1; p=none":                     "v=DMARC1 first",
		"v=DMARC1\r\n; p=none":                   "v=DMARC1 first",
		"v=DMARC1;\n p=none":                     "name=value",
		"v=DMARC1; p=none\n":                     "none, quarantine or reject",
		"v=DMARC1; p=none; x=\n":                 "printable",
		"v=DMARC1; p=none; x=\x7f":               "printable",
		"v=DMARC1; none":                         "name=value",
	} {
		_, err := Parse(text)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "RFC 9989") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestSame(t *testing.T) {
	for _, pair := range [][2]string{
		{"v=DMARC1; p=reject", "v=DMARC1;p=Reject;sp=reject;adkim=r;aspf=r;t=n;fo=0"},
		{"v=DMARC1; p=none; rua=mailto:a@x.se,mailto:b@x.se", "v=DMARC1; p=none; rua=mailto:b@x.se, mailto:a@x.se"},
		{"v=DMARC1; p=none; ruf=mailto:a@x.se,mailto:b@x.se; fo=1:d; psd=u", "v=DMARC1; p=none; ruf=mailto:b@x.se,mailto:a@x.se; fo=d:1"},
		{"v=DMARC1; p=none; rua=mailto:a@x.se,mailto:a@x.se", "v=DMARC1; p=none; rua=mailto:a@x.se"},
	} {
		if !Same(pair[0], pair[1]) {
			t.Errorf("%q and %q mean the same", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"v=DMARC1; p=reject", "v=DMARC1; p=reject; sp=none"},
		{"v=DMARC1; p=reject", "v=DMARC1; p=reject; t=y"},
		{"v=DMARC1; p=none", "v=DMARC1; p=none; rua=mailto:a@x.se"},
		{"v=DMARC1; p=none", "v=DMARC1; p=none; pct=50"},
		{"v=DMARC1; p=oops", "v=DMARC1; p=none"},
		{"v=DMARC1; p=none", " v=DMARC1; p=none"},
		{"v=DMARC1; p=none", "v=DMARC1; p=none; psd=n"},
		{"v=DMARC1; p=none", "v=DMARC1; p=none; fo=1"},
		{"v=DMARC1; p=none; ruf=mailto:a@x.se", "v=DMARC1; p=none; ruf=mailto:b@x.se"},
		{"v=DMARC1; p=reject; rua=mailto:a@x.se", "v=DMARC1; rua=mailto:a@x.se; p=reject"},
		{"v=DMARC1; p=none; rua=mailto:a@x.se", "v=DMARC1; rua=mailto:a@x.se"},
		{"v=DMARC1; p=none; sp=reject; rua=mailto:a@x.se", "v=DMARC1; sp=reject; rua=mailto:a@x.se"},
		{"v=DMARC1; p=none; rua=mailto:a@x.se,mailto:b@x.se,mailto:c@x.se", "v=DMARC1; p=none; rua=mailto:a@x.se,mailto:c@x.se,mailto:b@x.se"},
	} {
		if Same(pair[0], pair[1]) {
			t.Errorf("%q and %q mean different things", pair[0], pair[1])
		}
	}
}

func record() *rapid.Generator[Record] {
	policy := rapid.SampledFrom([]Policy{"", None, Quarantine, Reject})
	flag := rapid.Ptr(rapid.Bool(), true)
	alignment := rapid.SampledFrom([]string{"", "r", "s"})
	uris := rapid.SliceOfN(rapid.StringMatching(`mailto:[a-z]{1,5}@[a-z]{1,5}\.se`), 0, 3)
	return rapid.Custom(func(t *rapid.T) Record {
		return Record{
			Policy:                     rapid.SampledFrom([]Policy{None, Quarantine, Reject}).Draw(t, "p"),
			SubdomainPolicy:            policy.Draw(t, "sp"),
			NonexistentSubdomainPolicy: policy.Draw(t, "np"),
			Testing:                    flag.Draw(t, "t"),
			DKIMAlignment:              alignment.Draw(t, "adkim"),
			SPFAlignment:               alignment.Draw(t, "aspf"),
			RUA:                        uris.Draw(t, "rua"),
			RUF:                        uris.Draw(t, "ruf"),
			FailureOptions:             rapid.SliceOfN(rapid.SampledFrom([]string{"0", "1", "d", "s"}), 0, 2).Draw(t, "fo"),
			PSD:                        rapid.SampledFrom([]string{"", "y", "n", "u"}).Draw(t, "psd"),
			Pct:                        rapid.Ptr(rapid.IntRange(0, 100), true).Draw(t, "pct"),
			RI:                         rapid.Ptr(rapid.IntRange(0, 1<<31), true).Draw(t, "ri"),
		}
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record().Draw(t, "record")
		got, err := Parse(r.String())
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		if diff := cmp.Diff(r, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"v=DMARC1; p=reject; rua=mailto:dmarc@example.com", "v=DMARC1;p=none;sp=reject;fo=1:s;pct=5;t=y;x=", "v=DMARC1; rua=mailto:a@b;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q became %q, then %q (%v)", text, r, again, err)
		}
		if Same(text, r.String()) != (pIsSecond(text) == (r.Policy != "")) || Stricter(r, again) {
			t.Fatalf("%q and %q: same %v", text, r, Same(text, r.String()))
		}
	})
}
