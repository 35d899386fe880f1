package spf

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mapResolver answers TXT from a map.
type mapResolver map[string][]string

func (r mapResolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	if texts := r[strings.TrimSuffix(name, ".")]; len(texts) > 0 {
		return texts, nil
	}
	return nil, notFound(name)
}

func (r mapResolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, notFound(name)
}

func (r mapResolver) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	return nil, notFound(name)
}

func (r mapResolver) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, notFound(addr)
}

var _ Resolver = (*net.Resolver)(nil)

var talk = mapResolver{
	"example.com":     {"a site's token", "v=spf1 ip4:192.0.2.0/24 include:smarter.se include:deep.se -all exp=why.example.com"},
	"smarter.se":      {"v=spf1 ip4:198.51.100.0/24 ~all"},
	"deep.se":         {"v=spf1 include:deeper.se ?all"},
	"deeper.se":       {"v=spf1 ip6:2001:db8::/32 -all"},
	"why.example.com": {"%{i} may not send for %{d}, said %{r} at %{t}"},
}

// The trace shows where the lookups go, and whose record decides.
func TestTrace(t *testing.T) {
	ev := Evaluator{Resolver: talk, Receiver: "mx.example.org", Time: time.Unix(1790000000, 0)}
	got := ev.Evaluate(t.Context(), netip.MustParseAddr("2001:db8::1"), "hans@example.com", "host.example.net")
	want := Evaluation{Result: Pass, Lookups: 3, Trace: []Step{
		{0, "example.com", "ip4:192.0.2.0/24", 0, NotMatched},
		{0, "example.com", "include:smarter.se", 1, NotMatched},
		{1, "smarter.se", "ip4:198.51.100.0/24", 0, NotMatched},
		{1, "smarter.se", "~all", 0, Matched},
		{0, "example.com", "include:deep.se", 2, Matched},
		{1, "deep.se", "include:deeper.se", 1, Matched},
		{2, "deeper.se", "ip6:2001:db8::/32", 0, Matched},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = ev.Evaluate(t.Context(), netip.MustParseAddr("::ffff:203.0.113.9"), "hans@example.com", "host.example.net")
	if want := "203.0.113.9 may not send for example.com, said mx.example.org at 1790000000"; got.Result != Fail || got.Explanation != want {
		t.Errorf("got %s %q, want %q", got.Result, got.Explanation, want)
	}
}

func TestEvaluateEdges(t *testing.T) {
	host := netip.MustParseAddr("192.0.2.1")
	for name, test := range map[string]struct {
		ip             netip.Addr
		mailFrom, helo string
		result         Result
		err            string
	}{
		"bounces are judged by HELO": {host, "", "example.com", Pass, ""},
		"a HELO with its dot":        {host, "", "example.com.", Pass, ""},
		"no address":                 {netip.Addr{}, "a@example.com", "", None, "no address"},
		"nothing to judge":           {host, "", "", None, "is not a domain"},
		"no record":                  {host, "a@example.org", "", None, "example.org has no SPF record"},
		"an address as domain":       {host, "", "[192.0.2.1]", None, "no SPF record"},
		"quoted local part":          {host, `"a@b"@example.com`, "", Pass, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Evaluate(t.Context(), talk, test.ip, test.mailFrom, test.helo)
			if got.Result != test.result || (got.Err == nil) != (test.err == "") || got.Err != nil && !strings.Contains(got.Err.Error(), test.err) {
				t.Errorf("got %s (%v), want %s (%s)", got.Result, got.Err, test.result, test.err)
			}
		})
	}
}

// Whatever a record says, an evaluation ends within the limits.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{"v=spf1 include:a.example.com -all", "v=spf1 a mx ptr exists:%{l1r+}.%{p}.%{d} redirect=%{h}.se", "v=spf1 redirect=a.example.com", "v=spf1 a:%{s99R-}.com/0//0 exp=%{o}"} {
		f.Add(seed, "2001:db8::1", "x-y@a.example.com", "host.example.com")
	}
	f.Fuzz(func(t *testing.T, text, ip, mailFrom, helo string) {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return
		}
		r := mapResolver{"a.example.com": {text}, "example.com": {text, "other"}}
		got := Evaluate(t.Context(), r, addr, mailFrom, helo)
		if got.Lookups > MaxLookups+1 || got.Voids > MaxVoids+1 || got.Result == "" {
			t.Fatalf("%+v", got)
		}
		if record, err := Parse(text); err == nil {
			if a := Analyze(t.Context(), r, "a.example.com", record); a.Lookups > walkLimit {
				t.Fatalf("%d lookups", a.Lookups)
			}
		}
		Lint(Subject{Domain: "a.example.com", Texts: []string{text}})
	})
}
