package keys

import (
	"fmt"
	"testing"
	"time"
)

// Ten thousand domains whose keys became active in the same minute rotate over the last tenth of the interval, and in no hour
// of it more than twice as many as in the mean of them. The rotations that follow are spread wider and wider: so wide that it
// takes a day for the mean to say something.
func TestRotationsOfManyDomainsAreSpread(t *testing.T) {
	const domains, interval = 10000, 180 * 24 * time.Hour
	began := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	active := make([]time.Time, domains)
	for i := range active {
		active[i] = began.Add(time.Duration(i%60) * time.Second)
	}
	for rotation := 1; rotation <= 3; rotation++ {
		within := 24 * time.Hour
		if rotation == 1 {
			within = time.Hour
		}
		counts := map[time.Duration]int{}
		first, last := active[0].Add(10*interval), began
		for i := range active {
			policy := Policy{Keys: []Spec{{Name: "rsa"}}, Interval: interval, Spread: fmt.Sprintf("mail/d%05d", i)}
			at, ok := NextRotation(Keyring{{Name: "rsa", Propagated: active[i], Active: active[i]}}, policy)
			if !ok || at.After(active[i].Add(interval)) || at.Before(active[i].Add(interval*9/10)) {
				t.Fatalf("rotation %d of domain %d is %s after it became active", rotation, i, at.Sub(active[i]))
			}
			if at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
			counts[at.Sub(began)/within]++
			active[i] = at
		}
		mean := domains * float64(within) / float64(last.Sub(first))
		for _, n := range counts {
			if float64(n) > 2*mean {
				t.Errorf("rotation %d: %d domains within %s, and %.1f in the mean of %s", rotation, n, within, mean, last.Sub(first))
			}
		}
		if want := time.Duration(rotation) * interval / 10 * 9 / 10; last.Sub(first) < want {
			t.Errorf("rotation %d is spread over %s, want %s and more", rotation, last.Sub(first), want)
		}
	}
}
