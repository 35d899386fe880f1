package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DNSProvider says how to reach the zones of the MailDomains in its own namespace. Its Secrets
// are of that namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={maildomain}
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="TYPE",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="DOMAINS",type=string,JSONPath=`.spec.domains`,priority=1
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type DNSProvider struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the provider and its credentials. The operator never writes it.
	// +required
	Spec DNSProviderSpec `json:"spec,omitzero"`

	// status is what the operator has seen. An observedGeneration of -1: the object was not
	// yet visited, which kstatus takes for "in progress", as it would not take an empty status.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status DNSProviderStatus `json:"status,omitzero"`
}

// DNSProviderList is a list of DNSProviders.
//
// +kubebuilder:object:root=true
type DNSProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the DNSProviders.
	Items []DNSProvider `json:"items"`
}

// ClusterDNSProvider says how to reach zones for the namespaces that it grants them to. Its
// Secrets are of the operator's namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories={maildomain}
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="TYPE",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="DOMAINS",type=string,JSONPath=`.spec.domains`,priority=1
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterDNSProvider struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the provider, its credentials and its grants. The operator never writes it.
	// +required
	Spec ClusterDNSProviderSpec `json:"spec,omitzero"`

	// status is what the operator has seen. An observedGeneration of -1: the object was not
	// yet visited, which kstatus takes for "in progress", as it would not take an empty status.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status DNSProviderStatus `json:"status,omitzero"`
}

// ClusterDNSProviderList is a list of ClusterDNSProviders.
//
// +kubebuilder:object:root=true
type ClusterDNSProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the ClusterDNSProviders.
	Items []ClusterDNSProvider `json:"items"`
}

// ClusterDNSProviderSpec is a provider and who may use it.
type ClusterDNSProviderSpec struct {
	DNSProviderSpec `json:",inline"`

	// grants say which namespaces may use the provider, and for which of its domains, at most 32.
	// Unset: nobody may use it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Grants []Grant `json:"grants,omitempty"`
}

// Grant lets MailDomains of the selected namespaces use the provider for the given domains.
type Grant struct {
	// namespaceSelector selects namespaces by label; {} selects all.
	// +required
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// domains are the domains granted, at most 64: each with everything below it, matched label by
	// label. What is not within the provider's own domains is not granted.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$')",message="spec.grants[].domains must hold domain names in lower-case A-labels, of two or more labels, without wildcard or trailing dot, such as example.com, which covers all below it"
	Domains []string `json:"domains,omitempty"`
}

// DNSProviderSpec is one DNS provider: exactly one of cloudflare, route53, rfc2136 and desec.
//
// +kubebuilder:validation:XValidation:rule="[has(self.cloudflare), has(self.route53), has(self.rfc2136), has(self.desec)].filter(x, x).size() == 1",message="spec must have exactly one of cloudflare, route53, rfc2136 and desec: write one provider per object"
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !has(self.desec)",fieldPath=".endpoint",message="spec.endpoint stands beside desec, whose API is at one place only: leave endpoint out"
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !has(self.rfc2136)",fieldPath=".endpoint",message="spec.endpoint stands beside rfc2136, which has no HTTP API: leave endpoint out and write the server in spec.rfc2136.server"
// +kubebuilder:validation:XValidation:rule="!has(self.rateLimit) || !has(self.rfc2136)",fieldPath=".rateLimit",message="spec.rateLimit stands beside rfc2136, whose server counts no calls: leave rateLimit out"
type DNSProviderSpec struct {
	// domains are the domains that the provider may be used for, 1 to 1000: each with everything below
	// it, matched label by label. Public suffixes, such as co.uk, are refused.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$')",message="spec.domains must hold domain names in lower-case A-labels, of two or more labels, without wildcard or trailing dot, such as example.com, which covers all below it"
	Domains []string `json:"domains,omitempty"`

	// cloudflare is an account at Cloudflare. Unset: another provider.
	// +optional
	Cloudflare *CloudflareProvider `json:"cloudflare,omitempty"`

	// route53 is an account at Amazon Route 53. Unset: another provider.
	// +optional
	Route53 *Route53Provider `json:"route53,omitempty"`

	// rfc2136 is a name server that takes dynamic updates (RFC 2136). Unset: another provider.
	// +optional
	RFC2136 *RFC2136Provider `json:"rfc2136,omitempty"`

	// desec is an account at deSEC. It is experimental: see docs/providers.md for what it can't do.
	// Unset: another provider.
	// +optional
	Desec *DesecProvider `json:"desec,omitempty"`

	// endpoint is the base URL of the provider's API, at most 512 characters, for cloudflare and
	// route53: https, or plain http to a loopback address. With spec.route53.roleARN, AWS STS is called
	// there too, so that nothing else is. Unset: the provider's public API.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https://[A-Za-z0-9.-]+|http://(localhost|127[.][0-9]+[.][0-9]+[.][0-9]+|[[]::1[]]))(:[0-9]{1,5})?(/[!-~]*)?$')",message="spec.endpoint must be an https URL, such as https://api.example.com/client/v4; plain http only to a loopback address, because credentials travel there"
	Endpoint string `json:"endpoint,omitempty"`

	// nameservers are asked, instead of those found by delegation, what the zone serves: "host" or
	// "host:port", at most 16 of at most 260 characters. Verdicts then say vantage: Configured.
	// Unset: the name servers found by delegation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:XValidation:rule="isIP(self) || (self.matches('^([A-Za-z0-9.-]+|[[][0-9a-fA-F:.]+[]])(:[0-9]{1,5})?$') && (!self.matches(':[0-9]+$') || (int(self.substring(self.lastIndexOf(':') + 1)) >= 1 && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535)))",message="spec.nameservers must hold a host or host:port each, such as ns1.example.com, 192.0.2.53:5353 or [2001:db8::53]:53"
	Nameservers []string `json:"nameservers,omitempty"`

	// rateLimit bounds the calls to the provider's API that are made with these credentials.
	// Not for rfc2136. Unset: the provider's default.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	// requestsPerMinute is the sustained rate, from 1 to 60000.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60000
	RequestsPerMinute int32 `json:"requestsPerMinute,omitempty"`

	// burst is how many calls may be made at once, from 1 to 1000. Unset: 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Burst *int32 `json:"burst,omitempty"`
}

