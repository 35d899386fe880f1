package controllers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// decideMTASTS has the policy served first, and announces it once the world gets exactly it.
func (r *Reconciler) decideMTASTS(ctx context.Context, s *scope) error {
	slot := records.MTASTSSlot(s.md.Spec.Domain)
	spec := s.md.Spec.MTASTS
	if spec == nil {
		if s.dropped(sectionMTASTS) {
			return r.withdrawMTASTS(ctx, s, slot)
		}
		return nil
	}
	if why := unsupportedMTASTS(spec); why.bad() {
		s.block(v1alpha1.ConditionMTASTSReady, why)
		return nil
	}
	hosts, err := r.mxHosts(ctx, s.md.Spec.Domain)
	s.mtasts.hosts = hosts
	policy := records.MTASTSPolicy(spec, hosts)
	why := r.certificate(ctx, s)
	switch {
	case err != nil && spec.Mode != v1alpha1.MTASTSNone:
		why = verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("MX %s: no answer, so it is not known whom the policy must cover", s.md.Spec.Domain)}
	case policy.Validate() != nil:
		why = verdict{v1alpha1.ReasonMXNotCovered, fmt.Sprintf("spec.mtaSTS: %v: name the hosts in spec.mtaSTS.mx, or publish MX records", policy.Validate())}
	case spec.Mode != v1alpha1.MTASTSNone:
		if missing := slices.DeleteFunc(slices.Clone(hosts), policy.Covers); len(missing) > 0 {
			why = verdict{v1alpha1.ReasonMXNotCovered, fmt.Sprintf("spec.mtaSTS.mx does not cover the live MX host %s: add it, or remove the MX record", strings.Join(missing, ", "))}
		}
	}
	if !why.bad() {
		s.mtasts.serve = &policy
		why = r.servedPolicy(ctx, s.md.Spec.Domain, policy)
	}
	s.block(v1alpha1.ConditionMTASTSReady, why)
	if why.bad() {
		s.keepAnnounced(slot, why)
		return nil
	}
	s.announce(slot, policy)
	return nil
}

func unsupportedMTASTS(spec *v1alpha1.MTASTSSpec) verdict {
	if spec.HostingOrDefault() == v1alpha1.HostingExternal {
		return verdict{v1alpha1.ReasonUnsupported, "spec.mtaSTS.hosting: this version does not check policies that a third party serves: use Sidecar"}
	}
	if t := spec.AddressTypeOrDefault(); t != v1alpha1.AddressAuto && t != v1alpha1.AddressNone {
		return verdict{v1alpha1.ReasonUnsupported, fmt.Sprintf("spec.mtaSTS.address.type: this version does not write %s records: publish the address by hand and set type: None", t)}
	}
	return verdict{}
}

// announce wants the record of a policy that the world gets, and notes the commitment: senders
// hold the one before it for its max_age from now.
func (s *scope) announce(slot records.Slot, policy mtasts.Policy) {
	body := policy.String()
	told := s.book.MTASTS
	if s.writes() && (told == nil || told.Policy != body) {
		next := &ledger.MTASTS{Policy: body, ID: policy.ID(), Since: s.now}
		if told != nil {
			next.Until = told.Until
			if before, err := mtasts.ParsePolicy(told.Policy); err == nil && s.now.Add(before.MaxAge).After(next.Until) {
				next.Until = s.now.Add(before.MaxAge)
			}
		}
		s.book.MTASTS = next
	}
	s.want(slot, mtasts.Record{ID: policy.ID()}.String(), verdict{})
}

// keepAnnounced leaves the record as it is; nothing new is announced.
func (s *scope) keepAnnounced(slot records.Slot, why verdict) {
	if s.book.MTASTS == nil {
		s.want(slot, "v=STSv1; id=…", why)
		return
	}
	s.want(slot, mtasts.Record{ID: s.book.MTASTS.ID}.String(), verdict{})
}

