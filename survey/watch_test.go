package survey

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maildomain/maildomain-operator/compliance"
)

// watchedDomains is a watch over domains whose outcome the test says.
type watchedDomains struct {
	*Watch
	mu      sync.Mutex
	outcome compliance.Outcome
	asked   map[string]int
}

// watching has a watch run until the test ends, in a bubble in which time goes on by itself.
func watching(t *testing.T, limit int) *watchedDomains {
	w := &watchedDomains{outcome: compliance.Pass, asked: map[string]int{}}
	w.Watch = newWatch(2, limit, func(_ context.Context, _ string, q Question) []compliance.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked[q.Domain]++
		return []compliance.Result{{Baseline: "B", Outcome: w.outcome, Verdicts: []compliance.Verdict{{Control: "C", Outcome: w.outcome}}}}
	}, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watchedDomains) answer(o compliance.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcome = o
}

func (w *watchedDomains) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for count := range maps.Values(w.asked) {
		n += count
	}
	return n
}

// pass looks as a controller does: every minute for so long.
func (w *watchedDomains) pass(q Question, long time.Duration) (seen Verdicts, known bool) {
	for end := time.Now().Add(long); time.Now().Before(end); {
		w.Look("tenant", "one", q)
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	return w.Look("tenant", "one", q)
}

// Nobody waits in Look, a domain that passes is surveyed daily, and one that was changed at once.
func TestWatchIsQuietAndSoonWhereItMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, maxWatched)
		q := Question{Domain: "example.com", Baselines: []string{"B"}, Version: "1"}
		if seen, known := w.Look("tenant", "one", q); known || !seen.Again.After(time.Now()) {
			t.Errorf("before the first survey: %+v, known %v", seen, known)
		}
		synctest.Wait()
		if seen, known := w.Look("tenant", "one", q); !known || seen.Results[0].Outcome != compliance.Pass || seen.Again.Sub(seen.At) < daily {
			t.Errorf("after it: %+v, known %v", seen, known)
		}
		w.pass(q, 10*daily)
		if n := w.count(); n < 8 || n > 10 {
			t.Errorf("%d surveys in ten days, want one a day at the most", n)
		}
		before := w.count()
		q.Version = "2"
		if _, known := w.Look("tenant", "one", q); known {
			t.Error("what was seen before a change is told as if it were what stands after it")
		}
		synctest.Wait()
		if _, known := w.Look("tenant", "one", q); !known || w.count() != before+1 {
			t.Errorf("a change of ours was followed by %d surveys, want one", w.count()-before)
		}
	})
}

// What fails is looked at again soon, and then less and less often.
func TestWatchBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, maxWatched)
		w.answer(compliance.Fail)
		q := Question{Domain: "example.com", Baselines: []string{"B"}}
		w.pass(q, 5*time.Minute)
		if n := w.count(); n < 2 || n > 4 {
			t.Errorf("%d surveys in the first minutes", n)
		}
		w.pass(q, daily)
		if n := w.count(); n < 9 || n > 13 {
			t.Errorf("%d surveys in the first day", n)
		}
		before := w.count()
		w.pass(q, 10*daily)
		if n := w.count() - before; n > 11 {
			t.Errorf("%d surveys in ten days of failing", n)
		}
		w.answer(compliance.Pass)
		if seen, _ := w.pass(q, 2*daily); seen.Results[0].Outcome != compliance.Pass {
			t.Error("what was mended is not seen")
		}
	})
}

// One lost answer is no news; two are: nothing that can't be found out goes on passing.
func TestWatchBelievesTheSecondUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, maxWatched)
		q := Question{Domain: "example.com", Baselines: []string{"B"}}
		w.pass(q, time.Minute)
		outcome := func(after time.Duration) compliance.Outcome {
			seen, _ := w.pass(q, after)
			return seen.Results[0].Outcome
		}
		w.answer(compliance.Unknown)
		for got := outcome(0); w.count() < 2; got = outcome(time.Minute) {
			if got != compliance.Pass {
				t.Fatal("it was not asked again, and is told otherwise")
			}
		}
		if got := outcome(0); got != compliance.Pass {
			t.Errorf("one lost answer makes %s of a pass", got)
		}
		if got := outcome(3 * time.Minute); got != compliance.Unknown {
			t.Errorf("after the second it is still %s", got)
		}
		w.answer(compliance.Pass)
		if got := outcome(10 * time.Minute); got != compliance.Pass {
			t.Errorf("when DNS answers again it is %s", got)
		}
	})
}

