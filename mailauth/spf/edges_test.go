package spf

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	label63 = strings.Repeat("x", 63)
	name253 = strings.Join([]string{label63, label63, label63, strings.Repeat("x", 56), "test"}, ".")
)

// What no suite tests: each record is that of d.test, and mail comes from the address "a+b c@d.test" at
// 192.0.2.1 or 2001:db8::1.
func TestEdges(t *testing.T) {
	w := world{
		a: map[string][]string{
			"mapped.test": {"::ffff:192.0.2.1"}, "zone.test": {"2001:db8::1%eth0"}, name253: {"192.0.2.1"}, "other.test": {"198.51.100.1"},
			"one." + label63 + ".test": {"192.0.2.1"}, "one." + label63 + "x.test": {"192.0.2.1"}, "x" + name253: {"192.0.2.1"}, "a%2bb%20c.test": {"192.0.2.1"},
			"d.test": {"192.0.2.1"}, "sub.d.test": {"192.0.2.1"}, "far.test": {"192.0.2.1"}, "itself.d.test.test": {"192.0.2.1"}, "below.sub.d.test.test": {"192.0.2.1"}, "any.far.test.test": {"192.0.2.1"}, "one." + label63: {"192.0.2.1"}, "one." + label63 + "x": {"192.0.2.1"},
			"unknown.test": {"192.0.2.1"}, "host.single": {"192.0.2.1"},
		},
		mx:  map[string][]string{"null.test": {""}, "some.test": {"other.test", "far.test"}, "half.test": {"far.test", "sick.test"}, "ill.test": {"sick.test", "far.test"}},
		txt: map[string][]string{"single": {"v=spf1 +all"}},
	}
	for name, test := range map[string]struct {
		record string
		ptr    []string
		ip6    Result // "" is not judged
		ip4    Result
		voids  int
	}{
		"an address in IPv6 clothes":       {"v=spf1 a:mapped.test -all", nil, Fail, Pass, 0},
		"an address with a zone":           {"v=spf1 a:zone.test -all", nil, Pass, Fail, 1},
		"a zone in the record":             {"v=spf1 ip6:2001:db8::1%eth0 -all", nil, PermError, PermError, 0},
		"a name of 253 octets":             {"v=spf1 a:" + name253 + " -all", nil, "", Pass, 0},
		"one more: labels go":              {"v=spf1 a:x" + name253 + " -all", nil, "", Fail, 1},
		"a label of 63 octets":             {"v=spf1 a:one." + label63 + ".test -all", nil, "", Pass, 0},
		"one of 64 is not asked for":       {"v=spf1 a:one." + label63 + "x.test -all", nil, "", Fail, 0},
		"63 at the end":                    {"v=spf1 a:one." + label63 + " -all", nil, "", Pass, 0},
		"64 at the end":                    {"v=spf1 a:one." + label63 + "x -all", nil, "", Fail, 0},
		"an empty label is not asked for":  {"v=spf1 a:one..test a:.test exists:a..b.test mx:c..test -all", nil, Fail, Fail, 0},
		"a record at a top label":          {"v=spf1 include:%{h} -all", nil, "", PermError, 0},
		"a name below a top label":         {"v=spf1 include:.single -all", nil, "", PermError, 0},
		"a plus sign and a space, encoded": {"v=spf1 a:%{L}.test -all", nil, "", Pass, 0},
		"the domain before one below it":   {"v=spf1 a:itself.%{p}.test -all", []string{"sub.d.test.", "D.test."}, "", Pass, 0},
		"one below before any":             {"v=spf1 a:below.%{p}.test -all", []string{"far.test.", "sub.d.test."}, "", Pass, 0},
		"any name":                         {"v=spf1 a:any.%{p}.test -all", []string{"other.test.", "far.test."}, "", Pass, 0},
		"no name":                          {"v=spf1 a:%{p}.test -all", nil, "", Pass, 0},
		"the tenth name of the host":       {"v=spf1 ptr -all", append(numbered(9), "d.test."), "", Pass, 0},
		"the eleventh does not count":      {"v=spf1 ptr -all", append(numbered(10), "d.test."), "", Fail, 0},
		"the null MX":                      {"v=spf1 mx:null.test -all", nil, "", Fail, 0},
		"a match before a silent host":     {"v=spf1 mx:half.test -all", nil, "", Pass, 0},
		"a silent host before a match":     {"v=spf1 mx:ill.test -all", nil, "", TempError, 0},
		"two voids":                        {"v=spf1 a:no.test mx:no.test -all", nil, Fail, Fail, 2},
		"three voids":                      {"v=spf1 a:no.test mx:no.test exists:no.test -all", nil, PermError, PermError, 3},
		"a void PTR":                       {"v=spf1 ptr a:no.test mx:no.test -all", nil, PermError, PermError, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w.txt["d.test"] = []string{test.record}
			w.ptr = map[string][]string{"192.0.2.1": test.ptr}
			for _, w.empty = range []bool{false, true} {
				e := Evaluate(t.Context(), w, netip.MustParseAddr("192.0.2.1"), "a+b c@d.test", "single")
				if e.Result != test.ip4 || e.Voids != test.voids {
					t.Errorf("IPv4: got %s with %d voids (%v), want %s with %d", e.Result, e.Voids, e.Err, test.ip4, test.voids)
				}
				if e := Evaluate(t.Context(), w, netip.MustParseAddr("2001:db8::1%eth1"), "a+b c@d.test", "single"); test.ip6 != "" && e.Result != test.ip6 {
					t.Errorf("IPv6: got %s (%v), want %s", e.Result, e.Err, test.ip6)
				}
			}
		})
	}
}

