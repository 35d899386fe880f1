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

// probeWait is how long a host that can't be probed holds up mode enforce, or that a host leaves it.
const probeWait = 24 * time.Hour

// announcement is what a pass decides by.
type announcement struct {
	now    time.Time
	told   ledger.MTASTS
	wanted mtasts.Policy // by spec
	live   []mxHost
	left   map[string]time.Time // hosts that were live, and when they were found to be gone
	served string               // what the replicas are told to serve
	known  bool                 // the live MX records could be read, and make sense
	// pending: the id of the policy in force is not out yet.
	pending bool
	// certificate says what is wrong with that of the policy host.
	certificate verdict
	// unusable says what makes no sense about them.
	unusable unusableMX
}

// inForce is the announced policy; the zero Policy if there is none.
func (a announcement) inForce() mtasts.Policy {
	p, err := mtasts.ParsePolicy(a.told.Policy)
	if err != nil {
		return mtasts.Policy{}
	}
	return p
}

// enforcing are the policies with mode enforce that may be seen or renewed in the place of the one in force.
func (a announcement) enforcing() []mtasts.Policy {
	var list []mtasts.Policy
	for _, h := range a.told.Held {
		if p, err := mtasts.ParsePolicy(h.Policy); err == nil && h.Until.IsZero() && p.Mode == mtasts.Enforce {
			list = append(list, p)
		}
	}
	return list
}

// entering reports whether mode enforce is on its way, and its id not out yet. So the gates still hold it.
func (a announcement) entering() bool {
	return a.pending && a.inForce().Mode == mtasts.Enforce && len(a.enforcing()) == 0
}

// next is the policy to be served: what spec wants and, while senders may need them, the lines of the
// policy in force that spec does not want any more. So a widening goes out at once, though the narrowing
// that came with it has to wait; kept says which lines wait for what.
func (a announcement) next() (next mtasts.Policy, kept string) {
	next, dropped := a.wanted, a.dropped()
	if len(dropped) == 0 {
		return a.asInForce(next), ""
	}
	why, unsure := a.needed(dropped)
	if why == "" || unsure && a.served == next.String() {
		return next, "" // what is served without them stays as it is (Law 2), see gateSure
	}
	next.MX = append(slices.Clone(next.MX), dropped...)
	return a.asInForce(next), fmt.Sprintf("mx: %s stays in the policy %s", strings.Join(dropped, ", "), why)
}

// asInForce is the policy in force, if p says the same in another order: that is nothing to announce (Law 10).
func (a announcement) asInForce(p mtasts.Policy) mtasts.Policy {
	before := a.inForce()
	if p.Mode == before.Mode && p.MaxAge == before.MaxAge && slices.Equal(lines(p), lines(before)) {
		return before
	}
	return p
}

// lines are those that name hosts, in an order of their own.
func lines(p mtasts.Policy) []string {
	var list []string
	for _, line := range p.MX {
		list = append(list, strings.ToLower(line))
	}
	slices.Sort(list)
	return list
}

// dropped are the lines of the policy in force, with mode enforce, that spec does not want any more.
func (a announcement) dropped() []string {
	before := a.inForce()
	if before.Mode != mtasts.Enforce || a.wanted.Mode != mtasts.Enforce {
		return nil
	}
	return slices.DeleteFunc(before.MX, func(line string) bool { return a.wanted.CoversAll([]string{line}) })
}

