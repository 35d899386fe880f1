package simulate

import (
	"flag"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seeds = flag.Uint64("seeds", 0, "the last of the seeds that are played; 0: a few")
	from  = flag.Uint64("from", 1, "the first of them")
	seed  = flag.Uint64("seed", 0, "play this seed alone, and print its trace")
)

// few is for a run of all tests; `make simulate` plays more.
func few() uint64 {
	if race {
		return realEvery
	}
	return 6 * realEvery
}

// TestSeeds plays worlds of DKIM.
func TestSeeds(t *testing.T) {
	rsa := &RSAKeys{}
	run := func(o Options) Outcome {
		o.RSA = rsa
		return Run(o)
	}
	total, count := playAll(t, run, "SEED", few())
	if count < 100 {
		return // too few to have seen everything
	}
	for what, n := range map[string]int{
		"crash": total.Crashes, "failure of the provider": total.ProviderFaults, "outage": total.Outages, "rotation": total.Rotations,
		"message": total.Delivered, "real signature": total.RealSignatures, "message of a signer that never reloads": total.ApartDeferred, "key taken over": total.Imports, "write of another domain": total.Neighbours,
	} {
		if n < count/10 {
			t.Errorf("%d seeds have seen %d times a %s: they prove little", count, n, what)
		}
	}
}

// playAll plays the worlds that the flags name, or the first few, each in one goroutine, and shows the first one that
// fails. name is that of make's variable for one of them. It returns what count worlds have seen.
func playAll(t *testing.T, run func(Options) Outcome, name string, few uint64) (total Counts, count int) {
	t.Helper()
	if *seed > 0 {
		show(t, *seed, run)
		return total, 0
	}
	last := *seeds
	if last == 0 {
		last = few
	}
	var next, failed atomic.Uint64
	var mu sync.Mutex
	next.Store(*from - 1)
	failed.Store(last + 1)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for n := next.Add(1); n <= last && n < failed.Load(); n = next.Add(1) {
				if n%500 == 0 {
					t.Logf("seed %d of %d", n, last)
				}
				out := run(Options{Seed: n})
				mu.Lock()
				total.add(out.Counts)
				if out.Err != nil {
					failed.Store(min(failed.Load(), n))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if n := failed.Load(); n <= last {
		show(t, n, run)
		t.Fatalf("play it again: make simulate %s=%d", name, n)
	}
	count = int(last - *from + 1)
	t.Logf("%d seeds: %+v", count, total)
	return total, count
}

// show plays a seed for its trace.
func show(t *testing.T, n uint64, run func(Options) Outcome) {
	t.Helper()
	out := run(Options{Seed: n, Trace: true})
	t.Logf("the world of seed %d:\n%s\n%+v", n, strings.Join(out.Trace, "\n"), out.Counts)
	if out.Err != nil {
		t.Errorf("seed %d: %v", n, out.Err)
	}
}

func (c *Counts) add(d Counts) {
	for _, pair := range [][2]*int{
		{&c.Steps, &d.Steps}, {&c.Passes, &d.Passes}, {&c.Effects, &d.Effects}, {&c.Crashes, &d.Crashes}, {&c.ProviderFaults, &d.ProviderFaults}, {&c.Outages, &d.Outages},
		{&c.Rotations, &d.Rotations}, {&c.Signed, &d.Signed}, {&c.Delivered, &d.Delivered}, {&c.Deferred, &d.Deferred}, {&c.RealSignatures, &d.RealSignatures},
		{&c.Imports, &d.Imports}, {&c.Neighbours, &d.Neighbours},
		{&c.Posted, &d.Posted}, {&c.LostToServers, &d.LostToServers}, {&c.LostUnannounced, &d.LostUnannounced}, {&c.Announced, &d.Announced},
		{&c.Moves, &d.Moves}, {&c.Unannounced, &d.Unannounced}, {&c.Detected, &d.Detected},
		{&c.ApartDeferred, &d.ApartDeferred}, {&c.ApartLoadedAll, &d.ApartLoadedAll},
	} {
		*pair[0] += *pair[1]
	}
}

// A seed is a world: played again, everything happens again, whatever the process does at random.
func TestASeedIsAWorld(t *testing.T) {
	for _, n := range []uint64{1, 7, 12, realEvery} {
		var traces [2]string
		for i := range traces {
			out := Run(Options{Seed: n, RSA: &RSAKeys{}, Trace: true}) // also with other rsa keys
			lines := slices.DeleteFunc(out.Trace, func(line string) bool { return strings.Contains(line, "p=MII") && n == realEvery })
			traces[i] = strings.Join(lines, "\n")
		}
		if len(traces[0]) < 1000 || traces[0] != traces[1] {
			t.Errorf("seed %d: two traces, of %d and %d octets, differ", n, len(traces[0]), len(traces[1]))
		}
	}
}
