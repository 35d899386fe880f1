package manifests

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The policy Service leads to every Pod that serves and is ready, and to no other: no manager that crashes can take readiness away. A Pod
// that ends serves on until nobody is sent there any more.
func TestPolicyService(t *testing.T) {
	for _, dir := range installations {
		r := render(t, dir)
		service := one[corev1.Service](r, "Service", "maildomain-mta-sts")
		if service.Spec.PublishNotReadyAddresses {
			t.Errorf("%s: senders are led to Pods that are not ready", dir)
		}
		for _, p := range pods(r) {
			if p.sidecar != nil {
				if p.other.Name == "manager" {
					t.Errorf("%s: a manager that crashes takes the readiness of its policy server away", dir)
				}
				if l := p.sidecar.Lifecycle; l == nil || l.PreStop == nil || l.PreStop.Sleep == nil || l.PreStop.Sleep.Seconds >= *p.spec.TerminationGracePeriodSeconds {
					t.Errorf("%s: the policy server of %s ends at once, or is killed before it has ended: %+v", dir, p.deployment.Name, l)
				}
			}
			if leads := labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.deployment.Spec.Template.Labels)); leads != (p.sidecar != nil) {
				t.Errorf("%s: the Service leads to %s: %v", dir, p.deployment.Name, leads)
			}
		}
	}
}

// Each port of a Service is one of its Pods, and a NetworkPolicy lets it in.
func TestServicesReachTheirPods(t *testing.T) {
	for _, dir := range installations {
		r := render(t, dir)
		for _, service := range all[corev1.Service](r, "Service") {
			for _, port := range service.Spec.Ports {
				reached := 0
				for _, p := range pods(r) {
					if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.deployment.Spec.Template.Labels)) {
						continue
					}
					for _, c := range p.containers() {
						if portNamed(c, port.TargetPort.StrVal) == 0 {
							continue
						}
						reached++
						if !admitted(t, r, p, port.TargetPort.StrVal) {
							t.Errorf("%s: no NetworkPolicy lets anybody reach port %s of %s", dir, port.TargetPort.StrVal, p.deployment.Name)
						}
					}
				}
				if reached == 0 {
					t.Errorf("%s: Service %s port %s leads nowhere", dir, service.Name, port.Name)
				}
			}
		}
	}
}

func policiesOf(t *testing.T, r rendered, p pod) []*networkingv1.NetworkPolicy {
	t.Helper()
	return slices.DeleteFunc(all[networkingv1.NetworkPolicy](r, "NetworkPolicy"), func(n *networkingv1.NetworkPolicy) bool {
		return !selects(t, &n.Spec.PodSelector, p.deployment.Spec.Template.Labels)
	})
}

func admitted(t *testing.T, r rendered, p pod, port string) bool {
	t.Helper()
	for _, n := range policiesOf(t, r, p) {
		for _, rule := range n.Spec.Ingress {
			if hasPort(rule.Ports, "TCP", port) {
				return true
			}
		}
	}
	return false
}

func hasPort(ports []networkingv1.NetworkPolicyPort, protocol, port string) bool {
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		spoken := corev1.ProtocolTCP
		if p.Protocol != nil {
			spoken = *p.Protocol
		}
		return string(spoken) == protocol && p.Port != nil && p.Port.String() == port && p.EndPort == nil
	})
}

// What each Pod may do over the network, rule by rule: a new one is seen here.
func TestNetworkPolicies(t *testing.T) {
	for _, dir := range installations {
		r := render(t, dir)
		denied := one[networkingv1.NetworkPolicy](r, "NetworkPolicy", "maildomain-deny")
		if len(denied.Spec.PodSelector.MatchLabels)+len(denied.Spec.PodSelector.MatchExpressions)+len(denied.Spec.Ingress)+len(denied.Spec.Egress) > 0 || len(denied.Spec.PolicyTypes) != 2 {
			t.Errorf("%s: not everything is denied by default: %+v", dir, denied.Spec)
		}
		for _, p := range pods(r) {
			var egress, ingress []string
			for _, n := range policiesOf(t, r, p) {
				if len(n.Spec.PolicyTypes) != 2 {
					t.Errorf("%s: %s is for %v", dir, n.Name, n.Spec.PolicyTypes)
				}
				for _, rule := range n.Spec.Egress {
					egress = append(egress, describe(rule.To, rule.Ports)...)
				}
				for _, rule := range n.Spec.Ingress {
					ingress = append(ingress, describe(rule.From, rule.Ports)...)
				}
			}
			in, out := []string{"some TCP/metrics"}, []string{"any TCP/443", "any TCP/6443"}
			if p.sidecar != nil {
				in = append(in, "any TCP/policy", "some TCP/policy-metrics")
			}
			if p.other.Name == "manager" {
				out = append(out, "any TCP/25", "any TCP/53", "any UDP/53", "some TCP/policy")
			}
			for _, what := range []struct {
				name      string
				got, want []string
			}{{"ingress", ingress, in}, {"egress", egress, out}} {
				slices.Sort(what.got)
				slices.Sort(what.want)
				if !slices.Equal(what.got, what.want) {
					t.Errorf("%s: %s of %s: %v, want %v", dir, what.name, p.deployment.Name, what.got, what.want)
				}
			}
		}
		// Those that are asked are those that serve.
		manager := one[networkingv1.NetworkPolicy](r, "NetworkPolicy", "maildomain-manager")
		for _, p := range pods(r) {
			asked := slices.ContainsFunc(manager.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
				return len(rule.To) == 1 && rule.To[0].PodSelector != nil && selects(t, rule.To[0].PodSelector, p.deployment.Spec.Template.Labels)
			})
			if asked != (p.sidecar != nil) {
				t.Errorf("%s: the manager may ask %s: %v", dir, p.deployment.Name, asked)
			}
		}
	}
}

func describe(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) []string {
	who := "any"
	if len(peers) > 0 {
		who = "some"
	}
	var all []string
	for _, p := range ports {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		all = append(all, fmt.Sprintf("%s %s/%s", who, protocol, p.Port))
	}
	return all
}

// In plain mode all that says HTTPS says HTTP, and the port is another one.
func TestPlainComponent(t *testing.T) {
	r := renderPlain(t)
	service := one[corev1.Service](r, "Service", "maildomain-mta-sts")
	if service.Spec.Type != corev1.ServiceTypeClusterIP || len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 80 {
		t.Errorf("the Service: %+v", service.Spec)
	}
	for _, p := range pods(r) {
		if !slices.Contains(p.other.Args, "--mta-sts-plain") {
			t.Errorf("args %q", p.other.Args)
		}
		checkArguments(t, p)
		if p.sidecar == nil {
			continue
		}
		if !slices.Contains(p.sidecar.Args, "--plain") {
			t.Errorf("args %q", p.sidecar.Args)
		}
		checkSidecar(t, p)
	}
}
