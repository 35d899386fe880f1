package manifests

import (
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// What Prometheus is told to scrape is there: the Service, with each port spoken to as its container speaks.
func TestServiceMonitor(t *testing.T) {
	monitor := one[monitoringv1.ServiceMonitor](render(t, "prometheus"), "ServiceMonitor", "maildomain")
	if len(monitor.Spec.Selector.MatchLabels) == 0 || len(monitor.Spec.Endpoints) != 2 {
		t.Fatalf("got %+v", monitor.Spec)
	}
	for _, dir := range installations {
		r := render(t, dir)
		var ports []string
		for _, service := range all[corev1.Service](r, "Service") {
			if !selects(t, &monitor.Spec.Selector, service.Labels) {
				continue
			}
			if service.Namespace != monitor.Namespace {
				t.Errorf("%s: the Service is in %s, and the ServiceMonitor in %s", dir, service.Namespace, monitor.Namespace)
			}
			for _, port := range service.Spec.Ports {
				ports = append(ports, port.Name)
			}
			for _, p := range pods(r) {
				if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.deployment.Spec.Template.Labels)) {
					t.Errorf("%s: nobody scrapes %s", dir, p.deployment.Name)
				}
				if given := argumentsOf(t, p.other); given["metrics-listen"] == "" || given["metrics-plain"] != "" {
					t.Errorf("%s: %s does not serve its metrics over HTTPS: %v", dir, p.deployment.Name, given)
				}
			}
		}
		var asked []string
		for _, endpoint := range monitor.Spec.Endpoints {
			asked = append(asked, endpoint.Port)
			// Only the one that asks who scrapes is shown the token.
			secure := endpoint.Port == "metrics"
			token := endpoint.BearerTokenFile //nolint:staticcheck // what is to replace it takes a token from a Secret alone, and so one that does not change
			if scheme := endpoint.Scheme.String(); (scheme == "https") != secure || (token != "") != secure || endpoint.HonorLabels != secure {
				t.Errorf("port %s: scheme %s, token %q, honorLabels %v", endpoint.Port, scheme, token, endpoint.HonorLabels)
			}
		}
		slices.Sort(ports)
		slices.Sort(asked)
		if !slices.Equal(ports, asked) {
			t.Errorf("%s: the Service has ports %q, and %q are scraped", dir, ports, asked)
		}
	}
}

// The dashboard comes as a ConfigMap that is small enough to be one, and that Grafana's sidecar finds by its label.
func TestDashboardConfigMap(t *testing.T) {
	r := render(t, "prometheus")
	config := one[corev1.ConfigMap](r, "ConfigMap", "maildomain-dashboard")
	if size := len(config.Data["maildomain.json"]); size == 0 || size > 256<<10 || config.Labels["grafana_dashboard"] != "1" {
		t.Errorf("%d octets, labels %v", size, config.Labels)
	}
	one[monitoringv1.PrometheusRule](r, "PrometheusRule", "maildomain")
	for _, o := range r.objects {
		if o.GetNamespace() != namespace || o.GetLabels()["app.kubernetes.io/instance"] != "maildomain" {
			t.Errorf("%s %s: namespace %s, labels %v", o.GetKind(), o.GetName(), o.GetNamespace(), o.GetLabels())
		}
	}
}

// With the component manager and writer serve the certificate of the Secret that the sample has issued, and Prometheus verifies it by the name
// that stands in it.
func TestMetricsCertificateComponent(t *testing.T) {
	r := renderInstall(t, "# - ../prometheus", "- ../prometheus", "# components: [../metrics-certificate]", "components: [../metrics-certificate]")
	monitor := one[monitoringv1.ServiceMonitor](r, "ServiceMonitor", "maildomain")
	tls := monitor.Spec.Endpoints[0].TLSConfig
	if tls == nil || tls.InsecureSkipVerify != nil || tls.CA.Secret == nil || tls.ServerName == nil {
		t.Fatalf("tlsConfig %+v", tls)
	}
	issued := readAll(t, "config/samples/metrics/*.yaml")[0]
	secret, _, err := unstructured.NestedString(issued.Object, "spec", "secretName")
	must(t, err)
	hosts, _, err := unstructured.NestedStringSlice(issued.Object, "spec", "dnsNames")
	must(t, err)
	service := one[corev1.Service](r, "Service", "maildomain-metrics")
	if want := service.Name + "." + service.Namespace + ".svc"; *tls.ServerName != want || !slices.Equal(hosts, []string{want}) {
		t.Errorf("verified as %s, issued for %q, want %s", *tls.ServerName, hosts, want)
	}
	if tls.CA.Secret.Name != secret || issued.GetNamespace() != namespace {
		t.Errorf("the authority of %s, the certificate in %s/%s", tls.CA.Secret.Name, issued.GetNamespace(), secret)
	}
	for _, p := range pods(r) {
		checkArguments(t, p)
		v := volume(p, "metrics-certificate")
		dir := argumentsOf(t, p.other)["metrics-cert-dir"]
		mounted := slices.ContainsFunc(p.other.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name && m.MountPath == dir && m.ReadOnly })
		if v.Secret == nil || v.Secret.SecretName != secret || !mounted {
			t.Errorf("%s: volume %+v, --metrics-cert-dir=%s, mounts %+v", p.deployment.Name, v, dir, p.other.VolumeMounts)
		}
		if p.sidecar != nil {
			checkSidecar(t, p) // which has nothing of it
		}
	}
}
