package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DKIMSpec is the domain's DKIM keys (RFC 6376): those that the operator makes and rotates,
// and those of others that it publishes or only checks.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || size(self.keys) > 0 || (has(self.external) && size(self.external) > 0)",message="spec.dkim.keys is empty and spec.dkim.external names no selector, so nothing would sign: leave keys out for one RSA key, or name a selector in external"
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || !has(self.external) || self.keys.all(k, !has(k.import) || !self.external.exists(e, e.selector == k.import.selector))",fieldPath=".keys",message="spec.dkim.keys: an import.selector is named in spec.dkim.external too: each selector must belong to one key"
type DKIMSpec struct {
	// selector is the stem of the operator's selectors: each key gets one of its own,
	// "<stem>-<yyyymmdd><letter>", such as mail-20261123a. One lower-case DNS label, at most 52
	// characters. Unset: mail.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="spec.dkim.selector is not a selector stem: it must be one DNS label of lower-case letters, digits and inner hyphens, such as mail"
	Selector string `json:"selector,omitempty"`

	// keys are the keys that sign side by side, at most 8, each with a name of its own. An empty
	// list means no key of the operator's, only external ones. Unset: one key {name: rsa,
	// algorithm: rsa, bits: 2048}.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Keys []DKIMKey `json:"keys,omitzero"` // omitzero: an empty list is not an unset one

	// rotation says when keys are replaced. Unset: the defaults of its fields.
	// +optional
	Rotation *DKIMRotation `json:"rotation,omitempty"`

	// signerSecret is the Secret, in the MailDomain's namespace, that the signer mounts. It holds
	// the private keys that may sign. Unset: the defaults of its fields.
	// +optional
	SignerSecret *SignerSecret `json:"signerSecret,omitempty"`

	// external are selectors whose private keys others hold, at most 32: published as TXT or
	// CNAME, or only checked. Unset: none.
	// +optional
	// +listType=map
	// +listMapKey=selector
	// +kubebuilder:validation:MaxItems=32
	External []ExternalSelector `json:"external,omitempty"`
}

// DKIMKey is one key that signs.
//
// +kubebuilder:validation:XValidation:rule="!has(self.bits) || !has(self.algorithm) || self.algorithm != 'ed25519'",fieldPath=".bits",message="spec.dkim.keys[].bits is set for an ed25519 key, whose size is fixed: leave bits out, or use algorithm: rsa"
// +kubebuilder:validation:XValidation:rule="!has(self.import) || (!has(self.algorithm) && !has(self.bits))",fieldPath=".import",message="spec.dkim.keys[].import stands beside algorithm or bits, which an imported key brings with it: leave algorithm and bits out"
type DKIMKey struct {
	// name tells the keys of this list apart and stays the same over rotations: one lower-case
	// DNS label, at most 32 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="spec.dkim.keys[].name must be lower-case letters, digits and inner hyphens, such as rsa"
	Name string `json:"name,omitempty"`

	// algorithm is the key type, tag k=: rsa (RFC 6376) or ed25519 (RFC 8463, which not all
	// receivers verify: keep an rsa key beside it). Unset: rsa; for an imported key, what it is.
	// +optional
	Algorithm DKIMAlgorithm `json:"algorithm,omitempty"`

	// bits is the size of an rsa key: 2048, 3072 or 4096 (RFC 8301 section 3.2; shorter ones are
	// not made). Unset: 2048; for an imported key, what it has.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16384
	// +kubebuilder:validation:XValidation:rule="self in [2048, 3072, 4096]",message="spec.dkim.keys[].bits must be 2048, 3072 or 4096: shorter keys are refused by receivers, longer ones do not fit DNS answers (RFC 8301 section 3.2)"
	Bits *int32 `json:"bits,omitempty"`

	// import takes up a key that already signs, instead of making one; the first rotation
	// replaces it by a key of the operator's. Unset: the operator makes the key.
	// +optional
	Import *DKIMImport `json:"import,omitempty"`
}

// DKIMAlgorithm is a DKIM key type, the k= tag.
//
// +kubebuilder:validation:Enum=rsa;ed25519
type DKIMAlgorithm string

const (
	DKIMRSA     DKIMAlgorithm = "rsa"
	DKIMEd25519 DKIMAlgorithm = "ed25519"
)

// DKIMImport names a private key in a Secret of the MailDomain's namespace. The Secret must
// carry the label maildomain.dev/import: "true"; it is read until the key is imported, and never
// written. The key must be the one that DNS serves at the selector, whose record then stays as it
// is, or nothing may stand there.
type DKIMImport struct {
	// secretName is the name of the Secret, at most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.dkim.keys[].import.secretName is not a Secret name: it must be lower-case letters, digits, '-' and '.', such as legacy-dkim"
	SecretName string `json:"secretName,omitempty"`

	// key is the key in the Secret's data that holds the private key, at most 253 characters: in
	// PEM, PKCS #8 or PKCS #1, without a passphrase, or in base64 as rspamd writes it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="spec.dkim.keys[].import.key is not a key of a Secret's data: it must be letters, digits, '-', '_' and '.', such as private.pem"
	Key string `json:"key,omitempty"`

	// selector is the selector that the key signs under today, at most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?([.][a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$')",message="spec.dkim.keys[].import.selector must be lower-case DNS labels without ._domainkey, such as s1"
	Selector string `json:"selector,omitempty"`
}

