package main

import "time"

// heartbeatEvery is how often a long step says that it is still going on.
const heartbeatEvery = 15 * time.Second

// heartbeat says what begins and how long it usually takes, and repeats it with the time that
// has passed until stop is called.
func heartbeat(say func(string, ...any), what, usually string) (stop func()) {
	start := time.Now()
	say("%s (usually %s)", what, usually)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(heartbeatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				say("%s: %s so far (usually %s)", what, time.Since(start).Round(time.Second), usually)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
