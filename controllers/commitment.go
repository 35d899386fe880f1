package controllers

import (
	"time"

	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// The commitment is how long senders may hold policies of the domain (Law 5; RFC 8461 §8.3): the
// maximum, over all policies ever served, of the last time that each was served plus its max_age.
// Who fetches a policy holds it, whether it was announced or not, so a policy counts from before
// it is first served until another one is proven to be all that is served.
//
// The policy in force has no end yet, so nothing is written while it stays in force.

// offer returns the commitment with a policy that is going to be served.
func offer(c ledger.MTASTS, p mtasts.Policy) ledger.MTASTS {
	if c.Policy != p.String() {
		c.Offered = max(c.Offered, held(p))
	}
	return c
}

// proven returns the commitment after p was found, at now, to be all that is served: this was the
// last time for every other policy.
func proven(c ledger.MTASTS, p mtasts.Policy, now time.Time) ledger.MTASTS {
	longest := c.Offered
	if before, err := mtasts.ParsePolicy(c.Policy); err == nil && c.Policy != p.String() {
		longest = max(longest, held(before))
	}
	if longest > 0 {
		c.Until = latest(c.Until, now.Add(longest))
	}
	c.Offered = 0
	return c
}

// announced returns the commitment after p was proven and its id is on its way to DNS.
func announced(c ledger.MTASTS, p mtasts.Policy, now time.Time) ledger.MTASTS {
	c = proven(c, p, now)
	if c.Policy != p.String() {
		c.Policy, c.ID, c.Since = p.String(), p.ID(), now
	}
	return c
}

// closing reports whether nothing is served any more that binds anybody, so that the commitment
// ends at c.Until.
func closing(c ledger.MTASTS) bool {
	p, err := mtasts.ParsePolicy(c.Policy)
	return c.Offered == 0 && (c.Policy == "" || err == nil && held(p) == 0)
}

// held is how long a sender is bound by a policy that it fetched: mode none binds nobody.
func held(p mtasts.Policy) time.Duration {
	if p.Mode == mtasts.None {
		return 0
	}
	return p.MaxAge
}
