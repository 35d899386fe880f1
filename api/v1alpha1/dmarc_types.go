package v1alpha1

// DMARCSpec is the record at _dmarc.<domain> (RFC 9989).
type DMARCSpec struct {
	// policy is the p= tag: none, quarantine or reject.
	// +required
	Policy DMARCPolicy `json:"policy,omitempty"`

	// subdomainPolicy is the sp= tag. Unset: not written; receivers use p.
	// +optional
	SubdomainPolicy DMARCPolicy `json:"subdomainPolicy,omitempty"`

	// nonexistentSubdomainPolicy is the np= tag. Unset: not written; receivers use sp, then p.
	// +optional
	NonexistentSubdomainPolicy DMARCPolicy `json:"nonexistentSubdomainPolicy,omitempty"`

	// testing is the t= tag: true asks receivers to apply the policy one level lower.
	// Unset: not written; receivers take it as n, false.
	// +optional
	Testing *bool `json:"testing,omitempty"`

	// dkimAlignment is the adkim= tag: relaxed or strict. Unset: not written; receivers take it
	// as relaxed.
	// +optional
	DKIMAlignment DMARCAlignment `json:"dkimAlignment,omitempty"`

	// spfAlignment is the aspf= tag: relaxed or strict. Unset: not written; receivers take it as
	// relaxed.
	// +optional
	SPFAlignment DMARCAlignment `json:"spfAlignment,omitempty"`

	// rua is the rua= tag: where aggregate reports go, at most 16 mailto: URIs of at most 320
	// characters. Unset: not written; receivers send none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=320
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^mailto:[\x22-\x2b\x2d-\x3a\x3c-\x3f\x41-\x7e]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+([?][\x22-\x2b\x2d-\x3a\x3c-\x3f\x41-\x7e]*)?$')`,message="spec.dmarc.rua must hold mailto: URIs, such as mailto:dmarc@example.com, with ',' ';' and '!' percent-encoded (RFC 9989 section 4.7)"
	RUA []string `json:"rua,omitempty"`

	// ruf is the ruf= tag: where failure reports go, at most 16 mailto: URIs of at most 320
	// characters. Unset: not written; receivers send none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=320
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^mailto:[\x22-\x2b\x2d-\x3a\x3c-\x3f\x41-\x7e]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+([?][\x22-\x2b\x2d-\x3a\x3c-\x3f\x41-\x7e]*)?$')`,message="spec.dmarc.ruf must hold mailto: URIs, such as mailto:forensic@example.com, with ',' ';' and '!' percent-encoded (RFC 9989 section 4.7)"
	RUF []string `json:"ruf,omitempty"`

	// failureOptions is the fo= tag: one of "0" and "1", and "d" and "s", at most 3. Receivers
	// ignore it without ruf. Unset: not written; receivers take it as 0.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:XValidation:rule="!(self.exists(o, o == '0') && self.exists(o, o == '1'))",message="spec.dmarc.failureOptions holds both \"0\" and \"1\", which exclude each other: keep \"1\" for a report whenever SPF or DKIM fails, or \"0\" for one only when all fail (RFC 9989 section 4.7)"
	FailureOptions []DMARCFailureOption `json:"failureOptions,omitempty"`

	// enforcement is AfterBasics, a first or stricter policy goes out only when SPF evaluates
	// without permerror and every DKIM key is active or verified, or Immediate, which does not
	// wait. Unset: AfterBasics.
	// +optional
	Enforcement DMARCEnforcement `json:"enforcement,omitempty"`

	// legacy holds tags of RFC 7489 that RFC 9989 dropped; each is written when set, with a
	// warning. Unset: none is written.
	// +optional
	Legacy *DMARCLegacy `json:"legacy,omitempty"`
}

// DMARCPolicy is what a receiver is asked to do with mail that fails.
//
// +kubebuilder:validation:Enum=none;quarantine;reject
type DMARCPolicy string

const (
	DMARCNone       DMARCPolicy = "none"
	DMARCQuarantine DMARCPolicy = "quarantine"
	DMARCReject     DMARCPolicy = "reject"
)

// DMARCAlignment is how closely an authenticated domain must match the From domain.
//
// +kubebuilder:validation:Enum=relaxed;strict
type DMARCAlignment string

const (
	AlignmentRelaxed DMARCAlignment = "relaxed" // tag value r
	AlignmentStrict  DMARCAlignment = "strict"  // tag value s
)

// DMARCFailureOption is one value of the fo= tag.
//
// +kubebuilder:validation:Enum="0";"1";d;s
type DMARCFailureOption string

// DMARCEnforcement says what a stricter policy waits for.
//
// +kubebuilder:validation:Enum=AfterBasics;Immediate
type DMARCEnforcement string

const (
	// EnforceAfterBasics waits for SPF and DKIM.
	EnforceAfterBasics DMARCEnforcement = "AfterBasics"
	// EnforceImmediate does not wait.
	EnforceImmediate DMARCEnforcement = "Immediate"
)

// DMARCLegacy holds tags that exist in RFC 7489 only.
//
// +kubebuilder:validation:XValidation:rule="has(self.pct) || has(self.rf) || has(self.ri)",message="spec.dmarc.legacy is empty: set one of pct, rf and ri, or leave legacy out"
type DMARCLegacy struct {
	// pct is the pct= tag, from 0 to 100. Unset: not written; receivers take it as 100.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Pct *int32 `json:"pct,omitempty"`

	// rf is the rf= tag; afrf is its only value. Unset: not written; receivers take it as afrf.
	// +optional
	// +kubebuilder:validation:Enum=afrf
	RF string `json:"rf,omitempty"`

	// ri is the ri= tag, in seconds, from 0 to 2147483647. Unset: not written; receivers take it
	// as 86400.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	RI *int32 `json:"ri,omitempty"`
}
