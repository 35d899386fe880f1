package mtastsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const floodHost = "mta-sts.example.com"

// A flood is a way to hold a connection for as long as the server lets one. It returns when the
// connection is closed.
var floods = map[string]func(net.Conn) error{
	"says nothing": listen,
	"half a hello": func(c net.Conn) error { return errors.Join(says(c, "\x16\x03\x01\x02\x00\x01"), listen(c)) },
	"a hello by and by": func(c net.Conn) error {
		return drip(c, "\x16\x03\x01\x40\x00"+strings.Repeat("\x01", 1<<14))
	},
	"shakes hands": overTLS("http/1.1", listen),
	"half a header": overTLS("http/1.1", func(c net.Conn) error {
		return errors.Join(says(c, "GET "+policyPath+" HTTP/1.1\r\nHost: "), listen(c))
	}),
	"a header by and by": overTLS("http/1.1", func(c net.Conn) error {
		return drip(c, "GET "+policyPath+" HTTP/1.1\r\nHost: "+floodHost+"\r\nX: "+strings.Repeat("x", 7000))
	}),
	"one request after another": overTLS("http/1.1", func(c net.Conn) error {
		return drip(c, strings.Repeat("GET "+policyPath+" HTTP/1.1\r\nHost: "+floodHost+"\r\n\r\n", 1000))
	}),
	"a body without end": overTLS("http/1.1", func(c net.Conn) error {
		return drip(c, "POST "+policyPath+" HTTP/1.1\r\nHost: "+floodHost+"\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 1<<20))
	}),
	"shakes hands, HTTP/2":   overTLS("h2", listen),
	"half a preface, HTTP/2": overTLS("h2", func(c net.Conn) error { return errors.Join(says(c, http2.ClientPreface[:9]), listen(c)) }),
	"no request, HTTP/2":     overHTTP2(func(f *http2.Framer, _ int) error { return nil }),
	"pings, HTTP/2":          overHTTP2(func(f *http2.Framer, _ int) error { return f.WritePing(false, [8]byte{}) }),
	"settings, HTTP/2":       overHTTP2(func(f *http2.Framer, _ int) error { return f.WriteSettings() }),
	"priorities, HTTP/2": overHTTP2(func(f *http2.Framer, n int) error {
		return f.WritePriority(uint32(2*n+1), http2.PriorityParam{Weight: 1})
	}),
	"requests, HTTP/2": overHTTP2(func(f *http2.Framer, n int) error { return f.WriteHeaders(request(n)) }),
	"requests without an end, HTTP/2": overHTTP2(func(f *http2.Framer, n int) error {
		h := request(n)
		h.EndStream = false
		return f.WriteHeaders(h)
	}),
	"requests that are reset, HTTP/2": overHTTP2(func(f *http2.Framer, n int) error {
		return errors.Join(f.WriteHeaders(request(n)), f.WriteRSTStream(uint32(2*n+1), http2.ErrCodeCancel))
	}),
	"a header that goes on, HTTP/2": overHTTP2(func(f *http2.Framer, n int) error {
		if n == 0 {
			h := request(n)
			h.EndHeaders = false
			return f.WriteHeaders(h)
		}
		return f.WriteContinuation(1, false, field("x", strings.Repeat("x", 10)))
	}),
	"answers that are not taken, HTTP/2": overHTTP2(func(f *http2.Framer, n int) error {
		if n == 0 {
			if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
				return err
			}
		}
		return f.WriteHeaders(request(n))
	}),
}

func says(c net.Conn, text string) error {
	_, err := io.WriteString(c, text)
	return err
}

