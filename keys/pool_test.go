package keys

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// slowly makes rsa keys that take a second of the test's time, and counts them.
type slowly struct {
	made, running, most atomic.Int64
	fails               atomic.Bool
}

func (s *slowly) make(algorithm string, bits int) (Pair, error) {
	if algorithm != "rsa" {
		return Pair{Record: algorithm}, nil
	}
	s.most.Store(max(s.most.Load(), s.running.Add(1)))
	defer s.running.Add(-1)
	time.Sleep(time.Second)
	if s.fails.Load() {
		return Pair{}, errors.New("no luck")
	}
	return Pair{Record: fmt.Sprintf("rsa %d number %d", bits, s.made.Add(1))}, nil
}

// started runs the test in a bubble with its own time, with a pool that is stopped in the end.
func started(t *testing.T, workers, stock int, test func(t *testing.T, p *Pool, s *slowly, woken func() string)) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowly{}
		p := NewPool(workers, stock, s.make)
		var mu sync.Mutex
		var calls []string
		p.OnReady(func(customer string) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, customer)
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Start(ctx) }()
		synctest.Wait()
		test(t, p, s, func() string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			all := strings.Join(calls, " ")
			calls = nil
			return all
		})
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

var (
	rsa2048 = Spec{Name: "rsa", Algorithm: "rsa", Bits: 2048}
	rsa4096 = Spec{Name: "big", Algorithm: "rsa", Bits: 4096}
	ed      = Spec{Name: "ed", Algorithm: "ed25519"}
)

func take(t *testing.T, p *Pool, customer string, specs ...Spec) bool {
	t.Helper()
	pairs, ok, err := p.Take(customer, specs)
	if err != nil || ok != (len(pairs) == len(specs)) {
		t.Fatalf("%d pairs for %d, %v, %v", len(pairs), len(specs), ok, err)
	}
	for i, spec := range specs[:len(pairs)] {
		want := spec.Algorithm
		if spec.Bits > 0 {
			want = fmt.Sprintf("rsa %d number", spec.Bits)
		}
		if !strings.HasPrefix(pairs[i].Record, want) {
			t.Errorf("%s got %q", spec.Name, pairs[i].Record)
		}
	}
	return ok
}

// The stock is filled once, by no more workers than there are, and again as it is used.
func TestPoolKeepsAStock(t *testing.T) {
	started(t, 2, 5, func(t *testing.T, p *Pool, s *slowly, _ func() string) {
		time.Sleep(time.Hour)
		if s.made.Load() != 5 || s.most.Load() != 2 || p.Ready() != 5 {
			t.Errorf("%d made by %d, %d ready", s.made.Load(), s.most.Load(), p.Ready())
		}
		if !take(t, p, "a", rsa2048, ed, rsa2048) {
			t.Error("nothing is ready")
		}
		time.Sleep(time.Hour)
		if s.made.Load() != 7 || p.Ready() != 5 {
			t.Errorf("%d made, %d ready", s.made.Load(), p.Ready())
		}
	})
}

