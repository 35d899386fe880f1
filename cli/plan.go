package cli

import (
	"cmp"
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
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/survey"
)

// Plan is what applying a MailDomain would change in DNS. Its form is public: scripts read it.
type Plan struct {
	Object string `json:"object"` // namespace/name
	Domain string `json:"domain"`
	// Mode is that of spec; with Observe and while suspended nothing is written.
	Mode      v1alpha1.Mode `json:"mode"`
	Suspended bool          `json:"suspended,omitempty"`
	Steps     []PlanStep    `json:"steps"`
	// Unknown is what could not be found out, so that steps may be missing.
	Unknown []string `json:"unknown"`
}

// PlanStep is one difference between what is wanted and what stands.
type PlanStep struct {
	v1alpha1.PlannedChange
	Purpose v1alpha1.RecordPurpose `json:"purpose"`
	Note    string                 `json:"note,omitempty"` // when it is made and by whom, or what is in its way
}

// planConflict: what stands is not the operator's, and stays.
const planConflict v1alpha1.PlanAction = "Conflict"

type planner struct {
	env     Env
	world   world
	cluster cluster
	files   []string
	output  string
}

func planCommand(env Env) *cobra.Command {
	p := planner{env: env}
	cmd := &cobra.Command{
		Use:   "plan [NAME | -f FILE]",
		Short: "Say what applying a MailDomain would change in DNS",
		Long: `Say what applying a MailDomain would change in DNS, of one in the cluster or of a manifest, before anything is
applied. Nothing is written. The records are compared with what the name servers of the zone show.

Whose a record is, only the operator's ledger knows. Of a manifest every record that stands is taken for
another's, which stays unless spec.dns.conflictPolicy is Adopt; of a MailDomain in the cluster those are
its own that its status says it wrote.

Exit code 0: no difference; 2: there is one; 3: none, and something could not be found out; 64: the command
could not be run.`,
		Example: `  maildomain plan -f maildomain.yaml
  maildomain plan example-com -n mail -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.cluster.names,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args) },
	}
	set := cmd.Flags()
	set.StringSliceVarP(&p.files, "filename", "f", nil, "`files` with MailDomains, instead of one in the cluster; - is standard input")
	set.StringVarP(&p.output, "output", "o", "table", "`format`: table, json or yaml")
	set.Uint16Var(&p.world.dnsPort, "authoritative-port", 53, "`port` of authoritative name servers; any other is for trials")
	p.cluster.flags(cmd)
	p.world.flags(cmd)
	complete(cmd, "output", formats)
	return cmd
}

func (p *planner) run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0 && len(p.files) == 0:
		return errors.New("name a MailDomain of the cluster, or a manifest with -f")
	case len(args) > 0 && len(p.files) > 0:
		return errors.New("a name and -f: want one of them")
	case !slices.Contains(formats, p.output):
		return fmt.Errorf("-o is %q, want one of %s", p.output, strings.Join(formats, ", "))
	}
	if err := p.world.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.world.timeout)
	defer cancel()
	list, err := p.read(ctx, args)
	if err != nil {
		return err
	}
	plans := []Plan{}
	for _, md := range list {
		plans = append(plans, p.plan(ctx, md))
	}
	if err := write(p.env.Stdout, p.output, plans, func(w io.Writer) { planTable(w, plans) }); err != nil {
		return err
	}
	return planExit(plans)
}

func planExit(plans []Plan) error {
	code := ExitOK
	for _, p := range plans {
		switch {
		case len(p.Steps) > 0:
			return exit(ExitChanges)
		case len(p.Unknown) > 0:
			code = ExitUnknown
		}
	}
	if code != ExitOK {
		return exit(code)
	}
	return nil
}

// read returns the MailDomain of the cluster, or those of the files.
func (p *planner) read(ctx context.Context, args []string) ([]*v1alpha1.MailDomain, error) {
	if len(args) > 0 {
		if err := p.cluster.open(); err != nil {
			return nil, err
		}
		md, err := p.cluster.get(ctx, args[0])
		return []*v1alpha1.MailDomain{md}, err
	}
	var list []*v1alpha1.MailDomain
	for _, file := range p.files {
		found, err := p.readFile(file)
		if err != nil {
			return nil, fmt.Errorf("-f %s: %w", file, err)
		}
		list = append(list, found...)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("-f %s: there is no MailDomain", strings.Join(p.files, ","))
	}
	return list, nil
}

func (p *planner) readFile(file string) (list []*v1alpha1.MailDomain, err error) {
	in := p.env.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	manifests, err := readManifests(in)
	if err != nil {
		return nil, err
	}
	known, err := kinds()
	if err != nil {
		return nil, err
	}
	for _, m := range manifests {
		if m.err != nil {
			return nil, fmt.Errorf("document %d: %w", m.document, m.err)
		}
		if gvk := m.object.GroupVersionKind(); gvk != v1alpha1.GroupVersion.WithKind("MailDomain") {
			continue
		}
		for _, f := range known["MailDomain"].judge(context.Background(), m.object.Object) {
			return nil, fmt.Errorf("document %d: the API server would refuse it: %s (all of it: maildomain lint)", m.document, f.Message)
		}
		md := &v1alpha1.MailDomain{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m.object.Object, md); err != nil {
			return nil, fmt.Errorf("document %d: %w", m.document, err)
		}
		md.Status = v1alpha1.MailDomainStatus{} // a manifest's is no evidence
		md.Namespace = cmp.Or(md.Namespace, p.cluster.namespace, "default")
		list = append(list, md)
	}
	return list, nil
}

// plan compares one MailDomain with DNS.
func (p *planner) plan(ctx context.Context, md *v1alpha1.MailDomain) Plan {
	d := draft{md: md, Plan: Plan{
		Object: md.Namespace + "/" + md.Name, Domain: md.Spec.Domain, Mode: md.Spec.ModeOrDefault(), Suspended: md.Spec.Suspended(),
		Steps: []PlanStep{}, Unknown: []string{},
	}}
	var mx []string
	if s := md.Spec.MTASTS; s != nil && len(s.MX) == 0 && !thirdParty(md) {
		list, err := p.world.resolver.LookupMX(ctx, md.Spec.Domain)
		if err != nil && !survey.IsNotFound(err) {
			d.missing("spec.mtaSTS names no mx, and the live ones are not known: " + survey.CauseOf(err))
		}
		mx = hostsOf(list)
	}
	list, errs := wantedOf(md, mx)
	for _, err := range errs {
		d.missing(err.Error() + ": what stands stays")
	}
	if held := p.spfHeld(ctx, md); held != "" {
		for i := range list {
			if list[i].Purpose == v1alpha1.PurposeSPF {
				list[i].note = held
			}
		}
	}
	d.seen = p.world.authoritative(ctx, d.keys(list))
	for _, w := range list {
		d.record(w)
	}
	d.policy(p.inForce(ctx, md), mx)
	d.externals()
	for _, key := range missingKeys(md) {
		d.generate(key, p.env)
	}
	for _, key := range droppedKeys(md) {
		d.drop(key)
	}
	d.host()
	d.withdrawals(list)
	return d.Plan
}

// inForce is the policy that senders get, where the operator has announced one.
func (p *planner) inForce(ctx context.Context, md *v1alpha1.MailDomain) compliance.Fact[compliance.Policy] {
	if md.Spec.MTASTS == nil || announced(md) == "" {
		return compliance.Unseen[compliance.Policy]("")
	}
	policy, _ := p.world.survey().Policy(ctx, md.Spec.Domain)
	return policy
}

// spfHeld says why a new SPF record would be held back, as the controllers decide it.
func (p *planner) spfHeld(ctx context.Context, md *v1alpha1.MailDomain) string {
	if md.Spec.SPF == nil || md.Spec.DMARC.EnforcementOrDefault() == v1alpha1.EnforceImmediate {
		return ""
	}
	record, err := records.SPF(md.Spec.SPF)
	if err != nil {
		return ""
	}
	switch analysis := spf.Analyze(ctx, p.world.resolver, md.Spec.Domain, record); {
	case len(analysis.Errors()) > 0:
		return "it is held, as receivers would answer permerror: " + analysis.Errors()[0].Message
	case len(analysis.Unanswered) > 0:
		return "it is held until it can be evaluated: " + analysis.Unanswered[0]
	}
	return ""
}

var signs = map[v1alpha1.PlanAction]string{
	v1alpha1.PlanCreate: "+", v1alpha1.PlanChange: "~", v1alpha1.PlanRemove: "-", v1alpha1.PlanGenerate: "*", planConflict: "!",
}

// planTable prints plans for people.
func planTable(out io.Writer, plans []Plan) {
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(out)
		}
		mode := "mode " + string(p.Mode)
		if p.Mode == v1alpha1.ModeObserve {
			mode += ", in which nothing is written"
		}
		if p.Suspended {
			mode += ", suspended"
		}
		fmt.Fprintf(out, "%s (%s), %s: %s\n", plain(p.Object), plain(p.Domain), mode, differences(len(p.Steps)))
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, s := range p.Steps {
			fmt.Fprintf(w, "  %s %s\t%s\t%s\n", signs[s.Action], s.Action, s.Type, plain(s.Name))
			_ = w.Flush() // as with Fprint, who reads has gone
			for _, line := range []struct{ sign, text string }{{"- ", quoted(s.Old)}, {"+ ", quoted(s.New)}, {"", s.Note}} {
				if line.text != "" {
					fmt.Fprintf(out, "      %s%s\n", line.sign, plain(line.text))
				}
			}
		}
		if len(p.Unknown) > 0 {
			fmt.Fprint(out, "  Not known, so that steps may be missing:\n")
		}
		for _, u := range p.Unknown {
			fmt.Fprintf(out, "    %s\n", plain(u))
		}
	}
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return `"` + text + `"`
}

func differences(n int) string {
	switch n {
	case 0:
		return "no difference"
	case 1:
		return "1 difference"
	}
	return fmt.Sprintf("%d differences", n)
}
