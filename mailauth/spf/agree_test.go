package spf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// world is a DNS with all that an evaluation asks for, by name without the dot at its end. A name
// that begins with "sick" does not answer.
type world struct {
	txt, mx, a, ptr map[string][]string
	empty           bool // what has nothing is answered by nothing, not by an error
}

func (w world) answer(records map[string][]string, name string) ([]string, error) {
	if !isName(name) {
		panic("asked for " + name + ", which is no name")
	}
	if strings.HasPrefix(name, "sick") {
		return nil, failing(name)
	}
	if len(records[name]) == 0 && !w.empty {
		return nil, notFound(name)
	}
	return records[name], nil
}

func (w world) LookupTXT(_ context.Context, name string) ([]string, error) {
	return w.answer(w.txt, plain(name))
}

func (w world) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	hosts, err := w.answer(w.mx, plain(name))
	var out []*net.MX
	for _, host := range hosts {
		out = append(out, &net.MX{Host: host + "."})
	}
	return out, err
}

func (w world) LookupNetIP(_ context.Context, network, name string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, text := range w.a[plain(name)] {
		if a := netip.MustParseAddr(text); a.Unmap().Is4() == (network == "ip4") {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	_, err := w.answer(nil, plain(name))
	return nil, err
}

func (w world) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return w.answer(w.ptr, addr)
}

// anyWorld draws domains whose records lead to each other, but never in a circle.
func anyWorld() *rapid.Generator[world] {
	qualifier := rapid.SampledFrom([]string{"", "", "-", "~", "?"})
	network := rapid.SampledFrom([]string{
		"ip4:10.0.0.0/24", "ip4:10.0.0.0/25", "ip4:10.0.0.128/25", "ip4:10.0.0.5", "ip4:10.0.0.0/16", "ip4:10.0.1.0/24", "ip4:0.0.0.0/0",
		"ip6:2001:db8::/32", "ip6:2001:db8::/48", "ip6:2001:db8::1", "ip6:::/0",
	})
	host := rapid.SampledFrom([]string{"h0.test", "h1.test", "h2.test", "h3.test", "no.test", "bad..test"})
	address := rapid.SampledFrom([]string{"10.0.0.7", "10.0.1.9", "10.0.0.200", "2001:db8::9", "2001:db8:1::1"})
	bits := rapid.SampledFrom([]string{"", "", "/24", "/16//48", "//64"})
	const last = 4
	return rapid.Custom(func(t *rapid.T) world {
		w := world{txt: map[string][]string{}, mx: map[string][]string{}, a: map[string][]string{}, empty: rapid.Bool().Draw(t, "empty")}
		for i := range last + 1 {
			further := func() string { return fmt.Sprintf("d%d.test", rapid.IntRange(min(i+1, last), last).Draw(t, "further")) }
			text := "v=spf1"
			for range rapid.IntRange(0, 4).Draw(t, "terms") {
				term := ""
				switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
				case kind < 4:
					term = network.Draw(t, "network")
				case kind == 4:
					term = "a:" + host.Draw(t, "host") + bits.Draw(t, "bits")
				case kind == 5:
					term = "mx:" + rapid.SampledFrom([]string{"m0.test", "m1.test"}).Draw(t, "mx") + bits.Draw(t, "bits")
				case kind == 6:
					term = "exists:" + host.Draw(t, "host")
				case kind < 9 && i < last:
					term = "include:" + further()
				default:
					term = "all"
				}
				text += " " + qualifier.Draw(t, "qualifier") + term
			}
			if i < last && rapid.IntRange(0, 3).Draw(t, "redirect") == 0 {
				text += " redirect=" + further()
			}
			if rapid.Bool().Draw(t, "all") {
				text += " " + qualifier.Draw(t, "qualifier") + "all"
			}
			w.txt[fmt.Sprintf("d%d.test", i)] = []string{text}
		}
		for _, name := range []string{"h0.test", "h1.test", "h2.test", "h3.test"} {
			w.a[name] = rapid.SliceOfN(address, 0, 2).Draw(t, "addresses")
		}
		w.mx["m0.test"] = []string{"h0.test", "h2.test"}
		if rapid.Bool().Draw(t, "m1") {
			w.mx["m1.test"] = []string{"h1.test"}
		}
		return w
	})
}

// What Analyze says holds for every host that Evaluate judges: no evaluation costs more, none ends
// in permerror where all is OK, and, if that is not partial, those hosts pass that are listed.
func TestAnalysisAgreesWithEvaluation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld().Draw(t, "world")
		r, err := Parse(w.txt["d0.test"][0])
		if err != nil {
			t.Fatal(err)
		}
		a := Analyze(t.Context(), w, "d0.test", r)
		only4 := slices.ContainsFunc(a.Findings, func(f lint.Finding) bool { return f.Code == "SPF-VOIDS-IPV6" })
		for _, ip := range []string{
			"10.0.0.1", "10.0.0.5", "10.0.0.7", "10.0.0.130", "10.0.0.200", "10.0.1.9", "10.0.1.1", "10.0.7.7", "203.0.113.1",
			"2001:db8::1", "2001:db8::9", "2001:db8::77", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:ffff::1", "2a00::1",
		} {
			addr := netip.MustParseAddr(ip)
			e := Evaluate(t.Context(), w, addr, "x@d0.test", "")
			listed := slices.ContainsFunc(a.Networks, func(n netip.Prefix) bool { return n.Contains(addr) })
			switch excepted := only4 && addr.Is6(); {
			case e.Lookups > a.Lookups || e.Voids > a.Voids && e.Result != PermError:
				t.Fatalf("%s costs %d lookups and %d voids, more than %+v", ip, e.Lookups, e.Voids, a)
			case !a.OK(), excepted && e.Result == PermError && !listed:
			case e.Result == PermError:
				t.Fatalf("%s: OK, but %v; %+v", ip, e.Err, a)
			case !a.Partial && listed != (e.Result == Pass):
				t.Fatalf("%s: listed %v, but %s; %+v", ip, listed, e.Result, a)
			}
		}
	})
}
