package sender

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

const domain = "example.com"

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is an Internet that a test changes.
type world struct {
	texts, hosts []string
	body         string
	insecure     []string
	txtDown      bool
	mxDown       bool
	policyDown   bool
	ttl          time.Duration
	fetches      int
}

var errDown = errors.New("down")

func (w *world) TXT(name string) ([]string, time.Duration, error) {
	if name != "_mta-sts."+domain || w.txtDown {
		return nil, 0, errDown
	}
	return w.texts, w.ttl, nil
}

func (w *world) MX(string) ([]string, time.Duration, error) {
	if w.mxDown {
		return nil, 0, errDown
	}
	return w.hosts, w.ttl, nil
}

func (w *world) Policy(string) (string, error) {
	w.fetches++
	if w.policyDown {
		return "", errDown
	}
	return w.body, nil
}

func (w *world) Secure(host string) bool { return !slices.Contains(w.insecure, host) }

func policy(mode mtasts.Mode, maxAge time.Duration, mx ...string) mtasts.Policy {
	return mtasts.Policy{Mode: mode, MaxAge: maxAge, MX: mx}
}

func (w *world) serve(p mtasts.Policy)    { w.body = p.String() }
func (w *world) announce(p mtasts.Policy) { w.texts = []string{mtasts.Record{ID: p.ID()}.String()} }

// What a sender does that held a policy (mode enforce, max_age one day, for a.example) and meets
// something else a little later.
func TestDeliver(t *testing.T) {
	const day = 24 * time.Hour
	old := policy(mtasts.Enforce, day, "a.example")
	both := policy(mtasts.Enforce, day, "a.example", "b.example")
	moved := func(w *world) { w.hosts = []string{"b.example"} }
	tests := map[string]struct {
		change func(w *world)
		after  time.Duration
		want   Outcome
	}{
		"nothing has changed":            {func(*world) {}, time.Hour, Delivered},
		"moved":                          {moved, time.Hour, Refused},
		"moved, with a wider policy":     {func(w *world) { moved(w); w.serve(both); w.announce(both) }, time.Hour, Delivered},
		"served and not announced":       {func(w *world) { moved(w); w.serve(both) }, time.Hour, Refused},
		"announced and not served":       {func(w *world) { moved(w); w.serve(both); w.announce(both); w.policyDown = true }, time.Hour, Refused},
		"announced with rubbish":         {func(w *world) { moved(w); w.body = "<html>"; w.announce(both) }, time.Hour, Refused},
		"DNS does not answer":            {func(w *world) { moved(w); w.serve(both); w.announce(both); w.txtDown = true }, time.Hour, Refused},
		"the record is gone":             {func(w *world) { moved(w); w.texts = nil }, time.Hour, Refused},
		"two records":                    {func(w *world) { moved(w); w.serve(both); w.announce(both); w.texts = append(w.texts, "v=STSv1; id=2") }, time.Hour, Refused},
		"a record and another text":      {func(w *world) { moved(w); w.serve(both); w.announce(both); w.texts = append(w.texts, "STS") }, time.Hour, Delivered},
		"a broken record":                {func(w *world) { moved(w); w.serve(both); w.texts = []string{"v=STSv1; id=-"} }, time.Hour, Refused},
		"withdrawn":                      {func(w *world) { moved(w); p := policy(mtasts.None, 60*time.Second); w.serve(p); w.announce(p) }, time.Hour, Delivered},
		"testing":                        {func(w *world) { moved(w); p := policy(mtasts.Testing, day, "a.example"); w.serve(p); w.announce(p) }, time.Hour, Reported},
		"just before the policy's end":   {func(w *world) { moved(w); w.texts = nil }, day - 1, Refused},
		"the policy has ended":           {func(w *world) { moved(w); w.texts = nil }, day, Delivered},
		"one host is covered":            {func(w *world) { w.hosts = []string{"b.example", "a.example"} }, time.Hour, Delivered},
		"the covered one has no TLS":     {func(w *world) { w.hosts, w.insecure = []string{"b.example", "a.example"}, []string{"a.example"} }, time.Hour, Refused},
		"MX can't be asked":              {func(w *world) { w.mxDown = true }, time.Hour, Deferred},
		"no MX records":                  {func(w *world) { w.hosts = nil }, time.Hour, Deferred},
		"the change is not seen yet":     {func(w *world) { moved(w); w.ttl = 0; w.texts = nil }, 30 * time.Second, Delivered}, // nor the new MX
		"without TLS and without policy": {func(w *world) { w.insecure, w.texts = []string{"a.example"}, nil }, day, Delivered},
	}
	for title, tt := range tests {
		for _, asks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, asks=%v", title, asks), func(t *testing.T) {
				w := &world{hosts: []string{"a.example"}, ttl: time.Minute}
				w.serve(old)
				w.announce(old)
				s := &Sender{Domain: domain, Habits: Habits{Asks: asks}}
				if got := s.Deliver(w, epoch); got != Delivered || s.Holds(epoch) == nil {
					t.Fatalf("first: %s, holds %v", got, s.Holds(epoch))
				}
				tt.change(w)
				if got := s.Deliver(w, epoch.Add(tt.after)); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		}
	}
}

