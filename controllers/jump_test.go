package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

func TestJumps(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var j jumps
	jumped := time.Time{}
	for i, step := range []struct {
		wall, elapsed time.Duration
		jump          bool
	}{
		{0, 5 * time.Hour, false},
		{time.Hour, time.Hour, false},
		{61 * time.Second, time.Second, false},
		{62 * time.Second, time.Second, true},
		{time.Minute, time.Minute, false},
		{-1000 * time.Hour, time.Minute, false},
		{0, time.Minute, false},
		{1000 * time.Hour, time.Minute, true},
		{time.Hour, time.Hour, false},
	} {
		start = start.Add(step.wall)
		if step.jump {
			jumped = start
		}
		elapsed := j.elapsed + step.elapsed
		if got := j.since(func() (time.Time, time.Duration) { return start, elapsed }); !got.Equal(jumped) {
			t.Errorf("step %d: %s, want %s", i, got, jumped)
		}
	}
}

// A clock that goes forward by months while the operator runs makes nothing sign early and takes nothing
// away early; nor does one that goes back. An absence of a month is a month.
func TestTheClockGoesForwardByItself(t *testing.T) {
	w := newWorld(t)
	var by time.Duration
	started := w.clock.Now()
	w.r.Elapsed = func() time.Duration { return w.clock.Now().Sub(started) - by }
	jump := func(d time.Duration) {
		by += d
		w.forward(d)
	}
	w.apply("example-com", signing())
	w.passes(2)
	const month = 30 * 24 * time.Hour
	states := func(want ...string) {
		t.Helper()
		w.pass("example-com")
		if diff := cmp.Diff(want, keyStates(w.get("example-com"))); diff != "" {
			t.Fatalf("%s\n%s", diff, describe(w.get("example-com")))
		}
	}
	states("001-20261123a Published")
	jump(month)
	states("001-20261123a Published")
	jump(-month)
	states("001-20261123a Published")
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool {
		return len(keyStates(md)) == 2 && strings.HasSuffix(keyStates(md)[0], "Retired")
	})
	old, next := keyStates(w.get("example-com"))[0], keyStates(w.get("example-com"))[1]
	first := strings.Fields(old)[0]
	jump(2 * month)
	states(old, next)
	if w.secret(theSigner).Data[first+".pem"] == nil {
		t.Error("the file of the retired key is gone early")
	}
	jump(-3 * month)
	states(old, next)
	jump(3 * month)
	states(old, next)
	w.forward(v1alpha1.DefaultRotationRetention/2 - time.Minute)
	states(old, next)
	w.settles("example-com") // over the minute, at which its file leaves the signer's Secret
	w.forward(v1alpha1.DefaultRotationRetention - time.Hour)
	states(old, next)
	w.forward(time.Hour)
	w.settles("example-com")
	states(first+" Revoked", next)
	w.forward(month)
	w.pass("example-com")
	states(next)
}
