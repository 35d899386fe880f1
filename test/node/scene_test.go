//go:build node

package node

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

const (
	namespace = "maildomain-system"

	// The Deployments; policyServers is the name of their Service as well.
	managers, policyServers = "maildomain-manager", "maildomain-mta-sts"
	// The containers of a policy server's Pod.
	server, writer = "mta-sts", "snapshot"

	// loadBalancer is the address of the policy Service in the world. 203.0.113.0/24 is for documentation.
	loadBalancer = "203.0.113.1"
	policyHost   = "mta-sts.example.com"

	image = "registry.example/maildomain-operator:dev" // what `make image` calls it

	tsigSecret = "YSBwdWJsaWMgZGVtbyBrZXk6IHByb3RlY3RzIG5vbmU=" // of config/samples
)

// scene is the node with what is around the operator: a name server, which is the Pods' resolver too, and an authority that signs
// certificates of policy hosts.
type scene struct {
	t         *testing.T
	node      *Node
	dns       *dnsserver.Server
	authority *certificate.Authority
	roots     *x509.CertPool
	root      string // of the repository
}

// in is the scene of a part of the test.
func (s scene) in(t *testing.T) scene {
	s.t = t
	return s
}

func (s scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s scene) until(what string, seen func() (done bool, state string)) {
	s.t.Helper()
	s.must(until(what, seen))
}

// raise starts all of it, the operator aside.
func raise(t *testing.T) scene {
	t.Helper()
	dir := os.Getenv(insideEnv)
	if dir == "" {
		t.Fatal("a node needs root, and a kubelet, containerd and runc: run \"make e2e-node\"")
	}
	began := time.Now()
	node, err := Start(dir, os.Getenv(assetsEnv), os.Getenv(controlPlaneEnv))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(node.Logs())
		}
	})
	s := scene{t: t, node: node, roots: x509.NewCertPool()}
	s.must(err)
	t.Logf("the node is ready after %v", time.Since(began).Round(time.Second))
	s.must(node.Import(os.Getenv(imageEnv)))
	s.root, err = filepath.Abs("../..")
	s.must(err)

	s.authority, err = certificate.NewAuthority()
	s.must(err)
	s.roots.AppendCertsFromPEM(s.authority.PEM)
	s.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: nodeAddress + ":53", Keys: map[string]string{"maildomain.": tsigSecret},
		Zones:  []string{"com", "example.com", "se", "smarter.se"},
		SOATTL: time.Minute, Minimum: 2 * time.Second,
	})
	s.must(err)
	t.Cleanup(func() { s.dns.Close() })
	s.must(s.dns.Set("example.com", "MX", "10 mx1.example.com."))
	s.must(s.dns.Set("mx1.example.com", "A", nodeAddress))
	s.must(s.dns.SetTXT("smarter.se", "v=spf1 ip4:198.51.100.0/24 -all"))
	return s
}

// overlay is what config/install says, and what this world has instead of the Internet: addresses that are not public, and an authority
// that nobody else knows.
const overlay = `resources: [%[1]s]
images: [{name: maildomain, newName: %[2]s, newTag: %[3]s}]
generatorOptions: {disableNameSuffixHash: true}
configMapGenerator: [{name: authorities, namespace: ` + namespace + `, files: [ca.pem]}]
patches:
- target: {kind: Deployment, name: maildomain-manager}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --owner-id=node}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: "--allow-private-targets=` + nodeNetwork + `,` + loadBalancer + `/32"}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --mta-sts-roots=/authorities/ca.pem}
    - {op: add, path: /spec/template/spec/containers/0/volumeMounts/-, value: {name: authorities, mountPath: /authorities, readOnly: true}}
    - {op: add, path: /spec/template/spec/volumes/-, value: {name: authorities, configMap: {name: authorities}}}
`

// install applies config/default as a user does, and waits for the Pods.
func (s scene) install() {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.node.dir, "overlay-")
	s.must(err)
	base, err := filepath.Rel(dir, filepath.Join(s.root, "config/default"))
	s.must(err)
	name, tag, _ := strings.Cut(image, ":")
	s.must(os.WriteFile(filepath.Join(dir, "ca.pem"), s.authority.PEM, 0o600))
	s.must(os.WriteFile(filepath.Join(dir, "kustomization.yaml"), fmt.Appendf(nil, overlay, base, name, tag), 0o600))
	s.kubectl("apply", "--server-side", "-k", dir)
	s.balance()
	began := time.Now()
	s.rolledOut(managers)
	s.rolledOut(policyServers)
	s.t.Logf("Pods are ready after %v", time.Since(began).Round(time.Second))
}

// balance does what a cloud's load balancer does: the Service gets an address, at which kube-proxy takes over.
func (s scene) balance() {
	s.t.Helper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: policyServers}}
	s.must(s.node.API.Get(s.t.Context(), client.ObjectKeyFromObject(service), service))
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: loadBalancer, IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)}}
	s.must(s.node.API.Status().Update(s.t.Context(), service))
}

func (s scene) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.node.call("kubectl", append([]string{"--kubeconfig", s.node.Kubeconfig}, args...)...)
	s.must(err)
	return out
}

// rolledOut waits until the Deployment has nothing but Pods of its newest template, all of them ready and none ending.
func (s scene) rolledOut(name string) {
	s.t.Helper()
	s.until("Deployment "+name+" is rolled out", func() (bool, string) {
		var d appsv1.Deployment
		s.must(s.node.API.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &d))
		wanted, pods := *d.Spec.Replicas, s.pods(name)
		done := d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == wanted && d.Status.AvailableReplicas == wanted && len(pods) == int(wanted)
		return done, fmt.Sprintf("%d of %d replicas updated, %d available\n%s", d.Status.UpdatedReplicas, wanted, d.Status.AvailableReplicas, describe(pods))
	})
}

// pods are those of a Deployment, also those that are ending.
func (s scene) pods(deployment string) []corev1.Pod {
	s.t.Helper()
	var d appsv1.Deployment
	s.must(s.node.API.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: deployment}, &d))
	var list corev1.PodList
	s.must(s.node.API.List(s.t.Context(), &list, client.InNamespace(namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)))
	return list.Items
}

// describe says of each container what it does, and of each Pod what keeps it from being ready.
func describe(pods []corev1.Pod) string {
	var all strings.Builder
	for _, p := range pods {
		fmt.Fprintf(&all, "%s %s %s", p.Name, p.Status.Phase, p.Status.PodIP)
		for _, c := range p.Status.Conditions {
			if c.Status != corev1.ConditionTrue {
				fmt.Fprintf(&all, "; %s: %s %s", c.Type, c.Reason, c.Message)
			}
		}
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, c := range list {
				fmt.Fprintf(&all, "; %s ready=%v restarts=%d", c.Name, c.Ready, c.RestartCount)
				if c.State.Waiting != nil {
					fmt.Fprintf(&all, " %s %s", c.State.Waiting.Reason, c.State.Waiting.Message)
				}
			}
		}
		fmt.Fprintln(&all)
	}
	return all.String()
}
