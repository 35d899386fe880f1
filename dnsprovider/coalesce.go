package dnsprovider

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Coalesce returns a Zone whose concurrent calls go to the provider together. What is wanted
// within the linger, while a call is under way, or while a Pace lets none be made, goes out as the
// next one; so one zone has at most one read and one write under way, whoever asks.
//
// A caller whose context ends gets an error at once, and what others wanted goes on: a call for
// several is bounded by the time-out of the Zone below, not by the context of one of them.
func Coalesce(zone Zone, linger time.Duration) Zone {
	most := max(zone.Capabilities().MaxChanges, 1)
	free := func() {}
	if paced, ok := zone.(pacedZone); ok {
		free = paced.pace.free
	}
	return &coalesced{
		zone:   zone,
		reads:  group[Key, Reading]{run: func(ctx context.Context, keys []Key) []Reading { return zone.Read(ctx, keys...) }, most: maxReadKeys, linger: linger, free: free},
		writes: group[Change, error]{run: func(ctx context.Context, changes []Change) []error { return zone.Apply(ctx, changes...) }, most: most, linger: linger, free: free, key: func(c Change) Key { return c.Seen.Key }, units: units},
	}
}

// maxReadKeys bounds one read, so that a long queue does not become one endless call.
const maxReadKeys = 1000

type coalesced struct {
	zone   Zone
	reads  group[Key, Reading]
	writes group[Change, error]
}

// Capabilities are those of the zone below.
func (c *coalesced) Capabilities() Capabilities { return c.zone.Capabilities() }

// Read waits for its turn.
func (c *coalesced) Read(ctx context.Context, keys ...Key) []Reading {
	return c.reads.do(ctx, keys, func(key Key, _ bool) Reading {
		return Reading{Err: &Error{Kind: Unreachable, Op: "read " + key.String(), Err: explained{"the time was up while it waited for its turn", context.Cause(ctx)}}}
	})
}

// Apply waits for its turn.
func (c *coalesced) Apply(ctx context.Context, changes ...Change) []error {
	return c.writes.do(ctx, changes, func(change Change, sent bool) error {
		e := &Error{Kind: Unreachable, Op: "update " + change.Seen.String(), Err: explained{"the time was up before anything was sent", context.Cause(ctx)}}
		if sent {
			e.Kind, e.Err = UnknownOutcome, explained{"the time was up while the update was under way; it may have been applied", context.Cause(ctx)}
		}
		return e
	})
}

// group runs a function for many callers at once, one call after another.
type group[In, Out any] struct {
	run    func(context.Context, []In) []Out
	most   int // of one call
	linger time.Duration
	free   func()       // waits until a call can be made
	key    func(In) Key // no two of one key go together, or in another order; nil: any do
	// units parts the wishes of a caller into those that go in one call, also where they are more than
	// most; nil: each can go alone.
	units func([]In) [][]int

	mu      sync.Mutex
	waiting []*ticket[In, Out]
	running bool
}

// ticket is one thing that a caller wants.
type ticket[In, Out any] struct {
	in   In
	unit []*ticket[In, Out] // those that go with it, itself among them; empty: none
	out  Out
	ctx  context.Context
	sent bool
	done chan struct{}
}

// do puts the caller's wishes into the queue and waits for their outcomes. For what is not done
// when ctx ends, late says what comes of it.
func (g *group[In, Out]) do(ctx context.Context, ins []In, late func(in In, sent bool) Out) []Out {
	tickets := make([]*ticket[In, Out], len(ins))
	for i, in := range ins {
		tickets[i] = &ticket[In, Out]{in: in, ctx: ctx, done: make(chan struct{})}
	}
	if g.units != nil {
		for _, unit := range g.units(ins) {
			var together []*ticket[In, Out]
			for _, i := range unit {
				together = append(together, tickets[i])
			}
			for _, t := range together {
				t.unit = together
			}
		}
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, tickets...)
	if !g.running && len(g.waiting) > 0 {
		g.running = true
		go g.work(context.WithoutCancel(ctx))
	}
	g.mu.Unlock()

	outs := make([]Out, len(ins))
	for i, t := range tickets {
		select {
		case <-t.done:
			outs[i] = t.out
		case <-ctx.Done():
			outs[i] = g.leave(t, late)
		}
	}
	return outs
}

// leave gives a ticket up, unless it has just been served.
func (g *group[In, Out]) leave(t *ticket[In, Out], late func(In, bool) Out) Out {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-t.done:
		return t.out
	default:
		return late(t.in, t.sent)
	}
}

// work serves the queue until it is empty.
func (g *group[In, Out]) work(ctx context.Context) {
	for {
		<-time.NewTimer(g.linger).C
		g.free()
		batch := g.take()
		ins := make([]In, len(batch))
		for i, t := range batch {
			ins[i] = t.in
		}
		var outs []Out
		if len(batch) > 0 {
			outs = g.run(ctx, ins)
		}
		if g.finish(batch, outs) {
			return
		}
	}
}

// finish hands out the outcomes of a call; done is that nobody waits for another one.
func (g *group[In, Out]) finish(batch []*ticket[In, Out], outs []Out) (done bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, t := range batch {
		t.out = outs[i]
		close(t.done)
	}
	g.running = len(g.waiting) > 0
	return !g.running
}

// take picks the next call: the oldest tickets that can go together. Those whose caller has gone
// are dropped.
func (g *group[In, Out]) take() (batch []*ticket[In, Out]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var rest []*ticket[In, Out]
	passed := map[Key]bool{}
	clashes := func(t *ticket[In, Out]) bool { return g.key != nil && passed[g.key(t.in)] }
	looked := map[*ticket[In, Out]]bool{}
	for _, first := range g.waiting {
		if looked[first] || first.ctx.Err() != nil {
			continue
		}
		unit := first.unit
		if len(unit) == 0 {
			unit = []*ticket[In, Out]{first}
		}
		goes := !slices.ContainsFunc(unit, clashes) && (len(batch) == 0 || len(batch)+len(unit) <= g.most)
		for _, t := range unit {
			looked[t] = true
			if g.key != nil {
				passed[g.key(t.in)] = true
			}
			if t.sent = goes; goes {
				batch = append(batch, t)
			} else {
				rest = append(rest, t)
			}
		}
	}
	g.waiting = rest
	return batch
}
