package survey

import (
	"container/list"
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
)

const (
	// daily is how often a domain is surveyed that passes, and its jitter: every 24 to 28 hours.
	daily = 24 * time.Hour
	// retry is how soon a domain is surveyed again that does not pass, and then twice as late each time, up to
	// daily: a record of ours takes a while to reach every cache.
	retry = time.Minute
	// soon is when to look again for a first result, and usual what a survey takes, so that who is far behind
	// in the queue is not back before its turn.
	soon  = 5 * time.Second
	usual = time.Second
	// longestSurvey bounds one survey, so that silent domains do not hold others up for long: what has no
	// answer by then is unknown.
	longestSurvey = 20 * time.Second
	// maxWatched bounds the domains that are remembered.
	maxWatched = 100_000
)

// Question is what a Watch is asked about a domain.
type Question struct {
	Domain      string
	Selectors   []string // that signers use; nil: nobody has named any
	NoSelectors string   // how to name them
	Baselines   []string // to judge by
	// Version tells apart what was there before and after a change by the one who asks: with another one
	// the domain is surveyed anew.
	Version string
	// Before is what the one who asks was told last, by whichever process, for each of Baselines. It is no
	// part of the question.
	Before []compliance.Result
}

func (q Question) same(other Question) bool {
	return q.Domain == other.Domain && q.Version == other.Version && q.NoSelectors == other.NoSelectors &&
		(q.Selectors == nil) == (other.Selectors == nil) && slices.Equal(q.Selectors, other.Selectors) && slices.Equal(q.Baselines, other.Baselines)
}

// Verdicts are how a domain does, one result for each baseline of the question.
type Verdicts struct {
	Results []compliance.Result
	At      time.Time // when the survey ended; the zero time before the first one
	Again   time.Time // when to look again: the results may be others then
}

// Watch surveys domains in the background and remembers how they do. What it knows is gone with the
// process.
//
// Look never waits. A domain that passes is surveyed again daily; any other after a minute, two, four, up to
// a day; and one whose question has changed at once. A control that was known, and can't be found out, keeps
// its verdict until that is so twice: one lost answer is no news.
type Watch struct {
	workers int
	limit   int
	ask     func(ctx context.Context, q Question) []compliance.Result
	now     func() time.Time

	mu      sync.Mutex
	work    *sync.Cond
	stopped bool
	domains map[string]*list.Element // of recent
	recent  *list.List               // of *watched, the last looked for first
	queue   *list.List               // of *watched that wait for a worker
}

// watched is a domain, as one asks about it.
type watched struct {
	key      string
	question Question
	seen     Verdicts
	wait     time.Duration // between the last survey and the next, where it did not pass; 0: it passed
	doubted  bool          // the last survey knew less than the one before, which stands
	queued   *list.Element
	busy     bool
}

// NewWatch returns a watch in which, once it is started, workers survey the world; its Resolver is asked
// anew in each survey. now is the clock that results are dated by.
func NewWatch(workers int, world World, now func() time.Time) *Watch {
	w := &Watch{workers: workers, limit: maxWatched, ask: world.judge, now: now, domains: map[string]*list.Element{}, recent: list.New(), queue: list.New()}
	w.work = sync.NewCond(&w.mu)
	return w
}

// Look returns at once how the domain did last by this question, and sees to it that a worker surveys it
// when it is time. key says who asks. Before the first result for the question it is not known; then only
// Again is set.
func (w *Watch) Look(key string, q Question) (seen Verdicts, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	element, ok := w.domains[key]
	if ok {
		w.recent.MoveToFront(element)
	} else {
		element = w.recent.PushFront(&watched{key: key, question: q})
		w.domains[key] = element
		if w.recent.Len() > w.limit {
			w.forget(w.recent.Back())
		}
	}
	d := element.Value.(*watched)
	if !d.question.same(q) {
		d.question, d.seen, d.wait, d.doubted = q, Verdicts{}, 0, false
	}
	if !now.Before(d.seen.Again) && d.queued == nil && !d.busy {
		d.queued = w.queue.PushBack(d)
		w.work.Signal()
	}
	seen = d.seen
	if !now.Before(seen.Again) {
		seen.Again = now.Add(soon + usual*time.Duration(w.queue.Len()/w.workers))
	}
	return seen, !seen.At.IsZero()
}

