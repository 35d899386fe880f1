package dnsprovider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const linger = 20 * time.Millisecond

// slowZone takes a second for each call and notes what came together.
type slowZone struct {
	most  int
	mu    sync.Mutex
	calls map[string][]string // by what
}

func (z *slowZone) call(what string, keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	names := ""
	for _, k := range keys {
		names += " " + k.Name
	}
	z.mu.Lock()
	if z.calls == nil {
		z.calls = map[string][]string{}
	}
	z.calls[what] = append(z.calls[what], strings.TrimSpace(names))
	z.mu.Unlock()
	time.Sleep(time.Second)
}

func (z *slowZone) Read(_ context.Context, keys ...Key) []Reading {
	z.call("read", slices.Clone(keys))
	readings := make([]Reading, len(keys))
	for i, k := range keys {
		readings[i].RRset.Key = k
	}
	return readings
}

func (z *slowZone) Apply(_ context.Context, changes ...Change) []error {
	keys := make([]Key, len(changes))
	errs := make([]error, len(changes))
	for i, c := range changes {
		keys[i] = c.Seen.Key
		if c.Seen.Name == "bad" {
			errs[i] = &Error{Kind: Refused}
		}
	}
	z.call("apply", keys)
	return errs
}

func (z *slowZone) Capabilities() Capabilities { return Capabilities{MaxChanges: z.most} }

func named(name string) Change {
	return Change{Seen: RRset{Key: Key{name, TypeTXT}}, Add: []string{"x"}}
}

// What is wanted while the pace lets no call be made goes out together when it does, and not one by one.
func TestCallsThatWaitForThePaceGoOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := NewPace(1, 1, time.Minute, time.Now)
		transport := pace.Transport(&okTransport{})
		if err := paced(t, transport); err != nil { // the burst
			t.Fatal(err)
		}
		slow := &slowZone{most: 10}
		z := Coalesce(pace.Zone(slow), linger)
		var wg sync.WaitGroup
		for i, name := range []string{"a", "b", "c", "d"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Millisecond) // far apart, and within the second
				z.Read(t.Context(), Key{name, TypeTXT})
			})
		}
		wg.Wait()
		if diff := cmp.Diff([]string{"a b c d"}, slow.calls["read"]); diff != "" {
			t.Error(diff)
		}
	})
}

// What is wanted while a call is under way goes out together with the next one, each caller
// getting its own outcome.
func TestCallsGoOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowZone{most: 3}
		z := Coalesce(slow, linger)
		var wg sync.WaitGroup
		for i, name := range []string{"a", "b", "bad", "c", "b", "d"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond) // in this order
				if i > 3 {
					time.Sleep(linger)
				}
				if err := z.Apply(t.Context(), named(name))[0]; (KindOf(err) == Refused) != (name == "bad") {
					t.Errorf("%s got %v", name, err)
				}
				if r := z.Read(t.Context(), Key{name, TypeTXT})[0]; r.RRset.Name != name || r.Err != nil {
					t.Errorf("%s read %v", name, r)
				}
			})
		}
		wg.Wait()
		// c is one too many, and the second b waits for the first one's outcome.
		if diff := cmp.Diff(map[string][]string{"apply": {"a b bad", "b c d"}, "read": {"a b bad", "b c d"}}, slow.calls); diff != "" {
			t.Error(diff)
		}
	})
}

// What takes the place of what stands at a name goes out with what makes way for it, whatever else waits.
func TestAUnitStaysTogether(t *testing.T) {
	of := func(kind, name string) Change { return Change{Seen: RRset{Key: Key{name, kind}}, Add: []string{"x"}} }
	for most, want := range map[int][]string{1: {"a", "h h h", "b", "c"}, 3: {"a b c", "h h h"}, 5: {"a b h h h", "c"}} {
		synctest.Test(t, func(t *testing.T) {
			slow := &slowZone{most: most}
			z := Coalesce(slow, linger)
			z.Apply(t.Context(), named("a"), of(TypeA, "h"), named("b"), of(TypeAAAA, "h"), of(TypeCNAME, "h"), named("c"))
			if diff := cmp.Diff(want, slow.calls["apply"]); diff != "" {
				t.Errorf("at most %d: %s", most, diff)
			}
		})
	}
}

// A caller who can wait no longer gets an answer at once, and the others theirs.
func TestACallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowZone{most: 10}
		z := Coalesce(slow, linger)
		outcome := map[string]Kind{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, name := range []string{"first", "leaves", "stays"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 2 * linger)
				ctx := t.Context()
				if name != "stays" {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeoutCause(ctx, 500*time.Millisecond, errors.New("enough"))
					defer cancel()
				}
				err := z.Apply(ctx, named(name))[0]
				mu.Lock()
				defer mu.Unlock()
				outcome[name] = KindOf(err)
			})
		}
		wg.Wait()
		want := map[string]Kind{"first": UnknownOutcome, "leaves": Unreachable, "stays": ""}
		if diff := cmp.Diff(want, outcome); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string][]string{"apply": {"first", "stays"}}, slow.calls); diff != "" {
			t.Error(diff)
		}
	})
}

// A thousand callers cost a handful of calls, and the queue leaves nothing behind.
func TestManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowZone{most: 400}
		z := Coalesce(slow, linger)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				if err := z.Apply(t.Context(), named(fmt.Sprint(i)))[0]; err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(slow.calls["apply"]); n > 4 {
			t.Errorf("%d calls, want 4 at most", n)
		}
	})
}
