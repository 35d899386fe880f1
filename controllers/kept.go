package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// A policy outlives its MailDomain, and has to be served with a certificate when the holder's Secret
// is gone. So at the end a copy is kept in the operator's namespace, under the name of the site. It
// is not renewed; whoever has one made under that name keeps the policy served for longer.

// Certificates gives the certificate and key that are served for a domain now; none: nil.
type Certificates func(domain string) (certificate, key []byte)

// keepCertificate keeps a copy if a policy is served for the domain with one.
func (r *Reconciler) keepCertificate(ctx context.Context, s *scope) error {
	if r.Plain {
		return nil
	}
	policy, _ := s.site.served()
	if s.site.config == nil {
		var err error
		if s.site, err = r.readSite(ctx, s.md.Spec.Domain); err != nil {
			return err
		}
		policy, _ = s.site.served()
	}
	if policy == "" || s.site.holder != ownerOf(s.md) {
		return nil
	}
	at := types.NamespacedName{Namespace: s.site.config.Data[siteNamespace], Name: s.site.config.Data[siteTLSSecret]}
	var source corev1.Secret
	if err := r.Reader.Get(ctx, at, &source); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading Secret %s: %w", at.Name, err)
	}
	certificate, key := source.Data[corev1.TLSCertKey], source.Data[corev1.TLSPrivateKeyKey]
	if pairFault(s.md.Spec.Domain, certificate, key, s.now) != "" && r.Certificates != nil {
		certificate, key = r.Certificates(s.md.Spec.Domain)
	}
	if what := pairFault(s.md.Spec.Domain, certificate, key, s.now); what != "" {
		s.events = append(s.events, event{warning: true, reason: v1alpha1.ReasonCertificateNotReady, action: "Delete", note: fmt.Sprintf(
			"Secret %s: %s, so none can be kept for the policy, which senders may still hold: issue one into Secret %s in namespace %s", at.Name, what, siteName(s.md.Spec.Domain), r.Namespace)})
		return nil
	}
	kept := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: siteName(s.md.Spec.Domain),
			Labels:      map[string]string{managedByLabel: managedBy},
			Annotations: map[string]string{ownerAnnotation: ownerOf(s.md)},
		},
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key},
	}
	err := r.Client.Create(ctx, kept)
	if apierrors.IsAlreadyExists(err) {
		var before corev1.Secret
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(kept), &before); err != nil {
			return fmt.Errorf("reading Secret %s: %w", kept.Name, err)
		}
		if pairFault(s.md.Spec.Domain, before.Data[corev1.TLSCertKey], before.Data[corev1.TLSPrivateKeyKey], s.now) == "" {
			return nil // of an earlier pass, or an administrator's
		}
		before.Data = kept.Data
		err = updateSecret(ctx, r.Client, &before)
	}
	if err != nil {
		return fmt.Errorf("keeping the certificate of %s: %w", s.md.Spec.Domain, err)
	}
	return nil
}

// dropCertificate deletes the copy that was kept for the domain, if there is one.
func (r *Reconciler) dropCertificate(ctx context.Context, domain string) error {
	kept := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: siteName(domain)}}
	if err := r.Client.Delete(ctx, kept); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", kept.Name, err)
	}
	return nil
}
