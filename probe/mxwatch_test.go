package probe

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watchedWorld is a watch over hosts whose state the test says.
type watchedWorld struct {
	*MXWatch
	mu      sync.Mutex
	outcome map[string]MXOutcome // Valid where nothing is said
	asked   map[string]int
	gate    chan struct{} // where not nil, a probe ends when something comes out of it
}

// watchWorld has the watch run until the test ends. In a synctest bubble time goes on by itself.
func watchWorld(t *testing.T, workers, limit int) *watchedWorld {
	t.Helper()
	w := &watchedWorld{outcome: map[string]MXOutcome{}, asked: map[string]int{}}
	w.MXWatch = newMXWatch(workers, limit, w.answer, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watchedWorld) answer(ctx context.Context, host string) MXAnswer {
	w.mu.Lock()
	w.asked[host]++
	outcome := w.outcome[host]
	w.mu.Unlock()
	if w.gate != nil {
		select {
		case <-w.gate:
		case <-ctx.Done():
			return MXAnswer{Host: host, Unresolved: "no answer in time"}
		}
	}
	if outcome == "" {
		outcome = MXValid
	}
	return MXAnswer{Host: host, Results: []MXResult{{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Outcome: outcome}}}
}

func (w *watchedWorld) count(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[host]
}

// settled looks at a host until it is known.
func (w *watchedWorld) settled(host string) MXSeen {
	w.Look("tenant", host)
	synctest.Wait()
	seen, _ := w.Look("tenant", host)
	return seen
}

// Ten thousand domains with one host cost one probe, and none of them waits for it.
func TestMXWatchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 4, maxWatched)
		w.gate = make(chan struct{})
		start := time.Now()
		for range 10_000 {
			if seen, known := w.Look("tenant", "MX.example.com."); known || !seen.At.IsZero() || seen.Again != start.Add(soon) {
				t.Fatalf("got %+v, known %v", seen, known)
			}
		}
		synctest.Wait()
		close(w.gate)
		synctest.Wait()
		seen, known := w.Look("tenant", mx)
		if verdict, _ := seen.Verdict(); !known || verdict != MXPass || seen.At != start || seen.Host != mx {
			t.Errorf("got %+v, known %v", seen, known)
		}
		if n := w.count(mx); n != 1 {
			t.Errorf("%d probes", n)
		}
	})
}

// A host that passes is asked daily, one that fails hourly, one without an answer after hours that double;
// hosts have their own moments.
func TestMXWatchAgain(t *testing.T) {
	for title, tt := range map[string]struct {
		outcome MXOutcome
		hours   []time.Duration
	}{
		"passes":    {MXValid, []time.Duration{24, 24, 24}},
		"fails":     {MXNoSTARTTLS, []time.Duration{1, 1, 1}},
		"is silent": {MXNoAnswer, []time.Duration{1, 2, 4, 8, 16, 24, 24}},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := watchWorld(t, 1, maxWatched)
				w.outcome[mx] = tt.outcome
				for i, hours := range tt.hours {
					seen := w.settled(mx)
					wait, most := seen.Again.Sub(seen.At), hours*time.Hour
					if w.count(mx) != i+1 || wait >= most || wait < most-most/6 {
						t.Fatalf("probe %d: again after %v, want less than %v, by a sixth at most", w.count(mx), wait, most)
					}
					time.Sleep(wait - time.Nanosecond)
					if w.settled(mx); w.count(mx) != i+1 {
						t.Fatalf("asked before it is time, after probe %d", i+1)
					}
					time.Sleep(time.Nanosecond)
				}
			})
		})
	}
}

// The old result stands until there is a new one; a change of the verdict begins its own time and a
// new row of retries.
func TestMXWatchChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 1, maxWatched)
		turn := func(outcome MXOutcome) (MXSeen, MXVerdict) {
			w.mu.Lock()
			w.outcome[mx] = outcome
			w.mu.Unlock()
			before, known := w.Look("tenant", mx)
			if known {
				time.Sleep(time.Until(before.Again))
				w.gate = make(chan struct{})
				if now, known := w.Look("tenant", mx); !known || now.At != before.At || now.Again != time.Now().Add(soon) {
					t.Fatalf("while a probe is due: %+v, known %v", now, known)
				}
				synctest.Wait()
				close(w.gate)
			}
			synctest.Wait()
			seen, _ := w.Look("tenant", mx)
			verdict, _ := seen.Verdict()
			return seen, verdict
		}
		passes, _ := turn(MXValid)
		if still, _ := turn(MXValid); !still.At.After(passes.At) {
			t.Errorf("passed %+v, then %+v", passes, still)
		}
		if fails, verdict := turn(MXTLSFailed); verdict != MXFail {
			t.Errorf("%s, %+v", verdict, fails)
		}
		turn(MXNoAnswer)
		turn(MXNoAnswer)
		turn(MXValid)
		if again, _ := turn(MXNoAnswer); again.Again.Sub(again.At) > retry {
			t.Errorf("after a pass: %+v", again)
		}
	})
}

// Who gets no worker for an hour is not waited for any longer.
func TestMXWatchQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 1, maxWatched)
		w.gate = make(chan struct{})
		w.Look("tenant", "tarpit.example")
		synctest.Wait()
		w.Look("tenant", mx)
		time.Sleep(longestWait - time.Nanosecond)
		if seen, known := w.Look("tenant", mx); known {
			t.Errorf("before an hour is over: %+v", seen)
		}
		time.Sleep(time.Nanosecond)
		seen, known := w.Look("tenant", mx)
		if verdict, message := seen.Verdict(); !known || verdict != MXUnknown || !strings.Contains(message, "waited for an hour") {
			t.Errorf("known %v, %s: %s", known, verdict, message)
		}
		close(w.gate)
		synctest.Wait()
		seen, known = w.Look("tenant", mx)
		if verdict, _ := seen.Verdict(); !known || verdict != MXPass {
			t.Errorf("after its probe: known %v, %+v", known, seen)
		}
	})
}

// The hosts of one tenant, who answer nothing, keep those of another waiting for two at the most, one of which has the worker
// already; and a host that both have is probed once.
func TestMXWatchTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 1, maxWatched)
		w.gate = make(chan struct{})
		for i := range 1000 {
			w.Look("many", fmt.Sprintf("silent-%d.example", i))
		}
		w.Look("many", mx)
		w.Look("one", mx)
		synctest.Wait()
		for range 3 {
			w.gate <- struct{}{}
			synctest.Wait()
		}
		for _, tenant := range []string{"one", "many"} {
			if _, known := w.Look(tenant, mx); !known {
				t.Errorf("%s waits for silent hosts", tenant)
			}
		}
		if n := w.count(mx); n != 1 {
			t.Errorf("%d probes", n)
		}
	})
}

// No more hosts are remembered than the limit says.
func TestMXWatchBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 1, 3)
		for _, host := range []string{"a.example", "b.example", "c.example", "d.example"} {
			w.settled(host)
		}
		if _, known := w.Look("tenant", "a.example"); known {
			t.Error("a.example is still known")
		}
		if _, known := w.Look("tenant", "d.example"); !known {
			t.Error("d.example is not")
		}
	})
}

// The end of the process is no result.
func TestMXWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &watchedWorld{outcome: map[string]MXOutcome{}, asked: map[string]int{}, gate: make(chan struct{})}
		w := NewMXWatch(2, world.answer, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = w.Start(ctx) }()
		w.Look("tenant", mx)
		synctest.Wait()
		cancel()
		<-ended
		if seen, known := w.Look("tenant", mx); known {
			t.Errorf("got %+v", seen)
		}
	})
}
