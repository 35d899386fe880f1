package dnsprovider

import (
	"errors"
	"net/http"
	"strings"
	"sync"
)

// The module's URL and client are fixed, so tests lead the calls for desec.io elsewhere: each to
// the server that knows its token, and none to the real one. It has to be in place before any
// test runs, as others read http.DefaultTransport too.
var desecRoute = func() *desecRoutes {
	r := &desecRoutes{next: http.DefaultTransport}
	http.DefaultTransport = r
	return r
}()

type desecRoutes struct {
	next http.RoundTripper
	ways sync.Map // token -> http.RoundTripper
}

// LeadDesec has the calls for desec.io with a token take a way.
func LeadDesec(token string, way http.RoundTripper) { desecRoute.ways.Store(token, way) }

func (r *desecRoutes) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != "desec.io" {
		return r.next.RoundTrip(req)
	}
	way, ok := r.ways.Load(strings.TrimPrefix(req.Header.Get("Authorization"), "Token "))
	if !ok {
		return nil, errors.New("no test server has this token")
	}
	return way.(http.RoundTripper).RoundTrip(req)
}

// DesecAt is the way to a server of the tests.
func DesecAt(server interface{ Addr() string }) http.RoundTripper { return desecAt{server} }

type desecAt struct{ server interface{ Addr() string } }

func (w desecAt) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = "http", w.server.Addr()
	return desecRoute.next.RoundTrip(req)
}
