package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Options say which world is played.
type Options struct {
	Seed  uint64
	RSA   *RSAKeys // for the worlds with real signatures
	Trace bool
}

// realEvery: of so many seeds one has real keys and real signatures. In the others only which key it is
// matters.
const realEvery = 33

// Outcome is what became of a world.
type Outcome struct {
	Err    error // the invariant that does not hold; nil: all do
	Trace  []string
	Counts Counts
}

// Run plays the world of a seed: how it all begins, some weeks of faults, and a rotation after them.
func Run(o Options) Outcome {
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	p := newPlan(rng)
	p.more(rand.New(rand.NewPCG(o.Seed, 1)))
	return newWorld(o, p, rng).play((*World).weeks)
}

func newWorld(o Options, p plan, rng *rand.Rand) *World {
	w := &World{plan: p, rng: rng, now: epoch, keys: &pool{seed: o.Seed, records: map[string]string{}}, watch: newWatch()}
	w.trace.on = o.Trace
	if o.RSA != nil && o.Seed%realEvery == 0 {
		w.mail.real.on, w.keys.rsa = true, o.RSA
	}
	w.names, w.provider, w.cluster = newNames(w), newProvider(w), newCluster(w)
	w.receivers, w.signers = newReceivers(w), newSigners(w)
	w.operator = newOperator(w)
	return w
}

func (w *World) play(story func(*World)) (out Outcome) {
	defer func() {
		if v := recover(); v != nil {
			broken, ok := v.(violation)
			if !ok {
				panic(v)
			}
			out = Outcome{Err: errors.New(broken.text)}
		}
		out.Trace, out.Counts = w.trace.lines, w.Counts
	}()
	w.tell("world", "%+v", w.plan)
	story(w)
	return out
}

// weeks is the story of a seed.
func (w *World) weeks() {
	w.apply()
	w.posts()
	w.pry()
	w.confirms()
	w.in(w.between(time.Second, 24*time.Hour), w.trouble)
	w.run(epoch.Add(time.Duration(w.plan.days) * 24 * time.Hour))
	w.settle()
	w.restore()
	w.run(w.now.Add(max(0, -w.operator.ahead) + 4*24*time.Hour))
	w.completes()
}

// restore has the user undo what still stands in the way.
func (w *World) restore() {
	no := false
	w.cluster.edit(func(md *v1alpha1.MailDomain) {
		md.Spec.Suspend, md.Spec.Mode, md.Spec.DKIM.Rotation.Paused = &no, v1alpha1.ModeEnforce, nil
	})
}

// one is the story of one rotation, in a world that is quiet but for its script.
func (w *World) one() {
	what := w.plan.script
	w.plan.script = script{}
	w.apply()
	w.run(w.now.Add(time.Hour))
	w.Counts.Effects, w.provider.calls = 0, 0
	w.plan.script = what
	w.completes()
}

// completes judges the progress: without faults a rotation comes to its end.
func (w *World) completes() {
	before := w.watch.files
	if before == nil || len(before.selectors) == 0 {
		w.violated("no key has become active: %s", w.status())
	}
	w.rotate()
	ends := w.now.Add(2*24*time.Hour + w.plan.negativeTTL)
	for !w.switched(before.selectors) {
		if w.now.After(ends) {
			w.violated("the rotation does not begin: %s", w.status())
		}
		w.run(w.now.Add(10 * time.Minute))
	}
	ends = w.now.Add(3*w.plan.retention + 2*24*time.Hour + max(0, -w.operator.ahead))
	for !w.removed(before.selectors) {
		if w.now.After(ends) {
			w.violated("the rotation does not end: %s", w.status())
		}
		w.confirm()
		w.run(w.now.Add(12 * time.Hour))
	}
	w.run(w.now.Add(24 * time.Hour))
	for last := -1; last < w.Counts.Effects; { // the last writes are read back, also those of another key's step
		last = w.Counts.Effects
		w.run(w.now.Add(time.Hour))
	}
	md := get(w.cluster, object, &v1alpha1.MailDomain{})
	if !meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady) {
		w.violated("not ready at the end: %s", w.status())
	}
	effects := w.Counts.Effects
	for range 3 {
		w.operator.pass()
	}
	if w.Counts.Effects > effects {
		w.violated("an unchanged world is written to")
	}
}

// switched reports whether every key has a successor that signs.
func (w *World) switched(old []string) bool {
	md := get(w.cluster, object, &v1alpha1.MailDomain{})
	return w.watch.files != nil && len(w.watch.files.selectors) == len(md.Spec.DKIM.Keys) &&
		!slices.ContainsFunc(w.watch.files.selectors, func(s string) bool { return slices.Contains(old, s) })
}

// removed reports whether the records of the selectors are gone.
func (w *World) removed(selectors []string) bool {
	return !slices.ContainsFunc(selectors, func(s string) bool { return len(w.provider.zone[s+"._domainkey."+domain]) > 0 })
}

func (w *World) status() string {
	text := ""
	for _, c := range get(w.cluster, object, &v1alpha1.MailDomain{}).Status.Conditions {
		text += fmt.Sprintf("%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}