// CloudflareProvider is an account at Cloudflare.
type CloudflareProvider struct {
	// apiTokenSecretRef is the API token. It needs the permission Zone.DNS:Edit, and Zone:Read
	// where zoneID is unset.
	// +required
	APITokenSecretRef *SecretKeyRef `json:"apiTokenSecretRef,omitempty"`

	// zoneID is the zone's id, 32 hexadecimal digits, for a token that may not list zones.
	// Unset: found by the zone's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{32}$')",message="spec.cloudflare.zoneID must be 32 lower-case hexadecimal digits, as the zone's overview page shows it"
	ZoneID string `json:"zoneID,omitempty"`
}

// Route53Provider is an account at Amazon Route 53.
//
// +kubebuilder:validation:XValidation:rule="has(self.accessKeyIDSecretRef) == has(self.secretAccessKeySecretRef)",message="spec.route53 must have both of accessKeyIDSecretRef and secretAccessKeySecretRef, or neither, for credentials of the environment"
// +kubebuilder:validation:XValidation:rule="!has(self.sessionTokenSecretRef) || has(self.accessKeyIDSecretRef)",fieldPath=".sessionTokenSecretRef",message="spec.route53.sessionTokenSecretRef is set without the keys that it belongs to: add accessKeyIDSecretRef and secretAccessKeySecretRef"
// +kubebuilder:validation:XValidation:rule="!has(self.externalID) || has(self.roleARN)",fieldPath=".externalID",message="spec.route53.externalID is set without the role whose trust policy demands it: add roleARN"
type Route53Provider struct {
	// accessKeyIDSecretRef is the access key's id. Unset: credentials of the operator's
	// environment, where its administrator allowed that; never silently.
	// +optional
	AccessKeyIDSecretRef *SecretKeyRef `json:"accessKeyIDSecretRef,omitempty"`

	// secretAccessKeySecretRef is the secret access key. Unset: as for accessKeyIDSecretRef.
	// +optional
	SecretAccessKeySecretRef *SecretKeyRef `json:"secretAccessKeySecretRef,omitempty"`

	// sessionTokenSecretRef is the token of temporary credentials. Unset: none.
	// +optional
	SessionTokenSecretRef *SecretKeyRef `json:"sessionTokenSecretRef,omitempty"`

	// region is the AWS region that requests are signed for, at most 32 characters.
	// Unset: us-east-1.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]+(-[a-z0-9]+)+$')",message="spec.route53.region is not an AWS region: it must look like us-east-1"
	Region string `json:"region,omitempty"`

	// hostedZoneID is the id of the hosted zone, at most 32 characters; needed where a public and a
	// private zone have the same name. Unset: the public zone found by name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^Z[A-Z0-9]+$')",message="spec.route53.hostedZoneID must be the id alone, without /hostedzone/, such as Z0123456789ABCDEFGHIJ"
	HostedZoneID string `json:"hostedZoneID,omitempty"`

	// roleARN is the role that is assumed with the credentials above (sts:AssumeRole) and that changes
	// the zone, at most 2048 characters. A DNSProvider's role is assumed with its own keys, never with the
	// operator's identity: a tenant that could name a role for that could use any that trusts the
	// operator (AWS's "confused deputy"). For a ClusterDNSProvider without keys it is the operator's
	// identity that assumes the role. Unset: the credentials above change the zone themselves.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$')",message="spec.route53.roleARN is not the ARN of a role: it must look like arn:aws:iam::123456789012:role/dns"
	RoleARN string `json:"roleARN,omitempty"`

	// externalID is told when the role is assumed, 2 to 1224 characters: what the role's trust policy
	// demands as sts:ExternalId. It is no secret. Unset: none.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1224
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+=,.@:/-]+$')",message="spec.route53.externalID must be letters, digits and characters of _+=,.@:/- only"
	ExternalID string `json:"externalID,omitempty"`
}

