package desec

import (
	"fmt"
	"net/http"
	"time"
)

// rates are of https://desec.readthedocs.io/en/latest/rate-limits.html
type rate struct {
	calls int
	every time.Duration
}

var (
	readRates  = []rate{{10, time.Second}, {50, time.Minute}}                                         // dns_api_cheap, per account
	writeRates = []rate{{2, time.Second}, {15, time.Minute}, {100, time.Hour}, {300, 24 * time.Hour}} // dns_api_per_domain_expensive
)

// limiter keeps the times of calls that were let through, by what they count against.
type limiter map[string][]time.Time

// admit reports whether a call may go on; else the header says when to come back.
func (l *limiter) admit(against string, rates []rate, now time.Time, header http.Header) bool {
	if *l == nil {
		*l = limiter{}
	}
	calls := (*l)[against]
	for _, r := range rates {
		if len(calls) < r.calls {
			continue
		}
		if free := calls[len(calls)-r.calls].Add(r.every); now.Before(free) {
			header.Set("Retry-After", fmt.Sprint(int((free.Sub(now)+time.Second-1)/time.Second)))
			return false
		}
	}
	(*l)[against] = append(calls, now)
	return true
}
