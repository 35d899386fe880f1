package controllers

import (
	"sync"
	"time"
)

// jumps notices that the wall clock went forward by itself, as when it is set, or a machine was
// suspended. A jump while the process does not run looks like the operator's absence.
type jumps struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
	last    time.Time // when the clock was first read after a jump
}

// muchTooFast is by how much the wall clock may be ahead before it counts.
const muchTooFast = time.Minute

// since returns when the clock was first read after its last jump; zero if none was seen. read gives
// the clock's time, and the time that really passed from some beginning.
func (j *jumps) since(read func() (wall time.Time, elapsed time.Duration)) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	wall, elapsed := read() // with the lock held: readings are compared in their order
	if !j.wall.IsZero() && wall.Sub(j.wall)-(elapsed-j.elapsed) > muchTooFast {
		j.last = wall
	}
	j.wall, j.elapsed = wall, elapsed
	return j.last
}

// restartWaits has the key waits of the ledger begin anew, once after each jump.
func (r *Reconciler) restartWaits(s *scope) {
	if r.Elapsed == nil {
		return
	}
	jumped := r.jumps.since(func() (time.Time, time.Duration) { return r.Clock.Now().UTC().Truncate(time.Second), r.Elapsed() })
	if !jumped.IsZero() && !jumped.Equal(s.book.Jumped) {
		s.book.Jumped = jumped
		s.book.Keyring.Restart(s.now)
	}
}
