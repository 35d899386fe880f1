package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/survey"
)

// following is how often a rotation is looked at.
const following = time.Second

type rotation struct {
	env         Env
	cluster     cluster
	compromised string
	wait        bool
	timeout     time.Duration
	every       time.Duration
}

func rotateCommand(env Env) *cobra.Command {
	r := rotation{env: env, every: following}
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Have the operator rotate a MailDomain's DKIM keys",
		Long: `Have the operator rotate a MailDomain's DKIM keys, by the annotation ` + v1alpha1.AnnotationRotate + `; with
--compromised the one key whose private half others have, and its record is revoked as soon as a new key
signs. Nothing else of the MailDomain is touched.

--wait follows the keys until new ones sign: how long that takes the zone's negative TTL says, and how fast
its name servers are. Exit code 0: it was asked for or, with --wait, the new keys sign; 1: the operator can't
go on, and says why; 3: with --wait, --timeout is over, and the rotation goes on; 64: the command could not be run.`,
		Example: `  maildomain rotate example-com -n mail --wait
  maildomain rotate example-com --compromised mail-20261123a --wait`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.cluster.names,
		RunE:              func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0]) },
	}
	set := cmd.Flags()
	set.StringVar(&r.compromised, "compromised", "", "`selector` of a key whose private half others have")
	set.BoolVar(&r.wait, "wait", false, "follow the rotation until the new keys sign")
	set.DurationVar(&r.timeout, "timeout", 2*time.Hour, "`time` that --wait waits")
	r.cluster.flags(cmd)
	complete(cmd, "compromised", nil)
	return cmd
}

func (r *rotation) run(ctx context.Context, name string) error {
	if r.timeout <= 0 {
		return fmt.Errorf("--timeout is %s, want more than 0", r.timeout)
	}
	if err := r.cluster.open(); err != nil {
		return err
	}
	md, err := r.cluster.get(ctx, name)
	if err != nil {
		return err
	}
	if err := r.possible(md); err != nil {
		return err
	}
	annotation, value := v1alpha1.AnnotationRotate, r.env.Now().UTC().Format(time.RFC3339Nano)
	if r.compromised != "" {
		annotation, value = v1alpha1.AnnotationCompromised, r.compromised
	}
	old := r.going(md)
	if err := r.annotate(ctx, md, annotation, value); err != nil {
		return err
	}
	fmt.Fprintf(r.env.Stdout, "%s/%s: %s=%s is set\n", md.Namespace, md.Name, annotation, value)
	if !r.wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.follow(ctx, name, old, newProgress(r.env))
}

// possible says why a rotation can't come about.
func (r *rotation) possible(md *v1alpha1.MailDomain) error {
	d := md.Status.DKIM
	switch {
	case md.Spec.DKIM == nil:
		return errors.New("spec.dkim is not there: the operator has no keys of this domain")
	case d == nil || len(d.ActiveSelectors) == 0:
		return errors.New("no key signs yet: there is nothing to rotate; the command status says what it waits for")
	case md.Spec.ModeOrDefault() == v1alpha1.ModeObserve:
		return errors.New("mode is Observe, in which no key is made: set spec.mode to Enforce first")
	case md.Spec.Suspended():
		return errors.New("spec.suspend is true, and nothing is done meanwhile: set it to false first")
	case r.compromised == "" && len(md.Spec.DKIM.KeysOrDefault()) == 0:
		return errors.New("spec.dkim.keys is empty: the operator makes no key that could take over")
	case r.compromised == "":
		return nil
	}
	before := md.Annotations[v1alpha1.AnnotationCompromised]
	for _, k := range d.Keys {
		if k.Selector == before && before != r.compromised && k.State != v1alpha1.KeyRevoked {
			return fmt.Errorf("--compromised: the annotation names one selector, now %s, whose key is not revoked yet and would no longer be: wait until the command status says Revoked, then name %s", before, r.compromised)
		}
	}
	for _, k := range d.Keys {
		if k.Selector == r.compromised {
			return nil
		}
	}
	var selectors []string
	for _, k := range d.Keys {
		selectors = append(selectors, k.Selector)
	}
	return fmt.Errorf("--compromised: there is no key %q: want one of %s", r.compromised, strings.Join(selectors, ", "))
}

// going are the selectors whose keys are to sign no more.
func (r *rotation) going(md *v1alpha1.MailDomain) []string {
	if r.compromised != "" {
		return []string{r.compromised}
	}
	return slices.Clone(md.Status.DKIM.ActiveSelectors)
}

// annotate sets one annotation by a merge patch: an update would rewrite the user's spec.
func (r *rotation) annotate(ctx context.Context, md *v1alpha1.MailDomain, name, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{name: value}}})
	if err != nil {
		return err
	}
	if err := r.cluster.Patch(ctx, md, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("setting the annotation %s: %w", name, err)
	}
	return nil
}

