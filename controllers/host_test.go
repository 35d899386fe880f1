package controllers

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

const policyHost = "mta-sts.example.com"

// host says where the policy host leads: "A 127.0.0.1".
func (w *world) host() []string {
	targets := dnsprovider.Targets{}
	for _, key := range dnsprovider.HostKeys(policyHost) {
		for _, value := range w.dns.Records(key.Name, key.Type) {
			targets[key.Type] = append(targets[key.Type], strings.TrimSuffix(value, "."))
		}
	}
	return typed(targets)
}

func (w *world) wantHost(when string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), w.host(), cmp.Transformer("", func(s []string) string { return strings.Join(s, ", ") })); diff != "" {
		w.t.Errorf("%s: %s\n%s", when, diff, describe(w.get("example-com")))
	}
}

func (w *world) homeless() {
	w.t.Helper()
	for _, key := range dnsprovider.HostKeys(policyHost) {
		w.must(w.dns.Set(key.Name, key.Type))
	}
}

func onlyMTASTS() v1alpha1.MailDomainSpec {
	return v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS}
}

func address(kind v1alpha1.AddressType, values ...string) *v1alpha1.MTASTSAddress {
	return &v1alpha1.MTASTSAddress{Type: kind, Values: values}
}

func mtastsReason(reason string) func(*v1alpha1.MailDomain) bool {
	return hasReason(v1alpha1.ConditionMTASTSReady, reason)
}

// The host leads where spec says, also when that changes, and its records are ours to repair.
func TestTheHostLeadsWhereSpecSays(t *testing.T) {
	w := newWorld(t)
	w.homeless()
	w.must(w.dns.Set("lb.example.com", "A", "127.0.0.1"))
	w.must(w.dns.Set("other.example.com", "A", "127.0.0.1"))
	s := onlyMTASTS()
	s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1", "2001:db8::80")
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.wantHost("A", "A 127.0.0.1", "AAAA 2001:db8::80")
	for _, kind := range []string{"A", "AAAA"} {
		if !slices.ContainsFunc(w.get("example-com").Status.Records, func(r v1alpha1.RecordStatus) bool {
			return r.Name == policyHost && r.Type == kind && r.State == v1alpha1.RecordVerified && r.Purpose == v1alpha1.PurposeMTASTSAddress
		}) {
			t.Errorf("%s is not in status:\n%s", kind, describe(w.get("example-com")))
		}
	}
	w.settles("example-com")
	calls := w.provider
	if w.pass("example-com"); w.provider > calls {
		t.Error("an unchanged world costs calls")
	}

	// Drift: one is deleted, one is changed, all are gone, another kind stands there.
	for name, spoil := range map[string]func(){
		"deleted":  func() { w.must(w.dns.Set(policyHost, "AAAA")) },
		"all gone": func() { w.homeless() },
		"changed":  func() { w.homeless(); w.must(w.dns.Set(policyHost, "A", "192.0.2.9")) },
		"an alias": func() { w.homeless(); w.must(w.dns.Set(policyHost, "CNAME", "evil.example.net.")) },
	} {
		spoil()
		w.until("example-com", "repaired after "+name, func(*v1alpha1.MailDomain) bool { return len(w.host()) == 2 })
		w.wantHost(name, "A 127.0.0.1", "AAAA 2001:db8::80")
	}
	w.until("example-com", "ready", isReady)

	for _, step := range []struct {
		address *v1alpha1.MTASTSAddress
		want    []string
	}{
		{address(v1alpha1.AddressCNAME, "lb.example.com"), []string{"CNAME lb.example.com"}},
		{address(v1alpha1.AddressCNAME, "other.example.com"), []string{"CNAME other.example.com"}},
		{address(v1alpha1.AddressA, "127.0.0.1"), []string{"A 127.0.0.1"}},
		{address(v1alpha1.AddressA, "127.0.0.1", "127.0.0.2"), []string{"A 127.0.0.1", "A 127.0.0.2"}},
		{address(v1alpha1.AddressA, "::1"), []string{"AAAA ::1"}},
	} {
		w.check = func() {
			if len(w.host()) == 0 {
				t.Errorf("it led nowhere on the way to %q", step.want)
			}
		}
		w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Address = step.address })
		w.until("example-com", "changed", func(*v1alpha1.MailDomain) bool { return slices.Equal(w.host(), step.want) })
		w.pass("example-com")
	}
	w.check = nil
	w.settles("example-com")

	// A CNAME that could not stand beside others' records takes nothing away.
	w.must(w.dns.SetTXT(policyHost, "theirs"))
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.MTASTS.Address = address(v1alpha1.AddressCNAME, "lb.example.com")
	})
	w.until("example-com", "in conflict", mtastsReason(v1alpha1.ReasonRecordConflict))
	w.settles("example-com")
	w.wantHost("beside a text", "AAAA ::1")
}

