package cloudflare

import (
	"fmt"
	"net/http"
	"time"
)

// limiter counts calls in windows. Over the limit all calls are blocked for one more window
// (https://developers.cloudflare.com/fundamentals/api/reference/limits).
type limiter struct {
	count   int
	ends    time.Time // of the window
	blocked time.Time // until
}

// admit counts a call, says in the header what is left, and reports whether it may go on.
func (l *limiter) admit(cfg Config, header http.Header) bool {
	now := cfg.Now()
	if !now.Before(l.ends) {
		l.count, l.ends = 0, now.Add(cfg.Window)
	}
	l.count++
	if l.count > cfg.Limit && !now.Before(l.blocked) {
		l.blocked = now.Add(cfg.Window)
	}
	seconds := func(until time.Time) int { return int((until.Sub(now) + time.Second - 1) / time.Second) }
	header.Set("Ratelimit", fmt.Sprintf(`"default";r=%d;t=%d`, max(cfg.Limit-l.count, 0), seconds(l.ends)))
	header.Set("Ratelimit-Policy", fmt.Sprintf(`"default";q=%d;w=%d`, cfg.Limit, int(cfg.Window/time.Second)))
	if now.Before(l.blocked) {
		header.Set("Retry-After", fmt.Sprint(seconds(l.blocked)))
		return false
	}
	return true
}
