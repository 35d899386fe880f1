package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// What a third party serves and announces, with spec.mtaSTS.hosting External, is judged here, without I/O.
//
// A policy is a remote text, so nothing of it is told but its mode and its max_age, which are words and a
// number of ours once they are read (Law 13). What else differs is told by the name that spec or DNS
// has for it, or counted.

// external is what a pass knows of the third party.
type external struct {
	spec   *v1alpha1.MTASTSSpec
	live   []mxHost
	known  bool // the live MX records could be read, and make sense
	served fetched
	record announcing
	// unusable says what makes no sense about the MX records.
	unusable unusableMX
}

// fetched is what the addresses of the policy host serve.
type fetched struct {
	policy mtasts.Policy // that senders get of the third party; the zero Policy: none, or not one
	why    verdict       // why not every address has it
	own    []string      // addresses where the operator's own policy is, as far as anybody can tell
}

// announcing is what stands at _mta-sts.<domain>.
type announcing struct {
	texts []string // the records of somebody else, each once
	own   []string // name servers that have the operator's own record
	alone bool     // one of them has no other
	state v1alpha1.RecordState
	why   verdict
}

// ownPolicy tells what the operator serves from what a third party does.
type ownPolicy struct {
	body   string // "": nothing is served
	record string // "": nothing was announced
	// at reports whether the operator is reached at the address; known is false if nobody knows where it is.
	at func(netip.Addr) (own, known bool)
}

// is reports whether an answer is the operator's own. A third party may well serve the same text: then the
// address tells, if it is known where the operator is reached; if not, it counts as the operator's own, as
// to stop serving there would leave the domain without a policy.
func (o ownPolicy) is(result probe.PolicyResult) bool {
	if o.body == "" || result.Body != o.body {
		return false
	}
	own, known := o.at(result.Addr.Addr())
	return own || !known
}

// servedBy reads what the policy host answered.
func servedBy(domain string, answer probe.PolicyAnswer, err error, own ownPolicy) (s fetched) {
	url := "https://mta-sts." + domain + "/.well-known/mta-sts.txt"
	fail := func(reason, format string, args ...any) fetched {
		s.why = verdict{reason, url + ": " + fmt.Sprintf(format, args...)}
		return s
	}
	switch {
	case isNotFound(err):
		return fail(v1alpha1.ReasonPolicyNotServed, "mta-sts.%s has no address: publish the record that the third party asks for", domain)
	case err != nil:
		return fail(v1alpha1.ReasonPolicyNotServed, "its address can't be found out now")
	}
	var first *probe.PolicyResult
	several := false
	for i, result := range answer.Results {
		switch {
		case result.Outcome == probe.PolicyUnroutable:
			continue
		case result.Outcome != probe.PolicyServed && !s.why.bad():
			fail(v1alpha1.ReasonPolicyNotServed, "%s: %s", result.Addr.Addr(), result.Detail)
		case result.Outcome != probe.PolicyServed:
		case own.is(result):
			s.own = append(s.own, result.Addr.Addr().String())
		case first == nil:
			first = &answer.Results[i]
		case result.Body != first.Body:
			several = true
		}
	}
	switch {
	case several:
		return fail(v1alpha1.ReasonThirdPartyMismatch, "its addresses serve different policies, so what a sender gets is chance: have all serve one")
	case first == nil && len(s.own) == 0 && !s.why.bad():
		return fail(v1alpha1.ReasonNotReachableFromHere, "none of its addresses can be reached from here: check the way to port 443")
	case first != nil:
		policy, err := mtasts.ParsePolicy(first.Body)
		if broken, ok := errors.AsType[*mtasts.SyntaxError](err); ok {
			return fail(v1alpha1.ReasonThirdPartyMismatch, "senders can't read the policy, octet %d: want %s (%s): have the third party correct it", broken.Offset, broken.Want, broken.Ref)
		}
		s.policy = policy
	}
	if len(s.own) > 0 && !s.why.bad() {
		return fail(v1alpha1.ReasonPolicyNotServed, "%s still leads to the operator's own policy: have mta-sts.%s lead to the third party alone", strings.Join(s.own, ", "), domain)
	}
	return s
}

