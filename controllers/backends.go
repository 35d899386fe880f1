package controllers

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// backend is how zones of one type of provider are opened. To add a type is a row in backends, with
// its fields in the API and its adapter in dnsprovider.
type backend struct {
	// secrets are what the spec refers to, in the order in which open gets the values.
	secrets func(*v1alpha1.DNSProviderSpec) []*v1alpha1.SecretKeyRef
	// refuses says what the spec asks for that can't be had; the zero verdict is nothing.
	refuses func(spec *v1alpha1.DNSProviderSpec, ambient bool) verdict
	open    func(opening) (dnsprovider.Zone, error)
	// What the calls with one credential keep to where the spec says nothing: a part of what the
	// provider allows, so that a share is left for others. perMinute 0: no limit.
	perMinute float64
	burst     int
}

// opening is what a zone is opened with.
type opening struct {
	spec    *v1alpha1.DNSProviderSpec
	secrets []string
	zone    string
	timeout time.Duration
	begin   dnsprovider.Begin                                                    // before each write that does not go through wrap
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil: anywhere
	wrap    func(http.RoundTripper) http.RoundTripper

	session *dnsprovider.RoleSession                  // of a role at AWS
	wrapSTS func(http.RoundTripper) http.RoundTripper // for the calls that assume it
	hosted  *dnsprovider.HostedZones                  // of the account at AWS
}

var backends = map[v1alpha1.ProviderType]backend{
	v1alpha1.ProviderRFC2136:    {secrets: rfc2136Secrets, open: openRFC2136},
	v1alpha1.ProviderCloudflare: {secrets: cloudflareSecrets, open: openCloudflare, perMinute: 0.7 * 1200 / 5, burst: 50}, // of 1200 in 5 minutes
	v1alpha1.ProviderRoute53:    {secrets: route53Secrets, refuses: route53Refuses, open: openRoute53, perMinute: 0.7 * 60 * 10, burst: 35},
	v1alpha1.ProviderDesec:      {secrets: desecSecrets, open: openDesec}, // the module waits as the provider asks it to
}

func rfc2136Secrets(spec *v1alpha1.DNSProviderSpec) []*v1alpha1.SecretKeyRef {
	return []*v1alpha1.SecretKeyRef{spec.RFC2136.TSIG.SecretRef}
}

func openRFC2136(o opening) (dnsprovider.Zone, error) {
	return dnsprovider.NewRFC2136(dnsprovider.RFC2136Config{
		Server:       o.spec.RFC2136.Server,
		Zone:         o.zone,
		KeyName:      o.spec.RFC2136.TSIG.KeyName,
		KeyAlgorithm: string(o.spec.RFC2136.TSIG.AlgorithmOrDefault()),
		KeySecret:    o.secrets[0],
		Timeout:      o.timeout,
		Dial:         o.dial,
		Begin:        o.begin,
	})
}

func cloudflareSecrets(spec *v1alpha1.DNSProviderSpec) []*v1alpha1.SecretKeyRef {
	return []*v1alpha1.SecretKeyRef{spec.Cloudflare.APITokenSecretRef}
}

func openCloudflare(o opening) (dnsprovider.Zone, error) {
	return dnsprovider.NewCloudflare(dnsprovider.CloudflareConfig{
		Token:    o.secrets[0],
		Zone:     o.zone,
		ZoneID:   o.spec.Cloudflare.ZoneID,
		Endpoint: o.spec.Endpoint,
		Timeout:  o.timeout,
		Dial:     o.dial,
		Wrap:     o.wrap,
	})
}

// route53Secrets are three, or none where the operator's own identity is meant. A token that is
// not referred to is left out, not read from anywhere.
func route53Secrets(spec *v1alpha1.DNSProviderSpec) []*v1alpha1.SecretKeyRef {
	r := spec.Route53
	if r.AccessKeyIDSecretRef == nil && r.SecretAccessKeySecretRef == nil {
		return nil
	}
	refs := []*v1alpha1.SecretKeyRef{r.AccessKeyIDSecretRef, r.SecretAccessKeySecretRef}
	if r.SessionTokenSecretRef != nil {
		refs = append(refs, r.SessionTokenSecretRef)
	}
	return refs
}

// route53Refuses keeps the operator's own identity, and each role that trusts it, from those whom the
// administrator of the cluster did not write.
func route53Refuses(spec *v1alpha1.DNSProviderSpec, ambient bool) verdict {
	if spec.Route53.AccessKeyIDSecretRef != nil || ambient {
		return verdict{}
	}
	why := "spec.route53 names no keys, and the operator's own identity is not for use"
	if spec.Route53.RoleARN != "" {
		why = "spec.route53.roleARN names no keys to assume the role with, and the operator's own identity is not for use"
	}
	return verdict{v1alpha1.ReasonProviderNotAllowed, why + ": set accessKeyIDSecretRef and secretAccessKeySecretRef, or have the administrator of the operator set --ambient-credentials and write a ClusterDNSProvider"}
}

func openRoute53(o opening) (dnsprovider.Zone, error) {
	config := dnsprovider.Route53Config{
		Zone:       o.zone,
		ZoneID:     o.spec.Route53.HostedZoneID,
		Region:     o.spec.Route53.Region,
		Endpoint:   o.spec.Endpoint,
		Ambient:    len(o.secrets) == 0,
		RoleARN:    o.spec.Route53.RoleARN,
		ExternalID: o.spec.Route53.ExternalID,
		Session:    o.session,
		Hosted:     o.hosted,
		Timeout:    o.timeout,
		Dial:       o.dial,
		Wrap:       o.wrap,
		WrapSTS:    o.wrapSTS,
	}
	for i, field := range []*string{&config.AccessKeyID, &config.SecretAccessKey, &config.SessionToken} {
		if i < len(o.secrets) {
			*field = o.secrets[i]
		}
	}
	return dnsprovider.NewRoute53(config)
}

func desecSecrets(spec *v1alpha1.DNSProviderSpec) []*v1alpha1.SecretKeyRef {
	return []*v1alpha1.SecretKeyRef{spec.Desec.TokenSecretRef}
}

func openDesec(o opening) (dnsprovider.Zone, error) {
	return dnsprovider.NewLibdns(dnsprovider.LibdnsConfig{Module: "desec", Zone: o.zone, Timeout: o.timeout, Begin: o.begin, Credentials: map[string]string{"token": o.secrets[0]}})
}
