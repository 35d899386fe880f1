package simulate

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// rotation plays one rotation with a script.
func rotation(s script, trace bool) (Outcome, *World) {
	w := newWorld(Options{Seed: 1, Trace: trace}, quietPlan(s), rand.New(rand.NewPCG(1, 0)))
	return w.play((*World).one), w
}

// TestEveryCrashAndEveryError plays one rotation with each crash point, before and after each effect, and each
// error of the provider at each call to it, and both together.
func TestEveryCrashAndEveryError(t *testing.T) {
	rehearsal, w := rotation(script{}, true)
	if rehearsal.Err != nil {
		t.Fatalf("%v\n%s", rehearsal.Err, strings.Join(rehearsal.Trace, "\n"))
	}
	effects, calls := w.Counts.Effects, w.provider.calls
	if effects < 10 || calls < 6 {
		t.Fatalf("a rotation has %d effects and %d calls to the provider", effects, calls)
	}
	var scripts []script
	for crashAt := range effects + 1 {
		for _, after := range []bool{false, true} {
			if crashAt == 0 && after {
				continue
			}
			scripts = append(scripts, script{crashAt: crashAt, after: after})
			for faultAt := 1; faultAt <= calls+3; faultAt++ { // a new process asks again
				for _, fault := range outcomes() {
					scripts = append(scripts, script{crashAt, after, faultAt, fault})
				}
			}
		}
	}
	t.Logf("%d effects, %d calls: %d rotations", effects, calls, len(scripts))
	if testing.Short() || race {
		scripts = slices.DeleteFunc(scripts, func(s script) bool { return s.crashAt > 0 && s.faultAt > 0 })
	}
	var group sync.WaitGroup
	next := make(chan script)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for s := range next {
				if out, _ := rotation(s, false); out.Err != nil {
					again, _ := rotation(s, true)
					t.Errorf("%s: %v\n%s", fmt.Sprintf("%+v", s), out.Err, strings.Join(again.Trace, "\n"))
				}
			}
		})
	}
	for _, s := range scripts {
		if t.Failed() {
			break
		}
		next <- s
	}
	close(next)
	group.Wait()
}
