package controllers

import (
	"testing"
	"time"
)

// Who is held back comes when the provider can be asked again, whatever else is later; what has its own time does not wait for that.
func TestHeldBack(t *testing.T) {
	for name, test := range map[string]struct {
		before, held, after, want time.Duration
	}{
		"not held":                  {time.Minute, 0, 5 * time.Second, 5 * time.Second},
		"what was asked for before": {time.Second, time.Minute, 0, time.Second},
		"a later one":               {24 * time.Hour, time.Minute, 48 * time.Hour, time.Minute},
		"for long":                  {0, time.Hour, 0, longestHold},
	} {
		s := &scope{}
		s.again(test.before)
		s.heldBack(test.held)
		s.again(test.after)
		if s.recheck != test.want || s.notBefore != min(test.held, longestHold) {
			t.Errorf("%s: again in %v, want %v; no poll before %v", name, s.recheck, test.want, s.notBefore)
		}
	}
}
