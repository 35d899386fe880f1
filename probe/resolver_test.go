package probe

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestResolverLookups(t *testing.T) {
	n := play(t, script{
		"example.com TXT": {ra: true, answer: []string{`example.com. 60 TXT "v=spf1 " "-all"`, `example.com. 60 TXT "site=1"`}},
		"example.com MX": {ra: true, answer: []string{"example.com. 60 MX 20 B.example.com.", "example.com. 60 MX 10 c.example.com.",
			"example.com. 60 MX 20 a.example.com."}},
		"null.example.com MX":              {ra: true, answer: []string{"null.example.com. 60 MX 0 ."}},
		"host.example.com A":               {ra: true, answer: []string{"host.example.com. 60 A 192.0.2.2", "host.example.com. 60 A 192.0.2.1"}},
		"host.example.com AAAA":            {ra: true, answer: []string{"host.example.com. 60 AAAA 2001:db8::1"}},
		"v4.example.com A":                 {ra: true, answer: []string{"v4.example.com. 60 A 192.0.2.2"}},
		"v4.example.com AAAA":              {ra: true, ns: []string{soa("example.com", "60", "60")}},
		"1.2.0.192.in-addr.arpa PTR":       {ra: true, answer: []string{"1.2.0.192.in-addr.arpa. 60 PTR Host.example.com."}},
		"alias.example.com TXT":            {ra: true, answer: []string{"alias.example.com. 60 CNAME b.example.net.", "b.example.net. 60 CNAME c.example.net.", `c.example.net. 60 TXT "far"`}},
		"half.example.com TXT":             {aa: true, answer: []string{"half.example.com. 60 CNAME example.com."}},
		"half-deep.example.com TXT":        {aa: true, answer: []string{"half-deep.example.com. 60 CNAME half.example.com."}},
		"dangling.example.com TXT":         {ra: true, code: dns.RcodeNameError, answer: []string{"dangling.example.com. 60 CNAME gone.example.com."}},
		"empty-target.example.com TXT":     {ra: true, answer: []string{"empty-target.example.com. 60 CNAME e.example.com."}, ns: []string{soa("example.com", "60", "60")}},
		"loop.example.com TXT":             {ra: true, answer: []string{"loop.example.com. 60 CNAME loop2.example.com.", "loop2.example.com. 60 CNAME loop.example.com."}},
		"gone.example.com TXT":             {ra: true, code: dns.RcodeNameError},
		"nodata.example.com TXT":           {ra: true},
		"referral.example.com TXT":         {ns: []string{"example.com. 60 NS ns.example.com."}},
		"no-recursion.example.com TXT":     {},
		"refused.example.com TXT":          {code: dns.RcodeRefused},
		"half-failed.example.com A":        {ra: true, answer: []string{"half-failed.example.com. 60 A 192.0.2.1"}},
		"half-failed.example.com AAAA":     {code: dns.RcodeServerFailure},
		"addressless.example.com A":        {ra: true},
		"addressless.example.com AAAA":     {ra: true, code: dns.RcodeNameError},
		"foreign-answers.example.com TXT":  {ra: true, answer: []string{`other.example.com. 60 TXT "x"`}},
		"foreign-negative.example.com TXT": {ra: true, ns: []string{soa("example.net", "60", "60")}},
	})
	r := n.resolver()
	ctx := t.Context()
	txt := func(name string) func() (any, error) {
		return func() (any, error) { return r.LookupTXT(ctx, name) }
	}
	ips := func(name string) func() (any, error) {
		return func() (any, error) {
			list, err := r.LookupNetIP(ctx, "ip", name)
			var texts []string
			for _, ip := range list {
				texts = append(texts, ip.String())
			}
			return texts, err
		}
	}
	mx := func(name string) func() (any, error) {
		return func() (any, error) { return r.LookupMX(ctx, name) }
	}
	const notFound, temporary = "not found", "temporary"
	tests := map[string]struct {
		lookup func() (any, error)
		want   any
		fails  string
		text   string
	}{
		"TXT":                     {txt("example.com"), []string{"site=1", "v=spf1 -all"}, "", ""},
		"trailing dot and case":   {txt("Example.COM."), []string{"site=1", "v=spf1 -all"}, "", ""},
		"MX by preference":        {mx("example.com"), []*net.MX{{Host: "c.example.com", Pref: 10}, {Host: "a.example.com", Pref: 20}, {Host: "b.example.com", Pref: 20}}, "", ""},
		"null MX":                 {mx("null.example.com"), []*net.MX{{Host: ".", Pref: 0}}, "", ""},
		"both families":           {ips("host.example.com"), []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}, "", ""},
		"one family":              {ips("v4.example.com"), []string{"192.0.2.2"}, "", ""},
		"PTR":                     {func() (any, error) { return r.LookupAddr(ctx, "192.0.2.1") }, []string{"host.example.com"}, "", ""},
		"alias":                   {txt("alias.example.com"), []string{"far"}, "", ""},
		"alias followed by us":    {txt("half-deep.example.com"), []string{"site=1", "v=spf1 -all"}, "", ""},
		"alias to nowhere":        {txt("dangling.example.com"), nil, notFound, ""},
		"alias to a bare name":    {txt("empty-target.example.com"), nil, notFound, ""},
		"NXDOMAIN":                {txt("gone.example.com"), nil, notFound, ""},
		"NODATA":                  {txt("nodata.example.com"), nil, notFound, ""},
		"no address":              {ips("addressless.example.com"), nil, notFound, ""},
		"alias loop":              {txt("loop.example.com"), nil, temporary, "lookup loop.example.com: too many aliases"},
		"SERVFAIL":                {txt("unscripted.example.com"), nil, temporary, ": SERVFAIL"},
		"REFUSED":                 {txt("refused.example.com"), nil, temporary, ": REFUSED"},
		"referral":                {txt("referral.example.com"), nil, temporary, ": the server does not resolve recursively"},
		"no recursion":            {txt("no-recursion.example.com"), nil, temporary, ": the server does not resolve recursively"},
		"one family fails":        {ips("half-failed.example.com"), nil, temporary, ": SERVFAIL"},
		"others' records":         {txt("foreign-answers.example.com"), nil, notFound, ""},
		"negative of another one": {txt("foreign-negative.example.com"), nil, temporary, ": the server does not resolve recursively"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			got, err := tt.lookup()
			if tt.fails == "" {
				if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
					t.Errorf("error %v: %s", err, diff)
				}
				return
			}
			var e *net.DNSError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, error %v, want a *net.DNSError", got, err)
			}
			if e.IsNotFound != (tt.fails == notFound) || e.IsTemporary != (tt.fails == temporary) {
				t.Errorf("%#v is not %s", e, tt.fails)
			}
			if tt.text != "" && tt.text != e.Error() && "lookup "+e.Name+" on "+n.addr.String()+tt.text != e.Error() {
				t.Errorf("error %q, want %q", e, tt.text)
			}
		})
	}
}

