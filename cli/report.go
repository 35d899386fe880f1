package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// reportFormats are what -o of report takes.
var reportFormats = []string{"table", "json", "yaml", "markdown", "html"}

type reporter struct {
	env     Env
	cluster cluster
	all     bool
	output  string
}

func reportCommand(env Env) *cobra.Command {
	r := reporter{env: env}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Print the evidence for an audit of the cluster's MailDomains",
		Long: `Print the evidence for an audit: for each MailDomain how it does by the baselines of spec.compliance, with what
was seen and when, and by which source; its keys, their ages and rotations; the policy; and findings. It reads
what the operator wrote into status, and asks nobody else.

-o html is one page that needs nothing else: open it, print it or archive it. Exit code 0: no baseline fails; 1: one
does; 3: none does, and one is not known; 64: the command could not be run.`,
		Example: `  maildomain report -A -o html > evidence.html
  maildomain report -n mail`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	set := cmd.Flags()
	set.BoolVarP(&r.all, "all-namespaces", "A", false, "of all namespaces")
	set.StringVarP(&r.output, "output", "o", "table", "`format`: "+strings.Join(reportFormats, ", "))
	r.cluster.flags(cmd)
	complete(cmd, "output", reportFormats)
	return cmd
}

// page bounds what is asked for at once.
const page = 500

func (r *reporter) run(ctx context.Context) error {
	switch {
	case !slices.Contains(reportFormats, r.output):
		return fmt.Errorf("-o is %q, want one of %s", r.output, strings.Join(reportFormats, ", "))
	case r.all && r.cluster.namespace != "":
		return fmt.Errorf("-A and -n %s: want one of them", r.cluster.namespace)
	}
	if err := r.cluster.open(); err != nil {
		return err
	}
	options := []client.ListOption{client.Limit(page)}
	if !r.all {
		options = append(options, client.InNamespace(r.cluster.namespace))
	}
	var all []v1alpha1.MailDomain
	for next := ""; ; {
		var list v1alpha1.MailDomainList
		if err := r.cluster.List(ctx, &list, append(options, client.Continue(next))...); err != nil {
			return fmt.Errorf("listing MailDomains: %w", err)
		}
		all = append(all, list.Items...)
		if next = list.Continue; next == "" {
			break
		}
	}
	e := evidenceOf(all, r.env.Now())
	if err := e.print(r.env.Stdout, r.output); err != nil {
		return err
	}
	return exitOf(e.Outcome)
}

func (e Evidence) print(w io.Writer, format string) error {
	switch format {
	case "markdown":
		return e.markdown(w)
	case "html":
		return e.html(w)
	}
	return write(w, format, e, e.table)
}

// table prints the evidence for people: a line for each domain and baseline, and what fails.
func (e Evidence) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "DOMAIN\tMAILDOMAIN\tREADY\tBASELINE\tVERDICT\tCHECKED\tKEYS\n")
	for _, d := range e.Domains {
		lines := d.Baselines
		if len(lines) == 0 {
			lines = []BaselineEvidence{{Baseline: "-", Verdict: "-"}}
		}
		for i, b := range lines {
			head := []string{"", "", ""}
			keys := ""
			if i == 0 {
				head = []string{plain(d.Domain), plain(d.Object), string(d.Ready.Status)}
				keys = d.signing()
			}
			checked := "-"
			if b.LastChecked != nil {
				checked = b.LastChecked.UTC().Format("2006-01-02 15:04")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.Join(head, "\t"), b.Baseline, b.Verdict, checked+"\t"+keys)
		}
	}
	_ = w.Flush() // as with Fprint, who reads has gone
	for _, d := range e.Domains {
		for _, b := range d.Baselines {
			for _, c := range b.Controls {
				if c.Verdict == v1alpha1.VerdictFail || c.Verdict == v1alpha1.VerdictUnknown {
					fmt.Fprintf(out, "\n%s, %s %s: %s\n  wanted: %s (%s)\n  seen:   %s\n", plain(d.Domain), b.Baseline, c.Control, c.Verdict, c.Title, c.Source, plain(c.Seen))
				}
			}
		}
	}
}

// signing are the keys that sign, and their ages.
func (d DomainEvidence) signing() string {
	var list []string
	for _, k := range d.Keys {
		if k.State == v1alpha1.KeyActive {
			list = append(list, fmt.Sprintf("%s (%s, %d days)", k.Selector, k.Kind, k.AgeDays))
		}
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}