// withdrawMTASTS ends the commitment as RFC 8461 §8.3 wants: a policy with mode none is served
// and announced until every sender has forgotten the ones before it. Then the record goes, and
// after it the policy.
func (r *Reconciler) withdrawMTASTS(ctx context.Context, s *scope, slot records.Slot) error {
	told := s.book.MTASTS
	if told == nil {
		s.want(slot, "", verdict{})
		s.mtasts.ended = len(s.book.At(slot.Key)) == 0
		return nil
	}
	none := records.MTASTSWithdrawal()
	if told.Policy == none.String() && !s.now.Before(told.Until) {
		s.want(slot, "", verdict{})
		if len(s.book.At(slot.Key)) == 0 && s.writes() {
			s.book.MTASTS, s.mtasts.ended = nil, true
		}
		return nil
	}
	s.mtasts.serve = &none
	if why := r.servedPolicy(ctx, s.md.Spec.Domain, none); why.bad() {
		s.keepAnnounced(slot, why)
		return nil
	}
	s.announce(slot, none)
	s.again(max(s.book.MTASTS.Until.Sub(s.now), time.Second))
	return nil
}

// mxHosts are the hosts of the live MX records; none for the null MX (RFC 7505).
func (r *Reconciler) mxHosts(ctx context.Context, domain string) ([]string, error) {
	mx, err := r.Resolver.LookupMX(ctx, domain)
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	var hosts []string
	for _, m := range mx {
		if host := strings.TrimSuffix(m.Host, "."); host != "" {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// servedPolicy says whether every address of the policy host serves exactly this policy.
func (r *Reconciler) servedPolicy(ctx context.Context, domain string, policy mtasts.Policy) verdict {
	url := "https://mta-sts." + domain + "/.well-known/mta-sts.txt"
	answer, err := r.Fetcher.Fetch(ctx, domain)
	if err != nil {
		what := "its address can't be found out now"
		if isNotFound(err) {
			what = "mta-sts." + domain + " has no address: publish an A, AAAA or CNAME record that leads to the operator's mta-sts Service"
		}
		return verdict{v1alpha1.ReasonPolicyNotServed, url + ": " + what}
	}
	served := 0
	for _, result := range answer.Results {
		switch {
		case result.Outcome == probe.PolicyUnroutable:
		case result.Outcome != probe.PolicyServed:
			return verdict{v1alpha1.ReasonPolicyNotServed, fmt.Sprintf("%s: %s: %s", url, result.Addr.Addr(), result.Detail)}
		case result.Body != policy.String():
			return verdict{v1alpha1.ReasonPolicyMismatch, fmt.Sprintf("%s: %s serves another policy: waiting for the new one", url, result.Addr.Addr())}
		default:
			served++
		}
	}
	if served == 0 {
		return verdict{v1alpha1.ReasonPolicyNotServed, url + ": none of its addresses can be reached from here"}
	}
	return verdict{}
}

// certificate says whether the TLS Secret holds what the policy host needs.
func (r *Reconciler) certificate(ctx context.Context, s *scope) verdict {
	name := s.md.TLSSecretName()
	bad := func(what string) verdict {
		return verdict{v1alpha1.ReasonCertificateNotReady, fmt.Sprintf("Secret %s: %s: issue a certificate for mta-sts.%s", name, what, s.md.Spec.Domain)}
	}
	var secret corev1.Secret
	if err := r.Reader.Get(ctx, types.NamespacedName{Namespace: s.md.Namespace, Name: name}, &secret); apierrors.IsNotFound(err) {
		return bad("it does not exist")
	} else if err != nil {
		return bad("it can't be read now")
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return bad("tls.crt and tls.key are not a certificate with its key")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	switch {
	case err != nil:
		return bad("the certificate can't be read")
	case leaf.VerifyHostname("mta-sts."+s.md.Spec.Domain) != nil:
		return bad("the certificate is for other names")
	case s.now.After(leaf.NotAfter):
		return bad("the certificate has expired")
	}
	return verdict{}
}
