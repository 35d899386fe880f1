package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		stop := heartbeat(func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }, "building etcd", "a minute")
		time.Sleep(2*heartbeatEvery + time.Second)
		stop()
		time.Sleep(2 * heartbeatEvery)
		want := []string{
			"building etcd (usually a minute)",
			"building etcd: 15s so far (usually a minute)",
			"building etcd: 30s so far (usually a minute)",
		}
		if !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
	})
}
