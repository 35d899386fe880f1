package dnsprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// maxCloudflareAnswer bounds what is read of one answer: a page of 5,000 records has a few MiB.
const maxCloudflareAnswer = 32 << 20

// cloudflareAnswer is what came back of a call.
type cloudflareAnswer struct {
	status   int
	header   http.Header
	readable bool // the body is one of the API, whole
	cloudflareEnvelope
}

// cloudflareEnvelope is around every answer of the API.
type cloudflareEnvelope struct {
	Success    bool              `json:"success"`
	Errors     []cloudflareError `json:"errors"`
	Result     json.RawMessage   `json:"result"`
	ResultInfo *struct {
		PerPage    int  `json:"per_page"`
		TotalCount *int `json:"total_count"`
	} `json:"result_info"`
}

// cloudflareError is an error with the errors that led to it. The messages are not read: they
// are the other side's words.
type cloudflareError struct {
	Code  int               `json:"code"`
	Chain []cloudflareError `json:"error_chain"`
}

func (a *cloudflareAnswer) succeeded() bool { return a.status/100 == 2 && a.readable && a.Success }

// cloudflareTransport makes the calls over HTTP/1.1, which is enough for calls one after another.
func cloudflareTransport(dial func(ctx context.Context, network, address string) (net.Conn, error), timeout time.Duration) http.RoundTripper {
	if dial == nil {
		dial = (&net.Dialer{Timeout: timeout}).DialContext
	}
	return &http.Transport{
		DialContext:            dial,
		TLSHandshakeTimeout:    timeout,
		IdleConnTimeout:        30 * time.Second, // a zone cannot be closed, so its connections end by themselves
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// call makes one call of the API, once. Its errors are *Error, where nothing was sent, and
// unanswered. It uses the transport as it is: http.Client would follow redirects, and take the
// token along.
func (z *cloudflareZone) call(ctx context.Context, method, path string, query url.Values, body any) (_ *cloudflareAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, z.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, failure(Unreachable, err, "the time was up before anything was sent")
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, failure(Invalid, err, "the call cannot be encoded")
		}
		content = bytes.NewReader(encoded)
	}
	target := z.endpoint + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}

	var connecting, connected atomic.Bool // the hooks run in goroutines of the transport
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { connecting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, failure(Invalid, err, "the call cannot be made: check the endpoint")
	}
	req.Header.Set("Authorization", "Bearer "+z.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "maildomain-operator")

	answer, err := z.roundTrip(req)
	if err == nil {
		return answer, nil
	}
	if held, ok := errors.AsType[*Error](err); ok {
		return nil, held // by what the call goes through: see CloudflareConfig.Wrap
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		err = ctxErr // the cause of whatever the transport calls it
	}
	if connecting.Load() && !connected.Load() {
		return nil, failure(Unreachable, err, "cannot connect: %s: check the endpoint and the network policy", networkReason(err))
	}
	return nil, unanswered{err}
}

// roundTrip sends a request and reads its answer. A panic of the transport is an error.
func (z *cloudflareZone) roundTrip(req *http.Request) (a *cloudflareAnswer, err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, _ := p.(error) // no other value: it could hold the request, and with it the token
			a, err = nil, explained{"the HTTP transport panicked, which is a bug to report", cause}
		}
	}()
	response, err := z.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a = &cloudflareAnswer{status: response.StatusCode, header: response.Header}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCloudflareAnswer+1))
	switch {
	case err != nil && a.status/100 == 2:
		return nil, err
	case err != nil:
		return a, nil // the status says enough
	case len(body) > maxCloudflareAnswer:
		return nil, errors.New("the answer is longer than 32 MiB")
	}
	a.readable = json.Unmarshal(body, &a.cloudflareEnvelope) == nil
	if !a.readable {
		a.cloudflareEnvelope = cloudflareEnvelope{}
	}
	return a, nil
}
