package helm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// pod is the Pod's spec of a Deployment, and container one of its containers.
func pod(t *testing.T, all objects, deployment string) object {
	t.Helper()
	spec, ok := at(all["Deployment "+namespace+"/"+deployment], "spec", "template", "spec").(object)
	if !ok {
		t.Fatalf("there is no Deployment %s", deployment)
	}
	return spec
}

func container(t *testing.T, all objects, deployment string) object {
	t.Helper()
	return pod(t, all, deployment)["containers"].([]any)[0].(object)
}

// line puts values beside each other.
func line(values ...any) string { return strings.TrimSpace(fmt.Sprintln(values...)) }

func kinds(all objects) map[string]int {
	count := map[string]int{}
	for _, o := range all {
		count[o["kind"].(string)]++
	}
	return count
}

// What each value does.
func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		values string
		check  func(t *testing.T, all objects) any
		want   string
	}{
		"a digest counts before the tag": {
			"image: {repository: r.example/m, tag: v1, digest: sha256:" + strings.Repeat("ab", 32) + "}",
			func(t *testing.T, all objects) any { return container(t, all, "maildomain-manager")["image"] },
			"r.example/m@sha256:" + strings.Repeat("ab", 32),
		},
		"pullPolicy": {
			"image: {repository: r.example/m, tag: v1, pullPolicy: Never}",
			func(t *testing.T, all objects) any { return container(t, all, "maildomain-manager")["imagePullPolicy"] },
			"Never",
		},
		"pullSecrets": {
			"image: {repository: r.example/m, tag: v1, pullSecrets: [{name: mine}]}",
			func(t *testing.T, all objects) any { return pod(t, all, "maildomain-manager")["imagePullSecrets"] },
			"[map[name:mine]]",
		},
		"replicas": {
			"replicas: 3",
			func(_ *testing.T, all objects) any {
				return at(all["Deployment "+namespace+"/maildomain-manager"], "spec", "replicas")
			},
			"3",
		},
		"flags and then extraArgs": {
			`{flags: {resync: 5m, workers: 4, starttls-probe: "off", ambient-credentials: true}, extraArgs: ["--poll=1s"]}`,
			func(t *testing.T, all objects) any {
				args := container(t, all, "maildomain-manager")["args"].([]any)
				return args[len(args)-5:]
			},
			"[--ambient-credentials=true --resync=5m --starttls-probe=off --workers=4 --poll=1s]",
		},
		"several namespaces": {
			"watchNamespaces: [a, b, maildomain-system]",
			func(t *testing.T, all objects) any {
				return line(kinds(all)["ClusterRole"], kinds(all)["ClusterRoleBinding"], kinds(all)["Role"], slices.Contains(container(t, all, "maildomain-manager")["args"].([]any), any("--watch-namespaces=a,b,maildomain-system")))
			},
			"2 2 9 true", // who reads metrics; the accounts' two and one, and one of each in each namespace
		},
		"the writer is confined too": {
			"watchNamespaces: [a]",
			func(t *testing.T, all objects) any {
				return line(kinds(all)["ClusterRole"], all["Role a/maildomain-certificates"] != nil, slices.Contains(container(t, all, "maildomain-mta-sts")["args"].([]any), any("--watch-namespaces=a")))
			},
			"2 true true",
		},
		"the address of a Service": {
			"mtaSTS: {service: {type: NodePort, annotations: {a: b}}}",
			func(_ *testing.T, all objects) any {
				service := all["Service "+namespace+"/maildomain-mta-sts"]
				return line(at(service, "spec", "type"), at(service, "metadata", "annotations"))
			},
			"NodePort map[a:b]",
		},
		"CRDs stay": {
			"",
			func(_ *testing.T, all objects) any {
				kept := 0
				for _, o := range all {
					if at(o, "metadata", "annotations", "helm.sh/resource-policy") == "keep" {
						kept++
					}
				}
				return line(kept, kinds(all)["CustomResourceDefinition"])
			},
			"3 3",
		},
		"or go": {
			"crds: {keep: false}",
			func(_ *testing.T, all objects) any {
				return at(all["CustomResourceDefinition <nil>/maildomains.maildomain.dev"], "metadata", "annotations", "helm.sh/resource-policy")
			},
			"<nil>",
		},
		"or are somebody else's": {
			"crds: {install: false}",
			func(_ *testing.T, all objects) any { return kinds(all)["CustomResourceDefinition"] },
			"0",
		},
		"nothing that is switched off": {
			"{podDisruptionBudget: {enabled: false}, networkPolicy: {enabled: false}, admissionPolicy: {enabled: false}, topologySpreadConstraints: []}",
			func(t *testing.T, all objects) any {
				return line(kinds(all)["PodDisruptionBudget"], kinds(all)["NetworkPolicy"], kinds(all)["ValidatingAdmissionPolicy"], kinds(all)["ValidatingAdmissionPolicyBinding"], pod(t, all, "maildomain-manager")["topologySpreadConstraints"])
			},
			"0 0 0 0 <nil>",
		},
		"a topology of one's own": {
			"topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]",
			func(t *testing.T, all objects) any {
				return pod(t, all, "maildomain-manager")["topologySpreadConstraints"]
			},
			"[map[maxSkew:1 topologyKey:zone whenUnsatisfiable:DoNotSchedule]]",
		},
		"where Pods run": {
			`{nodeSelector: {a: b}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}, priorityClassName: high}`,
			func(t *testing.T, all objects) any {
				p := pod(t, all, "maildomain-mta-sts")
				return line(p["nodeSelector"], p["tolerations"], p["affinity"], p["priorityClassName"])
			},
			"map[a:b] [map[operator:Exists]] map[nodeAffinity:map[]] high",
		},
		"labels and annotations of Pods, and of the account": {
			`{podLabels: {team: mail}, podAnnotations: {note: x}, serviceAccount: {annotations: {role: r}}}`,
			func(_ *testing.T, all objects) any {
				d := all["Deployment "+namespace+"/maildomain-manager"]
				return line(at(d, "spec", "template", "metadata", "labels", "team"), at(d, "spec", "selector", "matchLabels", "team"), at(d, "spec", "template", "metadata", "annotations", "note"),
					at(all["ServiceAccount "+namespace+"/maildomain-manager"], "metadata", "annotations", "role"))
			},
			"mail <nil> x r",
		},
		"resources and the size of the snapshot": {
			"{resources: {limits: {memory: 2Gi}}, mtaSTS: {snapshotSize: 1Gi}}",
			func(t *testing.T, all objects) any {
				return line(at(container(t, all, "maildomain-manager"), "resources", "limits", "memory"), at(pod(t, all, "maildomain-mta-sts")["volumes"].([]any)[0], "emptyDir", "sizeLimit"))
			},
			"2Gi 1Gi",
		},
		"policy servers": {
			"mtaSTS: {replicas: 5, resources: {limits: {memory: 1Gi}}, writerResources: {limits: {memory: 2Gi}}}",
			func(t *testing.T, all objects) any {
				server := pod(t, all, "maildomain-mta-sts")["initContainers"].([]any)[0]
				return line(at(all["Deployment "+namespace+"/maildomain-mta-sts"], "spec", "replicas"), at(server, "resources", "limits", "memory"),
					at(container(t, all, "maildomain-mta-sts"), "resources", "limits", "memory"))
			},
			"5 1Gi 2Gi",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(c.check(t, mustRelease(t, c.values))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// The schema refuses what would fail later, or be passed over in silence.
func TestRefusedValues(t *testing.T) {
	for values, want := range map[string]string{
		"image: {repository: ''}":                       "/image/repository",
		"image: {repository: r.example/m}":              "/image",
		"image: {repository: r.example/m, digest: abc}": "/image/digest",
		"ownerID: ''":                                           "/ownerID",
		"ownerID: 'two words'":                                  "/ownerID",
		"replica: 3":                                            "replica",
		"replicas: 0":                                           "/replicas",
		"flags: {leader-elect: false}":                          "leader-elect",
		"flags: {resync: [5m]}":                                 "/flags/resync",
		"flags: {metrics-cert-dir: /x}":                         "metrics-cert-dir",
		"metrics: {certificateSecret: A}":                       "/metrics/certificateSecret",
		"watchNamespaces: [Mail]":                               "/watchNamespaces/0",
		"watchNamespaces: [a, a]":                               "/watchNamespaces",
		"mtaSTS: {service: {type: ExternalName}}":               "/mtaSTS/service/type",
		"mtaSTS: {snapshotSize: big}":                           "/mtaSTS/snapshotSize",
		"mtaSTS: {separate: true}":                              "separate",
		"podLabels: {app.kubernetes.io/component: mine}":        "/podLabels",
		"topologySpreadConstraints: {topologyKey: zone}":        "/topologySpreadConstraints",
		"extraArgs: --poll=1s":                                  "/extraArgs",
		"image: {repository: r.example/m, tag: v1, pull: true}": "pull",
	} {
		if _, err := release(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", values, err, want)
		}
	}
}
