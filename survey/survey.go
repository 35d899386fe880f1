package survey

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
)

// MaxHosts bounds how many MX hosts are asked for TLS, since a zone can name thousands, and how many selectors the command
// line takes. Those of a MailDomain are bounded by its spec.
const MaxHosts = 32

// World is how DNS, HTTPS and SMTP are asked.
type World struct {
	Resolver     *probe.Resolver // Once, so that each question is asked once
	Roots        *x509.CertPool  // of policy hosts; nil: the machine's
	PolicyPort   uint16          // of policy hosts; 0: 443
	DNSPort      uint16          // of authoritative name servers; 0: 53
	Timeout      time.Duration   // of one question to a server of others; 0: probe's own
	AllowPrivate func(netip.Addr) bool
	// TLS says what an MX host offers; required.
	TLS func(ctx context.Context, host string) compliance.Fact[compliance.TLS]
}

// Survey is what the world shows of a domain. The first fields are the question, and Gather fills the
// others.
type Survey struct {
	World
	Domain    string
	Selectors []string // that signers use; nil: nobody has named any
	// NoSelectors says how to name them, for when nobody has.
	NoSelectors string
	EveryServer bool // ask every authoritative server for keys

	Facts compliance.Facts
	// DomainTexts and DMARCTexts are the TXT records at the domain and at _dmarc below it.
	DomainTexts, DMARCTexts compliance.Fact[[]string]
	// Mislabelled is the policy, where only its media type is wrong.
	Mislabelled string
	// Servers is what each authoritative server has of each selector, with EveryServer; Silent says which
	// gave no answer.
	Servers map[string]map[string][]string
	Silent  string
	// NoMX are the hosts of report addresses that take no mail.
	NoMX compliance.Fact[[]string]
}

// Gather asks everything at the same time. It ends with ctx at the latest.
func (s *Survey) Gather(ctx context.Context) {
	f := &s.Facts
	f.Domain = s.Domain
	var group errgroup.Group
	for _, part := range []func(context.Context){
		s.lookMX, s.lookSPF, s.lookKeys, s.lookDMARC, s.lookPolicy,
		func(ctx context.Context) { f.MTASTS = s.texts(ctx, "_mta-sts."+s.Domain) },
		func(ctx context.Context) { f.TLSRPT = s.texts(ctx, "_smtp._tls."+s.Domain) },
		func(ctx context.Context) { f.Exists = FactOf(s.Resolver.Exists(ctx, s.Domain)) },
		func(ctx context.Context) { f.KeysBelow = FactOf(s.Resolver.Exists(ctx, "_domainkey."+s.Domain)) },
		func(ctx context.Context) { f.NullKey = s.texts(ctx, "*._domainkey."+s.Domain) },
		func(ctx context.Context) { s.DMARCTexts = s.texts(ctx, "_dmarc."+s.Domain) },
	} {
		group.Go(func() error { part(ctx); return nil })
	}
	_ = group.Wait()
}

// FactOf makes an answer a fact, and no answer an unknown one.
func FactOf[T any](value T, err error) compliance.Fact[T] {
	if err != nil {
		return compliance.Unseen[T](CauseOf(err))
	}
	return compliance.Seen(value)
}

// CauseOf puts a failed question into words without addresses of ours.
func CauseOf(err error) string {
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		text := fmt.Sprintf("no answer about %s: %s", lookup.Name, lookup.Err)
		if lookup.Server != "" {
			text += " (" + lookup.Server + ")"
		}
		return text
	}
	return err.Error()
}

// IsNotFound reports whether the answer is that there is nothing.
func IsNotFound(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup) && lookup.IsNotFound
}

// texts are the TXT records at a name; that none stand there is known too.
func (s *Survey) texts(ctx context.Context, name string) compliance.Fact[[]string] {
	texts, err := s.Resolver.LookupTXT(ctx, name)
	if IsNotFound(err) {
		return compliance.Seen([]string{})
	}
	return FactOf(texts, err)
}
