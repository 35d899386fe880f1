package controllers

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// ingress ends TLS in front of a policy server that serves HTTP, as an Ingress or a Gateway does.
type ingress struct {
	certificate atomic.Pointer[tls.Certificate]
	port        uint16
}

func (w *world) ingress(policy uint16) *ingress {
	w.t.Helper()
	in := &ingress{}
	behind := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(policy)))})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	server := httptest.NewUnstartedServer(behind)
	server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return in.certificate.Load(), nil }}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that refuses the certificate is wanted
	server.StartTLS()
	w.t.Cleanup(server.Close)
	in.port = server.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
	return in
}

func (in *ingress) use(w *world, host string, trusted bool) {
	w.t.Helper()
	cert, key, err := certificate.SelfSigned(host)
	w.must(err)
	if trusted {
		w.roots.AppendCertsFromPEM(cert)
	}
	pair, err := tls.X509KeyPair(cert, key)
	w.must(err)
	in.certificate.Store(&pair)
}

// plain is a world whose policies are served over HTTP, behind an Ingress, and which has no TLS Secret.
func (w *world) plain() *ingress {
	w.t.Helper()
	w.must(w.api.Delete(w.t.Context(), w.secret("mta-sts-example-com")))
	w.snapshot = &SnapshotWriter{Dir: w.t.TempDir()}
	replica := w.serveWith(mtastsserver.Options{Dir: w.snapshot.Dir, Plain: true})
	in := w.ingress(replica)
	w.fetchPort = in.port
	w.restart()
	w.snapshot.Plain, w.snapshot.Reader = true, unreadable{} // a Secret that is read is an error
	w.r.Plain = true
	w.r.PolicyService = "mta-sts"
	w.r.Replicas = translated{
		&probe.PolicyFetcher{Plain: true, Timeout: 10 * time.Second, AllowPrivate: func(netip.Addr) bool { return true }},
		map[netip.AddrPort]uint16{netip.MustParseAddrPort("10.0.0.1:8080"): replica},
	}
	w.must(w.api.Create(w.t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: w.operator, Name: "one", Labels: map[string]string{discoveryv1.LabelServiceName: "mta-sts"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
		Ports:       []discoveryv1.EndpointPort{{Port: new(int32(8080))}},
	}))
	return in
}

// Behind an Ingress the certificate is the Ingress's: no Secret of spec.mtaSTS.tls is asked for or
// served with, the replicas are asked over HTTP, and the world has to get the policy with a valid certificate.
func TestPlainModeAnnounces(t *testing.T) {
	w := newWorld(t)
	in := w.plain()
	in.use(w, "mta-sts.example.com", false)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	refused := func(md *v1alpha1.MailDomain) bool {
		return hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonPolicyNotServed)(md) &&
			strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "https://mta-sts.example.com/.well-known/mta-sts.txt: 127.0.0.1")
	}
	w.until("example-com", "held by a certificate that nobody trusts", refused)
	if got := w.dns.TXT("_mta-sts.example.com"); len(got) > 0 {
		t.Fatalf("announced %q, and senders would refuse the certificate", got)
	}
	in.use(w, "mta-sts.example.com", true)
	w.until("example-com", "ready", isReady)
	if !w.isAnnounced(nil) {
		t.Errorf("announced %q", w.dns.TXT("_mta-sts.example.com"))
	}
	if site := w.sites(w.snapshot.Dir)["example.com"]; site.Policy == "" || len(site.Certificate) > 0 || len(site.PrivateKey) > 0 {
		t.Errorf("served with a certificate of %d octets: %q", len(site.Certificate), site.Policy)
	}
	w.settles("example-com")

	// A certificate for another name holds the next policy.
	in.use(w, "mta-sts.example.net", true)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = &metav1.Duration{Duration: 200 * time.Hour} })
	w.until("example-com", "held by a certificate for another name", refused)
	if w.isAnnounced(nil) {
		t.Error("announced with a certificate for another name")
	}
	in.use(w, "mta-sts.example.com", true)
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
}

// Over HTTP a replica that lags behind is seen as well as over HTTPS, and one that speaks HTTPS is none.
func TestPlainReplicasAreAsked(t *testing.T) {
	w := newWorld(t)
	w.plain().use(w, "mta-sts.example.com", true)
	secure := w.serve(t.TempDir())
	replicas := w.r.Replicas.(translated)
	replicas.to[netip.MustParseAddrPort("10.0.0.2:8080")] = secure
	var slice discoveryv1.EndpointSlice
	w.must(w.api.Get(t.Context(), types.NamespacedName{Namespace: w.operator, Name: "one"}, &slice))
	slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.2"}})
	w.must(w.api.Update(t.Context(), &slice))
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "held by the other replica", func(md *v1alpha1.MailDomain) bool {
		return strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "replica 10.0.0.2")
	})
	if got := w.dns.TXT("_mta-sts.example.com"); len(got) > 0 {
		t.Errorf("announced %q", got)
	}
}

// At the end there is no certificate to keep, and nobody is asked to issue one.
func TestPlainModeKeepsNoCertificate(t *testing.T) {
	w := newWorld(t)
	w.plain().use(w, "mta-sts.example.com", true)
	w.apply("example-com", v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, MTASTS: spec().MTASTS})
	w.until("example-com", "ready", isReady)
	w.delete("example-com")
	w.winds("example-com", "gone", time.Second, w.gone("example-com"))
	for range len(w.events.Events) {
		if e := <-w.events.Events; strings.Contains(e, v1alpha1.ReasonCertificateNotReady) {
			t.Errorf("Event: %s", e)
		}
	}
	if got := w.newPlainPod()["example.com"].Policy; !strings.Contains(got, "enforce") {
		t.Errorf("a new replica serves %q", got)
	}
}

func (w *world) newPlainPod() map[string]mtastsserver.Site {
	w.t.Helper()
	fresh := &SnapshotWriter{Client: w.api, Reader: unreadable{}, Clock: w.clock, Namespace: w.operator, Dir: w.t.TempDir(), Plain: true}
	_, err := fresh.Reconcile(w.t.Context(), ctrl.Request{})
	w.must(err)
	return w.sites(fresh.Dir)
}
