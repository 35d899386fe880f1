package controllers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/publicsuffix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
)

// provider is how the records of a MailDomain are written. The zero provider is manual mode.
type provider struct {
	spec    *v1alpha1.DNSProviderSpec
	granted bool                                        // by a cluster administrator
	open    func(zone string) (dnsprovider.Zone, error) // nil: it can't be used, see verdict
	verdict verdict

	distrust func() // has the credentials read again; nil: there are none
}

func (p provider) usable() bool { return p.open != nil }

func (p provider) nameservers() []string {
	if p.spec == nil {
		return nil
	}
	return p.spec.Nameservers
}

// errTarget: a user's configuration points where it may not.
var errTarget = errors.New("the address is not public, and the operator's administrator has not allowed it")

// findProvider resolves spec.dns.providerRef. The error is one of the API server; what the user
// can mend is a verdict.
func (r *Reconciler) findProvider(ctx context.Context, md *v1alpha1.MailDomain) (provider, error) {
	if md.Spec.Manual() {
		return provider{}, nil
	}
	ref := md.Spec.DNS.ProviderRef
	var (
		spec      v1alpha1.DNSProviderSpec
		namespace = md.Namespace
		granted   bool
		err       error
	)
	switch ref.Kind {
	case v1alpha1.KindClusterDNSProvider:
		if !r.Watched.cluster() {
			return provider{verdict: noClusterProviders(md)}, nil
		}
		var object v1alpha1.ClusterDNSProvider
		err = r.Client.Get(ctx, types.NamespacedName{Name: ref.Name}, &object)
		spec, namespace = object.Spec.DNSProviderSpec, r.Namespace
		if err == nil {
			if granted, err = r.grants(ctx, object.Spec.Grants, md); err == nil && !granted {
				return provider{verdict: verdict{v1alpha1.ReasonProviderNotAllowed,
					fmt.Sprintf("ClusterDNSProvider %s has no grant for namespace %s and domain %s: have the administrator add one", ref.Name, md.Namespace, md.Spec.Domain)}}, nil
			}
		}
	default:
		var object v1alpha1.DNSProvider
		err = r.Client.Get(ctx, types.NamespacedName{Namespace: md.Namespace, Name: ref.Name}, &object)
		spec = object.Spec
	}
	if apierrors.IsNotFound(err) {
		return provider{verdict: verdict{v1alpha1.ReasonProviderNotFound,
			fmt.Sprintf("%s %s does not exist: create it or correct spec.dns.providerRef", ref.Kind, ref.Name)}}, nil
	}
	if err != nil {
		return provider{}, err
	}
	if !covers(&spec, md.Spec.Domain) {
		return provider{spec: &spec, granted: granted, verdict: verdict{v1alpha1.ReasonProviderNotAllowed,
			fmt.Sprintf("%s %s is not for %s: add the domain to its spec.domains, or refer to another provider", ref.Kind, ref.Name, md.Spec.Domain)}}, nil
	}
	p, err := r.use(ctx, &spec, providerRoom{ref.Kind, ref.Name, namespace})
	p.granted = granted
	return p, err
}

// use makes a provider ready, or says why it can't be used.
func (r *Reconciler) use(ctx context.Context, spec *v1alpha1.DNSProviderSpec, in providerRoom) (provider, error) {
	p := provider{spec: spec}
	var used []credentialAt
	read := func(ctx context.Context, at credentialAt) (value string, there bool, err error) {
		used = append(used, at)
		return r.credentials.read(ctx, r.Client, r.Reader, at, r.Clock.Now())
	}
	secrets, why, err := checkProvider(ctx, read, spec, in, r.Accounts.Ambient)
	if err != nil || why.bad() {
		p.verdict = why
		return p, err
	}
	p.distrust = func() {
		for _, at := range used {
			r.credentials.forget(at)
		}
	}
	p.open = func(zone string) (dnsprovider.Zone, error) {
		if in.kind == v1alpha1.KindDNSProvider {
			return r.Accounts.zone(spec, secrets, zone, r.dialAllowed)
		}
		return r.Accounts.zone(spec, secrets, zone, nil)
	}
	return p, nil
}

// covers reports whether the provider is for the domain.
func covers(spec *v1alpha1.DNSProviderSpec, domain string) bool {
	return slices.ContainsFunc(spec.Domains, func(d string) bool { return dnsprovider.Within(domain, d) })
}

// providerRoom is where a provider stands.
type providerRoom struct {
	kind    v1alpha1.ProviderKind
	name    string
	secrets string // the namespace that its Secret references are for
}

// readCredential returns the value, and whether the Secret has the key. An error is that of reading the Secret.
type readCredential func(context.Context, credentialAt) (value string, there bool, err error)

