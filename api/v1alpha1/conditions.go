package v1alpha1

// Condition types. Ready is the summary: it is True when ProviderReady and the condition of every
// managed section are, and Compliant where baselines are asked for. The condition of an
// unmanaged section is absent. Reconciling and Stalled follow kstatus: present only when True.
const (
	// ConditionReady: everything that spec asks for is published and proven. On a provider: it
	// can be used.
	ConditionReady = "Ready"
	// ConditionProviderReady: the provider exists, may be used for this domain and takes the
	// credentials. Absent in manual mode.
	ConditionProviderReady = "ProviderReady"
	// ConditionSPFReady: the wished SPF record is served and evaluates without permerror.
	ConditionSPFReady = "SPFReady"
	// ConditionDKIMReady: every key of spec is active or, if external, verified.
	ConditionDKIMReady = "DKIMReady"
	// ConditionDMARCReady: the wished DMARC record is served.
	ConditionDMARCReady = "DMARCReady"
	// ConditionMTASTSReady: the policy is served and announced, and no name server has the id of the one
	// before.
	ConditionMTASTSReady = "MTASTSReady"
	// ConditionTLSRPTReady: the wished TLS-RPT record is served.
	ConditionTLSRPTReady = "TLSRPTReady"
	// ConditionCompliant: every baseline of spec.compliance passes.
	ConditionCompliant = "Compliant"
	// ConditionReconciling: work is under way that needs nobody's help.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: nothing will move until somebody changes something; the message says what.
	ConditionStalled = "Stalled"
)

