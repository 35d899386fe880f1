package simulate

import (
	"fmt"
	"time"

	"github.com/maildomain/maildomain-operator/probe"
)

// receiver verifies mail through a resolver with a cache.
type receiver struct {
	name  string
	cache map[string]cached
}

// cached is an answer, positive or not, until it expires.
type cached struct {
	values  []string
	expires time.Time
}

func newReceivers(w *World) []*receiver {
	var list []*receiver
	for i := range 3 {
		list = append(list, &receiver{name: fmt.Sprintf("receiver %d", i+1), cache: map[string]cached{}})
	}
	return list
}

// lookup asks the cache, or any of the servers that answer. It is not ok if none does.
func (r *receiver) lookup(w *World, name string) (values []string, ok bool) {
	if c, there := r.cache[name]; there && w.now.Before(c.expires) {
		return c.values, true
	}
	var live []*server
	for s := range w.names.live {
		live = append(live, s)
	}
	if len(live) == 0 {
		return nil, false
	}
	outcome, values := w.names.content(live[w.rng.IntN(len(live))], name)
	ttl := w.plan.negativeTTL
	if outcome == probe.Found {
		ttl = recordTTL
	}
	r.cache[name] = cached{values, w.now.Add(ttl)}
	return values, true
}

// pry has somebody ask for selectors that may come, as scanners do: their form is no secret. The
// denial stays in the cache of a receiver.
func (w *World) pry() {
	r := w.receivers[w.rng.IntN(len(w.receivers))]
	for _, name := range w.names.known() {
		r.lookup(w, name)
	}
	for _, letter := range "abc" {
		r.lookup(w, fmt.Sprintf("mail-%s%c._domainkey.%s", w.now.Format("20060102"), letter, domain))
	}
	w.in(w.between(10*time.Minute, 24*time.Hour), w.pry)
}
