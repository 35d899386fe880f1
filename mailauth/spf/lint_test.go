package spf

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/maildomain/maildomain-operator/test/linttest"
)

var lintWorld = zone{
	txt: map[string][]string{
		"smarter.se":    {"v=spf1 ip4:198.51.100.0/24 -all"},
		"eight.example": {"v=spf1" + strings.Repeat(" mx:example.com", 7) + " -all"},
		"two.example":   {"v=spf1 -all", "v=spf1 ~all"},
		"sick.example":  {"v=spf1 ipv4:1 -all"},
		"loop.example":  {"v=spf1 include:loop.example -all"},
		"why.example":   {"one", "two"},
		"latin.example": {"warum nicht? höflich"},
		"end.example":   {"v=spf1 mx:example.com"},
		"calm.example":  {"v=spf1 ?all redirect=smarter.se"},
		"on.example":    {"v=spf1 redirect=end.example"},
		"open.example":  {"v=spf1 +all"},
		"good.example":  {"see https://example.com/?%{i}"},
	},
	mx: map[string]int{"many.example": 11, "example.com": 1},
	a:  map[string]bool{"host.example": true, "example.com": true},
}

// Hosts that deliver over IPv6 find nothing at a, b and c.
var only4 = world{
	txt: map[string][]string{"v6.example": {"v=spf1 ip6:2001:db8::/32 -all"}},
	mx:  map[string][]string{"null.example": {""}, "lost.example": {"no.example", "bad..example"}, "half.example": {"no.example", "a.example"}, "sick-mx.example": {"sick.example"}},
	a:   map[string][]string{"a.example": {"192.0.2.1"}, "b.example": {"192.0.2.2"}, "c.example": {"::ffff:192.0.2.3"}},
}