// Somebody else's address stays, until the user has it adopted.
func TestTheHostOfAnotherStays(t *testing.T) {
	for name, theirs := range map[string][2]string{
		"an address": {"A", "192.0.2.9"}, "another family": {"AAAA", "2001:db8::9"}, "an alias": {"CNAME", "theirs.example.net."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.homeless()
			w.must(w.dns.Set(policyHost, theirs[0], theirs[1]))
			stood := w.host()
			s := onlyMTASTS()
			s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1")
			w.apply("example-com", s)
			w.until("example-com", "in conflict", mtastsReason(v1alpha1.ReasonRecordConflict))
			w.settles("example-com")
			w.wantHost("in conflict", stood...)
			if text := message(w.get("example-com"), v1alpha1.ConditionMTASTSReady); !strings.Contains(text, stood[0]) || !strings.Contains(text, "A 127.0.0.1") || !strings.Contains(text, "Adopt") {
				t.Error(text)
			}
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt })
			w.until("example-com", "ready", isReady)
			w.wantHost("adopted", "A 127.0.0.1")
			w.settles("example-com")
		})
	}
}

// What is published already as it is wanted is taken up without a write, and goes with the rest.
func TestTheHostIsTakenUp(t *testing.T) {
	w := newWorld(t)
	s := onlyMTASTS()
	s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1")
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	if slices.ContainsFunc(w.effects, func(e string) bool { return strings.Contains(e, "DNS A ") }) {
		t.Errorf("written anew: %q", w.effects)
	}
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.until("example-com", "withdrawn", func(*v1alpha1.MailDomain) bool {
		w.forward(24 * time.Hour)
		return len(w.host()) == 0
	})
}

// service gives the mta-sts Service a load balancer with the addresses or names; none: a pending one.
func (w *world) service(at ...string) {
	w.t.Helper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: "mta-sts"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 443}}}}
	if err := w.api.Get(w.t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
		w.must(w.api.Create(w.t.Context(), service))
	}
	service.Status.LoadBalancer.Ingress = nil
	for _, one := range at {
		ingress := corev1.LoadBalancerIngress{IP: one}
		if _, err := netip.ParseAddr(one); err != nil {
			ingress = corev1.LoadBalancerIngress{Hostname: one}
		}
		service.Status.LoadBalancer.Ingress = append(service.Status.LoadBalancer.Ingress, ingress)
	}
	w.must(w.api.Status().Update(w.t.Context(), service))
}