// numbered are names that lead back to no address.
func numbered(n int) []string {
	var names []string
	for i := range n {
		names = append(names, strings.Repeat("n", i+1)+".test.")
	}
	return names
}

// partial answers as *net.Resolver does where some records of an answer are broken, and where a
// host has only addresses of the other family.
type partial struct{ world }

func (p partial) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, _ := p.world.LookupMX(ctx, name)
	return hosts, failing(name)
}

func (p partial) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if addrs, err := p.world.LookupNetIP(ctx, network, name); len(addrs) > 0 || len(p.a[plain(name)]) == 0 {
		return addrs, err
	}
	return nil, &net.AddrError{Err: "no suitable address found", Addr: name}
}

func TestPartialAnswers(t *testing.T) {
	w := partial{world{
		a:  map[string][]string{"six.test": {"2001:db8::1"}, "four.test": {"192.0.2.1"}},
		mx: map[string][]string{"some.test": {"four.test"}},
	}}
	for record, want := range map[string]Result{
		"v=spf1 mx:some.test -all": Pass,
		"v=spf1 mx:none.test -all": TempError,
		"v=spf1 a:six.test -all":   Fail,
	} {
		w.txt = map[string][]string{"d.test": {record}}
		if e := Evaluate(t.Context(), w, netip.MustParseAddr("192.0.2.1"), "a@d.test", ""); e.Result != want {
			t.Errorf("%s: got %s (%v), want %s", record, e.Result, e.Err, want)
		}
		r, _ := Parse(record)
		if a := Analyze(t.Context(), w, "d.test", r); a.OK() != (want != TempError) {
			t.Errorf("%s: %+v", record, a)
		}
	}
}

// Texts full of macros stay small, and what is too long for SMTP is nobody's sender.
func TestMacrosDoNotExplode(t *testing.T) {
	long := strings.Repeat("l", maxPath-len("@d.test"))
	w := world{txt: map[string][]string{
		"d.test":   {"v=spf1 exists:" + strings.Repeat("%{l}.", 12000) + "%{d} -all exp=e.test"},
		"e.test":   {strings.Repeat("%{l}", 16000)},
		"why.test": {"v=spf1 -all exp=%{o}.e.test"}, "why.test.e.test": {"%{r} saw %{h} at %{t}"},
	}}
	e := Evaluate(t.Context(), w, netip.MustParseAddr("192.0.2.1"), long+"@d.test", "")
	if e.Result != Fail || e.Explanation != "" {
		t.Errorf("got %s, %.80q", e.Result, e.Explanation)
	}
	for _, sender := range []string{long + "l@d.test", ""} {
		if e := Evaluate(t.Context(), w, netip.MustParseAddr("192.0.2.1"), sender, strings.Repeat("h", maxPath+1)); e.Result != None {
			t.Errorf("%.10q: got %s", sender, e.Result)
		}
	}
	if e := Evaluate(t.Context(), w, netip.MustParseAddr("192.0.2.1"), "a@why.test", "h.test"); e.Explanation != "unknown saw h.test at 0" {
		t.Errorf("got %q", e.Explanation)
	}
}

// A long name keeps as many of its labels from the right as 253 octets hold (RFC 7208 §7.3).
func TestTarget(t *testing.T) {
	e := &evaluation{local: strings.Repeat("l.", 200) + "l", sender: "d.test", helo: "h.test"}
	for spec, want := range map[string]string{
		"":                                     "d.test",
		"%{o}.":                                "d.test",
		"%{l}.%{o}":                            strings.Repeat("l.", 123) + "d.test",
		strings.Repeat("%{l}.", 500) + "%{o}.": strings.Repeat("l.", 123) + "d.test",
		strings.Repeat("x", 300) + ".%{o}":     "d.test",
		strings.Repeat("x", 5000) + "%{o}":     "test",
		strings.Repeat("x", 5000):              "",
		strings.Repeat("x", 5000) + strings.Repeat("y.", 127):       strings.Repeat("y.", 125) + "y",
		strings.Repeat("x", 5000) + "." + strings.Repeat("y.", 127): strings.Repeat("y.", 126) + "y",
	} {
		if got := e.target(spec, "d.test"); got != want {
			t.Errorf("%.40q: %s", spec, cmp.Diff(want, got))
		}
	}
}
