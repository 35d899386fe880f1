package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/fakes/route53"
)

// The victim's MailDomain is called so that its name is in no text by chance.
const victim = "the-holder"

// forbidden is an address that only the cluster can reach; 127.0.0.1 is what the administrator has
// allowed.
const forbidden = "127.0.0.2"

// attack is one attempt of a tenant who may do everything in its own namespace, and nothing else.
type attack struct {
	t         *testing.T
	w         *world
	n         int // of the row
	namespace string
	// domain is one that the tenant really controls: the world finds it at the name server, and
	// the key in the tenant's Secret "tsig" may change it.
	domain string
	md     *v1alpha1.MailDomain

	trap *trap

	named   bool // the MailDomain is called as the victim's
	granted bool // an administrator let the tenant use the credential in the operator's namespace
	strict  bool // no private target is allowed, 127.0.0.1 neither
	ambient bool // the operator's own identity may be used by those whom an administrator wrote
	moved   bool // domain is not the tenant's any more
}

// hijack is a row: what the tenant does, and where it is refused.
type hijack struct {
	does      func(*attack)
	condition string
	reason    string
}

// fort is the world with a victim that is ready, and all that is watched over.
type fort struct {
	*world
	n         int
	trap      *trap
	tenant    string   // the namespace of the row
	elsewhere []string // Secrets that were read in other namespaces
}

// trap counts who comes to a forbidden target.
type trap struct {
	web     string // one at the forbidden address, host:port
	reached atomic.Int32
}

// listen counts who comes to the address, and returns it with its port.
func (x *trap) listen(t *testing.T, host string, port uint16) string {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(host), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			x.reached.Add(1)
			conn.Close()
		}
	}()
	go func() {
		for buffer := make([]byte, 512); ; x.reached.Add(1) {
			if _, _, err := packets.ReadFrom(buffer); err != nil {
				return
			}
		}
	}()
	return listener.Addr().String()
}

func newFort(t *testing.T) *fort {
	t.Helper()
	f := &fort{world: newWorld(t)}
	f.must(f.api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.operator, Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}}))
	f.must(f.dns.AddZone("victim.se"))
	f.trap = &trap{}
	f.trap.web = f.trap.listen(t, forbidden, 0)
	f.trap.listen(t, forbidden, f.dns.AddrPort().Port()) // as a name server that is delegated to
	f.trap.listen(t, forbidden, f.fetchPort)             // as a policy host
	f.guard()
	s := spec()
	s.MTASTS.TLS = &v1alpha1.MTASTSTLS{SecretName: "mta-sts-example-com"}
	f.apply(victim, s)
	f.until(victim, "ready", isReady)
	f.settles(victim)
	return f
}

// guard has the operator know the one allowed address, and notes which Secrets it reads.
func (f *fort) guard() {
	allow := netip.MustParsePrefix("127.0.0.1/32").Contains
	f.r.AllowPrivate = allow
	f.r.Fetcher.(*probe.PolicyFetcher).AllowPrivate = allow
	f.r.Prober = probe.NewProber(probe.Options{Resolver: f.r.Resolver.(*probe.Resolver), Port: f.dns.AddrPort().Port(), Timeout: 2 * time.Second, AllowPrivate: allow})
	f.r.Reader = interceptor.NewClient(f.api.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			own := key.Namespace == f.operator && strings.HasPrefix(key.Name, "tombstone-") // which is found by the owner's name
			if _, secret := o.(*corev1.Secret); secret && key.Namespace != f.tenant && !own {
				f.elsewhere = append(f.elsewhere, key.String())
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
}

// state is all that an attempt must leave as it is.
type state struct {
	Zone    map[string][]string
	Secrets map[string]string // of the victim and of the operator, with their versions
	Sites   map[string]map[string]string
	Served  map[string]mtastsserver.Site
}

func (f *fort) state() state {
	f.t.Helper()
	now := state{Zone: map[string][]string{}, Secrets: map[string]string{}, Sites: map[string]map[string]string{}}
	md := f.get(victim)
	for _, record := range md.Status.Records {
		now.Zone[record.Name] = f.dns.TXT(record.Name)
	}
	for _, ns := range []string{f.namespace, f.operator} {
		var list corev1.SecretList
		f.must(f.api.List(f.t.Context(), &list, client.InNamespace(ns)))
		for _, s := range list.Items {
			now.Secrets[ns+"/"+s.Name] = s.ResourceVersion
		}
	}
	var sites corev1.ConfigMapList
	f.must(f.api.List(f.t.Context(), &sites, client.InNamespace(f.operator), client.HasLabels{siteLabel}))
	for _, s := range sites.Items {
		now.Sites[s.Name] = s.Data
	}
	now.Served = f.sites(f.snapshot.Dir)
	return now
}

// only leaves of a state what the victim has: a tenant may do what it likes with its own domain.
func (s state) only(before state) state {
	maps.DeleteFunc(s.Sites, func(name string, _ map[string]string) bool { return before.Sites[name] == nil })
	maps.DeleteFunc(s.Served, func(domain string, _ mtastsserver.Site) bool { _, there := before.Served[domain]; return !there })
	return s
}

// events are those since the last time.
func (f *fort) told() string {
	var b strings.Builder
	for {
		select {
		case e := <-f.events.Events:
			fmt.Fprintln(&b, e)
		default:
			return b.String()
		}
	}
}

// attempt plays one row, and looks that all is as it was.
func (f *fort) attempt(t *testing.T, row hijack) {
	f.in(t)
	f.n++
	a := &attack{t: t, w: f.world, n: f.n, domain: fmt.Sprintf("tenant%d.com", f.n), trap: f.trap}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	f.must(f.api.Create(t.Context(), ns))
	a.namespace = ns.Name
	a.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
	a.md = &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "attempt"}, Spec: v1alpha1.MailDomainSpec{
		Domain: "example.com", SPF: &v1alpha1.SPFSpec{All: v1alpha1.SPFPass},
	}}
	row.does(a)
	if a.named {
		a.md.Name = victim
	}
	status := a.md.Status
	if a.md.ResourceVersion == "" {
		a.create(a.md)
	}
	if len(status.Conditions) > 0 {
		a.md.Status = status
		f.must(f.api.Status().Update(t.Context(), a.md))
	}
	allow := f.r.AllowPrivate
	if a.strict {
		f.r.AllowPrivate = nil
	}
	f.r.Accounts.Ambient = a.ambient
	t.Cleanup(func() { f.r.AllowPrivate, f.r.Accounts.Ambient = allow, false })

	f.told()
	before, effects, updates := f.state(), len(f.effects), f.dns.Updates()
	f.tenant, f.elsewhere = a.namespace, nil
	for range 3 {
		if _, err := f.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a.md)}); err != nil {
			t.Logf("a pass ended with %v", err)
		}
		_, err := f.snapshot.Reconcile(t.Context(), ctrl.Request{})
		f.must(err)
		f.forward(time.Minute)
	}
	f.must(f.api.Get(t.Context(), client.ObjectKeyFromObject(a.md), a.md))

	if isReady(a.md) {
		t.Errorf("the tenant's MailDomain is ready")
	}
	if !hasReason(row.condition, row.reason)(a.md) {
		t.Errorf("want %s for %s, got\n%s", row.condition, row.reason, describe(a.md))
	}
	f.quiet(a, f.told())
	own := a.md.Spec.Domain == a.domain && !a.moved
	for _, effect := range f.effects[effects:] {
		switch {
		case effect == "patch status", effect == "patch *v1alpha1.MailDomain "+a.md.Name, own, strings.HasSuffix(effect, " "+ledgerName(a.md.Name)), effect == "DNS TXT _maildomain."+a.md.Spec.Domain:
		default:
			t.Errorf("the operator made an effect: %s", effect)
		}
	}
	if n := f.dns.Updates() - updates; n > 0 && !own {
		t.Errorf("%d updates went to the name server of the victim", n)
	}
	if diff := cmp.Diff(before, f.state().only(before)); diff != "" {
		t.Errorf("the victim has (-before +after)\n%s", diff)
	}
	if a.granted {
		f.elsewhere = slices.DeleteFunc(f.elsewhere, func(name string) bool { return name == f.operator+"/tsig" })
	}
	if len(f.elsewhere) > 0 {
		t.Errorf("Secrets of others were read: %s", f.elsewhere)
	}
	if f.trap.reached.Swap(0) > 0 {
		t.Error("a forbidden target was reached")
	}

	f.vanish(a.md)
	if _, err := f.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a.md)}); err != nil {
		t.Error(err)
	}
	effects = len(f.effects)
	f.tenant = f.namespace
	f.pass(victim)
	if md := f.get(victim); !isReady(md) || len(f.effects) > effects {
		t.Errorf("the victim afterwards: %v\n%s", f.effects[effects:], describe(md))
	}
	if diff := cmp.Diff(before, f.state().only(before)); diff != "" {
		t.Errorf("after the tenant's MailDomain was deleted the victim has (-before +after)\n%s", diff)
	}
}

