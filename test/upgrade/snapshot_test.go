package upgrade

import (
	"iter"
	"maps"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// snapshot is what a version has left: all that the next one finds.
type snapshot struct {
	// At is the time on the operator's clock.
	At time.Time `json:"at"`
	// Objects are those of the two namespaces, and ClusterDNSProviders. Of their metadata, what the API server
	// makes anew is left out, but for UIDs and generations, which ledgers know.
	Objects []unstructured.Unstructured `json:"objects"`
	// Records are those of all zones, each as in a zone file.
	Records []string `json:"records"`
	// ThirdParty is the policy that somebody else serves for example.com; "": nobody does.
	ThirdParty string `json:"thirdParty,omitempty"`
}

const header = `# What an operator left in a cluster and a zone, see README.md. The private keys were made for this test, and are
# used nowhere else.
`

// nameserver stands for the address of the name server, whose port is another one in each run.
const nameserver = "NAMESERVER"

func readSnapshot(file string) (snapshot, error) {
	var s snapshot
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	return s, yaml.UnmarshalStrict(text, &s)
}

func (s snapshot) write(file string) error {
	text, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(header), text...), 0o600)
}

// kinds are all that the operator reads or writes, in the order in which they are restored: ledgers name the
// UIDs of what is before them.
var kinds = []schema.GroupVersionKind{
	corev1.SchemeGroupVersion.WithKind("Namespace"),
	v1alpha1.GroupVersion.WithKind("ClusterDNSProvider"),
	v1alpha1.GroupVersion.WithKind("DNSProvider"),
	v1alpha1.GroupVersion.WithKind("MailDomain"),
	corev1.SchemeGroupVersion.WithKind("ConfigMap"),
	corev1.SchemeGroupVersion.WithKind("Secret"),
}

// objects lists what is in the cluster of a kind.
func (w *world) objects(kind schema.GroupVersionKind) []unstructured.Unstructured {
	w.t.Helper()
	var found []unstructured.Unstructured
	for _, namespace := range []string{mailNamespace, systemNamespace} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		options := []client.ListOption{client.InNamespace(namespace)}
		switch kind.Kind {
		case "Namespace":
			options = []client.ListOption{client.MatchingLabels{corev1.LabelMetadataName: namespace}}
		case "ClusterDNSProvider":
			if namespace == systemNamespace {
				continue
			}
			options = nil
		}
		w.must(w.api.List(w.t.Context(), list, options...))
		found = append(found, list.Items...)
	}
	return found
}

// versions are the resource versions of all of them: whatever is written shows.
func (w *world) versions() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, kind := range kinds {
		for _, o := range w.objects(kind) {
			all[kind.Kind+" "+o.GetNamespace()+"/"+o.GetName()] = o.GetResourceVersion()
		}
	}
	return all
}

func (w *world) snapshot() snapshot {
	w.t.Helper()
	s := snapshot{At: w.clock.Now().UTC(), Records: strings.Split(strings.TrimSpace(strings.ReplaceAll(w.dns.Dump(), "\t", " ")), "\n"), ThirdParty: w.thirdParty}
	for _, kind := range kinds {
		for _, o := range w.objects(kind) {
			for _, made := range []string{"creationTimestamp", "managedFields", "resourceVersion", "selfLink"} {
				unstructured.RemoveNestedField(o.Object, "metadata", made)
			}
			switch kind.Kind {
			case "Namespace":
				delete(o.Object, "spec")
				delete(o.Object, "status")
			case "Secret":
				w.readable(&o)
			}
			s.Objects = append(s.Objects, o)
		}
	}
	w.replace(s.Objects, map[string]string{w.dns.Addr(): nameserver})
	return s
}

// readable has the Secret show what is in it.
func (w *world) readable(o *unstructured.Unstructured) {
	w.t.Helper()
	secret := &corev1.Secret{}
	w.must(w.api.Get(w.t.Context(), client.ObjectKeyFromObject(o), secret))
	texts := map[string]string{}
	for name, data := range secret.Data {
		texts[name] = string(data)
	}
	delete(o.Object, "data")
	w.must(unstructured.SetNestedStringMap(o.Object, texts, "stringData"))
}

// replace replaces texts in all the values of objects.
func (w *world) replace(objects []unstructured.Unstructured, texts map[string]string) {
	var pairs []string
	for old, text := range texts {
		pairs = append(pairs, old, text)
	}
	replacer := strings.NewReplacer(pairs...)
	var in func(value any) any
	in = func(value any) any {
		switch v := value.(type) {
		case string:
			return replacer.Replace(v)
		case []any:
			for i := range v {
				v[i] = in(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = in(v[name])
			}
		}
		return value
	}
	for i := range objects {
		objects[i].Object = in(objects[i].Object).(map[string]any)
	}
}

// restore puts a snapshot into the cluster and the zone, as they were but for the UIDs, which the API server
// gives: what names one names the new one.
func (w *world) restore(s snapshot) {
	w.t.Helper()
	w.must(w.dns.Load(strings.Join(s.Records, "\n")))
	if s.ThirdParty != "" {
		w.serveThirdParty(s.ThirdParty)
	}
	w.replace(s.Objects, map[string]string{nameserver: w.dns.Addr()})
	for i := range s.Objects {
		o := &s.Objects[i]
		uid, restored := string(o.GetUID()), o
		if o.GetKind() == "Namespace" {
			restored = o.DeepCopy()
			w.must(w.api.Get(w.t.Context(), client.ObjectKeyFromObject(o), restored)) // one can't be made anew here
		} else {
			w.restoreObject(o)
		}
		w.replace(s.Objects[i+1:], map[string]string{uid: string(restored.GetUID())})
	}
	w.certify()
}

// restoreObject creates an object with its status, and at its generation.
func (w *world) restoreObject(o *unstructured.Unstructured) {
	w.t.Helper()
	generation, status := o.GetGeneration(), o.Object["status"]
	wanted := o.DeepCopy()
	o.SetUID("")
	suspended := true
	if generation > 1 { // not yet as it is to be
		w.must(unstructured.SetNestedField(o.Object, suspended, "spec", "suspend"))
	}
	w.must(w.api.Create(w.t.Context(), o))
	for o.GetGeneration() < generation {
		o.Object["spec"] = wanted.DeepCopy().Object["spec"]
		if o.GetGeneration() < generation-1 {
			suspended = !suspended
			w.must(unstructured.SetNestedField(o.Object, suspended, "spec", "suspend"))
		}
		w.must(w.api.Update(w.t.Context(), o))
	}
	if o.GetGeneration() != generation {
		w.t.Fatalf("%s %s is at generation %d, want %d", o.GetKind(), o.GetName(), o.GetGeneration(), generation)
	}
	if status != nil {
		o.Object["status"] = status
		w.must(w.api.Status().Update(w.t.Context(), o))
	}
}

// wipe takes everything out of the two namespaces.
func (w *world) wipe() {
	w.t.Helper()
	for _, kind := range kinds[1:] {
		for _, o := range w.objects(kind) {
			if len(o.GetFinalizers()) > 0 {
				o.SetFinalizers(nil)
				w.must(w.api.Update(w.t.Context(), &o))
			}
			w.must(client.IgnoreNotFound(w.api.Delete(w.t.Context(), &o)))
		}
	}
}

func namespaced(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func keysOf[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
