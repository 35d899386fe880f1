package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// Chain is one MailDomain, from what is wanted to what the world sees. Its form is public: scripts read it.
type Chain struct {
	Object  string             `json:"object"` // namespace/name
	Domain  string             `json:"domain"`
	Outcome compliance.Outcome `json:"outcome"`
	// Ready is the condition, as the operator last wrote it. Stale: spec has changed since.
	Ready Condition `json:"ready"`
	Stale bool      `json:"stale,omitempty"`
	// WaitsFor are the conditions that are not True.
	WaitsFor   []Condition                 `json:"waitsFor"`
	Records    []Link                      `json:"records"`
	Keys       []v1alpha1.DKIMKeyStatus    `json:"keys"`
	Rotation   *metav1.Time                `json:"nextRotation,omitempty"`
	Policy     *v1alpha1.MTASTSStatus      `json:"policy,omitempty"`
	Compliance []v1alpha1.ComplianceStatus `json:"compliance,omitempty"`
}

// Condition is one of the MailDomain's.
type Condition struct {
	Type    string                 `json:"type"`
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason,omitempty"`
	Message string                 `json:"message,omitempty"`
}

// Link is one record, and how far it is.
type Link struct {
	Name    string                 `json:"name"`
	Type    string                 `json:"type"`
	Purpose v1alpha1.RecordPurpose `json:"purpose"`
	Wanted  string                 `json:"wanted"` // in words where only the ledger has the value
	// Operator is what the operator last made of it: what it wrote and read back at the provider, or
	// why it did not. Empty: it has not come to it yet.
	Operator Operated  `json:"operator"`
	Servers  []Witness `json:"servers"`
	Resolver Witness   `json:"resolver"`
}

// Operated is the operator's word on a record.
type Operated struct {
	State   v1alpha1.RecordState `json:"state,omitempty"`
	Reason  string               `json:"reason,omitempty"`
	Message string               `json:"message,omitempty"`
}

// Sight is what somebody who was asked has.
type Sight string

const (
	SightServes  Sight = "serves"  // what is wanted, and nothing else of its protocol
	SightDiffers Sight = "differs" // something else
	SightNothing Sight = "nothing"
	SightUnknown Sight = "unknown" // no answer
)

// Witness is one address of a name server, or the resolver.
type Witness struct {
	Server string   `json:"server"`
	Addr   string   `json:"addr,omitempty"`
	Sight  Sight    `json:"sight"`
	Values []string `json:"values"`          // what stands there of the protocol, if it differs
	Cause  string   `json:"cause,omitempty"` // why nothing is known
}

type statusOf struct {
	env     Env
	world   world
	cluster cluster
	output  string
}

