package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
)

// Probes are gone with the process. What they had shown goes on being said, and lets nothing through.
func TestARestartForgetsNoTrouble(t *testing.T) {
	w := newWorld(t)
	mx := mxProber{"mx1.example.com": probe.MXValid}
	w.r.MX = mx
	w.apply("example-com", onlyMTASTS())
	w.until("example-com", "ready", isReady)
	mx["mx1.example.com"] = probe.MXNoSTARTTLS
	w.until("example-com", "at risk", hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonMailAtRisk))

	w.restart()
	w.r.MX = mxProber{}
	w.pass("example-com")
	if md := w.get("example-com"); !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonMailAtRisk)(md) || !strings.Contains(message(md, v1alpha1.ConditionReady), "as the test says") {
		t.Errorf("the restart is taken for the end of the trouble:\n%s", describe(md))
	}
	w.settles("example-com")
	w.r.MX = mxProber{"mx1.example.com": probe.MXValid}
	w.until("example-com", "mended", isReady)

	// Good news from before are not enough to enforce.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Mode = v1alpha1.MTASTSTesting })
	w.until("example-com", "in testing", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && w.isAnnounced(md) && w.policyOf().Mode == mtasts.Testing
	})
	w.restart()
	w.r.MX = mxProber{}
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Mode = v1alpha1.MTASTSEnforce })
	w.until("example-com", "waiting for the first probe", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonProbeUnavailable))
	w.settles("example-com")
	w.forward(2 * probeWait)
	w.pass("example-com")
	if got := w.policyOf(); got.Mode != mtasts.Testing {
		t.Errorf("enforced without a probe")
	}
	w.r.MX = mxProber{"mx1.example.com": probe.MXValid}
	w.until("example-com", "enforced", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.policyOf().Mode == mtasts.Enforce })
}

// A zone can't fill ledger and status with its MX records, nor get a policy judged by some of them.
func TestMXRecordsOfNoUse(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", onlyMTASTS())
	w.until("example-com", "ready", isReady)
	before := w.policyOf()
	many := func(n int) (records []string) {
		for i := range n {
			records = append(records, fmt.Sprintf("10 mx%02d.example.com.", i))
		}
		return records
	}
	long := strings.Repeat(strings.Repeat(`\007`, 60)+".", 4)
	for _, c := range []struct {
		records []string
		says    string
	}{
		{many(maxMX + 1), "they name 33 hosts, and at most 32 are looked at"},
		{[]string{"10 mx1.example.com.", "20 " + long}, "is not a host name"},
		{[]string{"10 mx1.example.com.", `20 mx\032two.example.com.`}, `"mx\\ two.example.com" is not a host name`},
	} {
		w.must(w.dns.Set("example.com", "MX", c.records...))
		w.until("example-com", c.says, func(md *v1alpha1.MailDomain) bool {
			return hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonMXNotCovered)(md) && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), c.says)
		})
		w.settles("example-com")
		if got := w.policyOf(); got.String() != before.String() || !w.isAnnounced(nil) {
			t.Errorf("%s: the policy in force became %q", c.says, got)
		}
	}
	w.must(w.dns.Set("example.com", "MX", many(maxMX)...))
	w.until("example-com", "judged again", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonMailAtRisk))
	if got := w.get("example-com").Status.MTASTS.MX; len(got) != maxMX {
		t.Errorf("%d hosts in status", len(got))
	}
}

