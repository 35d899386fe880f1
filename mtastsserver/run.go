package mtastsserver

import (
	"cmp"
	"context"
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
	Dir    string // where a Writer writes
	Listen string // address of the policy port, e.g. ":8443"
	// HealthListen is the address of the health port, plain HTTP: /healthz is 200
	// while the process runs, /readyz with the first complete snapshot, /metrics are
	// for Prometheus. Empty: none.
	HealthListen string
	// Plain serves HTTP instead of HTTPS, for an Ingress in front that ends TLS.
	Plain bool
	// AccessLog logs a line for each request.
	AccessLog bool
	// Poll is how often the manifest is looked at; 0 means 250 ms.
	Poll time.Duration
	// MaxConnections bounds the connections of the policy port, those in a TLS
	// handshake included; more wait to be accepted. 0 means 2048.
	MaxConnections int
	// Patience is how long a client may take for the TLS handshake, and then for the
	// header of its request; 0 means 5 s.
	Patience time.Duration
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
			return o.serve(ctx, HealthPort, o.HealthListen, o.health(server))
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
		return o.serve(ctx, PolicyPort, o.Listen, o.policy(server))
	})
	return group.Wait()
}

// serve opens the port and serves until ctx ends, over TLS if the server has a configuration for it.
func (o Options) serve(ctx context.Context, port Port, address string, server *http.Server) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the %s port: %w", port, err)
	}
	if o.Opened != nil {
		o.Opened(port, listener.Addr())
	}
	ended := make(chan error, 1)
	go func() { ended <- o.serveOn(listener, server) }()
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

// serveOn serves the connections of a listener, which are bounded in number and, over TLS, in time.
func (o Options) serveOn(listener net.Listener, server *http.Server) error {
	listener = netutil.LimitListener(listener, cmp.Or(o.MaxConnections, 2048))
	if server.TLSConfig == nil {
		return server.Serve(listener)
	}
	return server.ServeTLS(mortal{listener, o.lifetime()}, "", "")
}
