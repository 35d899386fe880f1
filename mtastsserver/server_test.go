package mtastsserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/certificate"
)

// patience is longer than any machine takes.
const patience = 60 * time.Second

// pair makes a self-signed certificate for host, as PEM.
func pair(t *testing.T, host string) (cert, key []byte) {
	t.Helper()
	cert, key, err := certificate.SelfSigned(host)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func secureSite(t *testing.T, domain, policy string) Site {
	t.Helper()
	cert, key := pair(t, "mta-sts."+domain)
	return Site{domain, policy, cert, key}
}

// logs collects log lines; safe for concurrent use.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// running is a Run in the background.
type running struct {
	policy, health string // addresses; health once open, policy after waitOpen
	logs           *logs
	opened         chan string
	stop           func() error // ends Run and returns its error
}

func start(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{logs: new(logs), opened: make(chan string, 1)}
	health := make(chan string, 1)
	o.Listen, o.HealthListen = "127.0.0.1:0", "127.0.0.1:0"
	o.Poll = 5 * time.Millisecond
	o.Log = slog.New(slog.NewTextHandler(r.logs, nil))
	o.Opened = func(port Port, addr net.Addr) {
		if port == PolicyPort {
			r.opened <- addr.String()
		} else {
			health <- addr.String()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case r.health = <-health:
	case err := <-ended:
		t.Fatalf("Run ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the health port does not open")
	}
	return r
}

func (r *running) waitOpen(t *testing.T) {
	t.Helper()
	select {
	case r.policy = <-r.opened:
	case <-time.After(patience):
		t.Fatalf("the policy port does not open; log:\n%s", r.logs)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// client connects to address whatever the URL's host says, with SNI sni.
func client(t *testing.T, address, sni string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		// The certificates are the tests' own; TestCertificateBySNI looks at them.
		TLSClientConfig:   &tls.Config{ServerName: sni, InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fetch gets the policy of domain as a sender would, or says what it got.
func (r *running) fetch(t *testing.T, domain string) string {
	t.Helper()
	host := "mta-sts." + domain
	response, err := client(t, r.policy, host).Get("https://" + host + policyPath)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	if response.StatusCode != 200 {
		return response.Status
	}
	return string(body)
}

func (r *running) probe(t *testing.T, path string) int {
	t.Helper()
	response, err := http.Get("http://" + r.health + path)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestRequests(t *testing.T) {
	dir := t.TempDir()
	body := policyOf("enforce")
	write(t, dir, []Site{secureSite(t, "example.com", body), secureSite(t, "example.net", policyOf("none")), {Domain: "plain.example", Policy: body}})
	const host = "mta-sts.example.com"
	secure, plain := start(t, Options{Dir: dir}), start(t, Options{Dir: dir, Plain: true})
	secure.waitOpen(t)
	plain.waitOpen(t)
	tests := map[string]struct {
		scheme, method, sni, host, target string
		status                            int
		body                              string
	}{
		"policy":                   {"https", "GET", host, host, policyPath, 200, body},
		"head":                     {"https", "HEAD", host, host, policyPath, 200, ""},
		"host with port and case":  {"https", "GET", host, "MTA-STS.example.com:443", policyPath, 200, body},
		"query":                    {"https", "GET", host, host, policyPath + "?x=1", 200, body},
		"other known host":         {"https", "GET", host, "mta-sts.example.net", policyPath, 421, ""},
		"unknown host":             {"https", "GET", host, "mta-sts.example.org", policyPath, 421, ""},
		"other path":               {"https", "GET", host, host, "/", 404, ""},
		"longer path":              {"https", "GET", host, host, policyPath + "/", 404, ""},
		"dots in the path":         {"https", "GET", host, host, "/x/.." + policyPath, 404, ""},
		"two slashes":              {"https", "GET", host, host, "/" + policyPath, 404, ""},
		"escaped path":             {"https", "GET", host, host, "/.well-known/mta%2Dsts.txt", 404, ""},
		"upper-case path":          {"https", "GET", host, host, strings.ToUpper(policyPath), 404, ""},
		"post":                     {"https", "POST", host, host, policyPath, 405, ""},
		"delete":                   {"https", "DELETE", host, host, policyPath, 405, ""},
		"options":                  {"https", "OPTIONS", host, host, policyPath, 405, ""},
		"plain: policy":            {"http", "GET", "", host, policyPath, 200, body},
		"plain: no certificate":    {"http", "GET", "", "mta-sts.plain.example", policyPath, 200, body},
		"plain: unknown host":      {"http", "GET", "", "mta-sts.example.org", policyPath, 404, ""},
		"plain: the domain itself": {"http", "GET", "", "example.com", policyPath, 404, ""},
	}
	for title, tt := range tests {
		ask := func(t *testing.T, http2 bool) {
			address := secure.policy
			if tt.scheme == "http" {
				address = plain.policy
			}
			request, err := http.NewRequestWithContext(t.Context(), tt.method, tt.scheme+"://"+host, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host, request.URL.Opaque = tt.host, "//"+host+tt.target
			if !strings.HasPrefix(tt.target, "//") {
				request.URL.Opaque = tt.target
			}
			c := client(t, address, tt.sni)
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
			response, err := c.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if (response.ProtoMajor == 2) != http2 {
				t.Errorf("the answer is %s", response.Proto)
			}
			got, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", response.StatusCode, tt.status)
			}
			if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Location") != "" {
				t.Errorf("header %v", response.Header)
			}
			if tt.status == 405 && response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %q", response.Header.Get("Allow"))
			}
			if tt.status != 200 {
				return
			}
			if string(got) != tt.body || response.ContentLength != int64(len(body)) {
				t.Errorf("body %q, length %d, want %q, %d", got, response.ContentLength, tt.body, len(body))
			}
			if media := response.Header.Get("Content-Type"); media != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type: %s", media)
			}
		}
		t.Run(title, func(t *testing.T) { ask(t, false) })
		if tt.scheme == "https" {
			t.Run(title+", HTTP/2", func(t *testing.T) { ask(t, true) })
		}
	}
}

// Requests that no Go client would send.
func TestRawRequests(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{{Domain: "example.com", Policy: "x"}})
	r := start(t, Options{Dir: dir, Plain: true})
	r.waitOpen(t)
	get := "GET " + policyPath + " HTTP/1.1\r\n"
	tests := map[string]struct {
		request string
		status  int
	}{
		"good":             {get + "Host: mta-sts.example.com\r\n\r\n", 200},
		"absolute":         {"GET https://mta-sts.example.com" + policyPath + " HTTP/1.1\r\nHost: other.example\r\n\r\n", 200},
		"no host":          {get + "\r\n", 400},
		"empty host":       {get + "Host:\r\n\r\n", 404},
		"two hosts":        {get + "Host: mta-sts.example.com\r\nHost: other.example\r\n\r\n", 400},
		"control octets":   {get + "Host: mta-sts.example.com\x01\r\n\r\n", 400},
		"HTTP/1.0, bare":   {"GET " + policyPath + " HTTP/1.0\r\n\r\n", 404},
		"asterisk":         {"OPTIONS * HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n", 404},
		"connect":          {"CONNECT mta-sts.example.com:443 HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n", 404},
		"header flood":     {get + "Host: mta-sts.example.com\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", 431},
		"HTTP/2 preface":   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404},
		"long host":        {get + "Host: " + strings.Repeat("a", 4000) + "\r\n\r\n", 404},
		"fragment in path": {"GET " + policyPath + "#x HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n", 404},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.policy)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(conn, tt.request) }()
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != tt.status {
				t.Errorf("status %d, want %d", response.StatusCode, tt.status)
			}
		})
	}
}

