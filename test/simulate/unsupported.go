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

// List implements client.Client.
func (unsupported) List(context.Context, client.ObjectList, ...client.ListOption) error {
	refuse("List")
	return nil
}

// Apply implements client.Client.
func (unsupported) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	refuse("Apply")
	return nil
}

// DeleteAllOf implements client.Client.
func (unsupported) DeleteAllOf(context.Context, client.Object, ...client.DeleteAllOfOption) error {
	refuse("DeleteAllOf")
	return nil
}

// SubResource implements client.Client.
func (unsupported) SubResource(string) client.SubResourceClient {
	refuse("SubResource")
	return nil
}

// Scheme implements client.Client.
func (unsupported) Scheme() *runtime.Scheme {
	refuse("Scheme")
	return nil
}

// RESTMapper implements client.Client.
func (unsupported) RESTMapper() meta.RESTMapper {
	refuse("RESTMapper")
	return nil
}

// GroupVersionKindFor implements client.Client.
func (unsupported) GroupVersionKindFor(runtime.Object) (schema.GroupVersionKind, error) {
	refuse("GroupVersionKindFor")
	return schema.GroupVersionKind{}, nil
}

// IsObjectNamespaced implements client.Client.
func (unsupported) IsObjectNamespaced(runtime.Object) (bool, error) {
	refuse("IsObjectNamespaced")
	return false, nil
}

type unsupportedStatus struct{}

// Create implements client.SubResourceWriter.
func (unsupportedStatus) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	refuse("Create of a status")
	return nil
}

// Update implements client.SubResourceWriter.
func (unsupportedStatus) Update(context.Context, client.Object, ...client.SubResourceUpdateOption) error {
	refuse("Update of a status")
	return nil
}

// Apply implements client.SubResourceWriter.
func (unsupportedStatus) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	refuse("Apply of a status")
	return nil
}