func statusCommand(env Env) *cobra.Command {
	s := statusOf{env: env}
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Follow a MailDomain from spec to what the world sees",
		Long: `Follow a MailDomain from spec to what the world sees: for each record what is wanted, what the operator made
of it, and what each name server of the zone and the resolver have now; the keys; the policy; and what it waits for.

Exit code 0: it is Ready, and everybody who was asked serves it; 1: it is not Ready, or somebody serves
something else; 3: that could not be found out; 64: the command could not be run.`,
		Example: `  maildomain status example-com -n mail
  maildomain status example-com -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.cluster.names,
		RunE:              func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args[0]) },
	}
	set := cmd.Flags()
	set.StringVarP(&s.output, "output", "o", "table", "`format`: table, json or yaml")
	set.Uint16Var(&s.world.dnsPort, "authoritative-port", 53, "`port` of authoritative name servers; any other is for trials")
	s.cluster.flags(cmd)
	s.world.flags(cmd)
	complete(cmd, "output", formats)
	return cmd
}

func (s *statusOf) run(ctx context.Context, name string) error {
	if !slices.Contains(formats, s.output) {
		return fmt.Errorf("-o is %q, want one of %s", s.output, strings.Join(formats, ", "))
	}
	if err := s.world.open(); err != nil {
		return err
	}
	if err := s.cluster.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.world.timeout)
	defer cancel()
	md, err := s.cluster.get(ctx, name)
	if err != nil {
		return err
	}
	chain := s.world.chain(ctx, md)
	if err := write(s.env.Stdout, s.output, chain, func(w io.Writer) { chain.table(w, s.env.Now()) }); err != nil {
		return err
	}
	return exitOf(chain.Outcome)
}

// chain asks the world about the records of a MailDomain.
func (w *world) chain(ctx context.Context, md *v1alpha1.MailDomain) Chain {
	c := Chain{
		Object: md.Namespace + "/" + md.Name, Domain: md.Spec.Domain, Stale: md.Status.ObservedGeneration != md.Generation,
		Keys: []v1alpha1.DKIMKeyStatus{}, Policy: md.Status.MTASTS, Compliance: md.Status.Compliance,
	}
	c.Ready, c.WaitsFor = conditionsIn(md)
	if d := md.Status.DKIM; d != nil {
		c.Keys, c.Rotation = append(c.Keys, d.Keys...), d.NextRotation
	}
	c.Records = w.links(ctx, md)
	c.Outcome = c.outcome()
	return c
}

// conditionsIn are Ready, and the others that are not True.
func conditionsIn(md *v1alpha1.MailDomain) (ready Condition, others []Condition) {
	ready = Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Message: "the operator has not looked at it yet"}
	others = []Condition{}
	for _, one := range md.Status.Conditions {
		seen := Condition{Type: one.Type, Status: one.Status, Reason: one.Reason, Message: one.Message}
		switch {
		case one.Type == v1alpha1.ConditionReady:
			ready = seen
		case one.Type != v1alpha1.ConditionReconciling && one.Type != v1alpha1.ConditionStalled && one.Status != metav1.ConditionTrue:
			others = append(others, seen)
		}
	}
	return ready, others
}

// links are the records that spec wants or status lists, each with who serves it.
func (w *world) links(ctx context.Context, md *v1alpha1.MailDomain) []Link {
	var mx []string
	if s := md.Spec.MTASTS; s != nil && len(s.MX) == 0 {
		if list, err := w.resolver.LookupMX(ctx, md.Spec.Domain); err == nil {
			mx = hostsOf(list)
		}
	}
	want, _ := wantedOf(md, mx) // what spec does not give is in the conditions
	wish := func(name, kind string, purpose v1alpha1.RecordPurpose) *wanted {
		at := slices.IndexFunc(want, func(w wanted) bool { return w.Name == name && w.Type == kind && w.Purpose == purpose })
		if at < 0 {
			return nil
		}
		return &want[at]
	}
	links := []Link{}
	var keys []dnsprovider.Key
	add := func(name, kind string, purpose v1alpha1.RecordPurpose, by Operated) {
		links = append(links, Link{Name: name, Type: kind, Purpose: purpose, Operator: by, Servers: []Witness{}})
		keys = append(keys, dnsprovider.Key{Name: name, Type: kind})
	}
	for _, r := range md.Status.Records {
		add(r.Name, r.Type, r.Purpose, Operated{r.State, r.Reason, r.Message})
	}
	for _, one := range want {
		if !slices.ContainsFunc(links, func(l Link) bool { return l.Name == one.Name && l.Purpose == one.Purpose }) {
			add(one.Name, one.Type, one.Purpose, Operated{})
		}
	}
	seen := w.authoritative(ctx, keys)
	var group errgroup.Group
	group.SetLimit(asking)
	for i := range links {
		group.Go(func() error {
			l := &links[i]
			judge := judgeOf(wish(l.Name, l.Type, l.Purpose), l, md)
			l.Wanted = judge.words
			l.witnesses(seen[keys[i]], judge)
			values, unknown := w.recursive(ctx, keys[i])
			l.Resolver = judge.witness("resolver", "", values, unknown)
			return nil
		})
	}
	_ = group.Wait()
	return links
}

// judged says what is wanted at a place, and what of the values there is of its protocol.
type judged struct {
	words string
	is    func(string) bool
	fits  func([]string) bool
	alias bool // an alias does as well: what it leads to shows at the resolver
}

func judgeOf(w *wanted, l *Link, md *v1alpha1.MailDomain) judged {
	if w != nil {
		return judged{words: w.String(), is: w.Is, fits: func(values []string) bool { return len(values) == 1 && w.fits(values[0]) }}
	}
	if l.Purpose == v1alpha1.PurposeMTASTS && thirdParty(md) {
		return judged{words: "one record, of the third party that serves the policy", is: protocols[l.Purpose], fits: func(values []string) bool { return len(values) == 1 }, alias: true}
	}
	all := func(string) bool { return true }
	if is := protocols[l.Purpose]; is != nil && l.Type == dnsprovider.TypeTXT {
		return judged{words: "nothing any more: it is withdrawn in its time", is: is, fits: func(values []string) bool { return len(values) == 0 }}
	}
	if targets, known, err := hostOf(md); known && err == nil && len(targets) > 0 {
		values := slices.Sorted(slices.Values(targets[l.Type]))
		return judged{words: strings.Join(values, ", "), is: all, fits: func(seen []string) bool { return slices.Equal(slices.Sorted(slices.Values(seen)), values) }}
	}
	return judged{words: "the address of the operator's mta-sts Service", is: all, fits: func(values []string) bool { return len(values) > 0 }}
}

// witnesses are what each address of each name server has.
func (l *Link) witnesses(a answers, j judged) {
	if a.unknown != "" {
		l.Servers = append(l.Servers, Witness{Server: "name servers", Sight: SightUnknown, Values: []string{}, Cause: a.unknown})
		return
	}
	for _, one := range a.list {
		addr := ""
		if one.Addr.IsValid() {
			addr = one.Addr.Addr().String()
		}
		unknown := ""
		if !proves(one) {
			unknown = strings.TrimSpace(string(one.Outcome) + " " + one.Detail)
		}
		w := j.witness(one.Server, addr, one.Values, unknown)
		switch {
		case one.Alias == "" || l.Type == dnsprovider.TypeCNAME: // where it is none in the way
		case j.alias:
			w.Sight = SightServes
		default:
			w.Sight, w.Values = SightDiffers, []string{"CNAME " + one.Alias}
		}
		l.Servers = append(l.Servers, w)
	}
}

func (j judged) witness(server, addr string, values []string, unknown string) Witness {
	w := Witness{Server: server, Addr: addr, Values: []string{}, Cause: unknown}
	of := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !j.is(v) })
	switch {
	case unknown != "":
		w.Sight = SightUnknown
	case j.fits(of):
		w.Sight = SightServes
	case len(of) == 0:
		w.Sight = SightNothing
	default:
		w.Sight, w.Values = SightDiffers, of
	}
	return w
}

// outcome sums up: what is known to be wrong fails.
func (c Chain) outcome() compliance.Outcome {
	if c.Ready.Status == metav1.ConditionFalse {
		return compliance.Fail
	}
	sum := compliance.Pass
	if c.Ready.Status == metav1.ConditionUnknown || c.Stale {
		sum = compliance.Unknown
	}
	for _, l := range c.Records {
		for _, w := range append(slices.Clone(l.Servers), l.Resolver) {
			switch w.Sight {
			case SightDiffers, SightNothing:
				return compliance.Fail
			case SightUnknown:
				sum = compliance.Unknown
			}
		}
	}
	return sum
}
