package simulate

import (
	"maps"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/probe"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// troubles are what may go wrong at any time, beside the failures of single calls.
func (w *World) troubles() []func() {
	if w.year != nil {
		return w.year.troubles()
	}
	list := []func(){
		w.silence, w.silence, w.flakiness, w.slowness, w.slowness, w.cutOff,
		w.providerOutage, w.providerOutage, w.absence, w.kill,
	}
	if w.plan.clock {
		list = append(list, w.setClock, w.setClock)
	}
	return list
}

func (w *World) anyServer() *server { return pick(w.rng, w.names.servers...) }

// silence has a name server give no answers: for minutes, for days, or for good.
func (w *World) silence() {
	w.names.fail(w.anyServer(), pick(w.rng, probe.Timeout, probe.ServFail, probe.Refused, probe.Lame), w.between(time.Minute, 30*24*time.Hour))
}

// flakiness has a name server not hear some of the questions.
func (w *World) flakiness() {
	s := w.anyServer()
	s.loss = pick(w.rng, 0.1, 0.5, 0.9)
	w.tell(s.name, "loses %v of the questions", s.loss)
	w.in(w.between(time.Minute, 2*time.Hour), func() { s.loss = 0 })
}

// slowness has name servers take another time over changes.
func (w *World) slowness() {
	for _, s := range w.names.servers {
		w.names.pace(s)
	}
	if w.rng.IntN(4) == 0 { // a server that misses notifications, until its next refresh
		s := w.anyServer()
		s.lag = w.between(time.Hour, 24*time.Hour)
		w.tell(s.name, "takes over changes after %s", s.lag)
	}
}

// cutOff has the operator's resolver find nothing.
func (w *World) cutOff() {
	lasts := w.between(time.Minute, 2*24*time.Hour)
	w.tell("network", "the operator finds no name server for %s", lasts)
	w.names.cut = w.now.Add(lasts)
}

func (w *World) providerOutage() {
	w.Counts.Outages++
	w.provider.outage = pick(w.rng, outcomes()...)
	lasts := w.between(time.Minute, 24*time.Hour)
	w.provider.outages = w.now.Add(lasts)
	w.tell("provider", "for %s: %s", lasts, w.provider.outage)
}

// absence has no operator run.
func (w *World) absence() {
	if w.busy || w.operator.down {
		return
	}
	away := w.between(time.Minute, 28*24*time.Hour)
	w.tell("operator", "is stopped for %s", away)
	w.operator.stop(away)
}

func (w *World) kill() {
	if w.busy || w.operator.down {
		return
	}
	w.operator.died()
}

// setClock sets the operator's clock back by any time, or forward by less than what the retention is
// longer than a queue.
func (w *World) setClock() {
	by := -w.between(time.Second, 2*24*time.Hour)
	if w.rng.IntN(2) == 0 && w.watch.forward == 0 {
		by = w.between(time.Second, 12*time.Hour)
		w.watch.forward += by
		w.watch.since = w.now
	}
	w.operator.ahead += by
	w.tell("clock", "the operator's is set by %s, and is off by %s", by, w.operator.ahead)
}

// trouble has something happen, now and then, and often something more soon after it.
func (w *World) trouble() {
	if w.calm {
		return
	}
	if w.rng.IntN(2) == 0 {
		pick(w.rng, w.troubles()...)()
	} else {
		pick(w.rng, w.deeds()...)()
	}
	next := w.between(3*time.Hour, 5*24*time.Hour)
	if w.rng.IntN(3) == 0 {
		next = w.between(time.Second, 10*time.Minute)
	}
	w.in(next, w.trouble)
}

// settle ends all faults.
func (w *World) settle() {
	w.tell("world", "the faults are over")
	w.calm = true
	w.names.cut = time.Time{}
	clear(w.provider.stale)
	for _, s := range w.names.servers {
		s.loss, s.lag = 0, time.Second
		s.due = len(w.names.changes)
		w.names.recover(s)
		w.names.catchUp(s)
	}
	w.clearForeign()
	if w.operator.down {
		w.operator.start()
	}
}
