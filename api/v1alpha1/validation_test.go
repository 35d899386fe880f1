package v1alpha1_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

const mailDomain = `
apiVersion: maildomain.dev/v1alpha1
kind: MailDomain
metadata: {name: bad, namespace: default}
spec:
  domain: example.com
`

const dnsProvider = `
apiVersion: maildomain.dev/v1alpha1
kind: DNSProvider
metadata: {name: bad, namespace: default}
spec:
`

const rfc2136 = dnsProvider + `
  domains: [example.com]
  rfc2136:
    server: 192.0.2.53:53
    tsig: {keyName: key, secretRef: {name: s, key: k}}
`

// Each manifest is refused when it is applied, with a message that names the field and says
// what would be right. Lines are added to spec.
func TestBadManifests(t *testing.T) {
	c := newClient(t)
	tests := map[string]struct {
		manifest string
		want     []string // parts of the message
	}{
		"domain: missing":              {strings.Replace(mailDomain, "domain: example.com", "suspend: true", 1), []string{"spec.domain", "Required"}},
		"domain: trailing dot":         {strings.Replace(mailDomain, "example.com", "example.com.", 1), []string{"spec.domain", "without the trailing dot"}},
		"domain: upper case":           {strings.Replace(mailDomain, "example.com", "Example.com", 1), []string{"spec.domain", "lower case"}},
		"domain: not ASCII":            {strings.Replace(mailDomain, "example.com", "bücher.example", 1), []string{"spec.domain", "A-labels"}},
		"domain: one label":            {strings.Replace(mailDomain, "example.com", "localhost", 1), []string{"spec.domain", "two or more labels"}},
		"domain: wildcard":             {strings.Replace(mailDomain, "example.com", `"*.example.com"`, 1), []string{"spec.domain", "letters, digits"}},
		"domain: too long":             {strings.Replace(mailDomain, "example.com", strings.Repeat("a.", 90)+"com", 1), []string{"spec.domain", "178"}},
		"name: too long":               {strings.Replace(mailDomain, "name: bad", "name: "+strings.Repeat("a", 201), 1), []string{"metadata.name", "shorter name"}},
		"mode: unknown":                {mailDomain + "  mode: Audit\n", []string{"spec.mode", `"Enforce"`, `"Observe"`}},
		"suspend: not a boolean":       {mailDomain + "  suspend: \"yes\"\n", []string{"spec.suspend", "boolean"}},
		"zone: of another domain":      {mailDomain + "  dns: {zone: example.net}\n", []string{"spec.dns.zone", "parent"}},
		"zone: half a label":           {mailDomain + "  dns: {zone: ample.com}\n", []string{"spec.dns.zone", "parent"}},
		"ttl: too short":               {mailDomain + "  dns: {ttl: 5s}\n", []string{"spec.dns.ttl", "1m to 24h"}},
		"ttl: fractions":               {mailDomain + "  dns: {ttl: 1.5h}\n", []string{"spec.dns.ttl", "whole hours"}},
		"conflictPolicy: unknown":      {mailDomain + "  dns: {conflictPolicy: Overwrite}\n", []string{"spec.dns.conflictPolicy", `"Adopt"`}},
		"deletionPolicy: unknown":      {mailDomain + "  dns: {deletionPolicy: Orphan}\n", []string{"spec.dns.deletionPolicy", `"Retain"`}},
		"providerRef: unknown kind":    {mailDomain + "  dns: {providerRef: {kind: Issuer, name: x}}\n", []string{"spec.dns.providerRef.kind", `"DNSProvider"`}},
		"providerRef: bad name":        {mailDomain + "  dns: {providerRef: {kind: DNSProvider, name: A_B}}\n", []string{"spec.dns.providerRef.name", "lower-case"}},
		"spf: all and redirect":        {mailDomain + "  spf: {all: fail, redirect: _spf.example.net}\n", []string{"spec.spf", "exactly one of all and redirect"}},
		"spf: neither":                 {mailDomain + "  spf: {mechanisms: [mx]}\n", []string{"spec.spf", "exactly one of all and redirect"}},
		"spf: all as a mechanism":      {mailDomain + "  spf: {mechanisms: [\"-all\"], all: fail}\n", []string{"spec.spf.mechanisms", "spec.spf.all"}},
		"spf: redirect as a mechanism": {mailDomain + "  spf: {mechanisms: [\"redirect=a.b\"], all: fail}\n", []string{"spec.spf.mechanisms", "spec.spf.redirect"}},
		"spf: whole record":            {mailDomain + "  spf: {mechanisms: [\"v=spf1 mx\"], all: fail}\n", []string{"spec.spf.mechanisms", "without v=spf1"}},
		"spf: bad IPv4":                {mailDomain + "  spf: {mechanisms: [\"ip4:192.0.2.256\"], all: fail}\n", []string{"spec.spf.mechanisms", "ip4:192.0.2.0/24"}},
		"spf: bad prefix":              {mailDomain + "  spf: {mechanisms: [\"ip4:192.0.2.0/33\"], all: fail}\n", []string{"spec.spf.mechanisms", "ip4:192.0.2.0/24"}},
		"spf: IPv4 in ip6":             {mailDomain + "  spf: {mechanisms: [\"ip6:192.0.2.1\"], all: fail}\n", []string{"spec.spf.mechanisms", "ip6:2001:db8::/32"}},
		"spf: include with a prefix":   {mailDomain + "  spf: {mechanisms: [\"include:example.net/24\"], all: fail}\n", []string{"spec.spf.mechanisms", "only ip4, ip6, a and mx"}},
		"spf: include of nothing":      {mailDomain + "  spf: {mechanisms: [\"include:\"], all: fail}\n", []string{"spec.spf.mechanisms", "one SPF mechanism"}},
		"spf: eleven lookups":          {mailDomain + "  spf: {mechanisms: [a, mx, \"a:a.se\", \"a:b.se\", \"a:c.se\", \"a:d.se\", \"a:e.se\", \"a:f.se\", \"a:g.se\", \"a:h.se\", \"a:i.se\"], all: fail}\n", []string{"spec.spf", "at most 10"}},
		"spf: unknown qualifier":       {mailDomain + "  spf: {all: hardfail}\n", []string{"spec.spf.all", `"softfail"`}},
		"dkim: stem with a dot":        {mailDomain + "  dkim: {selector: a.b}\n", []string{"spec.dkim.selector", "one DNS label"}},
		"dkim: nothing signs":          {mailDomain + "  dkim: {keys: []}\n", []string{"spec.dkim.keys", "nothing would sign"}},
		"dkim: short key":              {mailDomain + "  dkim: {keys: [{name: rsa, bits: 1024}]}\n", []string{"spec.dkim.keys", "2048, 3072 or 4096"}},
		"dkim: bits of ed25519":        {mailDomain + "  dkim: {keys: [{name: ed, algorithm: ed25519, bits: 2048}]}\n", []string{"spec.dkim.keys", "whose size is fixed"}},
		"dkim: two keys of one name":   {mailDomain + "  dkim: {keys: [{name: rsa}, {name: rsa}]}\n", []string{"spec.dkim.keys", "Duplicate"}},
		"dkim: unknown algorithm":      {mailDomain + "  dkim: {keys: [{name: a, algorithm: dsa}]}\n", []string{"spec.dkim.keys", `"ed25519"`}},
		"dkim: import and bits":        {mailDomain + "  dkim: {keys: [{name: a, bits: 2048, import: {secretName: s, key: k, selector: s1}}]}\n", []string{"spec.dkim.keys", "leave algorithm and bits out"}},
		"dkim: interval in days":       {mailDomain + "  dkim: {rotation: {interval: 180d}}\n", []string{"spec.dkim.rotation.interval", "4320h"}},
		"dkim: no retention":           {mailDomain + "  dkim: {rotation: {retention: 0s}}\n", []string{"spec.dkim.rotation.retention", "1s to 8760h"}},
		"dkim: combined, no name":      {mailDomain + "  dkim: {signerSecret: {combine: true}}\n", []string{"spec.dkim.signerSecret", "signerSecret.name"}},
		"dkim: the ledger's Secret":    {mailDomain + "  dkim: {signerSecret: {name: example-com-maildomain-ledger}}\n", []string{"spec.dkim.signerSecret.name", "choose another one"}},
		"dkim: two kinds of external":  {mailDomain + "  dkim: {external: [{selector: s1, txt: \"p=AAAA\", cname: a.b}]}\n", []string{"spec.dkim.external", "exactly one of"}},
		"dkim: external, no kind":      {mailDomain + "  dkim: {external: [{selector: s1}]}\n", []string{"spec.dkim.external", "exactly one of"}},
		"dkim: private key in DNS":     {mailDomain + "  dkim: {external: [{selector: s1, txt: \"p=-----BEGIN PRIVATE KEY\"}]}\n", []string{"spec.dkim.external", "the public key"}},
		"dmarc: no policy":             {mailDomain + "  dmarc: {rua: [\"mailto:a@example.com\"]}\n", []string{"spec.dmarc.policy", "Required"}},
		"dmarc: unknown policy":        {mailDomain + "  dmarc: {policy: monitor}\n", []string{"spec.dmarc.policy", `"quarantine"`}},
		"dmarc: address, not URI":      {mailDomain + "  dmarc: {policy: none, rua: [dmarc@example.com]}\n", []string{"spec.dmarc.rua", "mailto:dmarc@example.com"}},
		"dmarc: 0 and 1":               {mailDomain + "  dmarc: {policy: none, failureOptions: [\"0\", \"1\"]}\n", []string{"spec.dmarc.failureOptions", "exclude each other"}},
		"dmarc: pct":                   {mailDomain + "  dmarc: {policy: none, legacy: {pct: 101}}\n", []string{"spec.dmarc.legacy.pct", "100"}},
		"mtaSTS: no mode":              {mailDomain + "  mtaSTS: {mx: [mx1.example.com]}\n", []string{"spec.mtaSTS.mode", "Required"}},
		"mtaSTS: enforce, no mx":       {mailDomain + "  mtaSTS: {mode: enforce}\n", []string{"spec.mtaSTS.mx", "would stop all mail"}},
		"mtaSTS: too long":             {mailDomain + "  mtaSTS: {mode: testing, maxAge: 9000h}\n", []string{"spec.mtaSTS.maxAge", "8766h"}},
		"mtaSTS: inner wildcard":       {mailDomain + "  mtaSTS: {mode: testing, mx: [\"mx.*.example.com\"]}\n", []string{"spec.mtaSTS.mx", "*.example.com"}},
		"mtaSTS: external with TLS":    {mailDomain + "  mtaSTS: {mode: testing, hosting: External, tls: {secretName: s}}\n", []string{"spec.mtaSTS.hosting", "leave both out"}},
		"mtaSTS: A without address":    {mailDomain + "  mtaSTS: {mode: testing, address: {type: A}}\n", []string{"spec.mtaSTS.address", "192.0.2.80"}},
		"mtaSTS: CNAME to an address":  {mailDomain + "  mtaSTS: {mode: testing, address: {type: CNAME, values: [\"192.0.2.80\"]}}\n", []string{"spec.mtaSTS.address", "one host name"}},
		"tlsRPT: nowhere":              {mailDomain + "  tlsRPT: {rua: []}\n", []string{"spec.tlsRPT.rua", "at least 1"}},
		"tlsRPT: plain http":           {mailDomain + "  tlsRPT: {rua: [\"http://example.com/r\"]}\n", []string{"spec.tlsRPT.rua", "https:"}},
		"compliance: unknown":          {mailDomain + "  compliance: {baselines: [ISO27001]}\n", []string{"spec.compliance.baselines", `"GoogleYahooBulkSender"`}},
		"unknown field":                {mailDomain + "  spff: {all: fail}\n", []string{"spec.spff", "unknown field"}},
		"provider: none":               {dnsProvider + "  domains: [example.com]\n", []string{"spec", "exactly one of cloudflare, route53, rfc2136 and desec"}},
		"provider: two":                {rfc2136 + "  cloudflare: {apiTokenSecretRef: {name: s, key: k}}\n", []string{"spec", "exactly one of"}},
		"provider: no domains":         {strings.Replace(rfc2136, "domains: [example.com]", "domains: []", 1), []string{"spec.domains", "at least 1"}},
		"provider: one label":          {strings.Replace(rfc2136, "[example.com]", "[com]", 1), []string{"spec.domains", "two or more labels"}},
		"provider: no port":            {strings.Replace(rfc2136, ":53", "", 1), []string{"spec.rfc2136.server", "host:port"}},
		"provider: port 0":             {strings.Replace(rfc2136, ":53", ":0", 1), []string{"spec.rfc2136.server", "1 to 65535"}},
		"provider: weak TSIG":          {strings.Replace(rfc2136, "keyName: key", "keyName: key, algorithm: hmac-md5", 1), []string{"spec.rfc2136.tsig.algorithm", `"hmac-sha256"`}},
		"provider: no Secret key":      {strings.Replace(rfc2136, ", key: k", "", 1), []string{"spec.rfc2136.tsig.secretRef.key", "Required"}},
		"provider: namespace":          {strings.Replace(rfc2136, "key: k}", "key: k, namespace: kube-system}", 1), []string{"secretRef.namespace", "unknown field"}},
		"provider: endpoint":           {rfc2136 + "  endpoint: https://api.example.com\n", []string{"spec.endpoint", "rfc2136"}},
		"provider: desec elsewhere":    {strings.Split(rfc2136, "  rfc2136:")[0] + "  desec: {tokenSecretRef: {name: s, key: k}}\n  endpoint: https://example.com/\n", []string{"spec.endpoint", "desec"}},
		"provider: desec, no token":    {strings.Split(rfc2136, "  rfc2136:")[0] + "  desec: {}\n", []string{"spec.desec.tokenSecretRef", "Required"}},
		"provider: plain http":         {strings.Split(rfc2136, "  rfc2136:")[0] + "  cloudflare: {apiTokenSecretRef: {name: s, key: k}}\n  endpoint: http://192.0.2.1/\n", []string{"spec.endpoint", "https"}},
		"provider: half a credential":  {strings.Split(rfc2136, "  rfc2136:")[0] + "  route53: {accessKeyIDSecretRef: {name: s, key: k}}\n", []string{"spec.route53", "both of"}},
		"provider: no role":            {strings.Split(rfc2136, "  rfc2136:")[0] + "  route53: {roleARN: \"arn:aws:iam::123456789012:user/dns\"}\n", []string{"spec.route53.roleARN", "arn:aws:iam::123456789012:role/dns"}},
		"provider: external id, alone": {strings.Split(rfc2136, "  rfc2136:")[0] + "  route53: {externalID: told}\n", []string{"spec.route53.externalID", "add roleARN"}},
		"provider: external id":        {strings.Split(rfc2136, "  rfc2136:")[0] + "  route53: {roleARN: \"arn:aws:iam::123456789012:role/dns\", externalID: \"to ld\"}\n", []string{"spec.route53.externalID", "letters, digits"}},
		"provider: nameserver port":    {rfc2136 + "  nameservers: [\"ns1.example.com:99999\"]\n", []string{"spec.nameservers", "host:port"}},
		"provider: rate":               {rfc2136 + "  rateLimit: {requestsPerMinute: 0}\n", []string{"spec.rateLimit.requestsPerMinute"}},
		"provider: rate of rfc2136":    {rfc2136 + "  rateLimit: {requestsPerMinute: 60}\n", []string{"spec.rateLimit", "rfc2136", "leave rateLimit out"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := apply(t, c, []byte(test.manifest))
			if err == nil {
				t.Fatal("the API server takes it")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestDomainCannotChange(t *testing.T) {
	c := newClient(t)
	manifest := strings.Replace(mailDomain, "name: bad", "name: moves", 1)
	if err := create(t, c, []byte(manifest)); err != nil {
		t.Fatal(err)
	}
	object := decode(t, []byte(manifest))[0]
	patch := []byte(`{"spec": {"domain": "example.net"}}`)
	err := c.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", patch))
	if err == nil || !strings.Contains(err.Error(), "spec.domain can't be changed") {
		t.Errorf("got %v", err)
	}
}

// Every sample is taken, and nothing is added to its spec: the CRDs hold no defaults for that. Its status says that
// nobody has looked yet, as kstatus takes an object without a status for one that is as it should be.
func TestSamples(t *testing.T) {
	c := newClient(t)
	files, err := filepath.Glob(filepath.Join(envtest.Root(), "config", "samples", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, pass := range []string{"namespace.yaml", ""} { // the namespace first
		for _, file := range files {
			if base := filepath.Base(file); base == "kustomization.yaml" || (base == "namespace.yaml") != (pass == "namespace.yaml") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range decode(t, content) {
				spec := object.DeepCopy().Object["spec"]
				if err := c.Create(t.Context(), object, client.FieldValidation("Strict")); err != nil {
					t.Errorf("%s: %v", filepath.Base(file), err)
					continue
				}
				if stored := object.Object["spec"]; object.GroupVersionKind().Group == "maildomain.dev" && !equalJSON(t, spec, stored) {
					t.Errorf("%s: the API server changed the spec of %s", filepath.Base(file), object.GetName())
				}
				if got, err := status.Compute(object); object.GroupVersionKind().Group == "maildomain.dev" && (err != nil || got.Status != status.InProgressStatus) {
					t.Errorf("%s: before anybody has looked kstatus says %+v (%v)", filepath.Base(file), got, err)
				}
			}
		}
	}
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, errX := (&unstructured.Unstructured{Object: map[string]any{"kind": "x", "spec": a}}).MarshalJSON()
	y, errY := (&unstructured.Unstructured{Object: map[string]any{"kind": "x", "spec": b}}).MarshalJSON()
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	return bytes.Equal(x, y)
}

// apply creates without a trace what the API server takes.
func apply(t *testing.T, c client.Client, manifest []byte) error {
	t.Helper()
	return create(t, c, manifest, client.DryRunAll)
}

func create(t *testing.T, c client.Client, manifest []byte, options ...client.CreateOption) error {
	t.Helper()
	var all []error
	for _, object := range decode(t, manifest) {
		all = append(all, c.Create(t.Context(), object, append(options, client.FieldValidation("Strict"))...))
	}
	return errors.Join(all...)
}

func decode(t *testing.T, manifest []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, manifest)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
