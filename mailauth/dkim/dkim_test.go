package dkim

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// The Ed25519 key of RFC 8463, appendix A.2.
const rfc8463Key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

func ExampleRevoked() {
	fmt.Println(Revoked(RSA))
	// Output: v=DKIM1; k=rsa; p=
}

func TestRecordOfAKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRecord(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.String(), "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A") {
		t.Errorf("got %s", r)
	}
	if public, err := r.Public(); err != nil || !rsaKey.PublicKey.Equal(public) {
		t.Errorf("got %v, %v", public, err)
	}
	r, err = NewRecord(edKey)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := r.Public(); err != nil || !edKey.Equal(public) {
		t.Errorf("got %v, %v", public, err)
	}
	if _, err := NewRecord("a string"); err == nil {
		t.Error("a string is no key")
	}
}

func TestPublic(t *testing.T) {
	r, err := Parse("v=DKIM1; k=ed25519; p=" + rfc8463Key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := r.Public()
	if key, ok := public.(ed25519.PublicKey); err != nil || !ok || base64.StdEncoding.EncodeToString(key) != rfc8463Key {
		t.Errorf("got %v, %v", public, err)
	}
	for _, text := range []string{"v=DKIM1; p=", "v=DKIM1; k=ed25519; p=AAAA", "v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; k=mldsa; p=AAAA"} {
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if public, err := r.Public(); err == nil {
			t.Errorf("%s gave %v", text, public)
		}
	}
}

func TestParse(t *testing.T) {
	tests := map[string]Record{
		"v=DKIM1; k=rsa; p=AAAA":                  {KeyType: RSA, PublicKey: []byte{0, 0, 0}},
		"p=AA\r\n AA ;":                           {KeyType: RSA, PublicKey: []byte{0, 0, 0}},
		"v=DKIM1; p=":                             {KeyType: RSA},
		"v = DKIM1; h=sha256; s=email; t=y:s; p=": {KeyType: RSA, Hashes: []string{"sha256"}, Services: []string{"email"}, Flags: []string{"y", "s"}},
		"k=ed25519; n=a note; g=*; p=":            {KeyType: Ed25519, Notes: "a note", Extensions: []Extension{{"g", "*"}}},
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
		"v=DKIM1; k=rsa":         "the tag p",
		"v=DKIM1; p=%%%":         "base64",
		"k=rsa; v=DKIM1; p=AAAA": "first tag",
		"v=DKIM2; p=AAAA":        "first tag",
		"v=DKIM1; p=AAAA; p=":    "only once",
		"v=DKIM1; ; p=AAAA":      "between the semicolons",
		"hello":                  "name=value",
		"":                       "a tag",
	} {
		_, err := Parse(text)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestIsRecord(t *testing.T) {
	for text, want := range map[string]bool{
		"v=DKIM1": true, "v=DKIM1; k=": true, "k=rsa; p=": true, "p=x": true,
		"v=spf1 -all": false, "some text; sp=none": false, "": false,
	} {
		if IsRecord(text) != want {
			t.Errorf("%q: got %v", text, !want)
		}
	}
}

func TestSame(t *testing.T) {
	for _, pair := range [][2]string{
		{"v=DKIM1; k=rsa; p=AAAA", "p=AA AA"},
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
	words := rapid.SliceOfN(rapid.StringMatching(`[a-z0-9]{1,6}`), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			KeyType:   rapid.SampledFrom([]string{RSA, Ed25519, "other"}).Draw(t, "k"),
			PublicKey: rapid.SliceOf(rapid.Byte()).Draw(t, "p"),
			Hashes:    words.Draw(t, "h"),
			Services:  words.Draw(t, "s"),
			Flags:     words.Draw(t, "t"),
			Notes:     rapid.StringMatching(`([!-:<-~]([ -:<-~]*[!-:<-~])?)?`).Draw(t, "n"),
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
	for _, seed := range []string{"v=DKIM1; k=rsa; p=AAAA", "k=ed25519; p=" + rfc8463Key, "v=DKIM1; h=sha256:sha1; t=y; n=x; q=1; p="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if !Same(text, r.String()) {
			t.Fatalf("%q and %q are not the same", text, r)
		}
		again, err := Parse(r.String())
		if err != nil || again.String() != r.String() || !slices.Equal(again.PublicKey, r.PublicKey) {
			t.Fatalf("%q became %q, then %q (%v)", text, r, again, err)
		}
		_, _ = r.Public() // must not panic
	})
}
