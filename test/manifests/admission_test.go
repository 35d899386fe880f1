package manifests

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

const managerAccount = "maildomain-manager"

// as is a client with the name of a ServiceAccount, as whoever has stolen its token would be.
func (s *scene) as(namespace, account string) client.Client {
	s.t.Helper()
	config := envtest.Config(s.t)
	config.QPS = -1
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + account, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	api, err := client.New(config, client.Options{Scheme: s.api.Scheme()})
	must(s.t, err)
	return api
}

// admission waits until the API server has taken up both policies: what is tried here is never stored.
func (s *scene) admission() {
	s.t.Helper()
	manager := s.as(namespace, managerAccount)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: "probe"}}
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: "probe"}, Spec: v1alpha1.MailDomainSpec{Domain: "probe.example"}}
	must(s.t, s.api.Create(s.t.Context(), md))
	defer func() { must(s.t, s.api.Delete(s.t.Context(), md)) }()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		one := manager.Create(s.t.Context(), secret.DeepCopy(), client.DryRunAll)
		other := manager.Patch(s.t.Context(), md.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`)), client.DryRunAll)
		if denied(one) && denied(other) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the admission policies are not in force: %v, %v", one, other)
		}
	}
}

// denied reports whether it was a policy that refused, and not RBAC.
func denied(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
}

func secretOf(namespace, name string, kind corev1.SecretType, change ...func(*corev1.Secret)) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: kind, Data: map[string][]byte{"a": []byte("b")}}
	if kind == corev1.SecretTypeTLS {
		secret.Data = map[string][]byte{"tls.crt": {}, "tls.key": {}}
	}
	for _, c := range change {
		c(secret)
	}
	return secret
}

func labelled(secret *corev1.Secret) {
	secret.Labels = map[string]string{"app.kubernetes.io/managed-by": "maildomain-operator"}
}

func annotated(key, value string) func(*corev1.Secret) {
	return func(secret *corev1.Secret) { secret.Annotations = map[string]string{key: value} }
}

// Whoever has the manager's token can write to its own Secrets, and to nobody else's, although RBAC would let it.
func TestSecretsOfOthersAreRefused(t *testing.T) {
	s := newScene(t, render(t, "install"))
	manager := s.as(namespace, managerAccount)
	const kept = "claim-a379a6f6eeafb9a5"
	token := func(secret *corev1.Secret) {
		labelled(secret)
		secret.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
	}
	for what, c := range map[string]struct {
		secret *corev1.Secret
		want   string // in the message; "": it is allowed
	}{
		"its own":                       {secretOf(s.mail, "made", corev1.SecretTypeOpaque, labelled), ""},
		"a ledger":                      {secretOf(s.mail, "ledger", "maildomain.dev/ledger", labelled), ""},
		"a kept certificate":            {secretOf(namespace, kept, corev1.SecretTypeTLS, labelled), ""},
		"without the label":             {secretOf(s.mail, "bare", corev1.SecretTypeOpaque), "without its label"},
		"a token of another account":    {secretOf(s.mail, "token", corev1.SecretTypeServiceAccountToken, token), "makes Secrets of type"},
		"a token to join the cluster":   {secretOf(s.mail, "bootstrap-token-abcdef", "bootstrap.kubernetes.io/token", labelled), "makes Secrets of type"},
		"a certificate for anybody":     {secretOf(s.mail, kept, corev1.SecretTypeTLS, labelled), "makes Secrets of type"},
		"a certificate under any name":  {secretOf(namespace, "webhook", corev1.SecretTypeTLS, labelled), "makes Secrets of type"},
		"a kept one without the label":  {secretOf(namespace, kept, corev1.SecretTypeTLS), "without its label"},
		"another operator's, by a name": {secretOf(s.mail, "helm", "helm.sh/release.v1", labelled), "makes Secrets of type"},
	} {
		check(t, "create "+what, manager.Create(t.Context(), c.secret, client.DryRunAll), c.want)
	}
	for what, c := range map[string]struct {
		there  *corev1.Secret
		change func(*corev1.Secret)
		want   string
	}{
		"its own":                       {secretOf(s.mail, "own", corev1.SecretTypeOpaque, labelled), nil, ""},
		"a ledger that lost its label":  {secretOf(s.mail, "lost", "maildomain.dev/ledger"), nil, ""},
		"a signer's that lost it":       {secretOf(s.mail, "signer", corev1.SecretTypeOpaque, annotated("maildomain.dev/owner", "a/b/c")), labelled, ""},
		"a shared one that lost it":     {secretOf(s.mail, "shared", corev1.SecretTypeOpaque, annotated("maildomain.dev/shared", "true")), nil, ""},
		"an administrator's kept one":   {secretOf(namespace, kept, corev1.SecretTypeTLS), nil, ""},
		"a user's":                      {secretOf(s.mail, "users", corev1.SecretTypeOpaque), nil, "not the operator's"},
		"a user's, to take it over":     {secretOf(s.mail, "users2", corev1.SecretTypeOpaque), labelled, "not the operator's"},
		"another operator's":            {secretOf(s.mail, "others", corev1.SecretTypeOpaque, annotated("maildomain.dev/shared", "false")), nil, "not the operator's"},
		"a user's of a kept one's name": {secretOf(s.mail, kept, corev1.SecretTypeTLS), nil, "not the operator's"},
		"its own, to lose the label":    {secretOf(s.mail, "own2", corev1.SecretTypeOpaque, labelled), func(secret *corev1.Secret) { secret.Labels = nil }, "take its label off"},
	} {
		s.create(c.there)
		changed := c.there.DeepCopy()
		changed.Data["a"] = []byte("c")
		if c.change != nil {
			c.change(changed)
		}
		check(t, "update "+what, manager.Update(t.Context(), changed, client.DryRunAll), c.want)
		want := c.want
		if want != "" && want != "not the operator's" {
			want = ""
		}
		check(t, "delete "+what, manager.Delete(t.Context(), c.there, client.DryRunAll), want)
	}
	// Others are not held back.
	must(t, s.api.Create(t.Context(), secretOf(s.mail, "anything", corev1.SecretTypeOpaque), client.DryRunAll))
}

// check wants a refusal by a policy with the text in its message, or none.
func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (!denied(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q of a policy", what, err, want)
	}
}

// Of a MailDomain the manager's account writes status and its own finalizer.
func TestSpecsAreUsers(t *testing.T) {
	s := newScene(t, render(t, "install"))
	manager := s.as(namespace, managerAccount)
	md := &v1alpha1.MailDomain{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: "some", Labels: map[string]string{"a": "b"}, Finalizers: []string{"example.com/other"}},
		Spec:       v1alpha1.MailDomainSpec{Domain: "some.example"},
	}
	s.create(md)
	for patch, want := range map[string]string{
		`{"metadata":{"finalizers":["example.com/other","maildomain.dev/maildomain"]}}`: "",
		`{"metadata":{"finalizers":["maildomain.dev/maildomain"]}}`:                     "finalizers the operator writes",
		`{"metadata":{"finalizers":["example.com/other","example.com/more"]}}`:          "finalizers the operator writes",
		`{"spec":{"suspend":true}}`: "does not write spec",
		`{"spec":{"mode":"Observe"},"metadata":{"finalizers":["example.com/other"]}}`:                 "does not write spec",
		`{"metadata":{"labels":{"a":null}}}`:                                                          "labels, annotations",
		`{"metadata":{"annotations":{"maildomain.dev/compromised":"s1"}}}`:                            "labels, annotations",
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"a","uid":"u"}]}}`: "labels, annotations",
	} {
		check(t, patch, manager.Patch(t.Context(), md.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll), want)
	}
	status := md.DeepCopy()
	status.Status.ObservedGeneration = 1
	must(t, manager.Status().Patch(t.Context(), status, client.MergeFrom(md), client.DryRunAll))
}
