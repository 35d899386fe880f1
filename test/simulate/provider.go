package simulate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// provider is who hosts the zone: an API in front of a database, from which the name servers get
// their copies.
type provider struct {
	w    *World
	zone map[string][]string
	old  map[string][]string // what reads may still get, until stale
	// stale is until when reads are served from a copy that lags.
	stale map[string]time.Time

	calls   int
	late    bool    // a change comes in that is of an earlier time
	outage  outcome // of all calls
	outages time.Time
}

// outcome is what becomes of a call.
type outcome string

const (
	fine         outcome = ""
	unauthorized         = outcome(dnsprovider.Unauthorized)
	unreachable          = outcome(dnsprovider.Unreachable)
	zoneNotFound         = outcome(dnsprovider.ZoneNotFound)
	changed              = outcome(dnsprovider.Changed)
	refused              = outcome(dnsprovider.Refused)
	rateLimited          = outcome(dnsprovider.RateLimited)
	unsupportedC         = outcome(dnsprovider.Unsupported)
	invalid              = outcome(dnsprovider.Invalid)

	unknownMade outcome = "UnknownOutcome, made"
	unknownNot  outcome = "UnknownOutcome, not made"
	unknownLate outcome = "UnknownOutcome, made later"
	lost        outcome = "confirmed, and not made"
	lagging     outcome = "made, and not seen by reads for a while"
)

// outcomes are all that go wrong.
func outcomes() []outcome {
	return []outcome{unauthorized, unreachable, zoneNotFound, changed, refused, rateLimited, unsupportedC, invalid, unknownMade, unknownNot, unknownLate, lost, lagging}
}

func newProvider(w *World) *provider {
	return &provider{w: w, zone: map[string][]string{}, old: map[string][]string{}, stale: map[string]time.Time{}}
}

// next draws the outcome of a call.
func (p *provider) next() outcome {
	p.calls++
	w := p.w
	switch {
	case w.plan.quiet && w.plan.script.faultAt > 0 && p.calls == w.plan.script.faultAt:
		w.Counts.ProviderFaults++
		return w.plan.script.fault
	case w.now.Before(p.outages) && !w.calm:
		return p.outage
	case w.chance(w.plan.fault):
		w.Counts.ProviderFaults++
		return pick(w.rng, outcomes()...)
	}
	return fine
}

// failure makes the error of an outcome.
func (p *provider) failure(how outcome, op string, key dnsprovider.Key) error {
	kind, _, _ := strings.Cut(string(how), ",")
	e := &dnsprovider.Error{Kind: dnsprovider.Kind(kind), Op: op + " " + key.String(), Server: "the provider", Err: errors.New("simulated")}
	if how == rateLimited {
		e.RetryAfter = p.w.uniform(time.Second, 10*time.Minute)
	}
	p.w.tell("provider", "%s: %s", e.Op, how)
	return e
}

// account implements dnsprovider.Zone.
type account struct{ *provider }

// Capabilities implements dnsprovider.Zone.
func (a account) Capabilities() dnsprovider.Capabilities {
	return dnsprovider.Capabilities{CompareAndSwap: a.w.plan.cas, MaxChanges: 1}
}

// Read implements dnsprovider.Zone.
func (a account) Read(_ context.Context, keys ...dnsprovider.Key) []dnsprovider.Reading {
	readings := make([]dnsprovider.Reading, len(keys))
	how := a.next()
	a.w.pause(1)
	for i, key := range keys {
		switch how {
		case fine, unknownMade, unknownNot, unknownLate, lost, lagging: // nothing that a read can be
			readings[i].RRset = rrset(key, a.seen(rrsetAt(key.Name, key.Type)))
		default:
			readings[i].Err = a.failure(how, "read", key)
		}
	}
	return readings
}

// seen is what a read gets.
func (p *provider) seen(name string) []string {
	if p.w.now.Before(p.stale[name]) {
		return p.old[name]
	}
	return p.zone[name]
}

func rrset(key dnsprovider.Key, values []string) dnsprovider.RRset {
	set := dnsprovider.RRset{Key: key}
	for _, v := range values {
		set.Records = append(set.Records, dnsprovider.Record{Value: v, Handle: v})
	}
	if len(values) > 0 {
		set.TTL = recordTTL
	}
	return set
}

// Apply implements dnsprovider.Zone.
func (a account) Apply(_ context.Context, changes ...dnsprovider.Change) []error {
	errs := make([]error, len(changes))
	for i, c := range changes {
		errs[i] = a.w.effect("write "+c.Seen.String(), func() error { return a.apply(c) })
	}
	return errs
}

func (p *provider) apply(c dnsprovider.Change) error {
	at, how := rrsetAt(c.Seen.Name, c.Seen.Type), p.next()
	p.w.pause(1)
	if c.Empty() {
		return nil
	}
	fits := func() bool { return !p.w.plan.cas || slices.Equal(c.Seen.Values(), p.zone[at]) }
	switch how {
	case fine, lagging, unknownMade:
		if !fits() {
			return p.failure(changed, "write", c.Seen.Key)
		}
		if how == lagging {
			p.old[at] = slices.Clone(p.zone[at])
			p.stale[at] = p.w.now.Add(p.w.between(time.Second, time.Hour))
			p.w.tell("provider", "reads of %s lag", at)
		}
		p.make(c)
	case unknownLate:
		p.w.in(p.w.between(time.Second, 5*time.Minute), func() {
			if fits() {
				p.w.tell("provider", "a change comes late")
				p.late = true
				p.make(c)
				p.late = false
			}
		})
	case lost:
		p.w.tell("provider", "confirms %s, and loses it", c.Seen.Key)
		return nil
	}
	if how == fine || how == lagging {
		return nil
	}
	return p.failure(how, "write", c.Seen.Key)
}

// make makes the change: of the records that it names, by their handles.
func (p *provider) make(c dnsprovider.Change) {
	at := rrsetAt(c.Seen.Name, c.Seen.Type)
	if p.w.year != nil {
		p.w.year.change(c)
	} else {
		p.w.watch.change(p.w, c)
	}
	values := slices.DeleteFunc(slices.Clone(p.zone[at]), func(v string) bool {
		return slices.ContainsFunc(c.Remove, func(r dnsprovider.Record) bool { return r.Handle == v })
	})
	for _, v := range c.Add {
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	p.set(at, values...)
}

// set is what somebody makes of an RRset.
func (p *provider) set(name string, values ...string) {
	slices.Sort(values)
	if slices.Equal(values, p.zone[name]) {
		return
	}
	p.zone[name] = values
	p.w.tell("zone", "%s is %s", name, brief(values))
	p.w.names.changed(name, values)
}
