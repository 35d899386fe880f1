package controllers

import (
	"context"
	"net/netip"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/probe"
)

// What the operator sees of the world. Package probe has the real eyes; a simulation brings its own.

// Prober asks the authoritative servers of a zone, as probe.Prober does.
type Prober interface {
	Authority(ctx context.Context, name string, nameservers []string) (probe.Authority, error)
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

// MXProber knows whether the hosts of MX records offer STARTTLS with a certificate for their names.
type MXProber interface {
	// Look returns what was seen last and never waits: VerdictUnknown before the first answer and where
	// the host can't be reached. The message is stable while nothing changes.
	Look(host string) (tls v1alpha1.Verdict, message string)
}
