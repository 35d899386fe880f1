package outage

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// gate stands between the managers and the API server. While it is down nobody listens at its
// address, and every connection is cut.
type gate struct {
	t          *testing.T
	kubeconfig string
	address    string
	handler    http.Handler

	mu     sync.Mutex
	server *http.Server // nil: down
}

func newGate(t *testing.T, config *rest.Config) *gate {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport, forward.FlushInterval = transport, -1
	g := &gate{t: t, handler: forward, address: "127.0.0.1:0", kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	g.up()
	t.Cleanup(g.down)
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["outage"] = &clientcmdapi.Cluster{Server: "http://" + g.address}
	kubeconfig.Contexts["outage"] = &clientcmdapi.Context{Cluster: "outage"}
	kubeconfig.CurrentContext = "outage"
	if err := clientcmd.WriteToFile(*kubeconfig, g.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gate) up() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	listener, err := net.Listen("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.address = listener.Addr().String()
	g.server = &http.Server{Handler: g.handler, ReadHeaderTimeout: time.Minute}
	go func(server *http.Server) { _ = server.Serve(listener) }(g.server)
}

func (g *gate) down() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.server != nil {
		_ = g.server.Close()
		g.server = nil
	}
}