func TestLint(t *testing.T) {
	judged := linttest.Start(t, Rules(), Lint)
	in := func(dns Resolver, texts ...string) Subject {
		s := Subject{Domain: "example.com", Texts: texts}
		for _, text := range texts {
			if record, err := Parse(text); err == nil && s.Analysis == nil {
				a := Analyze(t.Context(), dns, "example.com", record)
				s.Analysis = &a
			}
		}
		return s
	}
	gets := func(codes string, texts ...string) {
		t.Helper()
		judged(codes, in(lintWorld, texts...))
	}
	getsParked := func(codes, text string) {
		t.Helper()
		s := in(lintWorld, text)
		s.SendsNoMail = true
		judged(codes, s)
	}
	gets("", "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all", "a site's token")
	getsParked("", "v=spf1 -all")
	gets("", "v=spf1 mx exp=good.example -all")
	gets("SPF-MISSING", "a site's token")
	gets("SPF-MISSING")
	gets("SPF-MULTIPLE", "v=spf1 -all", "V=SPF1 mx -all")
	gets("SPF-VERSION SPF-MISSING", " v=spf1 -all")
	gets("SPF-VERSION", "v=spf10 -all", "v=spf1 -all")
	gets("SPF-SENDER-ID", "spf2.0/pra -all", "v=spf1 -all")
	gets("SPF-SYNTAX", "v=spf1 ipv4:192.0.2.1 -all")
	gets("SPF-PASS-ALL", "v=spf1 +all")
	gets("SPF-DUPLICATE-ALL", "v=spf1 ~all -all")
	gets("SPF-AFTER-ALL", "v=spf1 -all mx")
	gets("SPF-NO-ALL", "v=spf1 mx")
	gets("SPF-NEUTRAL-ALL", "v=spf1 mx ?all")
	gets("SPF-REDIRECT-WITH-ALL", "v=spf1 -all redirect=smarter.se")
	gets("SPF-PTR", "v=spf1 ptr -all")
	gets("SPF-INCLUDE-TWICE", "v=spf1 include:smarter.se include:Smarter.SE. -all")
	gets("SPF-NETWORK-TWICE", "v=spf1 ip4:192.0.2.0/24 ip4:192.0.2.128/25 -all")
	gets("SPF-NETWORK-TWICE", "v=spf1 ip4:192.0.2.128/25 mx ip4:192.0.2.0/24 -all")
	gets("SPF-NETWORK-TWICE", "v=spf1 ip4:192.0.2.0/24 -ip4:192.0.2.7 -all")
	gets("", "v=spf1 ip4:192.0.2.128/25 -mx ip4:192.0.2.0/24 -all")
	gets("", "v=spf1 ?ip4:192.0.2.128/25 ip4:192.0.2.0/24 -all")
	gets("SPF-PASS-ALL", "v=spf1 redirect=open.example")
	gets("SPF-PASS-ALL", "v=spf1 include:open.example -all")
	gets("SPF-PASS-ALL", "v=spf1 exists:host.example -all")
	gets("SPF-PASS-ALL SPF-SIZE-UDP", "v=spf1 +all", strings.Repeat("x", 500))
	gets("SPF-PASS-ALL SPF-NETWORK-WIDE", "v=spf1 a:host.example/0 -all")
	gets("SPF-PASS-ALL SPF-NETWORK-WIDE", "v=spf1 ip4:0.0.0.0/2 ip4:128.0.0.0/1 ip4:64.0.0.0/2 -all")
	gets("SPF-PASS-ALL SPF-NETWORK-WIDE", "v=spf1 ip6:::/1 ip6:8000::/1 -all")
	gets("SPF-NETWORK-WIDE", "v=spf1 ip4:0.0.0.0/2 ip4:128.0.0.0/1 ip4:64.0.0.0/3 ip6:::/1 -all")
	gets("SPF-NETWORK-WIDE", "v=spf1 a/15 -all")
	gets("SPF-NETWORK-WIDE", "v=spf1 mx//31 -all")
	gets("", "v=spf1 a/16//32 -mx/4 -all")
	gets("SPF-NO-ALL", "v=spf1 redirect=end.example")
	gets("SPF-NO-ALL", "v=spf1 a redirect=on.example")
	gets("SPF-NEUTRAL-ALL", "v=spf1 redirect=calm.example")
	gets("", "v=spf1 include:end.example -all")
	gets("SPF-NETWORK-WIDE", "v=spf1 ip4:192.0.0.0/15 -all")
	gets("SPF-NETWORK-WIDE", "v=spf1 ip6:2001::/31 -all")
	gets("", "v=spf1 ip4:192.0.0.0/16 ip6:2001:db8::/32 -ip4:0.0.0.0/0 -all")
	const rest = 12 + 17 + 12 + 12 + 12 + 2 // header, question, "v=spf1 -all" and the start of two strings
	gets("", "v=spf1 -all", strings.Repeat("x", 450-rest))
	gets("SPF-SIZE", "v=spf1 -all", strings.Repeat("x", 451-rest))
	gets("SPF-SIZE", "v=spf1 -all", strings.Repeat("x", 512-rest))
	gets("SPF-SIZE-UDP", "v=spf1 -all", strings.Repeat("x", 513-rest))
	getsParked("SPF-PARKED", "v=spf1 mx -all")
	gets("SPF-UNKNOWN-MODIFIER", "v=spf1 mx -all tag=value")
	gets("", "v=spf1 mx -all ra=postmaster RP=100 rr=e")
	gets("SPF-LOOKUPS-EXCEEDED", "v=spf1"+strings.Repeat(" mx", 11)+" -all")
	gets("SPF-LOOKUPS-HIGH", "v=spf1 include:eight.example -all")
	judged("", in(only4, "v=spf1 a:a.example a:b.example ip6:2001:db8::/32 -all"))
	judged("SPF-VOIDS-IPV6", in(only4, "v=spf1 ip6:2001:db8::/32 a:a.example a:b.example a:c.example -all"))
	judged("SPF-VOIDS-EXCEEDED", in(only4, "v=spf1 a:a.example a:b.example a:c.example include:v6.example -all"))
	judged("SPF-VOIDS-EXCEEDED", in(only4, "v=spf1 a:no.example a:b.example exists:no.example a:c.example ip6:2001:db8::/32 -all"))
	judged("SPF-MX-EMPTY", in(only4, "v=spf1 mx:null.example -all"))
	judged("SPF-MX-EMPTY", in(only4, "v=spf1 mx:lost.example -all"))
	judged("", in(only4, "v=spf1 mx:half.example mx:sick-mx.example a:bad..example a:worse..example a:worst..example -all"))
	judged("SPF-INCLUDE-NONE", in(only4, "v=spf1 include:bad..example -all"))
	gets("SPF-VOIDS-EXCEEDED", "v=spf1 a:x.example a:y.example a:z.example -all")
	gets("SPF-VOID", "v=spf1 a:x.example -all")
	gets("SPF-MX-HOSTS-EXCEEDED", "v=spf1 mx:many.example -all")
	gets("SPF-INCLUDE-NONE SPF-VOID", "v=spf1 include:no.example -all")
	gets("SPF-INCLUDE-MULTIPLE", "v=spf1 include:two.example -all")
	gets("SPF-INCLUDE-SYNTAX", "v=spf1 include:sick.example -all")
	gets("SPF-LOOP", "v=spf1 include:loop.example -all")
	gets("SPF-EXP", "v=spf1 -all exp=why.example")
	gets("SPF-EXP", "v=spf1 -all exp=latin.example")
	gets("", "v=spf1 -all exp=%{i}.why.example")
	gets("", "v=spf1 -all exp=good.example.")
	gets("SPF-MACRO", "v=spf1 exists:%{i}.example.com -all")
}

// The tree of costs, and the networks that pass.
func TestAnalysis(t *testing.T) {
	world := zone{
		txt: map[string][]string{
			"a.example": {"v=spf1 ip4:198.51.100.0/25 -ip4:198.51.100.128/25 include:b.example ip4:198.51.100.128/25 ?all"},
			"b.example": {"v=spf1 ip6:2001:db8::/32 ?ip4:203.0.113.0/24 +all"},
			"c.example": {"v=spf1 ip4:203.0.113.7 -all"},
			"d.example": {"v=spf1 ~include:c.example -all"},
			"e.example": {"v=spf1 -ip4:10.0.0.0/8 +all"},
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
		"v=spf1 -include:e.example ip4:10.0.0.1 -all":   {"-include:e.example (1)", nil, true},
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
