package survey

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/probe"
)

// MaxHosts bounds how many MX hosts and selectors are looked at: a zone can name thousands.
const MaxHosts = 32

// World is how DNS, HTTPS and SMTP are asked.
type World struct {
	Resolver     *probe.Resolver // Once, so that each question is asked once
	Roots        *x509.CertPool  // of policy hosts; nil: the machine's
	PolicyPort   uint16          // of policy hosts; 0: 443
	DNSPort      uint16          // of authoritative name servers; 0: 53
	Timeout      time.Duration   // of one question to a server of others; 0: probe's own
	AllowPrivate func(netip.Addr) bool
	// TLS says what an MX host offers.
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

func (s *Survey) lookMX(ctx context.Context) {
	list, err := s.Resolver.LookupMX(ctx, s.Domain)
	var mx compliance.MX
	switch {
	case IsNotFound(err): // mail goes to the domain's own address (RFC 5321 §5.1)
		switch _, err := s.Resolver.LookupNetIP(ctx, "ip", s.Domain); {
		case IsNotFound(err):
			s.Facts.MX = compliance.Seen(mx)
			return
		case err != nil:
			s.Facts.MX = compliance.Unseen[compliance.MX](CauseOf(err))
			return
		}
		list = []*net.MX{{Host: s.Domain}}
	case err != nil:
		s.Facts.MX = compliance.Unseen[compliance.MX](CauseOf(err))
		return
	}
	seen := map[string]bool{}
	for _, one := range list {
		switch host := strings.TrimSuffix(one.Host, "."); {
		case host == "":
			mx.Null = len(list) == 1
		case !seen[host]:
			seen[host] = true
			mx.Hosts = append(mx.Hosts, compliance.Host{Name: host})
		}
	}
	var group errgroup.Group
	for i := range mx.Hosts {
		host := &mx.Hosts[i]
		if i >= MaxHosts {
			host.IPv6 = compliance.Unseen[bool]("too many MX hosts to ask")
			host.TLS = compliance.Unseen[compliance.TLS]("too many MX hosts to ask")
			continue
		}
		group.Go(func() error {
			_, err := s.Resolver.LookupNetIP(ctx, "ip6", host.Name)
			switch {
			case err == nil:
				host.IPv6 = compliance.Seen(true)
			case IsNotFound(err):
				host.IPv6 = compliance.Seen(false)
			default:
				host.IPv6 = compliance.Unseen[bool](CauseOf(err))
			}
			host.TLS = s.TLS(ctx, host.Name)
			return nil
		})
	}
	_ = group.Wait()
	s.Facts.MX = compliance.Seen(mx)
}

// TLSOf judges what the addresses of an MX host offer. One that gives no answer may give senders one,
// without TLS: with it a host is known to fail, and never to pass.
func TLSOf(a probe.MXAnswer) compliance.Fact[compliance.TLS] {
	verdict, message := a.Verdict()
	silent, plaintext := "", false
	for _, r := range a.Results {
		switch r.Outcome {
		case probe.MXNoAnswer:
			silent = r.Addr.Addr().String() + ": " + r.Detail
		case probe.MXNoSTARTTLS, probe.MXTLSFailed:
			plaintext = true
		}
	}
	switch {
	case verdict == probe.MXFail && plaintext:
		return compliance.Seen(compliance.TLS{Failure: message})
	case silent != "":
		return compliance.Unseen[compliance.TLS](silent)
	case verdict == probe.MXPass:
		return compliance.Seen(compliance.TLS{OK: true, Offered: true})
	case verdict == probe.MXFail:
		return compliance.Seen(compliance.TLS{Failure: message, Offered: true})
	}
	return compliance.Unseen[compliance.TLS](message)
}

func (s *Survey) lookSPF(ctx context.Context) {
	s.DomainTexts = s.texts(ctx, s.Domain)
	texts, known := s.DomainTexts.Get()
	if !known {
		s.Facts.SPF = compliance.Unseen[compliance.SPF](s.DomainTexts.Cause())
		return
	}
	found := compliance.SPF{Records: slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !spf.IsRecord(t) })}
	if len(found.Records) == 1 {
		if record, err := spf.Parse(found.Records[0]); err == nil {
			found.Analysis = spf.Analyze(ctx, s.Resolver, s.Domain, record)
			found.RedirectEnd = s.redirectEnd(ctx, record)
		}
	}
	s.Facts.SPF = compliance.Seen(found)
}

