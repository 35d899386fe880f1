package cli

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/survey"
)

// wish is a MailDomain whose records are judged before they are published.
type wish struct {
	md    *v1alpha1.MailDomain
	world *world // nil: DNS is not asked

	findings []Finding
	unknown  []string
}

func (w *wish) add(field string, list []lint.Finding) {
	for _, f := range list {
		w.findings = append(w.findings, findingOf(field, f))
	}
}

func (w *wish) missing(err error) {
	if cause := survey.CauseOf(err); !slices.Contains(w.unknown, cause) {
		w.unknown = append(w.unknown, cause)
	}
}

func (w *wish) judge(ctx context.Context) {
	w.spf(ctx)
	w.dkim(ctx)
	w.dmarc(ctx)
	w.mtasts(ctx)
	if s := w.md.Spec.TLSRPT; s != nil {
		enforced := w.md.Spec.MTASTS != nil && w.md.Spec.MTASTS.Mode == v1alpha1.MTASTSEnforce
		w.add("spec.tlsRPT", tlsrpt.Lint(tlsrpt.Subject{Domain: w.md.Spec.Domain, Texts: []string{records.TLSRPT(s).String()}, Enforced: enforced}))
	}
}

func (w *wish) spf(ctx context.Context) {
	s := w.md.Spec.SPF
	if s == nil {
		return
	}
	record, err := records.SPF(s)
	if err != nil {
		return // the rules of the API have said so, in terms of its fields
	}
	subject := spf.Subject{Domain: w.md.Spec.Domain, Texts: []string{record.String()}}
	if w.world != nil {
		analysis := spf.Analyze(ctx, w.world.resolver, w.md.Spec.Domain, record)
		subject.Analysis = &analysis
		w.unknown = append(w.unknown, analysis.Unanswered...)
	}
	w.add("spec.spf", spf.Lint(subject))
}

// dkim judges the keys of others; those of the operator are made well.
func (w *wish) dkim(ctx context.Context) {
	if w.md.Spec.DKIM == nil {
		return
	}
	earlier := map[string]string{}
	for _, e := range w.md.Spec.DKIM.External {
		texts := []string{e.TXT}
		if e.TXT == "" {
			if w.world == nil {
				continue
			}
			name := survey.KeyName(e.Selector, w.md.Spec.Domain)
			if e.CNAME != "" {
				name = e.CNAME
			}
			var err error
			if texts, err = w.world.resolver.LookupTXT(ctx, name); err != nil && !survey.IsNotFound(err) {
				w.missing(err)
				continue
			}
		}
		field := "spec.dkim.external[" + e.Selector + "]"
		w.add(field, dkim.Lint(dkim.Subject{Texts: texts, InUse: true, Others: earlier}))
		if len(texts) == 1 {
			earlier[field] = texts[0]
		}
	}
}

func (w *wish) dmarc(ctx context.Context) {
	s := w.md.Spec.DMARC
	if s == nil {
		return
	}
	record := records.DMARC(s)
	subject := dmarc.Subject{Texts: []string{record.String()}}
	if w.world != nil {
		w.dmarcOnline(ctx, record, &subject)
	}
	w.add("spec.dmarc", dmarc.Lint(subject))
}

func (w *wish) dmarcOnline(ctx context.Context, record dmarc.Record, subject *dmarc.Subject) {
	found, err := dmarc.Discover(ctx, w.world.resolver, w.md.Spec.Domain)
	if err != nil {
		w.missing(err)
		return
	}
	if found.Organization != w.md.Spec.Domain {
		subject.Organization = found.Organization
	}
	if subject.Destinations, err = dmarc.Destinations(ctx, w.world.resolver, w.md.Spec.Domain, record); err != nil {
		w.missing(err)
		return
	}
	for _, d := range subject.Destinations {
		switch takes, err := w.world.survey().TakesMail(ctx, d.Host); {
		case err != nil:
			w.missing(err)
		case !takes:
			subject.NoMX = append(subject.NoMX, d.Host)
		}
	}
}

func (w *wish) mtasts(ctx context.Context) {
	s := w.md.Spec.MTASTS
	if s == nil || s.HostingOrDefault() == v1alpha1.HostingExternal {
		return // whose policy it is, is another's to say
	}
	subject := mtasts.Subject{NoReports: w.md.Spec.TLSRPT == nil}
	live := []string{"mx." + w.md.Spec.Domain} // in place of the live ones, which are not asked for
	if w.world != nil {
		switch list, err := w.world.resolver.LookupMX(ctx, w.md.Spec.Domain); {
		case survey.IsNotFound(err): // there are none to compare with
		case err != nil:
			w.missing(err)
		default:
			live = hostsOf(list)
			subject.MX = live
		}
	}
	policy := records.MTASTSPolicy(s, live)
	subject.Texts = []string{mtasts.Record{ID: policy.ID()}.String()}
	subject.Served = &mtasts.Served{Body: policy.String(), ContentType: "text/plain"}
	w.add("spec.mtaSTS", mtasts.Lint(subject))
}

func hostsOf(list []*net.MX) []string {
	hosts := []string{}
	for _, mx := range list {
		if host := strings.TrimSuffix(mx.Host, "."); host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
