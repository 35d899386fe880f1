package spf

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

var lintWorld = zone{
	txt: map[string][]string{
		"smarter.se":    {"v=spf1 ip4:198.51.100.0/24 -all"},
		"eight.example": {"v=spf1" + strings.Repeat(" a:host.example", 7) + " -all"},
		"two.example":   {"v=spf1 -all", "v=spf1 ~all"},
		"sick.example":  {"v=spf1 ipv4:1 -all"},
		"loop.example":  {"v=spf1 include:loop.example -all"},
		"why.example":   {"one", "two"},
		"latin.example": {"warum nicht? höflich"},
		"good.example":  {"see https://example.com/?%{i}"},
	},
	mx: map[string]int{"many.example": 11, "example.com": 1},
	a:  map[string]bool{"host.example": true, "example.com": true},
}

// Every rule is broken by a case, and a sound record by none.
func TestLint(t *testing.T) {
	broken := map[string]bool{}
	for _, test := range []struct {
		codes  string
		texts  []string
		parked bool
	}{
		{"", []string{"v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all", "a site's token"}, false},
		{"", []string{"v=spf1 -all"}, true},
		{"", []string{"v=spf1 mx exp=good.example -all"}, false},
		{"SPF-MISSING", []string{"a site's token"}, false},
		{"SPF-MISSING", nil, false},
		{"SPF-MULTIPLE", []string{"v=spf1 -all", "V=SPF1 mx -all"}, false},
		{"SPF-VERSION SPF-MISSING", []string{" v=spf1 -all"}, false},
		{"SPF-VERSION", []string{"v=spf10 -all", "v=spf1 -all"}, false},
		{"SPF-SENDER-ID", []string{"spf2.0/pra -all", "v=spf1 -all"}, false},
		{"SPF-SYNTAX", []string{"v=spf1 ipv4:192.0.2.1 -all"}, false},
		{"SPF-PASS-ALL", []string{"v=spf1 +all"}, false},
		{"SPF-DUPLICATE-ALL", []string{"v=spf1 ~all -all"}, false},
		{"SPF-AFTER-ALL", []string{"v=spf1 -all mx"}, false},
		{"SPF-NO-ALL", []string{"v=spf1 mx"}, false},
		{"SPF-NEUTRAL-ALL", []string{"v=spf1 mx ?all"}, false},
		{"SPF-REDIRECT-WITH-ALL", []string{"v=spf1 -all redirect=smarter.se"}, false},
		{"SPF-PTR", []string{"v=spf1 ptr -all"}, false},
		{"SPF-INCLUDE-TWICE", []string{"v=spf1 include:smarter.se include:Smarter.SE. -all"}, false},
		{"SPF-NETWORK-TWICE", []string{"v=spf1 ip4:192.0.2.0/24 ip4:192.0.2.128/25 -all"}, false},
		{"SPF-NETWORK-WIDE", []string{"v=spf1 ip4:192.0.0.0/15 -all"}, false},
		{"SPF-NETWORK-WIDE", []string{"v=spf1 ip6:2001::/31 -all"}, false},
		{"", []string{"v=spf1 ip4:192.0.0.0/16 ip6:2001:db8::/32 -ip4:0.0.0.0/0 -all"}, false},
		{"SPF-SIZE", []string{"v=spf1 -all", strings.Repeat("x", 430)}, false},
		{"SPF-SIZE-UDP", []string{"v=spf1 -all", strings.Repeat("x", 500)}, false},
		{"SPF-PARKED", []string{"v=spf1 mx -all"}, true},
		{"SPF-UNKNOWN-MODIFIER", []string{"v=spf1 mx -all tag=value"}, false},
		{"SPF-LOOKUPS-EXCEEDED", []string{"v=spf1" + strings.Repeat(" mx", 11) + " -all"}, false},
		{"SPF-LOOKUPS-HIGH", []string{"v=spf1 include:eight.example -all"}, false},
		{"SPF-VOIDS-EXCEEDED", []string{"v=spf1 a:x.example a:y.example a:z.example -all"}, false},
		{"SPF-VOID", []string{"v=spf1 a:x.example -all"}, false},
		{"SPF-MX-HOSTS-EXCEEDED", []string{"v=spf1 mx:many.example -all"}, false},
		{"SPF-INCLUDE-NONE SPF-VOID", []string{"v=spf1 include:no.example -all"}, false},
		{"SPF-INCLUDE-MULTIPLE", []string{"v=spf1 include:two.example -all"}, false},
		{"SPF-INCLUDE-SYNTAX", []string{"v=spf1 include:sick.example -all"}, false},
		{"SPF-LOOP", []string{"v=spf1 include:loop.example -all"}, false},
		{"SPF-EXP", []string{"v=spf1 -all exp=why.example"}, false},
		{"SPF-EXP", []string{"v=spf1 -all exp=latin.example"}, false},
		{"SPF-MACRO", []string{"v=spf1 exists:%{i}.example.com -all"}, false},
	} {
		s := Subject{Domain: "example.com", Texts: test.texts, SendsNoMail: test.parked}
		for _, text := range test.texts {
			if record, err := Parse(text); err == nil && s.Analysis == nil {
				a := Analyze(t.Context(), lintWorld, "example.com", record)
				s.Analysis = &a
			}
		}
		var codes []string
		for _, f := range Lint(s) {
			codes = append(codes, f.Code)
			broken[f.Code] = true
			if f.Message == "" || f.Mend == "" || f.Source == "" {
				t.Errorf("%q: %+v", test.texts, f)
			}
		}
		if got := strings.Join(slices.Compact(codes), " "); got != test.codes {
			t.Errorf("%q: got %s, want %s", test.texts, got, test.codes)
		}
	}
	for _, r := range Rules() {
		if !broken[r.Code] {
			t.Errorf("%s: no case breaks it", r.Code)
		}
	}
}

