package compliance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
)

var policies = []dmarc.Policy{dmarc.None, dmarc.Quarantine, dmarc.Reject}

// dmarcApplies returns what the walk found, where exactly one record applies; else done is the end of
// every test of DMARC.
func dmarcApplies(f Facts) (d dmarc.Discovery, done *finding) {
	d, known := f.DMARC.Get()
	// Two records above the one that applies change no policy.
	ambiguous := slices.DeleteFunc(slices.Clone(d.Ambiguous), func(name string) bool {
		return d.Policy != nil && strings.HasSuffix(d.Policy.Domain, "."+name)
	})
	end := finding{}
	switch {
	case !known:
		end = unseen(f.DMARC.Cause())
	case len(ambiguous) > 0:
		end = fail("more than one record at _dmarc." + strings.Join(ambiguous, ", _dmarc.") + ": receivers discard them all")
	case d.Policy == nil:
		end = fail("no DMARC record that receivers can use")
	default:
		return d, nil
	}
	return d, &end
}

// dmarcPolicy wants an effective policy: by the tree walk, with t=y a step less (RFC 9989 §4.7, §4.10).
// So it is with pct below 100, for a part of the mail, at receivers of before RFC 9989 (RFC 7489 §6.6.4).
func dmarcPolicy(f Facts, want Want) finding {
	d, done := dmarcApplies(f)
	if done != nil {
		return *done
	}
	where := fmt.Sprintf("%q at _dmarc.%s", d.Policy.Text, d.Policy.Domain)
	level := slices.Index(policies, want.Policy)
	judge := func(who string, is int) finding {
		text := fmt.Sprintf("%s: %s is in force for %s", where, policies[is], who)
		if r := d.Policy.Record; is > 0 && r.Pct != nil && *r.Pct < 100 && (r.Testing == nil || !*r.Testing) {
			is-- // those receivers do not know t
			text += fmt.Sprintf(", and by pct=%d only %s for some of the mail", *r.Pct, policies[is])
		}
		if is < level {
			return fail(text + ", want " + string(want.Policy) + map[bool]string{true: " or stricter"}[want.Policy != dmarc.Reject])
		}
		return pass(text)
	}
	strict := d.Policy.Record.Strictness() // the domain, its subdomains, names that do not exist
	found := []finding{}
	switch exists, known := f.Exists.Get(); {
	case d.Policy.Domain == d.Domain:
		found = append(found, judge("the domain", strict[0]))
	case strict[1] == strict[2], known && exists:
		found = append(found, judge("the domain", strict[1]))
	case known:
		found = append(found, judge("the domain, which does not exist", strict[2]))
	default:
		found = append(found, unseen(f.Exists.Cause()))
	}
	if want.Subdomains {
		found = append(found, judge("subdomains", strict[1]), judge("subdomains that do not exist", strict[2]))
	}
	return all(found...)
}

// dmarcTesting wants no t=y.
func dmarcTesting(f Facts, _ Want) finding {
	d, done := dmarcApplies(f)
	if done != nil {
		return *done
	}
	if t := d.Policy.Record.Testing; t != nil && *t {
		return fail("t=y: the policy is only tested")
	}
	return pass("the policy is not only tested")
}

// dmarcReports wants aggregate reports, perhaps at a certain address. Who has not agreed to get them
// gets none (RFC 9990 §4).
func dmarcReports(f Facts, want Want) finding {
	d, done := dmarcApplies(f)
	if done != nil {
		return *done
	}
	rua := d.Policy.Record.RUA
	if len(rua) == 0 {
		return fail("no rua: nobody gets aggregate reports")
	}
	wanted := slices.DeleteFunc(slices.Clone(rua), func(uri string) bool {
		address, _, _ := strings.Cut(uri, "!") // a size limit of RFC 7489
		return want.Address != "" && !strings.EqualFold(address, want.Address)
	})
	if len(wanted) == 0 {
		return fail("rua=" + strings.Join(rua, ",") + ", want " + want.Address + " among them")
	}
	destinations, known := f.Destinations.Get()
	if !known {
		return unseen(f.Destinations.Cause())
	}
	var unasked []string
	for _, uri := range wanted {
		host, _ := dmarc.Host(uri)
		at := slices.IndexFunc(destinations, func(d dmarc.Destination) bool { return d.Host == host })
		switch {
		case at < 0:
			unasked = append(unasked, uri)
		case !destinations[at].External || destinations[at].Agrees:
			return pass("rua=" + strings.Join(rua, ","))
		}
	}
	if len(unasked) > 0 {
		return unseen(strings.Join(unasked, ",") + " was not asked for its consent")
	}
	return fail(strings.Join(wanted, ",") + " has not agreed to get reports: receivers send none")
}

// dmarcConsent wants the consent of other organizations to get the reports (RFC 9990 §4).
func dmarcConsent(f Facts, _ Want) finding {
	if _, done := dmarcApplies(f); done != nil {
		return *done
	}
	destinations, known := f.Destinations.Get()
	if !known {
		return unseen(f.Destinations.Cause())
	}
	if len(destinations) == 0 {
		return finding{NotApplicable, "no report address"}
	}
	for _, one := range destinations {
		if one.External && !one.Agrees {
			return fail(one.Host + " has not agreed to get reports")
		}
	}
	return pass("all destinations of reports agree")
}
