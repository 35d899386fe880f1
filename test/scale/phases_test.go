package main

import (
	"testing"
	"time"
)

func TestHalfTime(t *testing.T) {
	for _, c := range []struct {
		elapsed    time.Duration
		done, rest float64
		want       time.Duration
	}{
		{time.Minute, 0, 1000, 500 * time.Millisecond}, // nothing is known of the pace
		{4 * time.Second, 100, 100, 2 * time.Second},
		{4 * time.Second, 100, 10000, 10 * time.Second},
		{4 * time.Second, 100, 1, 500 * time.Millisecond},
		{4 * time.Second, 100, 0, 500 * time.Millisecond}, // all is done, and something waits
	} {
		if got := halfTime(c.elapsed, c.done, c.rest); got != c.want {
			t.Errorf("after %s with %g done and %g left: %s, want %s", c.elapsed, c.done, c.rest, got, c.want)
		}
	}
}
