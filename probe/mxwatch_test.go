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
func watchWorld(t *testing.T, workers int) *watchedWorld {
	t.Helper()
	w := &watchedWorld{outcome: map[string]MXOutcome{}, asked: map[string]int{}}
	w.MXWatch = NewMXWatch(workers, w.answer, time.Now)
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
	w.Look(host)
	synctest.Wait()
	seen, _ := w.Look(host)
	return seen
}

// Ten thousand domains with one host cost one probe, and none of them waits for it.
func TestMXWatchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 4)
		w.gate = make(chan struct{})
		start := time.Now()
		for range 10_000 {
			if seen, known := w.Look("MX.example.com."); known || !seen.At.IsZero() || seen.Again != start.Add(soon) {
				t.Fatalf("got %+v, known %v", seen, known)
			}
		}
		synctest.Wait()
		close(w.gate)
		synctest.Wait()
		seen, known := w.Look(mx)
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
				w := watchWorld(t, 1)
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
	moments := map[time.Duration]bool{}
	for i := range 1000 {
		j := jitter(fmt.Sprintf("mx%d.example", i), daily)
		if j < 0 || j >= 4*time.Hour {
			t.Fatalf("jitter %v", j)
		}
		moments[j/time.Hour] = true
	}
	if len(moments) != 4 {
		t.Errorf("all in the hours %v", moments)
	}
}

// The old result stands until there is a new one; a change of the verdict begins its own time and a
// new row of retries.
func TestMXWatchChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 1)
		turn := func(outcome MXOutcome) (MXSeen, MXVerdict) {
			w.mu.Lock()
			w.outcome[mx] = outcome
			w.mu.Unlock()
			before, known := w.Look(mx)
			if known {
				time.Sleep(time.Until(before.Again))
				w.gate = make(chan struct{})
				if now, known := w.Look(mx); !known || now.At != before.At || now.Again != time.Now().Add(soon) {
					t.Fatalf("while a probe is due: %+v, known %v", now, known)
				}
				synctest.Wait()
				close(w.gate)
			}
			synctest.Wait()
			seen, _ := w.Look(mx)
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
		w := watchWorld(t, 1)
		w.gate = make(chan struct{})
		w.Look("tarpit.example")
		synctest.Wait()
		w.Look(mx)
		time.Sleep(longestWait - time.Nanosecond)
		if seen, known := w.Look(mx); known {
			t.Errorf("before an hour is over: %+v", seen)
		}
		time.Sleep(time.Nanosecond)
		seen, known := w.Look(mx)
		if verdict, message := seen.Verdict(); !known || verdict != MXUnknown || !strings.Contains(message, "waited for an hour") {
			t.Errorf("known %v, %s: %s", known, verdict, message)
		}
		close(w.gate)
		synctest.Wait()
		seen, known = w.Look(mx)
		if verdict, _ := seen.Verdict(); !known || verdict != MXPass {
			t.Errorf("after its probe: known %v, %+v", known, seen)
		}
	})
}

// What was not looked for the longest is forgotten, also where it waits for a worker or is with one.
func TestMXWatchBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchWorld(t, 1)
		w.limit = 3
		w.gate = make(chan struct{})
		w.Look("busy.example")
		synctest.Wait()
		w.Look("b.example")
		w.Look("c.example")
		w.Look("busy.example")
		w.Look("d.example") // b has to go
		close(w.gate)
		synctest.Wait()
		w.mu.Lock()
		hosts, recent, queue := len(w.hosts), w.recent.Len(), w.queue.Len()
		w.mu.Unlock()
		if hosts != 3 || recent != 3 || queue != 0 || w.count("b.example") != 0 || w.count("busy.example") != 1 || w.count("c.example") != 1 {
			t.Errorf("%d hosts, %d, %d in the queue, asked %v", hosts, recent, queue, w.asked)
		}
		for _, host := range []string{"x.example", "y.example", "z.example"} {
			w.settled(host)
		}
		if _, known := w.Look("busy.example"); known {
			t.Error("busy.example is still known")
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
		w.Look(mx)
		synctest.Wait()
		cancel()
		<-ended
		if seen, known := w.Look(mx); known {
			t.Errorf("got %+v", seen)
		}
	})
}
