package survey

import (
	"context"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/rounds"
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

// Watch surveys domains in the background, tenant by tenant, and remembers how they do. What it knows is gone with the
// process.
//
// Look never waits. A domain that passes is surveyed again daily; any other after a minute, two, four, up to
// a day; and one whose question has changed at once. A control that was known, and can't be found out, keeps
// its verdict until that is so twice: one lost answer is no news.
type Watch struct {
	rounds  *rounds.Rounds[watched]
	workers int
	now     func() time.Time
}

// watched is a domain, as one asks about it.
type watched struct {
	tenant   string
	key      string
	question Question
	seen     Verdicts
	wait     time.Duration // between the last survey and the next, where it did not pass; 0: it passed
	doubted  bool          // the last survey knew less than the one before, which stands
}

// NewWatch returns a watch in which, once it is started, workers survey the world as a tenant's domains see it; its Resolver
// is asked anew in each survey. now is the clock that results are dated by.
func NewWatch(workers int, world func(tenant string) World, now func() time.Time) *Watch {
	return newWatch(workers, maxWatched, func(ctx context.Context, tenant string, q Question) []compliance.Result {
		return world(tenant).judge(ctx, q)
	}, now)
}

func newWatch(workers, limit int, ask func(ctx context.Context, tenant string, q Question) []compliance.Result, now func() time.Time) *Watch {
	return &Watch{workers: workers, now: now, rounds: rounds.New(workers, limit, func(ctx context.Context, d watched) func(*watched) {
		results := ask(ctx, d.tenant, d.question)
		return func(by *watched) {
			if by.question.same(d.question) { // else it is another by now
				by.note(results, now())
			}
		}
	})}
}

// Start surveys until ctx is done.
func (w *Watch) Start(ctx context.Context) error { return w.rounds.Start(ctx) }

// Look returns at once how the domain did last by this question, and sees to it that a worker surveys it
// when it is time. key says who of the tenant asks. Before the first result for the question it is not known; then only
// Again is set.
func (w *Watch) Look(tenant, key string, q Question) (seen Verdicts, known bool) {
	now := w.now()
	key = tenant + "/" + key
	turns := w.rounds.Visit(tenant, key, func(d *watched) (due bool) {
		if !d.question.same(q) {
			*d = watched{tenant: tenant, key: key, question: q}
		}
		seen = d.seen
		return !now.Before(seen.Again)
	})
	if !now.Before(seen.Again) {
		seen.Again = now.Add(soon + usual*time.Duration(turns/w.workers))
	}
	return seen, !seen.At.IsZero()
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

// note takes results in.
func (d *watched) note(results []compliance.Result, now time.Time) {
	before := d.seen.Results
	if before == nil {
		before = d.question.Before
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
	d.seen = Verdicts{Results: results, At: now, Again: now.Add(wait + rounds.Jitter(d.key, wait))}
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
