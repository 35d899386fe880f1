package simulate

import (
	"fmt"
	"time"
)

// trace is what happened, a line for each event. It is written only when a seed is played for it.
type trace struct {
	on    bool
	lines []string
}

// tell adds a line, with the time since the beginning of the world.
func (w *World) tell(who, format string, args ...any) {
	if !w.trace.on {
		return
	}
	since := w.now.Sub(epoch)
	days := since / (24 * time.Hour)
	w.trace.lines = append(w.trace.lines, fmt.Sprintf("day %2d %s  %-9s %s", days, time.Time{}.Add(since).Format("15:04:05"), who, fmt.Sprintf(format, args...)))
}
