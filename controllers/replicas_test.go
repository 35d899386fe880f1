package controllers

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
)

// Who gets no traffic is not asked: it may lag behind.
func TestReplicasAreThoseThatGetTraffic(t *testing.T) {
	w := newWorld(t)
	w.r.PolicyService = "mta-sts"
	add := func(name, service string, kind discoveryv1.AddressType, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) {
		w.must(w.api.Create(t.Context(), &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: w.operator, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: kind, Endpoints: endpoints, Ports: ports,
		}))
	}
	ready := func(is bool) discoveryv1.EndpointConditions { return discoveryv1.EndpointConditions{Ready: &is} }
	https := []discoveryv1.EndpointPort{{Port: new(int32(8443))}}
	add("four", "mta-sts", discoveryv1.AddressTypeIPv4, https,
		discoveryv1.Endpoint{Addresses: []string{"10.0.0.2"}},
		discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}, Conditions: ready(true)},
		discoveryv1.Endpoint{Addresses: []string{"10.0.0.3"}, Conditions: ready(false)})
	add("again", "mta-sts", discoveryv1.AddressTypeIPv4, https, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}})
	add("six", "mta-sts", discoveryv1.AddressTypeIPv6, https, discoveryv1.Endpoint{Addresses: []string{"2001:db8::1"}})
	add("names", "mta-sts", discoveryv1.AddressTypeFQDN, https, discoveryv1.Endpoint{Addresses: []string{"replica.example.com"}})
	add("more", "mta-sts", discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{
		{Name: new("metrics"), Port: new(int32(8083))}, {Name: new("https"), Port: new(int32(8444))}, {Name: new("http"), Port: new(int32(8080))},
	}, discoveryv1.Endpoint{Addresses: []string{"10.0.0.4"}})
	add("others", "another", discoveryv1.AddressTypeIPv4, https, discoveryv1.Endpoint{Addresses: []string{"10.0.0.9"}})
	got, err := w.r.replicas(t.Context())
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:8443"), netip.MustParseAddrPort("10.0.0.2:8443"), netip.MustParseAddrPort("10.0.0.4:8444"), netip.MustParseAddrPort("[2001:db8::1]:8443")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	w.r.Plain = true
	if got, err := w.r.replicas(t.Context()); err != nil || !slices.Contains(got, netip.MustParseAddrPort("10.0.0.4:8080")) || len(got) != len(want) {
		t.Errorf("in plain mode: %v, %v", got, err)
	}
}

// answering is what the public addresses of a policy host answer.
type answering []probe.PolicyResult

func (f answering) Fetch(_ context.Context, domain string) (probe.PolicyAnswer, error) {
	if len(f) == 0 {
		return probe.PolicyAnswer{}, &net.DNSError{Name: "mta-sts." + domain, IsNotFound: true}
	}
	return probe.PolicyAnswer{Host: "mta-sts." + domain, Results: f}, nil
}

// A policy is what the world gets when each address serves it, and none that could be reached is silent.
func TestEachPublicAddressServesThePolicy(t *testing.T) {
	p := policy(mtasts.Enforce, "a.example")
	result := func(outcome probe.PolicyOutcome, body string) probe.PolicyResult {
		return probe.PolicyResult{Addr: netip.MustParseAddrPort("192.0.2.1:443"), Outcome: outcome, Body: body, Detail: string(outcome)}
	}
	served, other, silent, unroutable := result(probe.PolicyServed, p.String()), result(probe.PolicyServed, "another"), result(probe.PolicyNoAnswer, ""), result(probe.PolicyUnroutable, "")
	for _, c := range []struct {
		name    string
		answers answering
		service string
		want    string
	}{
		{"served", answering{served}, "", ""},
		{"one family has no route", answering{unroutable, served}, "", ""},
		{"one is silent", answering{served, silent}, "", v1alpha1.ReasonPolicyNotServed},
		{"the first is silent", answering{silent, served}, "mta-sts", v1alpha1.ReasonPolicyNotServed},
		{"one is stale", answering{served, other}, "", v1alpha1.ReasonPolicyMismatch},
		{"one fails", answering{served, result(probe.PolicyTLSFailed, "")}, "", v1alpha1.ReasonPolicyNotServed},
		{"all are silent", answering{silent}, "", v1alpha1.ReasonPolicyNotServed},
		{"all are silent, and there is another way to ask", answering{silent}, "mta-sts", v1alpha1.ReasonNotReachableFromHere},
		{"no route", answering{unroutable}, "", v1alpha1.ReasonPolicyNotServed},
		{"no address", nil, "mta-sts", v1alpha1.ReasonPolicyNotServed},
	} {
		r := &Reconciler{Fetcher: c.answers, PolicyService: c.service}
		if got := r.servedPolicy(t.Context(), "example.com", p); got.reason != c.want || got.bad() && !strings.HasPrefix(got.message, "https://mta-sts.example.com/") {
			t.Errorf("%s: %q (%s), want %q", c.name, got.reason, got.message, c.want)
		}
	}
}

// What the replicas still serve is no proof once they were told of another policy, or were not told of this
// one. Of the announced one, which they all had, it is: to lose the site changes nothing.
func TestWhatReplicasWereToldCounts(t *testing.T) {
	p, other := policy(mtasts.Enforce, "a.example"), policy(mtasts.Enforce, "b.example")
	inForce := announced(offer(ledger.MTASTS{}, p), p, noon)
	for _, c := range []struct {
		name string
		mode v1alpha1.Mode
		site string // the policy of the site; "": it is not there
		told ledger.MTASTS
		want string
	}{
		{"in force", v1alpha1.ModeEnforce, p.String(), inForce, ""},
		{"in force, and the site is lost", v1alpha1.ModeEnforce, "", inForce, ""},
		{"told of another meanwhile", v1alpha1.ModeEnforce, other.String(), offer(inForce, other), v1alpha1.ReasonPolicyMismatch},
		{"told of another, and the site is lost", v1alpha1.ModeEnforce, "", offer(inForce, other), v1alpha1.ReasonPolicyMismatch},
		{"the first, not told yet", v1alpha1.ModeEnforce, "", offer(ledger.MTASTS{}, p), v1alpha1.ReasonPolicyMismatch},
		{"the first, told", v1alpha1.ModeEnforce, p.String(), offer(ledger.MTASTS{}, p), ""},
		{"only looked at", v1alpha1.ModeObserve, other.String(), ledger.MTASTS{}, ""},
	} {
		r := &Reconciler{Fetcher: answering{{Outcome: probe.PolicyServed, Body: p.String(), Addr: netip.MustParseAddrPort("192.0.2.1:443")}}}
		s := &scope{md: &v1alpha1.MailDomain{Spec: v1alpha1.MailDomainSpec{Domain: "example.com", Mode: c.mode}}, claim: claimState{held: true}, book: &book{Ledger: ledger.New("example.com")}}
		if s.book.MTASTS = &c.told; c.site != "" {
			s.site.config = &corev1.ConfigMap{Data: map[string]string{sitePolicy: c.site}}
		}
		if got := r.proof(t.Context(), s, p); got.reason != c.want || s.mtasts.proven != (c.want == "") {
			t.Errorf("%s: %q (%s), want %q", c.name, got.reason, got.message, c.want)
		}
	}
}
