package controllers

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// agenda is a work queue of which only the additions are looked at.
type agenda struct {
	now   []string
	later map[string]time.Duration
}

func (a *agenda) Add(r reconcile.Request) { a.now = append(a.now, r.Name) }

func (a *agenda) AddAfter(r reconcile.Request, after time.Duration) { a.later[r.Name] = after }

// watchDrift gives the world a DriftWatch, and returns what is added to its queue and to the Reconciler's.
func (w *world) watchDrift() (due, news *agenda) {
	due, news = &agenda{later: map[string]time.Duration{}}, &agenda{}
	w.r.Drift = &DriftWatch{Prober: w.r.Prober.(*probe.Prober), Interval: time.Minute, due: due, news: news}
	return due, news
}

func (w *world) driftCheck(name string) ctrl.Result {
	w.t.Helper()
	result, err := w.r.Drift.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: name}})
	w.must(err)
	return result
}

// While DNS shows what the last pass saw, checks come again and nothing else happens; whatever changes, of ours or of what the
// decisions go by, has a pass made, and so does a server that can't say.
func TestDriftWatch(t *testing.T) {
	w := newWorld(t)
	due, news := w.watchDrift()
	w.apply("example-com", spec())
	w.pass("example-com")
	if len(due.later) > 0 {
		t.Errorf("a check is due %v though keys wait for their proof", due.later)
	}
	for what, change := range map[string]func(){
		"nothing":         func() {},
		"SPF is another":  func() { w.must(w.dns.SetTXT("example.com", "v=spf1 +all")) },
		"TLS-RPT is gone": func() { w.must(w.dns.SetTXT("_smtp._tls.example.com")) },
		"a second DMARC": func() {
			w.must(w.dns.SetTXT("_dmarc.example.com", w.dns.TXT("_dmarc.example.com")[0], "v=DMARC1; p=none"))
		},
		"the claim is another's": func() { w.must(w.dns.SetTXT("_maildomain.example.com", "v=maildomain1; owner=other; id=1")) },
		"a key is gone": func() {
			w.must(w.dns.SetTXT(w.get("example-com").Status.DKIM.ActiveSelectors[1] + "._domainkey.example.com"))
		},
		"the server is lame":         func() { w.dns.Fault(dnsserver.Fault{Lame: true}) },
		"the server is out of order": func() { w.dns.Fault(dnsserver.Fault{ServFail: true}) },
	} {
		t.Run(what, func(t *testing.T) {
			w.in(t)
			w.until("example-com", "ready", isReady)
			w.pass("example-com")
			if after := due.later["example-com"]; after > time.Minute || after <= 54*time.Second {
				t.Errorf("the check is due after %s", after)
			}
			effects, provider := len(w.effects), w.provider
			for range 2 {
				if result := w.driftCheck("example-com"); len(news.now) > 0 || result.RequeueAfter > time.Minute || result.RequeueAfter <= 54*time.Second {
					t.Fatalf("with nothing changed: %v, a pass for %v", result, news.now)
				}
			}
			change()
			w.driftCheck("example-com")
			want := []string{"example-com"}
			if what == "nothing" {
				want = nil
			}
			if diff := cmp.Diff(want, news.now); diff != "" {
				t.Error(diff)
			}
			w.driftCheck("example-com") // once is enough
			if len(news.now) > 1 || len(w.effects) > effects || w.provider > provider {
				t.Errorf("%d passes, %v, %d calls to the provider", len(news.now), w.effects[effects:], w.provider-provider)
			}
			news.now = nil
			w.dns.Fault(dnsserver.Fault{})
			if what == "the claim is another's" {
				w.must(w.dns.SetTXT("_maildomain.example.com"))
			}
			if what == "a second DMARC" {
				w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"))
			}
		})
	}
}

// A MailDomain that is deleted, suspended or gone is not watched.
func TestDriftWatchForgets(t *testing.T) {
	w := newWorld(t)
	_, news := w.watchDrift()
	s := spec()
	s.MTASTS = nil
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Suspend = new(true) })
	w.pass("example-com")
	w.must(w.dns.SetTXT("example.com", "v=spf1 +all"))
	if result := w.driftCheck("example-com"); result != (ctrl.Result{}) || len(news.now) > 0 || len(w.r.Drift.views) > 0 {
		t.Errorf("a suspended MailDomain is watched: %v, a pass for %v", result, news.now)
	}
}

// cast are name servers of which each may show something else.
type cast struct {
	shown  map[string]probe.Answer // by address
	asked  []string
	during func() // nil, or what happens while they are asked
}

func (c *cast) Servers(context.Context, string, []string) ([]probe.Server, error) {
	at := func(addresses ...string) (list []netip.AddrPort) {
		for _, a := range addresses {
			list = append(list, netip.MustParseAddrPort(a+":53"))
		}
		return list
	}
	return []probe.Server{{Name: "ns1", Addrs: at("192.0.2.1", "192.0.2.11")}, {Name: "ns2", Addrs: at("192.0.2.2")}}, nil
}

func (c *cast) Ask(_ context.Context, a probe.Authority, _, _ string) (answers []probe.Answer) {
	if c.during != nil {
		c.during()
	}
	for _, server := range a.Servers {
		for _, addr := range server.Addrs {
			c.asked = append(c.asked, addr.Addr().String())
			answers = append(answers, c.shown[addr.Addr().String()])
		}
	}
	return answers
}