func TestResolverFallsBack(t *testing.T) {
	good := play(t, script{"example.com TXT": {ra: true, answer: texts("x")}})
	for title, first := range map[string]string{
		"dead":     deadAddr(t).String(),
		"failing":  play(t, script{}).addr.String(),
		"referral": play(t, script{"example.com TXT": {ns: []string{"com. 60 NS a.example.net."}}}).addr.String(),
	} {
		t.Run(title, func(t *testing.T) {
			got, err := NewResolver([]string{first, good.addr.String()}, patience).LookupTXT(t.Context(), "example.com")
			if err != nil || !cmp.Equal(got, []string{"x"}) {
				t.Errorf("got %q, error %v", got, err)
			}
		})
	}
}

func TestResolverFailures(t *testing.T) {
	silent := play(t, script{"example.com TXT": {silent: true}})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		r                  *Resolver
		ctx                context.Context
		timeout, cancelled bool
		text               string
	}{
		"nobody answers": {NewResolver([]string{silent.addr.String()}, hurry), t.Context(), true, false, "lookup example.com on " + silent.addr.String() + ": no answer in time"},
		"no servers":     {NewResolver(nil, 0), t.Context(), false, false, "lookup example.com: no resolver is configured"},
		"cancelled":      {silent.resolver(), cancelled, false, true, "lookup example.com on " + silent.addr.String() + ": no answer in time"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			_, err := tt.r.LookupTXT(tt.ctx, "example.com")
			var e *net.DNSError
			if !errors.As(err, &e) || !e.IsTemporary || e.IsNotFound || e.IsTimeout != tt.timeout || errors.Is(err, context.Canceled) != tt.cancelled {
				t.Errorf("got %#v", err)
			}
			if err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

func TestResolverServers(t *testing.T) {
	got := NewResolver([]string{"192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5353", "dns.example", "dns.example:5353"}, 0).servers
	want := []string{"192.0.2.1:53", "192.0.2.1:5353", "[2001:db8::1]:53", "[2001:db8::1]:53", "[2001:db8::1]:5353", "dns.example:53", "dns.example:5353"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
