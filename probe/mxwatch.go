package probe

import (
	"container/list"
	"context"
	"hash/fnv"
	"sync"
	"time"
)

const (
	// daily is how often a host is asked that passes, less its jitter: every 20 to 24 hours.
	daily = 24 * time.Hour
	// retry is how soon a host is asked again that does not pass. One that gives no answer is asked twice as
	// late each time, up to daily; one that fails is not, as whoever mends it waits for the result.
	retry = time.Hour
	// longestWait is how long a host waits for its first probe before the answer is that there is none: a
	// queue full of slow ones must not hold anybody up for ever.
	longestWait = time.Hour
	// soon is when to look again for a first result.
	soon = 10 * time.Second
	// maxWatched bounds the hosts that are remembered.
	maxWatched = 100_000
)

// MXSeen is what was last seen of an MX host.
type MXSeen struct {
	MXAnswer
	At    time.Time // when it was seen; the zero time before the first result
	Again time.Time // when to look again: the result may be another then
}

// MXWatch remembers what was seen of MX hosts and has them probed when it is time, each once for
// all domains that share it. What it knows is gone with the process.
//
// Look never waits. A host that passes is asked again daily; one that fails, after an hour; one that gives
// no answer, after an hour, two, four, up to a day. Who is not looked for is not asked.
type MXWatch struct {
	workers int
	limit   int
	probe   func(ctx context.Context, host string) MXAnswer
	now     func() time.Time

	mu      sync.Mutex
	work    *sync.Cond
	stopped bool
	hosts   map[string]*list.Element // of recent
	recent  *list.List               // of *watched, the last looked for first
	queue   *list.List               // of *watched that wait for a worker
}

// watched is a host.
type watched struct {
	host   string
	first  time.Time // when it was first looked for
	seen   MXSeen
	wait   time.Duration // between the last result and the next, where it did not pass; 0: it passed
	queued *list.Element
	busy   bool
}

// NewMXWatch returns a watch in which, once it is started, workers probe. probe is
// STARTTLSProber.Probe; now is the clock that results are dated by.
func NewMXWatch(workers int, probe func(ctx context.Context, host string) MXAnswer, now func() time.Time) *MXWatch {
	w := &MXWatch{workers: workers, limit: maxWatched, probe: probe, now: now, hosts: map[string]*list.Element{}, recent: list.New(), queue: list.New()}
	w.work = sync.NewCond(&w.mu)
	return w
}

// Look returns at once what was last seen of host, and sees to it that a worker asks when it is time.
// It is not known before the first result; then, only Again is set. A first result that is an hour late is an
// answer by itself: that nothing could be found out.
func (w *MXWatch) Look(host string) (seen MXSeen, known bool) {
	host = canonical(host)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	element, ok := w.hosts[host]
	if ok {
		w.recent.MoveToFront(element)
	} else {
		element = w.recent.PushFront(&watched{host: host, first: now})
		w.hosts[host] = element
		if w.recent.Len() > w.limit {
			w.forget(w.recent.Back())
		}
	}
	h := element.Value.(*watched)
	if !now.Before(h.seen.Again) && h.queued == nil && !h.busy {
		h.queued = w.queue.PushBack(h)
		w.work.Signal()
	}
	seen = h.seen
	if !now.Before(seen.Again) {
		seen.Again = now.Add(soon)
	}
	if seen.At.IsZero() && now.Sub(h.first) >= longestWait {
		seen.MXAnswer = MXAnswer{Host: host, Unresolved: "it has waited for an hour to be probed"}
		return seen, true
	}
	return seen, !seen.At.IsZero()
}

func (w *MXWatch) forget(element *list.Element) {
	h := w.recent.Remove(element).(*watched)
	delete(w.hosts, h.host)
	if h.queued != nil {
		w.queue.Remove(h.queued)
	}
}

// Start probes until ctx is done.
func (w *MXWatch) Start(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stopped = true
		w.work.Broadcast()
	})
	defer release()
	var workers sync.WaitGroup
	for range w.workers {
		workers.Go(func() { w.run(ctx) })
	}
	workers.Wait()
	return nil
}

func (w *MXWatch) run(ctx context.Context) {
	for h := w.begin(); h != nil; h = w.begin() {
		answer := w.probe(ctx, h.host)
		w.end(ctx, h, answer)
	}
}

// begin waits for a host to probe; nil at the end.
func (w *MXWatch) begin() *watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped {
		if first := w.queue.Front(); first != nil {
			h := w.queue.Remove(first).(*watched)
			h.queued, h.busy = nil, true
			return h
		}
		w.work.Wait()
	}
	return nil
}

// end notes a result, unless it is only that the process ends.
func (w *MXWatch) end(ctx context.Context, h *watched, answer MXAnswer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.busy = false
	if ctx.Err() != nil {
		return
	}
	now := w.now()
	wait := daily
	switch verdict, _ := answer.Verdict(); verdict {
	case MXPass:
		h.wait = 0
	case MXFail:
		h.wait, wait = retry, retry
	default:
		h.wait = min(max(2*h.wait, retry), daily)
		wait = h.wait
	}
	h.seen = MXSeen{MXAnswer: answer, At: now, Again: now.Add(wait - jitter(h.host, wait))}
}

// jitter spreads hosts that were first asked together: each has, by the hash of its name, its share
// of a sixth of an interval.
func jitter(host string, interval time.Duration) time.Duration {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(host))
	return interval / 6 * time.Duration(hash.Sum64()%1000) / 1000
}