// Each check asks one server, the next one another; MX records are asked of all. A server that there is no way to is left out.
func TestDriftWatchTakesTurns(t *testing.T) {
	found := func(values ...string) probe.Answer { return probe.Answer{Outcome: probe.Found, Values: values} }
	c := &cast{shown: map[string]probe.Answer{"192.0.2.1": found("a"), "192.0.2.11": {Outcome: probe.Unroutable}, "192.0.2.2": found("a")}}
	w := &DriftWatch{Prober: c, Interval: time.Minute}
	print, _ := printOf("TXT", []probe.Answer{found("a")})
	v := &view{rrsets: []shownRRset{{asked{"example.com", "TXT", false}, "example.com", print}}}
	seen := map[string]int{}
	for range 3 {
		c.asked = nil
		if !w.stands(t.Context(), v) {
			t.Error("what stands does not")
		}
		seen[c.asked[len(c.asked)-1]]++
		if len(c.asked) > 2 {
			t.Errorf("a check asks %v", c.asked)
		}
	}
	if seen["192.0.2.1"] == 0 || seen["192.0.2.2"] == 0 {
		t.Errorf("in three checks these were asked: %v", seen)
	}
	c.shown["192.0.2.2"] = found("b")
	if w.stands(t.Context(), v) && w.stands(t.Context(), v) && w.stands(t.Context(), v) {
		t.Error("a server that differs is never noticed")
	}

	c.asked = nil
	all, _ := printOf("MX", []probe.Answer{found("10 a."), found("10 b.", "10 a.")})
	c.shown["192.0.2.1"], c.shown["192.0.2.2"] = found("10 a."), found("10 a.", "10 b.")
	if !w.stands(t.Context(), &view{rrsets: []shownRRset{{asked{"example.com", "MX", false}, "example.com", all}}}) || len(c.asked) != 3 {
		t.Errorf("MX records are asked of %v, or differ", c.asked)
	}
}

// A pass that begins during a check sees for itself: what the check finds by then is no news.
func TestDriftWatchLeavesItToAPass(t *testing.T) {
	news, name := &agenda{}, types.NamespacedName{Namespace: "mail", Name: "example-com"}
	w := &DriftWatch{Interval: time.Minute, due: &agenda{later: map[string]time.Duration{}}, news: news}
	c := &cast{}
	w.Prober = c
	for passes, want := range map[bool]int{false: 1, true: 0} {
		news.now, c.during = nil, nil
		if passes {
			c.during = func() { w.remember(name, nil) }
		}
		w.remember(name, &view{rrsets: []shownRRset{{asked{"example.com", "TXT", false}, "example.com", 1}}})
		if _, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: name}); err != nil || len(news.now) != want {
			t.Errorf("with a pass %t: %v, a pass for %v", passes, err, news.now)
		}
	}
}

// What two answers have to have in common to be the same, and when there is no telling.
func TestPrintOf(t *testing.T) {
	found := func(values ...string) probe.Answer { return probe.Answer{Outcome: probe.Found, Values: values} }
	alias, nothing := probe.Answer{Outcome: probe.Found, Alias: "a"}, probe.Answer{Outcome: probe.NoData}
	for name, tt := range map[string]struct {
		rrtype   string
		one, two []probe.Answer
		same     bool
	}{
		"in another order":        {"TXT", []probe.Answer{found("a", "b")}, []probe.Answer{found("b", "a")}, true},
		"more servers":            {"TXT", []probe.Answer{found("a"), found("a")}, []probe.Answer{found("a")}, true},
		"one is silent":           {"TXT", []probe.Answer{found("a"), {Outcome: probe.Timeout}}, []probe.Answer{found("a")}, true},
		"no name, no such record": {"TXT", []probe.Answer{nothing}, []probe.Answer{{Outcome: probe.NXDomain}}, true},
		"another value":           {"TXT", []probe.Answer{found("a")}, []probe.Answer{found("b")}, false},
		"one more":                {"TXT", []probe.Answer{found("a")}, []probe.Answer{found("a", "b")}, false},
		"two put together":        {"TXT", []probe.Answer{found("a", "b")}, []probe.Answer{found("a\" \"b")}, false},
		"gone":                    {"TXT", []probe.Answer{found("a")}, []probe.Answer{nothing}, false},
		"an alias":                {"TXT", []probe.Answer{nothing}, []probe.Answer{alias}, false},
		"the alias is a text":     {"TXT", []probe.Answer{found("CNAME a")}, []probe.Answer{alias}, false},
		"hosts of any server":     {"MX", []probe.Answer{found("a"), found("b")}, []probe.Answer{found("b", "a"), nothing}, true},
		"a host of one server":    {"MX", []probe.Answer{found("a"), found("a")}, []probe.Answer{found("a"), found("a", "b")}, false},
	} {
		one, ok1 := printOf(tt.rrtype, tt.one)
		two, ok2 := printOf(tt.rrtype, tt.two)
		if !ok1 || !ok2 || (one == two) != tt.same {
			t.Errorf("%s: same is %t, want %t", name, one == two, tt.same)
		}
	}
	for name, answers := range map[string][]probe.Answer{"nobody answers": {{Outcome: probe.Timeout}, {Outcome: probe.Lame}}, "they differ": {found("a"), found("b")}} {
		if _, ok := printOf("TXT", answers); ok {
			t.Errorf("%s, and that is a view", name)
		}
	}
}