func listen(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// drip says the text an octet at a time, and again when it is at its end.
func drip(c net.Conn, text string) error {
	go func() { _ = listen(c) }()
	for i := 0; ; i++ {
		if err := says(c, text[i%len(text):i%len(text)+1]); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func overTLS(protocol string, then func(net.Conn) error) func(net.Conn) error {
	return func(c net.Conn) error {
		secure := tls.Client(c, &tls.Config{ServerName: floodHost, InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if err := secure.Handshake(); err != nil {
			return err
		}
		return then(secure)
	}
}

// overHTTP2 sends frames for as long as the server takes them.
func overHTTP2(frame func(*http2.Framer, int) error) func(net.Conn) error {
	return overTLS("h2", func(c net.Conn) error {
		ended := make(chan struct{})
		go func() { _ = listen(c); close(ended) }()
		f := http2.NewFramer(c, nil)
		if err := errors.Join(says(c, http2.ClientPreface), f.WriteSettings(), f.WriteSettingsAck()); err != nil {
			return err
		}
		for n := 0; ; n++ {
			if err := frame(f, n); err != nil {
				return err
			}
			select {
			case <-ended:
				return nil
			case <-time.After(time.Millisecond):
			}
		}
	})
}

func field(name, value string) []byte {
	var b bytes.Buffer
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
	return b.Bytes()
}

func request(n int) http2.HeadersFrameParam {
	var block []byte
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", floodHost}, {":path", policyPath}} {
		block = append(block, field(f[0], f[1])...)
	}
	return http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: block, EndStream: true, EndHeaders: true}
}

// pipes is a listener whose connections stay in this process, so that time can be the test's own.
type pipes struct {
	accepts chan net.Conn
	closed  chan struct{}
	close   sync.Once
}

func newPipes() *pipes { return &pipes{accepts: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accepts <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepts:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Floods that take every connection keep nobody out for longer than a connection may live: every one of
// them is closed by then, whatever it does. The clock stands still while anybody works, so that this is
// true to the moment, however slow the machine is.
func TestFloodsAreTimedOut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{secureSite(t, "example.com", "x")})
	snapshot, err := LoadSnapshot(dir)
	must(t, err)
	const connections = 4
	for title, flood := range floods {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{MaxConnections: connections, Patience: 300 * time.Millisecond}
				policies := NewServer(nil)
				policies.Use(snapshot)
				listener, server := newPipes(), o.policy(policies)
				served := make(chan error, 1)
				go func() { served <- o.serveOn(listener, server) }()
				began := time.Now()
				var clients sync.WaitGroup
				for range connections {
					conn, err := listener.dial()
					must(t, err)
					giveUp := time.AfterFunc(3*o.lifetime(), func() {
						t.Error("a connection is held for ever")
						_ = conn.Close()
					})
					clients.Go(func() {
						_ = flood(conn)
						_ = conn.Close()
						giveUp.Stop()
					})
				}
				// One more is accepted when the first of them is closed.
				got := overPipes(t, listener)
				if waited := time.Since(began); got != "x" || waited > o.lifetime() {
					t.Errorf("somebody else gets %q after %v", got, waited)
				}
				clients.Wait()
				if held := time.Since(began); held > 2*o.lifetime() { // writes to a dead connection, and the farewell
					t.Errorf("the last connection is held for %v, want %v at most", held, o.lifetime())
				}
				// Both ends give up saying goodbye. Close would do so with its lock held, and who waits for a lock
				// keeps the test's time from going on.
				time.Sleep(time.Minute)
				_ = server.Close()
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
}

// overPipes gets the policy as a sender would, or says what it got.
func overPipes(t *testing.T, listener *pipes) string {
	t.Helper()
	conn, err := listener.dial()
	if err != nil {
		return err.Error()
	}
	defer conn.Close() // without a goodbye
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		TLSClientConfig:   &tls.Config{ServerName: floodHost, InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}
	response, err := (&http.Client{Transport: transport}).Get("https://" + floodHost + policyPath)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// What HTTP/2 clients are told that they may do.
func TestHTTP2Settings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{secureSite(t, "example.com", "x")})
	r := start(t, Options{Dir: dir})
	r.waitOpen(t)
	conn, err := tls.Dial("tcp", r.policy, &tls.Config{ServerName: floodHost, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := http2.NewFramer(conn, conn)
	must(t, conn.SetDeadline(time.Now().Add(patience)), says(conn, http2.ClientPreface), f.WriteSettings())
	frame, err := f.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame is %v", frame)
	}
	for id, most := range map[http2.SettingID]uint32{
		http2.SettingMaxConcurrentStreams: maxStreams,
		http2.SettingMaxFrameSize:         maxFrame,
		http2.SettingMaxHeaderListSize:    maxHeader + 1<<10, // net/http counts 32 octets more for each field
		http2.SettingInitialWindowSize:    16 << 10,
	} {
		if got, set := settings.Value(id); !set || got > most {
			t.Errorf("%v is %d (%v), want at most %d", id, got, set, most)
		}
	}
	// A header beyond the bound, and the connection's end after the first answer.
	h := request(0)
	for range 12 {
		h.BlockFragment = append(h.BlockFragment, field("x", strings.Repeat("x", 1000))...)
	}
	must(t, f.WriteSettingsAck(), f.WriteHeaders(h))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	goAway, status := false, ""
	for err == nil {
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			goAway = true
		case *http2.MetaHeadersFrame:
			status = frame.PseudoValue("status")
		}
		frame, err = f.ReadFrame()
	}
	if !goAway || status != "431" {
		t.Errorf("status %q, GOAWAY %v", status, goAway)
	}
}

// Behind a proxy connections are kept: they are the proxy's.
func TestPlainConnectionsAreKept(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{{Domain: "example.com", Policy: "x"}})
	r := start(t, Options{Dir: dir, Plain: true})
	r.waitOpen(t)
	dials := 0
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, network, r.policy)
	}}}
	defer c.CloseIdleConnections()
	for range 3 {
		response, err := c.Get("http://" + floodHost + policyPath)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if dials != 1 {
		t.Errorf("%d connections for three requests", dials)
	}
}
