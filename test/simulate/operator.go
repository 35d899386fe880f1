package simulate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/controllers"
	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// operator is the process under test, and what starts it again.
type operator struct {
	w      *World
	r      *controllers.Reconciler
	ahead  time.Duration // of its clock
	next   time.Time     // of the next pass; zero: none is planned
	missed bool          // a pass was due during another
	down   bool
	life   int               // counts the processes
	fails  int               // in a row
	told   map[string]string // the notes of the pass, by what client-go tells Events apart by
}

func newOperator(w *World) *operator {
	o := &operator{w: w}
	o.start()
	return o
}

// start is a new process, which knows nothing of the one before.
func (o *operator) start() {
	w := o.w
	o.r = &controllers.Reconciler{
		Client: api{cluster: w.cluster, cached: true}, Reader: api{cluster: w.cluster},
		Clock: operatorClock{o}, Events: recorder{w},
		Resolver: resolver{w.names, &receiver{cache: map[string]cached{}}}, Prober: prober{w.names},
		Accounts:  &controllers.Accounts{Clock: operatorClock{o}, Open: func(string) (dnsprovider.Zone, error) { return account{w.provider}, nil }},
		Keys:      w.keys,
		Namespace: "operator", OwnerID: "simulated",
		Poll: w.plan.poll, Resync: w.plan.resync, LostKeyGrace: 10 * time.Minute, DeletionGrace: 5 * time.Minute,
	}
	if w.year != nil {
		w.year.equip(o.r)
	}
	o.down, o.fails, o.next = false, 0, time.Time{}
	o.life++
	o.wake(time.Second)
}

// wake plans a pass, unless an earlier one is planned.
func (o *operator) wake(after time.Duration) {
	at := o.w.now.Add(after)
	if o.down {
		return
	}
	if !o.next.IsZero() && !o.next.After(at) {
		return
	}
	o.next = at
	o.w.in(after, func() {
		if o.next.Equal(at) && !o.down {
			o.pass()
		}
	})
}

// maxPasses is more than any world needs: beyond, the operator never rests.
const maxPasses = 5000

// crash is what a process dies with.
type crash struct{}

// pass makes one pass, which may be the last one of the process.
func (o *operator) pass() {
	w := o.w
	o.next = time.Time{}
	if w.busy {
		o.missed = true
		return
	}
	w.busy, o.missed = true, false
	defer func() {
		w.busy = false
		if v := recover(); v != nil {
			if _, died := v.(crash); !died {
				panic(v)
			}
			o.died()
		} else if o.missed {
			o.wake(time.Millisecond)
		}
	}()
	if w.Counts.Passes++; w.year != nil {
		w.year.begins()
	} else if w.Counts.Passes > maxPasses {
		w.violated("the operator makes %d passes: it never rests", w.Counts.Passes)
	}
	o.told = map[string]string{}
	result, err := o.r.Reconcile(context.Background(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: object}})
	if err != nil {
		o.fails++
		if w.year != nil {
			w.year.disturbed = w.now
		}
		w.tell("operator", "a pass fails: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		o.wake(min(5*time.Millisecond<<min(o.fails, 20), 1000*time.Second))
		return
	}
	o.fails = 0
	if result.RequeueAfter > 0 {
		o.wake(result.RequeueAfter)
	}
}

// stop ends the process. Another one starts after a while.
func (o *operator) stop(away time.Duration) {
	o.down = true
	life := o.life
	if w := o.w; w.chance(0.4) { // users do not wait for it
		deed := pick(w.rng, w.deeds()...)
		w.in(time.Duration(w.rng.Int64N(int64(away))), func() {
			if !w.calm {
				deed()
			}
		})
	}
	o.w.in(away, func() {
		if o.life == life {
			o.w.tell("operator", "starts")
			o.start()
		}
	})
}

// died plans the start of the next process.
func (o *operator) died() {
	w := o.w
	w.Counts.Crashes++
	away := w.between(time.Second, time.Hour)
	if w.rng.IntN(10) == 0 {
		away = w.between(time.Hour, 21*24*time.Hour)
	}
	if w.plan.quiet || w.calm {
		away = time.Minute
	}
	w.tell("operator", "dies, and is away for %s", away)
	o.stop(away)
}

// effect is a change that the operator makes to the world. It may die before, or after.
func (w *World) effect(what string, do func() error) error {
	w.Counts.Effects++
	script := w.plan.script
	before := script.crashAt == w.Counts.Effects && !script.after || w.chance(w.plan.crash/2)
	if before {
		w.tell("operator", "was about to %s", what)
		panic(crash{})
	}
	w.pause(1)
	w.tell("operator", "%s", what)
	err := do()
	if err != nil {
		w.tell("operator", "%s: %v", what, err)
	}
	w.step()
	if script.crashAt == w.Counts.Effects && script.after || w.chance(w.plan.crash/2) {
		panic(crash{})
	}
	return err
}

// pause has the world go on in the middle of a pass.
func (w *World) pause(weight float64) {
	if w.chance(w.plan.pause * weight) {
		w.run(w.now.Add(w.between(10*time.Millisecond, 2*time.Minute)))
	}
}

// operatorClock implements clock.PassiveClock.
type operatorClock struct{ o *operator }

// Now implements clock.PassiveClock.
func (c operatorClock) Now() time.Time { return c.o.w.now.Add(c.o.ahead) }

// Since implements clock.PassiveClock.
func (c operatorClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// recorder implements events.EventRecorder.
type recorder struct{ w *World }

// Eventf implements events.EventRecorder.
func (r recorder) Eventf(about, _ runtime.Object, kind, reason, action, note string, args ...any) {
	if !slices.Contains(v1alpha1.Reasons(), reason) {
		r.w.violated("the Event's reason %s is not on the list", reason)
	}
	same, text := fmt.Sprint(kind, reason, action, about.(*corev1.ObjectReference)), fmt.Sprintf(note, args...)
	if before, there := r.w.operator.told[same]; there && before != text {
		r.w.violated("an Event %s is lost, as client-go takes it for one that comes again: %s, after %s", reason, text, before)
	}
	r.w.operator.told[same] = text
	switch reason {
	case "KeyRetired":
		r.w.Counts.Rotations++
	}
	if r.w.trace.on {
		r.w.tell("event", "%s %s: %s", kind, reason, text)
	}
}
