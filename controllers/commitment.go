package controllers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// The commitment is which policies of the domain senders may hold, and for how long (Law 5; RFC 8461
// §8.3). Who fetches a policy holds it for its max_age, whether it was announced or not, and many senders
// count anew each time that they see the id of the policy they hold (postfix-mta-sts-resolver does).
// So a policy counts from before it is first served until it is served no more, every name server has
// the id of another, and caches have forgotten its own.
//
// The policy in force has no end yet, so nothing is written while it stays in force.

// recordCaches is for how long caches keep a record after the last server has dropped it: spec.dns.ttl
// allows no more than a day, and few resolvers keep a longer TTL.
const recordCaches = 24 * time.Hour

// maxHeld bounds how many policies the ledger lists. Of others it keeps the latest end alone.
const maxHeld = 32

// maxServed bounds how many hashes of policies the ledger lists. When there were more, each may be one that was
// served before.
const maxServed = 64

// offer returns the commitment with a policy that is going to be served.
func offer(c ledger.MTASTS, p mtasts.Policy) ledger.MTASTS {
	c.Astray = c.Astray || c.Policy != "" && p.String() != c.Policy
	return hold(turned(c, p), p)
}

// hold returns the commitment with a policy that senders may get, or renew, from now on.
func hold(c ledger.MTASTS, p mtasts.Policy) ledger.MTASTS {
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
	}
	c.Until = latest(c.Until, end(c, c.Held[least]))
	c.Held = slices.Delete(slices.Clone(c.Held), least, least+1)
	return c
}

// announced returns the commitment after p was proven to be all that is served, at now, and its id is
// on its way to DNS. The policy before stays open: its id is still there.
func announced(c ledger.MTASTS, p mtasts.Policy, now time.Time) ledger.MTASTS {
	if c.Policy == p.String() && !c.Astray {
		return c
	}
	id := nextID(c, p)
	c.Held = slices.DeleteFunc(slices.Clone(c.Held), func(h ledger.HeldPolicy) bool { return h.Policy == p.String() })
	if heldBody(c.Policy) > 0 && c.Policy != p.String() {
		c.Held = append(c.Held, ledger.HeldPolicy{Policy: c.Policy})
	}
	c.Testing = testingFrom(c, p, now)
	c.Policy, c.ID, c.Astray, c.Since = p.String(), id, false, now
	if len(c.Held) > maxHeld {
		c = forgetOne(c)
	}
	return c
}

// unannounce returns the commitment without an announced policy: somebody else serves the domain's now, and senders
// may have got theirs under the id that was out.
func unannounce(c ledger.MTASTS) ledger.MTASTS {
	if heldBody(c.Policy) > 0 {
		c.Held = append(slices.Clone(c.Held), ledger.HeldPolicy{Policy: c.Policy})
	}
	c.Astray = c.Astray || c.Policy != ""
	c.Policy, c.Since = "", time.Time{}
	return c
}

// turned notes what is served from now on.
func turned(c ledger.MTASTS, p mtasts.Policy) ledger.MTASTS {
	if n := len(c.Served); n > 0 && c.Served[n-1] == p.ID() {
		return c
	}
	c.Again = slices.Contains(c.Served, p.ID()) || len(c.Served) == maxServed
	c.Served = append(slices.Clone(c.Served), p.ID())
	c.Served = c.Served[max(0, len(c.Served)-maxServed):]
	return c
}

// returned reports whether the policy that is served now was served before, as far as is known, and
// something else between: a replica that serves it may be one that does so no more for a while.
func returned(c ledger.MTASTS) bool { return c.Astray && (c.Again || c.Policy == "") }

// nextID is an id under which nobody can hold anything but p. A policy is served before it is announced, so
// senders may have got it under the id before, and they keep it for as long as they see that one again (RFC 8461
// §3.1). So no id comes back: the first is the hash of its policy, and each later one also that of the id before it.
func nextID(c ledger.MTASTS, p mtasts.Policy) string {
	if c.ID == "" && !c.Astray {
		return p.ID()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", p, c.ID, c.Until.Unix()))
	return hex.EncodeToString(sum[:16])
}

// settled returns the commitment after it was proven, at now, that the announced policy is all that is
// served, and its id all that the name servers have: every other policy has its end now.
func settled(c ledger.MTASTS, now time.Time) ledger.MTASTS {
	var left []ledger.HeldPolicy
	for _, h := range c.Held {
		if h.Until.IsZero() {
			h.Until = now.Add(recordCaches + heldBody(h.Policy))
		}
		if now.Before(h.Until) {
			left = append(left, h)
		}
	}
	c.Held = left
	return c
}

// open reports whether a policy may be served, or its id seen, beside the announced one.
func open(c ledger.MTASTS) bool {
	return slices.ContainsFunc(c.Held, func(h ledger.HeldPolicy) bool { return h.Until.IsZero() })
}

// closing reports whether nothing is served and announced any more that binds anybody, so that the
// commitment has an end.
func closing(c ledger.MTASTS) bool { return !open(c) && heldBody(c.Policy) == 0 }

// ends is when the last sender forgets every policy but the announced one. It is final once none is open.
func ends(c ledger.MTASTS) time.Time {
	last := c.Until
	for _, h := range c.Held {
		last = latest(last, end(c, h))
	}
	return last
}

// end is when the last sender forgets a policy; of one that is open, the soonest that this can be.
func end(c ledger.MTASTS, h ledger.HeldPolicy) time.Time {
	switch {
	case !h.Until.IsZero():
		return h.Until
	case c.Since.IsZero():
		return time.Time{}
	}
	return c.Since.Add(recordCaches + heldBody(h.Policy))
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
