package survey

import (
	"cmp"
	"context"
	"slices"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
)

// lookPolicy fetches the policy from each address of the policy host. Who gives no answer may give
// senders one: that is unknown.
func (s *Survey) lookPolicy(ctx context.Context) {
	fetcher := &probe.PolicyFetcher{Resolver: s.Resolver, Roots: s.Roots, Port: s.PolicyPort, Timeout: s.Timeout, AllowPrivate: s.AllowPrivate}
	answer, err := fetcher.Fetch(ctx, s.Domain)
	switch {
	case IsNotFound(err):
		s.Facts.Policy = compliance.Seen(compliance.Policy{Failure: "mta-sts." + s.Domain + " has no address"})
		return
	case err != nil:
		s.Facts.Policy = compliance.Unseen[compliance.Policy](CauseOf(err))
		return
	}
	s.Facts.Policy, s.Mislabelled = policyOf(answer)
}

func policyOf(a probe.PolicyAnswer) (policy compliance.Fact[compliance.Policy], mislabelled string) {
	var bodies []string
	silent := ""
	for _, r := range a.Results {
		at := r.Addr.Addr().String() + ": " + r.Detail
		switch r.Outcome {
		case probe.PolicyServed:
			if !slices.Contains(bodies, r.Body) {
				bodies = append(bodies, r.Body)
			}
		case probe.PolicyNoAnswer:
			silent = at
		case probe.PolicyUnroutable:
			silent = cmp.Or(silent, at)
		default:
			return compliance.Seen(compliance.Policy{Failure: at}), r.Mislabelled
		}
	}
	unroutableOnly := !slices.ContainsFunc(a.Results, func(r probe.PolicyResult) bool { return r.Outcome == probe.PolicyNoAnswer })
	switch {
	case len(bodies) > 1:
		return compliance.Seen(compliance.Policy{Failure: "the addresses serve different policies"}), ""
	case len(bodies) == 1 && unroutableOnly:
		return compliance.Seen(compliance.Policy{Body: bodies[0]}), ""
	}
	return compliance.Unseen[compliance.Policy]("the policy host gives no answer: " + silent), ""
}
