package spf

import (
	"fmt"
	"net/netip"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"); err != nil {
			b.Fatal(err)
		}
	}
}

// A tree of ten includes, in which nothing matches before the end.
func BenchmarkEvaluate(b *testing.B) {
	r := mapResolver{}
	for i := range 10 {
		r[fmt.Sprintf("n%d.example.com", i)] = []string{fmt.Sprintf("v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 include:n%d.example.com ?all", i+1)}
	}
	r["n10.example.com"] = []string{"v=spf1 ip4:192.0.2.0/24 -all"}
	ip := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if got := Evaluate(b.Context(), r, ip, "a@n0.example.com", "host.example.com"); got.Result != Pass {
			b.Fatal(got.Result, got.Err)
		}
	}
}
