package probe

import (
	"context"
	"time"

	"github.com/maildomain/maildomain-operator/rounds"
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
// all domains that share it, and tenant by tenant. What it knows is gone with the process.
//
// Look never waits. A host that passes is asked again daily; one that fails, after an hour; one that gives
// no answer, after an hour, two, four, up to a day. Who is not looked for is not asked.
type MXWatch struct {
	rounds *rounds.Rounds[watched]
	now    func() time.Time
}

// watched is a host.
type watched struct {
	host  string
	first time.Time // when it was first looked for
	seen  MXSeen
	wait  time.Duration // between the last result and the next, where it did not pass; 0: it passed
}

// NewMXWatch returns a watch in which, once it is started, workers probe. probe is
// STARTTLSProber.Probe; now is the clock that results are dated by.
func NewMXWatch(workers int, probe func(ctx context.Context, host string) MXAnswer, now func() time.Time) *MXWatch {
	return newMXWatch(workers, maxWatched, probe, now)
}

func newMXWatch(workers, limit int, probe func(ctx context.Context, host string) MXAnswer, now func() time.Time) *MXWatch {
	return &MXWatch{now: now, rounds: rounds.New(workers, limit, func(ctx context.Context, h watched) func(*watched) {
		answer := probe(ctx, h.host)
		return func(h *watched) { h.note(answer, now()) }
	})}
}

// Start probes until ctx is done.
func (w *MXWatch) Start(ctx context.Context) error { return w.rounds.Start(ctx) }

// Look returns at once what was last seen of host, and sees to it that a worker asks when it is time. tenant is for whom.
// It is not known before the first result; then, only Again is set. A first result that is an hour late is an
// answer by itself: that nothing could be found out.
func (w *MXWatch) Look(tenant, host string) (seen MXSeen, known bool) {
	host = canonical(host)
	now := w.now()
	var first time.Time
	w.rounds.Visit(tenant, host, func(h *watched) (due bool) {
		if h.first.IsZero() {
			h.host, h.first = host, now
		}
		seen, first = h.seen, h.first
		return !now.Before(seen.Again)
	})
	if !now.Before(seen.Again) {
		seen.Again = now.Add(soon)
	}
	if seen.At.IsZero() && now.Sub(first) >= longestWait {
		seen.MXAnswer = MXAnswer{Host: host, Unresolved: "it has waited for an hour to be probed"}
		return seen, true
	}
	return seen, !seen.At.IsZero()
}

// note takes a result in.
func (h *watched) note(answer MXAnswer, now time.Time) {
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
	h.seen = MXSeen{MXAnswer: answer, At: now, Again: now.Add(wait - rounds.Jitter(h.host, wait))}
}
