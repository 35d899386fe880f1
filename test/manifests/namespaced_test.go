package manifests

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Confined to a namespace, manager and writer take MailDomains through their lives with the Roles of config/namespaced
// alone, tell the one that refers to a ClusterDNSProvider that there is none for it, and never look elsewhere.
func TestConfinedAccountsHaveTheRightsThatTheyNeed(t *testing.T) {
	s := newScene(t, render(t, "namespaced"))
	as := s.account(s.deployed("maildomain-manager"))
	s.provide()
	ed25519 := []v1alpha1.DKIMKey{{Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519}}
	combine := true
	s.want("full", v1alpha1.KindDNSProvider, "own", v1alpha1.MailDomainSpec{
		Domain: "example.com",
		SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"mx"}, All: v1alpha1.SPFFail},
		DKIM:   &v1alpha1.DKIMSpec{Keys: ed25519},
		DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject},
		MTASTS: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce, MX: []string{"mx1.example.com"}},
		TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@example.com"}},
	})
	s.want("bare", v1alpha1.KindClusterDNSProvider, "manifests", v1alpha1.MailDomainSpec{Domain: "example.net"})
	s.want("shared", v1alpha1.KindDNSProvider, "own", v1alpha1.MailDomainSpec{Domain: "example.org", DKIM: &v1alpha1.DKIMSpec{Keys: ed25519, SignerSecret: &v1alpha1.SignerSecret{Name: "shared", Combine: &combine}}})
	elsewhere := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace(), Name: "elsewhere"}, Spec: v1alpha1.MailDomainSpec{Domain: "example.com"}}
	s.create(elsewhere)
	writer, reads := s.serve("--watch-namespaces", s.mail)
	flags := []string{"--owner-id", "manifests", "--watch-namespaces", s.mail}

	manager := s.manage(as, flags...)
	s.until("the Service has no endpoints here, where no controller makes them", func() bool {
		c := meta.FindStatusCondition(s.find("full").Status.Conditions, v1alpha1.ConditionMTASTSReady)
		return c != nil && strings.Contains(c.Message, "has no endpoints")
	})
	manager.stop(t)

	flags = append(flags, "--mta-sts-service", "")
	manager = s.manage(as, flags...)
	s.until("all ready that can be", s.ready("full", "shared"))
	s.checkMetrics(manager, "maildomain_leader 1")
	announced := s.dns.TXT("_mta-sts.example.com")
	s.until("a ClusterDNSProvider is out of reach", func() bool {
		c := meta.FindStatusCondition(s.find("bare").Status.Conditions, v1alpha1.ConditionProviderReady)
		return c != nil && c.Reason == v1alpha1.ReasonProviderNotAllowed && strings.Contains(c.Message, "--watch-namespaces")
	})
	must(t, s.api.Patch(t.Context(), s.find("bare"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"dns":{"providerRef":{"kind":"DNSProvider","name":"own"}}}}`))))
	s.until("what the message says helps", s.ready("bare"))
	must(t, s.api.Patch(t.Context(), s.find("full"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"mtaSTS":{"maxAge":"200h"}}}`))))
	s.until("another policy announced", func() bool { return !slices.Equal(s.dns.TXT("_mta-sts.example.com"), announced) })
	must(t, s.api.Delete(t.Context(), s.find("bare")))
	must(t, s.api.Delete(t.Context(), s.find("shared")))
	s.until("one deleted with all that it had", s.gone("bare"))
	manager.stop(t)

	manager = s.manage(as, append(flags, "--deletion-grace", "1s")...)
	must(t, s.api.Delete(t.Context(), s.find("full")))
	s.until("deleted while senders hold a policy", func() bool { return s.gone("full")() && s.gone("shared")() })
	s.until("what outlives it is kept in the operator's namespace", func() bool {
		var list corev1.SecretList
		must(t, s.api.List(t.Context(), &list, client.InNamespace(namespace), client.HasLabels{"maildomain.dev/tombstone"}))
		return len(list.Items) > 0 && as.seen.rights()["get maildomain.dev/maildomains"]
	})
	manager.stop(t)

	must(t, s.api.Get(t.Context(), client.ObjectKeyFromObject(elsewhere), elsewhere))
	if len(elsewhere.Status.Conditions) > 0 || len(elsewhere.Finalizers) > 0 {
		t.Errorf("a MailDomain in another namespace was worked on: %+v", elsewhere.Status)
	}
	s.judge(as, eventPatches)
	s.checkMetrics(writer, "rest_client_requests_total")
	writer.stop(t)
	s.judge(reads)
}
