package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// judge compares, after a soak, the zone with what is wanted, and the process with what it was.
func (k *soaking) judge(ctx context.Context) error {
	wrong := []error{k.zone()}
	var list v1alpha1.MailDomainList
	if err := k.api.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range list.Items {
		wrong = append(wrong, k.signs(ctx, &list.Items[i]))
	}
	if more := k.Quiet.Goroutines - k.Warm.Goroutines; more > moreGoroutines {
		wrong = append(wrong, fmt.Errorf("%.0f goroutines when all is quiet, %.0f when it was warm: %d more are allowed", k.Quiet.Goroutines, k.Warm.Goroutines, moreGoroutines))
	}
	if k.Quiet.Heap > k.Warm.Heap*moreMemory {
		wrong = append(wrong, fmt.Errorf("%.0f MiB of heap when all is quiet, %.0f when it was warm: %.2f times as much are allowed", k.Quiet.Heap, k.Warm.Heap, moreMemory))
	}
	if k.Quiet.RSS > k.Warm.RSS*moreMemory {
		wrong = append(wrong, fmt.Errorf("%.0f MiB when all is quiet, %.0f when it was warm: %.2f times as much are allowed", k.Quiet.RSS, k.Warm.RSS, moreMemory))
	}
	return errors.Join(wrong...)
}

// zone compares the zone with what is wanted.
func (k *soaking) zone() error {
	var wrong []error
	for i := range k.domains {
		if spec, there := k.wanted[i]; there {
			wrong = append(wrong, k.published(i, spec))
		} else {
			wrong = append(wrong, k.gone(i))
		}
	}
	return errors.Join(wrong...)
}

// stands checks that the name has these texts and no others.
func (k *soaking) stands(name string, want ...string) error {
	got := k.dns.TXT(name)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s has %q, want %q", name, got, want)
	}
	return nil
}

// published checks the records of a MailDomain, in the words of the RFCs and not of the operator.
func (k *soaking) published(i int, spec v1alpha1.MailDomainSpec) error {
	all := map[v1alpha1.SPFQualifier]string{v1alpha1.SPFFail: "-all", v1alpha1.SPFSoftFail: "~all"}[spec.SPF.All]
	name := domain(i)
	return errors.Join(
		k.stands(name, foreignText(i), "v=spf1 "+strings.Join(spec.SPF.Mechanisms, " ")+" "+all),
		k.stands("_dmarc."+name, "v=DMARC1; p="+string(spec.DMARC.Policy)+"; rua="+spec.DMARC.RUA[0]),
		k.stands("_smtp._tls."+name, "v=TLSRPTv1; rua="+spec.TLSRPT.RUA[0]),
	)
}

// gone checks what is left of a deleted MailDomain: the text of somebody else and, as long as keys may still be asked for, SPF.
func (k *soaking) gone(i int) error {
	name := domain(i)
	texts := k.dns.TXT(name)
	foreign := 0
	for _, text := range texts {
		if text == foreignText(i) {
			foreign++
		} else if !strings.HasPrefix(text, "v=spf1 ") {
			return fmt.Errorf("%s has %q", name, text)
		}
	}
	if foreign != 1 || len(texts) > 2 {
		return fmt.Errorf("%s has %q, want the text of somebody else once", name, texts)
	}
	return errors.Join(k.stands("_smtp._tls."+name), k.stands("_dmarc."+name))
}

// signs checks that the signer has a key for each selector that mail is signed with, and that the zone has its public half.
func (k *soaking) signs(ctx context.Context, md *v1alpha1.MailDomain) error {
	secret := &corev1.Secret{}
	if err := k.api.Get(ctx, client.ObjectKey{Namespace: md.Namespace, Name: md.SignerSecretName()}, secret); err != nil {
		return err
	}
	if md.Status.DKIM == nil || len(md.Status.DKIM.ActiveSelectors) != len(md.Spec.DKIM.Keys) {
		return fmt.Errorf("%s does not sign with each of its keys", md.Name)
	}
	var wrong []error
	for _, selector := range md.Status.DKIM.ActiveSelectors {
		record, err := keys.RecordOf(secret.Data[keys.PrivateFile(selector)])
		if err != nil {
			wrong = append(wrong, fmt.Errorf("signer's Secret %s, %s: %w", secret.Name, selector, err))
			continue
		}
		wrong = append(wrong, k.stands(selector+"._domainkey."+md.Spec.Domain, record))
	}
	return errors.Join(wrong...)
}
