package senders

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/probe"
)

// proxyTo starts an HTTP proxy that stands between a sender and port 443 of the policy hosts: it
// connects to the address that DNS has for a host, at the port that the system chose for the policy
// server. TLS goes through it untouched.
func proxyTo(t *testing.T, resolver *probe.Resolver, port uint16) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, ok := strings.CutSuffix(r.Host, ":443")
		if r.Method != http.MethodConnect || !ok {
			http.Error(w, "only CONNECT to port 443", http.StatusForbidden)
			return
		}
		addrs, err := resolver.LookupNetIP(r.Context(), "ip", host)
		if err != nil {
			http.Error(w, "no address", http.StatusBadGateway)
			return
		}
		upstream, err := net.DialTimeout("tcp", netip.AddrPortFrom(addrs[0], port).String(), 10*time.Second)
		if err != nil {
			http.Error(w, "no connection", http.StatusBadGateway)
			return
		}
		defer upstream.Close()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(upstream, conn); upstream.Close() }()
		_, _ = io.Copy(conn, upstream)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}
