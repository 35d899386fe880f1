package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// What policy is to be served and announced is decided here, without I/O.
//
// A policy with mode enforce makes senders refuse hosts, so the way into it has gates, and a host leaves it
// when nobody needs it there any more. The way out has none: a policy in force is weakened by spec alone, and never by what
// a probe saw, as that would be the attack that MTA-STS is there to stop (RFC 8461 §10).

const (
	// probeWait is how long a host that can't be probed holds up mode enforce.
	probeWait = 24 * time.Hour

	maxMX        = 32  // hosts in status
	maxMXMessage = 512 // octets of what status says of each
)

// announcement is what a pass decides by.
type announcement struct {
	now    time.Time
	told   ledger.MTASTS
	wanted mtasts.Policy // by spec
	live   []mxHost
	left   map[string]time.Time // hosts that were live, and when they were found to be gone
	known  bool                 // the live MX records could be read
}

// mxHost is a host of the live MX records, or the domain itself where it has none (RFC 5321 §5.1).
type mxHost struct {
	name     string
	implicit bool
	// tls says whether it offers STARTTLS with a certificate for its name: Pass, Fail or Unknown; empty:
	// nobody probes. The message says what was seen.
	tls     v1alpha1.Verdict
	message string
}

func (h mxHost) String() string {
	if h.implicit {
		return h.name + " (which is where mail goes without an MX record)"
	}
	return h.name
}

// inForce is the announced policy; the zero Policy if there is none.
func (a announcement) inForce() mtasts.Policy {
	p, err := mtasts.ParsePolicy(a.told.Policy)
	if err != nil {
		return mtasts.Policy{}
	}
	return p
}

// next is the policy to be served: what spec wants and, while senders may need them, the lines of the
// policy in force that spec does not want any more. So a widening goes out at once, though the narrowing
// that came with it has to wait; kept says which lines wait for what.
func (a announcement) next() (next mtasts.Policy, kept string) {
	before, next := a.inForce(), a.wanted
	if before.Mode != mtasts.Enforce || next.Mode != mtasts.Enforce {
		return next, ""
	}
	dropped := slices.DeleteFunc(slices.Clone(before.MX), func(line string) bool { return next.CoversAll([]string{line}) })
	if len(dropped) == 0 {
		return next, ""
	}
	why := a.needed(dropped)
	if why == "" {
		return next, ""
	}
	next.MX = append(slices.Clone(next.MX), dropped...)
	return next, fmt.Sprintf("mx: %s stays in the policy %s", strings.Join(dropped, ", "), why)
}