// announcedIn reads the records at _mta-sts.<domain>. Where the name is an alias, as RFC 8461 §8.2 has it for
// a delegation, target is what stands at its end.
func announcedIn(slot records.Slot, seen sight, target []string, own ownPolicy) (a announcing) {
	missing, ids, several := 0, []string{}, 0
	seen.answers = slices.Clone(seen.answers) // others look at them too
	for i, answer := range seen.answers {
		if !proves(answer) {
			continue
		}
		if answer.Alias != "" {
			seen.answers[i].Values, seen.answers[i].Alias, seen.answers[i].Outcome = target, "", probe.Found
		}
		var theirs []string
		owns := len(a.own)
		for _, text := range seen.answers[i].Values {
			switch {
			case !slot.Is(text):
			case own.record != "" && slot.Same(text, own.record):
				a.own = append(a.own, answer.Server)
			default:
				theirs = append(theirs, text)
			}
		}
		a.alone = a.alone || len(a.own) > owns && len(theirs) == 0
		switch len(theirs) {
		case 0:
			missing++
		case 1:
			ids = append(ids, theirs[0])
		default:
			several++
		}
		a.texts = append(a.texts, theirs...)
	}
	a.texts, a.own, ids = distinct(a.texts), distinct(a.own), distinct(ids)
	a.state, a.why = seen.verifyThat(slot.String(), "one MTA-STS record", func(answer probe.Answer) bool {
		texts := slices.DeleteFunc(slices.Clone(answer.Values), func(text string) bool { return !slot.Is(text) })
		return len(texts) == 1 && (own.record == "" || !slot.Same(texts[0], own.record))
	})
	fail := func(reason, format string, args ...any) announcing {
		a.state, a.why = v1alpha1.RecordPublished, verdict{reason, slot.String() + ": " + fmt.Sprintf(format, args...)}
		return a
	}
	switch {
	case a.why.reason == v1alpha1.ReasonServersUnreachable || a.why.reason == v1alpha1.ReasonZoneNotFound:
		return a
	case several > 0:
		return fail(v1alpha1.ReasonVerificationFailed, "%d MTA-STS records stand there, and senders take several for none (RFC 8461 section 3.1): keep the third party's", len(a.texts))
	case len(a.own) > 0 && len(a.texts) > 0:
		return fail(v1alpha1.ReasonWaitingForPropagation, "%s still has the operator's own record beside the third party's", strings.Join(a.own, ", "))
	case len(a.own) > 0:
		return fail(v1alpha1.ReasonNotServed, "%s still has the operator's own record, so senders don't look for another policy: put the third party's in its place", strings.Join(a.own, ", "))
	case len(ids) == 0 && missing > 0:
		return fail(v1alpha1.ReasonNotServed, "no MTA-STS record is served there, so nobody asks for the policy: publish the one of the third party")
	case len(ids) > 1:
		return fail(v1alpha1.ReasonWaitingForPropagation, "the name servers have different MTA-STS records: waiting for all to have one")
	case a.why.bad():
		return a
	}
	if _, err := mtasts.ParseRecord(ids[0]); err != nil {
		broken, _ := errors.AsType[*mtasts.SyntaxError](err)
		return fail(v1alpha1.ReasonVerificationFailed, "senders can't read the record, octet %d: want %s (%s): have the third party correct it", broken.Offset, broken.Want, broken.Ref)
	}
	return a
}

// verdict says what is wrong, the worst first; the zero verdict: what spec asks for is served and announced.
func (x external) verdict() verdict {
	for _, why := range []verdict{x.risk(), x.served.why, x.differs(), x.covers(), x.record.why} {
		if why.bad() {
			return why
		}
	}
	return verdict{}
}

// risk says which mail senders refuse to deliver by the third party's policy. It is announced by others, so
// it counts whatever stands at _mta-sts: a sender may hold it.
func (x external) risk() verdict {
	a := announcement{live: x.live}
	if x.served.policy.Mode != mtasts.Enforce || !x.known {
		return verdict{}
	}
	if missing := a.uncovered(x.served.policy); len(missing) > 0 {
		return verdict{v1alpha1.ReasonMailAtRisk, fmt.Sprintf(
			"the third party's policy does not cover the live MX host %s, so senders do not deliver there: have it added there, or remove the MX record", strings.Join(missing, ", "))}
	}
	if failing := a.those(v1alpha1.VerdictFail); len(failing) > 0 {
		return verdict{v1alpha1.ReasonMailAtRisk, fmt.Sprintf("by the third party's policy senders do not deliver to %s: mend it", strings.Join(failing, "; "))}
	}
	return verdict{}
}