// quiet checks that what the tenant can read does not say whose the domain is.
func (f *fort) quiet(a *attack, told string) {
	f.t.Helper()
	status, err := json.Marshal(a.md.Status)
	f.must(err)
	secrets := []string{f.namespace, records.NewClaim("test", f.namespace, victim).ID}
	if !a.named {
		secrets = append(secrets, victim)
	}
	for _, secret := range secrets {
		if strings.Contains(string(status)+told, secret) {
			f.t.Errorf("the tenant is told %q:\n%s%s", secret, describe(a.md), told)
		}
	}
}

func (a *attack) create(o client.Object) {
	a.t.Helper()
	o.SetNamespace(a.namespace)
	a.w.must(a.w.api.Create(a.t.Context(), o))
}

// claim is the registry record of the tenant's MailDomain.
func (a *attack) claim() string { return records.NewClaim("test", a.namespace, "attempt").String() }

// shows has the world's name server show texts, for as long as the row lasts. It stands for what
// the owner of the name has there.
func (a *attack) shows(name string, texts ...string) {
	a.t.Helper()
	a.w.must(a.w.dns.SetTXT(name, texts...))
	a.t.Cleanup(func() { a.w.must(a.w.dns.SetTXT(name)) })
}

func (a *attack) aliases(name, target string) {
	a.t.Helper()
	a.w.must(a.w.dns.Set(name, "CNAME", target+"."))
	a.t.Cleanup(func() { a.w.must(a.w.dns.Set(name, "CNAME")) })
}

func tsigKey(secret string) *v1alpha1.TSIGKey {
	return &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: secret, Key: "secret"}}
}

// provider has the MailDomain written by a provider of the tenant's own.
func (a *attack) provider(spec v1alpha1.DNSProviderSpec) {
	a.t.Helper()
	if len(spec.Domains) == 0 {
		spec.Domains = []string{a.md.Spec.Domain}
	}
	a.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Spec: spec})
	a.uses(v1alpha1.KindDNSProvider, "own")
}

func (a *attack) uses(kind v1alpha1.ProviderKind, name string) {
	if a.md.Spec.DNS == nil {
		a.md.Spec.DNS = &v1alpha1.DNSSpec{}
	}
	a.md.Spec.DNS.ProviderRef = &v1alpha1.ProviderRef{Kind: kind, Name: name}
}

// cluster makes a ClusterDNSProvider that could write the victim's zone, and has the tenant use it.
func (a *attack) cluster(domains []string, grants ...v1alpha1.Grant) {
	a.t.Helper()
	p := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{GenerateName: "row-"}}
	p.Spec.DNSProviderSpec = v1alpha1.DNSProviderSpec{Domains: domains, RFC2136: &v1alpha1.RFC2136Provider{Server: a.w.dns.Addr(), TSIG: tsigKey("tsig")}}
	p.Spec.Grants = grants
	a.w.must(a.w.api.Create(a.t.Context(), p))
	a.t.Cleanup(func() { a.w.must(a.w.api.Delete(context.Background(), p)) })
	a.uses(v1alpha1.KindClusterDNSProvider, p.Name)
}

