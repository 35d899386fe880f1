package cli

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/survey"
)

// Report is what check says of a domain. Its form is public: scripts read it.
type Report struct {
	Domain    string              `json:"domain"`
	Outcome   compliance.Outcome  `json:"outcome"`
	Baselines []compliance.Result `json:"baselines"`
	Findings  []Finding           `json:"findings"`
	// Unknown are questions without an answer, so that findings may be missing.
	Unknown []string `json:"unknown"`
	// Observed is for a later check: what shows only over time.
	Observed Observed `json:"observed"`
}

// Finding is a rule that the domain breaks; docs/lint.md has all of them.
type Finding struct {
	Code     string        `json:"code"`
	Severity lint.Severity `json:"severity"`
	Name     string        `json:"name"` // where: a DNS name, or a field of a manifest
	Message  string        `json:"message"`
	Mend     string        `json:"mend"`
	Source   string        `json:"source"`
}

func findingOf(name string, f lint.Finding) Finding {
	return Finding{Code: f.Code, Severity: f.Severity, Name: name, Message: f.Message, Mend: f.Mend, Source: f.Source}
}

// severities are what --fail-on takes, and which findings then fail.
var severities = map[string][]lint.Severity{
	"error":   {lint.Error},
	"warning": {lint.Error, lint.Warning},
	"never":   {},
}

type check struct {
	env       Env
	world     world
	selectors []string
	baselines []string
	keyFiles  []string
	starttls  bool
	every     bool
	previous  string
	failOn    string
	output    string
}

