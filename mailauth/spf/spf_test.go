package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

func TestParseKeepsTheUsersText(t *testing.T) {
	for _, text := range []string{
		"v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all",
		"v=spf1 -all",
		"v=spf1",
		"v=spf1 a:mail.example.com/24//64 mx//96 ptr:example.com exists:%{ir}.%{v}._spf.%{d2} ?all",
		"v=spf1 ip6:2001:DB8::/32 ~include:Example.COM redirect=_spf.example.com exp=why.%{d} tag=value",
	} {
		r, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if r.String() != text {
			t.Errorf("%q became %q", text, r.String())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"v=spf10 -all":                   "v=spf1 first",
		"v=spf1 ip4:192.0.2.256":         "IPv4",
		"v=spf1 ip4:192.0.2.0/33":        "IPv4",
		"v=spf1 ip4:192.0.2.0/08":        "IPv4",
		"v=spf1 ip4:2001:db8::1":         "IPv4",
		"v=spf1 ip6:192.0.2.1":           "IPv6",
		"v=spf1 include -all":            "domain name",
		"v=spf1 include: -all":           "domain name",
		"v=spf1 include:example -all":    "domain name",
		"v=spf1 include:exa%mple.com":    "domain name",
		"v=spf1 a:example.com/33":        "domain name",
		"v=spf1 mx:/24":                  "domain name",
		"v=spf1 all:example.com":         "nothing behind all",
		"v=spf1 redirect=a.b redirect=c": "only once",
		"v=spf1 exp=%{z}.example.com":    "macros",
		"v=spf1 exists:%{d0}.example.se": "domain name",
		"v=spf1 ipv4:192.0.2.1":          "one of all",
		"v=spf1 -":                       "one of all",
		"v=spf1\tmx":                     "v=spf1 first",
	} {
		_, err := Parse(text)
		var syntaxError *SyntaxError
		if !errors.As(err, &syntaxError) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "RFC 7208 §") {
			t.Errorf("%q: got %v, want an error that says %q", text, err, want)
		}
	}
}

func TestIsRecord(t *testing.T) {
	for text, want := range map[string]bool{
		"v=spf1": true, "v=spf1 -all": true, "V=SPF1 broken": true,
		"v=spf10": false, "v=spf1;": false, "v=spf2.0/pra": false, "": false, " v=spf1": false,
	} {
		if IsRecord(text) != want {
			t.Errorf("%q: got %v", text, !want)
		}
	}
}