// Nobody waits in Take. They are called back in their order, each once, and asking again in between
// makes no second key.
func TestPoolCallsBack(t *testing.T) {
	started(t, 1, 0, func(t *testing.T, p *Pool, s *slowly, woken func() string) {
		if !take(t, p, "e", ed) {
			t.Error("an ed25519 key had to be waited for")
		}
		for range 3 {
			for _, customer := range []string{"a", "b", "c"} {
				specs := []Spec{rsa2048, ed}
				if customer == "b" {
					specs = []Spec{rsa4096, rsa2048, ed}
				}
				if before := time.Now(); take(t, p, customer, specs...) || !time.Now().Equal(before) {
					t.Error("it was served at once, or waited")
				}
			}
		}
		time.Sleep(time.Second / 2)
		for second, want := range []string{"", "a", "", "b", "c", ""} {
			if got := woken(); got != want {
				t.Errorf("after %d s: %q was called, want %q", second, got, want)
			}
			switch want {
			case "a", "c":
				if !take(t, p, want, rsa2048, ed) {
					t.Errorf("%s came in vain", want)
				}
			case "b":
				if !take(t, p, want, rsa4096, rsa2048, ed) {
					t.Errorf("%s came in vain", want)
				}
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if s.made.Load() != 4 {
			t.Errorf("%d keys were made for 4 wishes", s.made.Load())
		}
	})
}

// What is put aside is for that customer alone, until another wish or the end of it.
func TestPoolPutsAside(t *testing.T) {
	started(t, 1, 0, func(t *testing.T, p *Pool, s *slowly, woken func() string) {
		take(t, p, "a", rsa2048)
		time.Sleep(time.Minute)
		if got := woken(); got != "a" || take(t, p, "b", rsa2048) {
			t.Errorf("%q was called, and b took its key", got)
		}
		time.Sleep(time.Minute)
		take(t, p, "a", rsa4096) // instead
		if !take(t, p, "c", rsa2048) {
			t.Error("what a no longer wants is not to be had")
		}
		time.Sleep(time.Minute)
		p.Forget("a")
		p.Forget("b")
		if !take(t, p, "c", rsa4096, rsa2048) {
			t.Error("what was made for those who are gone is not to be had")
		}
		take(t, p, "d", rsa2048)
		take(t, p, "e", rsa2048, rsa2048)
		time.Sleep(3 * time.Second / 2)
		p.Forget("d") // whose key makes e's two
		time.Sleep(time.Minute)
		if got := woken(); got != "b a d e" || s.made.Load() != 5 {
			t.Errorf("%q were called, %d made", got, s.made.Load())
		}
		take(t, p, "f", rsa2048)
		time.Sleep(time.Second / 2)
		p.Forget("e")
		if got := woken(); got != "f" {
			t.Errorf("%q was called, when e's key was given back", got)
		}
	})
}

// An error reaches the one who waits, and stops the making of stock until the next wish.
func TestPoolFails(t *testing.T) {
	started(t, 1, 3, func(t *testing.T, p *Pool, s *slowly, woken func() string) {
		s.fails.Store(true)
		take(t, p, "a", rsa4096)
		take(t, p, "b", rsa2048)
		time.Sleep(3 * time.Second)
		if got := woken(); got != "a b" && got != "b a" {
			t.Errorf("%q were called", got)
		}
		if _, ok, err := p.Take("a", []Spec{rsa4096}); ok || err == nil || err.Error() != "no luck" {
			t.Errorf("%v, %v", ok, err)
		}
		running := s.running.Load()
		time.Sleep(time.Hour)
		if synctest.Wait(); running != 0 || s.running.Load() != 0 {
			t.Error("it goes on trying for nobody")
		}
		s.fails.Store(false)
		take(t, p, "a", rsa4096)
		time.Sleep(time.Minute)
		if woken(); !take(t, p, "a", rsa4096) || s.made.Load() != 4 {
			t.Errorf("%d made", s.made.Load())
		}
	})
	if _, _, err := NewPool(1, 1, Generate).Take("a", []Spec{{Algorithm: "rsa", Bits: 1024}}); err == nil {
		t.Error("a short key was ordered")
	}
}

// Whoever asks, in whatever order: all are served in the end, and of nothing is made more than was
// asked for and the stock.
func TestPoolServesAll(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		stock := rapid.IntRange(0, 3).Draw(rt, "stock")
		n := rapid.IntRange(1, 12).Draw(rt, "customers")
		specs := make([][]Spec, n)
		wishes := 0
		for i := range specs {
			specs[i] = rapid.SliceOfN(rapid.SampledFrom([]Spec{rsa2048, rsa4096, ed}), 1, 4).Draw(rt, "specs")
			for _, s := range specs[i] {
				if s.Algorithm == "rsa" {
					wishes++
				}
			}
		}
		early := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 20).Draw(rt, "who comes uncalled")
		started(t, 2, stock, func(t *testing.T, p *Pool, s *slowly, woken func() string) {
			served := map[int]bool{}
			come := func(i int) {
				if !served[i] && take(t, p, fmt.Sprint(i), specs[i]...) {
					served[i] = true
				}
			}
			for i := range n {
				come(i)
			}
			for _, i := range early {
				time.Sleep(time.Second / 2)
				come(i)
			}
			for range 100 {
				time.Sleep(time.Second)
				for _, customer := range strings.Fields(woken()) {
					i, err := strconv.Atoi(customer)
					if err != nil {
						rt.Fatal(err)
					}
					come(i)
				}
			}
			if len(served) != n || int(s.made.Load()) > wishes+stock {
				rt.Errorf("%d of %d were served; %d made for %d wishes and a stock of %d", len(served), n, s.made.Load(), wishes, stock)
			}
		})
	})
}
