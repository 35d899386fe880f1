package upgrade

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// shapes are what a domain can look like when an upgrade comes, by the name of the snapshot.
var shapes = map[string]func(*world){
	"everything":       everything,
	"defaults":         defaults,
	"manual":           manual,
	"external-hosting": externalHosting,
	"rotation-waiting": rotationWaiting,
	"rotation-retired": rotationRetired,
	"shared-secret":    sharedSecret,
	"imported-key":     importedKey,
	"withdrawal":       withdrawal,
	"deleted":          deleted,
}

const provider = `
apiVersion: maildomain.dev/v1alpha1
kind: DNSProvider
metadata: {name: dns}
spec:
  domains: [example.com]
  rfc2136: {server: "NAMESERVER", tsig: {keyName: maildomain., secretRef: {name: tsig, key: secret}}}
`

const clusterProvider = `
apiVersion: maildomain.dev/v1alpha1
kind: ClusterDNSProvider
metadata: {name: upgrade}
spec:
  domains: [example.com]
  grants: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: upgrade-mail}}, domains: [example.com]}]
  rfc2136: {server: "NAMESERVER", tsig: {keyName: maildomain., secretRef: {name: tsig, key: secret}}}
`

// head is the beginning of a MailDomain; what follows is more of its spec.
const head = `
apiVersion: maildomain.dev/v1alpha1
kind: MailDomain
metadata: {name: example-com}
spec:
  domain: example.com
`

const throughProvider = head + `
  dns: {providerRef: {kind: DNSProvider, name: dns}}
`

// prepare makes what is there before the operator: a zone with somebody else's records, the credentials of its
// provider, and the certificate of the policy host.
func (w *world) prepare() {
	w.t.Helper()
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com."))
	w.must(w.dns.SetTXT("example.com", "a text of somebody else"))
	w.must(w.dns.Set("mx1.example.com", "A", "127.0.0.1"))
	w.must(w.dns.Set("mta-sts.example.com", "A", "127.0.0.1"))
	w.must(w.dns.SetTXT("spf.google.example", "v=spf1 ip4:198.51.100.0/24 -all"))
	w.must(w.dns.SetTXT("google._domainkey.example.com", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="))
	for _, namespace := range []string{mailNamespace, systemNamespace} {
		w.create(namespace, "tsig", corev1.SecretTypeOpaque, map[string]string{"secret": tsigSecret})
	}
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	w.must(err)
	w.create(mailNamespace, "mta-sts-example-com", corev1.SecretTypeTLS, map[string]string{corev1.TLSCertKey: string(cert), corev1.TLSPrivateKeyKey: string(key)})
	w.certify()
	w.apply(provider)
}

func (w *world) create(namespace, name string, kind corev1.SecretType, data map[string]string) {
	w.t.Helper()
	w.must(w.api.Create(w.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: kind, StringData: data}))
}

func (w *world) applyAndWait(domain string) {
	w.t.Helper()
	w.prepare()
	w.apply(domain)
	w.until("ready", 10*time.Minute, w.ready)
}

// Every section, and what it can have, in a user's own spelling of durations and order of values.
func everything(w *world) {
	w.applyAndWait(head + `
  dns: {providerRef: {kind: DNSProvider, name: dns}, zone: example.com, ttl: 90m, deletionPolicy: Delete}
  spf: {mechanisms: ["ip4:192.0.2.0/24", "~ip4:192.0.2.9", mx, "a:mx1.example.com/32", "include:spf.google.example"], all: softfail}
  dkim:
    selector: mail
    keys: [{name: rsa, algorithm: rsa, bits: 2048}, {name: ed, algorithm: ed25519}]
    rotation: {interval: 4320h, retention: 168h, confirm: Automatic}
    signerSecret: {name: signing, template: {labels: {app: mta}, annotations: {note: "of the mail team"}}}
    external: [{selector: google, verifyOnly: true}]
  dmarc:
    policy: quarantine
    subdomainPolicy: reject
    nonexistentSubdomainPolicy: reject
    dkimAlignment: strict
    spfAlignment: relaxed
    rua: ["mailto:z@example.com", "mailto:a@example.com"]
    ruf: ["mailto:ruf@example.com"]
    failureOptions: ["1", d]
    legacy: {pct: 100, rf: afrf, ri: 86400}
  mtaSTS: {mode: enforce, maxAge: 720h, mx: [mx1.example.com], address: {type: A, values: [127.0.0.1]}, tls: {secretName: mta-sts-example-com}}
  tlsRPT: {rua: ["mailto:tls@example.com", "https://reports.example.com/v1/tls"]}
`)
}

// Sections with as little in them as can be: a default that moves shows here.
func defaults(w *world) {
	w.applyAndWait(throughProvider + `
  spf: {mechanisms: [mx], all: fail}
  dkim: {}
  dmarc: {policy: reject}
  mtaSTS: {mode: testing}
  tlsRPT: {rua: ["mailto:tls@example.com"]}
`)
}

// Nobody writes but a human, who has not got far.
func manual(w *world) {
	w.prepare()
	w.apply(head + `
  spf: {mechanisms: [mx], all: fail}
  dkim: {keys: [{name: ed, algorithm: ed25519}]}
  dmarc: {policy: none}
`)
	w.until("planned", time.Minute, func() bool { return len(w.domain().Status.Plan) > 0 })
}

// A third party serves the policy, and has it announced.
func externalHosting(w *world) {
	w.prepare()
	w.must(w.dns.SetTXT("_mta-sts.example.com", "v=STSv1; id=20261101"))
	w.serveThirdParty("version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmax_age: 1209600\r\n")
	w.apply(throughProvider + `
  mtaSTS: {mode: enforce, hosting: External, mx: [mx1.example.com]}
  tlsRPT: {rua: ["mailto:tls@example.com"]}
`)
	w.until("ready", time.Minute, w.ready)
}

const rotating = throughProvider + `
  spf: {mechanisms: [mx], all: fail}
  dkim: {keys: [{name: ed, algorithm: ed25519}, {name: rsa}], rotation: {interval: 2160h, retention: 240h}}
`

// New keys are published, and wait for caches of their absence; the old ones sign.
func rotationWaiting(w *world) {
	w.applyAndWait(rotating)
	w.patch(`{"metadata": {"annotations": {"maildomain.dev/rotate": "now"}}}`)
	w.until("waiting", time.Second, func() bool {
		return strings.Count(w.states(), "Active") == 2 && strings.Count(w.states(), "Published") == 2
	})
}

// The new keys sign, and the old ones wait for mail that is under way.
func rotationRetired(w *world) {
	rotationWaiting(w)
	w.until("switched", 10*time.Minute, func() bool {
		return strings.Count(w.states(), "Active") == 2 && strings.Count(w.states(), "Retired") == 2
	})
}

// Two domains have their keys in one Secret.
func sharedSecret(w *world) {
	w.prepare()
	for _, label := range []string{"", "news."} {
		domain := strings.Replace(throughProvider, "domain: example.com", fmt.Sprintf("domain: %sexample.com", label), 1)
		domain = strings.Replace(domain, "name: example-com", "name: "+strings.ReplaceAll(label, ".", "-")+"example-com", 1)
		w.apply(domain + `
  dkim: {keys: [{name: ed, algorithm: ed25519}], signerSecret: {name: shared, combine: true}}
`)
	}
	w.until("ready", 10*time.Minute, w.ready)
}

// A key that signed before the operator came is imported, with its record as it stood.
func importedKey(w *world) {
	pair, err := keys.Generate("rsa", 2048)
	w.must(err)
	_, public, _ := strings.Cut(pair.Record, "p=")
	w.must(w.dns.SetTXT("s1._domainkey.example.com", "v=DKIM1;k=rsa ; t=s; p="+public))
	w.must(w.api.Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: mailNamespace, Name: "legacy", Labels: map[string]string{"maildomain.dev/import": "true"}},
		StringData: map[string]string{"private.pem": string(pair.Private)},
	}))
	w.applyAndWait(throughProvider + `
  spf: {mechanisms: [mx], all: fail}
  dkim: {keys: [{name: old, import: {secretName: legacy, key: private.pem, selector: s1}}]}
  dmarc: {policy: quarantine}
`)
}

