package rounds

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// log is what workers did, in order, where a thing is the text "seen" once one has looked after it.
type log struct {
	mu   sync.Mutex
	done []string
	gate chan struct{} // where not nil, a worker ends when something comes out of it
}

func (l *log) work(ctx context.Context, thing string) func(*string) {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, thing)
	return func(thing *string) { *thing += " seen" }
}

// visit is due unless the thing was seen.
func visit(r *Rounds[string], tenant, key string) (found string, turns int) {
	turns = r.Visit(tenant, key, func(thing *string) bool {
		if found = *thing; found == "" {
			*thing = key
			return true
		}
		return found == key
	})
	return found, turns
}

// start has r run until the test ends.
func start(t *testing.T, r *Rounds[string]) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
}

// However many things one tenant has, those of another have their turn after one of them.
func TestTenantsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		r := New(1, 100, l.work)
		for i := range 5 {
			visit(r, "many", fmt.Sprintf("many-%d", i))
		}
		visit(r, "few", "few-0")
		visit(r, "few", "few-1")
		if _, turns := visit(r, "one", "one-0"); turns != 3 {
			t.Errorf("the only thing of the third tenant has had its turn after %d, want 3", turns)
		}
		if _, turns := visit(r, "many", "many-4"); turns != 8 {
			t.Errorf("the last of many has had its turn after %d, want 8", turns)
		}
		start(t, r)
		synctest.Wait()
		want := []string{"many-0", "few-0", "one-0", "many-1", "few-1", "many-2", "many-3", "many-4"}
		if !slices.Equal(l.done, want) {
			t.Errorf("got %q, want %q", l.done, want)
		}
	})
}

// What many wait for is looked after once, at the first turn that comes: nobody can put it behind the many things of their own.
func TestASharedThingHasThePlacesOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		r := New(1, 100, l.work)
		for i := range 5 {
			visit(r, "many", fmt.Sprintf("many-%d", i))
		}
		visit(r, "many", "shared")
		visit(r, "one", "shared")
		visit(r, "one", "shared")
		start(t, r)
		synctest.Wait()
		if want := []string{"many-0", "shared", "many-1", "many-2", "many-3", "many-4"}; !slices.Equal(l.done, want) {
			t.Errorf("got %q, want %q", l.done, want)
		}
		if found, _ := visit(r, "many", "shared"); found != "shared seen" || len(l.done) != 6 {
			t.Errorf("found %q after %d turns", found, len(l.done))
		}
	})
}

// Who visits while a worker is at it does not have it done twice, and a note is made on what the thing is by then.
func TestANoteIsMadeOnWhatTheThingIsByThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := log{gate: make(chan struct{})}
		r := New(2, 100, l.work)
		start(t, r)
		visit(r, "a", "thing")
		synctest.Wait()
		r.Visit("b", "thing", func(thing *string) bool { *thing = "changed"; return true })
		close(l.gate)
		synctest.Wait()
		if found, _ := visit(r, "a", "thing"); found != "changed seen" || !slices.Equal(l.done, []string{"thing"}) {
			t.Errorf("found %q, worked on %q", found, l.done)
		}
	})
}

// What was not visited for the longest is forgotten, also where it waits for a worker or is with one.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := log{gate: make(chan struct{})}
		r := New(1, 3, l.work)
		start(t, r)
		visit(r, "a", "busy")
		synctest.Wait()
		visit(r, "a", "b")
		visit(r, "b", "c")
		visit(r, "a", "busy")
		visit(r, "a", "d") // b has to go
		close(l.gate)
		synctest.Wait()
		if len(r.things) != 3 || r.recent.Len() != 3 || r.queued != 0 || r.turns.Len() != 0 || len(r.shares) != 0 || slices.Contains(l.done, "b") || len(l.done) != 3 {
			t.Errorf("%d things, %d, %d waiting, %d turns; worked on %q", len(r.things), r.recent.Len(), r.queued, r.turns.Len(), l.done)
		}
		for _, key := range []string{"x", "y", "z"} {
			visit(r, "a", key)
		}
		if found, _ := visit(r, "a", "busy"); found != "" {
			t.Errorf("it remembers %q", found)
		}
	})
}

// The end of the process is no result.
func TestTheEndIsNoResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := log{gate: make(chan struct{})}
		r := New(2, 100, l.work)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = r.Start(ctx) }()
		visit(r, "a", "thing")
		synctest.Wait()
		cancel()
		<-ended
		if found, _ := visit(r, "a", "thing"); found != "thing" {
			t.Errorf("found %q", found)
		}
	})
}

// By whatever visits, everything that waits has its turn once, after no more things of any other tenant than its own has up to
// it; and in the end nothing is left.
func TestNobodyWaitsLongerThanTheirShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l log
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		r := New(1, limit, l.work)
		for range rapid.IntRange(0, 60).Draw(t, "visits") {
			tenant := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tenant")
			key := fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "key"))
			visit(r, tenant, key)
		}
		best := map[string]int{} // the first place that a thing has in a queue
		for element := r.turns.Front(); element != nil; element = element.Next() {
			place := 0
			for e := element.Value.(*share).queue.Front(); e != nil; e = e.Next() {
				place++
				if key := e.Value.(*entry[string]).key; best[key] == 0 || place < best[key] {
					best[key] = place
				}
			}
		}
		var waits []string
		for key, element := range r.things {
			if element.Value.(*entry[string]).places != nil {
				waits = append(waits, key)
			}
		}
		if len(waits) != r.queued || r.queued > limit {
			t.Fatalf("%d things wait, %d are counted, of at most %d", len(waits), r.queued, limit)
		}
		tenants := r.turns.Len()
		for turn := 1; r.queued > 0; turn++ {
			e, thing := r.begin()
			r.end(context.Background(), e, l.work(context.Background(), thing))
			if turn > best[e.key]*tenants {
				t.Fatalf("%s had its turn after %d, at place %d of its tenant's queue, with %d tenants", e.key, turn, best[e.key], tenants)
			}
		}
		slices.Sort(waits)
		slices.Sort(l.done)
		if !slices.Equal(waits, l.done) || r.turns.Len() != 0 || len(r.shares) != 0 {
			t.Fatalf("waited %q, done %q; %d turns left", waits, l.done, r.turns.Len())
		}
	})
}

func TestJitterSpreads(t *testing.T) {
	moments := map[time.Duration]bool{}
	for i := range 1000 {
		j := Jitter(fmt.Sprintf("mx%d.example", i), 24*time.Hour)
		if j < 0 || j >= 4*time.Hour {
			t.Fatalf("jitter %v", j)
		}
		moments[j/time.Hour] = true
	}
	if len(moments) != 4 {
		t.Errorf("all in the hours %v", moments)
	}
}