// With Auto the host follows the load balancer of the Service, and stays when that can't be seen.
func TestTheHostFollowsTheService(t *testing.T) {
	w := newWorld(t)
	w.homeless()
	w.r.PolicyService = "mta-sts"
	w.r.Replicas = translated{
		&probe.PolicyFetcher{Roots: w.roots, Timeout: 10 * time.Second, AllowPrivate: func(netip.Addr) bool { return true }},
		map[netip.AddrPort]uint16{netip.MustParseAddrPort("10.0.0.1:8443"): w.fetchPort},
	}
	w.must(w.api.Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: w.operator, Name: "one", Labels: map[string]string{discoveryv1.LabelServiceName: "mta-sts"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
		Ports:       []discoveryv1.EndpointPort{{Port: new(int32(8443))}},
	}))
	w.must(w.dns.Set("lb.example.com", "A", "127.0.0.1"))
	w.apply("example-com", onlyMTASTS())
	w.until("example-com", "told of no Service", mtastsReason(v1alpha1.ReasonAddressPending))
	w.service()
	w.until("example-com", "told of no address", func(md *v1alpha1.MailDomain) bool {
		return mtastsReason(v1alpha1.ReasonAddressPending)(md) && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "has no address of a load balancer")
	})
	w.settles("example-com")
	w.service("127.0.0.1")
	w.until("example-com", "ready", isReady)
	w.wantHost("an address", "A 127.0.0.1")

	// The Service's address, and the Service itself, are away.
	stays := func(when, text string) {
		t.Helper()
		w.passes(3)
		w.wantHost(when, "A 127.0.0.1")
		if md := w.get("example-com"); !isReady(md) || !strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), text) {
			t.Errorf("%s:\n%s", when, describe(md))
		}
		w.settles("example-com")
	}
	w.service()
	stays("no address", "no address of a load balancer; the records of "+policyHost+" stay")
	w.must(w.api.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: "mta-sts"}}))
	stays("no Service", "does not exist; the records of "+policyHost+" stay")
	w.must(w.dns.Set(policyHost, "A"))
	w.until("example-com", "repaired", isReady)
	w.wantHost("repaired without a Service", "A 127.0.0.1")

	w.service("127.0.0.1", "127.0.0.2")
	w.until("example-com", "following", func(*v1alpha1.MailDomain) bool { return len(w.host()) == 2 })
	w.service("lb.example.com")
	w.until("example-com", "following", func(*v1alpha1.MailDomain) bool { return slices.Equal(w.host(), []string{"CNAME lb.example.com"}) })
	w.until("example-com", "ready", isReady)
	w.settles("example-com")

	// Another's record that leads there is as good.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Address = address(v1alpha1.AddressNone) })
	w.until("example-com", "given up", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Address = nil })
	w.homeless()
	w.must(w.dns.Set(policyHost, "A", "127.0.0.1"))
	w.until("example-com", "ready", isReady)
	w.settles("example-com")
	w.wantHost("another's", "A 127.0.0.1")

	// That does not change because there is other trouble.
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx9.example.com."))
	w.until("example-com", "at risk", mtastsReason(v1alpha1.ReasonMailAtRisk))
	for _, record := range w.get("example-com").Status.Records {
		if record.State == v1alpha1.RecordConflict {
			t.Errorf("with another's good record: %+v", record)
		}
	}
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com."))
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 700 * time.Hour} })
	for range 4 {
		w.pass("example-com")
		for _, record := range w.get("example-com").Status.Records {
			if record.State == v1alpha1.RecordConflict {
				t.Errorf("during a change of the policy, with another's good record: %+v", record)
			}
		}
	}
	w.until("example-com", "ready", isReady)
	w.must(w.dns.Set(policyHost, "A", "192.0.2.1"))
	w.until("example-com", "told of another's", mtastsReason(v1alpha1.ReasonRecordConflict))
}

// The configuration of the installation comes before the Service.
func TestTheHostByConfiguration(t *testing.T) {
	w := newWorld(t)
	w.homeless()
	w.apply("example-com", onlyMTASTS())
	w.until("example-com", "told", mtastsReason(v1alpha1.ReasonAddressPending))
	w.settles("example-com")
	w.r.PolicyAddress, _ = records.HostTargets("127.0.0.1")
	w.until("example-com", "ready", isReady)
	w.wantHost("configured", "A 127.0.0.1")
	w.r.PolicyAddress = nil
	w.passes(3)
	w.wantHost("configured no more", "A 127.0.0.1")

	// Observe shows what would change and leaves it.
	w.r.PolicyAddress, _ = records.HostTargets("127.0.0.2")
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Mode = v1alpha1.ModeObserve })
	w.pass("example-com")
	plan := w.get("example-com").Status.Plan
	if len(plan) != 1 || plan[0].Action != v1alpha1.PlanChange || plan[0].Type != "A" || plan[0].Old != "127.0.0.1" || plan[0].New != "127.0.0.2" {
		t.Errorf("%v", plan)
	}
	w.wantHost("observed", "A 127.0.0.1")
	w.settles("example-com")
}

