package main

import (
	"io"
	"strings"
	"testing"
)

// What the timings of the lease and of calls don't allow is said at the start, not found out in an outage.
func TestLeaderFlags(t *testing.T) {
	parse := func(flags ...string) error {
		_, err := parseManagerFlags(append([]string{"--namespace=mail-system", "--owner-id=test"}, flags...), io.Discard)
		return err
	}
	for flags, want := range map[string]string{
		"":                                      "",
		"--leader-elect":                        "",
		"--leader-elect --provider-timeout=12s": "--provider-timeout is 12s, and with a lease of 14s (--leader-elect-lease-duration) it may be 10s at the most",
		"--provider-timeout=12s":                "", // there are no others
		"--leader-elect --provider-timeout=12s --leader-elect-lease-duration=16s":         "",
		"--leader-elect --leader-elect-lease-duration=9s":                                 "want more than --leader-elect-renew-deadline",
		"--leader-elect --leader-elect-retry-period=5s --leader-elect-lease-duration=20s": "--leader-elect-renew-deadline is 10s, want more than 11s",
	} {
		if err := parse(strings.Fields(flags)...); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", flags, err, want)
		}
	}
}
