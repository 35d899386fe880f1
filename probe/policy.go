package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxPolicySize bounds a policy's body (RFC 8461 §3.3 suggests 64 KB).
	maxPolicySize = 64 << 10
	// maxPolicyAddrs bounds the addresses of one policy host that are fetched from.
	maxPolicyAddrs = 32
	// defaultPolicyTimeout is stricter than the minute that RFC 8461 §3.3 gives a
	// sender: a policy that takes longer is one that some senders miss.
	defaultPolicyTimeout = 10 * time.Second

	policyPath = "/.well-known/mta-sts.txt"

	wrongMediaType = "the media type is not text/plain"
)

// PolicyOutcome is what one address had to say when asked for a policy.
type PolicyOutcome string

const (
	PolicyServed         PolicyOutcome = "Served"         // status 200, text/plain, in bounds, over a valid certificate
	PolicyNoAnswer       PolicyOutcome = "NoAnswer"       // no connection, or no whole answer in time
	PolicyUnroutable     PolicyOutcome = "Unroutable"     // no route to this address from here, or the address is not allowed
	PolicyTLSFailed      PolicyOutcome = "TLSFailed"      // the handshake failed before a certificate could be judged
	PolicyBadCertificate PolicyOutcome = "BadCertificate" // not valid for the host, not trusted, or not valid now
	PolicyBadResponse    PolicyOutcome = "BadResponse"    // not what RFC 8461 §3.3 accepts: a redirect, another status, another media type, too large
)

// PolicyResult is what one address of the policy host served.
type PolicyResult struct {
	Addr    netip.AddrPort
	Outcome PolicyOutcome
	Detail  string // why it is not Served, in stable words that quote nothing remote; else empty
	Body    string // of a Served policy, as it came; a remote text, to be parsed, not shown
	// Mislabelled is what came as another media type than text/plain, where nothing else is wrong.
	// Senders need not take it, and some do.
	Mislabelled string
}

// PolicyAnswer is what the world gets as the policy of one domain.
type PolicyAnswer struct {
	Host    string         // mta-sts.<domain>
	Results []PolicyResult // one per address, sorted by address
}

// PolicyFetcher gets MTA-STS policies as a sender would (RFC 8461 §3.3), from
// each address of the policy host by itself. Redirects are not followed, caches
// and proxies not used. It is safe for concurrent use.
type PolicyFetcher struct {
	Resolver *Resolver      // required for Fetch
	Roots    *x509.CertPool // nil: the host's trust store
	Port     uint16         // 0 means 443
	Timeout  time.Duration  // for all of one address's answer; 0 means 10 s
	// Plain fetches over HTTP: for the replicas of a server that leaves TLS to an
	// Ingress in front of it. No sender would take such a policy.
	Plain bool
	// AllowPrivate says which addresses that are not Public may be dialled all
	// the same; nil means none.
	AllowPrivate func(netip.Addr) bool
}

// Fetch resolves mta-sts.<domain> and fetches the policy from each address.
// The error is a *net.DNSError when the host's addresses cannot be had; what
// went wrong at an address stands in its PolicyResult.
func (f *PolicyFetcher) Fetch(ctx context.Context, domain string) (PolicyAnswer, error) {
	host, err := policyHost(domain)
	if err != nil {
		return PolicyAnswer{}, err
	}
	addrs, err := f.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return PolicyAnswer{Host: host}, err
	}
	if len(addrs) > maxPolicyAddrs {
		return PolicyAnswer{Host: host}, fmt.Errorf("%s has %d addresses, at most %d are fetched from", host, len(addrs), maxPolicyAddrs)
	}
	targets := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		targets[i] = netip.AddrPortFrom(addr, cmp.Or(f.Port, 443))
	}
	return f.FetchFrom(ctx, domain, targets)
}

