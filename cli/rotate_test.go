package cli

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// operator plays the operator: once a MailDomain has the annotation, it writes the status.
func (n *namespaceIn) operator(md *v1alpha1.MailDomain, annotation string, status v1alpha1.MailDomainStatus) (done chan error) {
	done = make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	n.t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			seen := &v1alpha1.MailDomain{}
			if err := n.Get(ctx, client.ObjectKeyFromObject(md), seen); err != nil {
				done <- err
				return
			}
			if seen.Annotations[annotation] != "" {
				old := seen.DeepCopy()
				seen.Status = status
				done <- n.Status().Patch(ctx, seen, client.MergeFrom(old))
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		done <- ctx.Err()
	}()
	return done
}

// rotatedStatus has a new key in s2, and the old one in this state.
func rotatedStatus(old v1alpha1.DKIMKeyState) v1alpha1.MailDomainStatus {
	status := soundStatus()
	next := status.DKIM.Keys[0]
	next.Selector = "s2"
	status.DKIM.Keys[0].State = old
	status.DKIM.Keys = append(status.DKIM.Keys, next)
	status.DKIM.ActiveSelectors = []string{"s2"}
	for i := range status.Conditions {
		status.Conditions[i].LastTransitionTime = metav1.NewTime(now)
	}
	return status
}

// The annotation is set and nothing else, and a rotation is followed to its end.
func TestRotate(t *testing.T) {
	n := newNamespace(t)
	spec := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "MailDomain", "metadata": map[string]any{"namespace": n.name, "name": "example-test"},
		"spec": map[string]any{"domain": domain, "dkim": map[string]any{"keys": []any{map[string]any{"name": "rsa"}}, "rotation": map[string]any{"interval": "4320h"}}},
	}}
	n.must(n.Create(t.Context(), spec))
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: n.name, Name: "example-test"}}
	n.says(md, soundStatus())

	code, stdout, stderr := n.run("rotate", "example-test")
	if code != ExitOK || !strings.Contains(stdout, v1alpha1.AnnotationRotate+"=2026-11-30T12:00:00Z is set") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	n.must(n.Get(t.Context(), types.NamespacedName{Namespace: n.name, Name: "example-test"}, spec))
	interval, _, _ := unstructured.NestedString(spec.Object, "spec", "dkim", "rotation", "interval")
	if spec.GetGeneration() != 1 || interval != "4320h" {
		t.Errorf("the user's spec was rewritten: generation %d, interval %s", spec.GetGeneration(), interval)
	}

	done := n.operator(md, v1alpha1.AnnotationCompromised, rotatedStatus(v1alpha1.KeyRevoked))
	code, stdout, stderr = n.run("rotate", "example-test", "--compromised", "s1", "--wait", "--timeout", "5m")
	n.must(<-done)
	if code != ExitOK || !strings.Contains(stdout, "new mail is signed with s2") || !strings.Contains(stdout, "12:00:00  s2 (rsa 2048): Active") || strings.Contains(stdout, "\x1b") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// What can't come about is said, before anything is set or as soon as the operator says so.
