package controllers

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

func TestMain(m *testing.M) {
	log.SetLogger(everything.logger())
	os.Exit(envtest.Main(m))
}

// crash is what the N-th effect panics with: nothing after it happens.
type crash struct{}

// world is all that the reconciler deals with, real but for the clock: an API server, a DNS
// server that is primary, authority and resolver in one, and the policy server.
type world struct {
	t         *testing.T
	api       client.Client // without counting
	dns       *dnsserver.Server
	clock     *clocktesting.FakePassiveClock
	r         *Reconciler
	snapshot  *SnapshotWriter
	others    []*SnapshotWriter // of other replicas
	namespace string
	operator  string // the operator's namespace
	roots     *x509.CertPool
	fetchPort uint16
	events    *events.FakeRecorder
	secrecy   watchman

	effects  []string // every write, in order: to the API server and to DNS
	provider int      // every call to the DNS provider, reads included
	lies     bool     // the provider says yes to a change and does nothing
	crashAt  int      // the effect to die at; 0: none
	after    bool     // die after it was made, not before
	check    func()   // of what must hold at every instant, if set
}

var tsigSecret = base64.StdEncoding.EncodeToString([]byte("a secret of the tests"))

func newWorld(t *testing.T) *world {
	t.Helper()
	config := envtest.Config(t)
	config.QPS = -1 // a world has the API server to itself
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, api: api, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)), events: events.NewFakeRecorder(10000)}
	w.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"com", "example.com", "se", "smarter.se"},
		SOATTL: time.Minute, Minimum: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.dns.Close() })
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com."))
	w.must(w.dns.Set("mx1.example.com", "A", "127.0.0.1"))
	w.must(w.dns.Set("mta-sts.example.com", "A", "127.0.0.1"))
	w.must(w.dns.SetTXT("smarter.se", "v=spf1 ip4:198.51.100.0/24 -all"))

	for _, into := range []*string{&w.namespace, &w.operator} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
		w.must(api.Create(t.Context(), ns))
		*into = ns.Name
	}
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
	w.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "dns"}, Spec: v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: w.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}})
	w.certificate()
	w.servePolicies()
	w.restart()
	logged := everything.len()
	t.Cleanup(func() {
		w.reasonsAreListed(t)
		w.secrecy.read(t, "the log", everything.since(logged))
	})
	return w
}

// reasonsAreListed holds every Event to the closed list, and to the length that the API takes.
func (w *world) reasonsAreListed(t *testing.T) {
	t.Helper()
	close(w.events.Events)
	for e := range w.events.Events {
		if fields := strings.Fields(e); len(fields) < 2 || !slices.Contains(v1alpha1.Reasons(), fields[1]) || len(e) > maxNote+64 {
			t.Errorf("an Event that is not on the list of reasons, or too long: %.200s", e)
		}
	}
}

// in has a subtest use the world.
func (w *world) in(t *testing.T) {
	outer := w.t
	w.t = t
	t.Cleanup(func() { w.t = outer })
}

