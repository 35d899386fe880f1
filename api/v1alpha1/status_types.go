package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MailDomainStatus is what the operator has seen and done. Nothing in it changes unless the
// world, the spec or the state of a step changes: times of checks live in metrics.
type MailDomainStatus struct {
	// conditions sum up: Ready, and one condition per managed section. See conditions.go for
	// the types and the closed list of reasons.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of spec that the rest of status speaks of; -1: of none yet.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// records are the records that the MailDomain wants, or once wrote and still owes, at most 256.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +listMapKey=type
	// +listMapKey=purpose
	// +kubebuilder:validation:MaxItems=256
	Records []RecordStatus `json:"records,omitempty"`

	// spf is what evaluating the domain's SPF record costs. Unset: not managed or not evaluated.
	// +optional
	SPF *SPFStatus `json:"spf,omitempty"`

	// dkim is the domain's keys. Unset: not managed.
	// +optional
	DKIM *DKIMStatus `json:"dkim,omitempty"`

	// mtaSTS is the policy in force. Unset: not managed and nothing owed.
	// +optional
	MTASTS *MTASTSStatus `json:"mtaSTS,omitempty"`

	// plan lists what Enforce would do, or in manual mode what a human must publish, at most 256
	// steps. Unset: nothing is to be done.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Plan []PlannedChange `json:"plan,omitempty"`

	// findings are what the records that are served could do better, at most 64. docs/lint.md lists
	// every code. Unset: nothing was found, or nothing is served yet.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Findings []Finding `json:"findings,omitempty"`

	// compliance is the verdict per baseline of spec.compliance, at most 16.
	// +optional
	// +listType=map
	// +listMapKey=baseline
	// +kubebuilder:validation:MaxItems=16
	Compliance []ComplianceStatus `json:"compliance,omitempty"`
}

// RecordPurpose is what a record is for. An RRset can hold records of several purposes.
//
// +kubebuilder:validation:Enum=SPF;DKIM;DMARC;MTASTS;MTASTSAddress;TLSRPT;Claim
type RecordPurpose string

const (
	PurposeSPF           RecordPurpose = "SPF"
	PurposeDKIM          RecordPurpose = "DKIM"
	PurposeDMARC         RecordPurpose = "DMARC"
	PurposeMTASTS        RecordPurpose = "MTASTS"
	PurposeMTASTSAddress RecordPurpose = "MTASTSAddress"
	PurposeTLSRPT        RecordPurpose = "TLSRPT"
	PurposeClaim         RecordPurpose = "Claim"
)

// RecordState is how far a record has come.
//
// +kubebuilder:validation:Enum=Pending;Held;Published;Verified;Conflict;Failed;Withdrawing
type RecordState string

const (
	// RecordPending: wanted and not yet written, or waiting for a human to publish it.
	RecordPending RecordState = "Pending"
	// RecordHeld: not written on purpose, until what it depends on is true.
	RecordHeld RecordState = "Held"
	// RecordPublished: written and read back, but not yet seen on every name server.
	RecordPublished RecordState = "Published"
	// RecordVerified: every name server of the zone that answers serves it.
	RecordVerified RecordState = "Verified"
	// RecordConflict: somebody else's record or alias is in the way and was left alone.
	RecordConflict RecordState = "Conflict"
	// RecordFailed: writing or verifying it failed; the reason says why.
	RecordFailed RecordState = "Failed"
	// RecordWithdrawing: no longer wanted and on its way out.
	RecordWithdrawing RecordState = "Withdrawing"
)

// Vantage is where a verdict was seen from.
//
// +kubebuilder:validation:Enum=Delegation;Configured
type Vantage string

const (
	// VantageDelegation: the name servers that the world finds.
	VantageDelegation Vantage = "Delegation"
	// VantageConfigured: the provider's spec.nameservers, which the world may not ask.
	VantageConfigured Vantage = "Configured"
)

