package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// LintReport is what lint says of manifests. Its form is public: scripts read it.
type LintReport struct {
	Outcome   compliance.Outcome `json:"outcome"`
	Documents []Document         `json:"documents"`
}

// Document is one object of a manifest.
type Document struct {
	File     string    `json:"file"` // "-" is standard input
	Document int       `json:"document"`
	Kind     string    `json:"kind,omitempty"`
	Object   string    `json:"object,omitempty"` // namespace/name
	Findings []Finding `json:"findings"`
	Unknown  []string  `json:"unknown"` // with --online: questions without an answer
}

type linter struct {
	env    Env
	world  world
	files  []string
	online bool
	failOn string
	output string
}

func lintCommand(env Env) *cobra.Command {
	l := linter{env: env}
	cmd := &cobra.Command{
		Use:   "lint -f FILE",
		Short: "Judge manifests before they are applied",
		Long: `Judge manifests before they are applied: what the API server would refuse, and what is wrong with the
records that a MailDomain stands for. It needs no network; --online adds what DNS shows: the cost of includes,
consent to reports, MX hosts. Objects of other kinds are passed over.

Exit code 0: nothing that --fail-on names was found; 1: something was; 3: with --online, something could not
be found out; 64: the command could not be run.`,
		Example: `  maildomain lint -f maildomain.yaml
  kubectl kustomize . | maildomain lint -f - --fail-on warning`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	set := cmd.Flags()
	set.StringSliceVarP(&l.files, "filename", "f", nil, "`files` to read, with several documents each; - is standard input")
	set.BoolVar(&l.online, "online", false, "ask DNS too")
	set.StringVar(&l.failOn, "fail-on", "error", "findings that fail: error, warning or never")
	set.StringVarP(&l.output, "output", "o", "table", "`format`: table, json or yaml")
	l.world.flags(cmd)
	complete(cmd, "output", formats)
	complete(cmd, "fail-on", []string{"error", "warning", "never"})
	return cmd
}

func (l *linter) run(ctx context.Context) error {
	switch {
	case len(l.files) == 0:
		return errors.New("-f is empty: name a file, or - for standard input")
	case severities[l.failOn] == nil:
		return fmt.Errorf("--fail-on is %q, want error, warning or never", l.failOn)
	case !slices.Contains(formats, l.output):
		return fmt.Errorf("-o is %q, want one of %s", l.output, strings.Join(formats, ", "))
	}
	if l.online {
		if err := l.world.open(); err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.world.timeout)
		defer cancel()
	}
	report := LintReport{Outcome: compliance.Pass, Documents: []Document{}}
	for _, file := range l.files {
		list, err := l.read(file)
		if err != nil {
			return fmt.Errorf("-f %s: %w", file, err)
		}
		for _, m := range list {
			if d, ours, err := l.judge(ctx, m); err != nil {
				return err
			} else if ours {
				d.File, d.Document = file, m.document
				report.Documents = append(report.Documents, d)
			}
		}
	}
	for _, d := range report.Documents {
		report.Outcome = worse(report.Outcome, outcome(Report{Findings: d.Findings, Unknown: d.Unknown}, severities[l.failOn]))
	}
	if err := write(l.env.Stdout, l.output, report, report.table); err != nil {
		return err
	}
	return exitOf(report.Outcome)
}

func worse(a, b compliance.Outcome) compliance.Outcome {
	return verdictOrder[min(slices.Index(verdictOrder, a), slices.Index(verdictOrder, b))]
}

func (l *linter) read(file string) ([]manifest, error) {
	if file == "-" {
		return readManifests(l.env.Stdin)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readManifests(f)
}

// judge judges one object; ours is that it is one of our kinds, or can't be read.
func (l *linter) judge(ctx context.Context, m manifest) (d Document, ours bool, err error) {
	d = Document{Findings: []Finding{}, Unknown: []string{}}
	if m.err != nil {
		d.Findings = append(d.Findings, findingOf("", manifestRules.Find("MANIFEST-SYNTAX", "%v", m.err)))
		return d, true, nil
	}
	gvk := m.object.GroupVersionKind()
	if gvk.Group != v1alpha1.GroupVersion.Group {
		return d, false, nil
	}
	known, err := kinds()
	if err != nil {
		return d, false, err
	}
	d.Kind, d.Object = gvk.Kind, strings.TrimPrefix(m.object.GetNamespace()+"/"+m.object.GetName(), "/")
	k, ok := known[gvk.Kind]
	if !ok || gvk.Version != v1alpha1.GroupVersion.Version {
		d.Findings = append(d.Findings, findingOf("kind", manifestRules.Find("MANIFEST-INVALID", "there is no %s", gvk)))
		return d, true, nil
	}
	for _, f := range k.judge(context.WithoutCancel(ctx), m.object.Object) {
		d.Findings = append(d.Findings, findingOf("", f))
	}
	if gvk.Kind != "MailDomain" {
		return d, true, nil
	}
	var md v1alpha1.MailDomain
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m.object.Object, &md); err != nil {
		if len(d.Findings) == 0 {
			d.Findings = append(d.Findings, findingOf("", manifestRules.Find("MANIFEST-INVALID", "%v", err)))
		}
		return d, true, nil
	}
	wished := wish{md: &md}
	if l.online {
		wished.world = &l.world
	}
	wished.judge(ctx)
	d.Findings = append(d.Findings, wished.findings...)
	d.Unknown = append(d.Unknown, wished.unknown...)
	order := []lint.Severity{lint.Error, lint.Warning, lint.Info}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int { return slices.Index(order, a.Severity) - slices.Index(order, b.Severity) })
	return d, true, nil
}

// table prints the report for people.
func (r LintReport) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range r.Documents {
		fmt.Fprintf(w, "%s, document %d: %s\n", plain(d.File), d.Document, plain(strings.TrimSpace(d.Kind+" "+d.Object)))
		for _, f := range d.Findings {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s: %s\n", f.Severity, f.Code, plain(f.Name), plain(f.Message), f.Mend)
		}
		for _, u := range d.Unknown {
			fmt.Fprintf(w, "  unknown\t\t\t%s\n", plain(u))
		}
	}
	fmt.Fprintf(w, "%s: %d objects\n", r.Outcome, len(r.Documents))
	_ = w.Flush() // as with Fprint, who reads has gone
}
