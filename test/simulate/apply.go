package simulate

import (
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// holders are the managers of the shared Secret's entries: those that apply, and "" for whoever updates.
type holders map[string]map[string]bool

// hold notes that the manager holds the entries.
func (h holders) hold(manager string, entries map[string][]byte) {
	if h[manager] == nil {
		h[manager] = map[string]bool{}
	}
	for name := range entries {
		h[manager][name] = true
	}
}

// apply is server-side apply, with force, of a Secret: what the manager applied before and leaves out now
// goes, unless another one holds it too.
func (c *cluster) apply(o client.Object, body []byte, manager string) error {
	wanted := &corev1.Secret{}
	if err := json.Unmarshal(body, wanted); err != nil {
		return err
	}
	was, there := c.objects[placeOf(o)].(*corev1.Secret)
	switch {
	case !there:
		return apierrors.NewNotFound(resource(o), o.GetName())
	case wanted.ResourceVersion != was.ResourceVersion:
		return apierrors.NewConflict(resource(o), o.GetName(), fmt.Errorf("it is at version %s", was.ResourceVersion))
	}
	next := was.DeepCopy()
	before := c.holders[manager]
	delete(c.holders, manager)
	c.holders.hold(manager, wanted.Data)
	maps.DeleteFunc(next.Data, func(name string, _ []byte) bool {
		if !before[name] {
			return false
		}
		for _, held := range c.holders {
			if held[name] {
				return false
			}
		}
		return true
	})
	for _, pair := range []struct{ into, from map[string]string }{{next.Labels, wanted.Labels}, {next.Annotations, wanted.Annotations}} {
		maps.Copy(pair.into, pair.from)
	}
	maps.Copy(next.Data, wanted.Data)
	c.store(next)
	c.changed(placeOf(o), next)
	next.DeepCopyInto(o.(*corev1.Secret))
	return nil
}
