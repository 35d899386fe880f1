package v1alpha1_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

// A default that moves changes what running MailDomains do: it must not happen unseen.
func TestDefaults(t *testing.T) {
	var (
		spec     v1alpha1.MailDomainSpec
		dkim     = &v1alpha1.DKIMSpec{}
		key      v1alpha1.DKIMKey
		mtasts   *v1alpha1.MTASTSSpec
		rotation *v1alpha1.DKIMRotation
		named    = &v1alpha1.MailDomain{}
		got      strings.Builder
	)
	named.Name = "example-com"
	line := func(field string, value any) { fmt.Fprintf(&got, "%s: %v\n", field, value) }
	line("spec.mode", spec.ModeOrDefault())
	line("spec.suspend", spec.Suspended())
	line("spec.dns.providerRef", map[bool]string{true: "manual"}[spec.Manual()])
	line("spec.dns.ttl", spec.DNS.TTLOrDefault())
	line("spec.dns.conflictPolicy", spec.DNS.ConflictPolicyOrDefault())
	line("spec.dns.deletionPolicy", spec.DNS.DeletionPolicyOrDefault())
	line("spec.dkim.selector", dkim.SelectorOrDefault())
	for _, k := range dkim.KeysOrDefault() {
		line("spec.dkim.keys[]", fmt.Sprint(k.Name, " ", k.AlgorithmOrDefault(), " ", k.BitsOrDefault()))
	}
	line("spec.dkim.keys[].algorithm", key.AlgorithmOrDefault())
	line("spec.dkim.keys[].bits", key.BitsOrDefault())
	line("spec.dkim.rotation.interval", rotation.IntervalOrDefault())
	line("spec.dkim.rotation.retention", rotation.RetentionOrDefault())
	line("spec.dkim.rotation.paused", rotation.IsPaused())
	line("spec.dkim.rotation.confirm", rotation.ConfirmOrDefault())
	line("spec.dkim.signerSecret.name", named.SignerSecretName())
	line("spec.dkim.signerSecret.combine", dkim.SignerSecret.Combined())
	line("spec.dmarc.enforcement", spec.DMARC.EnforcementOrDefault())
	line("spec.mtaSTS.maxAge", mtasts.MaxAgeOrDefault())
	line("spec.mtaSTS.hosting", mtasts.HostingOrDefault())
	line("spec.mtaSTS.address.type", mtasts.AddressTypeOrDefault())
	line("spec.mtaSTS.tls.secretName", named.TLSSecretName())
	line("spec.rfc2136.tsig.algorithm", (*v1alpha1.TSIGKey)(nil).AlgorithmOrDefault())
	line("spec.route53.region", (*v1alpha1.Route53Provider)(nil).RegionOrDefault())
	line("spec.rateLimit.burst", (*v1alpha1.RateLimit)(nil).BurstOrDefault())

	const golden = "testdata/defaults.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if empty := (&v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{}}).KeysOrDefault(); len(empty) != 0 {
		t.Errorf("an empty list of keys became %v", empty)
	}
}
