package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/survey"
)

type importer struct {
	env             Env
	world           world
	selectors       []string
	name, namespace string

	spec v1alpha1.MailDomainSpec
	left []string // what the spec does not say, each with the reason
}

func importCommand(env Env) *cobra.Command {
	i := importer{env: env}
	cmd := &cobra.Command{
		Use:   "import DOMAIN",
		Short: "Print the MailDomain that says what DNS has now",
		Long: `Print the MailDomain that says what DNS has now, ready to apply: with mode Observe it changes nothing.

What the API can't say, or what could not be found out, is printed as comments, with the reason. DKIM selectors
can't be listed: name those in use. Their keys become external ones, as others hold the private halves; so
does the MTA-STS policy, which another host serves.

Exit code 0: all that was found is in the MailDomain; 3: something is in the comments; 64: the command could
not be run.`,
		Example: `  maildomain import example.com --selector s1,s2 --namespace mail > example-com.yaml`,
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return i.run(cmd.Context(), args[0]) },
	}
	set := cmd.Flags()
	set.StringSliceVar(&i.selectors, "selector", nil, "DKIM `selectors` that signers use")
	set.StringVar(&i.name, "name", "", "`name` of the MailDomain; without: the domain, with hyphens for dots")
	set.StringVarP(&i.namespace, "namespace", "n", "", "`namespace` of the MailDomain; without: none is written")
	i.world.flags(cmd)
	complete(cmd, "selector", nil)
	complete(cmd, "name", nil)
	complete(cmd, "namespace", nil)
	return cmd
}

func (i *importer) run(ctx context.Context, argument string) error {
	domain, err := domainOf(argument)
	if err != nil {
		return err
	}
	if reason := refused(v1alpha1.MailDomainSpec{Domain: domain}); reason != "" {
		return errors.New(reason)
	}
	if len(i.selectors) > survey.MaxHosts {
		return fmt.Errorf("--selector: %d selectors, want %d at most", len(i.selectors), survey.MaxHosts)
	}
	for n, s := range i.selectors {
		if _, err := domainOf(survey.KeyName(s, domain)); err != nil {
			return fmt.Errorf("--selector: %q is not a selector: letters, digits and hyphens, such as s1", s)
		}
		i.selectors[n] = strings.ToLower(s)
	}
	if err := i.world.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, i.world.timeout)
	defer cancel()
	l := i.world.look(domain, i.selectors, false)
	l.Gather(ctx)
	i.express(ctx, l)
	if err := i.print(i.env.Stdout); err != nil {
		return err
	}
	if len(i.left) > 0 {
		return exit(ExitUnknown)
	}
	return nil
}

// leave notes what the spec does not say. A stranger's text in it stays on its line.
func (i *importer) leave(name, reason string) {
	if reason != "" {
		i.left = append(i.left, plain(name+": "+reason))
	}
}

// express fills the spec with what was seen.
func (i *importer) express(ctx context.Context, l *look) {
	domain := l.Domain
	i.spec = v1alpha1.MailDomainSpec{Domain: domain, Mode: v1alpha1.ModeObserve}
	if texts, ok := i.texts(ctx, l, domain, l.DomainTexts); ok {
		var reason string
		i.spec.SPF, reason = expressSPF(domain, texts)
		i.leave(domain, reason)
	}
	if texts, ok := i.texts(ctx, l, "_dmarc."+domain, l.DMARCTexts); ok {
		var reason string
		i.spec.DMARC, reason = expressDMARC(domain, texts)
		i.leave("_dmarc."+domain, reason)
	}
	if texts, ok := i.texts(ctx, l, "_smtp._tls."+domain, l.Facts.TLSRPT); ok {
		var reason string
		i.spec.TLSRPT, reason = expressTLSRPT(domain, texts)
		i.leave("_smtp._tls."+domain, reason)
	}
	i.policy(l)
	i.keys(ctx, l)
}

// texts are those at a name, if they are known and the zone's own: what stands behind an alias is
// another's, and the API writes none.
func (i *importer) texts(ctx context.Context, l *look, name string, fact compliance.Fact[[]string]) ([]string, bool) {
	texts, known := fact.Get()
	if !known {
		i.leave(name, fact.Cause())
		return nil, false
	}
	alias, err := l.Resolver.Alias(ctx, name)
	switch {
	case err != nil:
		i.leave(name, survey.CauseOf(err))
	case alias != "":
		i.leave(name, "it is an alias of "+alias+", and the API has none for this record")
	default:
		return texts, true
	}
	return nil, false
}

func (i *importer) policy(l *look) {
	name := "_mta-sts." + l.Domain
	texts, known := l.Facts.MTASTS.Get() // perhaps behind an alias: a third party's may well be (RFC 8461 §8.2)
	if !known {
		i.leave(name, l.Facts.MTASTS.Cause())
	}
	if len(texts) == 0 {
		return
	}
	policy, known := l.Facts.Policy.Get()
	switch {
	case !known:
		i.leave(name, "the policy can't be had: "+l.Facts.Policy.Cause())
		return
	case policy.Failure != "":
		i.leave(name, "there is no policy: "+policy.Failure)
		return
	}
	var reason string
	i.spec.MTASTS, reason = expressMTASTS(l.Domain, texts, policy.Body)
	i.leave(name, reason)
}

func (i *importer) keys(ctx context.Context, l *look) {
	selectors, named := l.Facts.Selectors.Get()
	if !named {
		switch exists, known := l.Facts.KeysBelow.Get(); {
		case !known:
			i.leave("_domainkey."+l.Domain, l.Facts.KeysBelow.Cause())
		case exists:
			i.leave("_domainkey."+l.Domain, "something may stand below, and DNS does not list it: name the selectors in use with --selector")
		}
		return
	}
	var external []v1alpha1.ExternalSelector
	for _, s := range selectors {
		name := survey.KeyName(s.Name, l.Domain)
		texts, known := s.Texts.Get()
		if !known {
			i.leave(name, s.Texts.Cause())
			continue
		}
		e, reason := expressKey(l.Domain, s.Name, texts)
		if i.leave(name, reason); e != nil {
			external = append(external, *e)
		}
	}
	if len(external) > 0 {
		i.spec.DKIM = &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{}, External: external}
	}
}

// print writes the manifest, and above it what it does not say.
func (i *importer) print(w io.Writer) error {
	name := i.name
	if name == "" {
		name = strings.NewReplacer(".", "-", "_", "-").Replace(i.spec.Domain)
	}
	text, err := yaml.Marshal(maildomain(name, i.namespace, i.spec))
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# What DNS has for %s. With mode Observe nothing is written: see status.plan.\n", i.spec.Domain)
	if len(i.left) > 0 {
		b.WriteString("#\n# Not in here, so that it stays as it is:\n")
	}
	for _, left := range i.left {
		fmt.Fprintf(&b, "# - %s\n", left)
	}
	b.Write(text)
	_, err = io.WriteString(w, b.String())
	return err
}
