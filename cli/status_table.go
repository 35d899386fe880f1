package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// table prints the chain for people.
func (c Chain) table(out io.Writer, now time.Time) {
	fmt.Fprintf(out, "%s (%s): Ready=%s %s\n", plain(c.Object), plain(c.Domain), c.Ready.Status, c.Ready.Reason)
	if c.Ready.Status != metav1.ConditionTrue {
		fmt.Fprintf(out, "  %s\n", plain(c.Ready.Message))
	}
	if c.Stale {
		fmt.Fprint(out, "  Spec has changed, and the operator has not looked at it yet.\n")
	}
	if len(c.WaitsFor) > 0 {
		fmt.Fprint(out, "\nWaits for:\n")
	}
	for _, w := range c.WaitsFor {
		fmt.Fprintf(out, "  %s=%s %s\n    %s\n", w.Type, w.Status, w.Reason, plain(w.Message))
	}
	fmt.Fprint(out, "\nRecords:\n")
	for _, l := range c.Records {
		l.print(out)
	}
	c.printKeys(out, now)
	c.printPolicy(out)
	if len(c.Compliance) > 0 {
		fmt.Fprint(out, "\nCompliance:\n")
	}
	for _, b := range c.Compliance {
		fmt.Fprintf(out, "  %s: %s\n", b.Baseline, b.Verdict)
		for _, control := range b.Controls {
			if control.Verdict == v1alpha1.VerdictFail || control.Verdict == v1alpha1.VerdictUnknown {
				fmt.Fprintf(out, "    %s %s: %s\n", control.Verdict, control.Name, plain(control.Message))
			}
		}
	}
}

func (l Link) print(out io.Writer) {
	fmt.Fprintf(out, "  %s %s (%s)\n", l.Type, plain(l.Name), l.Purpose)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "    wanted\t%s\n", plain(l.Wanted))
	operator := "has not come to it yet"
	if l.Operator.State != "" {
		operator = strings.TrimSpace(fmt.Sprintf("%s %s", l.Operator.State, l.Operator.Message))
	}
	fmt.Fprintf(w, "    operator\t%s\n", plain(operator))
	for _, s := range l.Servers {
		fmt.Fprintf(w, "    %s\t%s\n", plain(strings.TrimSpace(s.Server+" "+s.Addr)), s.words())
	}
	fmt.Fprintf(w, "    resolver\t%s\n", l.Resolver.words())
	_ = w.Flush() // as with Fprint, who reads has gone
}

func (w Witness) words() string {
	switch w.Sight {
	case SightServes:
		return "serves it"
	case SightNothing:
		return "has nothing of it"
	case SightUnknown:
		return "unknown: " + plain(w.Cause)
	}
	var list []string
	for _, v := range w.Values {
		list = append(list, plain(`"`+v+`"`))
	}
	return "differs: " + strings.Join(list, ", ")
}

func (c Chain) printKeys(out io.Writer, now time.Time) {
	if len(c.Keys) == 0 {
		return
	}
	fmt.Fprint(out, "\nKeys:\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range c.Keys {
		fmt.Fprintf(w, "  %s\t%s\t%s\tsince %s\n", k.Selector, kindOf(k), k.State, since(lastOf(k), now))
	}
	_ = w.Flush() // as with Fprint, who reads has gone
	if c.Rotation != nil {
		fmt.Fprintf(out, "  The next rotation begins on %s.\n", c.Rotation.UTC().Format(time.DateOnly))
	}
}

// kindOf is the algorithm of a key, and its size where it has one.
func kindOf(k v1alpha1.DKIMKeyStatus) string {
	if k.Bits != nil {
		return fmt.Sprintf("%s %d", k.Algorithm, *k.Bits)
	}
	return string(k.Algorithm)
}

// lastOf is when a key came into its state.
func lastOf(k v1alpha1.DKIMKeyStatus) time.Time {
	var last time.Time
	for _, at := range []*metav1.Time{k.Created, k.Published, k.Propagated, k.Active, k.Retired, k.Revoked} {
		if at != nil && at.After(last) {
			last = at.Time
		}
	}
	return last
}

// since is a time, and how long ago it was.
func since(at, now time.Time) string {
	if at.IsZero() {
		return "?"
	}
	return fmt.Sprintf("%s (%s)", at.UTC().Format("2006-01-02 15:04"), ago(now.Sub(at)))
}

func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

func (c Chain) printPolicy(out io.Writer) {
	p := c.Policy
	if p == nil {
		return
	}
	fmt.Fprint(out, "\nMTA-STS policy:\n")
	if p.Mode != "" {
		fmt.Fprintf(out, "  %s\n", strings.TrimSpace(fmt.Sprintf("mode %s %s", p.Mode, p.PolicyID)))
	}
	for _, at := range []struct {
		what string
		when *metav1.Time
	}{{"it has to be served until", p.CommitmentEnds}, {"MX records may move after", p.SafeToMoveMXAfter}} {
		if at.when != nil {
			fmt.Fprintf(out, "  %s %s\n", at.what, at.when.UTC().Format("2006-01-02 15:04"))
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, mx := range p.MX {
		tls := string(mx.StartTLS)
		if tls == "" {
			tls = "not probed"
		}
		fmt.Fprintf(w, "  %s\tcovered: %s\tSTARTTLS: %s\t%s\n", plain(mx.Host), mx.Covered, tls, plain(mx.Message))
	}
	_ = w.Flush() // as with Fprint, who reads has gone
}
