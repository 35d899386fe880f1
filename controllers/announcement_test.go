package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func policy(mode mtasts.Mode, mx ...string) mtasts.Policy {
	return mtasts.Policy{Mode: mode, MaxAge: 168 * time.Hour, MX: mx}
}

func told(p mtasts.Policy, held ...ledger.HeldPolicy) ledger.MTASTS {
	return ledger.MTASTS{Policy: p.String(), ID: p.ID(), Since: noon.Add(-time.Hour), Held: held}
}

// hosts are live MX hosts; "bad " and "dark " before a name are what a probe says of it, "once good " and
// "once dark " what status says of one that this process has not probed.
func hosts(names ...string) []mxHost {
	var list []mxHost
	for _, name := range names {
		name, unprobed := strings.CutPrefix(name, "once ")
		name = strings.TrimPrefix(name, "good ")
		h := mxHost{name: name, tls: v1alpha1.VerdictPass, message: "TLSv1.3"}
		if n, ok := strings.CutPrefix(name, "bad "); ok {
			h = mxHost{name: n, tls: v1alpha1.VerdictFail, message: "no STARTTLS"}
		}
		if n, ok := strings.CutPrefix(name, "dark "); ok {
			h = mxHost{name: n, tls: v1alpha1.VerdictUnknown, message: "no connection"}
		}
		h.unprobed = unprobed
		list = append(list, h)
	}
	return list
}

func TestGates(t *testing.T) {
	none := mtasts.Policy{Mode: mtasts.None, MaxAge: time.Hour}
	for _, c := range []struct {
		name   string
		before mtasts.Policy
		wanted mtasts.Policy
		live   []mxHost
		dark   bool          // the MX records can't be read
		waited time.Duration // for probes
		left   time.Duration // since a.example left the MX records
		want   string
	}{
		{name: "first, testing", wanted: policy(mtasts.Testing, "a.example"), live: hosts("a.example")},
		{name: "first, testing, not covered", wanted: policy(mtasts.Testing, "a.example"), live: hosts("a.example", "b.example"), want: v1alpha1.ReasonMXNotCovered},
		{name: "first, testing, without TLS", wanted: policy(mtasts.Testing, "a.example"), live: hosts("bad a.example")},
		{name: "first, testing, MX unknown", wanted: policy(mtasts.Testing, "a.example"), dark: true, want: v1alpha1.ReasonServersUnreachable},
		{name: "testing without hosts, MX unknown", wanted: policy(mtasts.Testing), dark: true, want: v1alpha1.ReasonServersUnreachable},
		{name: "testing without hosts", wanted: policy(mtasts.Testing), want: v1alpha1.ReasonMXNotCovered},
		{name: "enforce, MX moved just now", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), left: time.Hour, want: v1alpha1.ReasonProgressing},
		{name: "enforce, MX moved yesterday", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), left: 24 * time.Hour},
		{name: "testing, MX moved just now", wanted: policy(mtasts.Testing, "b.example"), live: hosts("b.example"), left: time.Hour},
		{name: "first, none", wanted: none, dark: true},
		{name: "enforce", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), live: hosts("a.example")},
		{name: "enforce by wildcard", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "*.example"), live: hosts("a.example", "b.example")},
		{name: "enforce, not covered", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), live: hosts("a.example", "b.example"), want: v1alpha1.ReasonMXNotCovered},
		{name: "enforce, MX unknown", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), dark: true, want: v1alpha1.ReasonServersUnreachable},
		{name: "enforce, without TLS", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), live: hosts("bad a.example"), want: v1alpha1.ReasonMXNotSecure},
		{name: "enforce, TLS unknown", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), live: hosts("dark a.example"), want: v1alpha1.ReasonProbeUnavailable},
		{name: "enforce, TLS unknown for nearly a day", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("dark a.example"), waited: 24*time.Hour - time.Second, want: v1alpha1.ReasonProbeUnavailable},
		{name: "enforce, TLS unknown for a day", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("dark a.example"), waited: 24 * time.Hour},
		{name: "enforce, TLS unknown for a day, not covered", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("dark a.example", "dark b.example"), waited: 24 * time.Hour, want: v1alpha1.ReasonMXNotCovered},
		{name: "enforce, TLS unknown for a day, another fails", wanted: policy(mtasts.Enforce, "*.example"), live: hosts("dark a.example", "bad b.example"), waited: 24 * time.Hour, want: v1alpha1.ReasonMXNotSecure},

		{name: "enforce, not probed yet", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("once dark a.example"), want: v1alpha1.ReasonProbeUnavailable},
		{name: "enforce, not probed yet, though unknown for a day", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("once dark a.example"), waited: 48 * time.Hour, want: v1alpha1.ReasonProbeUnavailable},
		{name: "enforce, not probed yet, though good once", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("once good a.example"), waited: 48 * time.Hour, want: v1alpha1.ReasonProbeUnavailable},
		{name: "enforce, not probed yet, and bad before", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("once bad a.example"), want: v1alpha1.ReasonMXNotSecure},
		{name: "enforce, TLS unknown since tomorrow, as the clock went back", wanted: policy(mtasts.Enforce, "a.example"), live: hosts("dark a.example"), waited: -48 * time.Hour, want: v1alpha1.ReasonProbeUnavailable},
		{name: "testing, not probed yet", wanted: policy(mtasts.Testing, "a.example"), live: hosts("once dark a.example")},

		// In force it stays, and what asks less goes out, whatever the world looks like.
		{name: "in force, without TLS", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), live: hosts("bad a.example")},
		{name: "in force, not covered", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), live: hosts("b.example")},
		{name: "in force, dark", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "a.example"), dark: true},
		{name: "widened, not covered", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "a.example", "b.example"), live: hosts("c.example")},
		{name: "widened, without TLS", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "a.example", "b.example"), live: hosts("bad a.example")},
		{name: "back to testing", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Testing, "a.example"), live: hosts("bad b.example")},
		{name: "to none", before: policy(mtasts.Enforce, "a.example"), wanted: none, dark: true},
		{name: "testing, other hosts", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Testing, "b.example"), live: hosts("b.example")},
		{name: "testing, other hosts, not covered", before: policy(mtasts.Testing, "a.example"), wanted: policy(mtasts.Testing, "b.example"), live: hosts("a.example"), want: v1alpha1.ReasonMXNotCovered},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := announcement{now: noon, wanted: c.wanted, live: c.live, known: !c.dark}
			if c.before.Mode != "" {
				a.told = told(c.before)
			}
			if c.left > 0 {
				a.left = map[string]time.Time{"a.example": noon.Add(-c.left)}
			}
			if c.waited != 0 {
				a.told.Unprobed = noon.Add(-c.waited)
			}
			next, _ := a.next()
			if got := a.hold(next); got.reason != c.want {
				t.Errorf("got %q (%s), want %q", got.reason, got.message, c.want)
			}
		})
	}
}

