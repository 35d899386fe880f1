package v1alpha1_test

import (
	"strings"
	"testing"
)

const clusterProvider = `
apiVersion: maildomain.dev/v1alpha1
kind: ClusterDNSProvider
metadata: {name: bad}
spec:
  domains: [example.com]
  cloudflare: {apiTokenSecretRef: {name: s, key: k}}
`

const cloudflare = dnsProvider + `
  domains: [example.com]
  cloudflare: {apiTokenSecretRef: {name: s, key: k}}
`

// What a tenant writes to get at the domain, the Secrets or the network of others is refused when
// it is applied, where that can be seen from the manifest alone. The attempts that can't be seen
// from it are those of TestHijackAttempts in controllers.
func TestHijackingManifestsAreRefused(t *testing.T) {
	c := newClient(t)
	domain := func(name string) string {
		return strings.Replace(mailDomain, "domain: example.com", "domain: "+name, 1)
	}
	server := func(address string) string {
		return strings.Replace(rfc2136, "server: 192.0.2.53:53", "server: "+address, 1)
	}
	for name, test := range map[string]struct {
		manifest string
		want     []string // parts of the message
	}{
		"a trailing dot makes another text of the same name": {domain("example.com."), []string{"spec.domain", "trailing dot"}},
		"two trailing dots": {domain("example.com.."), []string{"spec.domain"}},
		"upper case makes another text of the same name":         {domain("EXAMPLE.com"), []string{"spec.domain", "lower case"}},
		"a U-label stands for an A-label":                        {domain("bücher.example.com"), []string{"spec.domain", "A-labels"}},
		"a full-width dot":                                       {domain("mail．example.com"), []string{"spec.domain", "A-labels"}},
		"a wildcard means all names below":                       {domain(`"*.example.com"`), []string{"spec.domain", "letters, digits"}},
		"a whole top-level domain":                               {domain("com"), []string{"spec.domain", "two or more labels"}},
		"the root":                                               {domain(`"."`), []string{"spec.domain"}},
		"an escaped dot makes one label of two":                  {domain(`"evil\\.example.com"`), []string{"spec.domain", "letters, digits"}},
		"an escaped octet":                                       {domain(`"ex\\097mple.com"`), []string{"spec.domain", "letters, digits"}},
		"a NUL cuts the name short":                              {domain(`"example.com\0.evil.com"`), []string{"spec.domain"}},
		"a line end hides the rest":                              {domain(`"evil.com\nexample.com"`), []string{"spec.domain", "letters, digits"}},
		"the place of another's policy record":                   {domain("_mta-sts.example.com"), []string{"spec.domain", "letters, digits"}},
		"the place of another's keys":                            {domain("_domainkey.example.com"), []string{"spec.domain", "letters, digits"}},
		"the zone of another domain":                             {mailDomain + "  dns: {zone: example.net}\n", []string{"spec.dns.zone", "parent"}},
		"the zone of a domain with the same ending":              {domain("evil-example.com") + "  dns: {zone: example.com}\n", []string{"spec.dns.zone", "parent"}},
		"the root zone":                                          {mailDomain + "  dns: {zone: \".\"}\n", []string{"spec.dns.zone"}},
		"own name servers without a provider":                    {mailDomain + "  dns: {nameservers: [\"192.0.2.53\"]}\n", []string{"spec.dns.nameservers", "unknown field"}},
		"a provider of another namespace":                        {mailDomain + "  dns: {providerRef: {kind: DNSProvider, name: dns, namespace: victim}}\n", []string{"providerRef.namespace", "unknown field"}},
		"a provider of another namespace in its name":            {mailDomain + "  dns: {providerRef: {kind: DNSProvider, name: victim/dns}}\n", []string{"spec.dns.providerRef.name", "lower-case"}},
		"a selector that leaves the domain":                      {mailDomain + "  dkim: {selector: x._domainkey.example.net}\n", []string{"spec.dkim.selector", "one DNS label"}},
		"an external selector that leaves the domain":            {mailDomain + "  dkim: {external: [{selector: \"x._domainkey.example.net.\", txt: \"p=AAAA\"}]}\n", []string{"spec.dkim.external", "without ._domainkey"}},
		"a signer's Secret of another namespace":                 {mailDomain + "  dkim: {signerSecret: {name: s, namespace: victim}}\n", []string{"signerSecret.namespace", "unknown field"}},
		"a signer's Secret of another namespace in its name":     {mailDomain + "  dkim: {signerSecret: {name: victim/s}}\n", []string{"spec.dkim.signerSecret.name", "lower-case"}},
		"a signer's Secret above its namespace":                  {mailDomain + "  dkim: {signerSecret: {name: ../victim/s}}\n", []string{"spec.dkim.signerSecret.name", "lower-case"}},
		"another's ledger as the signer's Secret":                {mailDomain + "  dkim: {signerSecret: {name: other-maildomain-ledger}}\n", []string{"spec.dkim.signerSecret.name", "choose another one"}},
		"a signer's Secret that says that it is another's":       {mailDomain + "  dkim: {signerSecret: {template: {annotations: {maildomain.dev/owner: victim/mail/example.com}}}}\n", []string{"annotations", "leave out maildomain.dev/"}},
		"a signer's Secret that says that it is a site":          {mailDomain + "  dkim: {signerSecret: {template: {labels: {maildomain.dev/site: \"true\"}}}}\n", []string{"labels", "leave out maildomain.dev/"}},
		"an imported key of another namespace":                   {mailDomain + "  dkim: {keys: [{name: a, import: {secretName: victim/s, key: k, selector: s1}}]}\n", []string{"import.secretName", "lower-case"}},
		"an imported key outside its Secret":                     {mailDomain + "  dkim: {keys: [{name: a, import: {secretName: s, key: ../../token, selector: s1}}]}\n", []string{"import.key", "must be letters"}},
		"a certificate of another namespace":                     {mailDomain + "  mtaSTS: {mode: testing, tls: {secretName: s, namespace: victim}}\n", []string{"tls.namespace", "unknown field"}},
		"a certificate of another namespace in its name":         {mailDomain + "  mtaSTS: {mode: testing, tls: {secretName: ../victim/s}}\n", []string{"spec.mtaSTS.tls.secretName", "lower-case"}},
		"a credential of another namespace":                      {strings.Replace(cloudflare, "key: k", "key: k, namespace: victim", 1), []string{"apiTokenSecretRef.namespace", "unknown field"}},
		"a credential of another namespace in its name":          {strings.Replace(cloudflare, "name: s,", "name: victim/s,", 1), []string{"apiTokenSecretRef.name", "lower-case"}},
		"a credential above its namespace":                       {strings.Replace(cloudflare, "name: s,", "name: ../victim/s,", 1), []string{"apiTokenSecretRef.name", "lower-case"}},
		"a credential in an encoded path":                        {strings.Replace(cloudflare, "name: s,", "name: ..%2fvictim%2fs,", 1), []string{"apiTokenSecretRef.name", "lower-case"}},
		"a credential outside its Secret":                        {strings.Replace(cloudflare, "key: k", "key: ../../token", 1), []string{"apiTokenSecretRef.key", "must be letters"}},
		"a provider for a whole top-level domain":                {strings.Replace(cloudflare, "[example.com]", "[com]", 1), []string{"spec.domains", "two or more labels"}},
		"a provider for all names":                               {strings.Replace(cloudflare, "[example.com]", `["*"]`, 1), []string{"spec.domains", "wildcard"}},
		"a provider for a wildcard":                              {strings.Replace(cloudflare, "[example.com]", `["*.example.com"]`, 1), []string{"spec.domains", "wildcard"}},
		"a provider for an ending that is no label":              {strings.Replace(cloudflare, "[example.com]", "[.example.com]", 1), []string{"spec.domains", "lower-case A-labels"}},
		"a grant for a whole top-level domain":                   {clusterProvider + "  grants: [{namespaceSelector: {}, domains: [com]}]\n", []string{"domains", "two or more labels"}},
		"a grant for a wildcard":                                 {clusterProvider + "  grants: [{namespaceSelector: {}, domains: [\"*.com\"]}]\n", []string{"domains", "wildcard"}},
		"a grant for no namespace in particular, left out":       {clusterProvider + "  grants: [{domains: [example.com]}]\n", []string{"namespaceSelector", "Required"}},
		"an endpoint with a user, so that it looks like another": {cloudflare + "  endpoint: https://api.cloudflare.com@169.254.169.254/\n", []string{"spec.endpoint", "https"}},
		"an endpoint at the metadata server over plain HTTP":     {cloudflare + "  endpoint: http://169.254.169.254/latest/meta-data\n", []string{"spec.endpoint", "plain http"}},
		"an endpoint whose name begins like loopback":            {cloudflare + "  endpoint: http://127.0.0.1.example.net/\n", []string{"spec.endpoint", "plain http"}},
		"an endpoint whose name begins like localhost":           {cloudflare + "  endpoint: http://localhost.example.net/\n", []string{"spec.endpoint", "plain http"}},
		"an endpoint that is a file":                             {cloudflare + "  endpoint: file:///var/run/secrets/kubernetes.io/serviceaccount/token\n", []string{"spec.endpoint", "https"}},
		"an endpoint that is a socket":                           {cloudflare + "  endpoint: unix:///run/containerd/containerd.sock\n", []string{"spec.endpoint", "https"}},
		"a server that is a socket":                              {server("/run/named.sock:53"), []string{"spec.rfc2136.server", "host:port"}},
		"a server in a network of one interface":                 {server(`"[fe80::1%eth0]:53"`), []string{"spec.rfc2136.server", "host:port"}},
		"a name server in a network of one interface":            {rfc2136 + "  nameservers: [\"fe80::1%eth0\"]\n", []string{"spec.nameservers", "host:port"}},
	} {
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
