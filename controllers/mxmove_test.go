package controllers

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
)

// mxProber has seen of each host what the test says; nothing of others.
type mxProber map[string]probe.MXOutcome

func (p mxProber) Look(_, host string) (probe.MXSeen, bool) {
	outcome, known := p[host]
	result := probe.MXResult{Addr: netip.MustParseAddrPort("192.0.2.25:25"), Outcome: outcome, Detail: "as the test says"}
	if outcome == probe.MXValid {
		result.Version, result.NotAfter = 0x0304, time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	}
	return probe.MXSeen{MXAnswer: probe.MXAnswer{Host: host, Results: []probe.MXResult{result}}}, known
}

// policyOf is the policy that is served for example.com.
func (w *world) policyOf() mtasts.Policy {
	w.t.Helper()
	p, err := mtasts.ParsePolicy(w.sites(w.snapshot.Dir)["example.com"].Policy)
	w.must(err)
	return p
}

// announcedPolicy is what the ledger says of the announced policy.
func (w *world) announcedPolicy() ledger.MTASTS {
	w.t.Helper()
	l, err := ledger.Decode(w.secret(ledgerName("example-com")).Data[ledgerFile], "example.com")
	w.must(err)
	if l.MTASTS == nil {
		return ledger.MTASTS{}
	}
	return *l.MTASTS
}

// isAnnounced holds when the record has the id of what is served.
func (w *world) isAnnounced(*v1alpha1.MailDomain) bool {
	return slices.Equal(w.dns.TXT("_mta-sts.example.com"), []string{mtasts.Record{ID: w.announcedPolicy().ID}.String()}) && w.announcedPolicy().Policy == w.policyOf().String()
}

// The MX records move as the documentation says: widen, wait for the moment, move, narrow.
func TestMXRecordsMove(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.Set("mx2.example.com", "A", "127.0.0.1"))
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "ready", isReady)
	if m := w.get("example-com").Status.MTASTS; m.SafeToMoveMXAfter != nil || len(m.MX) != 1 || m.MX[0].Host != "mx1.example.com" || m.MX[0].Covered != v1alpha1.VerdictPass {
		t.Errorf("the first policy: %+v", m)
	}

	// The new host is named, and the old one no more, in one go: only half of that is done now.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MX = []string{"mx2.example.com"} })
	w.until("example-com", "widened", func(md *v1alpha1.MailDomain) bool {
		return md.Status.ObservedGeneration == md.Generation && isReady(md) && w.isAnnounced(md)
	})
	md := w.get("example-com")
	if got := w.policyOf().MX; !slices.Equal(got, []string{"mx2.example.com", "mx1.example.com"}) {
		t.Fatalf("the policy has %q", got)
	}
	if !strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "mx1.example.com stays in the policy while mx1.example.com is a live MX host") {
		t.Errorf("nobody hears why: %s", message(md, v1alpha1.ConditionMTASTSReady))
	}
	safe := md.Status.MTASTS.SafeToMoveMXAfter
	if safe == nil || safe.Sub(w.clock.Now()) < 191*time.Hour || safe.Sub(w.clock.Now()) > 192*time.Hour {
		t.Fatalf("safe to move after %v, now is %v", safe, w.clock.Now())
	}
	w.settles("example-com")

	w.clock.SetTime(safe.Time)
	w.pass("example-com")
	if at := w.get("example-com").Status.MTASTS.SafeToMoveMXAfter; at != nil {
		t.Errorf("still waits, until %v", at)
	}
	w.must(w.dns.Set("example.com", "MX", "10 mx2.example.com."))
	w.pass("example-com")
	if got := w.policyOf().MX; len(got) != 2 {
		t.Fatalf("caches may have the old MX record, and the policy has %q", got)
	}
	w.settles("example-com")
	w.forward(recordCaches)
	w.until("example-com", "narrowed", func(md *v1alpha1.MailDomain) bool {
		return slices.Equal(w.policyOf().MX, []string{"mx2.example.com"}) && w.isAnnounced(md) && isReady(md)
	})
	w.settles("example-com")
}

