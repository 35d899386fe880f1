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
	"testing"
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

// Floods that take every connection, and come back for each one that is closed, keep nobody out:
// every one of them is closed, whatever it does.
func TestFloodsAreTimedOut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{secureSite(t, "example.com", "x")})
	const connections = 4
	for title, flood := range floods {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{Dir: dir, MaxConnections: connections, Patience: 300 * time.Millisecond})
			r.waitOpen(t)
			ended := make(chan struct{}, connections)
			for range connections {
				conn, err := net.Dial("tcp", r.policy)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				go func() {
					_ = flood(conn)
					ended <- struct{}{}
				}()
			}
			for range connections {
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatal("a connection is held for ever")
				}
			}
			if got := r.fetch(t, "example.com"); got != "x" {
				t.Errorf("somebody else gets %q", got)
			}
		})
	}
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
