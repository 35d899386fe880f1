package dnsprovider

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace spreads the calls that are made with one credential, whatever the zone, so that they stay
// within what the provider allows. It is slowed down when the provider refuses a call for there
// being too many, and comes back by and by.
type Pace struct {
	now      func() time.Time
	full     rate.Limit
	patience time.Duration

	mu      sync.Mutex
	limiter *rate.Limiter
	pausing time.Time // no call before
	booked  time.Time // until when those who were held back are to come, one after another
	slowed  time.Time // when the rate was last changed, while it is not the full one
}

// NewPace allows so many calls a second, with a burst of so many at once after a rest. A call that
// would have to wait longer than patience is not made: its error is of kind RateLimited and says
// when to come back, to each caller another time, so that they do not all come at once and most of
// them in vain.
func NewPace(perSecond float64, burst int, patience time.Duration, now func() time.Time) *Pace {
	return &Pace{now: now, full: rate.Limit(perSecond), patience: patience, limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

const (
	// recovery is how long a rate stands before it grows by a tenth of the full one.
	recovery = time.Minute
	// lowest is the part of the full rate that stays, however often the provider refuses.
	lowest = 1.0 / 16
	// pauseUnknown is how long to wait where the provider does not say.
	pauseUnknown = 10 * time.Second
	// visit is how many calls who comes back makes at the least: a read, a write, and its read-back.
	visit = 3
	// furthest is how far off one is asked to come back; beyond, several come at once.
	furthest = 5 * time.Minute
)

// wait returns when a call may be made. Its error is an *Error.
func (p *Pace) wait(ctx context.Context) error {
	delay := p.reserve()
	if delay > p.patience {
		return &Error{Kind: RateLimited, RetryAfter: p.book(delay), Err: errHeldBack}
	}
	return sleep(ctx, delay)
}

// free returns when a call could be made, or at once if that is further off than patience. It takes nobody's turn: what
// is to be sent can be put together when it returns, and not before the wait.
func (p *Pace) free() {
	p.mu.Lock()
	now := p.now()
	p.recover(now)
	r := p.limiter.ReserveN(now, 1)
	delay := max(r.DelayFrom(now), p.pausing.Sub(now))
	r.CancelAt(now)
	p.mu.Unlock()
	if delay <= p.patience {
		_ = sleep(context.Background(), delay) // it has no end but the time
	}
}

// book returns when one comes back who would have to wait for so long now: after all who were held
// back before.
func (p *Pace) book(delay time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if soonest := now.Add(delay); p.booked.Before(soonest) {
		p.booked = soonest
	}
	at := p.booked.Sub(now)
	if at < furthest {
		p.booked = p.booked.Add(time.Duration(visit / float64(p.limiter.Limit()) * float64(time.Second)))
	}
	return at
}

// sleep waits for the time, or for the end of ctx; then its error is an *Error.
func sleep(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &Error{Kind: Unreachable, Err: explained{"the time was up while it waited for its turn", context.Cause(ctx)}}
	}
}

// reserve takes the next free moment and returns how far off it is; if that is too far, the
// moment stays free.
func (p *Pace) reserve() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.recover(now)
	if pause := p.pausing.Sub(now); pause > p.patience {
		return pause
	}
	if p.limiter.TokensAt(now) >= float64(p.limiter.Burst()) {
		p.booked = time.Time{} // who was to come has come, or will not
	}
	r := p.limiter.ReserveN(now, 1)
	delay := max(r.DelayFrom(now), p.pausing.Sub(now))
	if delay > p.patience {
		r.CancelAt(now)
	}
	return delay
}

func (p *Pace) recover(now time.Time) {
	for !p.slowed.IsZero() && now.Sub(p.slowed) >= recovery {
		p.slowed = p.slowed.Add(recovery)
		next := p.limiter.Limit() + p.full/10
		if next >= p.full {
			next, p.slowed = p.full, time.Time{}
		}
		p.limiter.SetLimitAt(now, next)
	}
}

// refused halves the rate, and stops until the provider wants to hear from us again.
func (p *Pace) refused(retryAfter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if retryAfter <= 0 {
		retryAfter = pauseUnknown
	}
	if until := now.Add(retryAfter); until.After(p.pausing) {
		p.pausing = until
	}
	p.limiter.SetLimitAt(now, max(p.limiter.Limit()/2, p.full*lowest))
	p.slowed = now
}

// Transport returns a transport whose every call keeps the pace.
func (p *Pace) Transport(next http.RoundTripper) http.RoundTripper { return pacedTransport{p, next} }

type pacedTransport struct {
	pace *Pace
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t pacedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.pace.wait(r.Context()); err != nil {
		if r.Body != nil {
			r.Body.Close() // as a RoundTripper must, also with an error
		}
		return nil, err
	}
	return t.next.RoundTrip(r)
}

// Zone returns a zone whose provider, when it refuses for there being too many calls, slows
// down the pace of all that use the credential.
func (p *Pace) Zone(zone Zone) Zone { return pacedZone{zone, p} }

type pacedZone struct {
	Zone
	pace *Pace
}

// Read listens for refusals.
func (z pacedZone) Read(ctx context.Context, keys ...Key) []Reading {
	readings := z.Zone.Read(ctx, keys...)
	for _, r := range readings {
		if z.heard(r.Err) {
			break
		}
	}
	return readings
}

// Apply listens for refusals.
func (z pacedZone) Apply(ctx context.Context, changes ...Change) []error {
	errs := z.Zone.Apply(ctx, changes...)
	for _, err := range errs {
		if z.heard(err) {
			break
		}
	}
	return errs
}

// heard takes note of a refusal. What Pace itself has held back is none.
func (z pacedZone) heard(err error) bool {
	if KindOf(err) != RateLimited || HeldBack(err) {
		return false
	}
	e, _ := errors.AsType[*Error](err)
	z.pace.refused(e.RetryAfter)
	return true
}

var errHeldBack = errors.New("the calls with these credentials are used up: nothing to do but wait, or raise spec.rateLimit of the provider")

// HeldBack reports whether an error is Pace's own: the provider was not asked.
func HeldBack(err error) bool { return errors.Is(err, errHeldBack) }
