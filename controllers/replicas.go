package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
)

// A policy is announced when it is all that the world gets (Law 5). That is proven in two steps: each
// replica is asked by its own address, as one that lags behind may not be the one that answers at the
// public name; then each address of the public name is asked as a sender would.

// settles is for how long a replica that can reach the API server may lag behind: its connection is found dead
// within a minute. One that was cut off for longer goes on with what is stored then, and not with what was between.
const settles = 2 * time.Minute

// proof says what is missing before senders may be told of the policy, and notes in the scope that nothing is.
func (r *Reconciler) proof(ctx context.Context, s *scope, policy mtasts.Policy) verdict {
	domain := s.md.Spec.Domain
	// Every replica had it once, and has been told of no other since: also if the site is lost meanwhile.
	known := s.book.MTASTS != nil && s.book.MTASTS.Policy == policy.String() && !s.book.MTASTS.Astray && !open(*s.book.MTASTS)
	s.mtasts.unasked = s.book.MTASTS != nil && s.book.MTASTS.Policy != ""
	if !known {
		why := unsettledReplicas(s, policy)
		if !why.bad() {
			why = r.onReplicas(ctx, domain, policy)
		}
		if why.bad() {
			s.mtasts.early = why
			return why
		}
	}
	s.mtasts.unasked = false
	why := r.servedPolicy(ctx, domain, policy)
	if why.reason == v1alpha1.ReasonNotReachableFromHere && r.TrustReplicas {
		s.mtasts.unseen = true
		if why = (verdict{}); known {
			why = r.onReplicas(ctx, domain, policy)
		}
	}
	s.mtasts.proven = !why.bad()
	return why
}

// unsettledReplicas says why what the replicas serve proves nothing yet: they were told of something else, or so
// recently of a policy that was served before that one that lags behind may serve it from before.
func unsettledReplicas(s *scope, policy mtasts.Policy) verdict {
	if !s.writes() {
		return verdict{} // nothing will be announced, and the replicas are told nothing
	}
	if body, _ := s.site.served(); body != policy.String() {
		return verdict{v1alpha1.ReasonPolicyMismatch, "the replicas are told of the policy only now: waiting for them to serve it"}
	}
	told, until := s.book.MTASTS, s.site.since().Add(settles)
	if told == nil || !returned(*told) || !s.now.Before(until) {
		return verdict{}
	}
	s.again(until.Sub(s.now))
	return verdict{v1alpha1.ReasonPolicyMismatch, fmt.Sprintf("the policy was served before: waiting until %s for replicas that have yet to hear of the one between", until.Format(time.RFC3339))}
}

// onReplicas says which replica does not serve the policy yet.
func (r *Reconciler) onReplicas(ctx context.Context, domain string, policy mtasts.Policy) verdict {
	if r.PolicyService == "" {
		return verdict{}
	}
	targets, err := r.replicas(ctx)
	switch {
	case err != nil:
		return verdict{v1alpha1.ReasonPolicyNotServed, fmt.Sprintf("Service %s/%s: its EndpointSlices can't be read now", r.Namespace, r.PolicyService)}
	case len(targets) == 0:
		return verdict{v1alpha1.ReasonPolicyNotServed, fmt.Sprintf("Service %s/%s has no endpoints, so nobody serves the policy: check its selector and the Pods, and that of several ports one is named https, or http with --mta-sts-plain", r.Namespace, r.PolicyService)}
	}
	answer, err := r.Replicas.FetchFrom(ctx, domain, targets)
	if err != nil {
		return verdict{v1alpha1.ReasonPolicyNotServed, firstLine(err)}
	}
	for _, result := range answer.Results {
		switch {
		case result.Outcome != probe.PolicyServed:
			return verdict{v1alpha1.ReasonPolicyNotServed, fmt.Sprintf("replica %s: %s", result.Addr.Addr(), result.Detail)}
		case result.Body != policy.String():
			return verdict{v1alpha1.ReasonPolicyMismatch, fmt.Sprintf("replica %s serves another policy: waiting for the new one", result.Addr.Addr())}
		}
	}
	return verdict{}
}

// +kubebuilder:rbac:namespace=maildomain-system,roleName=maildomain-manager,groups=discovery.k8s.io,resources=endpointslices,verbs=list;watch

// replicas are the addresses that get traffic for the Service, sorted.
func (r *Reconciler) replicas(ctx context.Context) ([]netip.AddrPort, error) {
	var slicesOf discoveryv1.EndpointSliceList
	if err := r.Client.List(ctx, &slicesOf, client.InNamespace(r.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: r.PolicyService}); err != nil {
		return nil, err
	}
	var targets []netip.AddrPort
	for _, slice := range slicesOf.Items {
		for _, endpoint := range slice.Endpoints {
			if ready := endpoint.Conditions.Ready; ready != nil && !*ready {
				continue
			}
			for _, address := range endpoint.Addresses {
				addr, err := netip.ParseAddr(address)
				if err != nil {
					continue // a name, of a Service of another kind
				}
				if port, ok := r.policyPort(slice.Ports); ok {
					targets = append(targets, netip.AddrPortFrom(addr, port))
				}
			}
		}
	}
	slices.SortFunc(targets, netip.AddrPort.Compare)
	return slices.Compact(targets), nil
}

// policyPort is the port of a Service that policies are served on: its only one, or of several that with the name
// of the protocol.
func (r *Reconciler) policyPort(ports []discoveryv1.EndpointPort) (uint16, bool) {
	protocol := "https"
	if r.Plain {
		protocol = "http"
	}
	for _, port := range ports {
		if port.Port != nil && (len(ports) == 1 || port.Name != nil && *port.Name == protocol) {
			return uint16(*port.Port), true
		}
	}
	return 0, false
}

// servedPolicy says whether every address of the policy host serves exactly this policy.
func (r *Reconciler) servedPolicy(ctx context.Context, domain string, policy mtasts.Policy) verdict {
	url := "https://mta-sts." + domain + "/.well-known/mta-sts.txt"
	answer, err := r.Fetcher.Fetch(ctx, domain)
	if err != nil {
		what := "its address can't be found out now"
		if isNotFound(err) {
			what = "mta-sts." + domain + " has no address: publish an A, AAAA or CNAME record that leads to the operator's mta-sts Service"
		}
		return verdict{v1alpha1.ReasonPolicyNotServed, url + ": " + what}
	}
	served, silent := 0, verdict{}
	for _, result := range answer.Results {
		switch {
		case result.Outcome == probe.PolicyUnroutable:
		case result.Outcome == probe.PolicyNoAnswer:
			silent = verdict{v1alpha1.ReasonPolicyNotServed, fmt.Sprintf("%s: %s: %s", url, result.Addr.Addr(), result.Detail)}
		case result.Outcome != probe.PolicyServed:
			return verdict{v1alpha1.ReasonPolicyNotServed, fmt.Sprintf("%s: %s: %s", url, result.Addr.Addr(), result.Detail)}
		case result.Body != policy.String():
			return verdict{v1alpha1.ReasonPolicyMismatch, fmt.Sprintf("%s: %s serves another policy: waiting for the new one", url, result.Addr.Addr())}
		default:
			served++
		}
	}
	switch {
	case served == 0 && r.PolicyService != "":
		return verdict{v1alpha1.ReasonNotReachableFromHere, url + ": none of its addresses can be reached from here: check the way to port 443; " +
			"where Pods can't reach the load balancer in front of them, --mta-sts-trust-replicas does without this step"}
	case served == 0 && !silent.bad():
		return verdict{v1alpha1.ReasonPolicyNotServed, url + ": none of its addresses can be reached from here"}
	}
	return silent
}