func grant(namespace string, domains ...string) v1alpha1.Grant {
	return v1alpha1.Grant{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}}, Domains: domains}
}

// server is a name server of the tenant's own, which takes its updates and shows what it likes.
func (a *attack) server(apex string) *dnsserver.Server {
	a.t.Helper()
	own, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{apex}})
	a.w.must(err)
	a.t.Cleanup(func() { own.Close() })
	return own
}

// lies has the MailDomain written to a server of the tenant's own, which is also asked.
func (a *attack) lies(apex string) *dnsserver.Server {
	a.t.Helper()
	own := a.server(apex)
	a.provider(v1alpha1.DNSProviderSpec{Nameservers: []string{own.Addr()}, RFC2136: &v1alpha1.RFC2136Provider{Server: own.Addr(), TSIG: tsigKey("tsig")}})
	return own
}

// honest has the tenant manage its own domain, as it may.
func (a *attack) honest() {
	a.t.Helper()
	a.md.Spec.Domain = a.domain
	a.provider(v1alpha1.DNSProviderSpec{RFC2136: &v1alpha1.RFC2136Provider{Server: a.w.dns.Addr(), TSIG: tsigKey("tsig")}})
}

// signs has the tenant's own domain signed with the keys of the Secret.
func (a *attack) signs(secret string) {
	a.honest()
	a.md.Spec.DKIM = &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{{Name: "ed", Algorithm: v1alpha1.DKIMEd25519}}, SignerSecret: &v1alpha1.SignerSecret{Name: secret}}
}

// precious is a Secret in the tenant's namespace that is none of the MailDomain's: whoever may
// write MailDomains need not be allowed to write Secrets.
func (a *attack) precious(s *corev1.Secret) {
	a.t.Helper()
	a.create(s)
	a.t.Cleanup(func() {
		now := &corev1.Secret{}
		a.w.must(a.w.api.Get(context.Background(), client.ObjectKeyFromObject(s), now))
		if diff := cmp.Diff(s, now); diff != "" {
			a.t.Errorf("the Secret was written (-before +after)\n%s", diff)
		}
	})
}

func (a *attack) serves(secret string) {
	a.md.Spec.MTASTS = &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSTesting, MX: []string{"mx." + a.md.Spec.Domain}, TLS: &v1alpha1.MTASTSTLS{SecretName: secret}}
}

// certified makes a certificate for a name in the tenant's namespace.
func (a *attack) certified(secret, host string) {
	a.t.Helper()
	cert, key, err := certificate.SelfSigned(host)
	a.w.must(err)
	a.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}})
}

// at points a provider of each type at an address. The web's is a URL.
func (a *attack) cloudflareAt(endpoint string) {
	a.provider(v1alpha1.DNSProviderSpec{Endpoint: endpoint, Cloudflare: &v1alpha1.CloudflareProvider{APITokenSecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}})
}

func (a *attack) route53At(endpoint string) {
	ref := &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}
	a.provider(v1alpha1.DNSProviderSpec{Endpoint: endpoint, Route53: &v1alpha1.Route53Provider{AccessKeyIDSecretRef: ref, SecretAccessKeySecretRef: ref}})
}

func (a *attack) roleAt(endpoint string) {
	ref := &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}
	a.provider(v1alpha1.DNSProviderSpec{Endpoint: endpoint, Route53: &v1alpha1.Route53Provider{AccessKeyIDSecretRef: ref, SecretAccessKeySecretRef: ref, RoleARN: operatorsRole}})
}

// operatorsRole is a role at AWS that trusts the operator, and may change the victim's zone.
const operatorsRole = "arn:aws:iam::123456789012:role/dns"

// aws starts a fake AWS where the operator's own identity, which this process has, may assume the
// role. Nobody is to have used that identity.
func (a *attack) aws() (endpoint string) {
	a.t.Helper()
	a.t.Setenv("AWS_ACCESS_KEY_ID", "AKIAOPERATOR")
	a.t.Setenv("AWS_SECRET_ACCESS_KEY", "of the operator")
	fake, err := route53.Start(route53.Config{Keys: map[string]string{"AKIAOPERATOR": "of the operator", "AKIATENANT": "secret"}})
	a.w.must(err)
	a.w.must(fake.AddZone("Z1", "victim.se"))
	fake.SetRole(operatorsRole, route53.Role{Trusts: []string{"AKIAOPERATOR"}})
	a.t.Cleanup(func() {
		for _, assumed := range fake.Assumptions() {
			if assumed.AccessKeyID != "AKIATENANT" {
				a.t.Errorf("the operator's identity was used: %+v", assumed)
			}
		}
		a.w.must(fake.Close())
	})
	return fake.URL()
}

func (a *attack) rfc2136At(server string) {
	a.provider(v1alpha1.DNSProviderSpec{RFC2136: &v1alpha1.RFC2136Provider{Server: server, TSIG: tsigKey("tsig")}})
}

// unclaimed takes a domain that nobody has claimed: the victim's claim is not what refuses.
func (a *attack) unclaimed() { a.md.Spec.Domain = "victim.se" }

// before has the tenant hold its own domain first, so that something is left of that.
func (a *attack) before() {
	a.t.Helper()
	a.create(a.md)
	for range 2 {
		_, err := a.w.r.Reconcile(a.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a.md)})
		a.w.must(err)
	}
	a.w.must(a.w.api.Get(a.t.Context(), client.ObjectKeyFromObject(a.md), a.md))
	if !isReady(a.md) {
		a.t.Fatalf("the tenant's own domain is not ready:\n%s", describe(a.md))
	}
	a.moved = true
}

