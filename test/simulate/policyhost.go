package simulate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/controllers"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
)

const (
	policyHost    = "mta-sts." + domain
	policyService = "mta-sts"
	together      = 500 * time.Millisecond // changes go into one snapshot
)

// The addresses of the load balancer in front of the replicas.
var balancers = []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")}

// hosts are the replicas of the operator, each with its policy server, and the load balancer.
type hosts struct {
	w         *World
	root      string // their directories
	replicas  []*replica
	endpoints []netip.AddrPort // as the EndpointSlice says
	pods      int              // that there ever were
	trust     *x509.Certificate
	judged    map[string]*x509.Certificate // by DER: certificates that the authority has signed
}

// replica is a Pod: the writer, which makes snapshots of what its cache has, and the policy server, which
// serves what it has read last. Both are the real ones but for the sockets and the watch of the directory.
type replica struct {
	*hosts
	pod    int
	addr   netip.AddrPort
	dir    string
	writer *controllers.SnapshotWriter // nil: the writer is down
	cache  map[string]client.Object    // the writer's
	cut    time.Time                   // until when nothing comes into the cache
	server *mtastsserver.Server        // nil: the policy server is down, or has no snapshot yet
	body   string                      // what it serves; "": it knows no such host
	leaf   *x509.Certificate           // with what
}

func newHosts(w *World, size int) *hosts {
	h := &hosts{w: w, judged: map[string]*x509.Certificate{}}
	parent := "" // where production has memory, too
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	var err error
	h.root, err = os.MkdirTemp(parent, "maildomain-year-")
	must(err)
	for range size {
		h.replicas = append(h.replicas, &replica{hosts: h})
	}
	return h
}

func (h *hosts) clear() { _ = os.RemoveAll(h.root) }

func (h *hosts) start() {
	for _, r := range h.replicas {
		r.begin()
	}
}

// begin is a new Pod.
func (r *replica) begin() {
	w := r.w
	r.pods++
	r.pod, r.server, r.writer, r.cache, r.body = r.pods, nil, nil, nil, ""
	r.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(r.pod / 250), byte(r.pod % 250)}), 8443)
	r.dir = filepath.Join(r.root, fmt.Sprint(r.pod))
	must(os.Mkdir(r.dir, 0o700))
	w.in(w.uniform(0, 5*time.Second), r.list)
	w.in(w.uniform(time.Second, 20*time.Second), r.starts)
}

// list has the EndpointSlice name the Pods that there are.
func (h *hosts) list() {
	h.endpoints = nil
	for _, r := range h.replicas {
		h.endpoints = append(h.endpoints, r.addr)
	}
}

// alive is do for as long as the Pod is the same.
func (r *replica) alive(do func()) func() {
	pod := r.pod
	return func() {
		if r.pod == pod {
			do()
		}
	}
}

// starts is the start of the writer.
func (r *replica) starts() {
	r.writer = &controllers.SnapshotWriter{
		Client: cachedAPI{replica: r}, Reader: cachedAPI{replica: r, live: true}, Clock: trueClock{r.w}, Namespace: "operator", Dir: r.dir,
	}
	r.sees()
}

// told has each replica hear of a change of what it watches: the sites, and the TLS Secret.
func (h *hosts) told(o client.Object) {
	if kindOf(o) != "ConfigMap" && o.GetName() != tlsSecret {
		return
	}
	for _, r := range h.replicas {
		h.w.in(h.w.between(50*time.Millisecond, h.w.year.lag), r.alive(r.hears))
	}
}

// hears has the writer's cache take over what the API server has, if the writer can reach that.
func (r *replica) hears() {
	if w := r.w; w.now.Before(r.cut) {
		w.in(r.cut.Sub(w.now), r.alive(r.hears))
		return
	}
	if r.writer != nil {
		r.sees()
	}
}

func (r *replica) sees() {
	r.cache = maps.Clone(r.w.cluster.objects)
	r.w.in(together, r.alive(r.write))
}

// write has the writer write the snapshot, and the policy server read it some time later.
func (r *replica) write() {
	w := r.w
	if r.writer == nil {
		return
	}
	result, err := r.writer.Reconcile(log.IntoContext(context.Background(), logr.Discard()), ctrl.Request{})
	if err != nil {
		w.tell(r.String(), "writes no snapshot: %v", err)
		w.in(10*time.Second, r.alive(r.write))
	} else if result.RequeueAfter > 0 {
		w.in(result.RequeueAfter, r.alive(r.write))
	}
	w.in(w.uniform(0, 2*time.Second), r.alive(r.load))
}