// An MX record that moves without the policy is mail at risk: seen at the next look, and mended by spec
// without a wait.
func TestMailAtRisk(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "ready", isReady)
	before := w.policyOf()
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx3.example.com."))
	w.heard("")
	w.pass("example-com")
	md := w.get("example-com")
	for _, kind := range []string{v1alpha1.ConditionMTASTSReady, v1alpha1.ConditionReady} {
		if !hasReason(kind, v1alpha1.ReasonMailAtRisk)(md) || !strings.Contains(message(md, kind), "mx3.example.com") {
			t.Errorf("%s: %s", kind, message(md, kind))
		}
	}
	if len(w.heard("Warning "+v1alpha1.ReasonMailAtRisk)) == 0 {
		t.Error("no Event")
	}
	w.settles("example-com")
	if got := w.policyOf(); got.String() != before.String() || !w.isAnnounced(nil) {
		t.Errorf("the policy in force became %q", got)
	}
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MX = append(md.Spec.MTASTS.MX, "mx3.example.com") })
	w.until("example-com", "mended", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
}

// Mail is at risk until the id of the wider policy is out, in each pass: also in the one that decides it.
func TestMailStaysAtRiskUntilTheIDIsOut(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "ready", isReady)
	first := w.announcedPolicy().ID
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx3.example.com."))
	w.pass("example-com")
	atRisk := hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonMailAtRisk)
	w.lies = true
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MX = append(md.Spec.MTASTS.MX, "mx3.example.com") })
	w.until("example-com", "decided", func(md *v1alpha1.MailDomain) bool {
		if !atRisk(md) {
			t.Fatalf("senders go by the policy before, and the condition says:\n%s", describe(md))
		}
		return w.announcedPolicy().ID != first
	})
	w.lies = false
	w.until("example-com", "mended", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
}

// What a probe sees of the MX hosts holds up the way into mode enforce, for a day where it sees nothing,
// and never weakens a policy in force.
func TestSTARTTLSHoldsTheWayIntoEnforce(t *testing.T) {
	w := newWorld(t)
	mx := mxProber{"mx1.example.com": probe.MXNoSTARTTLS}
	w.r.MX = mx
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSTesting}})
	w.until("example-com", "ready", isReady)
	if m := w.get("example-com").Status.MTASTS.MX; len(m) != 1 || m[0].StartTLS != v1alpha1.VerdictFail || !strings.Contains(m[0].Message, "as the test says") {
		t.Errorf("status says %+v", m)
	}
	inTesting := w.policyOf()

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = spec().MTASTS })
	w.until("example-com", "held", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonMXNotSecure))
	w.settles("example-com")
	w.forward(48 * time.Hour)
	w.pass("example-com")
	if got := w.policyOf(); got.String() != inTesting.String() || !w.isAnnounced(nil) {
		t.Fatalf("what is known to fail went out: %q", got)
	}

	mx["mx1.example.com"] = probe.MXNoAnswer
	w.until("example-com", "waiting for a probe", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonProbeUnavailable))
	w.restart()
	w.r.MX = mx
	w.forward(probeWait - time.Minute)
	w.pass("example-com")
	if got := w.policyOf(); got.Mode != mtasts.Testing {
		t.Fatal("enforced before a day was over")
	}
	w.settles("example-com")
	w.forward(time.Minute)
	w.until("example-com", "enforced", func(md *v1alpha1.MailDomain) bool {
		c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionMTASTSReady)
		return isReady(md) && w.policyOf().Mode == mtasts.Enforce && c.Reason == v1alpha1.ReasonProbeUnavailable
	})
	w.settles("example-com")

	mx["mx1.example.com"] = probe.MXValid
	w.until("example-com", "seen", func(md *v1alpha1.MailDomain) bool {
		return message(md, v1alpha1.ConditionMTASTSReady) != "" && meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionMTASTSReady).Reason == v1alpha1.ReasonVerified
	})
	if m := w.get("example-com").Status.MTASTS.MX; m[0].StartTLS != v1alpha1.VerdictPass || m[0].Message != "TLSv1.3, valid until 2027-02-01" {
		t.Errorf("status says %+v", m)
	}
	mx["mx1.example.com"] = probe.MXBadCertificate
	w.until("example-com", "at risk", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonMailAtRisk))
	if got := w.policyOf(); got.Mode != mtasts.Enforce || !w.isAnnounced(nil) {
		t.Errorf("a probe weakened the policy in force: %q", got)
	}
}

