package dkim

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

func TestParse(t *testing.T) {
	tests := map[string]Record{
		"v=DKIM1; k=rsa; p=AAAA":                  {KeyType: RSA, PublicKey: []byte{0, 0, 0}},
		"p=AA\r\n AA ;":                           {KeyType: RSA, PublicKey: []byte{0, 0, 0}},
		"v=DKIM1; p=":                             {KeyType: RSA},
		"v=DKIM1; p=AAA":                          {KeyType: RSA, PublicKey: []byte{0, 0}}, // §2.10: padding is optional
		"v=DKIM1; p=AA = =":                       {KeyType: RSA, PublicKey: []byte{0}},
		"v = DKIM1; h=sha256; s=email; t=y:s; p=": {KeyType: RSA, Hashes: []string{"sha256"}, Services: []string{"email"}, Flags: []string{"y", "s"}},
		"k=Ed25519; n=a=20note; g=*; p=":          {KeyType: "Ed25519", Notes: "a=20note", Extensions: []Extension{{"g", "*"}}},
		"h=sha1 : SHA256:x-1; s=* ; K=; p=":       {KeyType: RSA, Hashes: []string{"sha1", "SHA256", "x-1"}, Services: []string{"*"}, Extensions: []Extension{{"K", ""}}},
		// RFC 6376, appendix C, and RFC 8463, appendix A.2.
		rfc6376Record: {KeyType: RSA, PublicKey: decode(t, strings.TrimPrefix(rfc6376Record, "v=DKIM1; p="))},
		rfc8463Record: {KeyType: Ed25519, PublicKey: decode(t, rfc8463Key)},
	}
	for text, want := range tests {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"v=DKIM1; k=rsa":           "octet 14: \"\": want the tag p",
		"v=DKIM1; p= %%%":          "octet 12: \"%%%\": want p= with base64",
		"p=AAAAA":                  "base64",
		"p=AA=":                    "base64",
		"p=A===":                   "base64",
		"k=rsa; v=DKIM1; p=AAAA":   "octet 9: \"DKIM1\": want v= with DKIM1, as the first tag",
		"v=DKIM2; p=AAAA":          "first tag",
		"v=dkim1; p=AAAA":          "first tag",
		"v=DKIM1; p=AAAA; p=":      "only once",
		"v=DKIM1; ; p=AAAA":        "between the semicolons",
		"hello":                    "name=value",
		"":                         "a tag",
		"k=; p=":                   "a key type",
		"k=rsa-; p=":               "a key type",
		"h=; p=":                   "words such as sha256",
		"h=sha256:; p=":            "words such as sha256",
		"h=*; p=":                  "words such as sha256",
		"s=2; p=":                  "words such as email",
		"t=y,s; p=":                "words such as y",
		"n=für Leute; p=":          "quoted-printable",
		"a-b=c; p=":                "letters, digits and _",
		"1=c; p=":                  "letters, digits and _",
		"a=\x00; p=":               "in ASCII",
		strings.Repeat("x", 1<<20): "octet 65535",
	} {
		_, err := Parse(text)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "(RFC 6376 §3.6.1)") {
			t.Errorf("%.80q: got %v, want %q", text, err, want)
		}
	}
}

func decode(t *testing.T, s string) []byte {
	octets, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func TestIsRecord(t *testing.T) {
	for text, want := range map[string]bool{
		"v=DKIM1": true, "v=DKIM1; k=": true, "k=rsa; p=": true, "p=x": true, " v = dkim1 p=": true, "\"v=DKIM1; p=AAAA\"": true,
		"v=spf1 -all": false, "v=DMARC1; p=none": false, "some text; sp=none": false, "v; sp": false, "": false,
	} {
		if IsRecord(text) != want {
			t.Errorf("%q: got %v", text, !want)
		}
	}
}

func TestSame(t *testing.T) {
	for _, pair := range [][2]string{
		{"v=DKIM1; k=rsa; p=AAAA", " v = DKIM1;p=AA\r\n AA"},
		{"k=rsa; p=AAAA", "p=AAAA; x=y"},
		{"v=DKIM1; s=*; n=note; p=AAAA", "v=DKIM1;p=AAAA;"},
		{"t=y:s; p=AAAA", "p=AAAA; t=s : y"},
	} {
		if !Same(pair[0], pair[1]) {
			t.Errorf("%q and %q mean the same", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; k=rsa; p="},
		{"v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; k=ed25519; p=AAAA"},
		{"v=DKIM1; k=rsa; p=AAAA", "k=rsa; p=AAAA"},
		{"v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; k=RSA; p=AAAA"},
		{"v=DKIM1; h=sha256; p=AAAA", "v=DKIM1; h=SHA256; p=AAAA"},
		{"v=DKIM1; s=email; p=AAAA", "v=DKIM1; s=Email; p=AAAA"},
		{"v=DKIM1; t=y; p=AAAA", "v=DKIM1; t=Y; p=AAAA"},
		{"v=DKIM1; h=sha256; p=AAAA", "v=DKIM1; h=sha1:sha256; p=AAAA"},
		{"p=AAAA", "t=y; p=AAAA"},
		{"p=AAAA", "s=tlsrpt; p=AAAA"},
		{"p=", "k=rsa"},
	} {
		if Same(pair[0], pair[1]) {
			t.Errorf("%q and %q mean different things", pair[0], pair[1])
		}
	}
}

func TestRoundTrip(t *testing.T) {
	words := rapid.SliceOfN(rapid.StringMatching(`[a-z]([a-z0-9-]{0,4}[a-z0-9])?`), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			KeyType:   rapid.SampledFrom([]string{RSA, Ed25519, "other"}).Draw(t, "k"),
			PublicKey: rapid.SliceOf(rapid.Byte()).Draw(t, "p"),
			Hashes:    words.Draw(t, "h"),
			Services:  words.Draw(t, "s"),
			Flags:     words.Draw(t, "t"),
			Notes:     rapid.StringMatching(`([!-:<-~]([ -:<-~]*[!-:<-~])?)?`).Draw(t, "n"),
		}
		for i, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z][A-Za-z0-9_]{0,4}`), 0, 20, rapid.ID).Draw(t, "names") {
			r.Extensions = append(r.Extensions, Extension{name, strings.Repeat("=", i)})
		}
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
	f.Add(rfc6376Record)
	f.Fuzz(func(t *testing.T, text string) {
		_ = Lint(Subject{Texts: []string{text}, InUse: true}) // must not panic
		r, err := Parse(text)
		if err != nil {
			return
		}
		if !IsRecord(text) {
			t.Fatalf("%q is read, and is said to be none", text)
		}
		if len(r.String()) > syntax.MaxText {
			return // v and k, if they were not there before
		}
		if Same(text, r.String()) != format.Is(text) {
			t.Fatalf("%q and %q: same %v", text, r, format.Is(text))
		}
		again, err := Parse(r.String())
		if err != nil || again.String() != r.String() || !slices.Equal(again.PublicKey, r.PublicKey) {
			t.Fatalf("%q became %q, then %q (%v)", text, r, again, err)
		}
	})
}