// A human publishes what the plan says.
func TestTheHostByHand(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.SetTXT("_maildomain.example.com", records.NewClaim("test", w.namespace, "example-com").String()))
	s := onlyMTASTS()
	s.DNS = nil
	s.MTASTS.Address = address(v1alpha1.AddressCNAME, "lb.example.com")
	w.must(w.dns.Set("lb.example.com", "A", "127.0.0.1"))
	w.apply("example-com", s)
	w.until("example-com", "waiting", mtastsReason(v1alpha1.ReasonWaitingForHuman))
	plan := map[string]string{}
	for _, p := range w.get("example-com").Status.Plan {
		if p.Name == policyHost {
			plan[p.Type] = string(p.Action) + " " + p.Old + p.New
		}
	}
	if diff := cmp.Diff(map[string]string{"A": "Remove 127.0.0.1", "CNAME": "Create lb.example.com"}, plan); diff != "" {
		t.Error(diff)
	}
	w.wantHost("by hand", "A 127.0.0.1")
	w.homeless()
	w.must(w.dns.Set(policyHost, "CNAME", "lb.example.com."))
	w.until("example-com", "waiting for its TXT alone", func(md *v1alpha1.MailDomain) bool {
		return len(md.Status.Plan) == 1 && md.Status.Plan[0].Name == "_mta-sts.example.com"
	})
}

// The addresses outlive the announcement and every policy that a sender may hold, whatever ends them.
func TestTheHostGoesLast(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"the section goes": func(w *world) { w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil }) },
		"deleted":          func(w *world) { w.delete("example-com") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			central := w.covered()
			w.homeless()
			s := onlyMTASTS()
			s.DNS.DeletionPolicy = v1alpha1.DeletionDelete
			s.DNS.ProviderRef = &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: central.Name}
			s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1")
			w.apply("example-com", s)
			w.until("example-com", "ready", isReady)
			began := w.clock.Now()
			end(w)
			w.check = func() {
				if len(w.host()) > 0 {
					return
				}
				if len(w.dns.TXT("_mta-sts.example.com")) > 0 {
					t.Error("the policy is announced, and its host is gone")
				}
				if w.clock.Since(began) < 168*time.Hour {
					t.Error("senders still hold the policy, and its host is gone")
				}
			}
			w.winds("example-com", "over", time.Hour, func() bool { return len(w.host()) == 0 })
			if w.dns.TXT("_mta-sts.example.com") != nil {
				t.Error("still announced")
			}
			w.check = nil
			if name == "deleted" {
				w.winds("example-com", "closed", time.Hour, w.buried)
			}
		})
	}
}

// None leaves the record, with its rights, to somebody else.
func TestTheHostIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.homeless()
	s := onlyMTASTS()
	s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1")
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	// While a third party is to take over nothing is written; what still stands afterwards is ours.
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.MTASTS.Hosting, md.Spec.MTASTS.Address = v1alpha1.HostingExternal, nil
	})
	w.until("example-com", "waiting for a third party", mtastsReason(v1alpha1.ReasonThirdPartyPending))
	w.homeless()
	w.passes(3)
	w.wantHost("not repaired")
	w.must(w.dns.Set(policyHost, "A", "127.0.0.1"))
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.MTASTS.Hosting, md.Spec.MTASTS.Address = v1alpha1.HostingSidecar, address(v1alpha1.AddressNone)
	})
	w.until("example-com", "told", func(*v1alpha1.MailDomain) bool { return w.told("Warning " + v1alpha1.ReasonRecordsLeft) })
	w.wantHost("given up", "A 127.0.0.1")
	w.homeless()
	w.passes(3)
	w.wantHost("theirs to remove")
	w.must(w.dns.Set(policyHost, "A", "127.0.0.1"))
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.until("example-com", "withdrawn", func(*v1alpha1.MailDomain) bool {
		w.forward(24 * time.Hour)
		return len(w.dns.TXT("_mta-sts.example.com")) == 0
	})
	w.passes(3)
	w.wantHost("not ours to remove", "A 127.0.0.1")
}

// A process that dies at any write of a change of kind leaves what the next one brings to its end.
func TestCrashWhileTheHostChanges(t *testing.T) {
	for at := 1; ; at++ {
		w := newWorld(t)
		w.homeless()
		w.must(w.dns.Set("lb.example.com", "A", "127.0.0.1"))
		s := onlyMTASTS()
		s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1", "2001:db8::80")
		w.apply("example-com", s)
		w.until("example-com", "ready", isReady)
		w.edit("example-com", func(md *v1alpha1.MailDomain) {
			md.Spec.MTASTS.Address = address(v1alpha1.AddressCNAME, "lb.example.com")
		})
		w.crashAt, w.after = len(w.effects)+(at+1)/2, at%2 == 0
		died := w.pass("example-com")
		w.crashAt = 0
		w.restart()
		w.until("example-com", "ready again", func(md *v1alpha1.MailDomain) bool {
			return isReady(md) && slices.Equal(w.host(), []string{"CNAME lb.example.com"})
		})
		var known []string
		w.ledger("example-com", func(l *ledger.Ledger) {
			for _, e := range l.Of(string(v1alpha1.PurposeMTASTSAddress)) {
				known = append(known, e.Type+" "+e.Value)
			}
		})
		if diff := cmp.Diff([]string{"CNAME lb.example.com"}, known); diff != "" {
			t.Errorf("crash %d: %s", at, diff)
		}
		if !died {
			return
		}
	}
}