// load has the policy server read the snapshot. Without a whole one it goes on as before.
func (r *replica) load() {
	snapshot, err := mtastsserver.LoadSnapshot(r.dir)
	if err != nil {
		return
	}
	if r.server == nil {
		r.server = mtastsserver.NewServer(nil)
	}
	r.server.Use(snapshot)
	body := r.asks()
	if body != r.body {
		r.w.tell(r.String(), "serves %q", body)
		r.w.year.dropped(r, r.body, body)
	}
	r.body = body
}

// asks is what a client gets that offers the name of the policy host.
func (r *replica) asks() (body string) {
	r.leaf = nil
	pair, err := r.server.TLSConfig().GetCertificate(&tls.ClientHelloInfo{ServerName: policyHost})
	if err == nil && pair != nil {
		r.leaf = r.signed(pair.Certificate[0])
	}
	request := httptest.NewRequest(http.MethodGet, "https://"+policyHost+"/.well-known/mta-sts.txt", nil)
	request.TLS = &tls.ConnectionState{ServerName: policyHost}
	answer := httptest.NewRecorder()
	r.server.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		return ""
	}
	return answer.Body.String()
}

// signed is the certificate, if the authority has signed it.
func (h *hosts) signed(der []byte) *x509.Certificate {
	leaf, known := h.judged[string(der)]
	if !known {
		var err error
		if leaf, err = x509.ParseCertificate(der); err != nil || leaf.CheckSignatureFrom(h.trust) != nil {
			leaf = nil
		}
		h.judged[string(der)] = leaf
	}
	return leaf
}

// secure reports whether a client takes the certificate now.
func (r *replica) secure() bool {
	now := r.w.now
	return r.leaf != nil && r.leaf.VerifyHostname(policyHost) == nil && !now.Before(r.leaf.NotBefore) && !now.After(r.leaf.NotAfter)
}

// get is what a client gets from the replica.
func (r *replica) get(at netip.AddrPort) probe.PolicyResult {
	result := probe.PolicyResult{Addr: at}
	switch {
	case r == nil || r.server == nil:
		result.Outcome, result.Detail = probe.PolicyNoAnswer, "no connection"
	case !r.secure():
		result.Outcome, result.Detail = probe.PolicyBadCertificate, "the certificate is not valid now"
	case r.body == "":
		result.Outcome, result.Detail = probe.PolicyBadResponse, "status 404"
	default:
		result.Outcome, result.Body = probe.PolicyServed, r.body
	}
	return result
}

func (r *replica) String() string { return fmt.Sprintf("replica %d", r.pod) }

// at is the replica with the address; nil: it is gone.
func (h *hosts) at(addr netip.AddrPort) *replica {
	i := slices.IndexFunc(h.replicas, func(r *replica) bool { return r.addr == addr })
	if i < 0 {
		return nil
	}
	return h.replicas[i]
}

// balance is the replica to which the load balancer leads a connection. Mostly it knows who is open.
func (h *hosts) balance(chance func(int) int) *replica {
	var list []*replica
	for _, addr := range h.endpoints {
		if r := h.at(addr); r != nil && r.server != nil || chance(10) == 0 {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[chance(len(list))]
}

// kill ends the writer, and starts another one later. The policy server goes on.
func (r *replica) kill() {
	away := r.w.between(time.Second, 2*24*time.Hour)
	r.w.tell(r.String(), "its writer is away for %s", away)
	r.writer = nil
	r.w.in(away, r.alive(func() {
		if r.writer == nil {
			r.starts()
		}
	}))
}

// restart ends the policy server, which begins with what lies in the directory.
func (r *replica) restart() {
	away := r.w.between(time.Second, time.Hour)
	r.w.tell(r.String(), "its server is away for %s", away)
	r.server = nil
	r.w.in(away, r.alive(r.load))
}

// replace ends the Pod, and its directory with it.
func (r *replica) replace() {
	r.w.tell(r.String(), "is replaced")
	must(os.RemoveAll(r.dir))
	r.begin()
}

// isolate keeps the writer from the API server.
func (r *replica) isolate() {
	lasts := r.w.between(time.Minute, 3*24*time.Hour)
	r.w.tell(r.String(), "can't reach the API server for %s", lasts)
	r.cut = r.w.now.Add(lasts)
}

// cachedAPI is the API server as a replica's snapshot writer reaches it. It is called from another
// goroutine, while the world waits.
type cachedAPI struct {
	unsupported
	*replica
	live bool
}

// List implements client.Reader.
func (a cachedAPI) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	list := into.(*corev1.ConfigMapList)
	for _, place := range sorted(a.cache) {
		if config, ok := a.cache[place].(*corev1.ConfigMap); ok {
			list.Items = append(list.Items, *config)
		}
	}
	return nil
}

// Get implements client.Reader.
func (a cachedAPI) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if secret, ok := into.(*corev1.Secret); ok && a.live {
		if a.w.now.Before(a.cut) {
			return apierrors.NewTimeoutError("the simulated API server can't be reached", 1)
		}
		return a.w.cluster.read(key, secret, false)
	}
	found, ok := a.cache[at("Secret", key)]
	if !ok {
		return apierrors.NewNotFound(resource(into), key.Name)
	}
	metadata := into.(*metav1.PartialObjectMetadata)
	metadata.Name, metadata.Namespace, metadata.ResourceVersion = found.GetName(), found.GetNamespace(), found.GetResourceVersion()
	return nil
}