// DKIMRotation says when keys are replaced.
type DKIMRotation struct {
	// interval is the time from one key's activation to the next, from 10s to 87600h (ten
	// years), in whole seconds; days of real use, seconds for a trial. Unset: 4320h (180 days).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$') && self != '' && duration(self) >= duration('10s') && duration(self) <= duration('87600h')",message="spec.dkim.rotation.interval must be a duration from 10s to 87600h in whole hours, minutes and seconds, such as 4320h; to stop rotation set paused: true"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// retention is how long a retired public key stays published, counted from the last time that
	// the key could have signed, from 1s to 8760h (a year), in whole seconds. It must outlast the
	// mail queues of senders, five days as a rule (RFC 5321 section 4.5.4.1). Unset: 168h (7 days).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$') && self != '' && duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="spec.dkim.rotation.retention must be a duration from 1s to 8760h in whole hours, minutes and seconds, such as 168h"
	Retention *metav1.Duration `json:"retention,omitempty"`

	// paused stops scheduled rotations; those asked for by annotation still go on. Unset: false.
	// +optional
	Paused *bool `json:"paused,omitempty"`

	// confirm is Automatic, a retired key's file leaves the signer's Secret after half of the
	// retention, or Manual, it also waits for the annotation maildomain.dev/signer-switched. The
	// retention of the public key counts from then. Unset: Automatic.
	// +optional
	Confirm RotationConfirm `json:"confirm,omitempty"`
}

// RotationConfirm says what a retired key waits for before it leaves the signer's Secret.
//
// +kubebuilder:validation:Enum=Automatic;Manual
type RotationConfirm string

const (
	// ConfirmAutomatic waits for half of the retention.
	ConfirmAutomatic RotationConfirm = "Automatic"
	// ConfirmManual also waits until maildomain.dev/signer-switched names the new selector.
	ConfirmManual RotationConfirm = "Manual"
)

// SignerSecret describes the Secret that the signer mounts.
//
// +kubebuilder:validation:XValidation:rule="!has(self.combine) || !self.combine || has(self.name)",fieldPath=".combine",message="spec.dkim.signerSecret.combine is true without a name: write in signerSecret.name the Secret that the MailDomains share, such as dkim-keys"
type SignerSecret struct {
	// name is the name of the Secret, at most 253 characters. After a change the Secret of the old
	// name is kept up to date for half of the retention, then deleted. Unset: <metadata.name>-dkim.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.dkim.signerSecret.name is not a Secret name: it must be lower-case letters, digits, '-' and '.', such as example-com-dkim"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('-maildomain-ledger')",message="spec.dkim.signerSecret.name ends in -maildomain-ledger, which is the name of a Secret that the operator keeps for itself: choose another one, such as example-com-dkim"
	Name string `json:"name,omitempty"`

	// template is metadata for the Secret, for example for a reloader. Unset: none.
	// +optional
	Template *SecretTemplate `json:"template,omitempty"`

	// combine shares the Secret with other MailDomains of the namespace that say so too, for one
	// signer of many domains; name is then required. Each has its own files and lines in it. At 900 KiB
	// a further domain is refused. Unset: false, a second user is a conflict.
	// +optional
	Combine *bool `json:"combine,omitempty"`
}

// SecretTemplate is metadata for a Secret that the operator makes.
type SecretTemplate struct {
	// labels are added to the Secret's, at most 16. Unset: none.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('maildomain.dev/') && !k.startsWith('app.kubernetes.io/managed-by'))",message="spec.dkim.signerSecret.template.labels holds a label that the operator sets itself: leave out maildomain.dev/... and app.kubernetes.io/managed-by"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue() && !format.labelValue().validate(self[k]).hasValue())",message="spec.dkim.signerSecret.template.labels holds what is not a label: keys must look like example.com/team, values be at most 63 letters, digits, '-', '_' and '.'"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations are added to the Secret's, at most 16. Unset: none.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('maildomain.dev/'))",message="spec.dkim.signerSecret.template.annotations holds an annotation that the operator sets itself: leave out maildomain.dev/..."
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k.lowerAscii()).hasValue())",message="spec.dkim.signerSecret.template.annotations holds a key that is not an annotation key: it must look like example.com/reload"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// LabelValue is the value of a label, at most 63 characters.
//
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// AnnotationValue is the value of an annotation, at most 4096 characters.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// ExternalSelector is a selector whose private key somebody else holds.
//
// +kubebuilder:validation:XValidation:rule="[has(self.txt), has(self.cname), has(self.verifyOnly) && self.verifyOnly].filter(x, x).size() == 1",message="spec.dkim.external[] must have exactly one of txt, cname and verifyOnly: true"
type ExternalSelector struct {
	// selector is the selector, without ._domainkey: lower-case DNS labels, at most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?([.][a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$') && !self.endsWith('._domainkey')",message="spec.dkim.external[].selector must be lower-case DNS labels without ._domainkey, such as google"
	Selector string `json:"selector,omitempty"`

	// txt is the key record to publish at <selector>._domainkey.<domain> (RFC 6376 section 3.6.1),
	// at most 4096 characters. Unset: no TXT record is published for this selector.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('(^|;)[ \\\\t]*p[ \\\\t]*=') && !self.matches('[^ -~\\\\t]') && !self.contains('PRIVATE KEY')",message="spec.dkim.external[].txt is not a DKIM key record: it must hold the public key in tag p=, such as \"v=DKIM1; k=rsa; p=MIIB...\" (RFC 6376 section 3.6.1)"
	TXT string `json:"txt,omitempty"`

	// cname is the name to point <selector>._domainkey.<domain> at, at most 253 characters, without
	// a trailing dot. Unset: no CNAME record is published for this selector.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?[.])+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",message="spec.dkim.external[].cname is not a host name: it must be lower-case A-labels without a trailing dot, such as s2.tenant.example"
	CNAME string `json:"cname,omitempty"`

	// verifyOnly publishes nothing: the selector is only checked to be served. Unset: false.
	// +optional
	VerifyOnly *bool `json:"verifyOnly,omitempty"`
}