// An unchanged id costs no fetch, and for those who renew it makes the policy last.
func TestRenews(t *testing.T) {
	for renews, want := range map[bool]Outcome{false: Delivered, true: Refused} {
		p := policy(mtasts.Enforce, 10*time.Hour, "a.example")
		w := &world{hosts: []string{"a.example"}}
		w.serve(p)
		w.announce(p)
		s := &Sender{Domain: domain, Habits: Habits{Asks: true, Renews: renews}}
		for hour := range 9 {
			s.Deliver(w, epoch.Add(time.Duration(hour)*time.Hour))
		}
		if w.fetches != 1 {
			t.Errorf("renews %v: %d fetches", renews, w.fetches)
		}
		w.hosts, w.texts, w.policyDown = []string{"b.example"}, nil, true
		if got := s.Deliver(w, epoch.Add(12*time.Hour)); got != want {
			t.Errorf("renews %v: %s, want %s", renews, got, want)
		}
	}
}

// migration is a change of MX: the policy is widened, and the MX record moves after a while.
type migration struct {
	announced time.Duration // from when the wider policy is served to when its id is announced
	wait      time.Duration // from then to when the MX moves
	fault     bool          // neither record nor policy can be had from then on
}

const (
	maxAge = 7 * 24 * time.Hour
	ttl    = time.Hour
)

// lost counts the messages that a migration loses, of all in two months.
func (m migration) lost(seed uint64) (refused, delivered int) {
	narrow, wide := policy(mtasts.Enforce, maxAge, "a.example"), policy(mtasts.Enforce, maxAge, "a.example", "b.example")
	w := &world{hosts: []string{"a.example"}, ttl: ttl}
	w.serve(narrow)
	w.announce(narrow)
	served := epoch.Add(20 * 24 * time.Hour)
	steps := []struct {
		at time.Time
		do func()
	}{
		{served, func() { w.serve(wide) }},
		{served.Add(m.announced), func() { w.announce(wide) }},
		{served.Add(m.announced + m.wait), func() { w.hosts, w.txtDown, w.policyDown = []string{"b.example"}, m.fault, m.fault }},
	}
	p := NewPopulation(rand.New(rand.NewPCG(seed, 0)), domain, 200, epoch)
	for p.Next().Before(epoch.Add(60 * 24 * time.Hour)) {
		for len(steps) > 0 && !p.Next().Before(steps[0].at) {
			steps[0].do()
			steps = steps[1:]
		}
		switch _, outcome := p.Post(w); outcome {
		case Refused:
			refused++
		default:
			delivered++
		}
	}
	return refused, delivered
}

// A population tells a migration that is safe from one that is not. Who renews holds the old policy
// for its max_age from the last time that a resolver had the old id; so it is safe to move only that
// long, and the TTL of the record, after the announcement, not after the new policy was served.
func TestPopulationJudges(t *testing.T) {
	safe := migration{announced: 5 * 24 * time.Hour, wait: maxAge + ttl, fault: true}
	hasty := safe
	hasty.wait = time.Hour
	fromServing := safe
	fromServing.wait -= safe.announced + ttl // max_age after the wider policy was first served
	// Without a fault the second look of RFC 8461 §5.1 saves those whose resolvers have the new id.
	looked := hasty
	looked.wait, looked.fault = ttl, false
	for title, tt := range map[string]struct {
		m     migration
		loses bool
	}{"safe": {safe, false}, "hasty": {hasty, true}, "from serving": {fromServing, true}, "a second look": {looked, false}} {
		total := 0
		for seed := range uint64(5) {
			refused, delivered := tt.m.lost(seed)
			total += refused
			if delivered < 10_000 {
				t.Errorf("%s, seed %d: %d delivered", title, seed, delivered)
			}
		}
		if total > 0 != tt.loses {
			t.Errorf("%s: %d refused", title, total)
		}
		t.Logf("%s: %d refused", title, total)
	}
}

func TestPopulationIsTheSame(t *testing.T) {
	run := func(seed uint64) string {
		w := &world{hosts: []string{"a.example"}}
		p := NewPopulation(rand.New(rand.NewPCG(seed, 0)), domain, 20, epoch)
		var b strings.Builder
		for range 100 {
			fmt.Fprintln(&b, p.Next())
			p.Post(w)
		}
		return b.String()
	}
	if first := run(1); run(1) != first || run(2) == first {
		t.Error("a seed does not decide what happens")
	}
}
