package lease

import (
	"errors"
	"sync"
	"time"
)

// ErrNotHeld is why a write is not made.
var ErrNotHeld = errors.New("this process does not hold the lease for long enough to write")

// Guard knows until when this process leads. It is safe for concurrent use. A nil Guard is that of a process
// which has no others beside it: it lets everything through.
type Guard struct {
	duration time.Duration
	now      func() time.Time

	mu       sync.Mutex
	renewed  time.Time // when the last renewal that succeeded was sent; zero: the lease is not held
	underWay int
	landed   time.Time // by then those have landed, if ever, that ended without an answer
}

// NewGuard returns a guard for leases of the duration. Nothing passes before the first renewal.
func NewGuard(duration time.Duration, now func() time.Time) *Guard {
	return &Guard{duration: duration, now: now}
}

// Begin asks whether a write may be made that takes no longer than longest. If so, end must be called when its maker is done
// with it; else the error is ErrNotHeld. A write that was not answered, as one that was given up when the process is to end, can still
// land: it counts as under way for as long as it may take.
func (g *Guard) Begin(longest time.Duration) (end func(answered bool), err error) {
	if g == nil {
		return func(bool) {}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left() <= longest {
		return nil, ErrNotHeld
	}
	g.underWay++
	last, over := g.now().Add(longest), false
	return func(answered bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if over {
			return
		}
		over = true
		g.underWay--
		if !answered && last.After(g.landed) {
			g.landed = last
		}
	}, nil
}

// left is what is left of the lease. Of the two clocks the one counts by which more time has passed: the monotonic
// one stands still while a machine sleeps, the other one is set back.
func (g *Guard) left() time.Duration {
	if g.renewed.IsZero() {
		return 0
	}
	now := g.now()
	return g.duration - max(now.Sub(g.renewed), now.Round(0).Sub(g.renewed.Round(0)))
}

// hold notes a renewal that succeeded.
func (g *Guard) hold(sent time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renewed = sent
}

// drop lets nothing through any more, and reports whether nothing is under way or can still land.
func (g *Guard) drop() (idle bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renewed = time.Time{}
	return g.underWay == 0 && !g.now().Before(g.landed)
}
