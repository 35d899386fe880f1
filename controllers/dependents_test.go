package controllers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Of the many Secrets of a namespace each leads to the MailDomains that it matters to, and to no other.
func TestWhomAChangeMattersTo(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "mail", Name: name} }
	by := func(kind v1alpha1.ProviderKind, name string) *v1alpha1.DNSSpec {
		return &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: kind, Name: name}}
	}
	rfc2136 := func(secret string) v1alpha1.DNSProviderSpec {
		return v1alpha1.DNSProviderSpec{Domains: []string{"example.com"}, RFC2136: &v1alpha1.RFC2136Provider{
			Server: "192.0.2.1:53", TSIG: &v1alpha1.TSIGKey{KeyName: "key.", SecretRef: &v1alpha1.SecretKeyRef{Name: secret, Key: "secret"}},
		}}
	}
	objects := []client.Object{
		&v1alpha1.MailDomain{ObjectMeta: named("a"), Spec: v1alpha1.MailDomainSpec{Domain: "a.example.com", DNS: by(v1alpha1.KindDNSProvider, "dns")}},
		&v1alpha1.MailDomain{ObjectMeta: named("b"), Spec: v1alpha1.MailDomainSpec{Domain: "b.example.com", DNS: by(v1alpha1.KindDNSProvider, "dns"), DKIM: &v1alpha1.DKIMSpec{
			SignerSecret: &v1alpha1.SignerSecret{Name: "of-both"},
			Keys:         []v1alpha1.DKIMKey{{Name: "old", Import: &v1alpha1.DKIMImport{SecretName: "legacy"}}},
		}}},
		&v1alpha1.MailDomain{ObjectMeta: named("c"), Spec: v1alpha1.MailDomainSpec{Domain: "c.example.com", DNS: by(v1alpha1.KindClusterDNSProvider, "dns"), DKIM: &v1alpha1.DKIMSpec{SignerSecret: &v1alpha1.SignerSecret{Name: "of-both"}}}},
		&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "a"}, Spec: v1alpha1.MailDomainSpec{Domain: "a.example.net", DNS: by(v1alpha1.KindClusterDNSProvider, "dns")}},
		&v1alpha1.DNSProvider{ObjectMeta: named("dns"), Spec: rfc2136("tsig")},
		&v1alpha1.DNSProvider{ObjectMeta: named("unused"), Spec: rfc2136("unused-tsig")},
		&v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "dns"}, Spec: v1alpha1.ClusterDNSProviderSpec{DNSProviderSpec: rfc2136("tsig")}},
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
	for field, values := range indexes {
		builder = builder.WithIndex(&v1alpha1.MailDomain{}, field, valuesOf(values))
	}
	r := &Reconciler{Client: builder.Build(), Namespace: "operator"}

	secret := func(namespace, name, owner string) client.Object {
		o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if owner != "" {
			o.Annotations, o.Labels = map[string]string{ownerAnnotation: owner}, map[string]string{managedByLabel: managedBy}
		}
		return o
	}
	shared := secret("mail", "before", "")
	shared.SetAnnotations(map[string]string{sharedAnnotation: "true"})
	for name, test := range map[string]struct {
		requests []reconcile.Request
		want     []string
	}{
		"somebody's":                      {r.ofSecret(t.Context(), secret("mail", "somebody's", "")), nil},
		"a ledger":                        {r.ofSecret(t.Context(), secret("mail", "a-maildomain-ledger", "mail/a/a.example.com")), []string{"mail/a"}},
		"a ledger without its annotation": {r.ofSecret(t.Context(), secret("mail", "a-maildomain-ledger", "")), []string{"mail/a"}},
		"the signer's of one":             {r.ofSecret(t.Context(), secret("mail", "a-dkim", "")), []string{"mail/a"}},
		"the signer's before another":     {r.ofSecret(t.Context(), secret("mail", "b-dkim", "")), []string{"mail/b"}},
		"what is named after nobody":      {r.ofSecret(t.Context(), secret("mail", "nobody-dkim", "")), nil},
		"a signer's that spec has left":   {r.ofSecret(t.Context(), secret("mail", "before", "mail/a/a.example.com")), []string{"mail/a"}},
		"one with several's keys":         {r.ofSecret(t.Context(), shared), []string{"mail/a", "mail/b", "mail/c"}},
		"a signer's that two name":        {r.ofSecret(t.Context(), secret("mail", "of-both", "mail/b/b.example.com")), []string{"mail/b", "mail/c"}},
		"another namespace's in words":    {r.ofSecret(t.Context(), secret("mail", "somebody's", "other/a/a.example.net")), nil},
		"a key to import":                 {r.ofSecret(t.Context(), secret("mail", "legacy", "")), []string{"mail/b"}},
		"a certificate":                   {r.ofSecret(t.Context(), secret("mail", "mta-sts-c", "")), []string{"mail/c"}},
		"credentials":                     {r.ofSecret(t.Context(), secret("mail", "tsig", "")), []string{"mail/a", "mail/b"}},
		"credentials that nobody uses":    {r.ofSecret(t.Context(), secret("mail", "unused-tsig", "")), nil},
		"the cluster's credentials":       {r.ofSecret(t.Context(), secret("operator", "tsig", "")), []string{"mail/c", "other/a"}},
		"a DNSProvider":                   {r.ofProvider(t.Context(), objects[4]), []string{"mail/a", "mail/b"}},
		"a ClusterDNSProvider":            {r.ofProvider(t.Context(), objects[6]), []string{"mail/c", "other/a"}},
		"the Service":                     {r.ofService(t.Context(), &corev1.Service{}), []string{"mail/a", "mail/b", "mail/c", "other/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, request := range test.requests {
				got = append(got, request.String())
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, slices.Compact(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is named after its MailDomain is in no index, which would have two values for each of its Secrets.
func TestOnlyWhatSpecNamesIsIndexed(t *testing.T) {
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.MailDomainSpec{DKIM: &v1alpha1.DKIMSpec{}, MTASTS: &v1alpha1.MTASTSSpec{}}}
	if names := secretNames(md); len(names) > 0 {
		t.Errorf("indexed: %v", names)
	}
	md.Spec.DKIM.SignerSecret = &v1alpha1.SignerSecret{Name: "b-dkim"} // another one's, by its name
	if diff := cmp.Diff([]string{"b-dkim"}, secretNames(md)); diff != "" {
		t.Error(diff)
	}
}