// follow shows how the keys go on, until others sign than those of before.
func (r *rotation) follow(ctx context.Context, name string, old []string, show *progress) error {
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	for {
		md, err := r.cluster.get(ctx, name)
		switch {
		case ctx.Err() != nil:
			show.end()
			why := "--timeout is over"
			if errors.Is(ctx.Err(), context.Canceled) {
				why = "interrupted"
			}
			fmt.Fprintf(r.env.Stderr, "%s: %s; the rotation goes on: see %[1]s status %s\n", r.env.name(), why, name)
			return exit(ExitUnknown)
		case errors.As(err, &noSuch{}):
			show.end()
			return Failed{err}
		case err == nil: // else the API server is away for a moment
			show.keys(md)
			if r.done(md, old) {
				show.end()
				fmt.Fprintln(r.env.Stdout, signsWith(md))
				return nil
			}
			if why := stalled(md); why != "" {
				show.end()
				return Failed{errors.New(why)}
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// done reports whether keys sign, one for each of spec, and none of them is an old one; and whether the
// record of a compromised key is no use to anybody any more.
func (r *rotation) done(md *v1alpha1.MailDomain, old []string) bool {
	if md.Status.DKIM == nil || md.Spec.DKIM == nil {
		return false
	}
	for _, k := range md.Status.DKIM.Keys {
		if k.Selector == r.compromised && k.State != v1alpha1.KeyRevoked {
			return false
		}
	}
	for _, one := range md.Status.Records {
		if r.compromised != "" && one.Name == survey.KeyName(r.compromised, md.Spec.Domain) && one.State != v1alpha1.RecordVerified {
			return false // the ledger has it revoked, and a name server may still serve the key
		}
	}
	active, wanted := md.Status.DKIM.ActiveSelectors, len(md.Spec.DKIM.KeysOrDefault()) // keys: [] has none take over
	return len(active) >= wanted && (len(active) > 0 || wanted == 0) &&
		!slices.ContainsFunc(active, func(s string) bool { return slices.Contains(old, s) })
}

func signsWith(md *v1alpha1.MailDomain) string {
	if len(md.Status.DKIM.ActiveSelectors) == 0 {
		return "spec.dkim.keys is empty: no key of the operator signs new mail"
	}
	return "new mail is signed with " + strings.Join(md.Status.DKIM.ActiveSelectors, ", ")
}

// stalled says why the keys can't go on until somebody helps; "" if they can.
func stalled(md *v1alpha1.MailDomain) string {
	for _, c := range md.Status.Conditions {
		if (c.Type == v1alpha1.ConditionDKIMReady || c.Type == v1alpha1.ConditionReady) && c.Status == metav1.ConditionFalse && slices.Contains(needsHelp, c.Reason) {
			return fmt.Sprintf("the rotation can't go on: %s: %s", c.Reason, c.Message)
		}
	}
	return ""
}

// needsHelp are the reasons with which no key goes on by itself.
var needsHelp = []string{
	v1alpha1.ReasonKeyUnreadable, v1alpha1.ReasonSecretConflict, v1alpha1.ReasonSecretFull, v1alpha1.ReasonDKIMRequired,
	v1alpha1.ReasonRecordConflict, v1alpha1.ReasonAliasInTheWay, v1alpha1.ReasonUnauthorized, v1alpha1.ReasonLedgerUnreadable,
	v1alpha1.ReasonNotPermitted, v1alpha1.ReasonDomainNotClaimed,
}

// progress shows keys: a line for each step, or, on a terminal, a line for each key that changes in place.
type progress struct {
	out      io.Writer
	now      func() time.Time
	terminal bool
	drawn    int // lines on the terminal
	before   map[string]v1alpha1.DKIMKeyState
}

func newProgress(env Env) *progress {
	return &progress{out: env.Stdout, now: env.Now, terminal: isTerminal(env.Stdout), before: map[string]v1alpha1.DKIMKeyState{}}
}

// isTerminal reports whether somebody looks on.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

var stations = []v1alpha1.DKIMKeyState{v1alpha1.KeyGenerated, v1alpha1.KeyPublished, v1alpha1.KeyPropagated, v1alpha1.KeyActive}

// keys shows how far the keys are.
func (p *progress) keys(md *v1alpha1.MailDomain) {
	if md.Status.DKIM == nil {
		return
	}
	if !p.terminal {
		for _, k := range md.Status.DKIM.Keys {
			if p.before[k.Selector] != k.State {
				fmt.Fprintf(p.out, "%s  %s (%s): %s\n", p.now().UTC().Format(time.TimeOnly), k.Selector, kindOf(k), k.State)
			}
			p.before[k.Selector] = k.State
		}
		return
	}
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA", p.drawn)
	}
	p.drawn = 0
	for _, k := range md.Status.DKIM.Keys {
		fmt.Fprintf(p.out, "\x1b[2K  %-24s %-8s %s\n", k.Selector, kindOf(k), bar(k.State))
		p.drawn++
	}
	fmt.Fprintf(p.out, "\x1b[2K  %s\n", cutLine(plain(waitsFor(md)), 76))
	p.drawn++
}

// end leaves what was drawn where it is.
func (p *progress) end() { p.drawn = 0 }

// bar is the way of a key until it signs, as far as it has gone.
func bar(state v1alpha1.DKIMKeyState) string {
	at := slices.Index(stations, state)
	if at < 0 {
		return string(state)
	}
	return "[" + strings.Repeat("#", 4*(at+1)) + strings.Repeat(".", 4*(len(stations)-at-1)) + "] " + string(state)
}

// waitsFor is what DKIMReady says.
func waitsFor(md *v1alpha1.MailDomain) string {
	for _, c := range md.Status.Conditions {
		if c.Type == v1alpha1.ConditionDKIMReady {
			return c.Message
		}
	}
	return ""
}

func cutLine(text string, runes int) string {
	if r := []rune(text); len(r) > runes {
		return string(r[:runes-1]) + "…"
	}
	return text
}
