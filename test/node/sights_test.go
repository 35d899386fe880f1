//go:build node

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// restricted: the namespace enforces the profile, every Pod runs in it, and the kernel holds each process to what the profile promises.
func (s scene) restricted() {
	var ns corev1.Namespace
	s.must(s.node.API.Get(s.t.Context(), client.ObjectKey{Name: namespace}, &ns))
	if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		s.t.Fatalf("the namespace enforces %q", ns.Labels["pod-security.kubernetes.io/enforce"])
	}
	rooted := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "root"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "root", Image: image}}}}
	if err := s.node.API.Create(s.t.Context(), rooted); !apierrors.IsForbidden(err) {
		s.t.Errorf("a Pod that says nothing of its rights is taken: %v", err)
	}
	for _, deployment := range []string{managers, policyServers} {
		for _, pod := range s.pods(deployment) {
			for _, container := range containers(pod) {
				s.confined(pod, container)
			}
		}
	}
}

func containers(pod corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	return names
}

// confined asks the kernel about the process of a container.
func (s scene) confined(pod corev1.Pod, container string) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid(pod, container)))
	s.must(err)
	for name, want := range map[string]string{
		"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532",
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		got := "nothing"
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				got = strings.Join(strings.Fields(rest), " ")
			}
		}
		if got != want {
			s.t.Errorf("%s of %s: %s is %s, want %s", container, pod.Name, name, got, want)
		}
	}
}

func (s scene) pid(pod corev1.Pod, container string) int {
	s.t.Helper()
	pid, err := s.node.PID(&pod, container)
	s.must(err)
	return pid
}

// goesReady applies the samples' MailDomain, and waits for Ready.
func (s scene) goesReady() {
	began := time.Now()
	s.applySamples()
	md := v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "example-com"}}
	s.until("the MailDomain is Ready", func() (bool, string) {
		s.must(s.node.API.Get(s.t.Context(), client.ObjectKeyFromObject(&md), &md))
		var all []string
		for _, c := range md.Status.Conditions {
			all = append(all, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
		}
		ready := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == md.Generation, strings.Join(all, "\n")
	})
	s.t.Logf("from apply to Ready: %v", time.Since(began).Round(100*time.Millisecond))
	s.must(s.fetch(loadBalancer + ":443"))
}

// applySamples applies the samples of a domain at a name server with dynamic updates, which here is the node's. Mode testing asks for no
// STARTTLS of an MX host, which there is none of.
func (s scene) applySamples() {
	s.t.Helper()
	cert, key, err := s.authority.Issue(policyHost, time.Now().Add(24*time.Hour))
	s.must(err)
	objects := []client.Object{}
	for _, file := range []string{"namespace.yaml", "maildomain_v1alpha1_dnsprovider.yaml", "maildomain_v1alpha1_maildomain.yaml"} {
		text, err := os.ReadFile(filepath.Join(s.root, "config/samples", file))
		s.must(err)
		for part := range strings.SplitSeq(string(text), "\n---\n") {
			object := &unstructured.Unstructured{}
			s.must(yaml.Unmarshal([]byte(part), &object.Object))
			objects = append(objects, object)
			switch object.GetKind() {
			case "DNSProvider":
				s.must(unstructured.SetNestedField(object.Object, nodeAddress+":53", "spec", "rfc2136", "server"))
			case "MailDomain":
				s.must(unstructured.SetNestedField(object.Object, "testing", "spec", "mtaSTS", "mode"))
			}
		}
	}
	objects = append(objects, &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "mta-sts-example-com"}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key},
	})
	for _, o := range objects {
		s.must(s.node.API.Create(s.t.Context(), o))
	}
}

// everyReplicaServes asks each Pod at its own address.
func (s scene) everyReplicaServes() {
	pods := s.pods(policyServers)
	if len(pods) != 2 {
		s.t.Fatalf("want two replicas, got\n%s", describe(pods))
	}
	for _, pod := range pods {
		if err := s.fetch(pod.Status.PodIP + ":8443"); err != nil {
			s.t.Errorf("%s: %v", pod.Name, err)
		}
	}
}

// managersCrash kills every manager, as often as it starts.
func (s scene) managersCrash() {
	s.crash(managers, "manager", 2)
}

// writerCrashes does so to the writer beside one policy server.
func (s scene) writerCrashes() {
	s.crash(policyServers, writer, 1)
}

// crash has a container of so many Pods crash-loop, while senders ask, and lets it recover.
func (s scene) crash(deployment, container string, many int) {
	s.t.Helper()
	load := s.send()
	chosen := map[string]bool{}
	for _, pod := range s.pods(deployment)[:many] {
		chosen[pod.Name] = true
	}
	s.until(container+" crash-loops", func() (bool, string) {
		pods, looping := s.pods(deployment), 0
		for _, pod := range pods {
			switch pid, err := s.node.PID(&pod, container); {
			case !chosen[pod.Name]:
			case waits(pod, container) == "CrashLoopBackOff" && !isReady(pod):
				looping++
			case err == nil:
				s.must(syscall.Kill(pid, syscall.SIGKILL))
			}
		}
		return looping == many, describe(pods)
	})
	s.more(load, 100)
	s.everyReplicaServes()
	s.rolledOut(deployment) // the kubelet starts it again
	s.none(load, fmt.Sprintf("%s crashed in %d Pods", container, many))
}

func isReady(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// waits says why a container does not run, if it is to.
func waits(pod corev1.Pod, container string) string {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container && c.State.Waiting != nil {
			return c.State.Waiting.Reason
		}
	}
	return ""
}

// rollingUpdate replaces every policy server while senders ask.
func (s scene) rollingUpdate() {
	load := s.send()
	s.more(load, 20)
	s.kubectl("-n", namespace, "rollout", "restart", "deployment/"+policyServers)
	s.rolledOut(policyServers)
	s.more(load, 100)
	s.none(load, "every policy server was replaced")
}

// badUpdate rolls out what ends as soon as it starts, and takes it back.
func (s scene) badUpdate() {
	load := s.send()
	s.more(load, 20)
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: policyServers}}
	s.must(s.node.API.Patch(s.t.Context(), deployment, client.RawPatch(types.JSONPatchType,
		[]byte(`[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--no-such-flag"}]`))))
	s.until("the new Pod crashes", func() (bool, string) {
		pods := s.pods(policyServers)
		for _, pod := range pods {
			if waits(pod, writer) == "CrashLoopBackOff" {
				return true, ""
			}
		}
		return false, describe(pods)
	})
	s.more(load, 200)
	s.kubectl("-n", namespace, "rollout", "undo", "deployment/"+policyServers)
	s.rolledOut(policyServers)
	s.none(load, "an update could not start")
}
