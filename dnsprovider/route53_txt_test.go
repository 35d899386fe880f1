package dnsprovider

import (
	"strings"
	"testing"
)

func TestQuoteRoute53(t *testing.T) {
	for text, want := range map[string]string{
		"":                              `""`,
		"v=spf1 -all":                   `"v=spf1 -all"`,
		`a"b\c;d`:                       `"a\"b\\c;d"`,
		"ü\n\x7f":                       `"\303\274\012\177"`,
		"\x00\xff":                      `"\000\377"`,
		strings.Repeat("x", 255):        `"` + strings.Repeat("x", 255) + `"`,
		strings.Repeat("x", 256):        `"` + strings.Repeat("x", 255) + `" "x"`,
		strings.Repeat("x", 254) + `""`: `"` + strings.Repeat("x", 254) + `\"" "\""`,
	} {
		if got := quoteRoute53(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		if back, err := unquoteRoute53(want); err != nil || back != text {
			t.Errorf("%s: %q, %v, want %q", want, back, err, text)
		}
	}
}

func TestUnquoteRoute53(t *testing.T) {
	for value, want := range map[string]string{
		`"part1"  "part2"`:     "part1part2",
		"\"k=v\"\t\n \"w\" ":   "k=vw",
		`"a""b"`:               "ab",
		`"" "x" ""`:            "x",
		`"\101\052\;\""`:       `A*;"`,
		`"` + "\xc3\xbc" + `"`: "ü",
	} {
		if got, err := unquoteRoute53(value); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", value, got, err, want)
		}
	}
	for _, bad := range []string{"", "  ", `"`, `"x`, `"x\"`, `"\`, `"\18x"`, `"\400"`, `"\1"`, `x"y"`, `"\9"`, "v=spf1 -all", `"x" y`} {
		if got, err := unquoteRoute53(bad); err == nil {
			t.Errorf("%s: %q, want an error", bad, got)
		}
	}
}

func FuzzRoute53Text(f *testing.F) {
	f.Add("v=DKIM1; p=abc")
	f.Add(`"a" \303\274 \`)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = unquoteRoute53(text)
		nameOfRoute53(text)
		value := quoteRoute53(text)
		if back, err := unquoteRoute53(value); err != nil || back != text {
			t.Errorf("%q: %s: %q, %v", text, value, back, err)
		}
	})
}

func TestNameOfRoute53(t *testing.T) {
	for name, want := range map[string]string{
		"Example.COM.":           "example.com",
		`\052.example.com.`:      "*.example.com",
		`\137dmarc.example.com.`: "_dmarc.example.com",
		`\137\104marc.example.`:  "_dmarc.example",
		`a\056b.example.com.`:    `a\056b.example.com`, // a dot within a label
		`a\134056b.example.`:     `a\134056b.example`,
		`a\`:                     `a\`,
	} {
		if got := nameOfRoute53(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
