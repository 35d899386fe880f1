package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

const policy = "version: STSv1\r\nmode: testing\r\nmx: mx.example.com\r\nmax_age: 86400\r\n"

// certAuthority signs the certificates of the tests.
type certAuthority struct {
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertAuthority(t *testing.T) certAuthority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return certAuthority{pool, cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (ca certAuthority) issue(t *testing.T, host string, notAfter time.Time) tls.Certificate {
	t.Helper()
	return ca.sign(t, &x509.Certificate{DNSNames: []string{host}}, notAfter)
}

// sign completes a certificate, which is valid for the day before notAfter.
func (ca certAuthority) sign(t *testing.T, template *x509.Certificate, notAfter time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(2), notAfter.Add(-24*time.Hour), notAfter
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func servePolicy(t *testing.T, config *tls.Config, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if config != nil {
		s.TLS = config
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// serveBytes answers each connection with raw octets and closes it.
func serveBytes(t *testing.T, octets string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// The request is read first: closing with unread data resets the connection.
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, octets)
			conn.Close()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

func TestFetchPolicy(t *testing.T) {
	ca := newCertAuthority(t)
	soon := time.Now().Add(time.Hour)
	valid := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "mta-sts.example.com", soon)}}
	withCert := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	good := func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Host != "mta-sts.example.com" || r.URL.RequestURI() != "/.well-known/mta-sts.txt" {
			t.Errorf("%s %s of %s", r.Method, r.URL.RequestURI(), r.Host)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, policy)
	}
	sends := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	plain := "text/plain"
	tests := map[string]struct {
		config  *tls.Config
		handler http.HandlerFunc
		outcome PolicyOutcome
		detail  string
		body    string
	}{
		"served":            {valid, good, PolicyServed, "", policy},
		"wildcard":          {withCert(ca.issue(t, "*.example.com", soon)), good, PolicyServed, "", policy},
		"odd parameter":     {valid, sends(200, "text/plain; charset", policy), PolicyServed, "", policy},
		"largest":           {valid, sends(200, plain, strings.Repeat("x", maxPolicySize)), PolicyServed, "", strings.Repeat("x", maxPolicySize)},
		"too large":         {valid, sends(200, plain, strings.Repeat("x", maxPolicySize+1)), PolicyBadResponse, "the policy is larger than 64 KiB", ""},
		"redirect":          {valid, sends(301, plain, ""), PolicyBadResponse, "status 301 Moved Permanently: senders do not follow redirects", ""},
		"not found":         {valid, sends(404, plain, policy), PolicyBadResponse, "status 404 Not Found instead of 200", ""},
		"no content":        {valid, sends(204, plain, ""), PolicyBadResponse, "status 204 No Content instead of 200", ""},
		"unassigned status": {valid, sends(299, plain, policy), PolicyBadResponse, "status 299 instead of 200", ""},
		"HTML":              {valid, sends(200, "text/html; <script>", policy), PolicyBadResponse, "the media type is not text/plain", ""},
		"no media type":     {valid, sends(200, "", policy), PolicyBadResponse, "the media type is not text/plain", ""},
		"header flood":      {valid, sends(200, "text/plain; x="+strings.Repeat("x", 32<<10), policy), PolicyBadResponse, "the answer is not an HTTP response", ""},
		"other name":        {withCert(ca.issue(t, "www.example.com", soon)), good, PolicyBadCertificate, "the certificate is not valid for mta-sts.example.com", ""},
		"expired":           {withCert(ca.issue(t, "mta-sts.example.com", time.Now().Add(-time.Hour))), good, PolicyBadCertificate, "the certificate has expired or is not valid yet", ""},
		"unknown authority": {withCert(newCertAuthority(t).issue(t, "mta-sts.example.com", soon)), good, PolicyBadCertificate, "the certificate is not signed by a trusted authority", ""},
		"old TLS only":      {&tls.Config{Certificates: valid.Certificates, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, good, PolicyTLSFailed, "the server refused the TLS handshake: protocol version not supported", ""},
		"no TLS":            {nil, good, PolicyTLSFailed, "the server does not speak TLS", ""},
		"breaks off the body": {valid, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", plain)
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, PolicyNoAnswer, "the answer broke off", ""},
		"breaks off at once": {valid, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, PolicyNoAnswer, "connection closed before the answer", ""},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			addr := servePolicy(t, tt.config, tt.handler)
			f := &PolicyFetcher{Roots: ca.pool, Timeout: patience, AllowPrivate: loopback}
			got, err := f.FetchFrom(t.Context(), "Example.com.", []netip.AddrPort{addr})
			want := PolicyAnswer{Host: "mta-sts.example.com", Results: []PolicyResult{{Addr: addr, Outcome: tt.outcome, Detail: tt.detail, Body: tt.body}}}
			if tt.detail == "the media type is not text/plain" {
				want.Results[0].Mislabelled = policy
			}
			if diff := cmp.Diff(want, got, addressesByValue); diff != "" || err != nil {
				t.Errorf("error %v: %s", err, diff)
			}
		})
	}
}

func TestFetchPolicyWithoutServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tests := map[string]struct {
		f       PolicyFetcher
		addr    netip.AddrPort
		outcome PolicyOutcome
		detail  string
	}{
		"nobody there":         {PolicyFetcher{Timeout: patience, AllowPrivate: loopback}, deadAddr(t), PolicyNoAnswer, "connection refused"},
		"silent":               {PolicyFetcher{Timeout: hurry, AllowPrivate: loopback}, netip.MustParseAddrPort(silent.Addr().String()), PolicyNoAnswer, "no answer in time"},
		"not allowed":          {PolicyFetcher{Timeout: patience}, netip.MustParseAddrPort(silent.Addr().String()), PolicyUnroutable, errNotAllowed.Error()},
		"cloud metadata":       {PolicyFetcher{Timeout: patience, AllowPrivate: loopback}, netip.MustParseAddrPort("169.254.169.254:443"), PolicyUnroutable, errNotAllowed.Error()},
		"not HTTP":             {PolicyFetcher{Timeout: patience, AllowPrivate: loopback, Plain: true}, serveBytes(t, "220 mx.example.com ESMTP\r\n"), PolicyBadResponse, "the answer is not an HTTP response"},
		"closes the handshake": {PolicyFetcher{Timeout: patience, AllowPrivate: loopback}, serveBytes(t, ""), PolicyTLSFailed, "the TLS handshake (1.2 or later) failed"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			got, err := tt.f.FetchFrom(t.Context(), "example.com", []netip.AddrPort{tt.addr})
			if err != nil {
				t.Fatal(err)
			}
			if r := got.Results[0]; r.Outcome != tt.outcome || r.Detail != tt.detail {
				t.Errorf("got %s, %q, want %s, %q", r.Outcome, r.Detail, tt.outcome, tt.detail)
			}
		})
	}
}

func TestFetchPolicyPerAddress(t *testing.T) {
	ca := newCertAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "mta-sts.example.com", time.Now().Add(time.Hour))}}
	addr := servePolicy(t, config, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, policy)
	})
	resolver := play(t, script{
		"mta-sts.example.com A": {ra: true, answer: []string{"mta-sts.example.com. 60 CNAME sts.example.net.", "sts.example.net. 60 A 10.0.0.1",
			"sts.example.net. 60 A 127.0.0.1"}},
		"mta-sts.example.com AAAA":  {ra: true, answer: []string{"mta-sts.example.com. 60 CNAME sts.example.net."}, ns: []string{soa("example.net", "60", "60")}},
		"mta-sts.gone.example A":    {ra: true, code: dns.RcodeNameError},
		"mta-sts.gone.example AAAA": {ra: true, code: dns.RcodeNameError},
	}).resolver()
	f := &PolicyFetcher{Resolver: resolver, Roots: ca.pool, Port: addr.Port(), Timeout: patience, AllowPrivate: loopback}
	got, err := f.Fetch(t.Context(), "example.com")
	want := PolicyAnswer{Host: "mta-sts.example.com", Results: []PolicyResult{
		{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), addr.Port()), Outcome: PolicyUnroutable, Detail: errNotAllowed.Error()},
		{Addr: addr, Outcome: PolicyServed, Body: policy},
	}}
	if diff := cmp.Diff(want, got, addressesByValue); diff != "" || err != nil {
		t.Errorf("error %v: %s", err, diff)
	}

	for domain, notFound := range map[string]bool{"gone.example": true, "failing.example": false} {
		_, err := f.Fetch(t.Context(), domain)
		var e *net.DNSError
		if !errors.As(err, &e) || e.IsNotFound != notFound || e.IsTemporary == notFound {
			t.Errorf("%s: error %#v, want not found: %v", domain, err, notFound)
		}
	}
	// None of too many is asked: a part would not be all that senders see.
	for n, says := range map[int]string{maxPolicyAddrs: "", maxPolicyAddrs + 1: "has 33 addresses, at most 32"} {
		answer := scripted{ra: true}
		for i := range n {
			answer.answer = append(answer.answer, fmt.Sprintf("mta-sts.many.example. 60 A 10.0.0.%d", i+1))
		}
		many := script{
			"mta-sts.many.example A":    answer,
			"mta-sts.many.example AAAA": {ra: true, ns: []string{soa("many.example", "60", "60")}},
		}
		f := &PolicyFetcher{Resolver: play(t, many).resolver(), Timeout: patience}
		got, err := f.Fetch(t.Context(), "many.example")
		if (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) || says == "" && len(got.Results) != n {
			t.Errorf("%d addresses: %d results, error %v", n, len(got.Results), err)
		}
	}
	for _, domain := range []string{"", "a b", "example.com/x", "user@example.com", strings.Repeat("a.", 130) + "example"} {
		if _, err := f.Fetch(t.Context(), domain); err == nil {
			t.Errorf("%q was fetched", domain)
		}
	}
}

func TestFetchPolicyPlain(t *testing.T) {
	addr := servePolicy(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.Host)
	})
	f := &PolicyFetcher{Plain: true, Timeout: patience, AllowPrivate: loopback}
	got, err := f.FetchFrom(t.Context(), "example.com", []netip.AddrPort{addr})
	if err != nil || got.Results[0].Outcome != PolicyServed || got.Results[0].Body != "mta-sts.example.com" {
		t.Errorf("got %+v, error %v", got, err)
	}
}
