package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/records"
)

// Each Event is a write to the API server, for each domain of the cluster. So what a pass did well is told in few: the records
// that it made, the keys that came as far as each other, the conditions that turned out alike. What goes wrong has an Event of
// its own, and so has what took the place of something, as what stood before is nowhere else.

// event is something that happened and that a person may want to hear of.
type event struct {
	warning bool
	reason  string
	action  string
	// part is what of the object it is about, see partOf; "": all of it.
	part string
	note string
}

// The parts of a MailDomain that Events are about.
const (
	partRecords    = "status.records"
	partKeys       = "status.dkim.keys"
	partConditions = "status.conditions"
	partSecrets    = "spec.dkim.signerSecret"
)

// partOf is how Kubernetes names things in a list of an object, as a container in a Pod.
func partOf(field string, names ...string) string {
	return field + "{" + strings.Join(names, ",") + "}"
}

// told is what the pass has to tell, but for the conditions that moved.
func (s *scope) told() []event {
	return slices.Concat(keysMoved(s.untoldSteps(), s.dkim.policy.Retention), recordsMade(s.made), s.events)
}

// untoldSteps leaves out that a key was made and published, where the pass tells of the record that it has made for it.
func (s *scope) untoldSteps() []keyStep {
	return slices.DeleteFunc(slices.Clone(s.steps), func(step keyStep) bool {
		slot := records.DKIMSlot(s.md.Spec.Domain, step.selector)
		return (step.to == keys.Generated || step.to == keys.Published) && slices.ContainsFunc(s.made, func(one made) bool { return one.key == slot.Key })
	})
}

// inFew tells of things together, in as few Events as their notes have room for.
func inFew[T any](things []T, tell func([]T) event) []event {
	var list []event
	for len(things) > 0 {
		n := 1
		for n < len(things) && len(tell(things[:n+1]).note) <= maxNote {
			n++
		}
		list, things = append(list, tell(things[:n])), things[n:]
	}
	return list
}

// made is a record that was written where none of its protocol stood.
type made struct {
	key   dnsprovider.Key
	value string
}

// wrote notes a change of a record, to be told of.
func (s *scope) wrote(verb dnsprovider.Verb, change dnsprovider.Change, value string) {
	key := change.Seen.Key
	if verb == dnsprovider.Create && len(change.Remove) == 0 {
		s.made = append(s.made, made{key, value})
		return
	}
	note := strings.TrimSpace(fmt.Sprintf("%s %s", key, value))
	for _, removed := range change.Remove {
		note += fmt.Sprintf("; before it was %q", removed.Value)
	}
	s.events = append(s.events, event{reason: string(verb), action: "WriteRecord", part: partOf(partRecords, key.String()), note: note})
}

// recordsMade names them, and says the value of one that is alone: DNS has them all.
func recordsMade(list []made) []event {
	return inFew(list, func(some []made) event {
		names := make([]string, len(some))
		for i, one := range some {
			names[i] = one.key.String()
		}
		note := strings.Join(names, ", ")
		if len(some) == 1 {
			note += " " + some[0].value
		}
		return event{reason: string(dnsprovider.Create), action: "WriteRecord", part: partOf(partRecords, names...), note: note}
	})
}

// keyStep is a step in the life of a key.
type keyStep struct {
	selector string
	name     string // of the key in spec
	to       keys.State
}

// keysMoved tells of the steps of keys, those of the same kind together. On the way up to where a key signs only the last step is
// told: the others lead there.
func keysMoved(steps []keyStep, retention time.Duration) []event {
	var list []event
	for _, to := range []keys.State{keys.Generated, keys.Published, keys.Propagated, keys.Active, keys.Retired, keys.Revoked, keys.Removed} {
		var some []keyStep
		for i, step := range steps {
			wentOn := func(later keyStep) bool { return later.selector == step.selector && rises(later.to) }
			if step.to == to && !slices.ContainsFunc(steps[i+1:], wentOn) {
				some = append(some, step)
			}
		}
		list = append(list, inFew(some, func(some []keyStep) event { return keysAre(to, some, retention) })...)
	}
	return list
}