// redirectEnd follows redirects to the record that ends them (RFC 7208 §6.1). What is broken there
// shows in the analysis; here it says nothing about other hosts.
func (s *Survey) redirectEnd(ctx context.Context, record spf.Record) compliance.Fact[spf.Result] {
	for range spf.MaxLookups {
		if at := slices.IndexFunc(record.Mechanisms, func(m spf.Mechanism) bool { return m.Name == spf.All }); at >= 0 {
			return compliance.Seen(cmp.Or(record.Mechanisms[at].Result, spf.Pass))
		}
		if record.Redirect == "" {
			return compliance.Seen(spf.Neutral)
		}
		if strings.Contains(record.Redirect, "%") {
			return compliance.Unseen[spf.Result]("redirect=" + record.Redirect + " depends on the message")
		}
		texts := s.texts(ctx, record.Redirect)
		list, known := texts.Get()
		if !known {
			return compliance.Unseen[spf.Result](texts.Cause())
		}
		records := slices.DeleteFunc(slices.Clone(list), func(t string) bool { return !spf.IsRecord(t) })
		if len(records) != 1 {
			return compliance.Seen(spf.PermError)
		}
		next, err := spf.Parse(records[0])
		if err != nil {
			return compliance.Seen(spf.PermError)
		}
		record = next
	}
	return compliance.Seen(spf.PermError) // a circle, or beyond the limit of lookups
}

func (s *Survey) lookKeys(ctx context.Context) {
	if s.Selectors == nil {
		s.Facts.Selectors = compliance.Unseen[[]compliance.Selector]("no selector is known, and DNS does not list them: " + s.NoSelectors)
		return
	}
	list := make([]compliance.Selector, len(s.Selectors))
	var group errgroup.Group
	for i, name := range s.Selectors {
		group.Go(func() error {
			list[i] = compliance.Selector{Name: name, Texts: s.texts(ctx, KeyName(name, s.Domain))}
			return nil
		})
	}
	if s.EveryServer {
		group.Go(func() error { s.lookServers(ctx); return nil })
	}
	_ = group.Wait()
	s.Facts.Selectors = compliance.Seen(list)
}

// KeyName is where the key of a selector stands (RFC 6376 §3.6.2.1).
func KeyName(selector, domain string) string { return selector + "._domainkey." + domain }

// lookServers asks each authoritative server by itself.
func (s *Survey) lookServers(ctx context.Context) {
	prober := probe.NewProber(probe.Options{Resolver: s.Resolver, Port: s.DNSPort, Timeout: s.Timeout / 3, AllowPrivate: s.AllowPrivate})
	s.Servers = map[string]map[string][]string{}
	for _, selector := range s.Selectors {
		name := KeyName(selector, s.Domain)
		authority, err := prober.Authority(ctx, name, nil)
		if err != nil {
			s.Silent = fmt.Sprintf("the name servers of %s: %v", name, err)
			return
		}
		at := map[string][]string{}
		for _, a := range prober.Ask(ctx, authority, name, "TXT") {
			switch a.Outcome {
			case probe.Found, probe.NoData, probe.NXDomain:
				at[a.Server+" "+a.Addr.Addr().String()] = a.Values
			case probe.Unroutable:
			default:
				s.Silent = fmt.Sprintf("%s: %s of %s", name, cmp.Or(a.Detail, string(a.Outcome)), a.Server)
			}
		}
		s.Servers[selector] = at
	}
}

