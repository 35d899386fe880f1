package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// nsAddr are the scripted answers that make host resolve to 127.0.0.1.
func nsAddr(s script, host string) {
	s[host+" A"] = scripted{ra: true, answer: []string{host + ". 60 A 127.0.0.1"}}
	s[host+" AAAA"] = scripted{ra: true}
}

// world is what a recursive resolver knows in the tests of delegated zones:
// example.com, and _domainkey.child.example.com as a zone of its own.
func world() script {
	s := script{
		"example.com SOA":                       {ra: true, answer: []string{soa("example.com", "7", "900")}},
		"example.com NS":                        {ra: true, answer: []string{"example.com. 60 NS NS1.example.com."}},
		"_dmarc.example.com SOA":                {ra: true, ns: []string{soa("example.com", "7", "900")}},
		"a.b._dmarc.example.com SOA":            {ra: true, code: dns.RcodeNameError, ns: []string{soa("example.com", "7", "900")}},
		"bare.example.com SOA":                  {ra: true, code: dns.RcodeNameError},
		"s._domainkey.child.example.com SOA":    {ra: true, code: dns.RcodeNameError, ns: []string{soa("_domainkey.child.example.com", "5", "60")}},
		"_domainkey.child.example.com SOA":      {ra: true, answer: []string{soa("_domainkey.child.example.com", "5", "60")}},
		"_domainkey.child.example.com NS":       {ra: true, answer: []string{"_domainkey.child.example.com. 60 NS ns1.example.com."}},
		"alias.example.com SOA":                 {ra: true, answer: []string{"alias.example.com. 60 CNAME www.example.net.", soa("www.example.net", "5", "60")}},
		"alias-negative.example.com SOA":        {ra: true, answer: []string{"alias-negative.example.com. 60 CNAME www.example.net."}, ns: []string{soa("example.net", "5", "60")}},
		"down.alias-negative.example.com SOA":   {ra: true, code: dns.RcodeNameError, ns: []string{soa("alias-negative.example.com", "5", "60")}},
		"nowhere.invalid SOA":                   {ra: true, code: dns.RcodeNameError, ns: []string{soa("", "5", "60")}},
		"failing.example.com SOA":               {code: dns.RcodeServerFailure},
		"no-ns.example SOA":                     {ra: true, answer: []string{soa("no-ns.example", "5", "60")}},
		"no-ns.example NS":                      {ra: true, ns: []string{soa("no-ns.example", "5", "60")}},
		"ns-failing.example SOA":                {ra: true, answer: []string{soa("ns-failing.example", "5", "60")}},
		"liar.example.com SOA":                  {ra: true, ns: []string{soa("below.liar.example.com", "5", "60")}},
		"crowded.example SOA":                   {ra: true, answer: []string{soa("crowded.example", "5", "60")}},
		"crowded.example NS":                    {ra: true},
		"unresolved.example SOA":                {ra: true, answer: []string{soa("unresolved.example", "5", "60")}},
		"unresolved.example NS":                 {ra: true, answer: []string{"unresolved.example. 60 NS ns1.example.com.", "unresolved.example. 60 NS gone.example.net.", "unresolved.example. 60 NS half.example.net."}},
		"gone.example.net A":                    {ra: true, code: dns.RcodeNameError},
		"gone.example.net AAAA":                 {ra: true, code: dns.RcodeNameError},
		"half.example.net A":                    {ra: true, answer: []string{"half.example.net. 60 A 127.0.0.1"}},
		"half.example.net AAAA":                 {code: dns.RcodeServerFailure},
		"many.example SOA":                      {ra: true, answer: []string{soa("many.example", "5", "60")}},
		"many.example NS":                       {ra: true, answer: []string{"many.example. 60 NS many.example."}},
		"many.example AAAA":                     {ra: true},
		"deep.under.unresolved.example SOA":     {ra: true, code: dns.RcodeNameError, ns: []string{soa("unresolved.example", "5", "60")}},
		"elsewhere-negative.example.com SOA":    {ra: true, code: dns.RcodeNameError, ns: []string{soa("example.net", "5", "60")}},
		"root-only SOA":                         {ra: true, code: dns.RcodeNameError},
		"www.root-only SOA":                     {ra: true, code: dns.RcodeNameError},
		"selector._domainkey.failing.test SOA":  {ra: true, code: dns.RcodeNameError},
		"_domainkey.failing.test SOA":           {silent: true},
		"v6.alias-negative.example.com SOA":     {ra: true},
		"x.v6.alias-negative.example.com SOA":   {ra: true},
		"y.x.v6.alias-negative.example.com SOA": {ra: true},
	}
	nsAddr(s, "ns1.example.com")
	crowd := s["crowded.example NS"]
	for i := range maxServers + 1 {
		crowd.answer = append(crowd.answer, fmt.Sprintf("crowded.example. 60 NS ns%d.example.net.", i))
	}
	s["crowded.example NS"] = crowd
	var many scripted
	many.ra = true
	for i := range maxAddrs + 1 {
		many.answer = append(many.answer, fmt.Sprintf("many.example. 60 A 127.0.0.%d", i+1))
	}
	s["many.example A"] = many
	return s
}

