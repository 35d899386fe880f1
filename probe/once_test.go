package probe

import (
	"slices"
	"sync"
	"testing"

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