// FetchFrom fetches the policy of domain from the given addresses, whatever DNS
// says about mta-sts.<domain>: so each replica of a server can be checked.
// Results stand in the order of targets. The error says that domain is no host name.
func (f *PolicyFetcher) FetchFrom(ctx context.Context, domain string, targets []netip.AddrPort) (PolicyAnswer, error) {
	host, err := policyHost(domain)
	if err != nil {
		return PolicyAnswer{}, err
	}
	answer := PolicyAnswer{Host: host, Results: make([]PolicyResult, len(targets))}
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, target := range targets {
		group.Go(func() error {
			answer.Results[i] = f.fetch(ctx, host, target)
			return nil
		})
	}
	_ = group.Wait()
	return answer, nil
}

func policyHost(domain string) (string, error) {
	host := "mta-sts." + canonical(domain)
	if !IsHostname(host) {
		return "", fmt.Errorf("%q is not a domain that can have an MTA-STS policy host", domain)
	}
	return host, nil
}

func (f *PolicyFetcher) fetch(ctx context.Context, host string, target netip.AddrPort) PolicyResult {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(f.Timeout, defaultPolicyTimeout))
	defer cancel()
	dialer := net.Dialer{Control: guard(f.AllowPrivate)}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, "tcp", target.String())
		if err != nil {
			return nil, &stageError{connecting, err}
		}
		return conn, nil
	}
	transport := &http.Transport{
		DialContext: dial,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: f.Roots, MinVersion: tls.VersionTLS12})
			if err := secure.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, &stageError{handshaking, err}
			}
			return secure, nil
		},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	defer transport.CloseIdleConnections()
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	result := PolicyResult{Addr: target}
	response, err := client.Do(f.request(ctx, host))
	if err != nil {
		result.Outcome, result.Detail = fetchFailure(ctx, host, err)
		return result
	}
	defer response.Body.Close()
	result.Detail = unacceptable(response)
	if result.Detail != "" && result.Detail != wrongMediaType {
		result.Outcome = PolicyBadResponse
		return result
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPolicySize+1))
	switch {
	case err != nil:
		result.Outcome, result.Detail = PolicyNoAnswer, "the answer broke off"
	case len(body) > maxPolicySize:
		result.Outcome, result.Detail = PolicyBadResponse, "the policy is larger than 64 KiB"
	case result.Detail != "":
		result.Outcome, result.Mislabelled = PolicyBadResponse, string(body)
	default:
		result.Outcome, result.Body = PolicyServed, string(body)
	}
	return result
}

func (f *PolicyFetcher) request(ctx context.Context, host string) *http.Request {
	u := &url.URL{Scheme: "https", Host: host, Path: policyPath}
	if f.Plain {
		u.Scheme = "http"
	}
	request := &http.Request{Method: http.MethodGet, URL: u, Host: host, Header: http.Header{"Accept": {"text/plain"}}}
	return request.WithContext(ctx)
}

// unacceptable says what RFC 8461 §3.2 and §3.3 reject about a response, or "".
func unacceptable(response *http.Response) string {
	if code := response.StatusCode; code != http.StatusOK {
		status := strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
		if code >= 300 && code < 400 {
			return "status " + status + ": senders do not follow redirects"
		}
		return "status " + status + " instead of 200"
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if (err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter)) || media != "text/plain" {
		return wrongMediaType
	}
	return ""
}

// stage is how far a request came before it failed.
type stage int

const (
	connecting stage = iota + 1
	handshaking
)

type stageError struct {
	stage stage
	err   error
}

func (e *stageError) Error() string { return e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// fetchFailure puts a failed request into stable words. Certificates' own texts
// and times are left out: they come from the remote side or change by the second.
func fetchFailure(ctx context.Context, host string, err error) (PolicyOutcome, string) {
	s := silenceOf(ctx, err)
	var at *stageError
	var network *net.OpError
	switch {
	case s.outcome == Unroutable:
		return PolicyUnroutable, s.detail
	case ctx.Err() != nil || isTimeout(s):
		return PolicyNoAnswer, s.detail
	case errors.As(err, &at) && at.stage == handshaking:
		certificate, detail := handshakeFailure(host, at.err)
		if certificate {
			return PolicyBadCertificate, detail
		}
		return PolicyTLSFailed, detail
	case at != nil || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return PolicyNoAnswer, s.detail
	default:
		return PolicyBadResponse, "the answer is not an HTTP response"
	}
}
