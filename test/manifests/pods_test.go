package manifests

import (
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// installations are what can be applied; each is rendered with the image and the owner id of config/install.
var installations = []string{"install", "default", "namespaced"}

func TestPods(t *testing.T) {
	for _, dir := range installations {
		t.Run(dir, func(t *testing.T) {
			r := render(t, dir)
			sidecars := 0
			for _, p := range pods(r) {
				if p.sidecar != nil {
					sidecars++
					checkSidecar(t, p)
				}
				checkPod(t, p)
				checkSnapshot(t, p)
				checkAvailability(t, r, p)
			}
			if sidecars != 1 {
				t.Errorf("%d Deployments serve policies, want 1", sidecars)
			}
		})
	}
}

// checkSidecar: it starts first, ends last, goes on while its neighbour crashes, and holds nothing.
func checkSidecar(t *testing.T, p pod) {
	t.Helper()
	c := p.sidecar
	if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Errorf("%s: restartPolicy %v, want Always: a native sidecar", c.Name, c.RestartPolicy)
	}
	if c.StartupProbe != nil || c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		t.Errorf("%s: what waits for its start keeps the one that writes the snapshot from starting", c.Name)
	}
	if len(c.Args) == 0 || c.Args[0] != "mta-sts" {
		t.Errorf("%s: args %q", c.Name, c.Args)
	}
	if len(c.Env) > 0 || len(c.EnvFrom) > 0 {
		t.Errorf("%s has an environment: %v %v", c.Name, c.Env, c.EnvFrom)
	}
	// No token, no credential: of all volumes it has the snapshot, and cannot write to it.
	if want := []corev1.VolumeMount{{Name: "snapshot", MountPath: "/snapshot", ReadOnly: true}}; !reflect.DeepEqual(c.VolumeMounts, want) {
		t.Errorf("%s mounts %v, want %v", c.Name, c.VolumeMounts, want)
	}
}

// checkSnapshot: the writer and the manager have a directory of their own for it.
func checkSnapshot(t *testing.T, p pod) {
	t.Helper()
	snapshot := volume(p, "snapshot")
	if snapshot.EmptyDir == nil || snapshot.EmptyDir.Medium != corev1.StorageMediumMemory || snapshot.EmptyDir.SizeLimit.IsZero() {
		t.Errorf("the snapshot is in %+v, want a bounded emptyDir in memory: it holds private keys", snapshot.VolumeSource)
	}
	if other := p.other.Resources.Limits.Memory(); snapshot.EmptyDir != nil && other.Cmp(*snapshot.EmptyDir.SizeLimit) <= 0 {
		t.Errorf("%s may use %s, and a full snapshot of %s counts to it", p.other.Name, other, snapshot.EmptyDir.SizeLimit)
	}
	if !slices.ContainsFunc(p.other.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == "snapshot" && m.MountPath == "/snapshot" && !m.ReadOnly
	}) {
		t.Errorf("%s does not write to the snapshot: %v", p.other.Name, p.other.VolumeMounts)
	}
}

func volume(p pod, name string) corev1.Volume {
	for _, v := range p.spec.Volumes {
		if v.Name == name {
			return v
		}
	}
	return corev1.Volume{}
}

