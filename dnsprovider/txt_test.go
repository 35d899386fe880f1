package dnsprovider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

func TestQuoteTXT(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct{ text, want string }{
		{"", `""`},
		{"v=spf1 -all", `"v=spf1 -all"`},
		{`a"b\c;`, `"a\"b\\c;"`},
		{"ü\t\x00\xff~\x7f", `"\195\188\009\000\255~\127"`},
		{a(254), `"` + a(254) + `"`},
		{a(255), `"` + a(255) + `"`},
		{a(256), `"` + a(255) + `" "a"`},
		{a(254) + "üb", `"` + a(254) + `\195" "\188b"`},
		{a(254) + `""`, `"` + a(254) + `\"" "\""`},
		{a(510), `"` + a(255) + `" "` + a(255) + `"`},
	} {
		if got := quoteTXT(c.text); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestUnquoteTXT(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{`""`, ""},
		{`"" "" "x"`, "x"},
		{`"abc"`, "abc"},
		{`"abc" "def"`, "abcdef"},
		{"\"abc\"  \t \"def\" \n", "abcdef"},
		{`"abc""def"`, "abcdef"},
		{` "abc"`, "abc"},
		{`"a\"b\\c\;\100\255"`, "a\"b\\c;d\xff"},
		{`"` + strings.Repeat("a", 300) + `"`, strings.Repeat("a", 300)},
		{`"ü"`, "ü"},
		{`v=spf1 -all`, "v=spf1 -all"},
		{`v=DMARC1\; p=none`, `v=DMARC1\; p=none`},
		{` x "y" `, ` x "y" `},
		{``, ""},
	} {
		if got, err := unquoteTXT(c.content); err != nil || got != c.want {
			t.Errorf("%q: %q, %v; want %q", c.content, got, err, c.want)
		}
	}
	for content, want := range map[string]string{
		`"abc`:       "not closed",
		`"`:          "not closed",
		`"abc\`:      "escapes nothing",
		`"abc\"`:     "not closed",
		`"\25"`:      "escapes nothing",
		`"\256"`:     "escapes nothing",
		`"\2x5"`:     "escapes nothing",
		`"abc" def`:  "outside",
		`"abc"x"de"`: "outside",
	} {
		if got, err := unquoteTXT(content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want an error with %q", content, got, err, want)
		}
	}
}

// What we write is what everybody reads: we and a reader of zone files.
func TestQuoteTXTRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 1100).Draw(t, "text"))
		quoted := quoteTXT(text)
		if got, err := unquoteTXT(quoted); err != nil || got != text {
			t.Fatalf("%q came back as %q, %v", text, got, err)
		}
		rr, err := dns.NewRR("x. TXT " + quoted)
		if err != nil {
			t.Fatal(err)
		}
		var generic dns.RFC3597
		if err := generic.ToRFC3597(rr); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x", splitCharacterStrings(text)); generic.Rdata != want {
			t.Fatalf("%q is %s on the wire, want %s", text, generic.Rdata, want)
		}
	})
}

// Whatever somebody stored, what we read of it can be written and read again.
func FuzzUnquoteTXT(f *testing.F) {
	for _, content := range []string{`""`, `"abc" "d\"e\\f\;"  "\255"`, `"ab`, `"a\`, `"a" b`, `v=spf1 -all`, `\"x`, "\"\xff\"", `"\2"`} {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		text, err := unquoteTXT(content)
		if err != nil {
			return
		}
		if len(text) > len(content) {
			t.Fatalf("%d octets out of %d", len(text), len(content))
		}
		again, err := unquoteTXT(quoteTXT(text))
		if err != nil || again != text {
			t.Fatalf("%q is %q, and written and read again %q, %v", content, text, again, err)
		}
	})
}
