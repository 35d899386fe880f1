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
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
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
	if s := md.Spec.MTASTS; s != nil && len(s.MX) == 0 && s.HostingOrDefault() != v1alpha1.HostingExternal {
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
	d.externals()
	for _, key := range missingKeys(md) {
		d.generate(key, p.env)
	}
	d.host()
	d.withdrawals(list)
	return d.Plan
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

// draft is a plan in the making. All but the asking of DNS is pure.
type draft struct {
	Plan
	md   *v1alpha1.MailDomain
	seen map[dnsprovider.Key]answers
}

func (d *draft) missing(what string) {
	if !slices.Contains(d.Unknown, what) {
		d.Unknown = append(d.Unknown, what)
	}
}

// keys are the places that have to be looked at.
func (d *draft) keys(list []wanted) []dnsprovider.Key {
	var all []dnsprovider.Key
	for _, w := range list {
		all = append(all, w.Key)
	}
	if s := d.md.Spec.DKIM; s != nil {
		for _, e := range s.External {
			all = append(all, records.DKIMSlot(d.md.Spec.Domain, e.Selector).Key)
		}
	}
	if d.md.Spec.MTASTS != nil {
		all = append(all, dnsprovider.HostKeys(records.MTASTSHost(d.md.Spec.Domain))...)
	}
	for _, r := range d.md.Status.Records {
		all = append(all, dnsprovider.Key{Name: r.Name, Type: r.Type})
	}
	slices.SortFunc(all, func(a, b dnsprovider.Key) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	return slices.Compact(all)
}

// record compares one TXT record.
func (d *draft) record(w wanted) {
	set, unknown := d.seen[w.Key].rrset(w.Key)
	if unknown != "" {
		d.missing(unknown)
		return
	}
	if w.value == "" { // of the words it can only be said whether something fits
		d.unvalued(w, set)
		return
	}
	decision := dnsprovider.Decide(w.Slot.Slot, dnsprovider.Wish{Value: w.value, Adopt: d.adopts()}, set, d.owned(w.Slot, set))
	d.decided(w, set, decision)
}

func (d *draft) decided(w wanted, set dnsprovider.RRset, decision dnsprovider.Decision) {
	switch decision.Verb {
	case dnsprovider.Conflict:
		for _, foreign := range decision.Foreign {
			d.conflict(w, foreign, "it is another's and stays: remove it, or set spec.dns.conflictPolicy: Adopt")
		}
	case dnsprovider.Blocked:
		d.conflict(w, "CNAME "+set.Alias, "an alias occupies the name, so nothing else can stand there: remove it, or publish the record at its target")
	}
	for _, step := range records.Planned(decision.Change) {
		d.Steps = append(d.Steps, PlanStep{PlannedChange: step, Purpose: w.Purpose, Note: w.note})
	}
}

func (d *draft) conflict(w wanted, old, note string) {
	d.Steps = append(d.Steps, PlanStep{
		PlannedChange: v1alpha1.PlannedChange{Action: planConflict, Name: w.Name, Type: w.Type, Old: old, New: w.value}, Purpose: w.Purpose, Note: note,
	})
}

// unvalued compares a record of which only its kind is known.
func (d *draft) unvalued(w wanted, set dnsprovider.RRset) {
	if set.Alias != "" {
		d.decided(w, set, dnsprovider.Decision{Verb: dnsprovider.Blocked})
		return
	}
	var standing []string
	for _, value := range set.Values() {
		if w.Is(value) {
			standing = append(standing, value)
		}
	}
	switch {
	case len(standing) == 1 && w.fits(standing[0]):
	case len(standing) == 0:
		d.Steps = append(d.Steps, PlanStep{PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanCreate, Name: w.Name, Type: w.Type}, Purpose: w.Purpose, Note: w.words})
	default:
		for _, value := range standing {
			if !w.fits(value) {
				d.conflict(w, value, "it is not "+w.words)
			}
		}
	}
}

// adopts: what stands is taken over; without a provider a human, whose it is, is told what to make of it.
func (d *draft) adopts() bool {
	return d.md.Spec.Manual() || d.md.Spec.DNS.ConflictPolicyOrDefault() == v1alpha1.ConflictAdopt
}

// owned is what the operator wrote at a slot, by what status says: only there where it may write at all.
func (d *draft) owned(slot records.Slot, set dnsprovider.RRset) (owned []dnsprovider.Owned) {
	if !d.wrote(slot.Key, slot.Purpose) {
		return nil
	}
	for _, value := range set.Values() {
		if slot.Is(value) {
			owned = append(owned, dnsprovider.Owned{Value: value, Settled: true})
		}
	}
	return owned
}

// wrote reports whether status says that the record is the operator's work.
func (d *draft) wrote(key dnsprovider.Key, purpose v1alpha1.RecordPurpose) bool {
	ready := meta.FindStatusCondition(d.md.Status.Conditions, v1alpha1.ConditionReady)
	if d.md.Spec.Manual() || ready == nil || ready.Reason == v1alpha1.ReasonObserving || ready.Reason == v1alpha1.ReasonDomainNotClaimed {
		return false
	}
	return slices.ContainsFunc(d.md.Status.Records, func(r v1alpha1.RecordStatus) bool {
		return r.Name == key.Name && r.Type == key.Type && r.Purpose == purpose &&
			(r.State == v1alpha1.RecordVerified || r.State == v1alpha1.RecordPublished || r.State == v1alpha1.RecordWithdrawing)
	})
}

// externals compares the records of keys that others hold.
func (d *draft) externals() {
	if d.md.Spec.DKIM == nil {
		return
	}
	for _, e := range d.md.Spec.DKIM.External {
		if e.VerifiesOnly() {
			continue
		}
		slot := records.DKIMSlot(d.md.Spec.Domain, e.Selector)
		set, unknown := d.seen[slot.Key].rrset(slot.Key)
		if unknown != "" {
			d.missing(unknown)
			continue
		}
		w := valued(slot, e.TXT, "this version does not publish external selectors: publish it by hand")
		switch {
		case e.CNAME == "":
			d.decided(w, set, dnsprovider.Decide(slot.Slot, dnsprovider.Wish{Value: e.TXT, Adopt: d.adopts()}, set, nil))
		case set.Alias != e.CNAME:
			w.Type, w.value = dnsprovider.TypeCNAME, e.CNAME
			for _, value := range set.Values() {
				d.conflict(w, "TXT "+value, "no alias can stand beside it")
			}
			if len(set.Records) == 0 {
				action := v1alpha1.PlanCreate
				if set.Alias != "" {
					action = v1alpha1.PlanChange
				}
				d.Steps = append(d.Steps, PlanStep{PlannedChange: v1alpha1.PlannedChange{Action: action, Name: w.Name, Type: w.Type, Old: set.Alias, New: e.CNAME}, Purpose: w.Purpose, Note: w.note})
			}
		}
	}
}

// generate plans a key that is yet to be made. Its selector is the next one of today, as far as is known.
func (d *draft) generate(key v1alpha1.DKIMKey, env Env) {
	taken := func(selector string) bool {
		name := records.DKIMSlot(d.md.Spec.Domain, selector).Name
		return slices.ContainsFunc(d.Steps, func(s PlanStep) bool { return s.Name == name }) ||
			d.md.Status.DKIM != nil && slices.ContainsFunc(d.md.Status.DKIM.Keys, func(k v1alpha1.DKIMKeyStatus) bool { return k.Selector == selector })
	}
	if key.Import != nil {
		d.Steps = append(d.Steps, PlanStep{
			PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanGenerate, Name: records.DKIMSlot(d.md.Spec.Domain, key.Import.Selector).Name, Type: dnsprovider.TypeTXT},
			Purpose:       v1alpha1.PurposeDKIM, Note: fmt.Sprintf("key %s is imported, and its record written unless it stands", key.Name),
		})
		return
	}
	selector := keys.NewSelector(d.md.Spec.DKIM.SelectorOrDefault(), env.Now(), taken)
	d.Steps = append(d.Steps, PlanStep{
		PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanGenerate, Name: records.DKIMSlot(d.md.Spec.Domain, selector).Name, Type: dnsprovider.TypeTXT},
		Purpose:       v1alpha1.PurposeDKIM, Note: fmt.Sprintf("key %s is made, under a selector such as this", key.Name),
	})
}

