package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MailDomain states the e-mail security records of one domain: SPF, DKIM, DMARC, MTA-STS
// and TLS-RPT. The operator publishes them, proves from outside that they are served, and
// says so in status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=md,categories={mail,maildomain}
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="DOMAIN",type=string,JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="SPF",type=string,JSONPath=`.status.conditions[?(@.type=="SPFReady")].status`
// +kubebuilder:printcolumn:name="DMARC",type=string,JSONPath=`.status.conditions[?(@.type=="DMARCReady")].status`
// +kubebuilder:printcolumn:name="MTA-STS",type=string,JSONPath=`.status.conditions[?(@.type=="MTASTSReady")].status`
// +kubebuilder:printcolumn:name="SELECTOR",type=string,JSONPath=`.status.dkim.activeSelectors`
// +kubebuilder:printcolumn:name="NEXT ROTATION",type=string,JSONPath=`.status.dkim.nextRotation`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 200",message="metadata.name is longer than 200 characters: the names of Secrets are made from it; use a shorter name such as example-com"
type MailDomain struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata. The name is at most 200 characters long,
	// because the names of Secrets are made from it.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the user wants. The operator never writes it.
	// +required
	Spec MailDomainSpec `json:"spec,omitzero"`

	// status is what the operator has seen and done. An observedGeneration of -1: the object was not
	// yet visited, which kstatus takes for "in progress", as it would not take an empty status.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status MailDomainStatus `json:"status,omitzero"`
}

// MailDomainList is a list of MailDomains.
//
// +kubebuilder:object:root=true
type MailDomainList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the MailDomains.
	Items []MailDomain `json:"items"`
}

// Mode says whether the operator acts or only looks.
//
// +kubebuilder:validation:Enum=Enforce;Observe
type Mode string

const (
	// ModeEnforce publishes, serves and rotates what spec states.
	ModeEnforce Mode = "Enforce"
	// ModeObserve makes no new write anywhere; what is served or mounted stays, and
	// status.plan says what Enforce would do.
	ModeObserve Mode = "Observe"
)

// MailDomainSpec is what the user wants for one domain.
//
// +kubebuilder:validation:XValidation:rule="!has(self.dns) || !has(self.dns.zone) || self.domain == self.dns.zone || self.domain.endsWith('.' + self.dns.zone)",fieldPath=".dns.zone",message="spec.dns.zone does not hold spec.domain: it must be the domain itself or a parent of it, such as example.com for mail.example.com"
type MailDomainSpec struct {
	// domain is the e-mail domain, what stands behind the @: lower-case A-labels (RFC 5890)
	// without a trailing dot, at least two labels, at most 178 characters, so that
	// "<selector>._domainkey." in front of it still makes a DNS name. It can't be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=178
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.domain can't be changed: keep the old value here and create another MailDomain for the new domain"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.')",message="spec.domain ends with a dot: write it without the trailing dot, such as example.com"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[A-Z]')",message="spec.domain holds upper-case letters: write it in lower case, such as example.com"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^\\\\x00-\\\\x7f]')",message="spec.domain holds characters that are not ASCII: write its A-labels, such as xn--bcher-kva.example for bücher.example"
	// +kubebuilder:validation:XValidation:rule="self.matches('[^\\\\x00-\\\\x7f]') || self.matches('(?i)^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?[.]?$')",message="spec.domain is not a domain name: it must be two or more labels of letters, digits and inner hyphens, each at most 63 characters, such as example.com"
	Domain string `json:"domain,omitempty"`

	// mode is Enforce, or Observe: no new write anywhere, neither in DNS nor of keys; what is
	// served or mounted stays; status.plan lists what Enforce would do. Unset: Enforce.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// suspend stops all work on this MailDomain, rotation included; what is published,
	// served and mounted stays. Unset: false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// dns says where and how records are written. Unset: manual mode, as without
	// dns.providerRef, with the defaults of the other fields.
	// +optional
	DNS *DNSSpec `json:"dns,omitempty"`

	// spf is the SPF record at the domain (RFC 7208). Unset: unmanaged.
	// +optional
	SPF *SPFSpec `json:"spf,omitempty"`

	// dkim is the domain's DKIM keys (RFC 6376) and the Secret that the signer reads.
	// Unset: unmanaged.
	// +optional
	DKIM *DKIMSpec `json:"dkim,omitempty"`

	// dmarc is the record at _dmarc.<domain> (RFC 9989). Unset: unmanaged.
	// +optional
	DMARC *DMARCSpec `json:"dmarc,omitempty"`

	// mtaSTS is the policy at https://mta-sts.<domain> and the record at _mta-sts.<domain>
	// (RFC 8461). Unset: unmanaged.
	// +optional
	MTASTS *MTASTSSpec `json:"mtaSTS,omitempty"`

	// tlsRPT is the record at _smtp._tls.<domain> (RFC 8460). Unset: unmanaged.
	// +optional
	TLSRPT *TLSRPTSpec `json:"tlsRPT,omitempty"`

	// compliance names the baselines that the domain is judged by, on what the world sees.
	// Unset: not judged.
	// +optional
	Compliance *ComplianceSpec `json:"compliance,omitempty"`
}

// ComplianceSpec names baselines.
type ComplianceSpec struct {
	// baselines are judged on observed DNS and HTTPS, never on spec: at least one, at most 16.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Baselines []Baseline `json:"baselines,omitempty"`
}

// Baseline is the name of a published set of requirements.
//
// +kubebuilder:validation:Enum=GoogleYahooBulkSender;MicrosoftHighVolumeSender;CISA-BOD-18-01;NCSC-UK;NZ-SGE;Internet.nl;PCI-DSS-5.4.1;M3AAWG-Parked
type Baseline string

const (
	BaselineGoogleYahooBulkSender     Baseline = "GoogleYahooBulkSender"
	BaselineMicrosoftHighVolumeSender Baseline = "MicrosoftHighVolumeSender"
	BaselineCISABOD1801               Baseline = "CISA-BOD-18-01"
	BaselineNCSCUK                    Baseline = "NCSC-UK"
	BaselineNZSGE                     Baseline = "NZ-SGE"
	BaselineInternetNL                Baseline = "Internet.nl"
	BaselinePCIDSS541                 Baseline = "PCI-DSS-5.4.1"
	BaselineM3AAWGParked              Baseline = "M3AAWG-Parked"
)