// restart is a new process: it knows nothing of what the one before it did.
func (w *world) restart() {
	loopback := func(a netip.Addr) bool { return a.IsLoopback() }
	resolver := probe.NewResolver([]string{w.dns.Addr()}, 10*time.Second)
	counting := interceptor.NewClient(w.api.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			w.secrecy.stored(w.t, o)
			return w.effect(fmt.Sprintf("create %T %s", o, o.GetName()), func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			w.secrecy.stored(w.t, o)
			return w.effect(fmt.Sprintf("update %T %s", o, o.GetName()), func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			w.secrecy.stored(w.t, o)
			return w.effect(fmt.Sprintf("patch %T %s", o, o.GetName()), func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.effect(fmt.Sprintf("delete %T %s", o, o.GetName()), func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			w.secrecy.stored(w.t, o)
			return w.effect("patch "+sub, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	w.r = &Reconciler{
		Client: counting, Reader: w.api, Clock: w.clock, Events: &recorder{FakeRecorder: w.events, w: w},
		Resolver:  resolver,
		Prober:    probe.NewProber(probe.Options{Resolver: resolver, Port: w.dns.AddrPort().Port(), Timeout: 10 * time.Second, AllowPrivate: loopback}),
		Fetcher:   &probe.PolicyFetcher{Resolver: resolver, Roots: w.roots, Port: w.fetchPort, Timeout: 10 * time.Second, AllowPrivate: loopback},
		Accounts:  &Accounts{Clock: w.clock, Timeout: 5 * time.Second, around: func(zone dnsprovider.Zone) dnsprovider.Zone { return countingZone{zone, w} }},
		Keys:      instantly{},
		Namespace: w.operator, OwnerID: "test", AllowPrivate: loopback,
		Poll: time.Second, Resync: 10 * time.Minute, DeletionGrace: 5 * time.Minute, LostKeyGrace: 10 * time.Minute,
	}
	w.snapshot = &SnapshotWriter{Client: w.api, Reader: w.api, Clock: w.clock, Namespace: w.operator, Dir: w.snapshot.dir(w.t)}
	w.r.Certificates = func(domain string) (certificate, key []byte) { return w.snapshot.Certificates(domain) }
}

func (w *SnapshotWriter) dir(t *testing.T) string {
	if w == nil {
		return t.TempDir()
	}
	return w.Dir
}

type countingZone struct {
	dnsprovider.Zone
	w *world
}

func (z countingZone) Read(ctx context.Context, keys ...dnsprovider.Key) []dnsprovider.Reading {
	z.w.provider++
	return z.Zone.Read(ctx, keys...)
}

// Apply sends the changes one by one, so that a crash can come between them, but for those of one name,
// which no provider of the tests parts.
func (z countingZone) Apply(ctx context.Context, changes ...dnsprovider.Change) []error {
	z.w.provider++
	var errs []error
	for len(changes) > 0 {
		n, what := 1, "DNS "+changes[0].Seen.String()
		for ; n < len(changes) && changes[n].Seen.Name == changes[0].Seen.Name; n++ {
			what += " and " + changes[n].Seen.Type
		}
		unit := changes[:n]
		changes = changes[n:]
		if z.w.lies {
			errs = append(errs, make([]error, n)...)
			continue
		}
		_ = z.w.effect(what, func() error {
			made := z.Zone.Apply(ctx, unit...)
			errs = append(errs, made...)
			return errors.Join(made...)
		})
	}
	return errs
}

func (w *world) effect(name string, do func() error) error {
	w.effects = append(w.effects, name)
	dies := w.crashAt == len(w.effects)
	if dies && !w.after {
		panic(crash{})
	}
	err := do()
	if w.check != nil {
		w.check()
	}
	if dies {
		panic(crash{})
	}
	return err
}

// certificate makes the TLS Secret for mta-sts.example.com and trusts it.
func (w *world) certificate() {
	w.t.Helper()
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	w.must(err)
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(cert)
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "mta-sts-example-com"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": cert, "tls.key": key},
	})
}

// servePolicies runs the policy server over the snapshot directory.
func (w *world) servePolicies() {
	w.t.Helper()
	w.snapshot = &SnapshotWriter{Dir: w.t.TempDir()}
	w.fetchPort = w.serve(w.snapshot.Dir)
}

// serve runs a policy server over a directory, and returns its port.
func (w *world) serve(dir string) uint16 {
	w.t.Helper()
	return w.serveWith(mtastsserver.Options{Dir: dir})
}

func (w *world) serveWith(o mtastsserver.Options) uint16 {
	w.t.Helper()
	w.must(mtastsserver.WriteSnapshot(o.Dir, nil))
	opened, ended := make(chan net.Addr, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	o.Listen, o.Poll, o.Opened = "127.0.0.1:0", 20*time.Millisecond, func(_ mtastsserver.Port, a net.Addr) { opened <- a }
	go func() { ended <- mtastsserver.Run(ctx, o) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	select {
	case a := <-opened:
		return a.(*net.TCPAddr).AddrPort().Port()
	case err := <-ended:
		w.t.Fatal(err)
	}
	return 0
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(o client.Object) {
	w.t.Helper()
	o.SetNamespace(w.namespace)
	w.must(w.api.Create(w.t.Context(), o))
}

// spec is the sample's: the records of the talk.
func spec() v1alpha1.MailDomainSpec {
	return v1alpha1.MailDomainSpec{
		Domain: "example.com",
		DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
		SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"ip4:192.0.2.0/24", "mx", "include:smarter.se"}, All: v1alpha1.SPFFail},
		DKIM:   &v1alpha1.DKIMSpec{Selector: "001", Keys: []v1alpha1.DKIMKey{{Name: "rsa", Algorithm: v1alpha1.DKIMRSA}, {Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519}}},
		DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject, RUA: []string{"mailto:dmarc@example.com"}},
		MTASTS: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce, MX: []string{"mx1.example.com"}},
		TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@example.com"}},
	}
}

func (w *world) apply(name string, s v1alpha1.MailDomainSpec) {
	w.t.Helper()
	w.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: s})
}

func (w *world) get(name string) *v1alpha1.MailDomain {
	w.t.Helper()
	md := &v1alpha1.MailDomain{}
	w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, md))
	return md
}

