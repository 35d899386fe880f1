package probe

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestOnce(t *testing.T) {
	n := play(t, script{
		"example.com TXT": {ra: true, answer: []string{`example.com. 60 TXT "a"`}},
		"broken.com TXT":  {code: dns.RcodeServerFailure},
	})
	r := n.resolver().Once()
	var group sync.WaitGroup
	for _, name := range []string{"example.com", "example.com.", "EXAMPLE.com", "broken.com", "broken.com"} {
		group.Go(func() {
			texts, err := r.LookupTXT(t.Context(), name)
			if broken := name == "broken.com"; broken != (err != nil) || !broken && !slices.Equal(texts, []string{"a"}) {
				t.Errorf("%s: %q, %v", name, texts, err)
			}
		})
	}
	group.Wait()
	asked := n.questions()
	slices.Sort(asked)
	if want := []string{"udp broken.com TXT", "udp example.com TXT"}; !slices.Equal(slices.Compact(slices.Clone(asked)), want) || len(asked) != len(want) {
		t.Errorf("asked %q, want each once", asked)
	}
	// Another look asks anew.
	if _, err := n.resolver().Once().LookupTXT(t.Context(), "example.com"); err != nil || len(n.questions()) != 3 {
		t.Errorf("%v, asked %q", err, n.questions())
	}
}

// For a pass over many names of a zone the zone and its servers are found out once, and what they serve each time anew; a
// zone below is another one.
func TestProberOnce(t *testing.T) {
	n := play(t, world())
	prober := func() *Prober {
		return NewProber(Options{Resolver: n.resolver(), Port: n.addr.Port(), Timeout: patience, AllowPrivate: loopback})
	}
	p := prober().Once()
	var all []Authority
	for range 2 {
		for _, name := range []string{"example.com", "_dmarc.example.com", "s._domainkey.child.example.com"} {
			a, err := p.Authority(t.Context(), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, a)
			p.Ask(t.Context(), a, name, "TXT")
		}
	}
	if all[0].Apex != "example.com" || all[1].Apex != "example.com" || all[2].Apex != "_domainkey.child.example.com" {
		t.Errorf("%+v", all)
	}
	if diff := cmp.Diff(all[:3], all[3:], cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	counts := map[string]int{}
	for _, question := range n.questions() {
		counts[question]++
	}
	for question, most := range map[string]int{"udp example.com NS": 1, "udp ns1.example.com A": 1, "udp _dmarc.example.com SOA": 1, "udp _dmarc.example.com TXT": 2} {
		if counts[question] != most {
			t.Errorf("%s: asked %d times, want %d", question, counts[question], most)
		}
	}
	// Another look asks anew.
	before := len(n.questions())
	if _, err := prober().Once().Authority(t.Context(), "example.com", nil); err != nil || len(n.questions()) == before {
		t.Errorf("%v, asked %q", err, n.questions())
	}
}

func TestExists(t *testing.T) {
	r := play(t, script{
		"here.com TXT":     {ra: true, answer: []string{`here.com. 60 TXT "a"`}},
		"other.com TXT":    {ra: true},
		"gone.com TXT":     {ra: true, code: dns.RcodeNameError},
		"dangling.com TXT": {ra: true, code: dns.RcodeNameError, answer: []string{"dangling.com. 60 CNAME gone.com."}},
		"broken.com TXT":   {code: dns.RcodeServerFailure},
		"circle.com TXT":   {ra: true, answer: []string{"circle.com. 60 CNAME circle.com."}},
	}).resolver()
	for name, want := range map[string]bool{"here.com": true, "other.com": true, "gone.com": false, "dangling.com": true} {
		if got, err := r.Exists(t.Context(), name); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"broken.com", "circle.com"} {
		if _, err := r.Exists(t.Context(), name); err == nil {
			t.Errorf("%s: that is an answer", name)
		}
	}
}

func TestAlias(t *testing.T) {
	r := play(t, script{
		"here.com TXT":   {ra: true, answer: []string{`here.com. 60 TXT "a"`}},
		"alias.com TXT":  {ra: true, answer: []string{"alias.com. 60 CNAME B.example.com.", `b.example.com. 60 TXT "a"`}},
		"gone.com TXT":   {ra: true, code: dns.RcodeNameError},
		"broken.com TXT": {code: dns.RcodeServerFailure},
	}).resolver()
	for name, want := range map[string]string{"here.com": "", "alias.com": "b.example.com", "gone.com": ""} {
		if got, err := r.Alias(t.Context(), name); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := r.Alias(t.Context(), "broken.com"); err == nil {
		t.Error("SERVFAIL is an answer")
	}
}
