package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// cluster is the API server: objects with versions, and nothing that the operator does not use.
type cluster struct {
	w       *World
	objects map[string]client.Object
	version int
	// before is what the operator's cache may still show of an object that was changed: MailDomains
	// and providers are read from a cache, Secrets and ConfigMaps past it.
	before  map[string]older
	holders holders
}

// older is an object as it was until a time.
type older struct {
	object client.Object
	until  time.Time
}

// cacheLag is how far a cache stays behind at the most.
const cacheLag = 2 * time.Second

func newCluster(w *World) *cluster {
	return &cluster{w: w, objects: map[string]client.Object{}, before: map[string]older{}, holders: holders{}}
}

// scheme has the types of objects that Events are about.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

func at(kind string, key types.NamespacedName) string { return kind + " " + key.String() }

func kindOf(o client.Object) string {
	switch o.(type) {
	case *v1alpha1.MailDomain:
		return "MailDomain"
	case *v1alpha1.DNSProvider:
		return "DNSProvider"
	case *corev1.Secret:
		return "Secret"
	case *corev1.ConfigMap:
		return "ConfigMap"
	case *metav1.PartialObjectMetadata:
		return "Secret" // of nothing else the operator has the metadata alone
	}
	panic(fmt.Sprintf("the simulated API server has no %T", o))
}

func placeOf(o client.Object) string { return at(kindOf(o), client.ObjectKeyFromObject(o)) }

func resource(o client.Object) schema.GroupResource { return schema.GroupResource{Resource: kindOf(o)} }

// read fills into with the object.
func (c *cluster) read(key types.NamespacedName, into client.Object, cached bool) error {
	place := at(kindOf(into), key)
	found, ok := c.objects[place]
	if old, was := c.before[place]; cached && was && c.w.now.Before(old.until) {
		found, ok = old.object, old.object != nil
	}
	if !ok {
		return apierrors.NewNotFound(resource(into), key.Name)
	}
	if metadata, ok := into.(*metav1.PartialObjectMetadata); ok {
		metadata.ObjectMeta = *found.(*corev1.Secret).ObjectMeta.DeepCopy()
		return nil
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
	return nil
}

// create stores a new object.
func (c *cluster) create(o client.Object) error {
	if _, there := c.objects[placeOf(o)]; there {
		return apierrors.NewAlreadyExists(resource(o), o.GetName())
	}
	o.SetUID(types.UID("uid-" + strconv.Itoa(c.version+1)))
	o.SetGeneration(1)
	o.SetCreationTimestamp(metav1.NewTime(c.w.now))
	if secret, ok := o.(*corev1.Secret); ok && secret.Name == signerSecret {
		c.holders = holders{}
		c.holders.hold("", secret.Data)
	}
	c.store(o)
	if c.w.year != nil {
		c.w.year.hosts.told(o)
	}
	if kindOf(o) != "ConfigMap" { // what the operator creates of these is no news to it
		c.changed(placeOf(o), o)
	}
	return nil
}

// update stores another state of an object, which must be made from the newest one if it says
// from which.
func (c *cluster) update(o client.Object) error {
	was, there := c.objects[placeOf(o)]
	switch {
	case !there:
		return apierrors.NewNotFound(resource(o), o.GetName())
	case o.GetResourceVersion() != "" && o.GetResourceVersion() != was.GetResourceVersion():
		return apierrors.NewConflict(resource(o), o.GetName(), fmt.Errorf("it is at version %s", was.GetResourceVersion()))
	}
	if secret, ok := o.(*corev1.Secret); ok && secret.Name == signerSecret {
		news := maps.Clone(secret.Data)
		maps.DeleteFunc(news, func(name string, content []byte) bool { return bytes.Equal(content, was.(*corev1.Secret).Data[name]) })
		c.holders.hold("", news)
	}
	c.store(o)
	c.changed(placeOf(o), o)
	return nil
}

// patch merges the patch into the object.
func (c *cluster) patch(o client.Object, patch client.Patch, status bool) error {
	if patch.Type() != types.MergePatchType {
		panic("the simulated API server takes merge patches only")
	}
	was, there := c.objects[placeOf(o)]
	if !there {
		return apierrors.NewNotFound(resource(o), o.GetName())
	}
	if md, ok := o.(*v1alpha1.MailDomain); ok && status && md.ResourceVersion == was.GetResourceVersion() {
		// Made from what is stored: to merge it would give the same, at a quarter of a run's time.
		next := was.DeepCopyObject().(*v1alpha1.MailDomain)
		md.Status.DeepCopyInto(&next.Status)
		c.store(next)
		next.DeepCopyInto(md)
		return nil
	}
	data, err := patch.Data(o)
	if err != nil {
		return err
	}
	document, err := json.Marshal(was)
	if err != nil {
		return err
	}
	if document, err = jsonpatch.MergePatch(document, data); err != nil {
		return err
	}
	next := reflect.New(reflect.TypeOf(was).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(document, next); err != nil {
		return err
	}
	if next.GetResourceVersion() != was.GetResourceVersion() {
		return apierrors.NewConflict(resource(o), o.GetName(), fmt.Errorf("it is at version %s", was.GetResourceVersion()))
	}
	if md, ok := next.(*v1alpha1.MailDomain); ok {
		// Status is a resource of its own.
		old := was.(*v1alpha1.MailDomain)
		if status {
			merged := md.Status
			md = old.DeepCopy()
			md.Status, next = merged, md
		} else {
			md.Status = old.Status
		}
		if !reflect.DeepEqual(old.Spec, md.Spec) {
			md.Generation++
		}
	}
	c.store(next)
	if !status {
		c.changed(placeOf(o), next)
	}
	reflect.ValueOf(o).Elem().Set(reflect.ValueOf(next.DeepCopyObject()).Elem())
	return nil
}

// remove deletes an object.
func (c *cluster) remove(o client.Object, preconditions ...client.DeleteOption) error {
	was, there := c.objects[placeOf(o)]
	if !there {
		return apierrors.NewNotFound(resource(o), o.GetName())
	}
	options := (&client.DeleteOptions{}).ApplyOptions(preconditions)
	if p := options.Preconditions; p != nil && (p.UID != nil && *p.UID != was.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != was.GetResourceVersion()) {
		return apierrors.NewConflict(resource(o), o.GetName(), fmt.Errorf("it is at version %s", was.GetResourceVersion()))
	}
	if len(was.GetFinalizers()) > 0 {
		panic("the simulated API server knows no finalizers")
	}
	c.note(placeOf(o), was)
	delete(c.objects, placeOf(o))
	c.changed(placeOf(o), was)
	return nil
}

func (c *cluster) store(o client.Object) {
	c.note(placeOf(o), c.objects[placeOf(o)])
	c.version++
	o.SetResourceVersion(strconv.Itoa(c.version))
	stored := o.DeepCopyObject().(client.Object)
	c.objects[placeOf(o)] = stored
}

// note remembers for a while what caches may still show.
func (c *cluster) note(place string, was client.Object) {
	if c.w.chance(0.5) {
		c.before[place] = older{was, c.w.now.Add(c.w.uniform(0, cacheLag))}
	} else {
		delete(c.before, place)
	}
}

// changed is what watches tell: the operator's, and the kubelets'.
func (c *cluster) changed(place string, o client.Object) {
	if c.w.year != nil {
		c.w.year.hosts.told(o)
	}
	switch o := o.(type) {
	case *v1alpha1.DNSProvider:
		return
	case *corev1.Secret:
		if o.Name == signerSecret {
			current, _ := c.objects[place].(*corev1.Secret)
			c.w.watch.signer(c.w, current)
			if current != nil {
				c.w.keepsOff(current)
			}
			c.w.mountAll()
		}
	}
	sees := c.w.uniform(50*time.Millisecond, cacheLag)
	if old, lags := c.before[place]; lags {
		sees = old.until.Sub(c.w.now) // the watch tells what the cache has
	}
	c.w.operator.wake(sees)
}

// get returns an object that is there.
func get[T client.Object](c *cluster, name string, into T) T {
	if err := c.read(types.NamespacedName{Namespace: namespace, Name: name}, into, false); err != nil {
		panic(fmt.Sprintf("Secret or MailDomain %s: %v", name, err))
	}
	return into
}

func (c *cluster) has(kind, name string) bool {
	_, there := c.objects[at(kind, types.NamespacedName{Namespace: namespace, Name: name})]
	return there
}

// edit changes the MailDomain as its user does.
func (c *cluster) edit(change func(*v1alpha1.MailDomain)) {
	old := get(c, object, &v1alpha1.MailDomain{})
	next := old.DeepCopy()
	change(next)
	if !reflect.DeepEqual(old.Spec, next.Spec) {
		next.Generation++
	}
	must(c.update(next))
}

// api is the cluster as the operator reaches it.
type api struct {
	unsupported
	*cluster
	cached bool
}

// Scheme implements client.Client.
func (a api) Scheme() *runtime.Scheme { return scheme }

// Get implements client.Client.
func (a api) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if a.w.chance(a.w.plan.fault / 20) {
		return apierrors.NewTimeoutError("the simulated API server is busy", 1)
	}
	return a.read(key, o, a.cached && slices.Contains([]string{"MailDomain", "DNSProvider"}, kindOf(o)))
}

// Create implements client.Client.
func (a api) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	return a.write("create", o, func() error { return a.create(o) })
}