func TestLoadBalancerTargets(t *testing.T) {
	ip := func(a string) corev1.LoadBalancerIngress { return corev1.LoadBalancerIngress{IP: a} }
	name := func(h string) corev1.LoadBalancerIngress { return corev1.LoadBalancerIngress{Hostname: h} }
	for what, c := range map[string]struct {
		ingress []corev1.LoadBalancerIngress
		want    string
	}{
		"none":             {nil, ""},
		"an empty one":     {[]corev1.LoadBalancerIngress{{}}, ""},
		"addresses":        {[]corev1.LoadBalancerIngress{ip("192.0.2.2"), ip("2001:DB8::1"), ip("192.0.2.1"), ip("192.0.2.1")}, "A 192.0.2.1, A 192.0.2.2, AAAA 2001:db8::1"},
		"mapped":           {[]corev1.LoadBalancerIngress{ip("::ffff:192.0.2.1")}, "A 192.0.2.1"},
		"a name":           {[]corev1.LoadBalancerIngress{name("LB.example.net.")}, "CNAME lb.example.net"},
		"a name of an IP":  {[]corev1.LoadBalancerIngress{{IP: "192.0.2.1", Hostname: "lb.example.net"}}, "CNAME lb.example.net"},
		"names and an IP":  {[]corev1.LoadBalancerIngress{name("b.example.net"), ip("192.0.2.1"), name("a.example.net")}, "CNAME a.example.net"},
		"not an address":   {[]corev1.LoadBalancerIngress{ip("fe80::1%eth0")}, "error"},
		"not a name":       {[]corev1.LoadBalancerIngress{name("a..b")}, "error"},
		"an IP for a name": {[]corev1.LoadBalancerIngress{name("192.0.2.1")}, "A 192.0.2.1"},
	} {
		t.Run(what, func(t *testing.T) {
			targets, err := loadBalancerTargets(corev1.LoadBalancerStatus{Ingress: c.ingress})
			got := strings.Join(typed(targets), ", ")
			if err != nil {
				got = "error"
			}
			if got != c.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// MailDomains are looked at again when the Service's address changes, and for nothing else about it.
func TestOnlyAnotherAddressIsNews(t *testing.T) {
	r := &Reconciler{Namespace: "operator", PolicyService: "mta-sts"}
	service := func(namespace, name, ip, label string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"l": label}},
			Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: ip}}}},
		}
	}
	old := service("operator", "mta-sts", "192.0.2.1", "a")
	for what, c := range map[string]struct {
		next *corev1.Service
		news bool
	}{
		"another address":   {service("operator", "mta-sts", "192.0.2.2", "a"), true},
		"another label":     {service("operator", "mta-sts", "192.0.2.1", "b"), false},
		"another Service":   {service("operator", "other", "192.0.2.2", "a"), false},
		"another namespace": {service("mail", "mta-sts", "192.0.2.2", "a"), false},
	} {
		if got := r.moved().Update(ctrlevent.UpdateEvent{ObjectOld: old, ObjectNew: c.next}); got != c.news {
			t.Errorf("%s: %v", what, got)
		}
	}
	if !r.moved().Create(ctrlevent.CreateEvent{Object: old}) {
		t.Error("a new Service is no news")
	}
}

func TestHostWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		targets := dnsprovider.Targets{}
		for _, word := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"A 1", "A 2", "AAAA ::1", "CNAME x"}), rapid.ID).Draw(t, "words") {
			kind, value, _ := strings.Cut(word, " ")
			targets[kind] = append(targets[kind], value)
		}
		for _, list := range targets {
			slices.Sort(list)
		}
		if got := targetsOf(typed(targets)); !maps.EqualFunc(got, targets, slices.Equal) {
			t.Fatalf("%v of %v", got, targets)
		}
	})
}
