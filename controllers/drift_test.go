package controllers

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// agenda is a work queue of which only the additions are looked at.
type agenda struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
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
	s := spec()
	s.MTASTS.Address = &v1alpha1.MTASTSAddress{Type: v1alpha1.AddressA, Values: []string{"127.0.0.1"}}
	w.apply("example-com", s)
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
		"mail goes elsewhere":        func() { w.must(w.dns.Set("example.com", "MX", "10 mx2.example.com.")) },
		"the policy host moves":      func() { w.must(w.dns.Set("mta-sts.example.com", "A", "127.0.0.2")) },
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
			w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com."))
			if what == "the claim is another's" {
				w.must(w.dns.SetTXT("_maildomain.example.com"))
			}
			if what == "a second DMARC" {
				w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"))
			}
		})
	}
}

// A MailDomain that is suspended or gone is not watched.
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
	if result := w.driftCheck("example-com"); result != (ctrl.Result{}) || len(news.now) > 0 {
		t.Errorf("a suspended MailDomain is watched: %v, a pass for %v", result, news.now)
	}
	w.vanish(w.get("example-com"))
	w.pass("example-com")
	if len(w.r.Drift.watches) > 0 {
		t.Error("a MailDomain that is gone is remembered")
	}
}

// A pass comes as soon as checks would where nobody watches, and hourly where somebody does.
func TestPassesWhereNobodyWatches(t *testing.T) {
	w := newWorld(t)
	due, _ := w.watchDrift()
	w.r.Resync, w.r.Poll = time.Hour, time.Second
	pass := func() time.Duration {
		result, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}})
		w.must(err)
		return result.RequeueAfter
	}
	s := spec()
	s.MTASTS = nil
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	if after := pass(); after <= 54*time.Minute || after > time.Hour {
		t.Errorf("watched, and the next pass is after %s", after)
	}
	w.r.Drift.due = nil // as before the checks are started
	if after := pass(); after > time.Minute {
		t.Errorf("nobody checks yet, and the next pass is after %s", after)
	}
	w.r.Drift.due = due
	w.dns.Fault(dnsserver.Fault{Lame: true})
	w.forward(time.Hour)
	if after := pass(); after > time.Minute {
		t.Errorf("nobody answers, and the next pass is after %s", after)
	}
}

// cast are name servers of which each may show something else.
type cast struct {
	shown  map[string]probe.Answer // by address
	asked  []string
	during func() // nil, or what happens while they are asked
}