// RecordStatus is the state of one record.
type RecordStatus struct {
	// name is the DNS name, without a trailing dot.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// type is the record type: TXT, CNAME, A or AAAA.
	// +required
	// +kubebuilder:validation:Enum=TXT;CNAME;A;AAAA
	Type string `json:"type,omitempty"`

	// purpose is what the record is for.
	// +required
	Purpose RecordPurpose `json:"purpose,omitempty"`

	// state is how far the record has come.
	// +required
	State RecordState `json:"state,omitempty"`

	// reason is one of the reasons of conditions.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message says what was wanted, what was seen and what to do. Unset: nothing is to be said.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`

	// vantage is where the state was seen from. Unset: it was not yet looked at.
	// +optional
	Vantage Vantage `json:"vantage,omitempty"`

	// lastTransitionTime is when state or reason changed last.
	// +required
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`
}

// SPFStatus is what evaluating the SPF record costs in the worst case (RFC 7208 section 4.6.4).
type SPFStatus struct {
	// lookups is the number of terms that cause DNS queries; more than 10 is a permerror.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Lookups *int32 `json:"lookups,omitempty"`

	// voids is the number of lookups without an answer; more than 2 is a permerror.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Voids *int32 `json:"voids,omitempty"`
}

// DKIMStatus is the domain's keys.
type DKIMStatus struct {
	// activeSelectors are the selectors whose keys sign, at most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	ActiveSelectors []string `json:"activeSelectors,omitempty"`

	// keys are all keys that are not yet removed, at most 64.
	// +optional
	// +listType=map
	// +listMapKey=selector
	// +kubebuilder:validation:MaxItems=64
	Keys []DKIMKeyStatus `json:"keys,omitempty"`

	// nextRotation is when the next rotation begins. Unset: none is scheduled.
	// +optional
	NextRotation *metav1.Time `json:"nextRotation,omitempty"`
}

// DKIMKeyState is a station in the life of a key.
//
// +kubebuilder:validation:Enum=Generated;Published;Propagated;Active;Retired;Revoked
type DKIMKeyState string

const (
	// KeyGenerated: the private key is stored; DNS does not know it.
	KeyGenerated DKIMKeyState = "Generated"
	// KeyPublished: the public key was written and read back.
	KeyPublished DKIMKeyState = "Published"
	// KeyPropagated: every name server serves it, and negative answers have expired.
	KeyPropagated DKIMKeyState = "Propagated"
	// KeyActive: it signs.
	KeyActive DKIMKeyState = "Active"
	// KeyRetired: it signs no more, and its public key stays for mail under way.
	KeyRetired DKIMKeyState = "Retired"
	// KeyRevoked: its record says p= with nothing behind (RFC 6376 section 3.6.1).
	KeyRevoked DKIMKeyState = "Revoked"
)

// DKIMKeyStatus is one key and the times of its life. A time is unset until it has come.
type DKIMKeyStatus struct {
	// selector is the key's selector.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Selector string `json:"selector,omitempty"`

	// name is the name of the key in spec.dkim.keys. Unset: an external selector.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name,omitempty"`

	// algorithm is the key type.
	// +optional
	Algorithm DKIMAlgorithm `json:"algorithm,omitempty"`

	// bits is the size of an rsa key.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	Bits *int32 `json:"bits,omitempty"`

	// state is where the key is in its life.
	// +required
	State DKIMKeyState `json:"state,omitempty"`

	// created is when the key was made or imported.
	// +optional
	Created *metav1.Time `json:"created,omitempty"`

	// published is when its record was first read back.
	// +optional
	Published *metav1.Time `json:"published,omitempty"`

	// propagated is when the key was proven to be served everywhere and negative answers had expired.
	// +optional
	Propagated *metav1.Time `json:"propagated,omitempty"`

	// active is when it was put into the signer's Secret.
	// +optional
	Active *metav1.Time `json:"active,omitempty"`

	// retired is when it left the signer's tables.
	// +optional
	Retired *metav1.Time `json:"retired,omitempty"`

	// revoked is when its record was emptied.
	// +optional
	Revoked *metav1.Time `json:"revoked,omitempty"`
}

