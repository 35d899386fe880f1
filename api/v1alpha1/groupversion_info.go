// Package v1alpha1 holds the API of group maildomain.dev: MailDomain, which states what a
// domain's e-mail records should be, and DNSProvider and ClusterDNSProvider, which say how
// to reach the zone that holds them.
//
// Conventions of the package:
//
//   - The operator never writes spec, and the CRDs hold no defaults. What an unset field
//     means is said by its doc comment ("Unset: ...") and decided in defaults.go.
//   - An absent section (spf, dkim, ...) is unmanaged: nothing of it is written, and its
//     condition is absent.
//   - Protocol values keep the RFC's spelling ("reject", "enforce", "rsa"); the operator's
//     own enums are CamelCase.
//   - DNS names are absolute, lower-case A-labels without the trailing dot.
//   - What the API server can check is checked there, by CEL: a bad manifest fails at apply.
//
// +kubebuilder:object:generate=true
// +groupName=maildomain.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the group and version of the types in this package.
	GroupVersion = schema.GroupVersion{Group: "maildomain.dev", Version: "v1alpha1"}

	// SchemeBuilder collects the functions that add the types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the types of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&MailDomain{}, &MailDomainList{},
		&DNSProvider{}, &DNSProviderList{},
		&ClusterDNSProvider{}, &ClusterDNSProviderList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
