package upgrade

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/controllers"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/envtest"
)

// The names of the namespaces are in what the operator stores and publishes, so they are the same in each run.
const (
	mailNamespace   = "upgrade-mail"
	systemNamespace = "upgrade-system"
)

// began is the time on the clock of every world at its beginning.
var began = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// patience ends a test that hangs.
const patience = 2 * time.Minute

// passes are more than anything takes.
const passes = 100

const tsigSecret = "YSBwdWJsaWMgZGVtbyBrZXk6IHByb3RlY3RzIG5vbmU="

// world is a cluster, a zone, a policy server and an operator between them, whose passes are made one by one.
type world struct {
	t         *testing.T
	api       client.Client // a user's
	dns       *dnsserver.Server
	clock     *clocktesting.FakePassiveClock
	roots     *x509.CertPool
	operator  *controllers.Reconciler
	providers *controllers.ProviderReconciler
	writer    *controllers.SnapshotWriter
	events    *events.FakeRecorder
	writes    *writes // of the operator
	keys      *maker

	thirdParty string // the policy that it serves; "": there is none
}

func newWorld(t *testing.T, now time.Time) *world {
	t.Helper()
	config := envtest.Config(t)
	config.QPS = -1
	scheme := runtime.NewScheme()
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(now), roots: x509.NewCertPool(), events: events.NewFakeRecorder(1000), writes: &writes{}, keys: &maker{t: t}}
	w.must(clientgoscheme.AddToScheme(scheme))
	w.must(v1alpha1.AddToScheme(scheme))
	var err error
	w.api, err = client.New(config, client.Options{Scheme: scheme})
	w.must(err)
	for _, name := range []string{mailNamespace, systemNamespace} {
		w.must(client.IgnoreAlreadyExists(w.api.Create(t.Context(), namespaced(name))))
	}
	w.wipe()
	w.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"com", "example.com", "example", "google.example"},
		SOATTL: time.Hour, Minimum: time.Hour,
	})
	w.must(err)
	t.Cleanup(func() { w.dns.Close() })

	watched := rest.CopyConfig(config)
	watched.Wrap(w.writes.watch)
	operators, err := client.New(watched, client.Options{Scheme: scheme})
	w.must(err)
	loopback := func(a netip.Addr) bool { return a.IsLoopback() }
	resolver := probe.NewResolver([]string{w.dns.Addr()}, 10*time.Second)
	w.writer = &controllers.SnapshotWriter{Client: operators, Reader: operators, Clock: w.clock, Namespace: systemNamespace, Dir: t.TempDir()}
	w.operator = &controllers.Reconciler{
		Client: operators, Reader: operators, Clock: w.clock, Events: w.events, Resolver: resolver,
		Prober:   probe.NewProber(probe.Options{Resolver: resolver, Port: w.dns.AddrPort().Port(), Timeout: 10 * time.Second, AllowPrivate: loopback}),
		Fetcher:  &probe.PolicyFetcher{Resolver: resolver, Roots: w.roots, Port: w.serve(w.writer.Dir), Timeout: 10 * time.Second, AllowPrivate: loopback},
		Accounts: &controllers.Accounts{Clock: w.clock, Timeout: 10 * time.Second},
		Keys:     w.keys, Certificates: w.writer.Certificates,
		Namespace: systemNamespace, OwnerID: "upgrade", AllowPrivate: loopback,
		Poll: time.Second, Resync: 10 * time.Minute, DeletionGrace: 5 * time.Minute, LostKeyGrace: 10 * time.Minute,
	}
	w.providers = &controllers.ProviderReconciler{Client: operators, Reader: operators, Clock: w.clock, Namespace: systemNamespace}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// serve runs a policy server over a directory, and returns its port.
func (w *world) serve(dir string) uint16 {
	w.t.Helper()
	w.must(mtastsserver.WriteSnapshot(dir, nil))
	opened, ended := make(chan net.Addr, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	options := mtastsserver.Options{
		Dir: dir, Listen: "127.0.0.1:0", Poll: 20 * time.Millisecond,
		Opened: func(_ mtastsserver.Port, a net.Addr) { opened <- a },
	}
	go func() { ended <- mtastsserver.Run(ctx, options) }()
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
		return 0
	}
}

// serveThirdParty has somebody else serve the policy of example.com.
func (w *world) serveThirdParty(policy string) {
	w.t.Helper()
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	w.must(err)
	w.roots.AppendCertsFromPEM(cert)
	dir := w.t.TempDir()
	port := w.serve(dir)
	w.must(mtastsserver.WriteSnapshot(dir, []mtastsserver.Site{{Domain: "example.com", Policy: policy, Certificate: cert, PrivateKey: key}}))
	fetcher := w.operator.Fetcher.(*probe.PolicyFetcher)
	fetcher.Port, w.thirdParty = port, policy
	w.untilServed(policy)
}

// certify has the operator believe the certificates of the cluster's policy hosts.
func (w *world) certify() {
	w.t.Helper()
	var list corev1.SecretList
	w.must(w.api.List(w.t.Context(), &list))
	for _, secret := range list.Items {
		w.roots.AppendCertsFromPEM(secret.Data[corev1.TLSCertKey])
	}
}