// Update, Create, Patch, Delete and Status are not for a snapshot writer.

// Create implements client.Client.
func (cachedAPI) Create(context.Context, client.Object, ...client.CreateOption) error {
	refuse("Create for a snapshot")
	return nil
}

// Update implements client.Client.
func (cachedAPI) Update(context.Context, client.Object, ...client.UpdateOption) error {
	refuse("Update for a snapshot")
	return nil
}

// Patch implements client.Client.
func (cachedAPI) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	refuse("Patch for a snapshot")
	return nil
}

// Delete implements client.Client.
func (cachedAPI) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	refuse("Delete for a snapshot")
	return nil
}

// Status implements client.Client.
func (cachedAPI) Status() client.SubResourceWriter {
	refuse("Status for a snapshot")
	return nil
}

// List implements client.Client: the EndpointSlices are all that the reconciler lists.
func (a api) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	list, ok := into.(*discoveryv1.EndpointSliceList)
	if !ok {
		return a.unsupported.List(nil, into) //nolint:staticcheck // it panics
	}
	if a.w.chance(a.w.plan.fault / 20) {
		return apierrors.NewTimeoutError("the simulated API server is busy", 1)
	}
	port := int32(8443)
	slice := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Port: &port}}}
	for _, addr := range a.w.year.hosts.endpoints {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr.Addr().String()}})
	}
	list.Items = []discoveryv1.EndpointSlice{slice}
	return nil
}

// fetcher implements controllers.PolicyFetcher and controllers.ReplicaFetcher.
type fetcher struct {
	*hosts
	resolver resolver
}

// Fetch implements controllers.PolicyFetcher.
func (f fetcher) Fetch(ctx context.Context, _ string) (probe.PolicyAnswer, error) {
	answer := probe.PolicyAnswer{Host: policyHost}
	f.w.pause(0.1)
	addrs, err := f.resolver.LookupNetIP(ctx, "ip4", policyHost)
	if err != nil {
		return answer, err
	}
	for _, addr := range addrs {
		target := netip.AddrPortFrom(addr, 443)
		switch {
		case f.w.year.hairpin:
			answer.Results = append(answer.Results, probe.PolicyResult{Addr: target, Outcome: probe.PolicyNoAnswer, Detail: "no connection"})
		case slices.Contains(balancers, addr) && !f.w.chance(f.w.plan.fault/20):
			answer.Results = append(answer.Results, f.balance(f.w.rng.IntN).get(target))
		default:
			answer.Results = append(answer.Results, probe.PolicyResult{Addr: target, Outcome: probe.PolicyNoAnswer, Detail: "no connection"})
		}
	}
	return answer, nil
}

// FetchFrom implements controllers.ReplicaFetcher.
func (f fetcher) FetchFrom(_ context.Context, _ string, targets []netip.AddrPort) (probe.PolicyAnswer, error) {
	answer := probe.PolicyAnswer{Host: policyHost}
	f.w.pause(0.1)
	for _, target := range targets {
		answer.Results = append(answer.Results, f.at(target).get(target))
	}
	return answer, nil
}

// trueClock implements clock.PassiveClock.
type trueClock struct{ w *World }

// Now implements clock.PassiveClock.
func (c trueClock) Now() time.Time { return c.w.now }

// Since implements clock.PassiveClock.
func (c trueClock) Since(t time.Time) time.Duration { return c.w.now.Sub(t) }