func TestRotateCannot(t *testing.T) {
	n := newNamespace(t)
	md := n.apply("example-test", soundSpec(), soundStatus())
	unreadable := soundStatus()
	unreadable.Conditions = conditionsOf([4]string{"Ready", "False", "SectionsNotReady", "x"}, [4]string{"DKIMReady", "False", "KeyUnreadable", "restore the Secret"})
	for i := range unreadable.Conditions {
		unreadable.Conditions[i].LastTransitionTime = metav1.NewTime(now)
	}
	if code, _, stderr := n.run("rotate", "example-test", "--compromised", "s9"); code != ExitUsage || !strings.Contains(stderr, "want one of s1") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	n.must(n.Get(t.Context(), client.ObjectKeyFromObject(md), md))
	if len(md.Annotations) > 0 {
		t.Errorf("%v", md.Annotations)
	}
	done := n.operator(md, v1alpha1.AnnotationRotate, unreadable)
	code, _, stderr := n.run("rotate", "example-test", "--wait", "--timeout", "5m")
	n.must(<-done)
	if code != ExitFail || !strings.Contains(stderr, "KeyUnreadable: restore the Secret") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	n.says(md, soundStatus())
	if code, _, stderr := n.run("rotate", "example-test", "--wait", "--timeout", "1s"); code != ExitUnknown || !strings.Contains(stderr, "the rotation goes on") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	empty := soundStatus()
	empty.DKIM = nil
	n.apply("empty", soundSpec(), empty)
	if code, _, stderr := n.run("rotate", "empty"); code != ExitUsage || !strings.Contains(stderr, "no key signs yet") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestRotationDone(t *testing.T) {
	of := func(keys int, status v1alpha1.MailDomainStatus) *v1alpha1.MailDomain {
		md := &v1alpha1.MailDomain{Spec: soundSpec(), Status: status}
		for len(md.Spec.DKIM.Keys) < keys {
			md.Spec.DKIM.Keys = append(md.Spec.DKIM.Keys, v1alpha1.DKIMKey{Name: "other"})
		}
		return md
	}
	unwritten := rotatedStatus(v1alpha1.KeyRevoked)
	none := func(state v1alpha1.DKIMKeyState) *v1alpha1.MailDomain {
		md := of(1, rotatedStatus(state))
		md.Spec.DKIM.Keys, md.Status.DKIM.ActiveSelectors = []v1alpha1.DKIMKey{}, nil
		return md
	}
	unwritten.Records[3].State = v1alpha1.RecordFailed
	for name, c := range map[string]struct {
		md          *v1alpha1.MailDomain
		compromised string
		done        bool
	}{
		"before":                       {of(1, soundStatus()), "", false},
		"the new one signs":            {of(1, rotatedStatus(v1alpha1.KeyRetired)), "", true},
		"one of two signs":             {of(2, rotatedStatus(v1alpha1.KeyRetired)), "", false},
		"compromised, and still there": {of(1, rotatedStatus(v1alpha1.KeyRetired)), "s1", false},
		"compromised and revoked":      {of(1, rotatedStatus(v1alpha1.KeyRevoked)), "s1", true},
		"revoked, and still served":    {of(1, unwritten), "s1", false},
		"not revoked, none takes over": {none(v1alpha1.KeyRetired), "s1", false},
		"revoked, and none takes over": {none(v1alpha1.KeyRevoked), "s1", true},
	} {
		r := rotation{compromised: c.compromised}
		if got := r.done(c.md, []string{"s1"}); got != c.done {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// On a terminal the lines of keys are drawn over; elsewhere each step is a line, once.
func TestProgress(t *testing.T) {
	md := &v1alpha1.MailDomain{Spec: soundSpec(), Status: soundStatus()}
	var plainOut, drawn bytes.Buffer
	lines := newProgress(Env{Stdout: &plainOut, Now: func() time.Time { return now }})
	onScreen := newProgress(Env{Stdout: &drawn, Now: func() time.Time { return now }})
	onScreen.terminal = true
	for _, state := range []v1alpha1.DKIMKeyState{v1alpha1.KeyGenerated, v1alpha1.KeyGenerated, v1alpha1.KeyPublished, v1alpha1.KeyActive} {
		md.Status.DKIM.Keys[0].State = state
		lines.keys(md)
		onScreen.keys(md)
	}
	if got := strings.Split(strings.TrimSpace(plainOut.String()), "\n"); !slices.Equal(got, []string{
		"12:00:00  s1 (rsa 2048): Generated", "12:00:00  s1 (rsa 2048): Published", "12:00:00  s1 (rsa 2048): Active",
	}) {
		t.Errorf("%q", got)
	}
	if out := drawn.String(); strings.Count(out, "\x1b[2A") != 3 || !strings.Contains(out, "[########........] Published") || !strings.Contains(out, "[################] Active") {
		t.Errorf("%q", out)
	}
}

// A second compromised key would take the annotation from the first, which would get its retention back.
func TestRotationPossible(t *testing.T) {
	of := func(state v1alpha1.DKIMKeyState, annotation string) *v1alpha1.MailDomain {
		md := &v1alpha1.MailDomain{Spec: soundSpec(), Status: rotatedStatus(state)}
		md.Annotations = map[string]string{v1alpha1.AnnotationCompromised: annotation}
		return md
	}
	none := of(v1alpha1.KeyRetired, "")
	none.Spec.DKIM.Keys = []v1alpha1.DKIMKey{}
	for name, c := range map[string]struct {
		md          *v1alpha1.MailDomain
		compromised string
		why         string
	}{
		"the first":            {of(v1alpha1.KeyRetired, ""), "s1", ""},
		"the same once more":   {of(v1alpha1.KeyRetired, "s1"), "s1", ""},
		"a second one":         {of(v1alpha1.KeyRetired, "s1"), "s2", "s1, whose key is not revoked yet"},
		"after the first":      {of(v1alpha1.KeyRevoked, "s1"), "s2", ""},
		"one that is gone":     {of(v1alpha1.KeyRevoked, "s0"), "s2", ""},
		"a rotation meanwhile": {of(v1alpha1.KeyRetired, "s1"), "", ""},
		"no key is wanted":     {none, "", "spec.dkim.keys is empty"},
	} {
		r := rotation{compromised: c.compromised}
		if err := r.possible(c.md); (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
}
