package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// A record that is already there is shown beside ours and left alone, until the user has it adopted:
// then exactly that one is replaced. A second one is nobody's to adopt. (For DKIM, see the import of
// keys.)
func TestAdoption(t *testing.T) {
	w := newWorld(t)
	const other = "somebody's text"
	theirs := map[string]string{
		"example.com":            "v=spf1 a ~all",
		"_dmarc.example.com":     "v=DMARC1; p=quarantine",
		"_smtp._tls.example.com": "v=TLSRPTv1; rua=mailto:theirs@example.net",
		"_mta-sts.example.com":   "v=STSv1; id=theirs",
	}
	stands := func(name, when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(w.dns.TXT(name)))); diff != "" {
			t.Errorf("%s %s: %s", name, when, diff)
		}
	}
	sections := map[string]string{
		"example.com": v1alpha1.ConditionSPFReady, "_dmarc.example.com": v1alpha1.ConditionDMARCReady,
		"_smtp._tls.example.com": v1alpha1.ConditionTLSRPTReady, "_mta-sts.example.com": v1alpha1.ConditionMTASTSReady,
	}
	for name, text := range theirs {
		w.must(w.dns.SetTXT(name, text, other))
	}
	s := spec()
	s.DKIM.Keys = s.DKIM.Keys[1:]
	s.DMARC.Enforcement = v1alpha1.EnforceImmediate // SPF is in conflict, and DMARC would wait for it
	w.apply("example-com", s)
	w.until("example-com", "in conflict everywhere", func(md *v1alpha1.MailDomain) bool {
		for _, kind := range sections {
			if !hasReason(kind, v1alpha1.ReasonRecordConflict)(md) {
				return false
			}
		}
		return meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionDKIMReady)
	})
	w.settles("example-com")
	ours := map[string]string{}
	for name, kind := range sections {
		text := message(w.get("example-com"), kind)
		_, after, _ := strings.Cut(text, ": wanted ")
		if _, err := fmt.Sscanf(after, "%q", new(string)); err != nil || !strings.Contains(text, fmt.Sprintf("%q", theirs[name])) || !strings.Contains(text, "conflictPolicy: Adopt") || strings.Contains(text, other) {
			t.Errorf("%s: %s", name, text)
		}
		want := ""
		_, _ = fmt.Sscanf(after, "%q", &want)
		ours[name] = want
		stands(name, "in conflict", theirs[name], other)
	}

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt })
	w.until("example-com", "ready", isReady)
	for name := range theirs {
		stands(name, "after the adoption", ours[name], other)
	}

	// Somebody adds a second one: neither that nor ours is touched.
	for name, text := range theirs {
		w.must(w.dns.SetTXT(name, ours[name], other, text))
	}
	w.until("example-com", "in conflict again", hasReason(v1alpha1.ConditionSPFReady, v1alpha1.ReasonRecordConflict))
	w.settles("example-com")
	for name, text := range theirs {
		stands(name, "after a second one", ours[name], other, text)
	}
}