// covers says whether the policy could be enforced with the live MX records.
func (x external) covers() verdict {
	if !x.known {
		return announcement{unusable: x.unusable}.unreadable()
	}
	if missing := (announcement{live: x.live}).uncovered(x.served.policy); len(missing) > 0 && x.served.policy.Mode == mtasts.Testing {
		return verdict{v1alpha1.ReasonMXNotCovered, fmt.Sprintf("the third party's policy does not cover the live MX host %s: have it added there, or remove the MX record", strings.Join(missing, ", "))}
	}
	return verdict{}
}

// differs says what spec has otherwise. What spec does not say is the third party's to choose.
func (x external) differs() verdict {
	p, mismatch := x.served.policy, func(format string, args ...any) verdict {
		return verdict{v1alpha1.ReasonThirdPartyMismatch, "the third party's policy has " + fmt.Sprintf(format, args...) + ": have it corrected there, or change spec"}
	}
	switch want := x.spec; {
	case string(p.Mode) != string(want.Mode):
		return mismatch("mode: %s, and spec.mtaSTS.mode is %s", p.Mode, want.Mode)
	case want.MaxAge != nil && want.MaxAge.Duration != p.MaxAge:
		return mismatch("max_age: %d, and spec.mtaSTS.maxAge is %d seconds", int64(p.MaxAge/time.Second), int64(want.MaxAge.Duration/time.Second))
	case p.Mode == mtasts.None || len(want.MX) == 0:
		return verdict{}
	}
	missing := slices.DeleteFunc(slices.Clone(x.spec.MX), func(line string) bool { return p.CoversAll([]string{line}) })
	if len(missing) > 0 {
		return mismatch("no mx line for %s, which spec.mtaSTS.mx names", strings.Join(missing, ", "))
	}
	more := slices.DeleteFunc(slices.Clone(p.MX), func(line string) bool { return (mtasts.Policy{MX: x.spec.MX}).CoversAll([]string{line}) })
	if len(more) > 0 {
		return mismatch("%d mx lines beyond those of spec.mtaSTS.mx", len(more))
	}
	return verdict{}
}

// maxSeenMX bounds how many mx lines of a third party's policy are remembered. Without the rest it seems to
// cover less than it does, so that who moves MX records waits longer than needed, never too short.
const maxSeenMX = 32

// remembered is what the ledger keeps of the third party's policy.
func (x external) remembered(before *ledger.ThirdParty, now time.Time) *ledger.ThirdParty {
	if before == nil {
		before = &ledger.ThirdParty{}
	}
	p := x.served.policy
	p.MX, p.Extensions = p.MX[:min(len(p.MX), maxSeenMX)], nil
	if p.Mode == "" || p.String() == before.Policy {
		return before
	}
	next := &ledger.ThirdParty{Policy: p.String(), Since: now, Until: before.Until}
	old, _ := mtasts.ParsePolicy(before.Policy) // "": none
	if old.Mode == p.Mode {
		next.Since = before.Since
	}
	if old.Mode == mtasts.Enforce {
		next.Until = latest(before.Until, now.Add(recordCaches+held(old)))
	}
	return next
}

// mxStatus is what status says of the live MX hosts, judged by the third party's policy.
func (x external) mxStatus() []v1alpha1.MXStatus {
	list := announcement{live: x.live}.mxStatus(x.served.policy)
	for i := range list {
		if x.served.policy.Mode == "" {
			list[i].Covered = v1alpha1.VerdictUnknown
		}
	}
	return list
}

// lintSubject has lint look at the third party's policy and record.
func (x external) lintSubject(s *mtasts.Subject, known *ledger.ThirdParty) {
	s.Texts = x.record.texts
	p := x.served.policy
	if p.Mode == "" {
		return
	}
	p.Extensions = nil
	s.Served = &mtasts.Served{Body: p.String(), ContentType: "text/plain"}
	if known != nil {
		s.Before = &mtasts.Seen{ModeSince: known.Since, Body: p.String()}
	}
}

// tellable leaves out what quotes the mx lines of the policy.
func (x external) tellable(found []lint.Finding) []lint.Finding {
	return slices.DeleteFunc(found, func(f lint.Finding) bool { return f.Code == "MTASTS-MX-TWICE" || f.Code == "MTASTS-MX-UNUSED" })
}
