package mtastsserver

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// What a client can hold, and for how long. A sender of mail asks once and goes: it needs one
// request, no body, and little time. Whoever wants more is cut off, so that a flood of connections
// keeps others out for no longer than it takes to time them out.

const (
	// maxStreams is how many requests one HTTP/2 connection may have under way. Streams that are
	// opened and reset count until they are done, so that resetting them rapidly gains nothing.
	maxStreams = 16
	// maxHeader bounds the header of a request, in octets.
	maxHeader = 8 << 10
	// maxFrame is the least that RFC 9113 §4.2 allows.
	maxFrame = 16 << 10
)

// policy is the server of the policy port.
func (o Options) policy(s *Server) *http.Server {
	var handler http.Handler = s
	if o.AccessLog {
		handler = logged(handler, s.log)
	}
	server := o.bounded(s.metrics.count(handler), s.log)
	if o.Plain {
		return server // the proxy in front keeps its connections
	}
	server.TLSConfig = s.TLSConfig()
	server.Protocols.SetHTTP2(true)
	server.SetKeepAlivesEnabled(false) // HTTP/1.1 closes after the answer, HTTP/2 sends GOAWAY with it
	return server
}

// health is the server of the health port.
func (o Options) health(s *Server) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.current.Load() == nil {
			http.Error(w, "no complete snapshot yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", s.metrics.handler())
	return o.bounded(mux, s.log)
}

// bounded bounds the header and the time for each step; that for headers bounds the TLS handshake
// and an idle connection as well. Failed handshakes of strangers are no news, so net/http's own log
// goes to debug.
func (o Options) bounded(handler http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      handler,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            o.patience(),
		ReadTimeout:                  2 * o.patience(),
		WriteTimeout:                 2 * o.patience(),
		IdleTimeout:                  o.patience(),
		MaxHeaderBytes:               maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerConnection: 64 << 10,
			MaxReceiveBufferPerStream:     16 << 10, // there is no body to receive
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxEncoderHeaderTableSize:     4 << 10,
			WriteByteTimeout:              o.patience(),
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func (o Options) patience() time.Duration { return cmp.Or(o.Patience, 5*time.Second) }

// lifetime is that of a TLS connection, whatever it does: the handshake, a header, the answer, and
// the farewell of HTTP/2.
func (o Options) lifetime() time.Duration { return 5 * o.patience() }

// mortal closes each connection after its lifetime.
type mortal struct {
	net.Listener
	lifetime time.Duration
}

// Accept implements net.Listener.
func (l mortal) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m := &mortalConn{Conn: conn}
	m.end = time.AfterFunc(l.lifetime, func() { m.close.Do(m.closeConn) }) // not Close, which stops the timer
	return m, nil
}

type mortalConn struct {
	net.Conn
	end   *time.Timer
	close sync.Once
	err   error
}

// Close implements net.Conn.
func (c *mortalConn) Close() error {
	c.close.Do(c.closeConn)
	c.end.Stop()
	return c.err
}

func (c *mortalConn) closeConn() { c.err = c.Conn.Close() }