// A new process takes nobody's verdict away for one lost answer, and what was unknown before is told at once.
func TestWatchRemembersOverARestart(t *testing.T) {
	for before, doubts := range map[compliance.Outcome]bool{compliance.Pass: true, compliance.Fail: true, compliance.Unknown: false} {
		synctest.Test(t, func(t *testing.T) {
			w := watching(t, maxWatched)
			w.answer(compliance.Unknown)
			q := Question{Domain: "example.com", Baselines: []string{"B"}, Before: []compliance.Result{{Verdicts: []compliance.Verdict{{Control: "C", Outcome: before}}}}}
			w.Look("tenant", "one", q)
			synctest.Wait()
			if _, known := w.Look("tenant", "one", q); known == doubts {
				t.Errorf("%s before: the first unknown is told: %v", before, known)
			}
			if seen, known := w.pass(q, 3*time.Minute); !known || seen.Results[0].Outcome != compliance.Unknown {
				t.Errorf("%s before: the second one is not told: %+v", before, seen)
			}
		})
	}
}

// Who is far behind in the queue is not back before its turn.
func TestWatchTellsWhenItsTurnIs(t *testing.T) {
	now := time.Now()
	w := NewWatch(2, func(string) World { return World{} }, func() time.Time { return now })
	last := time.Time{}
	for i := range 200 {
		seen, _ := w.Look("tenant", fmt.Sprint(i), Question{Domain: fmt.Sprintf("%d.example", i)})
		if i == 0 && seen.Again.Sub(now) != soon {
			t.Errorf("the first is to look again after %s", seen.Again.Sub(now))
		}
		last = seen.Again
	}
	if got := last.Sub(now); got != soon+100*usual {
		t.Errorf("the last of 200 is to look again after %s", got)
	}
}

// A watch holds no more than its limit, and forgets who was not looked for.
func TestWatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, 3)
		for i := range 10 {
			w.Look("tenant", fmt.Sprint(i), Question{Domain: fmt.Sprintf("%d.example", i), Baselines: []string{"B"}})
			synctest.Wait()
		}
		if _, known := w.Look("tenant", "9", Question{Domain: "9.example", Baselines: []string{"B"}}); !known {
			t.Error("the last one is forgotten")
		}
		if _, known := w.Look("tenant", "0", Question{Domain: "0.example", Baselines: []string{"B"}}); known {
			t.Error("the first one is not")
		}
	})
}

// Two tenants may call their MailDomains the same.
func TestWatchTellsTenantsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, maxWatched)
		q := Question{Domain: "example.com", Baselines: []string{"B"}}
		w.Look("one", "mail", q)
		synctest.Wait()
		if _, known := w.Look("two", "mail", q); known {
			t.Error("one is told what the other's survey was")
		}
	})
}

func TestPassesAndLessKnown(t *testing.T) {
	of := func(outcomes ...compliance.Outcome) []compliance.Result {
		r := compliance.Result{Outcome: compliance.Pass}
		for _, o := range outcomes {
			r.Verdicts = append(r.Verdicts, compliance.Verdict{Outcome: o})
			if o != compliance.Pass {
				r.Outcome = o
			}
		}
		return []compliance.Result{r}
	}
	for _, c := range []struct {
		before, now []compliance.Result
		less        bool
	}{
		{nil, of(compliance.Unknown), false},
		{of(compliance.Unknown), of(compliance.Unknown), false},
		{of(compliance.Pass, compliance.Pass), of(compliance.Pass, compliance.Unknown), true},
		{of(compliance.Fail), of(compliance.Unknown), true},
		{of(compliance.Pass), of(compliance.Fail), false},
	} {
		if got := lessKnown(c.before, c.now); got != c.less {
			t.Errorf("%v then %v: %v", c.before, c.now, got)
		}
	}
	if !passes(of(compliance.Pass)) || !passes(of(compliance.NotApplicable)) || passes(of(compliance.Fail)) || passes(of(compliance.Unknown)) {
		t.Error("only what passes or does not apply passes")
	}
	if (Question{Selectors: []string{}}).same(Question{}) {
		t.Error("no selector is another question than none that anybody knows")
	}
}
