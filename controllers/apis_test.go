package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
	"github.com/maildomain/maildomain-operator/test/fakes/route53"
)

// hosted is a provider with an API, whose zone example.com the world's name server shows.
type hosted struct {
	calls   func() int // since the last time
	foreign func()     // somebody else's texts are at the apex, byte for byte as they were put there
}

const foreignText = `google-site-verification=ab"c\d; é`

func hostedByCloudflare(w *world) hosted {
	fake := cloudflare.Start(cloudflare.Config{})
	w.t.Cleanup(fake.Close)
	zone := fake.AddZone("example.com")
	fake.AddToken("a-token", zone)
	content := `"google-site-verification=ab\"c\\d; é"`
	fake.Put(zone, cloudflare.Record{Name: "example.com", Type: "TXT", Content: content, TTL: 300})
	fake.Serve(w.dns)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token"}, StringData: map[string]string{"token": "a-token\n"}})
	w.hostedBy(v1alpha1.DNSProviderSpec{Domains: []string{"example.com"}, Endpoint: fake.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{APITokenSecretRef: &v1alpha1.SecretKeyRef{Name: "token", Key: "token"}}})
	return hosted{
		calls: func() int {
			calls := fake.Calls()
			fake.ResetCalls()
			return calls.Lists + calls.Batches + calls.Others
		},
		foreign: func() {
			if !slices.Contains(fake.Contents(zone, "example.com", "TXT"), content) {
				w.t.Errorf("the foreign text is gone: %q", fake.Contents(zone, "example.com", "TXT"))
			}
		},
	}
}

func hostedByRoute53(w *world) hosted {
	fake, err := route53.Start(route53.Config{Keys: map[string]string{"AKIATEST": "secret"}})
	w.must(err)
	w.t.Cleanup(func() { fake.Close() })
	w.must(fake.AddZone("Z1", "example.com"))
	content := `"google-site-verification=ab\"c\\d;"  " \303\251"`
	w.must(fake.PutValues("Z1", "example.com", "TXT", 300, content))
	w.must(fake.Serve("Z1", w.dns))
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "aws"}, StringData: map[string]string{"id": "AKIATEST", "secret": "secret"}})
	w.hostedBy(v1alpha1.DNSProviderSpec{Domains: []string{"example.com"}, Endpoint: fake.URL(), Route53: &v1alpha1.Route53Provider{
		AccessKeyIDSecretRef: &v1alpha1.SecretKeyRef{Name: "aws", Key: "id"}, SecretAccessKeySecretRef: &v1alpha1.SecretKeyRef{Name: "aws", Key: "secret"},
	}})
	return hosted{
		calls: func() int {
			n := fake.Calls("ListResourceRecordSets", "ChangeResourceRecordSets")
			fake.ResetCalls()
			return n
		},
		foreign: func() {
			if !slices.Contains(fake.Values("Z1", "example.com", "TXT"), content) {
				w.t.Errorf("the foreign text is gone: %q", fake.Values("Z1", "example.com", "TXT"))
			}
		},
	}
}

// hostedBy replaces the world's provider.
func (w *world) hostedBy(spec v1alpha1.DNSProviderSpec) {
	w.t.Helper()
	p := &v1alpha1.DNSProvider{}
	w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "dns"}, p))
	old := p.DeepCopy()
	p.Spec = spec
	w.must(w.api.Patch(w.t.Context(), p, client.MergeFrom(old)))
	w.r.Accounts.around = nil // which would send the changes one by one
}

// A whole life at a provider with an API: published and proven, at the cost of one read, one write
// and one read-back for what goes out together, and of nothing while nothing changes.
func TestProvidersWithAnAPI(t *testing.T) {
	for name, host := range map[string]func(*world) hosted{"cloudflare": hostedByCloudflare, "route53": hostedByRoute53} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := host(w)
			w.apply("example-com", spec())
			w.pass("example-com")
			// The claim, then SPF, two keys, DMARC as far as it may, and TLS-RPT.
			if n := h.calls(); n != 6 {
				t.Errorf("the claim and the first publication cost %d calls, want 3 each", n)
			}
			w.until("example-com", "ready", isReady)
			// MTA-STS once its policy is served, and DMARC once mail is signed.
			if n := h.calls(); n != 6 {
				t.Errorf("what had to wait cost %d calls, want 3 for each of the two", n)
			}
			want := []string{foreignText, "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"}
			if diff := cmp.Diff(want, slices.Sorted(slices.Values(w.dns.TXT("example.com")))); diff != "" {
				t.Error(diff)
			}
			h.foreign()

			w.settles("example-com")
			w.restart()
			w.r.Accounts.around = nil
			w.settles("example-com")
			if n := h.calls(); n != 0 {
				t.Errorf("an unchanged domain cost %d calls", n)
			}
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.SPF.All = v1alpha1.SPFSoftFail })
			w.until("example-com", "changed", func(md *v1alpha1.MailDomain) bool {
				return isReady(md) && slices.Contains(w.dns.TXT("example.com"), "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se ~all")
			})
			if n := h.calls(); n != 3 {
				t.Errorf("a change of one record cost %d calls, want 3", n)
			}
			h.foreign()
			w.delete("example-com")
			w.pass("example-com")
			if n := h.calls(); n != 3 {
				t.Errorf("to release the domain cost %d calls, want 3", n)
			}
			w.apply("example-com", spec())
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.SPF.All = v1alpha1.SPFSoftFail })
			w.until("example-com", "ready again", isReady)
			if n := h.calls(); n != 3 {
				t.Errorf("to claim it again and take up what was left cost %d calls, want 3", n)
			}
		})
	}
}

