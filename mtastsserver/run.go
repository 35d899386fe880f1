package mtastsserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// Port names one of the server's two listeners.
type Port string

const (
	PolicyPort Port = "policy"
	HealthPort Port = "health"
)

// Options of Run.
type Options struct {
	Dir    string // where WriteSnapshot writes
	Listen string // address of the policy port, e.g. ":8443"
	// HealthListen is the address of the health port, plain HTTP: /healthz is 200
	// while the process runs, /readyz with the first complete snapshot. Empty: none.
	HealthListen string
	// Plain serves HTTP instead of HTTPS, for an Ingress in front that ends TLS.
	Plain bool
	// Poll is how often the manifest is looked at; 0 means 250 ms.
	Poll time.Duration
	// MaxConnections bounds the connections of the policy port, those in a TLS
	// handshake included; more wait to be accepted. 0 means 1024.
	MaxConnections int
	// Grace is how long requests may take to end after the context; 0 means 10 s.
	Grace time.Duration
	Log   *slog.Logger // nil discards
	// Opened, if set, is told the address of each port when it opens.
	Opened func(Port, net.Addr)
}

// Run serves until ctx ends, then lets requests finish and returns nil. Any other
// return is a port that could not be opened or served.
//
// The policy port opens with the first complete snapshot in Dir. From then on it
// serves the last good one: a directory that vanishes or holds rubbish is logged
// once per change and otherwise without effect.
func Run(ctx context.Context, o Options) error {
	server := NewServer(o.Log)
	group, ctx := errgroup.WithContext(ctx)
	if o.HealthListen != "" {
		group.Go(func() error {
			return o.serve(ctx, HealthPort, o.HealthListen, newHTTPServer(server.health(), server.log), nil)
		})
	}
	complete := make(chan struct{})
	group.Go(func() error {
		w := &watcher{dir: o.Dir, server: server, log: server.log}
		w.watch(ctx, cmp.Or(o.Poll, 250*time.Millisecond), func() { close(complete) })
		return nil
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-complete:
		}
		config := server.TLSConfig()
		if o.Plain {
			config = nil
		}
		return o.serve(ctx, PolicyPort, o.Listen, newHTTPServer(server, server.log), config)
	})
	return group.Wait()
}

// health answers the kubelet's probes.
func (s *Server) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.current.Load() == nil {
			http.Error(w, "no complete snapshot yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

// newHTTPServer bounds what a client can hold: headers, and the time for each
// step; the time for headers bounds the TLS handshake as well. Failed handshakes
// of strangers are no news, so net/http's own log goes to debug.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      handler,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 10 * time.Second,
		IdleTimeout:                  15 * time.Second,
		MaxHeaderBytes:               8 << 10,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve opens the port and serves until ctx ends, over TLS if config is not nil.
func (o Options) serve(ctx context.Context, port Port, address string, server *http.Server, config *tls.Config) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the %s port: %w", port, err)
	}
	if o.Opened != nil {
		o.Opened(port, listener.Addr())
	}
	listener = netutil.LimitListener(listener, cmp.Or(o.MaxConnections, 1024))
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the %s port: %w", port, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(o.Grace, 10*time.Second))
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close() // what is still open now is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the %s port: %w", port, err)
	}
	return nil
}
