package controllers

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// sharing is a domain whose signer's Secret is shared.
func sharing(domain string) v1alpha1.MailDomainSpec {
	s := signing()
	s.Domain = domain
	s.DKIM.SignerSecret = &v1alpha1.SignerSecret{Name: "shared", Combine: ptr.To(true)}
	return s
}

// entries are the names in the Secret that are no tables, and the lines of one table.
func (w *world) entries() (files, lines []string) {
	w.t.Helper()
	data := w.secret("shared").Data
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if strings.HasSuffix(name, ".pem") {
			files = append(files, name)
		}
	}
	return files, slices.Collect(strings.Lines(string(data[keys.EximFile])))
}

func (w *world) shared(files, lines []string) {
	w.t.Helper()
	gotFiles, gotLines := w.entries()
	if diff := cmp.Diff([][]string{files, lines}, [][]string{gotFiles, gotLines}); diff != "" {
		w.t.Error(diff)
	}
}

// MailDomains that all say so share a Secret: each has its own part, whatever the others do.
func TestASharedSignersSecret(t *testing.T) {
	w := newWorld(t)
	const one, two = "example.com", "two.example.com"
	fileOf := func(domain, letter string) string { return domain + "_001-20261123" + letter + ".pem" }
	lineOf := func(domain, letter string) string { return domain + ": 001-20261123" + letter + "\n" }
	ready := func(names ...string) {
		t.Helper()
		for _, name := range names {
			w.until(name, "ready", isReady)
		}
	}
	settle := func() {
		t.Helper()
		for _, name := range []string{"one", "two"} {
			w.settles(name)
		}
		before := w.secret("shared").ResourceVersion
		for _, name := range []string{"one", "two", "one", "two"} {
			w.pass(name)
		}
		if w.secret("shared").ResourceVersion != before {
			t.Error("they write over each other")
		}
	}
	w.apply("one", sharing(one))
	second := sharing(two)
	second.DKIM.SignerSecret.Template = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "b", "tier": "1"}}
	w.apply("two", second)
	w.edit("one", func(md *v1alpha1.MailDomain) {
		md.Spec.DKIM.SignerSecret.Template = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
	})
	ready("one", "two")
	settle()
	w.shared([]string{fileOf(one, "a"), fileOf(two, "a")}, []string{lineOf(one, "a"), lineOf(two, "a")})
	secret := w.secret("shared")
	if secret.Labels["team"] != "a" || secret.Labels["tier"] != "1" {
		t.Errorf("labels %v: of two templates the first counts", secret.Labels)
	}
	var managers []string
	for _, m := range secret.ManagedFields {
		if m.Operation == metav1.ManagedFieldsOperationApply {
			managers = append(managers, m.Manager)
		}
	}
	if slices.Sort(managers); !cmp.Equal([]string{"maildomain-example.com", "maildomain-two.example.com"}, managers) {
		t.Errorf("applied by %v", managers)
	}

	// A third that does not say so is in conflict, and so is one that wants another's own Secret.
	third := sharing("three.example.com")
	third.DKIM.SignerSecret.Combine = nil
	w.apply("three", third)
	w.until("three", "in conflict", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict))
	w.settles("three")
	w.edit("three", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = nil })
	ready("three")
	fourth := sharing("four.example.com")
	fourth.DKIM.SignerSecret.Name = "three-dkim"
	w.apply("four", fourth)
	w.until("four", "in conflict", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict))
	w.settles("four")
	if string(w.secret("three-dkim").Data["domain"]) != "three.example.com" {
		t.Error("another's own Secret was written")
	}

	// To take combine back, or to set it, with the name that one has, is in conflict too.
	for name, combine := range map[string]bool{"one": false, "three": true} {
		before := w.get(name).Spec.DKIM.SignerSecret
		data := w.secret(w.get(name).SignerSecretName()).Data
		w.edit(name, func(md *v1alpha1.MailDomain) {
			md.Spec.DKIM.SignerSecret = &v1alpha1.SignerSecret{Name: md.SignerSecretName(), Combine: ptr.To(combine)}
		})
		w.until(name, "in conflict", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict))
		w.settles(name)
		if diff := cmp.Diff(data, w.secret(w.get(name).SignerSecretName()).Data); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		w.edit(name, func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = before })
		ready(name)
	}

	// A key that the ledger has lost is in the domain's part.
	w.spoil("one-maildomain-ledger", "001-20261123a.pem", nil)
	w.pass("one")
	if len(w.secret("one-maildomain-ledger").Data["001-20261123a.pem"]) == 0 {
		t.Error("the key was not taken back")
	}

	// A rotation moves its own lines, also in a Secret from a backup, which has no managers.
	rotated := w.secret("shared")
	rotated.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	w.must(w.api.Update(t.Context(), rotated))
	w.edit("one", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.until("one", "rotated", func(md *v1alpha1.MailDomain) bool {
		return cmp.Equal([]string{"001-20261123a Retired", "001-20261123b Active"}, keyStates(md))
	})
	w.shared([]string{fileOf(one, "a"), fileOf(one, "b"), fileOf(two, "a")}, []string{lineOf(one, "b"), lineOf(two, "a")})
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	settle()
	w.shared([]string{fileOf(one, "b"), fileOf(two, "a")}, []string{lineOf(one, "b"), lineOf(two, "a")})

	// What was read before another one wrote is not written.
	stale, err := w.r.readSigner(t.Context(), w.get("one"), "shared")
	w.must(err)
	w.spoil("shared", fileOf(two, "x"), []byte("X"))
	err = w.r.putShare(t.Context(), &scope{md: w.get("one"), now: w.clock.Now(), book: &book{}}, stale, nil)
	if !apierrors.IsConflict(err) {
		t.Errorf("the tables were written over: %v", err)
	}
	w.spoil("shared", fileOf(two, "x"), nil)

	// One that leaves takes its part with it, in its time; the last one takes the Secret.
	leave := func(name string) {
		w.edit(name, func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = nil })
		w.pass(name)
		w.shared([]string{fileOf(one, "b"), fileOf(two, "a")}, []string{lineOf(one, "b"), lineOf(two, "a")})
		w.forward(v1alpha1.DefaultRotationRetention / 2)
		w.pass(name)
	}
	leave("two")
	w.shared([]string{fileOf(one, "b")}, []string{lineOf(one, "b")})
	if !w.told("Normal SignerSecretLeft the domain's part of Secret shared is removed") {
		t.Error("nobody was told")
	}
	w.edit("one", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = nil })
	w.pass("one")
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	w.pass("one")
	if err := w.api.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "shared"}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the shared Secret is left: %v", err)
	}
	for _, name := range []string{"one", "two"} {
		w.settles(name)
	}
}