// What is wrong with a provider stands in the condition, whatever its type.
func TestProvidersThatCantBeUsed(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token"}, StringData: map[string]string{"token": "not-a-token", "empty": "\n"}})
	ref := func(key string) *v1alpha1.SecretKeyRef { return &v1alpha1.SecretKeyRef{Name: "token", Key: key} }
	fake := cloudflare.Start(cloudflare.Config{})
	t.Cleanup(fake.Close)
	w.apply("example-com", spec())
	for _, test := range []struct {
		spec   v1alpha1.DNSProviderSpec
		reason string
	}{
		{v1alpha1.DNSProviderSpec{Endpoint: fake.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{APITokenSecretRef: ref("token")}}, v1alpha1.ReasonUnauthorized},
		{v1alpha1.DNSProviderSpec{Endpoint: fake.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{APITokenSecretRef: ref("empty")}}, v1alpha1.ReasonCredentialsNotFound},
		{v1alpha1.DNSProviderSpec{Endpoint: "https://127.0.0.1:1/", Cloudflare: &v1alpha1.CloudflareProvider{APITokenSecretRef: ref("token")}}, v1alpha1.ReasonUnreachable},
		{v1alpha1.DNSProviderSpec{Route53: &v1alpha1.Route53Provider{}}, v1alpha1.ReasonProviderNotAllowed},
		{v1alpha1.DNSProviderSpec{Route53: &v1alpha1.Route53Provider{RoleARN: "arn:aws:iam::123456789012:role/dns"}}, v1alpha1.ReasonProviderNotAllowed},
	} {
		test.spec.Domains = []string{"example.com"}
		w.hostedBy(test.spec)
		w.until("example-com", fmt.Sprintf("%s with %+v", test.reason, test.spec), hasReason(v1alpha1.ConditionProviderReady, test.reason))
	}
}

// A role is assumed with a DNSProvider's own keys; with the operator's identity only for a
// ClusterDNSProvider, and where the operator's administrator allowed it.
func TestRoles(t *testing.T) {
	const operators, tenants = "arn:aws:iam::123456789012:role/operators", "arn:aws:iam::123456789012:role/tenants"
	w := newWorld(t)
	fake, err := route53.Start(route53.Config{Keys: map[string]string{"AKIAOPERATOR": "of the operator", "AKIATENANT": "secret"}, RolesOnly: true})
	w.must(err)
	t.Cleanup(func() { fake.Close() })
	w.must(fake.AddZone("Z1", "example.com"))
	w.must(fake.Serve("Z1", w.dns))
	fake.SetRole(operators, route53.Role{Trusts: []string{"AKIAOPERATOR"}, ExternalID: "told"})
	fake.SetRole(tenants, route53.Role{Trusts: []string{"AKIATENANT"}})
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAOPERATOR")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the operator")
	t.Setenv("AWS_SESSION_TOKEN", "")

	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "aws"}, StringData: map[string]string{"id": "AKIATENANT", "secret": "secret"}})
	own := v1alpha1.DNSProviderSpec{Domains: []string{"example.com"}, Endpoint: fake.URL(), Route53: &v1alpha1.Route53Provider{
		AccessKeyIDSecretRef: &v1alpha1.SecretKeyRef{Name: "aws", Key: "id"}, SecretAccessKeySecretRef: &v1alpha1.SecretKeyRef{Name: "aws", Key: "secret"}, RoleARN: operators,
	}}
	w.hostedBy(own)
	w.apply("example-com", onlySPF())
	w.until("example-com", "denied", func(md *v1alpha1.MailDomain) bool {
		return hasReason(v1alpha1.ConditionProviderReady, v1alpha1.ReasonUnauthorized)(md) && strings.Contains(describe(md), "spec.route53.roleARN")
	})
	own.Route53.RoleARN = tenants
	w.hostedBy(own)
	w.until("example-com", "ready", isReady)

	cluster := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	cluster.Spec.DNSProviderSpec = v1alpha1.DNSProviderSpec{Domains: []string{"example.com"}, Endpoint: fake.URL(), Route53: &v1alpha1.Route53Provider{RoleARN: operators, ExternalID: "told"}}
	cluster.Spec.Grants = []v1alpha1.Grant{{NamespaceSelector: &metav1.LabelSelector{}, Domains: []string{"example.com"}}}
	w.must(w.api.Create(t.Context(), cluster))
	t.Cleanup(func() { w.must(w.api.Delete(context.Background(), cluster)) })
	before := len(fake.Assumptions())
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.DNS.ProviderRef = &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: cluster.Name}
		md.Spec.SPF.All = v1alpha1.SPFSoftFail
	})
	w.until("example-com", "not allowed", hasReason(v1alpha1.ConditionProviderReady, v1alpha1.ReasonProviderNotAllowed))
	if got := fake.Assumptions()[before:]; len(got) > 0 {
		t.Errorf("not allowed, and assumed: %+v", got)
	}
	w.r.Accounts.Ambient = true
	w.until("example-com", "changed", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && slices.ContainsFunc(w.dns.TXT("example.com"), func(text string) bool { return strings.HasSuffix(text, "~all") })
	})
	want := route53.Assumption{AccessKeyID: "AKIAOPERATOR", RoleARN: operators, SessionName: "maildomain-operator", ExternalID: "told", Duration: time.Hour}
	if got := fake.Assumptions()[before:]; len(got) != 1 || got[0] != want {
		t.Errorf("assumed %+v, want %+v", got, want)
	}
}
