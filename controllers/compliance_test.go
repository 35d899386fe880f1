package controllers

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/survey"
)

// surveyBy has the world judged by baselines, as seen through a resolver.
func (w *world) surveyBy(resolver string) {
	w.t.Helper()
	seen := survey.World{
		Resolver: probe.NewResolver([]string{resolver}, 10*time.Second), Roots: w.roots, PolicyPort: w.fetchPort,
		AllowPrivate: func(a netip.Addr) bool { return a.IsLoopback() },
		TLS: func(context.Context, string) compliance.Fact[compliance.TLS] {
			return compliance.Seen(compliance.TLS{OK: true, Offered: true})
		},
	}
	watch := survey.NewWatch(1, func(string) survey.World { return seen }, w.clock.Now)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = watch.Start(ctx) }()
	w.t.Cleanup(func() { cancel(); <-ended })
	w.r.Surveyor = watch
}

func judgedBy(baselines ...v1alpha1.Baseline) v1alpha1.MailDomainSpec {
	s := spec()
	s.Compliance = &v1alpha1.ComplianceSpec{Baselines: baselines}
	return s
}

func isCompliant(md *v1alpha1.MailDomain) bool {
	return meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionCompliant)
}

// A domain is judged by what the world sees of it; the verdict is part of Ready; and while nothing changes
// status is written for it once a day at the most.
func TestCompliance(t *testing.T) {
	w := newWorld(t)
	w.surveyBy(w.dns.Addr())
	w.apply("example-com", judgedBy(v1alpha1.BaselineGoogleYahooBulkSender, v1alpha1.BaselinePCIDSS541))
	w.pass("example-com")
	if c := meta.FindStatusCondition(w.get("example-com").Status.Conditions, v1alpha1.ConditionCompliant); c == nil || c.Status == metav1.ConditionTrue {
		t.Fatalf("before anybody has looked: %+v", c)
	}
	w.until("example-com", "ready", isReady)
	md := w.get("example-com")
	if !isCompliant(md) || len(md.Status.Compliance) != 2 {
		t.Fatalf("ready, and\n%s\n%+v", describe(md), md.Status.Compliance)
	}
	for _, b := range md.Status.Compliance {
		if b.Verdict != v1alpha1.VerdictPass || b.LastChecked == nil || len(b.Controls) == 0 {
			t.Errorf("%+v", b)
		}
		for _, c := range b.Controls {
			if c.Message == "" {
				t.Errorf("%s: %s says nothing of what was seen", b.Baseline, c.Name)
			}
		}
	}

	w.settles("example-com")
	checked, effects := md.Status.Compliance[0].LastChecked, len(w.effects)
	for range 3 { // days
		for range 24 {
			w.forward(time.Hour)
			w.pass("example-com")
			time.Sleep(20 * time.Millisecond) // the survey is made in real time
		}
	}
	if n := len(w.effects) - effects; n == 0 || n > 3 {
		t.Errorf("%d writes in three days in which nothing changed, want one a day at the most: %v", n, w.effects[effects:])
	}
	if md = w.get("example-com"); !md.Status.Compliance[0].LastChecked.After(checked.Time) {
		t.Error("three days later nobody has looked again")
	}

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DMARC.Policy = v1alpha1.DMARCNone })
	w.until("example-com", "not compliant", hasReason(v1alpha1.ConditionCompliant, v1alpha1.ReasonNotCompliant))
	md = w.get("example-com")
	if says := message(md, v1alpha1.ConditionCompliant); !strings.Contains(says, "PCI-DSS-5.4.1: DMARC (") || strings.Contains(says, "GoogleYahoo") || isReady(md) {
		t.Errorf("p=none: Ready %v, %s", isReady(md), says)
	}
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DMARC.Policy = v1alpha1.DMARCReject })
	w.until("example-com", "ready again", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Compliance = nil })
	w.until("example-com", "not judged", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionCompliant) == nil && len(md.Status.Compliance) == 0
	})
}