func TestWhatIsRememberedOfMXRecords(t *testing.T) {
	before := ledger.MX{Hosts: []string{"a.example", "b.example"}, Left: map[string]time.Time{"old.example": noon.Add(-recordCaches), "c.example": noon.Add(-time.Hour)}}
	if got := (announcement{now: noon, live: nil}).remember(before); !slices.Equal(got.Hosts, before.Hosts) || len(got.Left) != 2 {
		t.Errorf("no answer: %+v", got)
	}
	if got := (announcement{now: noon, known: true, live: hosts("a.example", "b.example")}).remember(before); len(got.Left) != 2 {
		t.Errorf("the same: %+v, want no reason to write", got)
	}
	got := announcement{now: noon, known: true, live: hosts("b.example", "c.example")}.remember(before)
	if !slices.Equal(got.Hosts, []string{"b.example", "c.example"}) || len(got.Left) != 1 || !got.Left["a.example"].Equal(noon) {
		t.Errorf("moved: %+v", got)
	}

	// A zone that moves its mail at every look: what left last is what caches have.
	var seen ledger.MX
	for i := range 1000 {
		seen = announcement{now: noon.Add(time.Duration(i) * time.Second), known: true, live: hosts(fmt.Sprintf("mx%d.example", i))}.remember(seen)
	}
	if _, last := seen.Left["mx998.example"]; len(seen.Left) != maxLeft || !last {
		t.Errorf("%d hosts have left, the last of them: %v", len(seen.Left), last)
	}
}

// What a gate holds back after it was served is served no longer: what is announced is.
func TestWhatIsHeldBackIsNotServed(t *testing.T) {
	w := newWorld(t)
	testing := onlyMTASTS()
	testing.MTASTS.Mode = v1alpha1.MTASTSTesting
	w.apply("example-com", testing)
	w.until("example-com", "ready", isReady)
	announced := w.policyOf()

	// The new policy is served, and can't be seen from outside yet.
	w.must(w.dns.Set(policyHost, "A", "127.0.0.1", "127.0.0.77"))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Mode = v1alpha1.MTASTSEnforce })
	w.until("example-com", "served and not announced", func(*v1alpha1.MailDomain) bool { return w.policyOf().Mode == mtasts.Enforce })
	if w.isAnnounced(nil) {
		t.Fatal("announced though an address does not serve it")
	}
	// Then a host comes that it does not cover.
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx9.example.com."))
	w.until("example-com", "the announced one is served", func(md *v1alpha1.MailDomain) bool {
		return w.policyOf().String() == announced.String() && w.isAnnounced(md) && hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonMXNotCovered)(md)
	})
	w.settles("example-com")

	w.must(w.dns.Set(policyHost, "A", "127.0.0.1"))
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com."))
	w.until("example-com", "ready once the caches have forgotten", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonProgressing))
	w.forward(recordCaches)
	w.until("example-com", "enforced", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && w.policyOf().Mode == mtasts.Enforce && w.isAnnounced(md)
	})
}

// A policy that asks for less needs no new certificate: what is served goes on with the last good one.
func TestAFaultyCertificateHoldsNoRelease(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", onlyMTASTS())
	w.until("example-com", "ready", isReady)
	secret := w.secret("mta-sts-example-com")
	secret.Data["tls.key"] = []byte("not a key")
	w.must(w.api.Update(t.Context(), secret))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Mode = v1alpha1.MTASTSTesting })
	w.until("example-com", "in testing", func(md *v1alpha1.MailDomain) bool {
		return w.policyOf().Mode == mtasts.Testing && w.isAnnounced(md) && hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonCertificateNotReady)(md)
	})
	w.settles("example-com")

	// The way back waits for a good one.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Mode = v1alpha1.MTASTSEnforce })
	w.passes(3)
	if w.policyOf().Mode != mtasts.Testing {
		t.Error("enforced with a certificate that can't be served")
	}
}

// A withdrawal that can't get on is said, and one that does as well.
func TestAWithdrawalIsSeenInStatus(t *testing.T) {
	w := newWorld(t)
	s := spec()
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.must(w.dns.Set(policyHost, "A", "127.0.0.77"))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.until("example-com", "told of the policy host", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyNotServed))
	if isReady(w.get("example-com")) {
		t.Error("ready, and the withdrawal does not get on")
	}
	w.settles("example-com")
	w.must(w.dns.Set(policyHost, "A", "127.0.0.1"))
	w.until("example-com", "withdrawing", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "mode none is served and announced") && md.Status.MTASTS.CommitmentEnds != nil
	})
	w.settles("example-com")
	w.clock.SetTime(w.get("example-com").Status.MTASTS.CommitmentEnds.Time)
	w.until("example-com", "withdrawn", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && message(md, v1alpha1.ConditionMTASTSReady) == "" && len(w.dns.TXT("_mta-sts.example.com")) == 0
	})
}