// anew deletes the namespace with all that is in it, and has another tenant get one of that name.
func (a *attack) anew() {
	a.t.Helper()
	ctx := a.t.Context()
	in := client.InNamespace(a.namespace)
	var secrets corev1.SecretList
	a.w.must(a.w.api.List(ctx, &secrets, in))
	for _, secret := range secrets.Items {
		a.w.vanish(&secret)
	}
	md := &v1alpha1.MailDomain{}
	if err := a.w.api.Get(ctx, types.NamespacedName{Namespace: a.namespace, Name: a.md.Name}, md); !apierrors.IsNotFound(err) {
		a.w.must(err)
		a.w.vanish(md)
	}
	a.w.must(a.w.api.DeleteAllOf(ctx, &v1alpha1.DNSProvider{}, in))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}
	a.w.must(a.w.api.Delete(ctx, ns))
	a.w.must(a.w.api.Get(ctx, client.ObjectKeyFromObject(ns), ns))
	ns.Spec.Finalizers = nil // what the namespace controller does when nothing is left
	a.w.must(a.w.api.SubResource("finalize").Update(ctx, ns))
	a.w.must(a.w.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}))
	tsig := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}}
	err := a.w.api.Create(ctx, tsig)
	for apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) { // until the API server's cache has the new namespace
		time.Sleep(20 * time.Millisecond)
		err = a.w.api.Create(ctx, tsig)
	}
	a.w.must(err)
	a.md = &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: a.md.Name}, Spec: a.md.Spec}
}

// forges a ledger that says that the victim's records are the tenant's.
func (a *attack) forges(domain string, values map[string]string) {
	a.t.Helper()
	l := ledger.New(domain)
	for name, value := range values {
		l.Settle(domain, records.SPFSlot(name).Key, "SPF", value)
	}
	text, err := l.Encode()
	a.w.must(err)
	a.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: ledgerName(a.md.Name)}, Type: ledgerType, Data: map[string][]byte{ledgerFile: text}})
}

