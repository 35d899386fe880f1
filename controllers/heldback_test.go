package controllers

import (
	"testing"
	"time"
)

// Nothing that a pass asks for, before or after, brings the next one before the provider can be asked again; and what has nothing to
// do with the provider does not wait for hours.
func TestHeldBack(t *testing.T) {
	for name, test := range map[string]struct {
		before, held, after, want time.Duration
	}{
		"not held":          {time.Minute, 0, 5 * time.Second, 5 * time.Second},
		"others are sooner": {time.Second, time.Minute, 5 * time.Second, time.Minute},
		"others are later":  {0, time.Second, time.Minute, time.Second},
		"for long":          {0, time.Hour, 5 * time.Second, longestHold},
	} {
		s := &scope{}
		s.again(test.before)
		s.heldBack(test.held)
		s.again(test.after)
		if s.recheck != test.want {
			t.Errorf("%s: again in %v, want %v", name, s.recheck, test.want)
		}
	}
}