func (w *Watch) forget(element *list.Element) {
	d := w.recent.Remove(element).(*watched)
	delete(w.domains, d.key)
	if d.queued != nil {
		w.queue.Remove(d.queued)
	}
}

// Start surveys until ctx is done.
func (w *Watch) Start(ctx context.Context) error {
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

func (w *Watch) run(ctx context.Context) {
	for {
		d, q := w.begin()
		if d == nil {
			return
		}
		w.end(ctx, d, q, w.ask(ctx, q))
	}
}

// begin waits for a domain to survey; nil at the end.
func (w *Watch) begin() (*watched, Question) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped {
		if first := w.queue.Front(); first != nil {
			d := w.queue.Remove(first).(*watched)
			d.queued, d.busy = nil, true
			return d, d.question
		}
		w.work.Wait()
	}
	return nil, Question{}
}

// judge surveys a domain, and says how it does.
func (w World) judge(ctx context.Context, q Question) []compliance.Result {
	ctx, cancel := context.WithTimeout(ctx, longestSurvey)
	defer cancel()
	w.Resolver = w.Resolver.Once()
	s := &Survey{World: w, Domain: q.Domain, Selectors: q.Selectors, NoSelectors: q.NoSelectors}
	s.Gather(ctx)
	s.Facts.Policy = untold(s.Facts.Policy)
	results := make([]compliance.Result, len(q.Baselines))
	for i, name := range q.Baselines {
		results[i] = compliance.Result{Baseline: name, Outcome: compliance.Unknown}
		if b, ok := compliance.Find(name); ok {
			results[i] = compliance.Judge(b, s.Facts)
		}
	}
	return results
}

// untold keeps the words of a policy that can't be read out of verdicts, which everybody may read who may
// read the object: a policy host can serve anything.
func untold(policy compliance.Fact[compliance.Policy]) compliance.Fact[compliance.Policy] {
	if p, known := policy.Get(); known && p.Failure == "" {
		if _, err := mtasts.ParsePolicy(p.Body); err != nil {
			return compliance.Seen(compliance.Policy{Failure: "what is served is none (RFC 8461 §3.2)"})
		}
	}
	return policy
}

// end notes results, unless the process ends, or the question is another by now.
func (w *Watch) end(ctx context.Context, d *watched, q Question, results []compliance.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.busy = false
	if ctx.Err() != nil || !d.question.same(q) {
		return
	}
	now, before := w.now(), d.seen.Results
	if before == nil {
		before = q.Before
	}
	if d.doubted = !d.doubted && lessKnown(before, results); d.doubted {
		d.seen.Again = now.Add(retry)
		return
	}
	wait := daily
	if passes(results) {
		d.wait = 0
	} else {
		d.wait = min(max(2*d.wait, retry), daily)
		wait = d.wait
	}
	d.question.Before = nil // seen tells from now on
	d.seen = Verdicts{Results: results, At: now, Again: now.Add(wait + jitter(d.key, wait))}
}

func passes(results []compliance.Result) bool {
	return !slices.ContainsFunc(results, func(r compliance.Result) bool {
		return r.Outcome != compliance.Pass && r.Outcome != compliance.NotApplicable
	})
}

// lessKnown reports whether a control is unknown that was known before.
func lessKnown(before, now []compliance.Result) bool {
	for i, r := range now {
		for j, v := range r.Verdicts {
			if v.Outcome == compliance.Unknown && i < len(before) && j < len(before[i].Verdicts) {
				if was := before[i].Verdicts[j]; was.Control == v.Control && was.Outcome != compliance.Unknown {
					return true
				}
			}
		}
	}
	return false
}

// jitter spreads domains that were first surveyed together: each has, by the hash of its key, its share of
// a sixth of an interval.
func jitter(key string, interval time.Duration) time.Duration {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(key))
	return interval / 6 * time.Duration(hash.Sum64()%1000) / 1000
}

// WatchedTLS makes a World's TLS of what is known of MX hosts, as probe.MXWatch.Look says it without waiting.
func WatchedTLS(look func(host string) (seen probe.MXSeen, known bool)) func(context.Context, string) compliance.Fact[compliance.TLS] {
	return func(_ context.Context, host string) compliance.Fact[compliance.TLS] {
		seen, known := look(host)
		if !known {
			return compliance.Unseen[compliance.TLS](host + " was not asked for TLS yet")
		}
		return TLSOf(seen.MXAnswer)
	}
}
