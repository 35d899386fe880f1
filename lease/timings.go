package lease

import (
	"fmt"
	"time"

	"k8s.io/client-go/tools/leaderelection"
)

// Timings are those of the election, in the words of client-go.
type Timings struct {
	Duration      time.Duration // how long others wait for a leader that is silent; whole seconds
	RenewDeadline time.Duration // how long a leader tries to renew before it gives up
	RetryPeriod   time.Duration // between tries, of the leader and of those who wait
}

// Default has another process lead within 3 s after a leader that ends, and within 19 s after one that is killed.
var Default = Timings{Duration: 14 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second}

// TakeOver is the longest that it takes until another process has the lease of one that was killed, if the API
// server answers at once: those who wait see the last renewal up to a try late, and the end of the lease, too.
func (t Timings) TakeOver() time.Duration { return t.Duration + 2*t.try() }

// HandOver is the longest that it takes until another process has a lease that was given back.
func (t Timings) HandOver() time.Duration { return t.try() }

// try is the longest time between two tries: client-go spreads them.
func (t Timings) try() time.Duration {
	return t.RetryPeriod + time.Duration(leaderelection.JitterFactor*float64(t.RetryPeriod))
}

// Call is how long a write to the API server may take. A leader that waits for longer can't renew its lease either.
func (t Timings) Call() time.Duration { return t.RenewDeadline / 2 }

// Longest is how long a write may be allowed to take: for longer ones there would not be enough of the lease left
// even when it is renewed at each try, and a try fails now and then.
func (t Timings) Longest() time.Duration { return t.Duration - 3*t.RetryPeriod }

// Check says what makes no sense; nil: nothing. The errors speak of the flags.
func (t Timings) Check() error {
	switch {
	case t.Duration < time.Second || t.Duration%time.Second != 0:
		return fmt.Errorf("--leader-elect-lease-duration is %s, want whole seconds", t.Duration)
	case t.RetryPeriod <= 0:
		return fmt.Errorf("--leader-elect-retry-period is %s, want more than 0", t.RetryPeriod)
	case t.RenewDeadline <= t.try():
		return fmt.Errorf("--leader-elect-renew-deadline is %s, want more than %s, which two tries may be apart", t.RenewDeadline, t.try())
	case t.Duration <= t.RenewDeadline:
		return fmt.Errorf("--leader-elect-lease-duration is %s, want more than --leader-elect-renew-deadline, which is %s", t.Duration, t.RenewDeadline)
	case t.Longest() <= t.Call():
		return fmt.Errorf("--leader-elect-retry-period is %s, too long for a lease of %s: a write to the API server may take %s", t.RetryPeriod, t.Duration, t.Call())
	}
	return nil
}
