package controllers

import (
	"context"
	"iter"
	"net/netip"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/survey"
)

// What the operator sees of the world. Package probe has the real eyes; a simulation brings its own.

// Prober asks the authoritative servers of a zone, as probe.Prober does.
type Prober interface {
	Authority(ctx context.Context, name string, nameservers []string) (probe.Authority, error)
	Ask(ctx context.Context, a probe.Authority, name, rrtype string) []probe.Answer
}

// ServerProber asks single servers of a zone, as probe.Prober does.
type ServerProber interface {
	InTurn(ctx context.Context, apex string, nameservers []string, turn uint64) iter.Seq2[probe.Server, error]
	Ask(ctx context.Context, a probe.Authority, name, rrtype string) []probe.Answer
}

// PolicyFetcher gets MTA-STS policies as a sender would, as probe.PolicyFetcher does.
type PolicyFetcher interface {
	Fetch(ctx context.Context, domain string) (probe.PolicyAnswer, error)
}

// ReplicaFetcher gets the policy of a domain from given addresses, as probe.PolicyFetcher does.
type ReplicaFetcher interface {
	FetchFrom(ctx context.Context, domain string, targets []netip.AddrPort) (probe.PolicyAnswer, error)
}

// eyes are those of one pass, whose parts must not contradict each other: they ask a question once. A simulation's ask each time.
func (r *Reconciler) eyes() (spf.Resolver, Prober) {
	resolver, prober := r.Resolver, r.Prober
	if real, ok := resolver.(*probe.Resolver); ok {
		resolver = real.Once()
	}
	if real, ok := prober.(*probe.Prober); ok {
		prober = real.Once()
	}
	return resolver, prober
}

// MXProber knows what the hosts of MX records offer, as probe.MXWatch does.
type MXProber interface {
	// Look returns what was seen last, and never waits; known is false before the first answer. tenant is
	// the namespace that it is for.
	Look(tenant, host string) (seen probe.MXSeen, known bool)
}

// Surveyor knows how domains do by baselines, as survey.Watch does.
type Surveyor interface {
	// Look returns how the domain did last, and never waits; known is false before the first answer to
	// the question. tenant is the namespace that it is for, and key says who of it asks.
	Look(tenant, key string, q survey.Question) (seen survey.Verdicts, known bool)
}

// mxVerdicts are probe's verdicts in the words of the API.
var mxVerdicts = map[probe.MXVerdict]v1alpha1.Verdict{
	probe.MXPass: v1alpha1.VerdictPass, probe.MXFail: v1alpha1.VerdictFail, probe.MXUnknown: v1alpha1.VerdictUnknown,
}