func (s *Survey) lookDMARC(ctx context.Context) {
	found, err := dmarc.Discover(ctx, s.Resolver, s.Domain)
	s.Facts.DMARC = FactOf(found, err)
	switch {
	case err != nil:
		s.Facts.Destinations = compliance.Unseen[[]dmarc.Destination](CauseOf(err))
		s.NoMX = compliance.Unseen[[]string](CauseOf(err))
		return
	case found.Policy == nil:
		s.Facts.Destinations, s.NoMX = compliance.Seen([]dmarc.Destination{}), compliance.Seen([]string{})
		return
	}
	destinations, err := dmarc.Destinations(ctx, s.Resolver, found.Policy.Domain, found.Policy.Record)
	if s.Facts.Destinations = FactOf(destinations, err); err != nil {
		s.NoMX = compliance.Unseen[[]string](CauseOf(err))
		return
	}
	noMX := []string{}
	for _, d := range destinations {
		takes, err := s.TakesMail(ctx, d.Host)
		if err != nil {
			s.NoMX = compliance.Unseen[[]string](CauseOf(err))
			return
		}
		if !takes {
			noMX = append(noMX, d.Host)
		}
	}
	s.NoMX = compliance.Seen(noMX)
}

// TakesMail reports whether a host has an MX record that is not null, or an address (RFC 5321 §5.1).
func (w World) TakesMail(ctx context.Context, host string) (bool, error) {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true, nil
	}
	list, err := w.Resolver.LookupMX(ctx, host)
	switch {
	case err == nil:
		return slices.ContainsFunc(list, func(mx *net.MX) bool { return strings.TrimSuffix(mx.Host, ".") != "" }), nil
	case !IsNotFound(err):
		return false, err
	}
	_, err = w.Resolver.LookupNetIP(ctx, "ip", host)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// lookPolicy fetches the policy from each address of the policy host. Who gives no answer may give
// senders one: that is unknown.
func (s *Survey) lookPolicy(ctx context.Context) {
	fetcher := &probe.PolicyFetcher{Resolver: s.Resolver, Roots: s.Roots, Port: s.PolicyPort, Timeout: s.Timeout, AllowPrivate: s.AllowPrivate}
	answer, err := fetcher.Fetch(ctx, s.Domain)
	switch {
	case IsNotFound(err):
		s.Facts.Policy = compliance.Seen(compliance.Policy{Failure: "mta-sts." + s.Domain + " has no address"})
		return
	case err != nil:
		s.Facts.Policy = compliance.Unseen[compliance.Policy](CauseOf(err))
		return
	}
	s.Facts.Policy, s.Mislabelled = policyOf(answer)
}

func policyOf(a probe.PolicyAnswer) (policy compliance.Fact[compliance.Policy], mislabelled string) {
	var bodies []string
	silent := ""
	for _, r := range a.Results {
		at := r.Addr.Addr().String() + ": " + r.Detail
		switch r.Outcome {
		case probe.PolicyServed:
			if !slices.Contains(bodies, r.Body) {
				bodies = append(bodies, r.Body)
			}
		case probe.PolicyNoAnswer:
			silent = at
		case probe.PolicyUnroutable:
			silent = cmp.Or(silent, at)
		default:
			return compliance.Seen(compliance.Policy{Failure: at}), r.Mislabelled
		}
	}
	unroutableOnly := !slices.ContainsFunc(a.Results, func(r probe.PolicyResult) bool { return r.Outcome == probe.PolicyNoAnswer })
	switch {
	case len(bodies) > 1:
		return compliance.Seen(compliance.Policy{Failure: "the addresses serve different policies"}), ""
	case len(bodies) == 1 && unroutableOnly:
		return compliance.Seen(compliance.Policy{Body: bodies[0]}), ""
	}
	return compliance.Unseen[compliance.Policy]("the policy host gives no answer: " + silent), ""
}