// host compares where the policy host leads.
func (d *draft) host() {
	targets, known, err := hostOf(d.md)
	name := records.MTASTSHost(d.md.Spec.Domain)
	switch {
	case err != nil:
		d.missing("spec.mtaSTS.address: " + err.Error())
		return
	case known && len(targets) == 0:
		return
	}
	var sets []dnsprovider.RRset
	var owned [][]dnsprovider.Owned
	for _, key := range dnsprovider.HostKeys(name) {
		set, unknown := d.seen[key].rrset(key)
		if unknown != "" {
			d.missing(unknown)
			return
		}
		if key.Type != dnsprovider.TypeCNAME {
			set.Alias = "" // it is the record of the first key
		}
		var ours []dnsprovider.Owned
		if d.wrote(key, v1alpha1.PurposeMTASTSAddress) {
			for _, value := range set.Values() {
				ours = append(ours, dnsprovider.Owned{Value: value, Settled: true})
			}
		}
		sets, owned = append(sets, set), append(owned, ours)
	}
	if !known {
		if !slices.ContainsFunc(sets, func(s dnsprovider.RRset) bool { return len(s.Records) > 0 }) {
			d.missing(name + " has no address: with spec.mtaSTS.address.type Auto the operator writes that of its mta-sts Service, if it knows it")
		}
		return
	}
	decision := dnsprovider.DecideHost(dnsprovider.HostWish{Targets: targets, Adopt: d.adopts()}, sets, owned)
	for _, foreign := range decision.Foreign {
		kind, value, _ := strings.Cut(foreign, " ")
		d.Steps = append(d.Steps, PlanStep{
			PlannedChange: v1alpha1.PlannedChange{Action: planConflict, Name: name, Type: kind, Old: value}, Purpose: v1alpha1.PurposeMTASTSAddress,
			Note: "it is another's and stays: remove it, or set spec.dns.conflictPolicy: Adopt",
		})
	}
	if decision.Verb == dnsprovider.Blocked {
		d.Steps = append(d.Steps, PlanStep{
			PlannedChange: v1alpha1.PlannedChange{Action: planConflict, Name: name, Type: dnsprovider.TypeCNAME, Old: decision.Alias}, Purpose: v1alpha1.PurposeMTASTSAddress,
			Note: "other records occupy the name",
		})
	}
	for _, change := range decision.Changes {
		for _, step := range records.Planned(change) {
			d.Steps = append(d.Steps, PlanStep{PlannedChange: step, Purpose: v1alpha1.PurposeMTASTSAddress})
		}
	}
}