// What spec says is no evidence, and a world that gives no answer makes no pass.
func TestComplianceIsOfTheWorld(t *testing.T) {
	w := newWorld(t)
	w.surveyBy(w.dns.Addr())
	s := judgedBy(v1alpha1.BaselinePCIDSS541)
	s.Mode = v1alpha1.ModeObserve
	w.apply("example-com", s)
	w.until("example-com", "judged", hasReason(v1alpha1.ConditionCompliant, v1alpha1.ReasonNotCompliant))
	w.settles("example-com")

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Mode = v1alpha1.ModeEnforce })
	w.until("example-com", "compliant", isReady)
	silent, err := netip.ParseAddrPort("127.0.0.1:1") // a port where no name server is
	w.must(err)
	w.surveyBy(silent.String())
	w.pass("example-com")
	if !isCompliant(w.get("example-com")) {
		t.Error("a new process takes the verdict away before it has looked")
	}
	w.until("example-com", "unknown", func(md *v1alpha1.MailDomain) bool {
		c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionCompliant)
		return c.Status == metav1.ConditionUnknown && c.Reason == v1alpha1.ReasonComplianceUnknown
	})
	md := w.get("example-com")
	if says := message(md, v1alpha1.ConditionCompliant); isReady(md) || !strings.Contains(says, "no answer about") {
		t.Errorf("Ready %v, %s", isReady(md), says)
	}
	for _, c := range md.Status.Compliance[0].Controls {
		if c.Verdict == v1alpha1.VerdictPass {
			t.Errorf("%s passes, and nobody was there to ask", c.Name)
		}
	}
	w.settles("example-com")
}

// Status has room for every control.
func TestControlsFit(t *testing.T) {
	for _, b := range compliance.Baselines() {
		if len(b.Controls) > maxControls {
			t.Errorf("%s has %d controls, and status takes %d", b.Name, len(b.Controls), maxControls)
		}
	}
}

func TestComplianceStatus(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	result := compliance.Result{Outcome: compliance.Pass, Verdicts: []compliance.Verdict{{Control: "DMARC", Outcome: compliance.Pass, Seen: strings.Repeat("é", 400)}}}
	first := complianceStatus(nil, "B", result, at)
	if len(first.Controls[0].Message) > maxControlText {
		t.Errorf("a message of %d octets", len(first.Controls[0].Message))
	}
	for name, c := range map[string]struct {
		later  time.Duration
		change func(*compliance.Result)
		moves  bool
	}{
		"the same after an hour":     {time.Hour, func(*compliance.Result) {}, false},
		"the same after a day":       {24 * time.Hour, func(*compliance.Result) {}, true},
		"other words after an hour":  {time.Hour, func(r *compliance.Result) { r.Verdicts[0].Seen = "other words" }, false},
		"a verdict after an hour":    {time.Hour, func(r *compliance.Result) { r.Verdicts[0].Outcome = compliance.NotApplicable }, true},
		"the outcome after a minute": {time.Minute, func(r *compliance.Result) { r.Outcome = compliance.Fail }, true},
	} {
		next := result
		next.Verdicts = append([]compliance.Verdict{}, result.Verdicts...)
		c.change(&next)
		got := complianceStatus(&first, "B", next, at.Add(c.later))
		if moved := !got.LastChecked.Equal(first.LastChecked); moved != c.moves {
			t.Errorf("%s: the time moves: %v", name, moved)
		}
		if got.Controls[0].Message == first.Controls[0].Message && next.Verdicts[0].Seen == "other words" {
			t.Errorf("%s: the message is the old one", name)
		}
	}
	if got := complianceStatus(nil, "B", compliance.Result{Outcome: compliance.Unknown}, at); (complianceState{list: []v1alpha1.ComplianceStatus{got}}).condition([]v1alpha1.Baseline{"B"}).status != metav1.ConditionUnknown {
		t.Error("a baseline that this version does not know passes")
	}
}

// What status says is what a survey is compared with, after a restart too.
func TestToldIn(t *testing.T) {
	list := []v1alpha1.ComplianceStatus{{Baseline: "B", Controls: []v1alpha1.ControlStatus{{Name: "SPF", Verdict: v1alpha1.VerdictNotApplicable}, {Name: "DKIM", Verdict: v1alpha1.VerdictUnknown}}}}
	got := toldIn(list, "B").Verdicts
	if len(got) != 2 || got[0].Control != "SPF" || got[0].Outcome != compliance.NotApplicable || got[1].Control != "DKIM" || got[1].Outcome != compliance.Unknown {
		t.Errorf("%+v", got)
	}
	if got := toldIn(list, "other").Verdicts; len(got) > 0 {
		t.Errorf("of a baseline that was not judged: %+v", got)
	}
}