// The tree of costs, and the networks that pass.
func TestAnalysis(t *testing.T) {
	world := zone{
		txt: map[string][]string{
			"a.example": {"v=spf1 ip4:198.51.100.0/25 -ip4:198.51.100.128/25 include:b.example ip4:198.51.100.128/25 ?all"},
			"b.example": {"v=spf1 ip6:2001:db8::/32 ?ip4:203.0.113.0/24 +all"},
			"c.example": {"v=spf1 ip4:203.0.113.7 -all"},
			"d.example": {"v=spf1 ~include:c.example -all"},
		},
		mx: map[string]int{"example.com": 1},
		a:  map[string]bool{"example.com": true},
	}
	for text, want := range map[string]struct {
		costs    string
		networks []string
		partial  bool
	}{
		"v=spf1 ip4:192.0.2.0/24 ip4:192.0.2.7 mx -all": {"mx (1)", []string{"192.0.2.0/24"}, false},
		"v=spf1 a/25 redirect=c.example":                {"a/25 (1), redirect=c.example (1)", []string{"192.0.2.0/25", "203.0.113.7/32"}, false},
		"v=spf1 ~ip4:203.0.113.0/24 include:c.example":  {"include:c.example (1)", nil, false},
		"v=spf1 -ip4:192.0.2.9 ip4:192.0.2.0/24 ~all":   {"", []string{"192.0.2.0/24"}, true},
		"v=spf1 exists:%{i}.example.com -all":           {"exists:%{i}.example.com (1)", nil, true},
		"v=spf1 ptr -all":                               {"ptr (1)", nil, true},
		"v=spf1 include:a.example -all":                 {"include:a.example (2)", []string{"0.0.0.0/0", "::/0"}, true},
		"v=spf1 ?include:c.example +all":                {"?include:c.example (1)", []string{"0.0.0.0/0", "::/0"}, true},
		"v=spf1 include:c.example ip4:192.0.2.1 -all":   {"include:c.example (1)", []string{"192.0.2.1/32", "203.0.113.7/32"}, false},
		"v=spf1 -include:d.example ip4:192.0.2.1 -all":  {"-include:d.example (2)", []string{"192.0.2.1/32"}, false},
		"v=spf1 include:d.example ip4:203.0.113.7 -all": {"include:d.example (2)", []string{"203.0.113.7/32"}, false},
	} {
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		a := Analyze(t.Context(), world, "example.com", r)
		var networks []string
		for _, n := range a.Networks {
			networks = append(networks, n.String())
		}
		if a.Costs() != want.costs || a.Partial != want.partial || !slices.Equal(networks, want.networks) {
			t.Errorf("%s: got %s, %v, partial %v; want %+v", text, a.Costs(), networks, a.Partial, want)
		}
	}
	r, _ := Parse("v=spf1 include:a.example -all")
	want := []Term{{Text: "include:a.example", Lookups: 2, Domain: "a.example", Terms: []Term{{Text: "include:b.example", Lookups: 1, Domain: "b.example"}}}}
	if diff := cmp.Diff(want, Analyze(t.Context(), world, "example.com", r).Terms); diff != "" {
		t.Error(diff)
	}
}

// What Analyze says of an address is what Evaluate says, where it is not partial.
func TestAnalysisAgreesWithEvaluation(t *testing.T) {
	for _, text := range []string{
		"v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all",
		"v=spf1 a/25 ?include:smarter.se ~all",
		"v=spf1 redirect=smarter.se",
		"v=spf1 -include:smarter.se ip4:198.51.100.0/24 -all",
	} {
		world := zone{txt: map[string][]string{"smarter.se": lintWorld.txt["smarter.se"], "example.com": {text}}, mx: lintWorld.mx, a: lintWorld.a}
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		a := Analyze(t.Context(), world, "example.com", r)
		if a.Partial || !a.OK() {
			t.Fatalf("%s: %+v", text, a)
		}
		for _, ip := range []string{"192.0.2.1", "192.0.2.200", "198.51.100.3", "203.0.113.1", "2001:db8::1"} {
			addr := netip.MustParseAddr(ip)
			listed := slices.ContainsFunc(a.Networks, func(n netip.Prefix) bool { return n.Contains(addr) })
			if got := Evaluate(t.Context(), world, addr, "a@example.com", ""); (got.Result == Pass) != listed {
				t.Errorf("%s, %s: %s, among the networks: %v", text, ip, got.Result, listed)
			}
		}
	}
}

// WireSize is what miekg/dns packs.
func TestWireSize(t *testing.T) {
	for _, texts := range [][]string{nil, {""}, {"v=spf1 -all"}, {strings.Repeat("x", 255)}, {strings.Repeat("x", 256), "y", strings.Repeat("z", 700)}} {
		m := new(dns.Msg)
		m.SetQuestion("example.com.", dns.TypeTXT)
		m.Compress = true
		for _, text := range texts {
			rr := &dns.TXT{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}}
			for len(text) > 255 {
				rr.Txt, text = append(rr.Txt, text[:255]), text[255:]
			}
			rr.Txt = append(rr.Txt, text)
			m.Answer = append(m.Answer, rr)
		}
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := WireSize("example.com", texts...); got != len(packed) {
			t.Errorf("%d texts: got %d, want %d", len(texts), got, len(packed))
		}
	}
}