// Sections were taken out of spec: SPF is gone, keys wait for their retention, and mode none is served until
// no sender holds the policy.
func withdrawal(w *world) {
	w.applyAndWait(throughProvider + `
  spf: {mechanisms: [mx], all: fail}
  dkim: {keys: [{name: ed, algorithm: ed25519}]}
  dmarc: {policy: reject}
  mtaSTS: {mode: enforce, maxAge: 8760h, mx: [mx1.example.com]}
`)
	w.patch(`{"spec": {"dkim": null, "dmarc": null, "mtaSTS": null}}`)
	w.until("withdrawn as far as may be", 30*time.Minute, func() bool {
		status := w.domain().Status.MTASTS
		return status != nil && status.Mode == "none" && w.states() == "Retired"
	})
}

// The MailDomain is gone, and its tombstone holds what others rely on.
func deleted(w *world) {
	w.prepare()
	w.apply(clusterProvider)
	w.apply(head + `
  dns: {providerRef: {kind: ClusterDNSProvider, name: upgrade}, deletionPolicy: Delete}
  spf: {mechanisms: [mx], all: fail}
  dkim: {keys: [{name: ed, algorithm: ed25519}]}
  mtaSTS: {mode: enforce, maxAge: 8760h, mx: [mx1.example.com]}
`)
	w.until("ready", 10*time.Minute, w.ready)
	w.must(w.api.Delete(w.t.Context(), w.domain()))
	w.operator.DeletionGrace = -10 * 365 * 24 * time.Hour // the API server has a clock of its own, which may be ahead
	tombstones := func() int {
		var list corev1.SecretList
		w.must(w.api.List(w.t.Context(), &list, client.InNamespace(systemNamespace), client.HasLabels{"maildomain.dev/tombstone"}))
		return len(list.Items)
	}
	w.until("buried", time.Minute, func() bool { return tombstones() == 1 })
	for range 10 { // caches of what was published end in these hours
		w.forward(30 * time.Minute)
		w.pass()
	}
	if tombstones() != 1 {
		w.t.Fatal("nothing is left to be done")
	}
}
