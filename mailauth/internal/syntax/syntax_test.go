package syntax

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/mailauth"
)

var (
	plain   = Format{Record: "record", Ref: "RFC 1", Version: "X1", FoldNames: true}
	folded  = Format{Version: "X1", Folded: true}
	literal = Format{Version: "X1", Literal: true, Repeats: "r"}
)

func TestIs(t *testing.T) {
	for text, want := range map[string][3]bool{ // plain, folded, literal
		"v=X1": {true, true, false}, "v=X1;": {true, true, true}, "v=X1 \t; a=b": {true, true, true}, "v = X1;": {true, true, false},
		" v=X1;": {false, true, false}, "\tv=X1;": {false, true, false}, "v=X1\n;": {false, true, false}, "V=X1;": {true, false, false},
		"v=x1;": {}, "v=X10;": {}, "v=X1 x;": {}, "a=b; v=X1": {}, "v": {}, "": {}, "\n": {},
	} {
		if got := [3]bool{plain.Is(text), folded.Is(text), literal.Is(text)}; got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		format Format
		text   string
		want   string // the tags with their offsets, or where the error is and what is wanted
	}{
		{plain, "v=X1; A = b ;c=", "v=X1@2 a=b@10 c=@15"},
		{plain, "v=X1;a=b ; ", "v=X1@2 a=b@7"},
		{plain, "v=X1; a=b\n", "v=X1@2 a=b\n@8"},
		{folded, "v=X1;\r\n A =\r\n b c\r\n", "v=X1@2 A=b c@14"},
		{literal, "v=X1; r=1; r=2", "v=X1@2 r=1@8 r=2@13"},
		{literal, "v=X1; a =b", "5: name=value"},
		{literal, "v=X1; a= b", "5: name=value"},
		{plain, "v=X1; a=b; A=c", "10: the tag a only once"},
		{folded, "v=X1; a=b; A=c", "v=X1@2 a=b@8 A=c@13"},
		{plain, "v=X1;\na=b", "5: name=value"},
		{plain, "v=X1; ; a=b", "5: a tag between the semicolons"},
		{plain, "v=X1; a=b;;", "10: a tag between the semicolons"},
		{plain, "", "0: a tag between the semicolons"},
		{plain, "v=X1; -a=b", "5: name=value"},
		{plain, "v=X1; a", "5: name=value"},
		{plain, "v=X1; a=" + strings.Repeat("x", 65535-8), "v=X1@2 a=" + strings.Repeat("x", 65535-8) + "@8"},
		{plain, "v=X1; a=" + strings.Repeat("x", 65536-8), "65535: 65535 octets at most, as in any TXT record"},
		// Of many tags one that stands twice is found, wherever it is.
		{plain, many(20), many(20, "@")},
		{plain, many(20) + ";x0=b", "90: the tag x0 only once"},
		{plain, many(20) + ";x14=b", "90: the tag x14 only once"},
		{plain, many(20) + ";x15=b", "90: the tag x15 only once"},
		{plain, many(20) + ";x16=b", "90: the tag x16 only once"},
		{plain, many(20) + ";x19=b", "90: the tag x19 only once"},
	} {
		tags, err := test.format.Parse(test.text)
		got := show(tags)
		if at, ok := errors.AsType[*mailauth.SyntaxError](err); ok {
			got = fmt.Sprintf("%d: %s", at.Offset, at.Want)
		}
		if got != test.want {
			t.Errorf("%.80q: %s", test.text, cmp.Diff(test.want, got))
		}
	}
}

// many are n tags of three octets and more, or what show makes of them.
func many(n int, shown ...string) string {
	var tags []string
	offset := 0
	for i := range n {
		name := fmt.Sprintf("x%d=", i)
		offset += len(name)
		if len(shown) > 0 {
			tags = append(tags, fmt.Sprintf("%s@%d", name, offset))
		} else {
			tags = append(tags, name)
		}
		offset++
	}
	if len(shown) > 0 {
		return strings.Join(tags, " ")
	}
	return strings.Join(tags, ";")
}

func show(tags []Tag) string {
	var list []string
	for _, tag := range tags {
		list = append(list, fmt.Sprintf("%s=%s@%d", tag.Name, tag.Value, tag.Offset))
	}
	return strings.Join(list, " ")
}

func TestTolerate(t *testing.T) {
	if got, want := show(plain.Tolerate("v=X1;;a; =b; c= d;-=e;c=f ")), "v=X1@2 c=d@16 c=f@24"; got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestList(t *testing.T) {
	if diff := cmp.Diff([]string{"a", "b\n", "", "c"}, plain.List(" a,b\n,\t,c ", ",")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b", ""}, folded.List("a:\r\n b:", ":")); diff != "" {
		t.Error(diff)
	}
}

func TestIsURI(t *testing.T) {
	for uri, want := range map[string]bool{
		"mailto:a@x.se": true, "MAILTO:a@x.se?subject=x": true, "https://x.se": true, "http://x.se/%21": true, "x-y.z+1:q": true, "mailto:a@x.se!10m": true,
		"mailto:a@x.se,": false, "https://x.se/a,b": false, "https://x.se/;": false, "https://x.se/ ": false, "https://x.se/\x7f": false, "https://x.se/é": false,
		"mailto:": false, ":a@x.se": false, "a@x.se": false, "1a:b": false, "a_b:c": false, "mailto:foo": false, "mailto:@x.se": false, "https:x": false, "https:///x": false,
	} {
		if IsURI(uri) != want {
			t.Errorf("%q: got %v", uri, !want)
		}
	}
}

func TestIsExtension(t *testing.T) {
	name32 := "a" + strings.Repeat(".", 31)
	for tag, want := range map[Tag]bool{
		{Name: "a", Value: "b"}: true, {Name: "0_-.", Value: "!:<>~"}: true, {Name: name32, Value: "b"}: true,
		{Name: name32 + ".", Value: "b"}: false, {Name: "_a", Value: "b"}: false, {Name: "-a", Value: "b"}: false, {Name: ".a", Value: "b"}: false, {Value: "b"}: false,
		{Name: "a"}: false, {Name: "a", Value: "b c"}: false, {Name: "a", Value: "b=c"}: false, {Name: "a", Value: "b;c"}: false, {Name: "a", Value: "\x7f"}: false, {Name: "a%", Value: "b"}: false,
	} {
		if IsExtension(tag) != want {
			t.Errorf("%+v: got %v", tag, !want)
		}
	}
}
