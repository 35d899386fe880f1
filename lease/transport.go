package lease

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Writes is Transport for rest.Config.Wrap.
func (g *Guard) Writes(longest time.Duration) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return g.Transport(next, longest) }
}

// Transport returns a transport that makes no write without the lease, and ends one that takes longer than
// longest. Questions (GET, HEAD) pass as they are.
func (g *Guard) Transport(next http.RoundTripper, longest time.Duration) http.RoundTripper {
	return transport{g, next, longest}
}

type transport struct {
	guard   *Guard
	next    http.RoundTripper
	longest time.Duration
}

// RoundTrip implements http.RoundTripper. The write is over when its answer was read. One without an answer may still land.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return t.next.RoundTrip(r)
	}
	end, err := t.guard.Begin(t.longest)
	if err != nil {
		if r.Body != nil {
			r.Body.Close() // as a RoundTripper must, also with an error
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), t.longest)
	response, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		end(false)
		return nil, err
	}
	response.Body = body{response.Body, func() { cancel(); end(true) }}
	return response, nil
}

type body struct {
	io.ReadCloser
	over func()
}

// Close implements io.Closer.
func (b body) Close() error {
	defer b.over()
	return b.ReadCloser.Close()
}
