package cli

import (
	"context"
	"slices"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/survey"
)

// look is a survey that lint judges.
type look struct {
	*survey.Survey
	starttls bool // MX hosts are asked for TLS
}

// survey is the world as surveys ask it.
func (w *world) survey() survey.World {
	return survey.World{
		Resolver: w.resolver, Roots: w.pool, PolicyPort: w.policyPort, DNSPort: w.dnsPort, Timeout: w.timeout, AllowPrivate: w.allowed,
		TLS: func(context.Context, string) compliance.Fact[compliance.TLS] {
			return compliance.Unseen[compliance.TLS]("MX hosts were not asked: use --starttls, where port 25 is open from here")
		},
	}
}

// look is the question about a domain; nobody has been asked yet.
func (w *world) look(domain string, selectors []string, starttls bool) *look {
	in := w.survey()
	if starttls {
		prober := &probe.STARTTLSProber{Resolver: w.resolver, Roots: w.pool, Port: w.smtpPort, Timeout: w.timeout, AllowPrivate: w.allowed}
		in.TLS = func(ctx context.Context, host string) compliance.Fact[compliance.TLS] {
			return survey.TLSOf(prober.Probe(ctx, host))
		}
	}
	return &look{starttls: starttls, Survey: &survey.Survey{
		World: in, Domain: domain, Selectors: selectors, NoSelectors: "name those in use with --selector",
	}}
}

// announcedID is the id of the one MTA-STS record; "" if there is none.
func announcedID(texts []string) string {
	records := slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !mtasts.IsRecord(t) })
	if len(records) != 1 {
		return ""
	}
	r, err := mtasts.ParseRecord(records[0])
	if err != nil {
		return ""
	}
	return r.ID
}