// Reasons of conditions, records and Events: the closed list. Each says what it means and, if
// something is wrong, the way out.
const (
	// ReasonVerified: what was wished is served, as seen from outside. Nothing to do.
	ReasonVerified = "Verified"
	// ReasonReady: a provider's spec and credentials are in order. Nothing to do.
	ReasonReady = "Ready"
	// ReasonProgressing: work is under way. Wait.
	ReasonProgressing = "Progressing"
	// ReasonSuspended: spec.suspend is true; nothing is done. Set it to false to go on.
	ReasonSuspended = "Suspended"
	// ReasonObserving: mode is Observe; nothing new is written. Read status.plan, then set mode: Enforce.
	ReasonObserving = "Observing"
	// ReasonWaitingForHuman: without a provider, a human must publish the record that the message
	// and status.plan show.
	ReasonWaitingForHuman = "WaitingForHuman"

	// ReasonProviderNotFound: the object that spec.dns.providerRef names does not exist. Create it
	// or correct the reference.
	ReasonProviderNotFound = "ProviderNotFound"
	// ReasonProviderNotAllowed: the provider is not for this domain, or its grants do not cover the
	// namespace. Add the domain to spec.domains or a grant, or refer to another provider.
	ReasonProviderNotAllowed = "ProviderNotAllowed"
	// ReasonProviderInvalid: the provider's spec can't be used, for example a public suffix among
	// its domains. Correct it as the message says.
	ReasonProviderInvalid = "ProviderInvalid"
	// ReasonTargetNotAllowed: a server, endpoint or name server address is loopback, link-local,
	// private or of the cluster. Use a public one, or have the administrator allow the range.
	ReasonTargetNotAllowed = "TargetNotAllowed"
	// ReasonCredentialsNotFound: the Secret or the key in it that the provider names is missing.
	// Create it.
	ReasonCredentialsNotFound = "CredentialsNotFound"
	// ReasonUnauthorized: the provider does not take the credentials. Check key name, algorithm,
	// secret and permissions.
	ReasonUnauthorized = "Unauthorized"
	// ReasonUnreachable: the provider gives no usable answer. It is tried again; check address and
	// network if it lasts.
	ReasonUnreachable = "Unreachable"
	// ReasonRateLimited: the provider asks to wait. It is tried again at the time that it names.
	ReasonRateLimited = "RateLimited"
	// ReasonZoneNotFound: the provider does not hold the zone. Check spec.dns.zone and the account.
	ReasonZoneNotFound = "ZoneNotFound"
	// ReasonRefused: the provider understood and declined the change. Read the message; it is tried
	// again.
	ReasonRefused = "Refused"
	// ReasonUnknownOutcome: a change was sent and it is not known whether it took place. The records
	// are read again and repaired; nothing to do.
	ReasonUnknownOutcome = "UnknownOutcome"
	// ReasonConcurrentChange: somebody else changed the records between reading and writing.
	// Nothing was written; it is tried again.
	ReasonConcurrentChange = "ConcurrentChange"

	// ReasonDomainNotClaimed: this MailDomain has no proven right to the domain, so it only observes.
	// Give the namespace a grant, or publish the record that the message shows.
	ReasonDomainNotClaimed = "DomainNotClaimed"
	// ReasonRecordConflict: a record of the same protocol that the operator did not write stands there
	// and was left alone. Remove it, or set spec.dns.conflictPolicy: Adopt.
	ReasonRecordConflict = "RecordConflict"
	// ReasonAliasInTheWay: a CNAME occupies the name, so nothing else can stand there (RFC 1034 section
	// 3.6.2). Remove it, or publish the record at its target.
	ReasonAliasInTheWay = "AliasInTheWay"
	// ReasonDelegatedName: the name belongs to a child zone that the provider does not hold. Refer to a
	// provider that does, or remove the delegation.
	ReasonDelegatedName = "DelegatedName"

	// ReasonWaitingForPropagation: the record is written, but not every name server serves it, or one has
	// what stood there before. Wait; the message names the servers.
	ReasonWaitingForPropagation = "WaitingForPropagation"
	// ReasonNotServed: the name servers do not serve the record, or a selector that others should
	// publish. Publish it, or find out why they don't.
	ReasonNotServed = "NotServed"
	// ReasonServersDisagree: name servers of the zone give different answers, one of them wrong, for
	// longer than propagation takes. Repair the one that the message names.
	ReasonServersDisagree = "ServersDisagree"
	// ReasonServersUnreachable: no name server of the zone answers, or one that is waited for does not, so it
	// is not known what it serves. Nothing is changed on that ground; check the delegation and the servers.
	ReasonServersUnreachable = "ServersUnreachable"
	// ReasonVerificationFailed: what is seen is not what was wished, as the message says. Repair it,
	// or change spec.
	ReasonVerificationFailed = "VerificationFailed"

	// ReasonBasicsNotReady: the stricter DMARC policy is held until SPF evaluates without permerror and
	// every DKIM key is active or verified. Repair these, or set spec.dmarc.enforcement: Immediate.
	ReasonBasicsNotReady = "BasicsNotReady"
	// ReasonSPFPermError: the SPF record would evaluate to permerror (RFC 7208 section 2.6.7) and is
	// held; the last good one stays. Correct the term that the message names.
	ReasonSPFPermError = "SPFPermError"
	// ReasonTooManyLookups: the SPF record needs more than the 10 DNS lookups after which receivers
	// stop (RFC 7208 section 4.6.4), and is held as with SPFPermError. Remove terms that cost much.
	ReasonTooManyLookups = "TooManyLookups"
	// ReasonSPFTempError: the SPF record can't be evaluated now, because a DNS query fails. It is tried
	// again.
	ReasonSPFTempError = "SPFTempError"

	// ReasonRotating: a rotation is under way; the active key signs. Wait.
	ReasonRotating = "Rotating"
	// ReasonWaitingForSigner: with confirm: Manual the file of a retired key stays in the signer's Secret,
	// and its record in DNS, until the annotation maildomain.dev/signer-switched names an active or
	// external selector. Set it when the signer has switched; DKIMReady is True meanwhile.
	ReasonWaitingForSigner = "WaitingForSigner"
	// ReasonImportFailed: the key to import is missing, not labelled for import, unreadable, or not the
	// one that DNS serves. Correct what the message names.
	ReasonImportFailed = "ImportFailed"
	// ReasonDKIMRequired: spec.dkim names no key of the operator's any more, while the DMARC policy in
	// force, the domain's own or an inherited one, relies on DKIM: the keys go on signing. Relax
	// spec.dmarc.policy first, or name external selectors that are served.
	ReasonDKIMRequired = "DKIMRequired"
	// ReasonKeyLost: a private key is gone from the ledger, and the signer's Secret does not hold it
	// either. For --lost-key-grace no Secret is written, and no key is made, signs or stops: restore the
	// Secret that the message names. After that a new key takes its place.
	ReasonKeyLost = "KeyLost"
	// ReasonKeyUnreadable: a stored private key can't be read or does not belong to its record, and the
	// signer's Secret does not hold the right one. Nothing is written, for as long as it stays so: restore
	// the Secret that the message names, or remove the entry, which makes the key a lost one.
	ReasonKeyUnreadable = "KeyUnreadable"
	// ReasonSecretConflict: a Secret with the wanted name exists and is not one that the operator made
	// for this MailDomain's signer. Remove it, or choose another name.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretFull: the shared signer's Secret has no room for another domain. Use a second one.
	ReasonSecretFull = "SecretFull"
	// ReasonLedgerUnreadable: the operator's own record of what it wrote can't be read, or is gone while
	// its traces are there, so it touches nothing. Restore the Secret that the message names, or begin
	// anew as the message says.
	ReasonLedgerUnreadable = "LedgerUnreadable"

	// ReasonCertificateNotReady: the TLS Secret is missing, expired, without its key, does not name
	// mta-sts.<domain>, or has a key of more than 4096 bits. Issue the certificate.
	ReasonCertificateNotReady = "CertificateNotReady"
	// ReasonPolicyNotServed: the policy can't be fetched over HTTPS as it should be, so it is not
	// announced. Check the address record, the certificate and the way to port 443.
	ReasonPolicyNotServed = "PolicyNotServed"
	// ReasonPolicyMismatch: another policy is served than the one that is to be announced. Wait for the
	// replicas; if it lasts, mta-sts.<domain> leads to somebody else's server.
	ReasonPolicyMismatch = "PolicyMismatch"
	// ReasonThirdPartyMismatch: with hosting: External another policy is served than spec says, or several,
	// or one that can't be read. Have the third party correct it, or change spec.mtaSTS.
	ReasonThirdPartyMismatch = "ThirdPartyMismatch"
	// ReasonThirdPartyPending: with hosting: External the world still gets the operator's own policy, or what
	// the third party has is not good yet, so the operator goes on serving. Do what the message says.
	ReasonThirdPartyPending = "ThirdPartyPending"
	// ReasonAddressPending: mta-sts.<domain> has no address, and the operator knows of none: its Service has
	// none yet, or it was not told of it. Wait, publish the record, or set spec.mtaSTS.address.
	ReasonAddressPending = "AddressPending"
	// ReasonMXNotCovered: a live MX host is not covered by the policy: senders that hold it would not
	// deliver there. Add the host to spec.mtaSTS.mx or remove the MX record. With mode enforce also: there is
	// no live MX host. Publish the MX records first. With any: more than 32 hosts, or what is no host name. Correct
	// the MX records.
	ReasonMXNotCovered = "MXNotCovered"
	// ReasonMXNotSecure: a live MX host offers no STARTTLS with a certificate for its name, so mode enforce
	// waits. Mend the host, or use mode: testing.
	ReasonMXNotSecure = "MXNotSecure"
	// ReasonProbeUnavailable: it can't be seen from here whether the MX hosts offer STARTTLS. Mode enforce
	// waits for a day, and then goes on without, but never before the first probe. Open the way to port 25, or use --starttls-probe=off.
	ReasonProbeUnavailable = "ProbeUnavailable"
	// ReasonMailAtRisk: by the policy in force senders do not deliver to a live MX host. Do what the message
	// says at once.
	ReasonMailAtRisk = "MailAtRisk"
	// ReasonNotReachableFromHere: no public address of the policy host can be reached from the operator.
	// Check the way to port 443; where Pods can't reach the load balancer in front of them, use
	// --mta-sts-trust-replicas. Beside True: that flag is in use, and the replicas alone were asked.
	ReasonNotReachableFromHere = "NotReachableFromHere"
	// ReasonWithdrawing: a record, a policy or the keys are being withdrawn and must stay until those who
	// hold it, or the DMARC policy that relied on them, have forgotten it. Wait; for a policy status
	// says until when. Beside MTASTSReady=True: spec has no mtaSTS any more, and mode none is served.
	ReasonWithdrawing = "Withdrawing"

	// ReasonCompliant: every control of every baseline passes or does not apply. Nothing to do.
	ReasonCompliant = "Compliant"
	// ReasonNotCompliant: the controls that the message names fail, by what DNS and HTTPS show. Repair
	// what was seen; after a change it is looked at again, as caches of resolvers allow.
	ReasonNotCompliant = "NotCompliant"
	// ReasonComplianceUnknown: nothing is known to fail, and the controls that the message names could not
	// be judged, which is no pass. Repair the cause that is named; it is tried again.
	ReasonComplianceUnknown = "ComplianceUnknown"

	// ReasonNotPermitted: the operator's own account may not do what it must in the cluster. Grant what
	// the message names.
	ReasonNotPermitted = "NotPermitted"
	// ReasonSectionsNotReady: Ready is False because of the conditions that the message names. Look there.
	ReasonSectionsNotReady = "SectionsNotReady"
	// ReasonUnsupported: this version can't do what spec asks, or the provider can't. Change the field
	// that the message names.
	ReasonUnsupported = "Unsupported"
	// ReasonInternalError: a step failed in a way that has no reason of its own. It is tried again; the
	// log says more.
	ReasonInternalError = "InternalError"

	// ReasonKeyGenerated: Event: a DKIM key was made and stored, and its record waits. Nothing to do.
	ReasonKeyGenerated = "KeyGenerated"
	// ReasonKeyPublished: Event: the record of a DKIM key was read back, and the Event Create of this pass does
	// not name it, as when a human made the record. Nothing to do.
	ReasonKeyPublished = "KeyPublished"
	// ReasonKeyPropagated: Event: every name server serves a DKIM key, and negative answers have expired.
	// Nothing to do.
	ReasonKeyPropagated = "KeyPropagated"
	// ReasonKeyActive: Event: the signer is told to sign with a DKIM key. Nothing to do, unless the signer
	// must be reloaded.
	ReasonKeyActive = "KeyActive"
	// ReasonKeyRetired: Event: the signer is told to sign with another DKIM key; the record of this one
	// stays for mail under way. If new mail still carries it, reload the signer in the time that the
	// message names.
	ReasonKeyRetired = "KeyRetired"
	// ReasonKeyRevoked: Event: the record of a DKIM key was emptied. Nothing to do.
	ReasonKeyRevoked = "KeyRevoked"
	// ReasonKeyRemoved: Event: the record of a DKIM key is no longer wanted. Nothing to do.
	ReasonKeyRemoved = "KeyRemoved"
	// ReasonKeyImported: Event: a private key of the user's was copied into the ledger. The Secret that it
	// came from is not needed any more.
	ReasonKeyImported = "KeyImported"
	// ReasonKeyRestored: Event: a lost private key was taken back from the signer's Secret. Find out who
	// removed it.
	ReasonKeyRestored = "KeyRestored"
	// ReasonKeyRecalled: Event: the signer's Secret has a key that is served and that the ledger did not
	// know to be in use, as after a restore of the ledger: it is taken back. Nothing to do.
	ReasonKeyRecalled = "KeyRecalled"
	// ReasonKeyReplaced: Event: a private key was lost, and not restored in time: a new one was made for
	// it. Find out who removed it.
	ReasonKeyReplaced = "KeyReplaced"
	// ReasonSignerSecretRenamed: Event: the signer's Secret has another name from now on. Have the signer
	// mount that one.
	ReasonSignerSecretRenamed = "SignerSecretRenamed"
	// ReasonSignerSecretDeleted: Event: a signer's Secret that was left for another is deleted. Nothing
	// to do.
	ReasonSignerSecretDeleted = "SignerSecretDeleted"
	// ReasonSignerSecretLeft: Event: the domain's part of a shared signer's Secret that was left for another
	// is removed. Nothing to do.
	ReasonSignerSecretLeft = "SignerSecretLeft"
	// ReasonThirdPartyServes: Event: with hosting: External the policy and the record of the third party were
	// seen in place of the operator's, which serves its own for one more day. Nothing to do.
	ReasonThirdPartyServes = "ThirdPartyServes"
	// ReasonHandedOver: Event: a deleted MailDomain is gone, and a tombstone in the operator's namespace
	// goes on to withdraw what has to stay for longer. Nothing to do.
	ReasonHandedOver = "HandedOver"
	// ReasonRecordsLeft: Event: a deleted MailDomain, or its tombstone, is gone and left published what
	// the message names; or spec says that it belongs to others now. Remove that by hand, when its time
	// has come.
	ReasonRecordsLeft = "RecordsLeft"
	// ReasonCreate: Event: a record was written where none of its protocol stood. Nothing to do.
	ReasonCreate = "Create"
	// ReasonReplace: Event: a record was changed in place. Nothing to do.
	ReasonReplace = "Replace"
	// ReasonRemove: Event: a record of the operator's was removed. Nothing to do.
	ReasonRemove = "Remove"
)