// checkProvider looks at all that can be known of a provider without asking it, and returns its
// credentials. ambient: the operator's own identity may be used, by those whom an administrator
// wrote.
func checkProvider(ctx context.Context, read readCredential, spec *v1alpha1.DNSProviderSpec, in providerRoom, ambient bool) (secrets []string, why verdict, err error) {
	for _, d := range spec.Domains {
		if suffix, icann := publicsuffix.PublicSuffix(d); icann && suffix == d {
			return nil, verdict{v1alpha1.ReasonProviderInvalid,
				fmt.Sprintf("%s %s: spec.domains holds %s, a public suffix under which strangers register: list the domains that are yours", in.kind, in.name, d)}, nil
		}
	}
	b, known := backends[spec.Type()]
	if !known {
		return nil, verdict{v1alpha1.ReasonUnsupported,
			fmt.Sprintf("%s %s is of a type that this version can't write to: use another, or leave spec.dns.providerRef out and publish status.plan by hand", in.kind, in.name)}, nil
	}
	if b.refuses != nil {
		if why = b.refuses(spec, ambient && in.kind == v1alpha1.KindClusterDNSProvider); why.bad() {
			return nil, verdict{why.reason, fmt.Sprintf("%s %s: %s", in.kind, in.name, why.message)}, nil
		}
	}
	for _, ref := range b.secrets(spec) {
		value, why, err := secretValue(ctx, read, in.secrets, ref)
		if err != nil || why.bad() {
			return nil, why, err
		}
		// Files in Secrets like to end in a line end.
		if value = strings.TrimSpace(value); value == "" {
			return nil, verdict{v1alpha1.ReasonCredentialsNotFound, fmt.Sprintf("Secret %s in namespace %s has nothing under the key %s: put the credential there", ref.Name, in.secrets, ref.Key)}, nil
		}
		secrets = append(secrets, value)
	}
	return secrets, verdict{}, nil
}

// Grants select namespaces by their labels. A Role in a namespace can grant this for it.
// +kubebuilder:rbac:roleName=maildomain-domains,groups="",resources=namespaces,verbs=get

// grants reports whether one of the grants covers the MailDomain's namespace and domain.
func (r *Reconciler) grants(ctx context.Context, grants []v1alpha1.Grant, md *v1alpha1.MailDomain) (bool, error) {
	var namespace corev1.Namespace
	if err := r.Reader.Get(ctx, types.NamespacedName{Name: md.Namespace}, &namespace); err != nil {
		return false, fmt.Errorf("reading Namespace %s: %w", md.Namespace, err)
	}
	for _, g := range grants {
		selector, err := metav1.LabelSelectorAsSelector(g.NamespaceSelector)
		if err != nil || !selector.Matches(labels.Set(namespace.Labels)) {
			continue
		}
		for _, d := range g.Domains {
			if dnsprovider.Within(md.Spec.Domain, d) {
				return true, nil
			}
		}
	}
	return false, nil
}

// secretValue reads one value of a Secret.
func secretValue(ctx context.Context, read readCredential, namespace string, ref *v1alpha1.SecretKeyRef) (string, verdict, error) {
	value, there, err := read(ctx, credentialAt{types.NamespacedName{Namespace: namespace, Name: ref.Name}, ref.Key})
	if apierrors.IsNotFound(err) {
		return "", verdict{v1alpha1.ReasonCredentialsNotFound, fmt.Sprintf("Secret %s in namespace %s does not exist: create it with the key %s", ref.Name, namespace, ref.Key)}, nil
	}
	if err != nil {
		return "", verdict{}, fmt.Errorf("reading Secret %s: %w", ref.Name, err)
	}
	if !there {
		return "", verdict{v1alpha1.ReasonCredentialsNotFound, fmt.Sprintf("Secret %s in namespace %s has no key %s: add it", ref.Name, namespace, ref.Key)}, nil
	}
	return value, verdict{}, nil
}

// dialAllowed connects on behalf of a user's configuration: to public addresses, and to those
// that the administrator allowed. It looks at the address that is dialled, after resolution.
func (r *Reconciler) dialAllowed(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if addr := target.Addr().Unmap(); !probe.Public(addr) && (r.AllowPrivate == nil || !r.AllowPrivate(addr)) {
			return errTarget
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// providerVerdict puts an error of a Zone into a reason. Its text is fit for a condition.
func providerVerdict(err error) verdict {
	if errors.Is(err, errTarget) {
		return verdict{v1alpha1.ReasonTargetNotAllowed, "the provider's server: " + errTarget.Error()}
	}
	reason := v1alpha1.ReasonInternalError
	switch dnsprovider.KindOf(err) {
	case dnsprovider.Unauthorized:
		reason = v1alpha1.ReasonUnauthorized
	case dnsprovider.Unreachable:
		reason = v1alpha1.ReasonUnreachable
	case dnsprovider.ZoneNotFound:
		reason = v1alpha1.ReasonZoneNotFound
	case dnsprovider.Changed:
		reason = v1alpha1.ReasonConcurrentChange
	case dnsprovider.Delegated:
		reason = v1alpha1.ReasonDelegatedName
	case dnsprovider.Refused:
		reason = v1alpha1.ReasonRefused
	case dnsprovider.UnknownOutcome:
		reason = v1alpha1.ReasonUnknownOutcome
	case dnsprovider.Invalid:
		reason = v1alpha1.ReasonProviderInvalid
	case dnsprovider.RateLimited:
		reason = v1alpha1.ReasonRateLimited
	case dnsprovider.Unsupported:
		reason = v1alpha1.ReasonUnsupported
	}
	return verdict{reason, firstLine(err)}
}

// ofProvider reports whether the reason speaks of the provider as a whole, not of one record.
func ofProvider(reason string) bool {
	switch reason {
	case v1alpha1.ReasonUnauthorized, v1alpha1.ReasonUnreachable, v1alpha1.ReasonZoneNotFound, v1alpha1.ReasonTargetNotAllowed, v1alpha1.ReasonProviderInvalid, v1alpha1.ReasonRateLimited:
		return true
	}
	return false
}