// needed says why the lines can't leave the policy in force; "" is nothing. unsure: nothing that is known speaks for
// that, and it may be another thing in a moment.
func (a announcement) needed(dropped []string) (why string, unsure bool) {
	if !a.known {
		return "until the live MX records can be read", true
	}
	for _, host := range a.live {
		if !a.wanted.Covers(host.name) {
			return fmt.Sprintf("while %s is a live MX host", host), false
		}
		if host.tls == v1alpha1.VerdictFail {
			return fmt.Sprintf("until %s can be delivered to: %s", host, host.message), false
		}
	}
	if waiting := a.unprobedHosts(); len(waiting) > 0 {
		return fmt.Sprintf("until %s is probed", strings.Join(waiting, ", ")), true
	}
	if unknown := a.those(v1alpha1.VerdictUnknown); len(unknown) > 0 && a.now.Before(a.probesEnd()) {
		return fmt.Sprintf("until %s, as it can't be seen from here whether the MX hosts offer STARTTLS: %s", a.probesEnd().Format(time.RFC3339), strings.Join(unknown, "; ")), true
	}
	for _, host := range slices.Sorted(maps.Keys(a.recent())) {
		if !a.wanted.Covers(host) {
			return fmt.Sprintf("until %s, as caches may have the MX record of %s", a.left[host].Add(recordCaches).Format(time.RFC3339), host), false
		}
	}
	for _, h := range a.told.Held {
		p, err := mtasts.ParsePolicy(h.Policy)
		if err != nil || p.Mode != mtasts.Enforce || p.CoversAll(a.wanted.MX) || !h.Until.IsZero() && !a.now.Before(h.Until) {
			continue
		}
		if slices.ContainsFunc(dropped, func(line string) bool { return p.CoversAll([]string{line}) }) {
			if h.Until.IsZero() {
				return "until no sender can get or renew a policy that needs it", false
			}
			return fmt.Sprintf("until %s, when the last sender has forgotten a policy that needs it", h.Until.Format(time.RFC3339)), false
		}
	}
	return "", false
}

// gate says what keeps a policy back.
type gate func(a announcement, next mtasts.Policy) verdict

// Every policy has to pass the gates of the first list, and one that asks more of the domain than the policy in
// force those of the second, in this order.
var (
	gates         = []gate{gateValid, gateSure}
	gatesStricter = []gate{gateCertificate, gateValid, gateSure, gateKnown, gateCovered, gateSecure}
)

// hold says what keeps a policy back; what is in force already, or asks less, nothing does but that it can't be
// one, or that it is not known what it would do.
func (a announcement) hold(next mtasts.Policy) verdict {
	passes := gates
	if a.stricter(next) {
		passes = gatesStricter
	}
	for _, pass := range passes {
		if why := pass(a, next); why.bad() {
			return why
		}
	}
	return verdict{}
}

// serve is the policy that is to be served, where why holds next back; the zero Policy: what is served stays as it
// is.
func (a announcement) serve(next mtasts.Policy, why verdict) mtasts.Policy {
	switch {
	case !why.bad():
		return next
	case a.entering(), why.reason == v1alpha1.ReasonServersUnreachable, why.reason == v1alpha1.ReasonProbeUnavailable:
		return mtasts.Policy{} // nothing is known against it (Law 2), or nobody is led to it yet
	}
	return a.inForce() // it goes on being served, or is again if the one held back was
}

// stricter reports whether a host that a sender delivers to now may be refused with the next policy. Of a
// policy in force next has kept what is needed.
func (a announcement) stricter(next mtasts.Policy) bool {
	if a.entering() {
		return next.Mode == mtasts.Enforce // the others release those who have got it
	}
	before := a.inForce()
	return before.Mode != mtasts.Enforce && next.Mode != mtasts.None && next.String() != before.String()
}

func gateCertificate(a announcement, _ mtasts.Policy) verdict { return a.certificate }

func gateValid(a announcement, next mtasts.Policy) verdict {
	if err := next.Validate(); err != nil && next.Mode != mtasts.None && !a.known {
		return gateKnown(a, next)
	} else if err != nil {
		return verdict{v1alpha1.ReasonMXNotCovered, fmt.Sprintf("spec.mtaSTS: %v: name the hosts in spec.mtaSTS.mx, or publish MX records", err)}
	}
	return verdict{}
}

// gateSure holds up the announcement of a policy without lines that the one in force has, while it is not known
// whether somebody needs them.
func gateSure(a announcement, next mtasts.Policy) verdict {
	dropped := a.dropped()
	if len(dropped) == 0 || next.CoversAll(dropped) {
		return verdict{}
	}
	why, unsure := a.needed(dropped)
	switch {
	case !unsure:
		return verdict{}
	case !a.known:
		return a.unreadable()
	}
	return verdict{v1alpha1.ReasonProbeUnavailable, fmt.Sprintf("mx: %s stays in the announced policy %s", strings.Join(dropped, ", "), why)}
}