// Mode enforce that is on its way, and whose id is not out, is still held by the gates.
func TestTheGatesHoldWhatIsNotOut(t *testing.T) {
	p := policy(mtasts.Enforce, "a.example")
	open := ledger.HeldPolicy{Policy: policy(mtasts.Enforce, "a.example", "b.example").String()}
	for name, c := range map[string]struct {
		a    announcement
		want string
	}{
		"out":                    {announcement{told: told(p)}, ""},
		"not out":                {announcement{told: told(p), pending: true}, v1alpha1.ReasonMXNotCovered},
		"not out, after another": {announcement{told: told(p, open), pending: true}, ""},
		"back to testing":        {announcement{told: told(p, ledger.HeldPolicy{Policy: policy(mtasts.Testing, "a.example").String()}), pending: true, wanted: policy(mtasts.Testing, "a.example")}, ""},
		"a release, not out":     {announcement{told: told(policy(mtasts.Testing, "a.example"), open), pending: true, wanted: policy(mtasts.None, "a.example")}, ""},
	} {
		a := c.a
		a.now, a.known, a.live = noon, true, hosts("a.example", "c.example")
		if a.wanted.Mode == "" {
			a.wanted = p
		}
		next, _ := a.next()
		if got := a.hold(next); got.reason != c.want {
			t.Errorf("%s: %q (%s), want %q", name, got.reason, got.message, c.want)
		}
	}
}

