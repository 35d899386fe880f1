package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DNSSpec says where and how a MailDomain's records are written.
type DNSSpec struct {
	// providerRef names the DNS provider that holds the zone. Unset: manual mode; nothing is
	// written to DNS, status.plan lists the records that a human must publish, and each step
	// goes on when its record is seen.
	// +optional
	ProviderRef *ProviderRef `json:"providerRef,omitempty"`

	// zone is the apex of the zone that holds the domain: lower-case A-labels without a
	// trailing dot, at most 178 characters; the domain itself or a parent of it.
	// Unset: found for each name by its SOA record.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=178
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$')",message="spec.dns.zone is not a zone name: it must be lower-case A-labels without a trailing dot, such as example.com"
	Zone string `json:"zone,omitempty"`

	// ttl is the time to live of records as they are written, from 1m to 24h, in whole seconds. A
	// change of it writes nothing: a record that stands keeps its own until it changes, and where
	// other records stand in the same RRset, theirs is kept. Unset: 1h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="spec.dns.ttl must be a duration from 1m to 24h in whole hours, minutes and seconds, such as 1h"
	TTL *metav1.Duration `json:"ttl,omitempty"`

	// conflictPolicy says what happens to a record of the same protocol that somebody else
	// wrote: Refuse leaves it alone and reports it, Adopt takes it over and replaces it.
	// Unset: Refuse.
	// +optional
	ConflictPolicy ConflictPolicy `json:"conflictPolicy,omitempty"`

	// deletionPolicy says what happens to the records when the MailDomain is deleted: Retain
	// leaves them, Delete withdraws them safely and then removes what the operator wrote. The
	// object does not wait for what takes long: that is done from the operator's namespace, where
	// a ClusterDNSProvider is for the domain, else it stays published. Unset: Retain.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// ProviderRef names a provider object: a DNSProvider of the MailDomain's own namespace, or a
// ClusterDNSProvider with a grant for that namespace and domain.
type ProviderRef struct {
	// kind is DNSProvider or ClusterDNSProvider.
	// +required
	Kind ProviderKind `json:"kind,omitempty"`

	// name is the name of the object, at most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.dns.providerRef.name is not an object name: it must be lower-case letters, digits, '-' and '.', such as cloudflare"
	Name string `json:"name,omitempty"`
}

// ProviderKind is the kind of a provider object.
//
// +kubebuilder:validation:Enum=DNSProvider;ClusterDNSProvider
type ProviderKind string

const (
	KindDNSProvider        ProviderKind = "DNSProvider"
	KindClusterDNSProvider ProviderKind = "ClusterDNSProvider"
)

// ConflictPolicy says what happens to a foreign record of the same protocol.
//
// +kubebuilder:validation:Enum=Refuse;Adopt
type ConflictPolicy string

const (
	// ConflictRefuse leaves the foreign record alone and reports it.
	ConflictRefuse ConflictPolicy = "Refuse"
	// ConflictAdopt takes the one foreign record over: it is replaced in place.
	ConflictAdopt ConflictPolicy = "Adopt"
)

// DeletionPolicy says what happens to records when their MailDomain is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// DeletionRetain leaves the records and the ledger; a re-created MailDomain takes them up.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete withdraws the records safely, then removes what the operator wrote.
	DeletionDelete DeletionPolicy = "Delete"
)
