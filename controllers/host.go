package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/records"
)

// hostState is what a pass has to do with the addresses of the policy host.
type hostState struct {
	wish *hostWish // nil: what stands there stays as it is
	// lacks says why the operator writes no address, for the case that the host has none.
	lacks string
}

// hostWish is where the policy host should lead; without targets, nowhere by our hand.
type hostWish struct {
	targets dnsprovider.Targets
	auto    bool // it follows the Service, and is content with another's record that leads there
}

// decideHost says where the policy host should lead. What was written goes no earlier than the
// announcement and what senders may hold (Laws 5 and 11), and never because the Service or its address
// is not there (Law 2).
func (r *Reconciler) decideHost(ctx context.Context, s *scope) error {
	spec, held := s.md.Spec.MTASTS, s.heldTargets()
	switch {
	case s.external() || s.book.ThirdParty != nil: // it is a third party's, or it is not known whose
	case spec == nil && !s.dropped(sectionMTASTS):
	case spec == nil && s.unannounced():
		s.host.wish = &hostWish{}
	case spec == nil && s.ending == nil:
		s.keepHost(held)
	case spec == nil: // what is gone at an end is not made anew
	case spec.AddressTypeOrDefault() == v1alpha1.AddressNone:
		s.giveUp(v1alpha1.PurposeMTASTSAddress, "spec.mtaSTS.address.type is None")
	case spec.AddressTypeOrDefault() == v1alpha1.AddressAuto:
		targets, lacks := r.serviceTargets(ctx)
		if len(targets) > 0 {
			s.host.wish = &hostWish{targets: targets, auto: true}
			break
		}
		s.host.lacks = lacks
		if s.keepHost(held); len(held) > 0 {
			s.mtasts.noteThat(fmt.Sprintf("%s; the records of %s stay as they are", lacks, records.MTASTSHost(s.md.Spec.Domain)))
		}
	default:
		targets, err := records.HostTargets(spec.Address.Values...)
		if err != nil {
			s.keepHost(held)
			s.block(v1alpha1.ConditionMTASTSReady, verdict{v1alpha1.ReasonUnsupported, fmt.Sprintf("spec.mtaSTS.address.values: %v", err)})
			break
		}
		s.host.wish = &hostWish{targets: targets}
	}
	return nil
}

// keepHost wants what stands by our hand to go on standing.
func (s *scope) keepHost(held dnsprovider.Targets) {
	if len(held) > 0 {
		s.host.wish = &hostWish{targets: held}
	}
}

// heldTargets is where the policy host leads by the ledger.
func (s *scope) heldTargets() dnsprovider.Targets {
	held := dnsprovider.Targets{}
	for _, e := range s.book.Of(string(v1alpha1.PurposeMTASTSAddress)) {
		if e.Settled && !slices.Contains(held[e.Type], e.Value) {
			held[e.Type] = append(held[e.Type], e.Value)
		}
	}
	return held
}

// unannounced reports whether no sender is told of a policy by our hand, or may hold one.
func (s *scope) unannounced() bool {
	policy, _ := s.site.served()
	return s.book.MTASTS == nil && (policy == "" || s.mtasts.ended) && len(s.book.At(records.MTASTSSlot(s.md.Spec.Domain).Key)) == 0
}

// giveUp leaves records to whom they belong from now on: to take them away would take the policy from
// senders who hold to it.
func (s *scope) giveUp(purpose v1alpha1.RecordPurpose, why string) {
	entries := s.book.Of(string(purpose))
	if len(entries) == 0 || !s.writes() {
		return
	}
	s.book.Forget(string(purpose))
	s.left(fmt.Sprintf("%s, so these records stay published and are no longer the operator's: %s", why, names(entries)), string(purpose))
}

// serviceTargets is where the operator's mta-sts Service is reached: what the installation's
// configuration says, or else the load balancer. lacks says why that is not known.
func (r *Reconciler) serviceTargets(ctx context.Context) (targets dnsprovider.Targets, lacks string) {
	if len(r.PolicyAddress) > 0 {
		return r.PolicyAddress, ""
	}
	if r.PolicyService == "" {
		return nil, "the operator does not know the address of its mta-sts Service (--mta-sts-service, --mta-sts-address)"
	}
	what := fmt.Sprintf("Service %s/%s", r.Namespace, r.PolicyService)
	var service corev1.Service
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: r.PolicyService}, &service); err != nil {
		return nil, what + " can't be read now, or does not exist"
	}
	targets, err := loadBalancerTargets(service.Status.LoadBalancer)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("%s: the address of its load balancer can't be used: %v", what, err)
	case len(targets) == 0:
		return nil, what + " has no address of a load balancer"
	}
	return targets, ""
}

// loadBalancerTargets prefers a name to addresses: it stays when they change.
func loadBalancerTargets(status corev1.LoadBalancerStatus) (dnsprovider.Targets, error) {
	var hosts, addresses []string
	for _, ingress := range status.Ingress {
		if ingress.Hostname != "" {
			hosts = append(hosts, ingress.Hostname)
		} else if ingress.IP != "" {
			addresses = append(addresses, ingress.IP)
		}
	}
	if len(hosts) > 0 {
		return records.HostTargets(slices.Min(hosts)) // a name can lead to one other only
	}
	return records.HostTargets(addresses...)
}

// typed puts targets into words, sorted: "A 192.0.2.1".
func typed(targets dnsprovider.Targets) []string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(targets)) {
		for _, value := range targets[kind] {
			all = append(all, kind+" "+value)
		}
	}
	slices.Sort(all)
	return all
}

// targetsOf is the inverse of typed.
func targetsOf(words []string) dnsprovider.Targets {
	targets := dnsprovider.Targets{}
	for _, word := range words {
		kind, value, _ := strings.Cut(word, " ")
		targets[kind] = append(targets[kind], value)
	}
	return targets
}

// hostVerdict has the condition say what is wrong with the addresses, where that is why the policy can't be
// fetched, or where nothing else is wrong.
func (s *scope) hostVerdict(why verdict) {
	switch s.blocked[v1alpha1.ConditionMTASTSReady].reason {
	case "", v1alpha1.ReasonPolicyNotServed, v1alpha1.ReasonPolicyMismatch, v1alpha1.ReasonNotReachableFromHere:
		if why.bad() {
			s.blocked[v1alpha1.ConditionMTASTSReady] = why
		}
	}
}