// No tenant gets at the domain of another, at Secrets that are not its own, or at what only the
// cluster can reach. See also TestHijackingManifestsAreRefused in api/v1alpha1.
func TestHijackAttempts(t *testing.T) {
	f := newFort(t)
	const (
		ready, providerReady = v1alpha1.ConditionReady, v1alpha1.ConditionProviderReady
		notClaimed           = v1alpha1.ReasonDomainNotClaimed
		notAllowed           = v1alpha1.ReasonProviderNotAllowed
		target               = v1alpha1.ReasonTargetNotAllowed
	)
	theirs := records.NewClaim("test", f.namespace, victim).String()
	port := func(address string) string {
		_, port, err := net.SplitHostPort(address)
		f.must(err)
		return port
	}
	rows := map[string]hijack{
		// Whom an administrator let use a provider, and for what.
		"a domain that ends as the granted one": {func(a *attack) {
			a.md.Spec.Domain = "evil-smarter.se"
			a.cluster([]string{"example.com", "smarter.se"}, grant(a.namespace, "smarter.se"))
		}, providerReady, notAllowed},
		"a domain that ends as the granted one, in letters only": {func(a *attack) {
			a.md.Spec.Domain = "notsmarter.se"
			a.cluster([]string{"example.com", "smarter.se"}, grant(a.namespace, "smarter.se"))
		}, providerReady, notAllowed},
		"a domain that ends as the provider's": {func(a *attack) {
			a.md.Spec.Domain = "notsmarter.se"
			a.cluster([]string{"smarter.se"}, grant(a.namespace, "notsmarter.se"))
		}, providerReady, notAllowed},
		"another domain of the provider than the granted one": {func(a *attack) {
			a.cluster([]string{"example.com", "smarter.se"}, grant(a.namespace, "smarter.se"))
		}, providerReady, notAllowed},
		"the parent of the granted domain": {func(a *attack) {
			a.cluster([]string{"example.com"}, grant(a.namespace, "mail.example.com"))
		}, providerReady, notAllowed},
		"a neighbour of the granted domain": {func(a *attack) {
			a.md.Spec.Domain = "post.example.com"
			a.cluster([]string{"example.com"}, grant(a.namespace, "mail.example.com"))
		}, providerReady, notAllowed},
		"a grant for a domain that is not the provider's": {func(a *attack) {
			a.cluster([]string{"smarter.se"}, grant(a.namespace, "example.com"))
		}, providerReady, notAllowed},
		"the grant of another namespace": {func(a *attack) {
			a.cluster([]string{"example.com"}, grant(f.namespace, "example.com"))
		}, providerReady, notAllowed},
		"the grant of one namespace and the domain of another": {func(a *attack) {
			a.cluster([]string{"example.com", "smarter.se"}, grant(f.namespace, "example.com"), grant(a.namespace, "smarter.se"))
		}, providerReady, notAllowed},
		"a provider without grants": {func(a *attack) {
			a.cluster([]string{"example.com"})
		}, providerReady, notAllowed},
		"a grant by a label that the tenant can set only on its own objects": {func(a *attack) {
			a.md.Labels = map[string]string{"team": "mail"}
			a.cluster([]string{"example.com"}, v1alpha1.Grant{NamespaceSelector: &metav1.LabelSelector{MatchLabels: a.md.Labels}, Domains: []string{"example.com"}})
		}, providerReady, notAllowed},
		"a grant by the label of a namespace that was deleted": {func(a *attack) {
			label := map[string]string{"row": a.namespace}
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}
			f.must(f.api.Patch(a.t.Context(), ns, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"row":"`+a.namespace+`"}}}`))))
			a.anew()
			a.cluster([]string{"example.com"}, v1alpha1.Grant{NamespaceSelector: &metav1.LabelSelector{MatchLabels: label}, Domains: []string{"example.com"}})
		}, providerReady, notAllowed},
		"a grant does not outweigh the claim of another": {func(a *attack) {
			a.granted = true
			a.cluster([]string{"example.com"}, v1alpha1.Grant{NamespaceSelector: &metav1.LabelSelector{}, Domains: []string{"example.com"}})
		}, ready, notClaimed},
		"a grant does not adopt the claim of another": {func(a *attack) {
			a.granted = true
			a.cluster([]string{"example.com"}, v1alpha1.Grant{NamespaceSelector: &metav1.LabelSelector{}, Domains: []string{"example.com"}})
			a.md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt
		}, ready, notClaimed},
		"a granted sub-domain written into the zone above the victim's": {func(a *attack) {
			a.granted, a.md.Spec.Domain = true, "mail.example.com"
			a.cluster([]string{"example.com"}, grant(a.namespace, "mail.example.com"))
			a.md.Spec.DNS.Zone = "com"
		}, ready, notClaimed},
		"a cluster's provider as one of the tenant's namespace": {func(a *attack) {
			a.cluster([]string{"example.com"}, grant(f.namespace, "example.com"))
			a.uses(v1alpha1.KindDNSProvider, a.md.Spec.DNS.ProviderRef.Name)
		}, providerReady, v1alpha1.ReasonProviderNotFound},
		"the provider of the victim by its name": {func(a *attack) {
			a.uses(v1alpha1.KindDNSProvider, "dns")
		}, providerReady, v1alpha1.ReasonProviderNotFound},
		"an own provider for another domain": {func(a *attack) {
			a.provider(v1alpha1.DNSProviderSpec{Domains: []string{"evil-example.com", "mail.example.com"}, RFC2136: &v1alpha1.RFC2136Provider{Server: f.dns.Addr(), TSIG: tsigKey("tsig")}})
		}, providerReady, notAllowed},
		"a public suffix": {func(a *attack) {
			a.md.Spec.Domain = "victim.co.uk"
			a.provider(v1alpha1.DNSProviderSpec{Domains: []string{"co.uk"}, RFC2136: &v1alpha1.RFC2136Provider{Server: f.dns.Addr(), TSIG: tsigKey("tsig")}})
		}, providerReady, v1alpha1.ReasonProviderInvalid},
		"a suffix under which a company lets strangers register": {func(a *attack) {
			f.must(f.dns.AddZone("github.io"))
			a.t.Cleanup(func() { f.dns.RemoveZone("github.io") })
			a.md.Spec.Domain = "victim.github.io"
			own := a.server("github.io")
			a.provider(v1alpha1.DNSProviderSpec{Domains: []string{"github.io"}, Nameservers: []string{own.Addr()}, RFC2136: &v1alpha1.RFC2136Provider{Server: own.Addr(), TSIG: tsigKey("tsig")}})
		}, ready, notClaimed},

		// What proves that a domain is the tenant's.
		"the victim's domain, with nothing to show":             {func(*attack) {}, ready, notClaimed},
		"a domain that nobody has claimed":                      {func(a *attack) { a.unclaimed() }, ready, notClaimed},
		"a sub-domain under the victim's":                       {func(a *attack) { a.md.Spec.Domain = "mail.example.com" }, ready, notClaimed},
		"the policy host of the victim as a domain":             {func(a *attack) { a.md.Spec.Domain = "mta-sts.example.com" }, ready, notClaimed},
		"the victim's domain, by a MailDomain of the same name": {func(a *attack) { a.named = true }, ready, notClaimed},
		"the victim's domain, only looked at": {func(a *attack) {
			a.md.Spec.Mode = v1alpha1.ModeObserve
		}, ready, v1alpha1.ReasonObserving},
		"a server of its own shows the record": {func(a *attack) {
			a.w.must(a.lies("example.com").SetTXT("_maildomain.example.com", a.claim()))
		}, ready, notClaimed},
		"a server of its own shows the record of a domain that nobody has claimed": {func(a *attack) {
			a.unclaimed()
			a.w.must(a.lies("victim.se").SetTXT("_maildomain.victim.se", a.claim()))
		}, ready, notClaimed},
		"a server of its own takes the record": {func(a *attack) {
			a.unclaimed()
			a.lies("victim.se")
		}, ready, notClaimed},
		"a server of its own takes the record of a sub-domain": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.lies("mail.example.com")
		}, ready, notClaimed},
		"a server of its own has the zone of the victim": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.lies("example.com")
			a.md.Spec.DNS.Zone = "example.com"
		}, ready, notClaimed},
		"a server of its own proves keys": {func(a *attack) {
			a.unclaimed()
			a.lies("victim.se")
			a.md.Spec.DKIM = &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{{Name: "ed", Algorithm: v1alpha1.DKIMEd25519}}}
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonObserving},
		"a server of its own takes over by conflictPolicy": {func(a *attack) {
			a.w.must(a.lies("example.com").SetTXT("_maildomain.example.com", theirs))
			a.md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt
		}, ready, notClaimed},
		"conflictPolicy without a provider": {func(a *attack) {
			a.md.Spec.DNS = &v1alpha1.DNSSpec{ConflictPolicy: v1alpha1.ConflictAdopt}
		}, ready, notClaimed},
		"deletion takes nothing along": {func(a *attack) {
			a.forges("example.com", map[string]string{"example.com": "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all", "_maildomain.example.com": theirs})
			a.md.Spec.DNS = &v1alpha1.DNSSpec{DeletionPolicy: v1alpha1.DeletionDelete}
		}, ready, notClaimed},
		"a ledger says that the records are the tenant's": {func(a *attack) {
			a.forges("example.com", map[string]string{"example.com": "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all", "_maildomain.example.com": theirs})
			a.lies("example.com")
		}, ready, notClaimed},
		"a status says that all is well": {func(a *attack) {
			a.md.Status = v1alpha1.MailDomainStatus{Conditions: []metav1.Condition{{Type: ready, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified, LastTransitionTime: metav1.NewTime(f.clock.Now())}}}
		}, ready, notClaimed},
		"an annotation takes the domain over": {func(a *attack) {
			a.md.Annotations = map[string]string{"maildomain.dev/take-over": "test", "maildomain.dev/owner": f.namespace + "/" + victim + "/example.com"}
		}, ready, notClaimed},
		"the record of another installation": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("_maildomain.mail.example.com", records.NewClaim("elsewhere", a.namespace, "attempt").String())
		}, ready, notClaimed},
		"the record of another MailDomain of the namespace": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("_maildomain.mail.example.com", records.NewClaim("test", a.namespace, "another").String())
		}, ready, notClaimed},
		"the record of the victim, copied": {func(a *attack) {
			a.md.Spec.Domain, a.named = "mail.example.com", true
			a.shows("_maildomain.mail.example.com", theirs)
		}, ready, notClaimed},
		"a record with more in it": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("_maildomain.mail.example.com", a.claim()+"; domain=example.com")
		}, ready, notClaimed},
		"a record that names two": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("_maildomain.mail.example.com", theirs+"; id="+records.NewClaim("test", a.namespace, "attempt").ID)
		}, ready, notClaimed},
		"a record of another version": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("_maildomain.mail.example.com", strings.Replace(a.claim(), "v=maildomain1", "v=maildomain2", 1))
		}, ready, notClaimed},
		"the tenant's record beside the victim's": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("_maildomain.mail.example.com", theirs, a.claim())
		}, ready, notClaimed},
		"the tenant's record at the domain itself": {func(a *attack) {
			a.md.Spec.Domain = "mail.example.com"
			a.shows("mail.example.com", a.claim())
		}, ready, notClaimed},
		"an alias leads to the tenant's record": {func(a *attack) {
			a.md.Spec.Domain = "shop.victim.se"
			a.shows("claim."+a.domain, a.claim())
			a.aliases("_maildomain.shop.victim.se", "claim."+a.domain)
		}, ready, notClaimed},
		"an alias for all names leads to the tenant's record": {func(a *attack) {
			a.md.Spec.Domain = "shop.victim.se"
			a.shows(a.domain, a.claim())
			a.aliases("*.shop.victim.se", a.domain)
		}, ready, notClaimed},
		"a former holder whose domain has another owner": {func(a *attack) {
			a.honest()
			a.before()
			f.must(f.dns.SetTXT("_maildomain." + a.domain))
			a.shows("*."+a.domain, "the new owner has this at every name")
			a.shows(a.domain, "v=spf1 -all")
			own := a.server(a.domain)
			p := &v1alpha1.DNSProvider{}
			f.must(f.api.Get(a.t.Context(), types.NamespacedName{Namespace: a.namespace, Name: "own"}, p))
			before := p.DeepCopy()
			p.Spec.RFC2136.Server, p.Spec.Nameservers = own.Addr(), []string{own.Addr()}
			f.must(f.api.Patch(a.t.Context(), p, client.MergeFrom(before)))
		}, ready, notClaimed},
		"a namespace of the name of a deleted one": {func(a *attack) {
			a.honest()
			a.before()
			a.anew()
			a.md.Spec.DNS = nil
			a.certified("own", "mta-sts."+a.domain)
			a.serves("own")
		}, ready, notClaimed},
		"a namespace of the name of a deleted one, with a ledger of its own": {func(a *attack) {
			a.honest()
			a.before()
			a.anew()
			a.lies(a.domain)
			a.forges(a.domain, map[string]string{a.domain: "v=spf1 +all", "_maildomain." + a.domain: a.claim()})
			a.certified("own", "mta-sts."+a.domain)
			a.serves("own")
		}, ready, notClaimed},

		// Secrets, and what is served.
		"a credential of the victim's namespace by its name": {func(a *attack) {
			a.provider(v1alpha1.DNSProviderSpec{RFC2136: &v1alpha1.RFC2136Provider{Server: f.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "mta-sts-example-com", Key: "tls.key"}}}})
		}, providerReady, v1alpha1.ReasonCredentialsNotFound},
		"the identity of the operator": {func(a *attack) {
			a.ambient = true
			a.provider(v1alpha1.DNSProviderSpec{Route53: &v1alpha1.Route53Provider{}})
		}, providerReady, notAllowed},
		"a role that the operator may assume": {func(a *attack) {
			a.ambient = true
			a.unclaimed()
			a.provider(v1alpha1.DNSProviderSpec{Endpoint: a.aws(), Route53: &v1alpha1.Route53Provider{RoleARN: operatorsRole}})
		}, providerReady, notAllowed},
		"a role that the operator may assume, with keys that are empty": {func(a *attack) {
			a.ambient = true
			a.unclaimed()
			a.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "empty"}, Data: map[string][]byte{"id": {}, "secret": []byte("\n")}})
			a.provider(v1alpha1.DNSProviderSpec{Endpoint: a.aws(), Route53: &v1alpha1.Route53Provider{
				RoleARN: operatorsRole, AccessKeyIDSecretRef: &v1alpha1.SecretKeyRef{Name: "empty", Key: "id"}, SecretAccessKeySecretRef: &v1alpha1.SecretKeyRef{Name: "empty", Key: "secret"},
			}})
		}, providerReady, v1alpha1.ReasonCredentialsNotFound},
		"a role that the operator may assume, with half of the keys empty": {func(a *attack) {
			a.ambient = true
			a.unclaimed()
			a.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "half"}, Data: map[string][]byte{"id": []byte("AKIATENANT"), "secret": {}}})
			a.provider(v1alpha1.DNSProviderSpec{Endpoint: a.aws(), Route53: &v1alpha1.Route53Provider{
				RoleARN: operatorsRole, AccessKeyIDSecretRef: &v1alpha1.SecretKeyRef{Name: "half", Key: "id"}, SecretAccessKeySecretRef: &v1alpha1.SecretKeyRef{Name: "half", Key: "secret"},
			}})
		}, providerReady, v1alpha1.ReasonCredentialsNotFound},
		"a role that the operator may assume, with keys that may not": {func(a *attack) {
			a.ambient = true
			a.unclaimed()
			a.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}, StringData: map[string]string{"id": "AKIATENANT", "secret": "secret"}})
			a.provider(v1alpha1.DNSProviderSpec{Endpoint: a.aws(), Route53: &v1alpha1.Route53Provider{
				RoleARN: operatorsRole, AccessKeyIDSecretRef: &v1alpha1.SecretKeyRef{Name: "tenants", Key: "id"}, SecretAccessKeySecretRef: &v1alpha1.SecretKeyRef{Name: "tenants", Key: "secret"},
			}})
		}, providerReady, v1alpha1.ReasonUnauthorized},
		"a Secret that nobody gave to the operator": {func(a *attack) {
			a.signs("precious")
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "precious"}, Data: map[string][]byte{"password": []byte("p")}})
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict},
		"the signer's Secret of another MailDomain": {func(a *attack) {
			a.signs("another-dkim")
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "another-dkim", Annotations: map[string]string{ownerAnnotation: a.namespace + "/another/" + a.domain}}, Data: map[string][]byte{"KeyTable": []byte("k")}})
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict},
		"the annotation of the victim's Secret, copied": {func(a *attack) {
			a.signs("precious")
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "precious", Annotations: map[string]string{ownerAnnotation: f.namespace + "/" + victim + "/example.com"}}})
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict},
		"the token of a ServiceAccount": {func(a *attack) {
			a.signs("token")
			a.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "account"}})
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token", Annotations: map[string]string{
				corev1.ServiceAccountNameKey: "account", ownerAnnotation: a.namespace + "/attempt/" + a.domain,
			}}, Type: corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{"token": []byte("t")}})
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict},
		"a certificate as the signer's Secret": {func(a *attack) {
			a.signs("tls")
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tls", Annotations: map[string]string{ownerAnnotation: a.namespace + "/attempt/" + a.domain}}, Type: corev1.SecretTypeTLS,
				Data: map[string][]byte{"tls.crt": []byte("c"), "tls.key": []byte("k")}})
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict},
		"a ledger as the signer's Secret": {func(a *attack) {
			a.signs("stored")
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "stored", Annotations: map[string]string{ownerAnnotation: a.namespace + "/attempt/" + a.domain}}, Type: ledgerType})
		}, v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict},
		"a Secret that is made to look like the tenant's, for a domain that is not": {func(a *attack) {
			a.md.Spec.DKIM = &v1alpha1.DKIMSpec{SignerSecret: &v1alpha1.SignerSecret{Name: "precious"}}
			a.precious(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "precious", Annotations: map[string]string{ownerAnnotation: a.namespace + "/attempt/example.com"}}})
		}, ready, v1alpha1.ReasonLedgerUnreadable},
		"a ledger that belongs to another domain": {func(a *attack) {
			a.forges("smarter.se", nil)
		}, ready, v1alpha1.ReasonLedgerUnreadable},
		"the victim's certificate by its name": {func(a *attack) {
			a.honest()
			a.serves("mta-sts-example-com")
		}, v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonCertificateNotReady},
		"a certificate for the victim's policy host": {func(a *attack) {
			a.certified("own", "mta-sts.example.com")
			a.serves("own")
		}, ready, notClaimed},
		"a certificate for another name": {func(a *attack) {
			a.honest()
			a.certified("own", "mta-sts.example.com")
			a.serves("own")
		}, v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonCertificateNotReady},
		"a domain whose site has the name of the victim's": {func(a *attack) {
			a.honest()
			site := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.operator, Name: siteName(a.domain), Labels: map[string]string{siteLabel: "true"}}, Data: f.siteOf("example.com").config.Data}
			f.must(f.api.Create(a.t.Context(), site))
			a.t.Cleanup(func() { f.must(f.api.Delete(context.Background(), site)) })
		}, ready, v1alpha1.ReasonInternalError},

		// What only the cluster can reach.
		"updates to a private address":            {func(a *attack) { a.unclaimed(); a.rfc2136At(f.trap.web) }, providerReady, target},
		"updates to a private address in IPv6":    {func(a *attack) { a.unclaimed(); a.rfc2136At("[::ffff:" + forbidden + "]:" + port(f.trap.web)) }, providerReady, target},
		"updates to a private network":            {func(a *attack) { a.unclaimed(); a.rfc2136At("10.0.0.1:53") }, providerReady, target},
		"updates to the metadata server":          {func(a *attack) { a.unclaimed(); a.rfc2136At("169.254.169.254:53") }, providerReady, target},
		"updates to loopback in IPv6":             {func(a *attack) { a.unclaimed(); a.rfc2136At("[::1]:53") }, providerReady, target},
		"updates to the same link in IPv6":        {func(a *attack) { a.unclaimed(); a.rfc2136At("[fe80::1]:53") }, providerReady, target},
		"updates to a unique local address":       {func(a *attack) { a.unclaimed(); a.rfc2136At("[fd00::1]:53") }, providerReady, target},
		"updates to the translated metadata":      {func(a *attack) { a.unclaimed(); a.rfc2136At("[64:ff9b::a9fe:a9fe]:53") }, providerReady, target},
		"updates to the address that is no one's": {func(a *attack) { a.unclaimed(); a.loopback(a.rfc2136At, "0.0.0.0") }, providerReady, target},
		"updates to a name of loopback":           {func(a *attack) { a.unclaimed(); a.loopback(a.rfc2136At, "localhost") }, providerReady, target},
		"Cloudflare at a private address":         {func(a *attack) { a.unclaimed(); a.cloudflareAt("https://" + f.trap.web + "/") }, providerReady, target},
		"Cloudflare at the metadata server":       {func(a *attack) { a.unclaimed(); a.cloudflareAt("https://169.254.169.254/latest/") }, providerReady, target},
		"Cloudflare at loopback over plain HTTP":  {func(a *attack) { a.unclaimed(); a.cloudflareAt("http://" + f.trap.web + "/") }, providerReady, target},
		"Cloudflare at loopback in IPv6":          {func(a *attack) { a.unclaimed(); a.cloudflareAt("http://[::1]:8080/") }, providerReady, target},
		"Cloudflare at a name of loopback": {func(a *attack) {
			a.unclaimed()
			a.loopback(func(at string) { a.cloudflareAt("https://" + at + "/") }, "localhost")
		}, providerReady, target},
		"Cloudflare sends elsewhere":      {func(a *attack) { a.unclaimed(); a.cloudflareAt(a.redirects()) }, providerReady, v1alpha1.ReasonUnreachable},
		"Route 53 at a private address":   {func(a *attack) { a.unclaimed(); a.route53At("https://" + f.trap.web) }, providerReady, target},
		"Route 53 at the metadata server": {func(a *attack) { a.unclaimed(); a.route53At("https://169.254.169.254") }, providerReady, target},
		"Route 53 at a private network":   {func(a *attack) { a.unclaimed(); a.route53At("https://10.0.0.1/") }, providerReady, target},
		"STS at a private address":        {func(a *attack) { a.unclaimed(); a.roleAt("https://" + f.trap.web) }, providerReady, target},
		"STS at the metadata server":      {func(a *attack) { a.unclaimed(); a.roleAt("https://169.254.169.254") }, providerReady, target},
		"STS sends elsewhere":             {func(a *attack) { a.unclaimed(); a.roleAt(a.redirects()) }, providerReady, v1alpha1.ReasonUnreachable},
		"Route 53 sends elsewhere":        {func(a *attack) { a.unclaimed(); a.route53At(a.redirects()) }, providerReady, v1alpha1.ReasonUnreachable},
		"name servers at a private address": {func(a *attack) {
			a.honest()
			a.md.Spec.DNS.ProviderRef.Name = "asked"
			a.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "asked"}, Spec: v1alpha1.DNSProviderSpec{
				Domains: []string{a.domain}, Nameservers: []string{f.trap.web}, RFC2136: &v1alpha1.RFC2136Provider{Server: f.dns.Addr(), TSIG: tsigKey("tsig")},
			}})
		}, v1alpha1.ConditionSPFReady, v1alpha1.ReasonServersUnreachable},
		"a delegation to a private address": {func(a *attack) {
			a.honest()
			f.must(f.dns.AddZone(a.domain))
			a.t.Cleanup(func() { f.dns.RemoveZone(a.domain) })
			f.must(f.dns.Set("ns."+a.domain, "A", forbidden))
			f.must(f.dns.Set(a.domain, "NS", "ns."+a.domain+"."))
		}, ready, notClaimed},
		"a policy host at a private address": {func(a *attack) {
			a.honest()
			f.must(f.dns.Set("mta-sts."+a.domain, "A", forbidden))
			a.certified("own", "mta-sts."+a.domain)
			a.serves("own")
		}, v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyNotServed},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { f.attempt(t, row) })
	}
}

// loopback points at a port of 127.0.0.1, which nobody may reach in this row.
func (a *attack) loopback(points func(address string), host string) {
	a.t.Helper()
	a.strict = true
	_, port, err := net.SplitHostPort(a.trap.listen(a.t, "127.0.0.1", 0))
	a.w.must(err)
	points(net.JoinHostPort(host, port))
}

// redirects is an API at an allowed address that sends its callers to a forbidden one.
func (a *attack) redirects() string {
	a.t.Helper()
	server := httptest.NewServer(http.RedirectHandler("http://"+a.trap.web+"/", http.StatusTemporaryRedirect))
	a.t.Cleanup(server.Close)
	return server.URL
}

// Whoever gets a namespace of the name of a deleted one can still use the domain, if it proves
// anew that it controls the zone: with a provider, or by hand.
func TestANamesakeProvesControlAnew(t *testing.T) {
	w := newWorld(t)
	for _, byHand := range []bool{false, true} {
		s := onlySPF()
		a := &attack{t: t, w: w, namespace: w.namespace, domain: s.Domain, md: &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "mail"}, Spec: s}}
		a.before()
		before := w.siteOf(s.Domain).config.Data
		w.vanish(w.secret(ledgerName("mail")))
		w.vanish(w.get("mail"))
		if byHand {
			s.DNS = nil
		}
		w.apply("mail", s)
		for range 3 {
			w.pass("mail")
			if md := w.get("mail"); !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed)(md) {
				t.Fatal(describe(md))
			}
		}
		if diff := cmp.Diff(before, w.siteOf(s.Domain).config.Data); diff != "" {
			t.Error(diff)
		}
		const registry = "_maildomain.example.com"
		standing := w.dns.TXT(registry)
		w.must(w.dns.SetTXT(registry))
		w.pass("mail")
		if byHand {
			if plan := w.get("mail").Status.Plan; len(plan) == 0 || plan[0].Name != registry || plan[0].New != standing[0] {
				t.Errorf("the plan is %v", plan)
			}
			w.must(w.dns.SetTXT(registry, standing...))
		}
		w.until("mail", "ready", isReady)
		if diff := cmp.Diff(standing, w.dns.TXT(registry)); diff != "" {
			t.Error(diff)
		}
		w.settles("mail")
		if after := w.siteOf(s.Domain).config.Data; after[siteHolder] != before[siteHolder] || after[siteProof] == before[siteProof] {
			t.Errorf("the site is %v, and was %v", after, before)
		}
		w.vanish(w.get("mail"))
		w.vanish(w.secret(ledgerName("mail")))
		w.must(w.api.Delete(t.Context(), w.siteOf(s.Domain).config))
		w.must(w.dns.SetTXT(registry))
	}
}
