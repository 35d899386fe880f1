package v1alpha1

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// What an unset field of spec means. The CRDs hold no defaults, because a stored default would
// become a wish of the user; so a change here changes what running MailDomains do, and must not
// happen unseen: testdata/defaults.golden holds the values.
const (
	DefaultMode              = ModeEnforce
	DefaultTTL               = time.Hour
	DefaultConflictPolicy    = ConflictRefuse
	DefaultDeletionPolicy    = DeletionRetain
	DefaultDKIMSelector      = "mail"
	DefaultDKIMKeyName       = "rsa"
	DefaultDKIMAlgorithm     = DKIMRSA
	DefaultDKIMBits          = int32(2048)
	DefaultRotationInterval  = 4320 * time.Hour
	DefaultRotationRetention = 168 * time.Hour
	DefaultRotationConfirm   = ConfirmAutomatic
	DefaultDMARCEnforcement  = EnforceAfterBasics
	DefaultMTASTSMaxAge      = 168 * time.Hour
	DefaultMTASTSHosting     = HostingSidecar
	DefaultMTASTSAddressType = AddressAuto
	DefaultTSIGAlgorithm     = TSIGHmacSHA256
	DefaultRoute53Region     = "us-east-1"
	DefaultRateLimitBurst    = int32(10)
)

// The methods below can be called on nil, an absent section: they return the default.

// ModeOrDefault returns spec.mode.
func (s *MailDomainSpec) ModeOrDefault() Mode {
	if s == nil {
		return DefaultMode
	}
	return cmp.Or(s.Mode, DefaultMode)
}

// Suspended returns spec.suspend.
func (s *MailDomainSpec) Suspended() bool { return s != nil && ptr.Deref(s.Suspend, false) }

// Manual reports whether a human publishes the records: there is no provider.
func (s *MailDomainSpec) Manual() bool {
	return s == nil || s.DNS == nil || s.DNS.ProviderRef == nil
}

// TTLOrDefault returns spec.dns.ttl.
func (s *DNSSpec) TTLOrDefault() time.Duration {
	if s == nil {
		return DefaultTTL
	}
	return durationOr(s.TTL, DefaultTTL)
}

// ConflictPolicyOrDefault returns spec.dns.conflictPolicy.
func (s *DNSSpec) ConflictPolicyOrDefault() ConflictPolicy {
	if s == nil {
		return DefaultConflictPolicy
	}
	return cmp.Or(s.ConflictPolicy, DefaultConflictPolicy)
}

// DeletionPolicyOrDefault returns spec.dns.deletionPolicy.
func (s *DNSSpec) DeletionPolicyOrDefault() DeletionPolicy {
	if s == nil {
		return DefaultDeletionPolicy
	}
	return cmp.Or(s.DeletionPolicy, DefaultDeletionPolicy)
}

// SelectorOrDefault returns spec.dkim.selector, the stem.
func (s *DKIMSpec) SelectorOrDefault() string {
	if s == nil {
		return DefaultDKIMSelector
	}
	return cmp.Or(s.Selector, DefaultDKIMSelector)
}

// KeysOrDefault returns spec.dkim.keys, or the one default key where keys is unset. A list that is
// empty but set stays empty: all selectors are external. A nil section has no keys.
func (s *DKIMSpec) KeysOrDefault() []DKIMKey {
	switch {
	case s == nil:
		return nil
	case s.Keys == nil:
		return []DKIMKey{{Name: DefaultDKIMKeyName, Algorithm: DefaultDKIMAlgorithm, Bits: ptr.To(DefaultDKIMBits)}}
	}
	return s.Keys
}

// AlgorithmOrDefault returns the algorithm of a key that the operator makes.
func (k *DKIMKey) AlgorithmOrDefault() DKIMAlgorithm {
	return cmp.Or(k.Algorithm, DefaultDKIMAlgorithm)
}

// BitsOrDefault returns the size of an rsa key that the operator makes.
func (k *DKIMKey) BitsOrDefault() int32 { return ptr.Deref(k.Bits, DefaultDKIMBits) }

// IntervalOrDefault returns spec.dkim.rotation.interval.
func (r *DKIMRotation) IntervalOrDefault() time.Duration {
	if r == nil {
		return DefaultRotationInterval
	}
	return durationOr(r.Interval, DefaultRotationInterval)
}