// DesecProvider is an account at deSEC.
type DesecProvider struct {
	// tokenSecretRef is the API token.
	// +required
	TokenSecretRef *SecretKeyRef `json:"tokenSecretRef,omitempty"`
}

// RFC2136Provider is a name server that takes dynamic updates (RFC 2136) signed with TSIG (RFC 8945).
type RFC2136Provider struct {
	// server is the primary name server, "host:port", at most 260 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=260
	// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9a-fA-F:.]+[]]):[0-9]{1,5}$') && int(self.substring(self.lastIndexOf(':') + 1)) >= 1 && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535",message="spec.rfc2136.server must be host:port with a port from 1 to 65535, such as ns1.example.com:53, 192.0.2.53:53 or [2001:db8::53]:53"
	Server string `json:"server,omitempty"`

	// tsig is the key that signs the updates.
	// +required
	TSIG *TSIGKey `json:"tsig,omitempty"`
}

// TSIGKey is a shared key (RFC 8945).
type TSIGKey struct {
	// keyName is the name of the key as the server knows it, at most 253 characters, with or without a
	// trailing dot.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})([.][A-Za-z0-9_][A-Za-z0-9_-]{0,62})*[.]?$')",message="spec.rfc2136.tsig.keyName is not a key name: it must be a domain name as in the server's configuration, such as maildomain"
	KeyName string `json:"keyName,omitempty"`

	// algorithm is the key's algorithm (RFC 8945 section 6); hmac-sha1 is for old servers only.
	// Unset: hmac-sha256.
	// +optional
	Algorithm TSIGAlgorithm `json:"algorithm,omitempty"`

	// secretRef is the key's secret, in base64 as tsig-keygen prints it.
	// +required
	SecretRef *SecretKeyRef `json:"secretRef,omitempty"`
}

// TSIGAlgorithm is the algorithm of a TSIG key, by its name in RFC 8945 section 6.
//
// +kubebuilder:validation:Enum=hmac-sha256;hmac-sha384;hmac-sha512;hmac-sha224;hmac-sha1
type TSIGAlgorithm string

const (
	TSIGHmacSHA256 TSIGAlgorithm = "hmac-sha256"
	TSIGHmacSHA384 TSIGAlgorithm = "hmac-sha384"
	TSIGHmacSHA512 TSIGAlgorithm = "hmac-sha512"
	TSIGHmacSHA224 TSIGAlgorithm = "hmac-sha224"
	TSIGHmacSHA1   TSIGAlgorithm = "hmac-sha1"
)

// SecretKeyRef names one value in a Secret: of the provider's namespace for a DNSProvider, of
// the operator's namespace for a ClusterDNSProvider. There is no namespace field, so that
// nobody can point at another's Secret.
type SecretKeyRef struct {
	// name is the name of the Secret, at most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="name is not a Secret name: it must be lower-case letters, digits, '-' and '.', such as cloudflare-token"
	Name string `json:"name,omitempty"`

	// key is the key in the Secret's data, at most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="key is not a key of a Secret's data: it must be letters, digits, '-', '_' and '.', such as token"
	Key string `json:"key,omitempty"`
}

// ProviderType is the provider that a DNSProviderSpec chose, by its field name.
//
// +kubebuilder:validation:Enum=cloudflare;route53;rfc2136
type ProviderType string

const (
	ProviderCloudflare ProviderType = "cloudflare"
	ProviderRoute53    ProviderType = "route53"
	ProviderRFC2136    ProviderType = "rfc2136"
	ProviderDesec      ProviderType = "desec"
)

// Type returns which provider the spec chose, "" for none, which the API server refuses.
func (s *DNSProviderSpec) Type() ProviderType {
	switch {
	case s.Cloudflare != nil:
		return ProviderCloudflare
	case s.Route53 != nil:
		return ProviderRoute53
	case s.RFC2136 != nil:
		return ProviderRFC2136
	case s.Desec != nil:
		return ProviderDesec
	}
	return ""
}

// DNSProviderStatus is what the operator has seen of a provider.
type DNSProviderStatus struct {
	// conditions holds Ready: the spec is usable and the credentials are there.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of spec that the conditions speak of; -1: of none yet.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// type is the provider that spec chose: cloudflare, route53, rfc2136 or desec.
	// +optional
	Type ProviderType `json:"type,omitempty"`
}