// MTASTSStatus is the policy in force and what is owed to senders that hold it.
type MTASTSStatus struct {
	// policyID is the id in the TXT record that announces the operator's policy (RFC 8461 section 3.1).
	// Unset: none is announced, or a third party's is.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	PolicyID string `json:"policyID,omitempty"`

	// mode is the mode of the announced policy, or of the one that a third party serves. Unset: there is
	// none.
	// +optional
	Mode MTASTSMode `json:"mode,omitempty"`

	// commitmentEnds is when the last sender forgets the strictest policy ever served: the policy
	// must be served until then. While a policy is in force it moves on with every serving, so it
	// is set only during a withdrawal, once every name server has the id of the policy with mode none.
	// Unset: no withdrawal is that far.
	// +optional
	CommitmentEnds *metav1.Time `json:"commitmentEnds,omitempty"`

	// safeToMoveMXAfter is when every sender has forgotten the policies that do not cover all hosts of
	// the announced one, or with mode none every other policy: from then on MX records may name any of
	// them. It counts once MTASTSReady is True for the generation that added the hosts. Unset: they may now.
	// +optional
	SafeToMoveMXAfter *metav1.Time `json:"safeToMoveMXAfter,omitempty"`

	// mx is what the hosts of the live MX records offer, at most 32.
	// +optional
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=32
	MX []MXStatus `json:"mx,omitempty"`
}

// Verdict is the outcome of a check. Unknown is not Fail: the check could not be made.
//
// +kubebuilder:validation:Enum=Pass;Fail;Unknown;NotApplicable
type Verdict string

const (
	VerdictPass          Verdict = "Pass"
	VerdictFail          Verdict = "Fail"
	VerdictUnknown       Verdict = "Unknown"
	VerdictNotApplicable Verdict = "NotApplicable"
)

// MXStatus is what one MX host offers.
type MXStatus struct {
	// host is the MX host.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// covered says whether the policy's mx lines cover the host.
	// +required
	Covered Verdict `json:"covered,omitempty"`

	// startTLS says whether the host offers STARTTLS with a certificate valid for its name.
	// Unset: not probed.
	// +optional
	StartTLS Verdict `json:"startTLS,omitempty"`

	// message says what was seen.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// PlanAction is what a planned step does.
//
// +kubebuilder:validation:Enum=Create;Change;Remove;Generate
type PlanAction string

const (
	// PlanCreate adds a record.
	PlanCreate PlanAction = "Create"
	// PlanChange replaces old by new.
	PlanChange PlanAction = "Change"
	// PlanRemove removes a record.
	PlanRemove PlanAction = "Remove"
	// PlanGenerate makes a key and publishes it under name.
	PlanGenerate PlanAction = "Generate"
)

// PlannedChange is one step that would be, or must be, made in DNS.
type PlannedChange struct {
	// action is what the step does.
	// +required
	Action PlanAction `json:"action,omitempty"`

	// name is the DNS name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// type is the record type.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Type string `json:"type,omitempty"`

	// old is the value that goes. Unset: none goes.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Old string `json:"old,omitempty"`

	// new is the value that comes. Unset: none comes, or it is not yet known.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	New string `json:"new,omitempty"`
}

// Severity says how much a finding hurts.
//
// +kubebuilder:validation:Enum=Error;Warning;Info
type Severity string

const (
	// SeverityError: receivers or senders ignore or misread the record, or mail is lost.
	SeverityError Severity = "Error"
	// SeverityWarning: it works, and it will hurt some day or with some of them.
	SeverityWarning Severity = "Warning"
	// SeverityInfo: worth to know.
	SeverityInfo Severity = "Info"
)

// Finding is one thing that a record could do better.
type Finding struct {
	// code says which rule is broken; it keeps its meaning.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Code string `json:"code,omitempty"`

	// severity says how much it hurts.
	// +required
	Severity Severity `json:"severity,omitempty"`

	// name is the DNS name of the record, without a trailing dot.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// message says what was seen and what to do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// ComplianceStatus is the verdict on one baseline.
type ComplianceStatus struct {
	// baseline is the baseline.
	// +required
	Baseline Baseline `json:"baseline,omitempty"`

	// verdict is Fail if any control fails, else Unknown if any is unknown, else Pass.
	// +required
	Verdict Verdict `json:"verdict,omitempty"`

	// controls are the verdicts on the baseline's controls, at most 32.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Controls []ControlStatus `json:"controls,omitempty"`

	// lastChecked moves when a verdict changes, and else at most once a day.
	// +optional
	LastChecked *metav1.Time `json:"lastChecked,omitempty"`
}

// ControlStatus is the verdict on one control of a baseline.
type ControlStatus struct {
	// name is the control.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name,omitempty"`

	// verdict is the outcome.
	// +required
	Verdict Verdict `json:"verdict,omitempty"`

	// message says what was seen.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}
