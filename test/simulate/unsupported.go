package simulate

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// unsupported is what a client.Client has and the operator does not use: a call is a mistake.
type unsupported struct{}

func refuse(call string) { panic(fmt.Sprintf("the simulated API server has no %s", call)) }

func (unsupported) List(context.Context, client.ObjectList, ...client.ListOption) error {
	refuse("List")
	return nil
}

func (unsupported) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	refuse("Apply")
	return nil
}

func (unsupported) DeleteAllOf(context.Context, client.Object, ...client.DeleteAllOfOption) error {
	refuse("DeleteAllOf")
	return nil
}

func (unsupported) SubResource(string) client.SubResourceClient {
	refuse("SubResource")
	return nil
}

func (unsupported) Scheme() *runtime.Scheme {
	refuse("Scheme")
	return nil
}

func (unsupported) RESTMapper() meta.RESTMapper {
	refuse("RESTMapper")
	return nil
}

func (unsupported) GroupVersionKindFor(runtime.Object) (schema.GroupVersionKind, error) {
	refuse("GroupVersionKindFor")
	return schema.GroupVersionKind{}, nil
}

func (unsupported) IsObjectNamespaced(runtime.Object) (bool, error) {
	refuse("IsObjectNamespaced")
	return false, nil
}

type unsupportedStatus struct{}

func (unsupportedStatus) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	refuse("Create of a status")
	return nil
}

func (unsupportedStatus) Update(context.Context, client.Object, ...client.SubResourceUpdateOption) error {
	refuse("Update of a status")
	return nil
}

func (unsupportedStatus) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	refuse("Apply of a status")
	return nil
}