// vanish takes an object away as in a cluster that was restored without it: nobody winds it up.
func (w *world) vanish(o client.Object) {
	w.t.Helper()
	if len(o.GetFinalizers()) > 0 {
		w.must(w.api.Patch(w.t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	}
	w.must(client.IgnoreNotFound(w.api.Delete(w.t.Context(), o)))
}

// edit changes a MailDomain as its user would.
func (w *world) edit(name string, change func(*v1alpha1.MailDomain)) {
	w.t.Helper()
	old := w.get(name)
	next := old.DeepCopy()
	change(next)
	w.must(w.api.Patch(w.t.Context(), next, client.MergeFrom(old)))
}

// pass makes one pass, and reports whether the process died in it.
func (w *world) pass(name string) (died bool) {
	w.t.Helper()
	defer func() {
		if v := recover(); v != nil {
			if _, expected := v.(crash); !expected {
				panic(v)
			}
			w.secrecy.read(w.t, "a crash", fmt.Sprintf("%v\n%s", v, debug.Stack()))
			died = true
		}
	}()
	_, err := w.r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: name}})
	w.must(err)
	for _, writer := range append([]*SnapshotWriter{w.snapshot}, w.others...) {
		_, err = writer.Reconcile(w.t.Context(), ctrl.Request{})
		w.must(err)
	}
	return false
}

// try makes one pass of the reconciler alone, which may end in an error.
func (w *world) try(name string) error {
	_, err := w.r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: name}})
	if err != nil {
		w.secrecy.read(w.t, "an error", err.Error())
	}
	return err
}

// hangs is after how long a test is ended that goes nowhere, however slow the machine is; what the operator is held to is a matter of the fake clock.
const hangs = 5 * time.Minute

// until makes passes, with a second of the fake clock between them, until done or for too long.
func (w *world) until(name, what string, done func(*v1alpha1.MailDomain) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(hangs); ; {
		w.pass(name)
		md := w.get(name)
		w.toolsAgree(md)
		if done(md) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("never %s:\n%s\nDNS: %v", what, describe(md), w.dns.TXT("example.com"))
		}
		w.forward(time.Second)
		time.Sleep(20 * time.Millisecond) // the policy server looks at its directory in real time
	}
}

// settles checks that a world that stays as it is, good or bad, is soon left alone: status says
// the same, and nothing is tried over and over.
func (w *world) settles(name string) {
	w.t.Helper()
	quiet := 0
	for range 60 {
		effects := len(w.effects)
		w.pass(name)
		if quiet++; len(w.effects) > effects {
			quiet = 0
		}
		if quiet == 3 {
			return
		}
		w.forward(time.Minute)
		time.Sleep(20 * time.Millisecond) // as in until
	}
	w.t.Errorf("an unchanged world is written to again and again: %v\n%s", w.effects[len(w.effects)-4:], describe(w.get(name)))
}

func (w *world) forward(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func isReady(md *v1alpha1.MailDomain) bool {
	return meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady)
}

// hasReason holds when the condition is not True, for that reason.
func hasReason(kind, reason string) func(*v1alpha1.MailDomain) bool {
	return func(md *v1alpha1.MailDomain) bool {
		c := meta.FindStatusCondition(md.Status.Conditions, kind)
		return c != nil && c.Status != metav1.ConditionTrue && c.Reason == reason
	}
}

func message(md *v1alpha1.MailDomain, kind string) string {
	if c := meta.FindStatusCondition(md.Status.Conditions, kind); c != nil {
		return c.Message
	}
	return ""
}

func describe(md *v1alpha1.MailDomain) string {
	var b strings.Builder
	for _, c := range md.Status.Conditions {
		fmt.Fprintf(&b, "%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	for _, r := range md.Status.Records {
		fmt.Fprintf(&b, "  %s %s %s %s\n", r.Name, r.State, r.Reason, r.Message)
	}
	for _, p := range md.Status.Plan {
		fmt.Fprintf(&b, "  plan: %s %s %q -> %q\n", p.Action, p.Name, p.Old, p.New)
	}
	return b.String()
}

func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, s))
	return s
}