// At 900 KiB a shared Secret takes up no further domain, before its first key signs; those that are in
// it go on to rotate.
func TestASharedSecretIsFull(t *testing.T) {
	w := newWorld(t)
	w.apply("one", sharing("example.com"))
	w.until("one", "ready", isReady)
	w.spoil("shared", "full.example_s1.pem", bytes.Repeat([]byte("x"), keys.SharedLimit-keys.SizeOf(w.secret("shared").Data)-200))
	w.apply("two", sharing("two.example.com"))
	w.until("two", "refused", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretFull))
	w.forward(time.Hour)
	w.settles("two")
	if text := message(w.get("two"), v1alpha1.ConditionDKIMReady); !strings.Contains(text, "900 KiB") || !strings.Contains(text, "name another Secret in spec.dkim.signerSecret.name") {
		t.Error(text)
	}
	if _, lines := w.entries(); len(lines) != 1 || len(w.get("two").Status.DKIM.ActiveSelectors) > 0 {
		t.Errorf("it signs: %q", lines)
	}
	w.edit("one", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.until("one", "rotated", func(md *v1alpha1.MailDomain) bool {
		return cmp.Equal([]string{"001-20261123a Retired", "001-20261123b Active"}, keyStates(md))
	})
	w.edit("two", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret.Name = "another" })
	w.until("two", "ready", isReady)
}