func TestSame(t *testing.T) {
	same := [][2]string{
		{"v=spf1 mx -all", "V=spf1  +MX  -ALL "},
		{"v=spf1 ip4:192.0.2.7/24 -all", "v=spf1 ip4:192.0.2.0/24 -all"},
		{"v=spf1 ip4:192.0.2.7 -all", "v=spf1 ip4:192.0.2.7/32 -all"},
		{"v=spf1 ip6:2001:DB8::/32", "v=spf1 ip6:2001:db8:0::/32"},
		{"v=spf1 a:Example.com/32", "v=spf1 a:example.com."},
		{"v=spf1 mx unknown=x", "v=spf1 mx"},
		{"v=spf1 mx ra=postmaster", "v=spf1 mx RA=postmaster"},
		{"v=spf1 a:example.com//128", "v=spf1 a:example.com"},
		{"v=spf1 broken!", "v=spf1 broken!"},
	}
	for _, pair := range same {
		if !Same(pair[0], pair[1]) {
			t.Errorf("%q and %q mean the same", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"v=spf1 mx -all", "v=spf1 mx ~all"},
		{"v=spf1 a mx -all", "v=spf1 mx a -all"},
		{"v=spf1 exists:%{S}.example.com", "v=spf1 exists:%{s}.example.com"},
		{"v=spf1 broken!", "v=spf1"},
		{"v=spf1 mx/24", "v=spf1 mx//24"},
		{"v=spf1 mx", "v=spf1 mx redirect=example.com"},
		{"v=spf1 mx", "v=spf1 mx exp=why.example.com"},
		{"v=spf1 mx", "v=spf1 mx ra=postmaster"},
		{"v=spf1 mx rp=1", "v=spf1 mx rp=100"},
		{"v=spf1 mx rr=all", "v=spf1 mx rr=e"},
		{"v=spf1 ip4:192.0.2.0/24", "v=spf1 ip4:192.0.2.0/25"},
	} {
		if Same(pair[0], pair[1]) {
			t.Errorf("%q and %q mean different things", pair[0], pair[1])
		}
	}
}

// zone answers like DNS: texts, MX hosts and addresses by name; "!" is a server that fails.
type zone struct {
	txt map[string][]string
	mx  map[string]int
	a   map[string]bool
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}
func failing(name string) error {
	return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if texts := z.txt[plain(name)]; len(texts) > 0 {
		if texts[0] == "!" {
			return nil, failing(name)
		}
		return texts, nil
	}
	return nil, notFound(name)
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	name = plain(name)
	if z.mx[name] == 0 {
		return nil, notFound(name)
	}
	return slices.Repeat([]*net.MX{{Host: name + "."}}, z.mx[name]), nil
}

func (z zone) LookupNetIP(_ context.Context, network, name string) ([]netip.Addr, error) {
	if !z.a[plain(name)] || network != "ip4" {
		return nil, notFound(name)
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})}, nil
}

// plain checks that the name comes with its dot, and takes it off.
func plain(name string) string {
	if !strings.HasSuffix(name, ".") {
		panic("asked for " + name + " without a dot at its end: a search list would apply")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, notFound(addr)
}

func TestAnalyze(t *testing.T) {
	world := zone{
		txt: map[string][]string{
			"smarter.se":   {"other", "v=spf1 ip4:198.51.100.0/24 -all"},
			"deep.example": {"v=spf1 include:smarter.se mx a -all"},
			"loop.example": {"v=spf1 include:example.com -all"},
			"two.example":  {"v=spf1 -all", "v=spf1 ~all"},
			"sick.example": {"v=spf1 ipv4:1 -all"},
			"fail.example": {"!"},
			"text.example": {"no SPF here"},
			"self.example": {"v=spf1 redirect=self.example"},
			"case.example": {"v=spf1 include:CASE.Example -all"},
		},
		mx: map[string]int{"example.com": 1, "many.example": 11, "just.example": 10, "deep.example": 1},
		a:  map[string]bool{"deep.example": true},
	}
	for n := range 12 {
		world.txt[fmt.Sprintf("i%d.example", n)] = []string{fmt.Sprintf("v=spf1 include:i%d.example ?all", n+1)}
	}
	tests := map[string]struct {
		record         string
		lookups, voids int
		perm, temp     string
	}{
		"the talk's record":      {"v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all", 2, 0, "", ""},
		"nested":                 {"v=spf1 include:deep.example -all", 4, 1, "", ""},
		"macros cost":            {"v=spf1 exists:%{i}.example.com include:%{d}.example.org ptr -all", 3, 0, "", ""},
		"behind all":             {"v=spf1 -all include:no.example redirect=no.example", 0, 0, "", ""},
		"no record there":        {"v=spf1 include:text.example -all", 1, 0, "has no SPF record", ""},
		"no such domain":         {"v=spf1 include:no.example -all", 1, 1, "has no SPF record", ""},
		"redirect to none":       {"v=spf1 redirect=no.example", 1, 1, "has no SPF record", ""},
		"two records":            {"v=spf1 include:two.example -all", 1, 0, "has 2 SPF records", ""},
		"broken record":          {"v=spf1 include:sick.example -all", 1, 0, "is broken", ""},
		"a circle":               {"v=spf1 include:loop.example -all", 2, 0, "circle", ""},
		"a circle by redirect":   {"v=spf1 redirect=self.example", 2, 0, "circle", ""},
		"three voids":            {"v=spf1 a:x.example a:y.example mx:z.example -all", 3, 3, "3 of the names", ""},
		"two voids":              {"v=spf1 a:x.example mx:z.example -all", 2, 2, "", ""},
		"a circle, capitals":     {"v=spf1 include:Case.example. -all", 2, 0, "circle", ""},
		"dots at the end":        {"v=spf1 a:deep.example. mx:deep.example. include:smarter.se. redirect=smarter.se.", 4, 1, "", ""},
		"a circle, dot at end":   {"v=spf1 include:self.example. -all", 2, 0, "circle", ""},
		"just so many MX hosts":  {"v=spf1 mx:just.example -all", 1, 0, "", ""},
		"too many MX hosts":      {"v=spf1 mx:many.example -all", 1, 0, "11 MX hosts", ""},
		"no answer":              {"v=spf1 include:fail.example -all", 1, 0, "", "TXT of fail.example"},
		"eleven lookups":         {"v=spf1 include:i1.example a:deep.example -all", 13, 2, "13 of 10 lookups: include:i1.example (12), a:deep.example (1)", ""},
		"ten lookups, just good": {"v=spf1" + strings.Repeat(" mx", 10) + " -all", 10, 0, "", ""},
		"one more":               {"v=spf1" + strings.Repeat(" mx", 11) + " -all", 11, 0, "11 of 10 lookups", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Parse(test.record)
			if err != nil {
				t.Fatal(err)
			}
			report := Analyze(t.Context(), world, "example.com", r)
			if report.Lookups != test.lookups || report.Voids != test.voids {
				t.Errorf("got %d lookups and %d voids, want %d and %d", report.Lookups, report.Voids, test.lookups, test.voids)
			}
			if got := texts(report.Errors()); !strings.Contains(got, test.perm) || test.perm == "" && got != "" {
				t.Errorf("permanent errors: got %q, want one with %q", got, test.perm)
			}
			if got := strings.Join(report.Unanswered, "\n"); !strings.Contains(got, test.temp) || test.temp == "" && got != "" {
				t.Errorf("temporary errors: got %q, want one with %q", got, test.temp)
			}
		})
	}
}