func checkCommand(env Env) *cobra.Command {
	c := check{env: env}
	cmd := &cobra.Command{
		Use:   "check DOMAIN",
		Short: "Judge a domain by what DNS and HTTPS show of it",
		Long: `Judge a domain by what DNS and HTTPS show of it: published baselines, and all that lint finds.

DKIM selectors can't be listed: name those that signers use. Exit code 0: every control passes or does not
apply, and nothing that --fail-on names was found; 1: something fails; 3: nothing fails, and something could
not be found out; 64: the command could not be run.`,
		Example: `  maildomain check example.com --selector s1,s2
  maildomain check example.com --selector s1 --baseline NCSC-UK --starttls -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	set := cmd.Flags()
	set.StringSliceVar(&c.selectors, "selector", nil, "DKIM `selectors` that signers use")
	set.StringSliceVar(&c.baselines, "baseline", []string{"GoogleYahooBulkSender"}, "`names` of baselines to judge by, or all; docs/compliance.md has them")
	set.StringSliceVar(&c.keyFiles, "private-key", nil, "`selector=file`: compare the published key with this private key in PEM, which stays here; its selector is in use")
	set.BoolVar(&c.starttls, "starttls", false, "ask MX hosts for TLS too, where port 25 is open from here")
	set.Uint16Var(&c.world.smtpPort, "smtp-port", 25, "`port` of MX hosts; any other is for trials")
	set.BoolVar(&c.every, "every-server", false, "ask each authoritative name server for the keys, whether they agree")
	set.Uint16Var(&c.world.dnsPort, "authoritative-port", 53, "`port` of authoritative name servers; any other is for trials")
	set.StringVar(&c.previous, "previous", "", "JSON `file` of an earlier check of this domain, for what shows only over time")
	set.StringVar(&c.failOn, "fail-on", "error", "findings that fail: error, warning or never")
	set.StringVarP(&c.output, "output", "o", "table", "`format`: table, json or yaml")
	c.world.flags(cmd)
	names := []string{"all"}
	for _, b := range compliance.Baselines() {
		names = append(names, b.Name)
	}
	complete(cmd, "baseline", names)
	complete(cmd, "output", formats)
	complete(cmd, "fail-on", []string{"error", "warning", "never"})
	complete(cmd, "selector", nil)
	return cmd
}

func (c *check) run(ctx context.Context, argument string) error {
	domain, err := domainOf(argument)
	if err != nil {
		return err
	}
	if severities[c.failOn] == nil {
		return fmt.Errorf("--fail-on is %q, want error, warning or never", c.failOn)
	}
	if !slices.Contains(formats, c.output) {
		return fmt.Errorf("-o is %q, want one of %s", c.output, strings.Join(formats, ", "))
	}
	baselines, err := baselinesOf(c.baselines)
	if err != nil {
		return err
	}
	for i, s := range c.selectors {
		if _, err := domainOf(survey.KeyName(s, domain)); err != nil {
			return fmt.Errorf("--selector: %q is not a selector: letters, digits and hyphens, such as s1", s)
		}
		c.selectors[i] = strings.ToLower(s)
	}
	public, err := c.publicKeys(domain)
	if err != nil {
		return err
	}
	c.selectors = distinct(append(c.selectors, slices.Sorted(maps.Keys(public))...))
	if c.every && len(c.selectors) == 0 {
		return errors.New("--every-server asks for keys: name their selectors with --selector")
	}
	if len(c.selectors) > survey.MaxHosts {
		return fmt.Errorf("--selector: %d selectors, want %d at most", len(c.selectors), survey.MaxHosts)
	}
	before, err := c.before(domain)
	if err != nil {
		return err
	}
	if err := c.world.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.world.timeout)
	defer cancel()
	l := c.world.look(domain, c.selectors, c.starttls)
	l.EveryServer = c.every
	l.Gather(ctx)

	report := Report{Domain: domain, Baselines: []compliance.Result{}}
	parked := false
	for _, b := range baselines {
		report.Baselines = append(report.Baselines, compliance.Judge(b, l.Facts))
		parked = parked || b.Name == "M3AAWG-Parked" && len(baselines) == 1
	}
	report.Findings, report.Unknown = l.lint(history{before: before, now: c.env.Now(), public: public, parked: parked})
	report.Observed = l.observe(before, c.env.Now())
	report.Outcome = outcome(report, severities[c.failOn])
	if err := write(c.env.Stdout, c.output, report, report.table); err != nil {
		return err
	}
	return exitOf(report.Outcome)
}

// outcome sums a report up: one fail fails, else one unknown leaves it unknown.
func outcome(r Report, failing []lint.Severity) compliance.Outcome {
	sum := compliance.Pass
	if len(r.Unknown) > 0 {
		sum = compliance.Unknown
	}
	for _, b := range r.Baselines {
		switch b.Outcome {
		case compliance.Fail:
			return compliance.Fail
		case compliance.Unknown:
			sum = compliance.Unknown
		}
	}
	for _, f := range r.Findings {
		if slices.Contains(failing, f.Severity) {
			return compliance.Fail
		}
	}
	return sum
}

func exitOf(o compliance.Outcome) error {
	switch o {
	case compliance.Fail:
		return exit(ExitFail)
	case compliance.Unknown:
		return exit(ExitUnknown)
	}
	return nil
}

func baselinesOf(names []string) (list []compliance.Baseline, err error) {
	known := []string{"all"}
	for _, b := range compliance.Baselines() {
		known = append(known, b.Name)
	}
	for _, name := range names { // also those beside all
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--baseline: there is no %q, want some of %s", name, strings.Join(known, ", "))
		}
	}
	for _, b := range compliance.Baselines() {
		if slices.Contains(names, "all") || slices.Contains(names, b.Name) {
			list = append(list, b)
		}
	}
	return list, nil
}

// distinct leaves out what was there before; nil stays nil.
func distinct(list []string) (out []string) {
	for _, one := range list {
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// publicKeys reads the private keys of --private-key, and keeps their public halves.
func (c *check) publicKeys(domain string) (map[string]crypto.PublicKey, error) {
	public := map[string]crypto.PublicKey{}
	for _, one := range c.keyFiles {
		selector, file, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("--private-key: %q, want selector=file", one)
		}
		selector = strings.ToLower(selector)
		if _, err := domainOf(survey.KeyName(selector, domain)); err != nil {
			return nil, fmt.Errorf("--private-key: %q is not a selector: letters, digits and hyphens, such as s1", selector)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--private-key: %w", err)
		}
		text, err := keys.RecordOf(content)
		if err != nil {
			return nil, fmt.Errorf("--private-key: %s: %w", file, err)
		}
		record, err := dkim.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("--private-key: %s: %w", file, err)
		}
		if public[selector], err = record.Public(); err != nil {
			return nil, fmt.Errorf("--private-key: %s: %w", file, err)
		}
	}
	return public, nil
}

// before reads what an earlier check has seen.
func (c *check) before(domain string) (*Observed, error) {
	if c.previous == "" {
		return nil, nil
	}
	content, err := os.ReadFile(c.previous)
	if err != nil {
		return nil, fmt.Errorf("--previous: %w", err)
	}
	var earlier Report
	if err := json.Unmarshal(content, &earlier); err != nil {
		return nil, fmt.Errorf("--previous: %s is not what check -o json prints: %w", c.previous, err)
	}
	if earlier.Domain != domain {
		return nil, fmt.Errorf("--previous: %s is about %q, want %s", c.previous, earlier.Domain, domain)
	}
	return &earlier.Observed, nil
}

var verdictOrder = []compliance.Outcome{compliance.Fail, compliance.Unknown, compliance.Pass, compliance.NotApplicable}

// table prints the report for people.
func (r Report) table(out io.Writer) {
	fmt.Fprintf(out, "%s: %s\n", r.Domain, r.Outcome)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, b := range r.Baselines {
		fmt.Fprintf(w, "\n%s: %s\n", b.Baseline, b.Outcome)
		list := slices.Clone(b.Verdicts)
		slices.SortStableFunc(list, func(a, b compliance.Verdict) int {
			return slices.Index(verdictOrder, a.Outcome) - slices.Index(verdictOrder, b.Outcome)
		})
		for _, v := range list {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", v.Outcome, v.Control, plain(v.Title), plain(v.Seen))
		}
		for _, n := range b.NotJudged {
			fmt.Fprintf(w, "  not judged\t\t%s\n", n)
		}
	}
	printFindings(w, r.Findings)
	if len(r.Unknown) > 0 {
		fmt.Fprint(w, "\nWithout an answer, so that findings may be missing:\n")
		for _, u := range r.Unknown {
			fmt.Fprintf(w, "  %s\n", plain(u))
		}
	}
	_ = w.Flush() // as with Fprint, who reads has gone
}

func printFindings(w io.Writer, list []Finding) {
	if len(list) == 0 {
		return
	}
	fmt.Fprint(w, "\nFindings:\n")
	for _, f := range list {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s: %s\n", f.Severity, f.Code, plain(f.Name), plain(f.Message), f.Mend)
	}
}