func gateKnown(a announcement, _ mtasts.Policy) verdict {
	if !a.known {
		return a.unreadable()
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
	if waiting := a.unprobedHosts(); len(waiting) > 0 {
		return verdict{v1alpha1.ReasonProbeUnavailable, fmt.Sprintf("mode enforce waits until %s is probed", strings.Join(waiting, ", "))}
	}
	if unknown := a.those(v1alpha1.VerdictUnknown); len(unknown) > 0 && a.now.Before(a.probesEnd()) {
		return verdict{v1alpha1.ReasonProbeUnavailable, fmt.Sprintf(
			"it can't be seen from here whether the MX hosts offer STARTTLS: %s; mode enforce waits until %s, or use --starttls-probe=off", strings.Join(unknown, "; "), a.probesEnd().Format(time.RFC3339))}
	}
	return verdict{}
}

// unprobed is since when mode enforce, or that a host leaves it, waits for probes that have no answer; zero:
// it does not, or what is known of the hosts is against it anyway. While that can't be told it is what it was.
func (a announcement) unprobed() time.Time {
	before := a.told.Unprobed
	if !a.known || len(a.unprobedHosts()) > 0 {
		return before
	}
	awaited := a.wanted.Mode == mtasts.Enforce && (a.entering() || a.inForce().Mode != mtasts.Enforce || len(a.dropped()) > 0)
	if !awaited || len(a.uncovered(a.wanted)) > 0 || len(a.those(v1alpha1.VerdictFail)) > 0 || len(a.those(v1alpha1.VerdictUnknown)) == 0 {
		return time.Time{}
	}
	if before.IsZero() || before.After(a.now) {
		return a.now
	}
	return before
}

// probesEnd is when probes without an answer are waited for no longer.
func (a announcement) probesEnd() time.Time { return a.unprobed().Add(probeWait) }

// unprobedHosts are the live MX hosts of which this process has no result yet.
func (a announcement) unprobedHosts() []string {
	var list []string
	for _, host := range a.live {
		if host.unprobed {
			list = append(list, host.String())
		}
	}
	return list
}

// unreadable says why nothing is known of the live MX records.
func (a announcement) unreadable() verdict {
	if a.unusable != "" {
		return verdict{v1alpha1.ReasonMXNotCovered, "the domain's MX records: " + a.unusable.Error()}
	}
	return verdict{v1alpha1.ReasonServersUnreachable, "the domain's MX records: no answer, so it is not known whom the policy must cover"}
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

// those are the live MX hosts of which a probe says so, each with what it saw.
func (a announcement) those(v v1alpha1.Verdict) []string {
	var list []string
	for _, host := range a.live {
		if host.tls == v {
			list = append(list, host.String()+": "+host.message)
		}
	}
	return list
}

// risk says which mail senders refuse to deliver by the policy in force, or by one before it whose id is still out,
// and what to do.
func (a announcement) risk() verdict {
	if a.pending && a.known {
		for _, before := range a.enforcing() {
			if missing := a.uncovered(before); len(missing) > 0 {
				return verdict{v1alpha1.ReasonMailAtRisk, fmt.Sprintf(
					"the policy before, which is announced until the record changes, does not cover the live MX host %s, so senders do not deliver there", strings.Join(missing, ", "))}
			}
		}
	}
	p := a.inForce()
	switch {
	case p.Mode == mtasts.None || p.Mode == "":
		return verdict{}
	case a.unusable != "":
		return a.unreadable()
	case !a.known:
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

// movable is when every sender has forgotten the policies that do not cover all hosts of the announced
// one, so that mail may be led to any of them; zero: now. With mode none that may be any host, so every
// policy counts: who can't fetch the announced one goes by it. While the commitment is open it may become later:
// of a policy that may be fetched or renewed even now, it is a moment of its own each day, so that status
// is not written in each pass.
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
		if err != nil || p.Mode != mtasts.Enforce || announced.Mode != mtasts.None && p.CoversAll(announced.MX) {
			continue
		}
		until := end(c, h)
		if h.Until.IsZero() && !now.Before(until) {
			until = now.Add(recordCaches + held(p)).Truncate(24 * time.Hour).Add(24 * time.Hour)
		}
		if now.Before(until) {
			at = latest(at, until)
		}
	}
	return at
}
