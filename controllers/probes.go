package controllers

import (
	"context"

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