// Beyond some number of networks that do not pass it is not said any more which they are.
func TestAnalyzeComparesNotWithoutEnd(t *testing.T) {
	for n, want := range map[int]bool{maxCompared: false, maxCompared + 1: true} {
		r := Record{Mechanisms: []Mechanism{{Name: IP4, Value: "10.255.255.255"}}}
		for i := range n {
			r.Mechanisms = append(r.Mechanisms, Mechanism{Result: Fail, Name: IP4, Value: fmt.Sprintf("10.0.%d.%d", i/250, i%250)})
		}
		if a := Analyze(t.Context(), zone{}, "example.com", r); a.Partial != want || len(a.Networks) != 1 {
			t.Errorf("%d: partial %v, %v", n, a.Partial, a.Networks)
		}
		r.Mechanisms = append(r.Mechanisms, Mechanism{Result: Fail, Name: IP4, Value: "10.0.0.0"})
		found := texts(lintTerms(r))
		if strings.Contains(found, "SPF-NETWORK-TWICE") {
			t.Errorf("%d: %s", n, found)
		}
	}
	r := Record{Mechanisms: []Mechanism{{Name: IP4, Value: "10.0.0.0"}}}
	for i := range maxCompared - 2 {
		r.Mechanisms = append(r.Mechanisms, Mechanism{Name: IP4, Value: fmt.Sprintf("10.1.%d.%d", i/250, i%250)})
	}
	r.Mechanisms = append(r.Mechanisms, r.Mechanisms[0])
	if found := texts(lintTerms(r)); !strings.Contains(found, "SPF-NETWORK-TWICE") {
		t.Error(found)
	}
}

