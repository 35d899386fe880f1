package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// defaultSMTPTimeout leaves room for servers that greet late on purpose. Senders wait for
	// minutes (RFC 5321 §4.5.3.2).
	defaultSMTPTimeout = time.Minute
	// dialTimeout bounds the wait for a connection, which nobody delays on purpose.
	dialTimeout = 15 * time.Second
	// maxMXAddrs bounds the addresses of one MX host that are probed.
	maxMXAddrs = 32
)

// STARTTLSProber asks MX hosts for TLS as a sender would that holds an MTA-STS policy
// (RFC 8461 §4.2), from each address by itself: EHLO, STARTTLS, the handshake, QUIT. No mail is
// begun. It is safe for concurrent use.
type STARTTLSProber struct {
	Resolver *Resolver      // required
	Roots    *x509.CertPool // nil: the host's trust store
	Port     uint16         // 0 means 25
	Timeout  time.Duration  // for all of the conversation with one address; 0 means a minute
	// AllowPrivate says which addresses that are not Public may be dialled all
	// the same; nil means none.
	AllowPrivate func(netip.Addr) bool
	// HELO is the name in EHLO, which should resolve to where the probe comes from; "" means the
	// connection's own address as a literal (RFC 5321 §4.1.4).
	HELO string
	// Now is the time at which certificates must be valid; nil means the host's clock.
	Now func() time.Time
}

// Probe resolves host and asks each of its addresses.
func (p *STARTTLSProber) Probe(ctx context.Context, host string) MXAnswer {
	answer := MXAnswer{Host: canonical(host)}
	if !IsHostname(answer.Host) {
		answer.Unresolved = "not a host name"
		return answer
	}
	addrs, err := p.Resolver.LookupNetIP(ctx, "ip", answer.Host)
	switch {
	case isNotFound(err):
		answer.Unresolved = "the host has no address"
	case err != nil:
		answer.Unresolved = "the host's addresses can't be found out now"
	case len(addrs) > maxMXAddrs:
		answer.Unresolved = "the host has too many addresses to probe"
	}
	if answer.Unresolved != "" {
		return answer
	}
	answer.Results = make([]MXResult, len(addrs))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, addr := range addrs {
		group.Go(func() error {
			answer.Results[i] = p.probe(ctx, answer.Host, netip.AddrPortFrom(addr, cmp.Or(p.Port, 25)))
			return nil
		})
	}
	_ = group.Wait()
	return answer
}

func (p *STARTTLSProber) probe(ctx context.Context, host string, target netip.AddrPort) MXResult {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Timeout, defaultSMTPTimeout))
	defer cancel()
	dialer := net.Dialer{Timeout: dialTimeout, Control: guard(p.AllowPrivate)}
	conn, err := dialer.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return unanswered(ctx, target, err)
	}
	defer conn.Close()
	// The end of the context unblocks reads and writes.
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	s := newSMTPSession(conn)
	refusal, err := s.startTLS(cmp.Or(p.HELO, literal(conn.LocalAddr())))
	switch {
	case err != nil:
		return unanswered(ctx, target, err)
	case refusal.outcome == MXTLSFailed: // what it says may not be its own
		return MXResult{Addr: target, Outcome: refusal.outcome, Detail: refusal.detail}
	case refusal.outcome != "":
		s.quit(ctx)
		return MXResult{Addr: target, Outcome: refusal.outcome, Detail: refusal.detail}
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: p.Roots, Time: p.Now, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		if s := silenceOf(ctx, err); ctx.Err() != nil || isTimeout(err) {
			return MXResult{Addr: target, Outcome: MXNoAnswer, Detail: s.detail}
		}
		outcome := MXTLSFailed
		certificate, detail := handshakeFailure(host, err)
		if certificate {
			outcome = MXBadCertificate
		}
		return MXResult{Addr: target, Outcome: outcome, Detail: detail}
	}
	newSMTPSession(secure).quit(ctx)
	state := secure.ConnectionState()
	return MXResult{Addr: target, Outcome: MXValid, Version: state.Version, NotAfter: state.PeerCertificates[0].NotAfter.UTC()}
}

// unanswered puts a conversation that broke off into stable words.
func unanswered(ctx context.Context, target netip.AddrPort, err error) MXResult {
	if errors.Is(err, errNotSMTP) {
		return MXResult{Addr: target, Outcome: MXNoAnswer, Detail: errNotSMTP.Error()}
	}
	s := silenceOf(ctx, err)
	result := MXResult{Addr: target, Outcome: MXNoAnswer, Detail: s.detail}
	if s.outcome == Unroutable {
		result.Outcome = MXUnroutable
	}
	return result
}
