package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

func ExampleParse() {
	r, err := spf.Parse("v=spf1 ip4:192.0.2.0/24 mx ~include:smarter.se -all")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range r.Mechanisms {
		fmt.Println(m.Result, m)
	}
	// Output:
	// pass ip4:192.0.2.0/24
	// pass mx
	// softfail ~include:smarter.se
	// fail -all
}

func ExampleParse_error() {
	_, err := spf.Parse("v=spf1 ip4:192.0.2.0/33 -all")
	fmt.Println(err)
	// Output:
	// SPF record, octet 11: "192.0.2.0/33": want an IPv4 address, then /0 to /32 if wanted, such as 192.0.2.0/24 (RFC 7208 §5.6)
}

// zone answers TXT from a map; *net.Resolver asks the world.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, there := z[strings.TrimSuffix(name, ".")]; there {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
}

func (zone) LookupMX(context.Context, string) ([]*net.MX, error) { return nil, errors.ErrUnsupported }

func (zone) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.ErrUnsupported
}

func (zone) LookupAddr(context.Context, string) ([]string, error) { return nil, errors.ErrUnsupported }

var world = zone{
	"example.com":   "v=spf1 ip4:192.0.2.0/24 include:smarter.se -all",
	"smarter.se":    "v=spf1 include:relay.example ~all",
	"relay.example": "v=spf1 ip6:2001:db8::/32 -all",
}

// May this host send for that address, and why?
func ExampleEvaluate() {
	host := netip.MustParseAddr("2001:db8::25")
	got := spf.Evaluate(context.Background(), world, host, "hans@example.com", "mail.example.net")
	fmt.Println(got.Result, "with", got.Lookups, "lookups")
	for _, s := range got.Trace {
		fmt.Printf("%s%s: %s %s (%d)\n", strings.Repeat("  ", s.Level), s.Domain, s.Term, s.Outcome, s.Lookups)
	}
	// Output:
	// pass with 2 lookups
	// example.com: ip4:192.0.2.0/24 no match (0)
	// example.com: include:smarter.se match (2)
	//   smarter.se: include:relay.example match (1)
	//     relay.example: ip6:2001:db8::/32 match (0)
}

// Where do the ten lookups go, and who passes?
func ExampleAnalyze() {
	record, err := spf.Parse(world["example.com"])
	if err != nil {
		fmt.Println(err)
		return
	}
	a := spf.Analyze(context.Background(), world, "example.com", record)
	fmt.Println(a.Lookups, "of", spf.MaxLookups, "lookups:", a.Costs())
	fmt.Println(a.Networks)
	// Output:
	// 2 of 10 lookups: include:smarter.se (2)
	// [192.0.2.0/24 2001:db8::/32]
}