func texts(findings []lint.Finding) string {
	var list []string
	for _, f := range findings {
		list = append(list, f.String())
	}
	return strings.Join(list, "\n")
}

func TestAnalyzeIsBounded(t *testing.T) {
	// Each record includes two others, of which each does the same.
	world := zone{txt: map[string][]string{}}
	for i := range 3000 {
		world.txt[fmt.Sprintf("n%d.example", i)] = []string{fmt.Sprintf("v=spf1 include:n%d.example include:n%d.example -all", 2*i+1, 2*i+2)}
	}
	r, _ := Parse("v=spf1 include:n0.example -all")
	report := Analyze(t.Context(), world, "example.com", r)
	if report.Lookups != walkLimit || report.OK() {
		t.Errorf("got %d lookups, ok %v", report.Lookups, report.OK())
	}
	if want := fmt.Sprintf("include:n0.example (%d)", walkLimit); report.Costs() != want || !strings.Contains(texts(report.Errors()), "at least 40 of 10 lookups: "+want) {
		t.Errorf("got %s, want %s\n%v", report.Costs(), want, report.Findings)
	}
}

// term draws any valid term.
func term() *rapid.Generator[string] {
	domain := rapid.StringMatching(`([a-z0-9_]{1,8}\.){1,3}(com|se|xn--p1ai)`)
	spec := rapid.OneOf(domain, rapid.StringMatching(`%\{[slodiphv][1-9]?r?[.\-+,/_=]{0,2}\}(\.[a-z]{2,5})?`))
	bits := rapid.SampledFrom([]string{"", "/0", "/24", "/32", "//0", "//128", "/16//64"})
	qualifier := rapid.SampledFrom([]string{"", "-", "~", "?"})
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			return qualifier.Draw(t, "q") + "all"
		case 1:
			return qualifier.Draw(t, "q") + rapid.SampledFrom([]string{"include:", "exists:", "ptr:"}).Draw(t, "m") + spec.Draw(t, "d")
		case 2:
			return qualifier.Draw(t, "q") + rapid.SampledFrom([]string{"a", "mx"}).Draw(t, "m") + bits.Draw(t, "bits")
		case 3:
			return qualifier.Draw(t, "q") + rapid.SampledFrom([]string{"a:", "mx:"}).Draw(t, "m") + spec.Draw(t, "d") + bits.Draw(t, "bits")
		case 4:
			return qualifier.Draw(t, "q") + rapid.StringMatching(`ip4:(25[0-5]|1?[1-9]?[0-9])\.[1-9]\.[1-9]\.0(/(3[0-2]|[12]?[0-9]))?`).Draw(t, "ip4")
		case 5:
			return qualifier.Draw(t, "q") + rapid.StringMatching(`ip6:[0-9A-Fa-f]{1,4}::[1-9a-f](/(12[0-8]|[1-9]?[0-9]))?`).Draw(t, "ip6")
		default:
			return rapid.StringMatching(`[xyz][a-z0-9_.-]{0,5}=[a-z0-9:/=.]{0,9}`).Draw(t, "modifier")
		}
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(append([]string{"v=spf1"}, rapid.SliceOf(term()).Draw(t, "terms")...), " ")
		r, err := Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := Parse(r.String())
		if err != nil {
			t.Fatalf("%q, from %q: %v", r.String(), text, err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatal(diff)
		}
		if !Same(text, r.String()) {
			t.Fatalf("%q and %q are not the same", text, r.String())
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all", "v=spf1 a:%{d}/24//64 redirect=%{d2}.x.se", "v=spf1 exists:%{ir/}.x", "v=spf1  =", "v=spf1 a//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, r.String(), err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatal(diff)
		}
		if !Same(text, r.String()) || !Same(r.String(), text) {
			t.Fatalf("%q and %q are not the same", text, r.String())
		}
	})
}
