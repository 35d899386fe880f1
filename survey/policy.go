package survey

import (
	"cmp"
	"context"
	"slices"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
)

func (s *Survey) lookPolicy(ctx context.Context) {
	s.Facts.Policy, s.Mislabelled = s.Policy(ctx, s.Domain)
}

// Policy fetches a domain's policy from each address of the policy host. Who gives no answer may give senders
// one: that is unknown. mislabelled is the policy, where only its media type is wrong.
func (w World) Policy(ctx context.Context, domain string) (policy compliance.Fact[compliance.Policy], mislabelled string) {
	fetcher := &probe.PolicyFetcher{Resolver: w.Resolver, Roots: w.Roots, Port: w.PolicyPort, Timeout: w.Timeout, AllowPrivate: w.AllowPrivate}
	answer, err := fetcher.Fetch(ctx, domain)
	switch {
	case IsNotFound(err):
		return compliance.Seen(compliance.Policy{Failure: "mta-sts." + domain + " has no address"}), ""
	case err != nil:
		return compliance.Unseen[compliance.Policy](CauseOf(err)), ""
	}
	return policyOf(answer)
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