func TestCertificateBySNI(t *testing.T) {
	dir := t.TempDir()
	other := secureSite(t, "example.net", "x")
	mismatched := secureSite(t, "mismatched.example", "x")
	mismatched.PrivateKey = other.PrivateKey
	write(t, dir, []Site{
		secureSite(t, "example.com", "x"), other, mismatched,
		{Domain: "rubbish.example", Policy: "x", Certificate: []byte("certificate"), PrivateKey: []byte("secret text")},
		{Domain: "plain.example", Policy: "x"},
	})
	r := start(t, Options{Dir: dir})
	r.waitOpen(t)
	dial := func(config *tls.Config) (*tls.Conn, error) {
		config.InsecureSkipVerify = true
		dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
		conn, err := dialer.DialContext(t.Context(), "tcp", r.policy)
		if err != nil {
			return nil, err
		}
		return conn.(*tls.Conn), nil
	}
	for _, host := range []string{"mta-sts.example.com", "mta-sts.example.net", "MTA-STS.EXAMPLE.NET"} {
		conn, err := dial(&tls.Config{ServerName: host, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		state := conn.ConnectionState()
		if err := state.PeerCertificates[0].VerifyHostname(host); err != nil || state.NegotiatedProtocol != "h2" {
			t.Errorf("%s: %v, protocol %s", host, err, state.NegotiatedProtocol)
		}
		conn.Close()
	}
	refused := map[string]*tls.Config{
		"unknown name":   {ServerName: "mta-sts.example.org"},
		"the domain":     {ServerName: "example.com"},
		"no name":        {ServerName: ""},
		"no certificate": {ServerName: "mta-sts.plain.example"},
		"rubbish":        {ServerName: "mta-sts.rubbish.example"},
		"mismatched":     {ServerName: "mta-sts.mismatched.example"},
	}
	for title, config := range refused {
		for range 2 {
			if conn, err := dial(config); err == nil {
				conn.Close()
				t.Errorf("%s: the handshake succeeded", title)
			} else if !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("%s: %v", title, err)
			}
		}
	}
	if conn, err := dial(&tls.Config{ServerName: "mta-sts.example.com", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	for _, domain := range []string{"rubbish.example", "mismatched.example"} {
		if n := strings.Count(r.logs.String(), "domain="+domain); n != 1 {
			t.Errorf("%s is logged %d times, want once:\n%s", domain, n, r.logs)
		}
	}
	if strings.Contains(r.logs.String(), "secret text") {
		t.Error("a private key reached the log")
	}
}

func TestPortOpensWithACompleteSnapshot(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	if live, ready := r.probe(t, "/healthz"), r.probe(t, "/readyz"); live != 200 || ready != 503 {
		t.Errorf("healthz %d, readyz %d, want 200, 503", live, ready)
	}
	// A torn snapshot is not one.
	if err := os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"version":1`), fileMode); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the torn manifest is refused", func() bool { return strings.Contains(r.logs.String(), "not a whole manifest") })
	select {
	case address := <-r.opened:
		t.Fatalf("the port %s opened without a snapshot", address)
	default:
	}
	if ready := r.probe(t, "/readyz"); ready != 503 {
		t.Errorf("readyz %d, want 503", ready)
	}
	write(t, dir, []Site{secureSite(t, "example.com", "x")})
	r.waitOpen(t)
	if ready := r.probe(t, "/readyz"); ready != 200 {
		t.Errorf("readyz %d, want 200", ready)
	}
	if got := r.fetch(t, "example.com"); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestLastGoodSnapshotStays(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "snapshot")
	site := secureSite(t, "example.com", policyOf("enforce"))
	write(t, dir, []Site{site})
	r := start(t, Options{Dir: dir})
	r.waitOpen(t)
	stands := func(when string) {
		t.Helper()
		if got := r.fetch(t, "example.com"); got != site.Policy {
			t.Errorf("%s: got %q", when, got)
		}
		if ready := r.probe(t, "/readyz"); ready != 200 {
			t.Errorf("%s: readyz %d", when, ready)
		}
	}
	stands("at first")

	away := filepath.Join(parent, "away")
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is logged", func() bool { return strings.Contains(r.logs.String(), "no such file") })
	stands("without the directory")
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the return is logged", func() bool { return strings.Contains(r.logs.String(), "stands again") })
	stands("with the directory back")

	changed := site
	changed.Policy = policyOf("testing")
	write(t, dir, []Site{changed})
	eventually(t, "the change is served", func() bool { return r.fetch(t, "example.com") == changed.Policy })
	site = changed

	// A manifest whose object does not exist, then the repair of the object alone.
	later := site
	later.Policy = policyOf("none")
	if err := replaceFile(dir, manifestName, encoded(t, []Site{later})); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the partial snapshot is refused", func() bool { return strings.Contains(r.logs.String(), "policy of example.com") })
	stands("with a partial snapshot")
	if err := replaceFile(filepath.Join(dir, objectsName), string(digestOf([]byte(later.Policy))), []byte(later.Policy)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the repaired snapshot is served", func() bool { return r.fetch(t, "example.com") == later.Policy })

	if n := strings.Count(r.logs.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d errors are logged, want 2: one per change\n%s", n, r.logs)
	}
}

func TestRemovedAndAddedSites(t *testing.T) {
	dir := t.TempDir()
	old, added := secureSite(t, "old.example", "old"), secureSite(t, "new.example", "new")
	write(t, dir, []Site{old})
	r := start(t, Options{Dir: dir})
	r.waitOpen(t)
	write(t, dir, []Site{added})
	eventually(t, "the added site is served", func() bool { return r.fetch(t, "new.example") == "new" })
	if got := r.fetch(t, "old.example"); !strings.Contains(got, "unrecognized name") {
		t.Errorf("the removed site: %q", got)
	}
	// The empty snapshot is a whole one.
	write(t, dir, nil)
	eventually(t, "nothing is served", func() bool { return strings.Contains(r.fetch(t, "new.example"), "unrecognized name") })
}

// Requests on kept connections and new ones go on while snapshots change; each
// gets one whole policy, old or new.
func TestReloadDropsNoRequest(t *testing.T) {
	dir := t.TempDir()
	site := secureSite(t, "example.com", "generation 0")
	write(t, dir, []Site{site})
	r := start(t, Options{Dir: dir})
	r.waitOpen(t)
	stop := make(chan struct{})
	var served atomic.Int64
	var clients sync.WaitGroup
	for _, keep := range []bool{true, true, false} {
		c := client(t, r.policy, "mta-sts.example.com")
		c.Transport.(*http.Transport).DisableKeepAlives = !keep
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := c.Get("https://mta-sts.example.com" + policyPath)
				if err != nil {
					t.Errorf("after %d requests: %v", served.Load(), err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != 200 || !strings.HasPrefix(string(body), "generation ") {
					t.Errorf("status %d, body %q, error %v", response.StatusCode, body, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := 1; i <= 20; i++ {
		before := served.Load()
		site.Policy = fmt.Sprint("generation ", i)
		if i%5 == 0 {
			site.Certificate, site.PrivateKey = pair(t, "mta-sts.example.com")
		}
		write(t, dir, []Site{site})
		eventually(t, site.Policy, func() bool { return t.Failed() || r.fetch(t, "example.com") == site.Policy })
		eventually(t, "requests go on", func() bool { return t.Failed() || served.Load() > before })
	}
	close(stop)
	clients.Wait()
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	for title, tt := range map[string]struct {
		grace    time.Duration
		finishes bool
	}{"in grace": {patience, true}, "beyond it": {time.Millisecond, false}} {
		t.Run(title, func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(entered)
				<-leave
				_, _ = io.WriteString(w, "done")
			})
			opened := make(chan string, 1)
			o := Options{Grace: tt.grace, Opened: func(_ Port, addr net.Addr) { opened <- addr.String() }}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- o.serve(ctx, PolicyPort, "127.0.0.1:0", o.bounded(slow, slog.New(slog.DiscardHandler)))
			}()
			address := <-opened
			answered := make(chan error, 1)
			go func() {
				response, err := client(t, address, "").Get("http://mta-sts.example.com")
				if err == nil {
					response.Body.Close()
				}
				answered <- err
			}()
			<-entered
			cancel()
			if tt.finishes {
				eventually(t, "the port closes", func() bool {
					c, err := net.Dial("tcp", address)
					if err == nil {
						c.Close()
					}
					return err != nil
				})
				close(leave)
			} else {
				defer close(leave)
			}
			if err := <-answered; (err == nil) != tt.finishes {
				t.Errorf("the request under way: %v", err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{{Domain: "example.com", Policy: "x"}})
	r := start(t, Options{Dir: dir, Plain: true, MaxConnections: 1})
	r.waitOpen(t)
	idle, err := net.Dial("tcp", r.policy)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	get := func(conn net.Conn) error {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "GET "+policyPath+" HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	if err := get(idle); err != nil { // it is the one that was accepted
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", r.policy)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	answered := make(chan error, 1)
	go func() { answered <- get(second) }()
	select {
	case err := <-answered:
		t.Fatalf("a second connection was served beside the first: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	idle.Close()
	if err := <-answered; err != nil {
		t.Errorf("after the first one closed: %v", err)
	}
}

func TestRunReportsAPortThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	write(t, dir, nil)
	for port, o := range map[Port]Options{
		PolicyPort: {Dir: dir, Listen: taken.Addr().String()},
		HealthPort: {Dir: dir, Listen: "127.0.0.1:0", HealthListen: taken.Addr().String()},
	} {
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the "+string(port)+" port") {
			t.Errorf("%s: error %v", port, err)
		}
	}
}