// needed says why the lines can't leave the policy in force; "" is nothing.
func (a announcement) needed(dropped []string) string {
	if !a.known {
		return "until the live MX records can be read"
	}
	for _, host := range a.live {
		if !a.wanted.Covers(host.name) {
			return fmt.Sprintf("while %s is a live MX host", host.name)
		}
		if host.tls == v1alpha1.VerdictFail {
			return fmt.Sprintf("until %s can be delivered to: %s", host.name, host.message)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(a.recent())) {
		if !a.wanted.Covers(host) {
			return fmt.Sprintf("until %s, as caches may have the MX record of %s", a.left[host].Add(recordCaches).Format(time.RFC3339), host)
		}
	}
	for _, h := range a.told.Held {
		p, err := mtasts.ParsePolicy(h.Policy)
		if err != nil || p.Mode != mtasts.Enforce || p.CoversAll(a.wanted.MX) || !h.Until.IsZero() && !a.now.Before(h.Until) {
			continue
		}
		if slices.ContainsFunc(dropped, func(line string) bool { return p.CoversAll([]string{line}) }) {
			if h.Until.IsZero() {
				return "until no sender can get or renew a policy that needs it"
			}
			return fmt.Sprintf("until %s, when the last sender has forgotten a policy that needs it", h.Until.Format(time.RFC3339))
		}
	}
	return ""
}

// gates are what a policy that asks more of the domain than the one in force has to pass, in this order.
var gates = []func(a announcement, next mtasts.Policy) verdict{
	gateKnown,
	gateCovered,
	gateSecure,
}

// hold says what keeps a policy back; what is in force already, or asks less, nothing does.
func (a announcement) hold(next mtasts.Policy) verdict {
	if why := gateValid(a, next); why.bad() || !a.stricter(next) {
		return why
	}
	for _, gate := range gates {
		if why := gate(a, next); why.bad() {
			return why
		}
	}
	return verdict{}
}

// stricter reports whether a host that a sender delivers to now may be refused with the next policy. Of a
// policy in force next has kept what is needed.
func (a announcement) stricter(next mtasts.Policy) bool {
	before := a.inForce()
	return before.Mode != mtasts.Enforce && next.Mode != mtasts.None && next.String() != before.String()
}

func gateValid(a announcement, next mtasts.Policy) verdict {
	if err := next.Validate(); err != nil && next.Mode != mtasts.None && !a.known {
		return gateKnown(a, next)
	} else if err != nil {
		return verdict{v1alpha1.ReasonMXNotCovered, fmt.Sprintf("spec.mtaSTS: %v: name the hosts in spec.mtaSTS.mx, or publish MX records", err)}
	}
	return verdict{}
}

func gateKnown(a announcement, _ mtasts.Policy) verdict {
	if !a.known {
		return verdict{v1alpha1.ReasonServersUnreachable, "the domain's MX records: no answer, so it is not known whom the policy must cover"}
	}
	return verdict{}
}

func gateCovered(a announcement, next mtasts.Policy) verdict {
	if missing := a.uncovered(next); len(missing) > 0 {
		return verdict{v1alpha1.ReasonMXNotCovered, fmt.Sprintf("spec.mtaSTS.mx does not cover the live MX host %s: add it, or remove the MX record", strings.Join(missing, ", "))}
	}
	if next.Mode != mtasts.Enforce {
		return verdict{}
	}
	if len(a.live) == 0 {
		return verdict{v1alpha1.ReasonMXNotCovered, "the domain has neither MX records nor an address, so it is not known whom mode enforce must cover: publish the MX records first"}
	}
	for _, host := range slices.Sorted(maps.Keys(a.recent())) {
		if !next.Covers(host) {
			return verdict{v1alpha1.ReasonProgressing, fmt.Sprintf("mode enforce waits until %s, as caches may have the MX record of %s, which spec.mtaSTS.mx does not cover", a.left[host].Add(recordCaches).Format(time.RFC3339), host)}
		}
	}
	return verdict{}
}

// gateSecure: a host that is known to fail keeps mode enforce back for as long as it does, one that can't be
// probed for a day.
func gateSecure(a announcement, next mtasts.Policy) verdict {
	if next.Mode != mtasts.Enforce {
		return verdict{}
	}
	if failing := a.those(v1alpha1.VerdictFail); len(failing) > 0 {
		return verdict{v1alpha1.ReasonMXNotSecure, fmt.Sprintf("with mode enforce senders would not deliver to %s: mend it, or use mode: testing", strings.Join(failing, "; "))}
	}
	if unknown := a.those(v1alpha1.VerdictUnknown); len(unknown) > 0 && a.now.Before(a.unprobed(next).Add(probeWait)) {
		return verdict{v1alpha1.ReasonProbeUnavailable, fmt.Sprintf(
			"it can't be seen from here whether the MX hosts offer STARTTLS: %s; mode enforce waits until %s, or use --starttls-probe=off", strings.Join(unknown, "; "), a.unprobed(next).Add(probeWait).Format(time.RFC3339))}
	}
	return verdict{}
}

// unprobed is since when nothing but probes without an answer keep the policy back; zero: something
// else does, or nothing. While the live MX records can't be read it is what it was.
func (a announcement) unprobed(next mtasts.Policy) time.Time {
	if !a.known {
		return a.told.Unprobed
	}
	if next.Mode != mtasts.Enforce || !a.stricter(next) || len(a.uncovered(next)) > 0 ||
		len(a.those(v1alpha1.VerdictFail)) > 0 || len(a.those(v1alpha1.VerdictUnknown)) == 0 {
		return time.Time{}
	}
	if a.told.Unprobed.IsZero() || a.told.Unprobed.After(a.now) {
		return a.now
	}
	return a.told.Unprobed
}

// uncovered are the live MX hosts that the policy does not cover.
func (a announcement) uncovered(p mtasts.Policy) []string {
	var list []string
	for _, host := range a.live {
		if !p.Covers(host.name) {
			list = append(list, host.String())
		}
	}
	return list
}

// recent are the hosts that senders may take for live though they have left the MX records.
func (a announcement) recent() map[string]time.Time {
	recent := maps.Clone(a.left)
	maps.DeleteFunc(recent, func(_ string, left time.Time) bool { return !a.now.Before(left.Add(recordCaches)) })
	return recent
}

// remember is what is to be stored of the live MX records.
func (a announcement) remember(before ledger.MX) ledger.MX {
	if !a.known {
		return before
	}
	next := ledger.MX{}
	for _, host := range a.live {
		next.Hosts = append(next.Hosts, host.name)
	}
	if slices.Equal(next.Hosts, before.Hosts) {
		next.Left = before.Left // to forget the old ones is no reason to write
		return next
	}
	next.Left = announcement{now: a.now, left: before.Left}.recent()
	for _, host := range before.Hosts {
		if next.Left == nil {
			next.Left = map[string]time.Time{}
		}
		next.Left[host] = a.now
	}
	maps.DeleteFunc(next.Left, func(host string, _ time.Time) bool { return slices.Contains(next.Hosts, host) })
	return next
}

// those are the live MX hosts of which a probe says so, each with what it saw.
func (a announcement) those(v v1alpha1.Verdict) []string {
	var list []string
	for _, host := range a.live {
		if host.tls == v {
			list = append(list, host.name+": "+host.message)
		}
	}
	return list
}

// risk says which mail senders refuse to deliver by the policy in force, and what to do.
func (a announcement) risk() verdict {
	p := a.inForce()
	if p.Mode == mtasts.None || p.Mode == "" || !a.known {
		return verdict{}
	}
	if missing := a.uncovered(p); len(missing) > 0 && p.Mode == mtasts.Enforce {
		return verdict{v1alpha1.ReasonMailAtRisk, fmt.Sprintf(
			"the policy in force does not cover the live MX host %s, so senders do not deliver there: add it to spec.mtaSTS.mx, or remove the MX record", strings.Join(missing, ", "))}
	} else if len(missing) > 0 {
		return gateCovered(a, p)
	}
	if failing := a.those(v1alpha1.VerdictFail); len(failing) > 0 && p.Mode == mtasts.Enforce {
		return verdict{v1alpha1.ReasonMailAtRisk, fmt.Sprintf("by the policy in force senders do not deliver to %s: mend it", strings.Join(failing, "; "))}
	}
	return verdict{}
}

// mxStatus is what status says of the live MX hosts, judged by the policy in force or, before the first,
// by the next one.
func (a announcement) mxStatus(next mtasts.Policy) []v1alpha1.MXStatus {
	p := a.inForce()
	if p.Mode == "" || p.Mode == mtasts.None {
		p = next
	}
	var list []v1alpha1.MXStatus
	for _, host := range a.live[:min(len(a.live), maxMX)] {
		covered := v1alpha1.VerdictFail
		if p.Covers(host.name) {
			covered = v1alpha1.VerdictPass
		}
		list = append(list, v1alpha1.MXStatus{Host: host.name, Covered: covered, StartTLS: host.tls, Message: cutTo(host.message, maxMXMessage)})
	}
	return list
}

// movable is when every sender has forgotten the policies that do not cover all hosts of the announced
// one, so that mail may be led to any of them; zero: now. With mode none that may be any host, so every
// policy counts: who can't fetch the announced one goes by it. While the commitment is open it may become later.
func movable(c ledger.MTASTS, now time.Time) time.Time {
	var at time.Time
	announced, err := mtasts.ParsePolicy(c.Policy)
	if err != nil {
		return at
	}
	if now.Before(c.Until) {
		at = c.Until // of policies that are not known any more
	}
	for _, h := range c.Held {
		p, err := mtasts.ParsePolicy(h.Policy)
		if err == nil && p.Mode == mtasts.Enforce && now.Before(end(c, h)) && (announced.Mode == mtasts.None || !p.CoversAll(announced.MX)) {
			at = latest(at, end(c, h))
		}
	}
	return at
}