func TestNarrowing(t *testing.T) {
	old := ledger.HeldPolicy{Policy: policy(mtasts.Enforce, "a.example").String(), Until: noon.Add(time.Hour)}
	for _, c := range []struct {
		name   string
		before mtasts.Policy
		held   []ledger.HeldPolicy
		wanted mtasts.Policy
		live   []mxHost
		dark   bool
		left   time.Duration // since a.example left the MX records
		waited time.Duration // for probes
		want   []string      // mx
		kept   string        // in the message
	}{
		{name: "nothing dropped", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "a.example", "b.example"), want: []string{"a.example", "b.example"}},
		{name: "covered by a wildcard", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "*.example"), want: []string{"*.example"}},
		{name: "still live", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("a.example", "b.example"), want: []string{"b.example", "a.example"}, kept: "while a.example is a live MX host"},
		{name: "all at once", before: policy(mtasts.Enforce, "a.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("a.example"), want: []string{"b.example", "a.example"}, kept: "a.example stays"},
		{name: "live under a dropped wildcard", before: policy(mtasts.Enforce, "*.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("a.example"), want: []string{"b.example", "*.example"}, kept: "while a.example is a live MX host"},
		{name: "MX unknown", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), dark: true, want: []string{"b.example", "a.example"}, kept: "can be read"},
		{name: "the new one has no TLS", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("bad b.example"), want: []string{"b.example", "a.example"}, kept: "no STARTTLS"},
		{name: "the new one is dark", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("dark b.example"), want: []string{"b.example", "a.example"}, kept: "until 2026-11-24T12:00:00Z, as it can't be seen"},
		{name: "the new one is dark for a day", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("dark b.example"), waited: 24 * time.Hour, want: []string{"b.example"}},
		{name: "the new one is not probed yet", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("once good b.example"), waited: 24 * time.Hour, want: []string{"b.example", "a.example"}, kept: "until b.example is probed"},
		{name: "held by a sender", before: policy(mtasts.Enforce, "a.example", "b.example"), held: []ledger.HeldPolicy{old}, wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), want: []string{"b.example", "a.example"}, kept: "2026-11-23T13:00:00Z"},
		{name: "served beside", before: policy(mtasts.Enforce, "a.example", "b.example"), held: []ledger.HeldPolicy{{Policy: old.Policy}}, wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), want: []string{"b.example", "a.example"}, kept: "get or renew a policy"},
		{name: "forgotten by the last", before: policy(mtasts.Enforce, "a.example", "b.example"), held: []ledger.HeldPolicy{{Policy: old.Policy, Until: noon}}, wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), want: []string{"b.example"}},
		{name: "held in testing", before: policy(mtasts.Enforce, "a.example", "b.example"), held: []ledger.HeldPolicy{{Policy: policy(mtasts.Testing, "a.example").String(), Until: noon.Add(time.Hour)}}, wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), want: []string{"b.example"}},
		{name: "moved just now", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), left: time.Second, want: []string{"b.example", "a.example"}, kept: "until 2026-11-24T11:59:59Z"},
		{name: "moved a day ago", before: policy(mtasts.Enforce, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), left: 24 * time.Hour, want: []string{"b.example"}},
		{name: "in testing", before: policy(mtasts.Testing, "a.example", "b.example"), wanted: policy(mtasts.Testing, "b.example"), live: hosts("b.example"), want: []string{"b.example"}},
		{name: "into enforce", before: policy(mtasts.Testing, "a.example", "b.example"), wanted: policy(mtasts.Enforce, "b.example"), live: hosts("b.example"), want: []string{"b.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := announcement{now: noon, told: told(c.before, c.held...), wanted: c.wanted, live: c.live, known: !c.dark}
			if c.left != 0 {
				a.left = map[string]time.Time{"a.example": noon.Add(-c.left)}
			}
			if c.waited > 0 {
				a.told.Unprobed = noon.Add(-c.waited)
			}
			next, kept := a.next()
			slices.Sort(c.want)
			if !slices.Equal(lines(next), c.want) || !strings.Contains(kept, c.kept) || (kept == "") != (c.kept == "") {
				t.Errorf("mx %q, and %q", next.MX, kept)
			}
			if why := a.hold(next); why.bad() && !c.dark {
				t.Errorf("held: %s", why.message)
			}
		})
	}
}

// What is said in another order is not announced anew, whether spec says it or what stays beside it.
func TestAnotherOrderIsTheSamePolicy(t *testing.T) {
	before := policy(mtasts.Enforce, "a.example", "*.b.example")
	for name, c := range map[string]struct {
		wanted mtasts.Policy
		same   bool
	}{
		"the same":          {before, true},
		"another order":     {policy(mtasts.Enforce, "*.b.example", "a.example"), true},
		"in capitals":       {policy(mtasts.Enforce, "*.B.example", "A.example"), true},
		"a line that stays": {policy(mtasts.Enforce, "*.b.example"), true},
		"another line":      {policy(mtasts.Enforce, "c.example", "*.b.example", "a.example"), false},
		"a line in vain":    {policy(mtasts.Enforce, "x.b.example", "*.b.example", "a.example"), false},
		"another mode":      {policy(mtasts.Testing, "*.b.example", "a.example"), false},
		"another max_age":   {mtasts.Policy{Mode: mtasts.Enforce, MaxAge: time.Hour, MX: []string{"*.b.example", "a.example"}}, false},
	} {
		a := announcement{now: noon, told: told(before), wanted: c.wanted, live: hosts("a.example"), known: true}
		if next, _ := a.next(); (next.String() == before.String()) != c.same {
			t.Errorf("%s: %q", name, next.MX)
		}
	}
}

