package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MTASTSSpec is the MTA-STS policy of the domain and how it is served (RFC 8461).
//
// +kubebuilder:validation:XValidation:rule="self.mode != 'enforce' || (has(self.mx) && size(self.mx) > 0)",fieldPath=".mx",message="spec.mtaSTS.mx is empty with mode: enforce, which would stop all mail of senders that honour it: list the hosts of the domain's MX records, such as mx1.example.com"
// +kubebuilder:validation:XValidation:rule="!has(self.hosting) || self.hosting != 'External' || (!has(self.address) && !has(self.tls))",fieldPath=".hosting",message="spec.mtaSTS.hosting is External, so address and tls have no use: a third party serves the policy; leave both out, or use hosting: Sidecar"
type MTASTSSpec struct {
	// mode is the policy's mode: enforce, testing or none (RFC 8461 section 5).
	// +required
	Mode MTASTSMode `json:"mode,omitempty"`

	// maxAge is the policy's max_age, how long senders keep it, from 1m to 8766h (31557600
	// seconds), in whole seconds (RFC 8461 section 3.2). Unset: 168h (7 days).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('8766h')",message="spec.mtaSTS.maxAge must be a duration from 1m to 8766h (31557600 s, RFC 8461 section 3.2) in whole hours, minutes and seconds, such as 168h"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`

	// mx are the policy's mx lines, at most 32: host names, or "*." and a name, which covers one
	// label. Required for enforce. Unset: the hosts of the live MX records.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*][.])?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$')",message="spec.mtaSTS.mx must hold host names in lower-case A-labels without a trailing dot, such as mx1.example.com, or with one leading wildcard, such as *.example.com (RFC 8461 section 4.1)"
	MX []string `json:"mx,omitempty"`

	// hosting is Sidecar, the operator serves the policy, or External: a third party serves it; policy
	// and TXT record are checked, by mode and by what of maxAge and mx is set, and neither they nor the
	// address of the policy host are written. What the operator has served before is served until the
	// third party's is in its place. Unset: Sidecar.
	// +optional
	Hosting MTASTSHosting `json:"hosting,omitempty"`

	// address is how mta-sts.<domain> points at the serving end. Unset: {type: Auto}.
	// +optional
	Address *MTASTSAddress `json:"address,omitempty"`

	// tls is the certificate for mta-sts.<domain>. Unset: the default of its field.
	// +optional
	TLS *MTASTSTLS `json:"tls,omitempty"`
}

// MTASTSMode is the mode of a policy (RFC 8461 section 5).
//
// +kubebuilder:validation:Enum=enforce;testing;none
type MTASTSMode string

const (
	MTASTSEnforce MTASTSMode = "enforce"
	MTASTSTesting MTASTSMode = "testing"
	MTASTSNone    MTASTSMode = "none"
)

// MTASTSHosting says who serves the policy.
//
// +kubebuilder:validation:Enum=Sidecar;External
type MTASTSHosting string

const (
	// HostingSidecar: the operator's own policy servers.
	HostingSidecar MTASTSHosting = "Sidecar"
	// HostingExternal: a third party.
	HostingExternal MTASTSHosting = "External"
)

// MTASTSAddress is the address record of mta-sts.<domain>.
//
// +kubebuilder:validation:XValidation:rule="self.type in ['CNAME', 'A'] || !has(self.values) || size(self.values) == 0",fieldPath=".values",message="spec.mtaSTS.address.values is set for type Auto or None, which take none: leave values out, or use type: A or type: CNAME"
// +kubebuilder:validation:XValidation:rule="self.type != 'CNAME' || (has(self.values) && size(self.values) == 1 && self.values[0].matches('^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'))",fieldPath=".values",message="spec.mtaSTS.address.values must be exactly one host name for type CNAME, lower-case and without a trailing dot, such as [mta-sts.example.net]"
// +kubebuilder:validation:XValidation:rule="self.type != 'A' || (has(self.values) && size(self.values) > 0 && self.values.all(v, isIP(v)))",fieldPath=".values",message="spec.mtaSTS.address.values must be one or more IPv4 or IPv6 addresses for type A, such as [192.0.2.80, \"2001:db8::80\"]"
type MTASTSAddress struct {
	// type is Auto (the address of the operator's Service), CNAME, A (also AAAA for IPv6 values), or
	// None: the record is somebody else's.
	// +required
	Type AddressType `json:"type,omitempty"`

	// values are the CNAME target or the addresses, at most 16. Unset: none, as Auto and None need.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Values []string `json:"values,omitempty"`
}

// AddressType says what kind of address record is written.
//
// +kubebuilder:validation:Enum=Auto;CNAME;A;None
type AddressType string

const (
	// AddressAuto: the address of the operator's Service.
	AddressAuto AddressType = "Auto"
	// AddressCNAME: an alias for the one value.
	AddressCNAME AddressType = "CNAME"
	// AddressA: A records for IPv4 values, AAAA records for IPv6 values.
	AddressA AddressType = "A"
	// AddressNone: no address record is written.
	AddressNone AddressType = "None"
)

// MTASTSTLS names a certificate.
type MTASTSTLS struct {
	// secretName is the name of a Secret of type kubernetes.io/tls in the MailDomain's namespace,
	// at most 253 characters, whose certificate names mta-sts.<domain>.
	// Unset: mta-sts-<metadata.name>.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.mtaSTS.tls.secretName is not a Secret name: it must be lower-case letters, digits, '-' and '.', such as mta-sts-example-com"
	SecretName string `json:"secretName,omitempty"`
}