// Update implements client.Client.
func (a api) Update(_ context.Context, o client.Object, _ ...client.UpdateOption) error {
	return a.write("update", o, func() error { return a.update(o) })
}

// Patch implements client.Client.
func (a api) Patch(_ context.Context, o client.Object, p client.Patch, options ...client.PatchOption) error {
	return a.write("patch", o, func() error {
		if p.Type() != types.ApplyPatchType {
			return a.patch(o, p, false)
		}
		body, err := p.Data(o)
		if err != nil {
			return err
		}
		return a.apply(o, body, (&client.PatchOptions{}).ApplyOptions(options).FieldManager)
	})
}

// Delete implements client.Client.
func (a api) Delete(_ context.Context, o client.Object, options ...client.DeleteOption) error {
	return a.write("delete", o, func() error { return a.remove(o, options...) })
}

// Status implements client.Client.
func (a api) Status() client.SubResourceWriter { return statusAPI{cluster: a.cluster} }

type statusAPI struct {
	unsupportedStatus
	*cluster
}

// Patch implements client.SubResourceWriter.
func (a statusAPI) Patch(_ context.Context, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
	return a.write("patch status of", o, func() error { return a.patch(o, p, true) })
}

// write is an effect, which the API server may fail to make or to confirm.
func (c *cluster) write(verb string, o client.Object, do func() error) error {
	what := fmt.Sprintf("%s %s %s", verb, kindOf(o), o.GetName())
	return c.w.effect(what, func() error {
		if c.w.chance(c.w.plan.fault / 10) {
			return c.w.failed(what+" is refused", apierrors.NewInternalError(fmt.Errorf("the simulated API server is ill")))
		}
		err := do()
		if err == nil && c.w.chance(c.w.plan.fault/10) {
			return c.w.failed(what+" is made, but not confirmed", apierrors.NewTimeoutError("the simulated API server gives no answer", 1))
		}
		return err
	})
}

func (w *World) failed(what string, err error) error {
	w.tell("API", "%s", what)
	return err
}
