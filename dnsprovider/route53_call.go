package dnsprovider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// A page of 300 record sets has some 100 kB. One that is larger than this is not read to its end.
	maxRoute53Answer = 8 << 20
	// The connections of a zone that nobody uses any more go after this time.
	route53Idle = 15 * time.Second
	// maxRetryAfter is the longest pause that is believed.
	maxRetryAfter = time.Hour
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// route53HTTP returns a client that follows no redirect and uses no proxy: either would lead past
// dial.
func route53HTTP(dial dialFunc) *http.Client {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            recovered(dial),
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        route53Idle,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// recovered keeps a panic of dial from ending the process: the transport calls it on a goroutine
// of its own, where nobody else could.
func recovered(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = panicked{p}
			}
		}()
		return dial(ctx, network, address)
	}
}

// panicked is a panic that was caught.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// bounded has the SDK read answers of limited length.
type bounded struct{ client *http.Client }

// Do sends one request.
func (b bounded) Do(req *http.Request) (*http.Response, error) {
	resp, err := b.client.Do(req)
	if err == nil {
		resp.Body = &limitedBody{resp.Body, maxRoute53Answer}
	}
	return resp, err
}

var (
	errAnswerTooLong = errors.New("the answer is too long")
	// errNotTheAPI: the SDK takes any XML for an answer, in which nothing is listed and all went well.
	errNotTheAPI = errors.New("the answer is not one of the AWS API")
)

type limitedBody struct {
	io.ReadCloser
	left int
}

func (l *limitedBody) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errAnswerTooLong
	}
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// mishap is what is known of a call that did not succeed. What it means depends on what was called.
type mishap struct {
	cause      error
	sent       bool          // there was a connection: the request may have arrived
	panicked   bool          // the client failed, at whatever point
	status     int           // HTTP status; 0: no answer
	code       string        // the API's error code; "": the answer is not one of the API
	retryAfter time.Duration // as asked for
}

func (m mishap) Error() string { return m.cause.Error() }
func (m mishap) Unwrap() error { return m.cause }

// call makes one call of the API. Its errors are mishaps.
func call(ctx context.Context, do func(ctx context.Context) error) (err error) {
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}
	defer func() {
		if p := recover(); p != nil {
			err = mishap{cause: panicked{p}, sent: true, panicked: true}
		}
	}()
	err = do(httptrace.WithClientTrace(ctx, trace))
	if err == nil {
		return nil
	}
	m := mishap{cause: err, sent: sent.Load()}
	_, m.panicked = errors.AsType[panicked](err)
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.Response != nil && answer.Response.Response != nil {
		m.status = answer.HTTPStatusCode()
		m.retryAfter = retryAfter(answer.Response.Header)
	}
	if apiErr, ok := errors.AsType[smithy.APIError](err); ok && m.status >= 400 && apiErr.ErrorCode() != noErrorCode {
		m.code = apiErr.ErrorCode()
	}
	if ctxErr := ctx.Err(); ctxErr != nil && m.code == "" {
		m.cause, m.status = ctxErr, 0 // rather than the failure that it forced
	}
	return m
}

// noErrorCode is what the SDK says of an error answer that names none, an HTML page for example.
const noErrorCode = "UnknownError"

// retryAfter reads the header's form in seconds (RFC 9110 §10.2.3). The other form, a date, would
// need a clock.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}

// reason says in stable words why there is no usable answer. Nothing in them is the other
// side's.
func (m mishap) reason() string {
	if m.panicked {
		return "the AWS client failed: report it as a bug"
	}
	if errors.Is(m.cause, errNotTheAPI) {
		return errNotTheAPI.Error()
	}
	if m.status != 0 && m.code == "" {
		_, network := errors.AsType[*net.OpError](m.cause)
		switch {
		case errors.Is(m.cause, errAnswerTooLong):
			return "the answer is too long"
		case errors.Is(m.cause, io.ErrUnexpectedEOF) || network:
			return "the server closed the connection"
		default:
			return fmt.Sprintf("the answer (HTTP %d) is not one of the AWS API", m.status)
		}
	}
	if m.status != 0 {
		return fmt.Sprintf("the API failed (HTTP %d)", m.status)
	}
	cause := m.cause
	if urlErr, ok := errors.AsType[*url.Error](cause); ok {
		cause = urlErr.Err // url.Error prints the address
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		return "the server's certificate is not valid for it"
	}
	_, noTLS := errors.AsType[tls.RecordHeaderError](cause)
	_, alert := errors.AsType[tls.AlertError](cause)
	if noTLS || alert {
		return "the TLS handshake failed"
	}
	if netErr, ok := errors.AsType[net.Error](cause); m.sent && !(ok && netErr.Timeout()) {
		_, system := errors.AsType[*os.SyscallError](cause)
		if ended := errors.Is(cause, io.EOF) || errors.Is(cause, io.ErrUnexpectedEOF) || errors.Is(cause, context.Canceled); !system && !ended {
			return "the answer is not HTTP" // net/http would quote it
		}
	}
	return networkReason(cause)
}
