package tlsrpt

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func ExampleRecord_String() {
	fmt.Println(Record{RUA: []string{"mailto:tls@example.com", "https://tls.example.com/v1"}})
	// Output: v=TLSRPTv1; rua=mailto:tls@example.com,https://tls.example.com/v1
}

func TestParse(t *testing.T) {
	r, err := Parse("v=TLSRPTv1;rua=mailto:a@x.se , https://x.se/r; x=y;")
	if diff := cmp.Diff(Record{RUA: []string{"mailto:a@x.se", "https://x.se/r"}, Extensions: []Extension{{"x", "y"}}}, r); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for text, want := range map[string]string{
		"v=TLSRPTv2; rua=mailto:a@x.se":                 "v=TLSRPTv1 and a semicolon first",
		"rua=mailto:a@x.se; v=TLSRPTv1":                 "v=TLSRPTv1 and a semicolon first",
		" v=TLSRPTv1; rua=mailto:a@x.se":                "v=TLSRPTv1 and a semicolon first",
		"v = TLSRPTv1; rua=mailto:a@x.se":               "v=TLSRPTv1 and a semicolon first",
		"v=TLSRPTv1":                                    "v=TLSRPTv1 and a semicolon first",
		"v=TLSRPTv1;":                                   "the tag rua",
		"v=TLSRPTv1; rua = mailto:a@x.se":               "name=value",
		"v=TLSRPTv1; rua=mailto:a@x.se,\nmailto:b@x.se": "mailto: or https:",
		"v=TLSRPTv1; rua=":                              "mailto: or https:",
		"v=TLSRPTv1; rua=mailto:a@x.se!10m":             "exclamation mark",
		"v=TLSRPTv1; rua=mailto:foo":                    "mailto: or https:",
		"v=TLSRPTv1; rua=https:x":                       "mailto: or https:",
		"v=TLSRPTv1; rua=http://x.se":                   "mailto: or https:",
		"v=TLSRPTv1; rua=mailto:a@x.se,":                "mailto: or https:",
		"v=TLSRPTv1; rua=mailto:a@x.se; rua":            "name=value",
	} {
		_, err := Parse(text)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "RFC 8460 §3") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestSame(t *testing.T) {
	if !Same("v=TLSRPTv1; rua=mailto:a@x.se,mailto:b@x.se", "v=TLSRPTv1;rua=mailto:b@x.se , mailto:a@x.se;") {
		t.Error("the order of the addresses does not matter")
	}
	for _, other := range []string{"v=TLSRPTv1; rua=mailto:b@x.se", " v=TLSRPTv1; rua=mailto:a@x.se", "v=TLSRPTv1; rua=mailto:a@x.se; x=y"} {
		if Same("v=TLSRPTv1; rua=mailto:a@x.se", other) {
			t.Errorf("%q is another record", other)
		}
	}
	if Same("v=TLSRPTv1;", "v=TLSRPTv1; ") {
		t.Error("a broken record is like no other")
	}
}

func TestRoundTrip(t *testing.T) {
	uris := rapid.SliceOfN(rapid.StringMatching(`(mailto:[a-z%]{1,5}@[a-z]{1,5}\.se|https://[a-z]{1,9}/["-$&-+\--:<-~]{0,9})`), 1, 4)
	rapid.Check(t, func(t *rapid.T) {
		r := Record{RUA: uris.Draw(t, "rua")}
		got, err := Parse(r.String())
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:tls@example.com")
	f.Add("v=TLSRPTv1;rua=https://x.se/a,mailto:b@x.se;k=v;")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(r.String()); err != nil || again.String() != r.String() || !Same(text, r.String()) {
			t.Fatalf("%q became %q (%v)", text, r, err)
		}
	})
}