func TestRisk(t *testing.T) {
	for _, c := range []struct {
		name     string
		policy   mtasts.Policy
		live     []mxHost
		dark     bool
		unusable unusableMX
		want     string
	}{
		{name: "no TLS before the restart", policy: policy(mtasts.Enforce, "a.example"), live: hosts("once bad a.example"), want: v1alpha1.ReasonMailAtRisk},
		{name: "MX of no use", policy: policy(mtasts.Enforce, "a.example"), dark: true, unusable: "too many", want: v1alpha1.ReasonMXNotCovered},
		{name: "none, MX of no use", policy: mtasts.Policy{Mode: mtasts.None, MaxAge: time.Hour}, dark: true, unusable: "too many"},
		{name: "all well", policy: policy(mtasts.Enforce, "a.example"), live: hosts("a.example")},
		{name: "not covered", policy: policy(mtasts.Enforce, "a.example"), live: hosts("a.example", "b.example"), want: v1alpha1.ReasonMailAtRisk},
		{name: "no TLS", policy: policy(mtasts.Enforce, "a.example"), live: hosts("bad a.example"), want: v1alpha1.ReasonMailAtRisk},
		{name: "TLS unknown", policy: policy(mtasts.Enforce, "a.example"), live: hosts("dark a.example")},
		{name: "MX unknown", policy: policy(mtasts.Enforce, "a.example"), live: hosts("b.example"), dark: true},
		{name: "testing, not covered", policy: policy(mtasts.Testing, "a.example"), live: hosts("b.example"), want: v1alpha1.ReasonMXNotCovered},
		{name: "testing, no TLS", policy: policy(mtasts.Testing, "a.example"), live: hosts("bad a.example")},
		{name: "none", policy: mtasts.Policy{Mode: mtasts.None, MaxAge: time.Hour}, live: hosts("bad b.example")},
	} {
		a := announcement{now: noon, told: told(c.policy), live: c.live, known: !c.dark, unusable: c.unusable}
		if got := a.risk(); got.reason != c.want {
			t.Errorf("%s: %q (%s), want %q", c.name, got.reason, got.message, c.want)
		}
	}
	// The id of a release is not out yet, so what senders go by is the policy before.
	before := ledger.HeldPolicy{Policy: policy(mtasts.Enforce, "a.example").String()}
	for pending, want := range map[bool]string{true: v1alpha1.ReasonMailAtRisk, false: ""} {
		a := announcement{now: noon, told: told(policy(mtasts.Testing, "b.example"), before), live: hosts("b.example"), known: true, pending: pending}
		if got := a.risk(); got.reason != want {
			t.Errorf("pending %v: %q (%s), want %q", pending, got.reason, got.message, want)
		}
	}
	if got := (announcement{now: noon, live: hosts("b.example"), known: true}).risk(); got.bad() {
		t.Errorf("nothing is announced, and %q", got.message)
	}
}