func checkPod(t *testing.T, p pod) {
	t.Helper()
	name, spec := p.deployment.Name, p.spec
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Errorf("%s: the token is mounted into every container", name)
	}
	if spec.ServiceAccountName == "" || spec.ServiceAccountName == "default" {
		t.Errorf("%s: ServiceAccount %q", name, spec.ServiceAccountName)
	}
	for _, v := range spec.Volumes {
		switch {
		case v.EmptyDir != nil && v.Name == "snapshot":
		case v.Projected != nil && tokenOf(v) != nil:
		default:
			t.Errorf("%s: volume %s is of a kind that nobody needs: %+v", name, v.Name, v.VolumeSource)
		}
	}
	if token := tokenOf(volume(p, "api")); token == nil || token.Path != "token" || token.ExpirationSeconds == nil || *token.ExpirationSeconds > 3600 {
		t.Errorf("%s: the volume of the token: %+v", name, token)
	}
	if !slices.ContainsFunc(p.other.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == "api" && m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" && m.ReadOnly
	}) {
		t.Errorf("%s: %s has no token: %v", name, p.other.Name, p.other.VolumeMounts)
	}
	s := spec.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 || s.FSGroup == nil || *s.FSGroup != 65532 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: securityContext %+v", name, s)
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		t.Errorf("%s has a part of the host", name)
	}
	for _, c := range p.containers() {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 ||
			s.Privileged != nil || s.RunAsUser != nil || s.RunAsNonRoot != nil || s.SeccompProfile != nil {
			t.Errorf("%s/%s: securityContext %+v", name, c.Name, s)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s/%s: resources %+v", name, c.Name, c.Resources)
		}
		for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
			if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || portNamed(c, probe.HTTPGet.Port.StrVal) == 0 {
				t.Errorf("%s/%s: the probe of %s is %+v", name, c.Name, path, probe)
			}
		}
	}
}

func tokenOf(v corev1.Volume) *corev1.ServiceAccountTokenProjection {
	if v.Projected == nil {
		return nil
	}
	for _, source := range v.Projected.Sources {
		if source.ServiceAccountToken != nil {
			return source.ServiceAccountToken
		}
	}
	return nil
}

func portNamed(c *corev1.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// checkAvailability: there are two replicas at least, apart from each other, and never fewer.
func checkAvailability(t *testing.T, r rendered, p pod) {
	t.Helper()
	d := p.deployment
	if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
		t.Errorf("%s: replicas %v", d.Name, d.Spec.Replicas)
	}
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable == nil || u.MaxUnavailable.String() != "0" {
		t.Errorf("%s: rolling update %+v, want maxUnavailable 0", d.Name, u)
	}
	spread := p.spec.TopologySpreadConstraints
	if len(spread) == 0 || !selects(t, spread[0].LabelSelector, d.Spec.Template.Labels) {
		t.Errorf("%s: topology spread %+v", d.Name, spread)
	}
	if !selects(t, d.Spec.Selector, d.Spec.Template.Labels) {
		t.Errorf("%s does not select its own Pods", d.Name)
	}
	budgets := 0
	for _, b := range all[policyv1.PodDisruptionBudget](r, "PodDisruptionBudget") {
		if selects(t, b.Spec.Selector, d.Spec.Template.Labels) {
			budgets++
			if b.Spec.MinAvailable == nil || b.Spec.MinAvailable.String() != "1" {
				t.Errorf("%s: minAvailable %v", b.Name, b.Spec.MinAvailable)
			}
		}
	}
	if budgets != 1 {
		t.Errorf("%s has %d PodDisruptionBudgets, want 1", d.Name, budgets)
	}
}

func selects(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(set))
}

// Every object carries the recommended labels, and stands in the operator's namespace or in none.
func TestLabels(t *testing.T) {
	for _, dir := range installations {
		for _, o := range render(t, dir).objects {
			if o.GetKind() == "CustomResourceDefinition" {
				continue
			}
			for key, want := range map[string]string{
				"app.kubernetes.io/instance": "maildomain", "app.kubernetes.io/part-of": "maildomain", "app.kubernetes.io/managed-by": "kustomize",
			} {
				if got := o.GetLabels()[key]; got != want {
					t.Errorf("%s: %s %s: label %s is %q", dir, o.GetKind(), o.GetName(), key, got)
				}
			}
			if ns := o.GetNamespace(); ns != "" && ns != namespace && (dir != "namespaced" || ns != watchedNamespace) {
				t.Errorf("%s: %s %s is in namespace %s", dir, o.GetKind(), o.GetName(), ns)
			}
		}
	}
}