// pass makes one pass over everything, as far as it is there.
func (w *world) pass() {
	w.t.Helper()
	ctx := w.t.Context()
	for _, kind := range kinds {
		for _, o := range w.objects(kind) {
			request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&o)}
			var err error
			switch kind.Kind {
			case "MailDomain":
				_, err = w.operator.Reconcile(ctx, request)
			case "DNSProvider", "ClusterDNSProvider":
				_, err = w.providers.Reconcile(ctx, request)
			case "Secret":
				_, err = controllers.Tombstones{Reconciler: w.operator}.Reconcile(ctx, request)
			}
			w.must(err)
		}
	}
	w.publish()
}

// publish writes what is served, and waits until it is: the policy server looks at its directory in real time.
func (w *world) publish() {
	w.t.Helper()
	_, err := w.writer.Reconcile(w.t.Context(), ctrl.Request{})
	w.must(err)
	if w.thirdParty != "" {
		return
	}
	var sites corev1.ConfigMapList
	w.must(w.api.List(w.t.Context(), &sites, client.InNamespace(systemNamespace)))
	for _, site := range sites.Items {
		if policy := site.Data["policy"]; policy != "" && site.Data["withdrawn"] == "" {
			w.untilServed(policy)
		}
	}
}

func (w *world) untilServed(policy string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		answer, err := w.operator.Fetcher.Fetch(w.t.Context(), "example.com")
		w.must(err)
		if len(answer.Results) > 0 && !slices.ContainsFunc(answer.Results, func(r probe.PolicyResult) bool { return r.Body != policy }) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%q is not served: %+v", policy, answer)
		}
	}
}

func (w *world) forward(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// until makes passes, with a step of the clock between them, until done.
func (w *world) until(what string, step time.Duration, done func() bool) {
	w.t.Helper()
	for range passes {
		w.pass()
		if done() {
			return
		}
		w.forward(step)
	}
	w.t.Fatalf("never %s\n%s", what, w.describe())
}

// settle makes passes until nothing was written for as long as a snapshot is worked on, and longer.
func (w *world) settle() {
	w.t.Helper()
	for range passes {
		writes, updates := len(w.writes.all()), w.dns.Updates()
		quiet := func() bool { return len(w.writes.all()) == writes && w.dns.Updates() == updates }
		for i := 0; i <= 2*minutes && quiet(); i++ {
			w.pass()
			w.forward(time.Minute)
		}
		if quiet() {
			return
		}
	}
	w.t.Fatalf("it does not settle: %q\n%s", w.writes.all(), w.describe())
}

// apply creates objects as a user's file has them.
func (w *world) apply(files ...string) {
	w.t.Helper()
	for _, file := range files {
		o := &unstructured.Unstructured{}
		w.must(yaml.Unmarshal([]byte(strings.ReplaceAll(file, nameserver, w.dns.Addr())), &o.Object))
		if o.GetNamespace() == "" && o.GetKind() != "ClusterDNSProvider" {
			o.SetNamespace(mailNamespace)
		}
		w.must(w.api.Create(w.t.Context(), o))
	}
}

// patch changes the MailDomain by a JSON merge patch.
func (w *world) patch(text string) {
	w.t.Helper()
	w.must(w.api.Patch(w.t.Context(), w.domain(), client.RawPatch("application/merge-patch+json", []byte(text))))
}

func (w *world) domain() *v1alpha1.MailDomain {
	w.t.Helper()
	md := &v1alpha1.MailDomain{}
	w.must(w.api.Get(w.t.Context(), client.ObjectKey{Namespace: mailNamespace, Name: "example-com"}, md))
	return md
}

func (w *world) ready() bool {
	w.t.Helper()
	return meta.IsStatusConditionTrue(w.domain().Status.Conditions, v1alpha1.ConditionReady)
}

// states are those of the domain's keys.
func (w *world) states() string {
	w.t.Helper()
	var all []string
	if status := w.domain().Status.DKIM; status != nil {
		for _, k := range status.Keys {
			all = append(all, string(k.State))
		}
	}
	return strings.Join(all, " ")
}

func (w *world) describe() string {
	var b strings.Builder
	for _, o := range w.objects(v1alpha1.GroupVersion.WithKind("MailDomain")) {
		text, _ := json.MarshalIndent(o.Object["status"], "", "  ")
		fmt.Fprintf(&b, "%s: %s\n", o.GetName(), text)
	}
	return b.String()
}

// told takes the Events so far.
func (w *world) told() (all []string) {
	for {
		select {
		case e := <-w.events.Events:
			all = append(all, e)
		default:
			return all
		}
	}
}

// unchanging: from now on nothing is to be written or made.
func (w *world) unchanging() {
	w.publish()
	w.writes.forget()
	w.keys.none = true
}

// writes are the requests to the API server that are no question.
type writes struct {
	mu   sync.Mutex
	made []string
}

func (r *writes) watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet {
			r.mu.Lock()
			r.made = append(r.made, request.Method+" "+request.URL.Path)
			r.mu.Unlock()
		}
		return next.RoundTrip(request)
	})
}

func (r *writes) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.made)
}

func (r *writes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = nil
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// maker makes keys at once.
type maker struct {
	t    *testing.T
	none bool // none is to be made
}

// Take implements controllers.KeyMaker.
func (m *maker) Take(customer string, specs []keys.Spec) (pairs []keys.Pair, ok bool, err error) {
	if m.none {
		m.t.Errorf("%s wants keys: %+v", customer, specs)
	}
	for _, spec := range specs {
		pair, err := keys.Generate(spec.Algorithm, spec.Bits)
		if err != nil {
			return nil, false, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, true, nil
}

// Forget implements controllers.KeyMaker.
func (m *maker) Forget(string) {}

// OnReady implements controllers.KeyMaker.
func (m *maker) OnReady(func(string)) {}