// A user who widens the policy, waits for the moment that status names, moves the MX records and then
// narrows the policy loses no mail, however often, however fast, and whatever fails meanwhile: no sender
// ever holds a policy with mode enforce that does not cover an MX host that it may know.
func TestAnObedientUserLosesNoMail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c ledger.MTASTS
		now := noon
		names := []string{"a.example", "b.example", "c.example", "d.example"}
		set := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string])
		var seen ledger.MX // a move of the MX records is seen before the next one
		move := func(name string) []mxHost {
			list := set.Draw(t, name)
			slices.Sort(list)
			return hosts(list...)
		}
		live := move("live")
		since := map[string]time.Time{} // when a host left the MX records
		wanted := policy(mtasts.Enforce, set.Draw(t, "mx")...)
		served := map[string]bool{}       // what some replica may give out
		ids := map[string]bool{}          // of policies that some name server may have
		holders := map[string]time.Time{} // until when a sender may hold a policy
		servedUntilNow := func() {
			for body := range served {
				holders[body] = now.Add(heldBody(body))
			}
			for body := range ids { // who holds it renews it
				if now.Before(holders[body]) {
					holders[body] = now.Add(heldBody(body))
				}
			}
		}
		check := func(when string) {
			known := slices.Clone(live)
			for name, left := range since {
				if now.Before(left.Add(recordCaches)) && !slices.ContainsFunc(live, func(h mxHost) bool { return h.name == name }) {
					known = append(known, mxHost{name: name})
				}
			}
			for body, until := range holders {
				p, err := mtasts.ParsePolicy(body)
				if err != nil {
					t.Fatal(err)
				}
				if p.Mode != mtasts.Enforce || !now.Before(until) {
					continue
				}
				if missing := (announcement{live: known}).uncovered(p); len(missing) > 0 {
					t.Fatalf("%s: a sender holds %q until %v, and may know the MX %q\nledger: %+v", when, body, until, missing, c)
				}
			}
		}
		ready := false
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(100*time.Hour)).Draw(t, "time")).Truncate(time.Second) + time.Second)
			servedUntilNow()
			check("later")
			switch rapid.IntRange(0, 5).Draw(t, "user") {
			case 0: // the policy is changed in any way
				wanted = policy(rapid.SampledFrom([]mtasts.Mode{mtasts.Enforce, mtasts.Enforce, mtasts.Testing}).Draw(t, "mode"), set.Draw(t, "mx")...)
				wanted.MaxAge = rapid.SampledFrom([]time.Duration{24 * time.Hour, 168 * time.Hour, 1000 * time.Hour}).Draw(t, "age")
				ready = false
			case 1, 2: // the MX records are moved as status allows
				p, err := mtasts.ParsePolicy(c.Policy)
				if !ready || err != nil || !movable(c, now).IsZero() || !slices.EqualFunc(live, seen.Hosts, func(h mxHost, name string) bool { return h.name == name }) {
					break
				}
				next := move("moved")
				if moved := (announcement{live: next}); len(moved.uncovered(p)) > 0 || len(moved.uncovered(wanted)) > 0 {
					break
				}
				for _, h := range live {
					since[h.name] = now
				}
				live = next
				check("moved")
			}
			a := announcement{now: now, told: c, wanted: wanted, live: live, known: rapid.IntRange(0, 4).Draw(t, "MX") > 0}
			seen = a.remember(seen)
			a.left = seen.Left
			next, _ := a.next()
			why := a.hold(next)
			if why.bad() || rapid.IntRange(0, 5).Draw(t, "crash") == 0 {
				ready = ready && !why.bad()
				continue
			}
			c = offer(c, next)
			served[next.String()] = true // on some replicas at least
			servedUntilNow()
			check("served")
			if ready = rapid.IntRange(0, 2).Draw(t, "proof") > 0; !ready {
				continue
			}
			served = map[string]bool{next.String(): true}
			c, ids[next.String()] = announced(c, next, now), true
			if !open(c) {
				continue
			}
			if ready = rapid.IntRange(0, 2).Draw(t, "told") > 0; !ready {
				continue
			}
			for body := range ids {
				if body != next.String() && now.Before(holders[body]) { // caches have its id
					holders[body] = now.Add(recordCaches + heldBody(body))
				}
			}
			c, ids = settled(c, now), map[string]bool{next.String(): true}
		}
	})
}

// What status says of the moment to move MX records.
func TestSafeToMove(t *testing.T) {
	before, after := policy(mtasts.Enforce, "a.example"), policy(mtasts.Enforce, "a.example", "b.example")
	c := announced(ledger.MTASTS{}, before, noon)
	if at := movable(c, noon); !at.IsZero() {
		t.Errorf("the first policy: %v", at)
	}
	c = announced(offer(c, after), after, noon.Add(time.Hour))
	if got, want := movable(c, noon.Add(2*time.Hour)), noon.Add(time.Hour+recordCaches+before.MaxAge); !got.Equal(want) {
		t.Errorf("widened: %v at the soonest, want %v", got, want)
	}
	c = settled(c, noon.Add(9*time.Hour))
	if got, want := movable(c, noon.Add(10*time.Hour)), noon.Add(9*time.Hour+recordCaches+before.MaxAge); !got.Equal(want) {
		t.Errorf("widened and told: %v, want %v", got, want)
	}
	if at := movable(c, noon.Add(9*time.Hour+recordCaches+before.MaxAge)); !at.IsZero() {
		t.Errorf("forgotten: %v", at)
	}
	none := announced(c, policy(mtasts.None, "a.example", "b.example"), noon.Add(9*time.Hour))
	if got, want := movable(none, noon.Add(10*time.Hour)), noon.Add(9*time.Hour+recordCaches+after.MaxAge); !got.Equal(want) {
		t.Errorf("mode none, which not all get: %v, want %v", got, want)
	}
	longer := after
	longer.MaxAge = 1000 * time.Hour
	if at := movable(announced(offer(c, longer), longer, noon.Add(1000*time.Hour)), noon.Add(1001*time.Hour)); !at.IsZero() {
		t.Errorf("only max_age changed: %v", at)
	}
	c.Until = noon.Add(2000 * time.Hour)
	if at := movable(c, noon); !at.Equal(c.Until) {
		t.Errorf("policies that nobody knows: %v", at)
	}
}

