package compliance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
)

// only returns the one record among texts; else done says why there is none.
func only(texts Fact[[]string], what string, is func(string) bool) (record string, done *finding) {
	list, known := texts.Get()
	if !known {
		f := unseen(texts.Cause())
		return "", &f
	}
	records := slices.DeleteFunc(slices.Clone(list), func(text string) bool { return !is(text) })
	if len(records) != 1 {
		f := fail(fmt.Sprintf("%d %s records, want one", len(records), what))
		return "", &f
	}
	return records[0], nil
}

// mtaSTS wants a policy that is announced, served, of one of the modes, and that names each MX host
// (RFC 8461). What is known to be wrong fails it, whatever else is unknown.
func mtaSTS(f Facts, want Want) finding {
	mx, mxKnown := f.MX.Get()
	if mxKnown && len(mx.Hosts) == 0 {
		return finding{NotApplicable, "the domain takes no mail"}
	}
	found := []finding{announced(f), served(f, want)}
	switch policy, known := f.Policy.Get(); {
	case !mxKnown: // a domain that takes no mail needs no policy
		return unseen(f.MX.Cause())
	case known:
		found = append(found, covered(policy, mx))
	}
	return all(found...)
}

func announced(f Facts) finding {
	text, done := only(f.MTASTS, "MTA-STS", mtasts.IsRecord)
	if done != nil {
		return *done
	}
	if _, err := mtasts.ParseRecord(text); err != nil {
		return fail(err.Error())
	}
	return pass(text)
}

func served(f Facts, want Want) finding {
	p, known := f.Policy.Get()
	if !known {
		return unseen(f.Policy.Cause())
	}
	policy, failure := p.read()
	switch {
	case failure != "":
		return fail("the policy: " + failure)
	case !slices.Contains(want.Modes, string(policy.Mode)):
		return fail(fmt.Sprintf("mode %s, want %s", policy.Mode, strings.Join(want.Modes, " or ")))
	case policy.MaxAge <= 0:
		return fail("max_age 0: no sender holds the policy")
	}
	return pass(fmt.Sprintf("mode %s for %d s", policy.Mode, int64(policy.MaxAge.Seconds())))
}

func covered(p Policy, mx MX) finding {
	policy, failure := p.read()
	if failure != "" {
		return fail("the policy: " + failure)
	}
	for _, host := range mx.Hosts {
		if !policy.Covers(host.Name) {
			return fail("the policy does not name " + host.Name)
		}
	}
	return pass("the policy names each MX host")
}

// tlsRPT wants one record that can be read (RFC 8460).
func tlsRPT(f Facts, _ Want) finding {
	text, done := only(f.TLSRPT, "TLS-RPT", tlsrpt.IsRecord)
	if done != nil {
		return *done
	}
	if _, err := tlsrpt.Parse(text); err != nil {
		return fail(err.Error())
	}
	return pass(text)
}