// translated leads addresses of Pods, which the API does not let be loopback ones, to the servers of the test.
type translated struct {
	*probe.PolicyFetcher
	to map[netip.AddrPort]uint16
}

func (f translated) FetchFrom(ctx context.Context, domain string, targets []netip.AddrPort) (probe.PolicyAnswer, error) {
	var local []netip.AddrPort
	for _, target := range targets {
		local = append(local, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.to[target]))
	}
	answer, err := f.PolicyFetcher.FetchFrom(ctx, domain, local)
	for i := range answer.Results {
		answer.Results[i].Addr = targets[i]
	}
	return answer, err
}

// Each replica by itself has to serve a new policy before it is announced.
func TestEveryReplicaServesBeforeItIsAnnounced(t *testing.T) {
	w := newWorld(t)
	// Another replica has a directory of its own, which is written to while it follows.
	other := &SnapshotWriter{Client: w.api, Reader: w.api, Clock: w.clock, Namespace: w.operator, Dir: t.TempDir()}
	port := w.serve(other.Dir)
	follow, rest := func() { w.others = []*SnapshotWriter{other} }, func() { w.others = nil }
	w.r.PolicyService = "mta-sts"
	w.r.Replicas = translated{
		&probe.PolicyFetcher{Roots: w.roots, Timeout: 10 * time.Second, AllowPrivate: func(netip.Addr) bool { return true }},
		map[netip.AddrPort]uint16{netip.MustParseAddrPort("10.0.0.1:8443"): w.fetchPort, netip.MustParseAddrPort("10.0.0.2:8443"): port},
	}
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	held := func(what string) func(*v1alpha1.MailDomain) bool {
		return func(md *v1alpha1.MailDomain) bool {
			return hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyNotServed)(md) && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), what)
		}
	}
	w.until("example-com", "told of no endpoints", held("has no endpoints"))
	slice := func(name, addr string) {
		s := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: w.operator, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "mta-sts"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{addr}}},
			Ports:       []discoveryv1.EndpointPort{{Port: new(int32(8443))}},
		}
		w.must(w.api.Create(t.Context(), s))
	}
	slice("one", "10.0.0.1")
	slice("two", "10.0.0.2")
	w.until("example-com", "told of the stale one", held("replica 10.0.0.2"))
	if got := w.dns.TXT("_mta-sts.example.com"); len(got) > 0 {
		t.Fatalf("announced %q", got)
	}
	w.settles("example-com")
	follow()
	w.until("example-com", "ready", isReady)

	// A change waits for the slower one as well.
	rest()
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 200 * time.Hour} })
	w.until("example-com", "waiting", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyMismatch))
	if w.isAnnounced(nil) {
		t.Fatal("announced while a replica serves the old policy")
	}
	follow()
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })

	// So does the way back to the announced policy: the slower one got another meanwhile.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 300 * time.Hour} })
	w.pass("example-com")
	rest()
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 200 * time.Hour} })
	w.until("example-com", "waiting for the slower one", func(md *v1alpha1.MailDomain) bool {
		return hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyMismatch)(md) && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "replica 10.0.0.2")
	})
	follow()
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })

	// From here nobody gets to the public address, and the administrator says that this is so.
	w.must(w.dns.Set("mta-sts.example.com", "A", "192.0.2.80"))
	w.until("example-com", "not reachable", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonNotReachableFromHere))
	w.settles("example-com")
	w.r.TrustReplicas = true
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 300 * time.Hour} })
	w.until("example-com", "proven on the replicas", func(md *v1alpha1.MailDomain) bool {
		c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionMTASTSReady)
		return isReady(md) && w.isAnnounced(md) && c.Reason == v1alpha1.ReasonNotReachableFromHere
	})
	w.settles("example-com")
	rest()
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 400 * time.Hour} })
	w.until("example-com", "waiting", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyMismatch))
	if w.isAnnounced(nil) {
		t.Error("announced, trusting a replica that serves the old policy")
	}
}