// rises reports whether the step is one of those up to where the key signs.
func rises(to keys.State) bool {
	return to == keys.Generated || to == keys.Published || to == keys.Propagated || to == keys.Active
}

func keysAre(to keys.State, some []keyStep, retention time.Duration) event {
	selectors, called, carry := make([]string, len(some)), make([]string, len(some)), make([]string, len(some))
	for i, step := range some {
		selectors[i], called[i], carry[i] = step.selector, fmt.Sprintf("%s (%s)", step.selector, step.name), "s="+step.selector
	}
	note := fmt.Sprintf("DKIM key %s is %s", called[0], strings.ToLower(string(to)))
	files := "the key's file leaves its Secret, and %s later its record is revoked"
	if len(some) > 1 {
		note = fmt.Sprintf("DKIM keys %s are %s", strings.Join(called, " and "), strings.ToLower(string(to)))
		files = "the keys' files leave their Secret, and %s later their records are revoked"
	}
	switch to {
	case keys.Active:
		note += fmt.Sprintf(": new mail should carry %s in its DKIM-Signature", strings.Join(carry, " or "))
	case keys.Retired:
		note += fmt.Sprintf(": if new mail still carries %s, reload the signer within %s: then "+files, strings.Join(carry, " or "), retention/2, retention)
	}
	return event{reason: "Key" + string(to), action: "RotateKey", part: partOf(partKeys, selectors...), note: note}
}

// changes tell of the conditions that moved: good news of the same reason together, and what is wrong once, whichever conditions
// say so. How a condition begins is told only if it is wrong, or if it is Ready, as status has it; and Ready says that
// sections are not ready only where these have not said it.
func changes(old, next v1alpha1.MailDomainStatus) []event {
	var moved []metav1.Condition
	for _, c := range next.Conditions {
		before := meta.FindStatusCondition(old.Conditions, c.Type)
		switch {
		case c.Type == v1alpha1.ConditionReconciling || c.Type == v1alpha1.ConditionStalled:
		case before != nil && before.Status == c.Status && before.Reason == c.Reason:
		case before == nil && !warns(c) && !(c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue):
		default:
			moved = append(moved, c)
		}
	}
	if slices.ContainsFunc(moved, func(c metav1.Condition) bool { return c.Status != metav1.ConditionTrue && !sumsUp(c) }) {
		moved = slices.DeleteFunc(moved, sumsUp)
	}
	var list []event
	for len(moved) > 0 {
		first := moved[0]
		alike := func(c metav1.Condition) bool {
			return c.Reason == first.Reason && c.Status == first.Status && warns(c) == warns(first) && (!warns(c) || c.Message == first.Message)
		}
		var some, others []metav1.Condition
		for _, c := range moved {
			if alike(c) {
				some = append(some, c)
			} else {
				others = append(others, c)
			}
		}
		list, moved = append(list, inFew(some, say)...), others
	}
	return list
}

// warns reports whether the condition says what somebody has to do something about.
func warns(c metav1.Condition) bool {
	return c.Status != metav1.ConditionTrue && !progresses(c.Reason) && !sumsUp(c)
}

// sumsUp reports whether all that the condition says is that others are not True.
func sumsUp(c metav1.Condition) bool { return c.Reason == v1alpha1.ReasonSectionsNotReady }

// say tells of conditions with the same reason. Those with the same message have it once.
func say(some []metav1.Condition) event {
	names := make([]string, len(some))
	note := ""
	for i, c := range some {
		names[i] = c.Type
		switch {
		case i > 0 && c.Message == some[i-1].Message:
			note += ", "
		case i > 0:
			note += ": " + some[i-1].Message + "; "
		}
		note += c.Type
	}
	note += ": " + some[len(some)-1].Message
	return event{warning: warns(some[0]), reason: some[0].Reason, action: "Verify", part: partOf(partConditions, names...), note: note}
}