// What is served already without a line stays as it is while nothing is known, and is not announced.
func TestNarrowingIsHeldWhereItIs(t *testing.T) {
	for name, c := range map[string]struct {
		live []mxHost
		dark bool
		want string
	}{
		"all is well":       {live: hosts("b.example")},
		"not probed yet":    {live: hosts("once good b.example"), want: v1alpha1.ReasonProbeUnavailable},
		"no answer":         {live: hosts("dark b.example"), want: v1alpha1.ReasonProbeUnavailable},
		"MX unknown":        {dark: true, want: v1alpha1.ReasonServersUnreachable},
		"a.example is back": {live: hosts("a.example", "b.example"), want: "wide"},
	} {
		wanted := policy(mtasts.Enforce, "b.example")
		a := announcement{now: noon, told: told(policy(mtasts.Enforce, "a.example", "b.example")), wanted: wanted, live: c.live, known: !c.dark, served: wanted.String()}
		next, kept := a.next()
		if c.want == "wide" {
			if len(next.MX) != 2 || kept == "" || a.hold(next).bad() {
				t.Errorf("%s: %q, %q", name, next.MX, kept)
			}
			continue
		}
		if got := a.hold(next); next.String() != wanted.String() || got.reason != c.want {
			t.Errorf("%s: %q, held by %q, want %q", name, next.MX, got.reason, c.want)
		}
	}
}

// One look at the MX records without an answer does not begin the day of the probes anew.
func TestTheDayGoesOnThroughALookWithoutAnswer(t *testing.T) {
	a := announcement{now: noon, wanted: policy(mtasts.Enforce, "a.example")}
	a.told.Unprobed = noon.Add(-23 * time.Hour)
	if got := a.unprobed(); !got.Equal(a.told.Unprobed) {
		t.Errorf("waits since %v, want %v", got, a.told.Unprobed)
	}
	// Nor does a clock that went back make it longer.
	a.known, a.live, a.told.Unprobed = true, hosts("dark a.example"), noon.Add(48*time.Hour)
	if got := a.unprobed(); !got.Equal(noon) {
		t.Errorf("waits since %v, which is to come", got)
	}
}

// Where no MX record could be seen, it is not known whom a policy must cover.
func TestNoLiveHostIsNotAllCovered(t *testing.T) {
	for mode, want := range map[mtasts.Mode]string{mtasts.Enforce: v1alpha1.ReasonMXNotCovered, mtasts.Testing: ""} {
		a := announcement{now: noon, wanted: policy(mode, "a.example"), known: true}
		next, _ := a.next()
		if why := a.hold(next); why.reason != want {
			t.Errorf("mode %s: %q, want %q", mode, why.reason, want)
		}
	}
}

// A policy that may be fetched now is held from now on, however long ago the announced one went out.
func TestWhatIsServedBesideIsNotSafe(t *testing.T) {
	wide, narrow := policy(mtasts.Enforce, "a.example", "b.example"), policy(mtasts.Enforce, "b.example")
	c := announced(offer(ledger.MTASTS{}, wide), wide, noon)
	now := noon.Add(1000 * time.Hour)
	c = offer(c, narrow) // and spec names a.example again before the narrow one is announced
	at := movable(c, now)
	if soonest := now.Add(recordCaches + narrow.MaxAge); at.Before(soonest) || at.After(soonest.Add(24*time.Hour)) {
		t.Errorf("a sender that fetched it at %v delivers to a.example from %v on, and status says %v", now, soonest, at)
	}
	if again := movable(c, now.Add(time.Minute)); !again.Equal(at) {
		t.Errorf("a minute later %v after %v: status is written in every pass", again, at)
	}
}
