package controllers

import (
	"cmp"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// The commitment is which policies of the domain senders may hold, and for how long (Law 5; RFC 8461
// §8.3): each until the last time that it was served plus its max_age. Who fetches a policy holds it,
// whether it was announced or not, so a policy counts from before it is first served until another one
// is proven to be all that is served.
//
// The policy in force has no end yet, so nothing is written while it stays in force.

// maxHeld bounds how many policies the ledger lists. Of others it keeps the latest end alone.
const maxHeld = 32

// offer returns the commitment with a policy that is going to be served.
func offer(c ledger.MTASTS, p mtasts.Policy) ledger.MTASTS {
	body := p.String()
	at := slices.IndexFunc(c.Held, func(h ledger.HeldPolicy) bool { return h.Policy == body })
	switch {
	case body == c.Policy || held(p) == 0 || at >= 0 && c.Held[at].Until.IsZero():
		return c
	case at >= 0:
		c.Held = slices.Delete(slices.Clone(c.Held), at, at+1)
	}
	c.Held = append(slices.Clone(c.Held), ledger.HeldPolicy{Policy: body})
	if len(c.Held) > maxHeld {
		c = forgetOne(c)
	}
	return c
}

// forgetOne takes the policy off the list that tells the least. The end of the commitment stays what it is.
func forgetOne(c ledger.MTASTS) ledger.MTASTS {
	least := slices.IndexFunc(c.Held, func(h ledger.HeldPolicy) bool { return !h.Until.IsZero() })
	if least < 0 { // none has an end yet, and the ends will be the same instant plus max_age
		shortest := slices.MinFunc(c.Held, func(a, b ledger.HeldPolicy) int { return cmp.Compare(heldBody(a.Policy), heldBody(b.Policy)) })
		least = slices.Index(c.Held, shortest)
	} else {
		c.Until = latest(c.Until, c.Held[least].Until)
	}
	c.Held = slices.Delete(slices.Clone(c.Held), least, least+1)
	return c
}

// proven returns the commitment after p was found, at now, to be all that is served: this was the
// last time for every other policy.
func proven(c ledger.MTASTS, p mtasts.Policy, now time.Time) ledger.MTASTS {
	var left []ledger.HeldPolicy
	for _, h := range c.Held {
		switch {
		case h.Policy == p.String():
		case h.Until.IsZero():
			left = append(left, ledger.HeldPolicy{Policy: h.Policy, Until: now.Add(heldBody(h.Policy))})
		case now.Before(h.Until):
			left = append(left, h)
		}
	}
	if c.Policy != p.String() && heldBody(c.Policy) > 0 {
		left = append(left, ledger.HeldPolicy{Policy: c.Policy, Until: now.Add(heldBody(c.Policy))})
	}
	c.Held = left
	return c
}

// announced returns the commitment after p was proven and its id is on its way to DNS.
func announced(c ledger.MTASTS, p mtasts.Policy, now time.Time) ledger.MTASTS {
	if open(c) || c.Policy != p.String() {
		c = proven(c, p, now)
	}
	if c.Policy != p.String() {
		c.Policy, c.ID, c.Since = p.String(), p.ID(), now
	}
	return c
}

// open reports whether a policy may be served beside the announced one.
func open(c ledger.MTASTS) bool {
	return slices.ContainsFunc(c.Held, func(h ledger.HeldPolicy) bool { return h.Until.IsZero() })
}

// closing reports whether nothing is served any more that binds anybody, so that the commitment
// has an end.
func closing(c ledger.MTASTS) bool { return !open(c) && heldBody(c.Policy) == 0 }

// ends is when the last sender forgets every policy that is not served any more.
func ends(c ledger.MTASTS) time.Time {
	end := c.Until
	for _, h := range c.Held {
		end = latest(end, h.Until)
	}
	return end
}

// held is how long a sender is bound by a policy that it fetched: mode none binds nobody.
func held(p mtasts.Policy) time.Duration {
	if p.Mode == mtasts.None {
		return 0
	}
	return p.MaxAge
}

// heldBody is held of a body; of none, it is 0.
func heldBody(body string) time.Duration {
	p, err := mtasts.ParsePolicy(body)
	if err != nil {
		return 0
	}
	return held(p)
}