func (c *cast) InTurn(_ context.Context, _ string, _ []string, turn uint64) iter.Seq2[probe.Server, error] {
	at := func(addresses ...string) (list []netip.AddrPort) {
		for _, a := range addresses {
			list = append(list, netip.MustParseAddrPort(a+":53"))
		}
		return list
	}
	servers := []probe.Server{{Name: "ns1", Addrs: at("192.0.2.11", "192.0.2.1")}, {Name: "ns2", Addrs: at("192.0.2.2")}, {Name: "ns3", Addrs: at("192.0.2.3")}}
	return func(yield func(probe.Server, error) bool) {
		for i := range servers {
			if !yield(servers[(turn+uint64(i))%uint64(len(servers))], nil) {
				return
			}
		}
	}
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

func found(values ...string) probe.Answer {
	return probe.Answer{Outcome: probe.Found, Values: values}
}

// viewFor is a view of two RRsets at example.com, both with these answers.
func viewFor(rrtype string, answers ...probe.Answer) *view {
	print, _ := printOf(rrtype, answers)
	return &view{rrsets: []shownRRset{{asked{"example.com", rrtype, false}, "example.com", print}, {asked{"a.example.com", rrtype, false}, "example.com", print}}}
}

// Each check asks one server, the next one another, also after a pass in between; MX records are asked of all. A server that there is
// no way to is left out.
func TestDriftWatchTakesTurns(t *testing.T) {
	c := &cast{shown: map[string]probe.Answer{"192.0.2.1": found("a"), "192.0.2.11": {Outcome: probe.Unroutable}, "192.0.2.2": found("a"), "192.0.2.3": {Outcome: probe.Unroutable}}}
	name := types.NamespacedName{Namespace: "mail", Name: "example-com"}
	news := &agenda{}
	w := &DriftWatch{Prober: c, Interval: time.Minute, due: &agenda{later: map[string]time.Duration{}}, news: news}
	check := func() {
		t.Helper()
		c.asked = nil
		if _, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: name}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for range 3 {
		w.begin(name)
		w.remember(name, viewFor("TXT", found("a")))
		check()
		c.asked = slices.DeleteFunc(c.asked, func(addr string) bool { return c.shown[addr].Outcome == probe.Unroutable })
		seen[strings.Join(c.asked, " ")]++
	}
	if diff := cmp.Diff([]string{"192.0.2.1 192.0.2.1", "192.0.2.2 192.0.2.2"}, slices.Sorted(maps.Keys(seen))); diff != "" || len(news.now) > 0 {
		t.Errorf("in three checks these were asked: %s; a pass for %v", diff, news.now)
	}
	c.shown["192.0.2.2"] = found("b")
	for range 3 {
		check()
	}
	if len(news.now) != 1 {
		t.Errorf("a server that differs brings %v", news.now)
	}

	c.shown["192.0.2.1"], c.shown["192.0.2.2"] = found("10 a."), found("10 b.", "10 a.")
	w.remember(name, viewFor("MX", found("10 a."), found("10 a.", "10 b.")))
	if check(); len(c.asked) != 8 || len(news.now) != 1 {
		t.Errorf("MX records are asked of %v, and bring %v", c.asked, news.now)
	}
}

// A pass that begins during a check sees for itself: what the check finds by then is no news.
func TestDriftWatchLeavesItToAPass(t *testing.T) {
	news, name := &agenda{}, types.NamespacedName{Namespace: "mail", Name: "example-com"}
	c := &cast{}
	w := &DriftWatch{Prober: c, Interval: time.Minute, due: &agenda{later: map[string]time.Duration{}}, news: news}
	for passes, want := range map[bool]int{false: 1, true: 0} {
		news.now, c.during = nil, nil
		if passes {
			c.during = func() { w.begin(name) }
		}
		w.remember(name, viewFor("TXT", found("a")))
		if _, err := w.Reconcile(t.Context(), ctrl.Request{NamespacedName: name}); err != nil || len(news.now) != want {
			t.Errorf("with a pass %t: %v, a pass for %v", passes, err, news.now)
		}
	}
}

// What two answers have to have in common to be the same, and when there is no telling.
func TestPrintOf(t *testing.T) {
	alias, nothing := probe.Answer{Outcome: probe.Found, Alias: "a"}, probe.Answer{Outcome: probe.NoData}
	for name, tt := range map[string]struct {
		rrtype   string
		one, two []probe.Answer
		same     bool
	}{
		"in another order":         {"TXT", []probe.Answer{found("a", "b")}, []probe.Answer{found("b", "a")}, true},
		"more servers":             {"TXT", []probe.Answer{found("a"), found("a")}, []probe.Answer{found("a")}, true},
		"one is silent":            {"TXT", []probe.Answer{found("a"), {Outcome: probe.Timeout}}, []probe.Answer{found("a")}, true},
		"no name, no such record":  {"TXT", []probe.Answer{nothing}, []probe.Answer{{Outcome: probe.NXDomain}}, true},
		"another value":            {"TXT", []probe.Answer{found("a")}, []probe.Answer{found("b")}, false},
		"one more":                 {"TXT", []probe.Answer{found("a")}, []probe.Answer{found("a", "b")}, false},
		"two put together":         {"TXT", []probe.Answer{found("a", "b")}, []probe.Answer{found("a\" \"b")}, false},
		"gone":                     {"TXT", []probe.Answer{found("a")}, []probe.Answer{nothing}, false},
		"an alias":                 {"TXT", []probe.Answer{nothing}, []probe.Answer{alias}, false},
		"the alias is a text":      {"TXT", []probe.Answer{found("CNAME a")}, []probe.Answer{alias}, false},
		"hosts of any server":      {"MX", []probe.Answer{found("a"), found("b")}, []probe.Answer{found("b", "a"), {Outcome: probe.Timeout}}, true},
		"one has no host any more": {"MX", []probe.Answer{found("a"), found("a")}, []probe.Answer{found("a"), nothing}, false},
		"a host of one server":     {"MX", []probe.Answer{found("a"), found("a")}, []probe.Answer{found("a"), found("a", "b")}, false},
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

// A pass has a view only of what DNS alone tells, and tells clearly.
func TestViewOf(t *testing.T) {
	for name, tt := range map[string]struct {
		rrtype  string
		answers []probe.Answer
		err     error
		unclear bool
		clear   bool
	}{
		"a text":                    {rrtype: "TXT", answers: []probe.Answer{found("a")}, clear: true},
		"no text":                   {rrtype: "TXT", answers: []probe.Answer{{Outcome: probe.NXDomain}}, clear: true},
		"a text behind an alias":    {rrtype: "TXT", answers: []probe.Answer{{Outcome: probe.Found, Alias: "b"}}},
		"mail behind an alias":      {rrtype: "MX", answers: []probe.Answer{{Outcome: probe.Found, Alias: "b"}}},
		"a host that is an alias":   {rrtype: "A", answers: []probe.Answer{{Outcome: probe.Found, Alias: "b"}}, clear: true},
		"servers differ":            {rrtype: "TXT", answers: []probe.Answer{found("a"), found("b")}},
		"nobody answers":            {rrtype: "TXT", answers: []probe.Answer{{Outcome: probe.Timeout}}},
		"nobody to ask":             {rrtype: "TXT", err: probe.ErrCouldNotAsk},
		"it goes by something else": {rrtype: "TXT", answers: []probe.Answer{found("a")}, unclear: true},
	} {
		s := &scope{unclear: tt.unclear, sights: map[asked]sight{{"example.com", tt.rrtype, false}: {answers: tt.answers, err: tt.err}}}
		if clear := viewOf(s) != nil; clear != tt.clear {
			t.Errorf("%s: clear is %t, want %t", name, clear, tt.clear)
		}
	}
}
