package mtasts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestParsePolicy(t *testing.T) {
	const none = "version: STSv1\nmode: none\nmax_age: 1\n"
	name254 := strings.Repeat(strings.Repeat("x", 62)+".", 4) + "se"
	want := Policy{Mode: Testing, MaxAge: time.Hour, MX: []string{"mx.example.com", "*.example.net"}}
	future := want
	future.Extensions = []Extension{{"future", "any thing; at=all"}}
	for body, want := range map[string]Policy{
		"version: STSv1\r\nmode: testing\r\nmx: mx.example.com\r\nmx: *.example.net\r\nmax_age: 3600\r\n":                                                want,
		"version:STSv1\nmode:testing\nmx:mx.example.com\nmx:*.example.net\nmax_age:3600":                                                                 want,
		"max_age:3600\nmx:mx.example.com\nmode:testing\nmx:*.example.net\nversion:STSv1":                                                                 want,
		"version: STSv1\nmode: testing\nmode: enforce\nmax_age: 3600 \nmax_age: 1\nfuture: any thing; at=all\n\nmx: mx.example.com\nmx: *.example.net\n": future,
		"version: STSv1\nmode: testing\nmax_age: 0000003600\nmx: mx.example.com\nmx: *.example.net":                                                      want,
		"version: STSv1\nmode: enforce\nmx: " + name254[1:] + "\nmax_age: 3600":                                                                          {Mode: Enforce, MaxAge: time.Hour, MX: []string{name254[1:]}},
		none + "x: " + strings.Repeat("y", 64<<10-len(none)-3):                                                                                           {Mode: None, MaxAge: time.Second, Extensions: []Extension{{"x", strings.Repeat("y", 64<<10-len(none)-3)}}},
	} {
		got, err := ParsePolicy(body)
		if err != nil {
			t.Errorf("%q: %v", body, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", body, diff)
		}
	}
	for body, want := range map[string]string{
		"": "a line version",
		"mode : none\nversion: STSv1\nmax_age: 1\n":                        "a key of letters",
		" mode: none\nversion: STSv1\nmax_age: 1\n":                        "a key of letters",
		"mode: none\nversion: STSv1\nmax_age: 1\n: x":                      "a key of letters",
		strings.Repeat("x: y\n", 14000):                                    "64 KiB at most",
		none + "x: " + strings.Repeat("y", 64<<10-len(none)-2):             "64 KiB at most",
		none + "x: caf\xe9\n":                                              "a key of letters",
		none + "x: a\tb\n":                                                 "a key of letters",
		"version: STSv1\nmode: none\nmax_age: 00000086400\n":               "31557600",
		"version: STSv1\nmode: enforce\nmx: " + name254 + "\nmax_age: 1\n": "a host name",
		"version: STSv2\nmode: none\nmax_age: 1\n":                         "version: STSv1",
		"version: STSv1\nmode: report\nmax_age: 1\n":                       "mode: enforce",
		"version: STSv1\nmode: none\n":                                     "a line max_age",
		"version: STSv1\nmax_age: 1\n":                                     "a line mode",
		"version: STSv1\nmode: none\nmax_age: 31557601\n":                  "31557600",
		"version: STSv1\nmode: none\nmax_age: -1\n":                        "31557600",
		"version: STSv1\nmode: enforce\nmax_age: 1\n":                      "a line mx",
		"version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n":             "a host name",
		"version: STSv1\nmode: enforce\nmx: *.*.x.se\nmax_age: 1\n":        "a host name",
		"<html>\n<body>not found</body></html>":                            "key: value",
	} {
		_, err := ParsePolicy(body)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "RFC 8461 §3.2") {
			t.Errorf("%q: got %v, want %q", body, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Policy{Mode: Enforce, MaxAge: time.Hour, MX: []string{"mx.example.com"}}
	longest := good
	longest.Extensions = []Extension{{"x", "ä b"}, {"y", ""}}
	longest.Extensions[1].Value = strings.Repeat("y", 64<<10-len(longest.String()))
	for _, p := range []Policy{good, longest} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		if _, err := ParsePolicy(p.String()); err != nil {
			t.Error(err)
		}
	}
	for name, change := range map[string]func(*Policy){
		"mode":     func(p *Policy) { p.Mode = "strict" },
		"no mx":    func(p *Policy) { p.MX = nil },
		"bad mx":   func(p *Policy) { p.MX = []string{"mx.example.com."} },
		"too long": func(p *Policy) { p.MaxAge = MaxMaxAge + time.Second },
		"negative": func(p *Policy) { p.MaxAge = -time.Second },
		"a line":   func(p *Policy) { p.Extensions = []Extension{{"x\r\nmode", "none"}} },
		"no value": func(p *Policy) { p.Extensions = []Extension{{"x", ""}} },
		"a space":  func(p *Policy) { p.Extensions = []Extension{{"x", "y "}} },
		"no text":  func(p *Policy) { p.Extensions = []Extension{{"x", "\xff"}} },
		"reserved": func(p *Policy) { p.Extensions = []Extension{{"mode", "none"}} },
		"as mx":    func(p *Policy) { p.Extensions = []Extension{{"mx", "a.se"}} },
		"too big":  func(p *Policy) { *p = longest; p.MX = []string{"mxx.example.com"} },
		"fraction": func(p *Policy) { p.MaxAge = time.Millisecond },
	} {
		p := good
		if change(&p); p.Validate() == nil {
			t.Errorf("%s: %+v is not valid", name, p)
		}
	}
}

func TestCovers(t *testing.T) {
	p := Policy{MX: []string{"mx1.example.com", "*.Example.NET"}}
	for host, want := range map[string]bool{
		"mx1.example.com": true, "MX1.example.com.": true, "mx2.example.com": false,
		"a.example.net": true, "example.net": false, "a.b.example.net": false, ".example.net": false, "": false, "com": false,
	} {
		if p.Covers(host) != want {
			t.Errorf("%q: got %v", host, !want)
		}
	}
}

func TestRecord(t *testing.T) {
	r, err := ParseRecord("v=STSv1; id=20160831085700Z; x=y;")
	if err != nil || r.ID != "20160831085700Z" || r.String() != "v=STSv1; id=20160831085700Z; x=y" {
		t.Errorf("got %v, %v", r, err)
	}
	for text, want := range map[string]string{
		"v=STSv2; id=1":                          "v=STSv1 and a semicolon first",
		"v=STSv1":                                "v=STSv1 and a semicolon first",
		" v=STSv1; id=1":                         "v=STSv1 and a semicolon first",
		"v = STSv1; id=1":                        "v=STSv1 and a semicolon first",
		"v=STSv1\n; id=1":                        "v=STSv1 and a semicolon first",
		"V=STSv1; id=1":                          "v=STSv1 and a semicolon first",
		"v=STSv1;":                               "the tag id",
		"v=STSv1; ID=1":                          "the tag id",
		"v=STSv1; id =1":                         "name=value",
		"v=STSv1; id= 1":                         "name=value",
		"v=STSv1; id=1\n":                        "1 to 32",
		"v=STSv1; id=":                           "1 to 32",
		"v=STSv1; id=a-b":                        "1 to 32",
		"v=STSv1; id=" + strings.Repeat("a", 33): "1 to 32",
		"v=STSv1; id=1; id=2":                    "only once",
	} {
		if _, err := ParseRecord(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	for other, same := range map[string]bool{
		"v=STSv1;id=1;": true, "v=STSv1 ; \tid=1 ;": true, "v=STSv1; x=y; id=1": true,
		"v=STSv1; id=2": false, " v=STSv1; id=1": false, "v = STSv1; id=1": false, "v=STSv1; id = 1": false, "v=STSv1\n; id=1": false,
	} {
		if Same("v=STSv1; id=1", other) != same {
			t.Errorf("Same of %q: got %v", other, !same)
		}
	}
	if Same("v=STSv1;", "v=STSv1; ") {
		t.Error("a broken record is like no other")
	}
}

func policy() *rapid.Generator[Policy] {
	return rapid.Custom(func(t *rapid.T) Policy {
		return Policy{
			Mode:   rapid.SampledFrom([]Mode{Enforce, Testing}).Draw(t, "mode"),
			MaxAge: time.Duration(rapid.Int64Range(0, 31557600).Draw(t, "max_age")) * time.Second,
			MX:     rapid.SliceOfN(rapid.StringMatching(`(\*\.)?[a-z0-9]{1,6}(\.[a-z0-9]{1,6}){1,2}`), 1, 3).Draw(t, "mx"),
		}
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy().Draw(t, "policy")
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{p.String(), strings.ReplaceAll(p.String(), "\r\n", "\n")} {
			got, err := ParsePolicy(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		}
		r, err := ParseRecord(Record{ID: p.ID()}.String())
		if err != nil || r.ID != p.ID() {
			t.Fatalf("got %v, %v", r, err)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add("version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmax_age: 604800\r\n")
	f.Add("version: STSv1\nmode: none\nmax_age: 0\n")
	f.Fuzz(func(t *testing.T, body string) {
		p, err := ParsePolicy(body)
		if err != nil {
			return
		}
		if len(p.String()) > MaxPolicy {
			return // CRLF and the space behind the colon have made it longer
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := ParsePolicy(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%.500q became %.500q (%v)", body, p, err)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1; id=1; x=y")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		if again, err := ParseRecord(r.String()); err != nil || again.String() != r.String() || !Same(text, r.String()) {
			t.Fatalf("%q became %q (%v)", text, r, err)
		}
	})
}