// authoritative is what the zones' own server says: the SOA TTL is whole there.
func authoritative() script {
	return script{
		"example.com SOA":                  {aa: true, answer: []string{soa("example.com", "600", "900")}},
		"_domainkey.child.example.com SOA": {aa: true, answer: []string{soa("_domainkey.child.example.com", "3600", "60")}},
	}
}

func TestAuthorityByDelegation(t *testing.T) {
	recursive, server := play(t, world()), play(t, authoritative())
	p := NewProber(Options{Resolver: recursive.resolver(), Port: server.addr.Port(), Timeout: patience, AllowPrivate: loopback})
	ns1 := Server{Name: "ns1.example.com", Addrs: []netip.AddrPort{server.addr}}
	example := Authority{Apex: "example.com", NegativeTTL: 600 * time.Second, Servers: []Server{ns1}}
	tests := map[string]Authority{
		"example.com":                       example,
		"Example.COM.":                      example,
		"_dmarc.example.com":                example,
		"a.b._dmarc.example.com":            example,
		"bare.example.com":                  example,
		"alias.example.com":                 example,
		"alias-negative.example.com":        example,
		"elsewhere-negative.example.com":    example,
		"y.x.v6.alias-negative.example.com": example,
		"s._domainkey.child.example.com":    {Apex: "_domainkey.child.example.com", NegativeTTL: time.Minute, Servers: []Server{ns1}},
		// No server of the zone answers for the zone: the MINIMUM that the resolver knows.
		"unresolved.example": {Apex: "unresolved.example", NegativeTTL: time.Minute, Servers: []Server{
			{Name: "gone.example.net", Unresolved: "the name server's host name has no address"},
			{Name: "half.example.net", Addrs: []netip.AddrPort{server.addr}, Unresolved: "lookup half.example.net on " + recursive.addr.String() + ": SERVFAIL"},
			ns1,
		}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := p.Authority(t.Context(), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, addressesByValue); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTooManyAddressesAreSaid(t *testing.T) {
	recursive := play(t, world())
	p := NewProber(Options{Resolver: recursive.resolver(), Port: deadAddr(t).Port(), Timeout: hurry, AllowPrivate: loopback})
	got, err := p.Authority(t.Context(), "many.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := got.Servers[0]
	if want := "the name server's host name has 9 addresses, only the first 8 are asked"; len(s.Addrs) != maxAddrs || s.Unresolved != want {
		t.Errorf("got %d addresses, %q, want %d, %q", len(s.Addrs), s.Unresolved, maxAddrs, want)
	}
}

func TestAuthorityNotFound(t *testing.T) {
	recursive := play(t, world())
	on := " on " + recursive.addr.String()
	tests := map[string]struct {
		kind error
		text string
	}{
		"":                {ErrNoZone, `no zone found: "" is not a domain name`},
		"a..b":            {ErrNoZone, `no zone found: "a..b" is not a domain name`},
		"nowhere.invalid": {ErrNoZone, "no zone found that holds nowhere.invalid: neither it nor a name above it has an SOA record"},
		"www.root-only":   {ErrNoZone, "no zone found that holds www.root-only: neither it nor a name above it has an SOA record"},
		"no-ns.example":   {ErrNoZone, "no zone found: no-ns.example has an SOA record but no NS records"},
		// Going on after a failure would take the parent zone for the child's.
		"failing.example.com":              {ErrCouldNotAsk, "could not ask for the zone that holds failing.example.com: SOA lookup failing.example.com" + on + ": SERVFAIL"},
		"selector._domainkey.failing.test": {ErrCouldNotAsk, "could not ask for the zone that holds selector._domainkey.failing.test: SOA lookup _domainkey.failing.test" + on + ": no answer in time"},
		"liar.example.com":                 {ErrCouldNotAsk, "could not ask for the zone that holds liar.example.com: SOA lookup liar.example.com" + on + ": the server does not resolve recursively"},
		"ns-failing.example":               {ErrCouldNotAsk, "could not ask for the zone ns-failing.example: NS lookup ns-failing.example" + on + ": SERVFAIL"},
		"crowded.example":                  {ErrCouldNotAsk, "could not ask for the zone crowded.example: it lists 33 name servers, at most 32 are asked"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			timeout := patience
			if strings.HasSuffix(tt.text, "no answer in time") {
				timeout = 3 * time.Second
			}
			p := NewProber(Options{Resolver: NewResolver([]string{recursive.addr.String()}, timeout), AllowPrivate: loopback})
			got, err := p.Authority(t.Context(), name, nil)
			if err == nil {
				t.Fatalf("got %+v, want an error", got)
			}
			if !errors.Is(err, tt.kind) || err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

func TestAuthorityByConfiguration(t *testing.T) {
	hosts := script{}
	nsAddr(hosts, "ns.example.net")
	recursive := play(t, hosts)
	server := play(t, script{
		"example.com SOA":                    {aa: true, answer: []string{soa("example.com", "600", "900")}},
		"_dmarc.example.com SOA":             {aa: true, code: dns.RcodeNameError, ns: []string{soa("example.com", "600", "900")}},
		"alias.example.com SOA":              {aa: true, answer: []string{"alias.example.com. 60 CNAME x.sub.example.com."}, ns: []string{soa("sub.example.com", "1", "1")}},
		"no-soa.example.com SOA":             {aa: true},
		"s._domainkey.delegated.example SOA": {ns: []string{"_domainkey.delegated.example. 60 NS ns.example.org."}},
		"example.org SOA":                    {code: dns.RcodeRefused},
		"rootish SOA":                        {aa: true, code: dns.RcodeNameError, ns: []string{soa("", "1", "1")}},
		"slow.example SOA":                   {silent: true},
	})
	slower := play(t, script{
		"example.com SOA": {aa: true, answer: []string{soa("example.com", "7200", "1800")}},
	})
	port := server.addr.Port()
	p := NewProber(Options{Resolver: recursive.resolver(), Port: port, Timeout: patience, AllowPrivate: loopback})
	withPort := server.addr.String()
	addrs := []netip.AddrPort{server.addr}
	ok := map[string]struct {
		name        string
		nameservers []string
		want        Authority
	}{
		"address and port": {"example.com", []string{withPort}, Authority{"example.com", 600 * time.Second, []Server{{Name: withPort, Addrs: addrs}}}},
		"address":          {"example.com", []string{"127.0.0.1"}, Authority{"example.com", 600 * time.Second, []Server{{Name: "127.0.0.1", Addrs: addrs}}}},
		"host":             {"_dmarc.example.com", []string{"NS.example.net."}, Authority{"example.com", 600 * time.Second, []Server{{Name: "ns.example.net", Addrs: addrs}}}},
		"host and port": {"_dmarc.example.com", []string{fmt.Sprintf("ns.example.net:%d", port)},
			Authority{"example.com", 600 * time.Second, []Server{{Name: fmt.Sprintf("ns.example.net:%d", port), Addrs: addrs}}}},
		"an alias is passed by":    {"alias.example.com", []string{"127.0.0.1"}, Authority{"example.com", 600 * time.Second, []Server{{Name: "127.0.0.1", Addrs: addrs}}}},
		"a missing SOA likewise":   {"no-soa.example.com", []string{"127.0.0.1"}, Authority{"example.com", 600 * time.Second, []Server{{Name: "127.0.0.1", Addrs: addrs}}}},
		"longest of negative TTLs": {"example.com", []string{slower.addr.String(), withPort}, Authority{"example.com", 1800 * time.Second, sortedServers(slower.addr, server.addr)}},
	}
	for title, tt := range ok {
		t.Run(title, func(t *testing.T) {
			got, err := p.Authority(t.Context(), tt.name, tt.nameservers)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, addressesByValue); diff != "" {
				t.Error(diff)
			}
		})
	}

	hasty := NewProber(Options{Resolver: recursive.resolver(), Port: port, Timeout: hurry, AllowPrivate: loopback})
	strict := NewProber(Options{Resolver: recursive.resolver(), Port: port, Timeout: hurry})
	fails := map[string]struct {
		p          *Prober
		name       string
		nameserver string
		kind       error
		text       string
	}{
		"delegated elsewhere": {p, "s._domainkey.delegated.example", "127.0.0.1", ErrNoZone,
			"no zone found that holds s._domainkey.delegated.example: the configured name servers are not authoritative for it"},
		"refused":      {p, "example.org", "127.0.0.1", ErrNoZone, "no zone found that holds example.org: the configured name servers are not authoritative for it"},
		"only root":    {p, "rootish", "127.0.0.1", ErrNoZone, "no zone found that holds rootish: the configured name servers have no SOA record at or above it"},
		"silent":       {hasty, "slow.example", "127.0.0.1", ErrCouldNotAsk, "could not ask for the zone that holds slow.example: name server 127.0.0.1: no answer in time"},
		"failing":      {p, "unscripted.example", "127.0.0.1", ErrCouldNotAsk, "could not ask for the zone that holds unscripted.example: name server 127.0.0.1: ServFail"},
		"not allowed":  {strict, "example.com", "127.0.0.1", ErrCouldNotAsk, "could not ask for the zone that holds example.com: name server 127.0.0.1: " + errNotAllowed.Error()},
		"unresolvable": {p, "example.com", "ns.nowhere.example", ErrCouldNotAsk, "could not ask for the zone that holds example.com: name server ns.nowhere.example: lookup ns.nowhere.example on " + recursive.addr.String() + ": SERVFAIL"},
		"no host name": {p, "example.com", "dns/example", ErrCouldNotAsk, `could not ask for the zone that holds example.com: name server "dns/example": want a host name or an IP address, with an optional port`},
		"bad port":     {p, "example.com", "127.0.0.1:domain", ErrCouldNotAsk, `could not ask for the zone that holds example.com: name server "127.0.0.1:domain": the port must be a number from 1 to 65535`},
	}
	for title, tt := range fails {
		t.Run(title, func(t *testing.T) {
			got, err := tt.p.Authority(t.Context(), tt.name, []string{tt.nameserver})
			if err == nil {
				t.Fatalf("got %+v, want an error", got)
			}
			if !errors.Is(err, tt.kind) || err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

func sortedServers(a, b netip.AddrPort) []Server {
	if strings.Compare(a.String(), b.String()) > 0 {
		a, b = b, a
	}
	return []Server{{Name: a.String(), Addrs: []netip.AddrPort{a}}, {Name: b.String(), Addrs: []netip.AddrPort{b}}}
}

func TestParseEndpoint(t *testing.T) {
	tests := map[string]endpoint{
		"ns1.example.com":     {"ns1.example.com", "ns1.example.com", 53},
		"NS1.Example.com.":    {"ns1.example.com", "ns1.example.com", 53},
		"ns1.example.com:54":  {"ns1.example.com:54", "ns1.example.com", 54},
		"192.0.2.1":           {"192.0.2.1", "192.0.2.1", 53},
		"192.0.2.1:54":        {"192.0.2.1:54", "192.0.2.1", 54},
		"2001:db8::1":         {"2001:db8::1", "2001:db8::1", 53},
		"[2001:db8::1]":       {"[2001:db8::1]", "2001:db8::1", 53},
		"[2001:DB8::1]:54":    {"[2001:db8::1]:54", "2001:DB8::1", 54},
		"":                    {},
		":53":                 {},
		"ns1.example.com:":    {},
		"ns1.example.com:0":   {},
		"ns1.example.com:dns": {},
		"192.0.2.1:65536":     {},
		"ns 1.example.com":    {},
	}
	for text, want := range tests {
		got, err := parseEndpoint(text, 53)
		if got != want || (err != nil) != (want == endpoint{}) {
			t.Errorf("parseEndpoint(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestAskCoversEveryAddress(t *testing.T) {
	first := play(t, script{"example.com TXT": {aa: true, answer: texts("new")}})
	second := play(t, script{"example.com TXT": {aa: true, answer: texts("old")}})
	a := Authority{Apex: "example.com", Servers: []Server{
		{Name: "ns1.example.com", Addrs: []netip.AddrPort{first.addr, second.addr}},
		{Name: "ns2.example.com", Unresolved: "the name server's host name has no address"},
		{Name: "ns3.example.com", Addrs: []netip.AddrPort{second.addr}, Unresolved: "AAAA failed"},
	}}
	p := NewProber(Options{Timeout: patience, AllowPrivate: loopback})
	found := func(server string, addr netip.AddrPort, value string) Answer {
		return Answer{Server: server, Addr: addr, Outcome: Found, Values: []string{value}, TTL: time.Minute}
	}
	want := []Answer{
		found("ns1.example.com", first.addr, "new"),
		found("ns1.example.com", second.addr, "old"),
		{Server: "ns2.example.com", Outcome: Timeout, Detail: "the name server's host name has no address"},
		found("ns3.example.com", second.addr, "old"),
		{Server: "ns3.example.com", Outcome: Timeout, Detail: "AAAA failed"},
	}
	if diff := cmp.Diff(want, p.Ask(t.Context(), a, "Example.com.", "txt"), addressesByValue); diff != "" {
		t.Error(diff)
	}
	before := len(first.questions())
	for _, q := range []struct{ name, rrtype string }{{"example.com", "NOSUCHTYPE"}, {strings.Repeat("a", 64) + ".example.com", "TXT"}} {
		got := p.Ask(t.Context(), a, q.name, q.rrtype)
		if len(got) != len(want) || got[0].Outcome != ServFail || got[0].Detail == "" {
			t.Errorf("%v: got %+v", q, got)
		}
	}
	if asked := len(first.questions()); asked != before {
		t.Errorf("%d questions were sent that cannot be asked", asked-before)
	}
}
