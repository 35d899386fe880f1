package simulate

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

const (
	domain    = "example.com"
	namespace = "mail"
	object    = "example-com"
)

// epoch is when every world begins.
var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// World is all that there is, at one instant.
type World struct {
	plan  plan
	rng   *rand.Rand
	now   time.Time // the true one
	later events
	seq   int
	trace trace
	calm  bool // faults are over
	busy  bool // the operator makes a pass

	legacy    string            // the private key that signed before; "": none did
	neighbour map[string][]byte // the other domain's part of the signer's Secret; nil: not to be judged
	dropped   int               // how often the user has changed the keys of spec
	lost      *loss             // of the ledger, the last one; nil: it was restored

	keys      *pool
	cluster   *cluster
	names     *names
	provider  *provider
	operator  *operator
	receivers []*receiver
	signers   []*signer
	mail      mail
	year      *year // of MTA-STS; nil: the world is one of DKIM
	watch     watch // of the invariants
	Counts    Counts
}

// Counts is what a world has seen, to tell whether a run was worth anything.
type Counts struct {
	Steps, Passes, Effects, Crashes, ProviderFaults, Outages int
	Rotations, Signed, Delivered, Deferred, RealSignatures   int
	Imports, Neighbours                                      int // keys taken over, and writes of another domain
	// Of a year: messages, those that were refused for the trouble of an MX host or after a move without a
	// word, policies announced, moves, and steps at which a risk was told of.
	Posted, LostToServers, LostUnannounced, Announced, Moves, Unannounced, Detected int
	// Apart: mail of signers that never reload although nobody holds the rotation up for them.
	ApartDeferred, ApartLoadedAll int
}

// event is something that is going to happen.
type event struct {
	at  time.Time
	seq int // of two at one time the one that was planned first
	do  func()
}

// events are a heap, the next one first.
type events []event

// Len implements heap.Interface.
func (e events) Len() int { return len(e) }

// Less implements heap.Interface.
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}

// Swap implements heap.Interface.
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = event{}
	*e = (*e)[:len(*e)-1]
	return last
}

// in plans something for later.
func (w *World) in(after time.Duration, do func()) {
	w.seq++
	heap.Push(&w.later, event{w.now.Add(max(after, 0)), w.seq, do})
}

// run has the world go on until the time.
func (w *World) run(until time.Time) {
	for len(w.later) > 0 && !w.later[0].at.After(until) {
		next := heap.Pop(&w.later).(event)
		w.pass(next.at)
		w.before()
		next.do()
		w.step()
	}
	if until.After(w.now) {
		w.pass(until)
		w.step()
	}
}

// before is called before anything happens: what was true up to now.
func (w *World) before() {
	if w.year != nil {
		w.year.observe()
		return
	}
	w.observe()
}

// pass lets the time pass until the next thing happens. Mail that is only sent, and not judged by its
// signature, changes nothing, so it needs no event.
func (w *World) pass(at time.Time) {
	if !at.After(w.now) {
		return
	}
	if w.year != nil {
		w.year.post(at)
	}
	w.now = at
}

// step is called whenever anything may have changed: mail is signed, and the invariants are judged.
func (w *World) step() {
	w.Counts.Steps++
	if w.year != nil {
		w.year.judge()
		return
	}
	w.observe()
	w.signAll()
	w.judge()
}

// chance is true with the probability, and never in a world that is calm or quiet.
func (w *World) chance(p float64) bool { return !w.calm && !w.plan.quiet && w.rng.Float64() < p }

// between draws a duration, short ones as likely as long ones.
func (w *World) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	steps := 0
	for d := low; d < high; d *= 2 {
		steps++
	}
	from := low << w.rng.IntN(steps)
	return min(from+time.Duration(w.rng.Int64N(int64(from))), high)
}

// uniform draws a duration.
func (w *World) uniform(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}
