package simulate

import "testing"

// TestYear plays worlds of MTA-STS: a year of each, and what has to come to its end after it.
func TestYear(t *testing.T) {
	total, count := playAll(t, Year, "YEAR", fewYears())
	if count < 20 {
		return // too few to have seen everything
	}
	for what, n := range map[string]int{
		"crash": total.Crashes, "failure of the provider": total.ProviderFaults, "outage": total.Outages, "policy announced": total.Announced,
		"announced move": total.Moves, "move without a word": total.Unannounced, "message lost by one": total.LostUnannounced,
		"message lost to an MX host's trouble": total.LostToServers, "risk that was told of": total.Detected,
	} {
		if n < count {
			t.Errorf("%d years have seen %d times a %s: they prove little", count, n, what)
		}
	}
}

// fewYears is for a run of all tests; `make simulate` plays more.
func fewYears() uint64 {
	if race {
		return 2
	}
	return 24
}

// TestAYearIsASeed: played again, everything happens again.
func TestAYearIsASeed(t *testing.T) {
	first, second := Year(Options{Seed: 2, Trace: true}), Year(Options{Seed: 2, Trace: true})
	for i, line := range first.Trace {
		if i >= len(second.Trace) || second.Trace[i] != line {
			t.Fatalf("the second time something else happens than %q", line)
		}
	}
	if len(first.Trace) < 1000 || len(second.Trace) != len(first.Trace) {
		t.Errorf("%d and %d things happen", len(first.Trace), len(second.Trace))
	}
}
