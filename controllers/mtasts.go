package controllers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// decideMTASTS has the policy served first, and announces it once the world gets exactly it.
func (r *Reconciler) decideMTASTS(ctx context.Context, s *scope) error {
	slot := records.MTASTSSlot(s.md.Spec.Domain)
	spec := s.md.Spec.MTASTS
	if spec == nil {
		if policy, _ := s.site.served(); s.ending != nil && s.book.MTASTS == nil && policy == "" && len(s.book.At(slot.Key)) == 0 {
			return nil // there never was one
		}
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
		c := offer(s.commitment(), policy)
		c.TLSSecret = s.md.TLSSecretName()
		s.commit(c)
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

// commitment is what the ledger says, and what is served meanwhile by whomever: a new holder of
// the domain takes over what senders got from the one before.
func (s *scope) commitment() ledger.MTASTS {
	var c ledger.MTASTS
	if s.book.MTASTS != nil {
		c = *s.book.MTASTS
	}
	body, until := s.site.served()
	if p, err := mtasts.ParsePolicy(body); err == nil {
		c = offer(c, p)
	}
	c.Until = latest(c.Until, until)
	return c
}

// commit has the commitment stored, before the site is written (Law 5).
func (s *scope) commit(c ledger.MTASTS) {
	if s.writes() {
		s.book.MTASTS = &c
	}
}

// announce wants the record of a policy that the world gets.
func (s *scope) announce(slot records.Slot, policy mtasts.Policy) {
	s.commit(announced(s.commitment(), policy, s.now))
	s.want(slot, mtasts.Record{ID: policy.ID()}.String(), verdict{})
}

// keepAnnounced leaves the record as it is; nothing new is announced.
func (s *scope) keepAnnounced(slot records.Slot, why verdict) {
	if told := s.book.MTASTS; told != nil && told.Policy != "" {
		s.want(slot, mtasts.Record{ID: told.ID}.String(), verdict{})
		return
	}
	s.want(slot, "v=STSv1; id=…", why)
}

// withdrawMTASTS ends the commitment as RFC 8461 §8.3 wants: a policy with mode none is served
// and announced until every sender has forgotten the ones before it. Then the record goes, and
// after it the policy. A policy that was never announced needs no announcement of its end.
func (r *Reconciler) withdrawMTASTS(ctx context.Context, s *scope, slot records.Slot) error {
	c := s.commitment()
	if closing(c) && !s.now.Before(c.Until) {
		s.want(slot, "", verdict{})
		if (s.abandoned() || r.withdrawn(ctx, s, slot)) && s.writes() {
			s.book.MTASTS, s.mtasts.ended = nil, true
		}
		return nil
	}
	none := records.MTASTSWithdrawal()
	s.mtasts.serve = &none
	s.commit(c)
	why := r.servedPolicy(ctx, s.md.Spec.Domain, none)
	if body, _ := s.site.served(); s.ending != nil && body == none.String() && why.bad() {
		if _, err := r.Fetcher.Fetch(ctx, s.md.Spec.Domain); isNotFound(err) {
			why = verdict{} // the host has no address any more, and no earlier policy waits behind it
		}
	}
	switch {
	case c.Policy == "" && why.bad():
		return nil
	case c.Policy == "":
		s.commit(proven(c, none, s.now))
	case why.bad():
		s.keepAnnounced(slot, why)
		return nil
	default:
		s.announce(slot, none)
	}
	if told := s.book.MTASTS; told != nil {
		s.again(max(told.Until.Sub(s.now), time.Second))
	}
	return nil
}

// withdrawn reports whether our record is gone: by the ledger, or, where a human removes it, by
// what the name servers show.
func (r *Reconciler) withdrawn(ctx context.Context, s *scope, slot records.Slot) bool {
	seen := r.look(ctx, s, slot.Name)
	if !s.md.Spec.Manual() {
		return len(s.entries(slot, seen)) == 0
	}
	return slices.ContainsFunc(seen.answers, proves) && !slices.ContainsFunc(seen.values(), slot.Is)
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
	if what := pairFault(s.md.Spec.Domain, secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey], s.now); what != "" {
		return bad(what)
	}
	return verdict{}
}

// pairFault says what keeps a certificate and its key from being served for the policy host of
// the domain; "" is nothing.
func pairFault(domain string, certificate, key []byte, now time.Time) string {
	if max(len(certificate), len(key)) > mtastsserver.MaxPEMSize {
		return fmt.Sprintf("tls.crt or tls.key is larger than %d KiB", mtastsserver.MaxPEMSize>>10)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return "tls.crt and tls.key are not a certificate with its key"
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	switch {
	case err != nil:
		return "the certificate can't be read"
	case leaf.VerifyHostname("mta-sts."+domain) != nil:
		return "the certificate is for other names"
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid yet"
	case now.After(leaf.NotAfter):
		return "the certificate has expired"
	}
	return ""
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
