package simulate

import (
	"math/rand/v2"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

const (
	// queueLife is how long a message may be on its way (RFC 5321 §4.5.4.1).
	queueLife = 5 * 24 * time.Hour
	// shortestRetention is that of any world: longer than a message is on its way, as the API's
	// documentation demands.
	shortestRetention = 6 * 24 * time.Hour
	// waitedFor is how long the operator waits for a name server that gives no answer.
	waitedFor = time.Hour
	// mounted is how long a kubelet takes at the most to bring a Secret into a volume.
	mounted = 2 * time.Minute
)

// plan is what sort of world a seed makes.
type plan struct {
	servers     int
	negativeTTL time.Duration
	slowest     time.Duration // of the name servers, to take over a change
	cas         bool          // the provider compares and swaps

	poll, resync        time.Duration
	interval, retention time.Duration
	manual              bool // confirm: Manual
	apart               bool // one signer never reloads although nobody waits for it
	clock               bool // the operator's clock is set
	imports             bool // the first key is one that has signed before
	combine             bool // the signer's Secret is one that several domains share
	days                int  // of faults

	crash, fault, pause float64 // for each effect, or call to the provider
	quiet               bool    // no faults but those of script
	script              script
}

// script is what happens in a quiet world, each at a count of effects or calls: 0 is never.
type script struct {
	crashAt int
	after   bool // the effect was made
	faultAt int  // call to the provider
	fault   outcome
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func newPlan(r *rand.Rand) plan {
	day := 24 * time.Hour
	p := plan{
		servers:     2 + r.IntN(3),
		negativeTTL: pick(r, 5*time.Second, time.Minute, 5*time.Minute, time.Hour, 3*time.Hour, day),
		slowest:     pick(r, 5*time.Second, time.Minute, 20*time.Minute, 2*time.Hour),
		cas:         r.IntN(2) == 0,
		poll:        pick(r, time.Minute, 5*time.Minute, 20*time.Minute),
		resync:      pick(r, 12*time.Hour, day),
		interval:    pick(r, 12*day, 20*day, 40*day),
		retention:   pick(r, shortestRetention, 7*day, 10*day),
		manual:      r.IntN(4) == 0,
		days:        15 + r.IntN(20),
		crash:       pick(r, 0, 0.02, 0.1),
		fault:       pick(r, 0, 0.03, 0.15),
		pause:       pick(r, 0, 0.05, 0.2),
		clock:       r.IntN(8) == 0,
	}
	if p.clock {
		p.poll = 10 * time.Minute // a clock that was set back has every pass look anew soon
	}
	p.apart = !p.manual && r.IntN(8) == 0
	return p
}

// more draws what came later to the worlds, so that a seed of before is what it was.
func (p *plan) more(r *rand.Rand) {
	p.imports, p.combine = r.IntN(6) == 0, r.IntN(6) == 0
}

// quietPlan is a world in which nothing goes wrong by itself.
func quietPlan(s script) plan {
	return plan{
		servers: 2, negativeTTL: time.Minute, slowest: time.Minute, cas: true, poll: 30 * time.Second, resync: 24 * time.Hour,
		interval: v1alpha1.DefaultRotationInterval, retention: v1alpha1.DefaultRotationRetention, quiet: true, script: s,
	}
}