// RetentionOrDefault returns spec.dkim.rotation.retention.
func (r *DKIMRotation) RetentionOrDefault() time.Duration {
	if r == nil {
		return DefaultRotationRetention
	}
	return durationOr(r.Retention, DefaultRotationRetention)
}

// IsPaused returns spec.dkim.rotation.paused.
func (r *DKIMRotation) IsPaused() bool { return r != nil && ptr.Deref(r.Paused, false) }

// ConfirmOrDefault returns spec.dkim.rotation.confirm.
func (r *DKIMRotation) ConfirmOrDefault() RotationConfirm {
	if r == nil {
		return DefaultRotationConfirm
	}
	return cmp.Or(r.Confirm, DefaultRotationConfirm)
}

// SignerSecretName returns the name of the Secret that the signer mounts.
func (d *MailDomain) SignerSecretName() string {
	if d.Spec.DKIM != nil && d.Spec.DKIM.SignerSecret != nil && d.Spec.DKIM.SignerSecret.Name != "" {
		return d.Spec.DKIM.SignerSecret.Name
	}
	return d.Name + "-dkim"
}

// Combined returns spec.dkim.signerSecret.combine.
func (s *SignerSecret) Combined() bool { return s != nil && ptr.Deref(s.Combine, false) }

// VerifiesOnly returns whether the selector is only checked, not published.
func (e *ExternalSelector) VerifiesOnly() bool { return ptr.Deref(e.VerifyOnly, false) }

// EnforcementOrDefault returns spec.dmarc.enforcement.
func (s *DMARCSpec) EnforcementOrDefault() DMARCEnforcement {
	if s == nil {
		return DefaultDMARCEnforcement
	}
	return cmp.Or(s.Enforcement, DefaultDMARCEnforcement)
}

// MaxAgeOrDefault returns spec.mtaSTS.maxAge.
func (s *MTASTSSpec) MaxAgeOrDefault() time.Duration {
	if s == nil {
		return DefaultMTASTSMaxAge
	}
	return durationOr(s.MaxAge, DefaultMTASTSMaxAge)
}

// HostingOrDefault returns spec.mtaSTS.hosting.
func (s *MTASTSSpec) HostingOrDefault() MTASTSHosting {
	if s == nil {
		return DefaultMTASTSHosting
	}
	return cmp.Or(s.Hosting, DefaultMTASTSHosting)
}

// AddressTypeOrDefault returns spec.mtaSTS.address.type.
func (s *MTASTSSpec) AddressTypeOrDefault() AddressType {
	if s == nil || s.Address == nil {
		return DefaultMTASTSAddressType
	}
	return cmp.Or(s.Address.Type, DefaultMTASTSAddressType)
}

// TLSSecretName returns the name of the Secret with the certificate for mta-sts.<domain>.
func (d *MailDomain) TLSSecretName() string {
	if d.Spec.MTASTS != nil && d.Spec.MTASTS.TLS != nil && d.Spec.MTASTS.TLS.SecretName != "" {
		return d.Spec.MTASTS.TLS.SecretName
	}
	return "mta-sts-" + d.Name
}

// AlgorithmOrDefault returns spec.rfc2136.tsig.algorithm.
func (k *TSIGKey) AlgorithmOrDefault() TSIGAlgorithm {
	if k == nil {
		return DefaultTSIGAlgorithm
	}
	return cmp.Or(k.Algorithm, DefaultTSIGAlgorithm)
}

// RegionOrDefault returns spec.route53.region.
func (p *Route53Provider) RegionOrDefault() string {
	if p == nil {
		return DefaultRoute53Region
	}
	return cmp.Or(p.Region, DefaultRoute53Region)
}

// BurstOrDefault returns spec.rateLimit.burst.
func (l *RateLimit) BurstOrDefault() int32 {
	if l == nil {
		return DefaultRateLimitBurst
	}
	return ptr.Deref(l.Burst, DefaultRateLimitBurst)
}

func durationOr(value *metav1.Duration, fallback time.Duration) time.Duration {
	if value == nil {
		return fallback
	}
	return value.Duration
}

// Metadata returns the labels and annotations that the Secret gets from its template, in the types
// of object metadata; nil where there are none.
func (s *SignerSecret) Metadata() (labels, annotations map[string]string) {
	if s == nil || s.Template == nil {
		return nil, nil
	}
	return plain(s.Template.Labels), plain(s.Template.Annotations)
}

func plain[V ~string](in map[string]V) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for key, value := range in {
		out[key] = string(value)
	}
	return out
}