// withdrawals are the records of status that spec no longer wants. Keys and policies go in their own time,
// as status says.
func (d *draft) withdrawals(list []wanted) {
	for _, r := range d.md.Status.Records {
		key := dnsprovider.Key{Name: r.Name, Type: r.Type}
		still := slices.ContainsFunc(list, func(w wanted) bool { return w.Key == key && w.Purpose == r.Purpose }) ||
			r.Purpose == v1alpha1.PurposeMTASTSAddress && d.md.Spec.MTASTS != nil || r.Purpose == v1alpha1.PurposeClaim
		if still || !d.wrote(key, r.Purpose) {
			continue
		}
		set, unknown := d.seen[key].rrset(key)
		if unknown != "" {
			d.missing(unknown)
			continue
		}
		for _, value := range set.Values() {
			if is := protocols[r.Purpose]; is != nil && !is(value) {
				continue
			}
			d.Steps = append(d.Steps, PlanStep{
				PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanRemove, Name: r.Name, Type: r.Type, Old: value}, Purpose: r.Purpose,
				Note: "spec has it no more: it goes when nobody relies on it",
			})
		}
	}
}

var protocols = map[v1alpha1.RecordPurpose]func(string) bool{
	v1alpha1.PurposeSPF: records.SPFSlot("").Is, v1alpha1.PurposeDKIM: records.DKIMSlot("", "").Is, v1alpha1.PurposeDMARC: records.DMARCSlot("").Is,
	v1alpha1.PurposeMTASTS: records.MTASTSSlot("").Is, v1alpha1.PurposeTLSRPT: records.TLSRPTSlot("").Is,
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
