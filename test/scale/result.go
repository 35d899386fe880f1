package main

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is what one run has found.
type result struct {
	Domains  int       `json:"domains"`
	Zones    string    `json:"zones"`
	Provider string    `json:"provider"`
	Stock    bool      `json:"stock"`
	Apply    applied   `json:"apply"`
	Restart  restarted `json:"restart"`
	Steady   spent     `json:"steady"`
	Overtake overtaken `json:"overtake"`
	Foreign  foreign   `json:"foreign"`
}

// figures are those that do not depend on how fast the machine is, or little: counts, ratios and MiB. Their names are those of
// the file of ranges.
func (r result) figures() map[string]float64 {
	n := float64(r.Domains)
	return map[string]float64{
		"apply.writesPerDomain":   total(r.Apply.Writes) / n,
		"apply.readsPerDomain":    total(r.Apply.Reads) / n,
		"apply.eventsPerDomain":   r.Apply.Events / n,
		"apply.passesPerDomain":   r.Apply.Passes / n,
		"apply.updatesPerDomain":  float64(r.Apply.Updates) / n,
		"apply.queriesPerDomain":  float64(r.Apply.Queries) / n,
		"apply.callsPerDomain":    total(r.Apply.Calls) / n,
		"apply.refused":           r.Apply.Refused,
		"apply.timesBound":        r.Apply.timesBound(),
		"apply.rssMiB":            r.Apply.RSS,
		"foreign.moreMiB":         r.Foreign.More,
		"restart.writes":          total(r.Restart.Writes),
		"restart.updates":         float64(r.Restart.Updates),
		"restart.calls":           total(r.Restart.Calls),
		"restart.passesPerDomain": r.Restart.Passes / n,
		"restart.readsPerDomain":  total(r.Restart.Reads) / n,
		"steady.writes":           total(r.Steady.Writes),
		"steady.updates":          float64(r.Steady.Updates),
		"steady.calls":            total(r.Steady.Calls),
		"steady.events":           r.Steady.Events,
		"steady.passesPerCheck":   r.Steady.Passes / r.Steady.Checks,
		"steady.queriesPerCheck":  float64(r.Steady.Queries) / r.Steady.Checks,
		"steady.readsPerCheck":    total(r.Steady.Reads) / r.Steady.Checks,
	}
}

// timesBound is how many times as long it took as the calls alone would have taken, at the operator's pace; 0: the pace bounds nothing.
func (a applied) timesBound() float64 {
	if a.Bound == 0 {
		return 0
	}
	return a.Seconds / a.Bound
}

// table is the result for people.
func (r result) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	n := float64(r.Domains)
	keys := "keys made meanwhile"
	if r.Stock {
		keys = "keys from a stock"
	}
	zones := "in one zone"
	if r.Zones == zoneEach {
		zones = "each in a zone of its own"
	}
	fmt.Fprintf(w, "\n%d domains, %s, %s, by %s; %d processors shared by the operator, kube-apiserver, etcd and this harness\n", r.Domains, zones, keys, r.Provider, runtime.NumCPU())
	fmt.Fprintln(w, "\nFrom nothing to Ready")
	row("all", "%.1f s, of which %.0f s is the SOA MINIMUM", r.Apply.Seconds, minimum.Seconds())
	row("domains per second", "%.1f", n/r.Apply.Seconds)
	row("one domain, half and 99 of 100", "%.1f s, %.1f s", r.Apply.P50, r.Apply.P99)
	row("writes to the API server per domain", "%s", perDomain(r.Apply.Writes, n))
	row("Events per domain", "%.1f", r.Apply.Events/n)
	row("reads past the cache per domain", "%s", perDomain(r.Apply.Reads, n))
	row("passes per domain", "%.1f", r.Apply.Passes/n)
	row("DNS UPDATEs, queries per domain", "%.2f, %.0f", float64(r.Apply.Updates)/n, float64(r.Apply.Queries)/n)
	if r.Provider != "rfc2136" {
		row("calls of the provider's API per domain", "%s", perDomain(r.Apply.Calls, n))
		row("calls refused, as there were too many", "%.0f", r.Apply.Refused)
		if r.Apply.Bound > 0 {
			row("these calls alone, at the operator's pace", "%.1f s; it took %.2f times as long", r.Apply.Bound, r.Apply.timesBound())
		} else {
			row("these calls alone, at the operator's pace", "all at once")
		}
	}
	row("CPU seconds", "%s", cpus(r.Apply.CPU))
	row("memory of the operator at its most (RSS)", "%.0f MiB", r.Apply.RSS)
	fmt.Fprintln(w, "\nThe operator is started again")
	row("until each domain was looked at", "%.1f s", r.Restart.Seconds)
	row("writes, DNS UPDATEs, calls of the API", "%.0f, %d, %.0f", total(r.Restart.Writes), r.Restart.Updates, total(r.Restart.Calls))
	row("passes per domain", "%.1f", r.Restart.Passes/n)
	row("CPU seconds", "%s", cpus(r.Restart.CPU))
	row("memory of the operator at its most (RSS)", "%.0f MiB", r.Restart.RSS)
	fmt.Fprintln(w, "\nNothing happens but drift checks")
	row("drift checks, passes", "%.0f, %.0f", r.Steady.Checks, r.Steady.Passes)
	row("writes, DNS UPDATEs, calls of the API, Events", "%.0f, %d, %.0f, %.0f", total(r.Steady.Writes), r.Steady.Updates, total(r.Steady.Calls), r.Steady.Events)
	row("one check: queries, reads past the cache", "%.1f, %.1f", float64(r.Steady.Queries)/r.Steady.Checks, total(r.Steady.Reads)/r.Steady.Checks)
	row("one check: CPU of the operator", "%.0f µs", r.Steady.CPU["operator"]/r.Steady.Checks*1e6)
	row("10,000 domains every 10 minutes would take", "%.1f %% of a processor", r.Steady.CPU["operator"]/r.Steady.Checks*10000/600*100)
	fmt.Fprintln(w, "\nMailDomains change while drift checks are due all the time")
	row("changes; drift checks that waited, mean", "%d; %.0f", r.Overtake.Changes, r.Overtake.Waiting)
	row("from the API server's answer to the name server's, half, 99 of 100 and all", "%.2f s, %.2f s, %.2f s", r.Overtake.P50, r.Overtake.P99, r.Overtake.Most)
	if r.Foreign.Secrets > 0 {
		fmt.Fprintf(w, "\nBeside %d Secrets of %d KiB of others\n", r.Foreign.Secrets, foreignSize>>10)
		row("memory of the operator at its most (RSS)", "%.0f MiB, %+.1f MiB to what it was without them", r.Foreign.RSS+r.Foreign.More, r.Foreign.More)
	}
	_ = w.Flush() // into memory
	return text.String()
}

// perDomain lists the mean of each kind, the largest first.
func perDomain(counts map[string]float64, n float64) string {
	text := fmt.Sprintf("%.2f", total(counts)/n)
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return int(math.Copysign(1, counts[b]-counts[a])) })
	for _, name := range names {
		text += fmt.Sprintf("; %s %.2f", name, counts[name]/n)
	}
	return text
}

func cpus(seconds map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(seconds)) {
		parts = append(parts, fmt.Sprintf("%s %.1f", name, seconds[name]))
	}
	return strings.Join(parts, ", ")
}
