package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/survey"
)

const (
	maxControls     = 32  // of a baseline, in status
	maxControlText  = 512 // octets of what was seen for a control
	complianceTimes = 24 * time.Hour
)

// complianceState is how the domain does by the baselines of spec.
type complianceState struct {
	list []v1alpha1.ComplianceStatus // of those that were judged, in the order of spec
	// fresh: a record of ours has moved so lately that caches may hold what stood there before.
	fresh bool
}

// judgeCompliance takes over how the domain does by what the world shows of it. The surveys are made in
// the background: a pass waits for none, and until there is one, status says what it said.
func (r *Reconciler) judgeCompliance(_ context.Context, s *scope) error {
	if s.md.Spec.Compliance == nil {
		return nil
	}
	q := survey.Question{Domain: s.md.Spec.Domain, Selectors: s.signing(), NoSelectors: "have a key of spec.dkim.keys sign, or name those of others in spec.dkim.external", Version: s.standing()}
	for _, b := range s.md.Spec.Compliance.Baselines {
		q.Baselines = append(q.Baselines, string(b))
		q.Before = append(q.Before, toldIn(s.md.Status.Compliance, b))
	}
	seen, known := r.Surveyor.Look(s.md.Namespace, s.md.Name, q)
	s.again(max(time.Second, seen.Again.Sub(s.now)))
	s.compliance.fresh = s.unsettledCaches()
	for i, b := range s.md.Spec.Compliance.Baselines {
		at := slices.IndexFunc(s.md.Status.Compliance, func(c v1alpha1.ComplianceStatus) bool { return c.Baseline == b })
		var before *v1alpha1.ComplianceStatus
		if at >= 0 {
			before = &s.md.Status.Compliance[at]
		}
		switch {
		case known && i < len(seen.Results):
			s.compliance.list = append(s.compliance.list, complianceStatus(before, b, seen.Results[i], seen.At))
		case before != nil:
			s.compliance.list = append(s.compliance.list, *before)
		}
	}
	return nil
}

// toldIn is what status says of a baseline, in the words of a survey: it outlives the process that has seen it.
func toldIn(list []v1alpha1.ComplianceStatus, b v1alpha1.Baseline) (r compliance.Result) {
	for _, before := range list {
		if before.Baseline != b {
			continue
		}
		for _, control := range before.Controls {
			for outcome, verdict := range verdicts {
				if control.Verdict == verdict {
					r.Verdicts = append(r.Verdicts, compliance.Verdict{Control: control.Name, Outcome: outcome})
				}
			}
		}
	}
	return r
}

// signing are the selectors that are known to sign; nil: none is known.
func (s *scope) signing() []string {
	list := append(selectorsOf(s.dkim.ring, keys.Active), s.externals()...)
	if len(list) == 0 {
		return nil
	}
	return distinct(list)
}

// standing is a name for the records of ours that are proven to be served.
func (s *scope) standing() string {
	hash := sha256.New()
	for _, f := range s.facts {
		if f.state == v1alpha1.RecordVerified {
			fmt.Fprintf(hash, "%s %q\n", f.slot.Key, f.want)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// unsettledCaches reports whether a record has changed its state within the TTL of ours.
func (s *scope) unsettledCaches() bool {
	ttl := s.md.Spec.DNS.TTLOrDefault()
	return slices.ContainsFunc(recordStatuses(s.md.Status.Records, s.facts, s.now), func(r v1alpha1.RecordStatus) bool {
		return s.now.Sub(r.LastTransitionTime.Time) < ttl
	})
}

var verdicts = map[compliance.Outcome]v1alpha1.Verdict{
	compliance.Pass: v1alpha1.VerdictPass, compliance.Fail: v1alpha1.VerdictFail,
	compliance.NotApplicable: v1alpha1.VerdictNotApplicable, compliance.Unknown: v1alpha1.VerdictUnknown,
}

// complianceStatus puts a result into the words of the API. Its time moves with a verdict, and else once a
// day at the most.
func complianceStatus(before *v1alpha1.ComplianceStatus, b v1alpha1.Baseline, r compliance.Result, at time.Time) v1alpha1.ComplianceStatus {
	next := v1alpha1.ComplianceStatus{Baseline: b, Verdict: verdicts[r.Outcome], LastChecked: stamp(at.UTC().Truncate(time.Second))}
	for _, v := range r.Verdicts[:min(len(r.Verdicts), maxControls)] {
		next.Controls = append(next.Controls, v1alpha1.ControlStatus{Name: v.Control, Verdict: verdicts[v.Outcome], Message: cutTo(v.Seen, maxControlText)})
	}
	if before != nil && before.LastChecked != nil && sameVerdicts(*before, next) && at.Sub(before.LastChecked.Time) < complianceTimes {
		next.LastChecked = before.LastChecked
	}
	return next
}

func sameVerdicts(a, b v1alpha1.ComplianceStatus) bool {
	return a.Verdict == b.Verdict && slices.EqualFunc(a.Controls, b.Controls, func(a, b v1alpha1.ControlStatus) bool {
		return a.Name == b.Name && a.Verdict == b.Verdict
	})
}

// condition is Compliant: False with one control that fails, Unknown until all are known, and True in the
// end.
func (c complianceState) condition(baselines []v1alpha1.Baseline) condition {
	failing, unknown := c.with(v1alpha1.VerdictFail), c.with(v1alpha1.VerdictUnknown)
	switch {
	case failing != "":
		return judged(verdict{v1alpha1.ReasonNotCompliant, failing}, verdict{})
	case len(c.list) < len(baselines):
		return condition{metav1.ConditionUnknown, verdict{v1alpha1.ReasonProgressing, "the domain is being judged by the baselines of spec.compliance"}}
	case unknown != "":
		return judged(verdict{v1alpha1.ReasonComplianceUnknown, unknown}, verdict{})
	}
	var names []string
	for _, b := range baselines {
		names = append(names, string(b))
	}
	return condition{metav1.ConditionTrue, verdict{v1alpha1.ReasonCompliant, "every control that applies passes: " + strings.Join(names, ", ")}}
}

// with names the controls with a verdict, and what was seen for each, by baseline.
func (c complianceState) with(v v1alpha1.Verdict) string {
	var all []string
	for _, b := range c.list {
		if b.Verdict != v {
			continue
		}
		var list []string
		for _, control := range b.Controls {
			if control.Verdict == v {
				list = append(list, fmt.Sprintf("%s (%s)", control.Name, control.Message))
			}
		}
		if len(list) == 0 {
			list = []string{"this version does not know the baseline"}
		}
		all = append(all, string(b.Baseline)+": "+strings.Join(list, ", "))
	}
	return strings.Join(all, "; ")
}
