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
}

// NewGuard returns a guard for leases of the duration. Nothing passes before the first renewal.
func NewGuard(duration time.Duration, now func() time.Time) *Guard {
	return &Guard{duration: duration, now: now}
}

// Begin asks whether a write may be made that takes no longer than longest. If so, end must be called when it is
// over; else the error is ErrNotHeld.
func (g *Guard) Begin(longest time.Duration) (end func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left() <= longest {
		return nil, ErrNotHeld
	}
	g.underWay++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.underWay--
	}), nil
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

// drop lets nothing through any more, and reports whether nothing is under way.
func (g *Guard) drop() (idle bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renewed = time.Time{}
	return g.underWay == 0
}