// Reasons returns the closed list of reasons, in the order of their meaning.
func Reasons() []string {
	return []string{
		ReasonVerified,
		ReasonReady,
		ReasonProgressing,
		ReasonSuspended,
		ReasonObserving,
		ReasonWaitingForHuman,
		ReasonProviderNotFound,
		ReasonProviderNotAllowed,
		ReasonProviderInvalid,
		ReasonTargetNotAllowed,
		ReasonCredentialsNotFound,
		ReasonUnauthorized,
		ReasonUnreachable,
		ReasonRateLimited,
		ReasonZoneNotFound,
		ReasonRefused,
		ReasonUnknownOutcome,
		ReasonConcurrentChange,
		ReasonDomainNotClaimed,
		ReasonRecordConflict,
		ReasonAliasInTheWay,
		ReasonDelegatedName,
		ReasonWaitingForPropagation,
		ReasonNotServed,
		ReasonServersDisagree,
		ReasonServersUnreachable,
		ReasonVerificationFailed,
		ReasonBasicsNotReady,
		ReasonSPFPermError,
		ReasonTooManyLookups,
		ReasonSPFTempError,
		ReasonRotating,
		ReasonWaitingForSigner,
		ReasonImportFailed,
		ReasonDKIMRequired,
		ReasonKeyLost,
		ReasonKeyUnreadable,
		ReasonSecretConflict,
		ReasonSecretFull,
		ReasonLedgerUnreadable,
		ReasonCertificateNotReady,
		ReasonPolicyNotServed,
		ReasonPolicyMismatch,
		ReasonThirdPartyMismatch,
		ReasonThirdPartyPending,
		ReasonAddressPending,
		ReasonMXNotCovered,
		ReasonMXNotSecure,
		ReasonProbeUnavailable,
		ReasonMailAtRisk,
		ReasonNotReachableFromHere,
		ReasonWithdrawing,
		ReasonCompliant,
		ReasonNotCompliant,
		ReasonComplianceUnknown,
		ReasonNotPermitted,
		ReasonSectionsNotReady,
		ReasonUnsupported,
		ReasonInternalError,
		ReasonKeyGenerated,
		ReasonKeyPublished,
		ReasonKeyPropagated,
		ReasonKeyActive,
		ReasonKeyRetired,
		ReasonKeyRevoked,
		ReasonKeyRemoved,
		ReasonKeyImported,
		ReasonKeyRestored,
		ReasonKeyRecalled,
		ReasonKeyReplaced,
		ReasonSignerSecretRenamed,
		ReasonSignerSecretDeleted,
		ReasonSignerSecretLeft,
		ReasonThirdPartyServes,
		ReasonHandedOver,
		ReasonRecordsLeft,
		ReasonCreate,
		ReasonReplace,
		ReasonRemove,
	}
}

// The annotations of a MailDomain through which a person asks for something. A value that was
// handled once is not handled again.
const (
	// AnnotationRotate asks for a rotation: any new value.
	AnnotationRotate = "maildomain.dev/rotate"
	// AnnotationCompromised names a selector whose key is known to others.
	AnnotationCompromised = "maildomain.dev/compromised"
	// AnnotationSignerSwitched names the selector that the signer now signs with.
	AnnotationSignerSwitched = "maildomain.dev/signer-switched"
	// AnnotationTakeOver names the owner id of an installation that is lost: its registry record at
	// the domain is replaced by that of this MailDomain, once.
	AnnotationTakeOver = "maildomain.dev/take-over"
)

// LabelImport, with the value "true", marks a Secret whose key may be imported.
const LabelImport = "maildomain.dev/import"
