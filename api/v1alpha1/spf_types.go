package v1alpha1

// SPFSpec is the SPF record at the domain (RFC 7208): "v=spf1", the mechanisms in order, then
// either the final all or a redirect. There is no default ending: it is the user's decision.
//
// +kubebuilder:validation:XValidation:rule="has(self.all) != has(self.redirect)",message="spec.spf must have exactly one of all and redirect, such as all: fail (RFC 7208 sections 5.1 and 6.1)"
// +kubebuilder:validation:XValidation:rule="(has(self.mechanisms) ? self.mechanisms.filter(m, m.matches('(?i)^[+?~-]?((a|mx|ptr)([:/]|$)|include:|exists:)')).size() : 0) + (has(self.redirect) ? 1 : 0) <= 10",message="spec.spf has more than 10 terms that need a DNS lookup (a, mx, ptr, include, exists, redirect): every receiver would answer permerror; use at most 10, for example by listing networks as ip4: and ip6: (RFC 7208 section 4.6.4)"
type SPFSpec struct {
	// mechanisms are the terms between "v=spf1" and the ending, in order, at most 64 of at most
	// 255 characters: ip4, ip6, a, mx, include, exists, ptr, each with an optional qualifier
	// (+ - ~ ?) and macros (RFC 7208 sections 5 and 7). all, redirect and exp have fields of
	// their own. Unset: none, the record is the ending alone.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('(?i)^[+?~-]?all$')",message="spec.spf.mechanisms must not hold all: write it in spec.spf.all, such as all: fail for -all"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('(?i)^(redirect|exp)=')",message="spec.spf.mechanisms must not hold the modifiers redirect= and exp=: write them in spec.spf.redirect and spec.spf.exp"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('(?i)^[+?~-]?ip4([:/]|$)') || (isIP(self.substring(self.indexOf(':') + 1)) && ip(self.substring(self.indexOf(':') + 1)).family() == 4) || (isCIDR(self.substring(self.indexOf(':') + 1)) && cidr(self.substring(self.indexOf(':') + 1)).ip().family() == 4)",message="spec.spf.mechanisms: ip4: must be followed by an IPv4 address or network, such as ip4:192.0.2.0/24 (RFC 7208 section 5.6)"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('(?i)^[+?~-]?ip6([:/]|$)') || (isIP(self.substring(self.indexOf(':') + 1)) && ip(self.substring(self.indexOf(':') + 1)).family() == 6) || (isCIDR(self.substring(self.indexOf(':') + 1)) && cidr(self.substring(self.indexOf(':') + 1)).ip().family() == 6)",message="spec.spf.mechanisms: ip6: must be followed by an IPv6 address or network, such as ip6:2001:db8::/32 (RFC 7208 section 5.6)"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('(?i)^[+?~-]?(ptr|include|exists)([:/].*)?/[0-9/]*$')",message="spec.spf.mechanisms: only ip4, ip6, a and mx take a prefix length, such as mx/24 (RFC 7208 section 5)"
	// +kubebuilder:validation:items:XValidation:rule="self.matches('(?i)^([+?~-]?(all|ip4|ip6)([:/].*)?|(redirect|exp)=.*)$') || self.matches('(?i)^[+?~-]?((a|mx|ptr)|(a|mx|ptr|include|exists):([!-$&-~]|%[%_-]|%[{][slodiphcrtv][0-9]*r?[.+,/_=-]*[}])*([.]([0-9a-z]*[a-z][0-9a-z]*|[0-9a-z]+-[0-9a-z-]*[0-9a-z])[.]?|%[{][slodiphcrtv][0-9]*r?[.+,/_=-]*[}]))(/(3[0-2]|[12]?[0-9]))?(//(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$')",message="spec.spf.mechanisms: each item must be one SPF mechanism without v=spf1, such as ip4:192.0.2.0/24, mx, a:mail.example.com/28 or include:example.net (RFC 7208 section 5)"
	Mechanisms []string `json:"mechanisms,omitempty"`

	// all is the qualifier of the final all mechanism: fail (-all), softfail (~all), neutral
	// (?all) or pass (+all). Exactly one of all and redirect. Unset: redirect ends the record.
	// +optional
	All SPFQualifier `json:"all,omitempty"`

	// redirect is the redirect= modifier: the domain whose record decides when no mechanism
	// matches, at most 253 characters; macros are allowed (RFC 7208 section 6.1).
	// Unset: all ends the record.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('(?i)^([!-$&-~]|%[%_-]|%[{][slodiphcrtv][0-9]*r?[.+,/_=-]*[}])*([.]([0-9a-z]*[a-z][0-9a-z]*|[0-9a-z]+-[0-9a-z-]*[0-9a-z])|%[{][slodiphcrtv][0-9]*r?[.+,/_=-]*[}])$') && !self.matches('[:=]')",message="spec.spf.redirect is not a domain: write the name alone, such as _spf.example.net (RFC 7208 section 6.1)"
	Redirect string `json:"redirect,omitempty"`

	// exp is the exp= modifier: the domain whose TXT record explains a fail to the sender, at
	// most 253 characters; macros are allowed (RFC 7208 section 6.2). Unset: none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('(?i)^([!-$&-~]|%[%_-]|%[{][slodiphcrtv][0-9]*r?[.+,/_=-]*[}])*([.]([0-9a-z]*[a-z][0-9a-z]*|[0-9a-z]+-[0-9a-z-]*[0-9a-z])|%[{][slodiphcrtv][0-9]*r?[.+,/_=-]*[}])$') && !self.matches('[:=]')",message="spec.spf.exp is not a domain: write the name alone, such as explain.example.com (RFC 7208 section 6.2)"
	Exp string `json:"exp,omitempty"`
}

// SPFQualifier is what a match of the all mechanism means (RFC 7208 section 4.6.2).
//
// +kubebuilder:validation:Enum=pass;neutral;softfail;fail
type SPFQualifier string

const (
	SPFPass     SPFQualifier = "pass"     // +all
	SPFNeutral  SPFQualifier = "neutral"  // ?all
	SPFSoftFail SPFQualifier = "softfail" // ~all
	SPFFail     SPFQualifier = "fail"     // -all
)
