package dkim

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// The parts of a signature that all cases need.
const (
	bodyHash = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
	sound    = "v=1; a=rsa-sha256; b=AAAA; bh=" + bodyHash + "; d=example.com; h=From; s=s1"
)

// without is sound without the tag of a name.
func without(name string) string {
	var parts []string
	for part := range strings.SplitSeq(sound, "; ") {
		if !strings.HasPrefix(part, name+"=") {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

func TestParseSignature(t *testing.T) {
	hash := []byte("12345678901234567890123456789012")
	length := uint64(18446744073709551615)
	for value, want := range map[string]Signature{
		sound: {
			Algorithm: "rsa-sha256", Signature: []byte{0, 0, 0}, BodyHash: hash, HeaderCanonicalization: "simple", BodyCanonicalization: "simple",
			Domain: "example.com", Selector: "s1", Headers: []string{"From"}, Identity: "@example.com",
		},
		// RFC 6376 §3.5.
		crlf(` v=1; a=rsa-sha256; d=example.net; s=brisbane;
   c=simple; q=dns/txt; i=@eng.example.net;
   t=1117574938; x=1118006938;
   h=from:to:subject:date;
   z=From:foo@eng.example.net|To:joe@example.com|
     Subject:demo=20run|Date:July=205,=202005=203:44:08=20PM=20-0700;
   bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=;
   b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZ
            VoG4ZHRNiYzR
`): {
			Algorithm: "rsa-sha256", Signature: decode(t, "dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR"), BodyHash: hash,
			HeaderCanonicalization: "simple", BodyCanonicalization: "simple", Domain: "example.net", Selector: "brisbane",
			Headers: []string{"from", "to", "subject", "date"}, Identity: "@eng.example.net",
			Signed: time.Unix(1117574938, 0).UTC(), Expires: time.Unix(1118006938, 0).UTC(),
		},
		// What else there is: folding, cases, an internationalized domain (RFC 8616 §5).
		"i = \"a=3Db@c\" @Sub.Münster.Example; l=18446744073709551615; c=relaxed; t=0; q=x/y:DNS/TXT; V=2; A=RSA; d=münster.example; s=x.a-b; " +
			strings.NewReplacer("d=example.com; ", "", "; s=s1", "", "rsa-sha256", "Ed25519-SHA256", "h=From", "h= to :\r\n FROM").Replace(sound): {
			Algorithm: "ed25519-sha256", Signature: []byte{0, 0, 0}, BodyHash: hash, HeaderCanonicalization: "relaxed", BodyCanonicalization: "simple",
			Domain: "münster.example", Selector: "x.a-b", Headers: []string{"to", "FROM"}, Identity: `"a=b@c"@Sub.Münster.Example`,
			BodyLength: &length, Signed: time.Unix(0, 0).UTC(),
		},
	} {
		got, err := ParseSignature(value)
		if err != nil {
			t.Errorf("%q: %v", value, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", value, diff)
		}
	}
	for value, want := range map[string]string{
		"":                            "a tag",
		sound + "; ; l=1":             "between the semicolons",
		sound + "; d=example.com":     "only once",
		without("v") + "; v=2":        "v= with 1",
		without("v") + "; v=01":       "v= with 1",
		without("a") + "; a=rsa":      "an algorithm",
		without("a") + "; a=rsa-x-y":  "an algorithm",
		without("b") + "; b=":         "b= with base64",
		without("b") + "; b=A":        "b= with base64",
		without("bh") + "; bh=AAAA":   "bh= with 32 octets",
		"a=rsa-sha1;" + without("a"):  "bh= with 20 octets",
		sound + "; c=":                "simple and relaxed",
		sound + "; c=relaxed/":        "simple and relaxed",
		sound + "; c=a/b/c":           "simple and relaxed",
		without("d") + "; d=com":      "a domain name",
		without("d") + "; d=a..com":   "a domain name",
		without("d") + "; d=a.com.":   "a domain name",
		without("d") + "; d=a_b.com":  "a domain name",
		without("d") + "; d=-a.com":   "a domain name",
		without("d") + "; d=\xff.com": "a domain name",
		without("d") + "; d=" + strings.Repeat("a.", 126) + "com": "a domain name",
		without("d") + "; d=" + strings.Repeat("a", 64) + ".com":  "a domain name",
		without("s") + "; s=":              "a selector",
		without("s") + "; s=a b":           "a selector",
		without("h") + "; h=":              "names of header fields",
		without("h") + "; h=from:":         "names of header fields",
		without("h") + "; h=from:a b":      "names of header fields",
		without("h") + "; h=to:x-from":     "\"to:x-from\": want h= with From (RFC 6376 §5.4)",
		sound + "; i=a":                    "an address at example.com",
		sound + "; i=a@other.com":          "an address at example.com or below it",
		sound + "; i=@badexample.com":      "an address at example.com",
		sound + "; i=@a_b.example.com":     "an address at example.com",
		sound + "; i=@.example.com":        "an address at example.com",
		sound + "; i=@com":                 "an address at example.com",
		sound + "; i=a@example.com@":       "an address at example.com",
		sound + "; i=a=4":                  "quoted-printable",
		sound + "; i=a=+1@example.com":     "quoted-printable",
		sound + "; l=-1":                   "a number of octets",
		sound + "; l=18446744073709551616": "a number of octets",
		sound + "; q=dns":                  "dns/txt",
		sound + "; t=":                     "seconds since 1970",
		sound + "; t=+1":                   "seconds since 1970",
		sound + "; x=1234567890123":        "seconds since 1970",
		sound + "; t=9; x=9":               "\"9\": want x= with a time after that of t=",
		sound + "; x-y=1":                  "letters, digits and _",
		strings.Repeat("x", 1<<20):         "want 65535 octets at most (",
	} {
		_, err := ParseSignature(value)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "(RFC 6376 §") {
			t.Errorf("%.80q: got %v, want %q", value, err, want)
		}
	}
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if _, err := ParseSignature(without(name)); err == nil || !strings.Contains(err.Error(), "want the tag "+name+" (") {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}

// What is written in any order and with white space anywhere is read as it was meant.
func TestSignatureRoundTrip(t *testing.T) {
	label := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,4}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		domain := label.Draw(t, "label") + "." + label.Draw(t, "label")
		n := rapid.Uint64().Draw(t, "l")
		at := rapid.Int64Range(0, 999999999998).Draw(t, "t")
		want := Signature{
			Algorithm:              rapid.SampledFrom([]string{"rsa-sha256", "ed25519-sha256"}).Draw(t, "a"),
			Signature:              rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "b"),
			BodyHash:               rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "bh"),
			HeaderCanonicalization: "relaxed",
			BodyCanonicalization:   rapid.SampledFrom([]string{"simple", "relaxed"}).Draw(t, "c"),
			Domain:                 domain,
			Selector:               strings.Join(rapid.SliceOfN(label, 1, 3).Draw(t, "s"), "."),
			Headers:                append(rapid.SliceOf(rapid.StringMatching(`[!-9<-~]{1,5}`)).Draw(t, "h"), "FrOm"),
			Identity:               rapid.StringMatching(`[a-z@=;]{0,5}@([a-z]\.)?`).Draw(t, "i") + domain,
			BodyLength:             &n,
			Signed:                 time.Unix(at, 0).UTC(),
			Expires:                time.Unix(rapid.Int64Range(at+1, 999999999999).Draw(t, "x"), 0).UTC(),
		}
		fws := rapid.SampledFrom([]string{"", " ", "\r\n ", "\t\r\n\t"})
		tags := rapid.Permutation([]string{
			"v=1",
			"a=" + want.Algorithm,
			"b=" + spread(base64.StdEncoding.EncodeToString(want.Signature), fws.Draw(t, "b's")),
			"bh=" + spread(base64.StdEncoding.EncodeToString(want.BodyHash), fws.Draw(t, "bh's")),
			"c=relaxed/" + want.BodyCanonicalization,
			"d=" + want.Domain,
			"s=" + want.Selector,
			"h=" + strings.Join(want.Headers, fws.Draw(t, "before")+":"+fws.Draw(t, "behind")),
			"i=" + strings.NewReplacer("=", "=3D", ";", "=3B").Replace(want.Identity),
			fmt.Sprintf("l=%d", n),
			fmt.Sprintf("t=%d", at),
			fmt.Sprintf("x=%d", want.Expires.Unix()),
		}).Draw(t, "order")
		got, err := ParseSignature(strings.Join(tags, ";"+fws.Draw(t, "between")))
		if err != nil {
			t.Fatalf("%q: %v", tags, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// spread puts white space behind every tenth character.
func spread(s, space string) string {
	var b strings.Builder
	for i, c := range s {
		if b.WriteRune(c); i%10 == 9 {
			b.WriteString(space)
		}
	}
	return b.String()
}

func FuzzParseSignature(f *testing.F) {
	f.Add(rfc6376Signature)
	f.Fuzz(func(t *testing.T, value string) {
		_ = LintSignature(value, time.Unix(1<<31, 0)) // must not panic
		s, err := ParseSignature(value)
		if err != nil {
			return
		}
		at := strings.LastIndexByte(s.Identity, '@')
		if domain := strings.ToLower(s.Identity[at+1:]); !strings.HasSuffix("."+domain, "."+strings.ToLower(s.Domain)) {
			t.Fatalf("%q: %q is not below %q", value, s.Identity, s.Domain)
		}
		folded := strings.ReplaceAll(value, ";", "\r\n\t;\r\n ")
		if len(folded) > syntax.MaxText {
			return
		}
		again, err := ParseSignature(folded)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%q: got %+v, folded %+v (%v)", value, s, again, err)
		}
	})
}
