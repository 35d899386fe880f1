package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/probe"
)

// maxHosts bounds how many MX hosts and selectors are looked at: a zone can name thousands.
const maxHosts = 32

// look is what was found out about a domain, once.
type look struct {
	*world
	domain    string
	selectors []string // that signers use; nil: nobody has named any
	starttls  bool     // ask MX hosts for TLS
	every     bool     // ask every authoritative server for keys

	facts compliance.Facts
	// The texts behind the facts, for lint.
	domainTexts, dmarcTexts compliance.Fact[[]string]
	mislabelled             string // the policy, where only its media type is wrong
	servers                 map[string]map[string][]string
	serversUnknown          string
	noMX                    compliance.Fact[[]string]
}

// gather asks everything at the same time. It ends with ctx at the latest.
func (l *look) gather(ctx context.Context) {
	f := &l.facts
	f.Domain = l.domain
	var group errgroup.Group
	for _, part := range []func(context.Context){
		l.lookMX, l.lookSPF, l.lookKeys, l.lookDMARC, l.lookPolicy,
		func(ctx context.Context) { f.MTASTS = l.texts(ctx, "_mta-sts."+l.domain) },
		func(ctx context.Context) { f.TLSRPT = l.texts(ctx, "_smtp._tls."+l.domain) },
		func(ctx context.Context) { f.Exists = factOf(l.resolver.Exists(ctx, l.domain)) },
		func(ctx context.Context) { f.KeysBelow = factOf(l.resolver.Exists(ctx, "_domainkey."+l.domain)) },
		func(ctx context.Context) { f.NullKey = l.texts(ctx, "*._domainkey."+l.domain) },
		func(ctx context.Context) { l.dmarcTexts = l.texts(ctx, "_dmarc."+l.domain) },
	} {
		group.Go(func() error { part(ctx); return nil })
	}
	_ = group.Wait()
}

// factOf makes an answer a fact, and no answer an unknown one.
func factOf[T any](value T, err error) compliance.Fact[T] {
	if err != nil {
		return compliance.Unseen[T](causeOf(err))
	}
	return compliance.Seen(value)
}

// causeOf puts a failed question into words without addresses of ours.
func causeOf(err error) string {
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

func isNotFound(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup) && lookup.IsNotFound
}

// texts are the TXT records at a name; that none stand there is known too.
func (l *look) texts(ctx context.Context, name string) compliance.Fact[[]string] {
	texts, err := l.resolver.LookupTXT(ctx, name)
	if isNotFound(err) {
		return compliance.Seen([]string{})
	}
	return factOf(texts, err)
}

func (l *look) lookMX(ctx context.Context) {
	list, err := l.resolver.LookupMX(ctx, l.domain)
	var mx compliance.MX
	switch {
	case isNotFound(err): // mail goes to the domain's own address (RFC 5321 §5.1)
		switch _, err := l.resolver.LookupNetIP(ctx, "ip", l.domain); {
		case isNotFound(err):
			l.facts.MX = compliance.Seen(mx)
			return
		case err != nil:
			l.facts.MX = compliance.Unseen[compliance.MX](causeOf(err))
			return
		}
		list = []*net.MX{{Host: l.domain}}
	case err != nil:
		l.facts.MX = compliance.Unseen[compliance.MX](causeOf(err))
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
	prober := &probe.STARTTLSProber{Resolver: l.resolver, Roots: l.pool, Port: l.smtpPort, Timeout: l.timeout, AllowPrivate: l.allowed}
	for i := range mx.Hosts {
		host := &mx.Hosts[i]
		switch {
		case i >= maxHosts:
			host.IPv6 = compliance.Unseen[bool]("too many MX hosts to ask")
			host.TLS = compliance.Unseen[compliance.TLS]("too many MX hosts to ask")
			continue
		case !l.starttls:
			host.TLS = compliance.Unseen[compliance.TLS]("MX hosts were not asked: use --starttls, where port 25 is open from here")
		}
		group.Go(func() error {
			_, err := l.resolver.LookupNetIP(ctx, "ip6", host.Name)
			switch {
			case err == nil:
				host.IPv6 = compliance.Seen(true)
			case isNotFound(err):
				host.IPv6 = compliance.Seen(false)
			default:
				host.IPv6 = compliance.Unseen[bool](causeOf(err))
			}
			if l.starttls {
				host.TLS = tlsOf(prober.Probe(ctx, host.Name))
			}
			return nil
		})
	}
	_ = group.Wait()
	l.facts.MX = compliance.Seen(mx)
}

// tlsOf judges what the addresses of an MX host offer. One that gives no answer may give senders one,
// without TLS: with it a host is known to fail, and never to pass.
func tlsOf(a probe.MXAnswer) compliance.Fact[compliance.TLS] {
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

func (l *look) lookSPF(ctx context.Context) {
	l.domainTexts = l.texts(ctx, l.domain)
	texts, known := l.domainTexts.Get()
	if !known {
		l.facts.SPF = compliance.Unseen[compliance.SPF](l.domainTexts.Cause())
		return
	}
	s := compliance.SPF{Records: slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !spf.IsRecord(t) })}
	if len(s.Records) == 1 {
		if record, err := spf.Parse(s.Records[0]); err == nil {
			s.Analysis = spf.Analyze(ctx, l.resolver, l.domain, record)
			s.RedirectEnd = l.redirectEnd(ctx, record)
		}
	}
	l.facts.SPF = compliance.Seen(s)
}

// redirectEnd follows redirects to the record that ends them (RFC 7208 §6.1). What is broken there
// shows in the analysis; here it says nothing about other hosts.
func (l *look) redirectEnd(ctx context.Context, record spf.Record) compliance.Fact[spf.Result] {
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
		texts := l.texts(ctx, record.Redirect)
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

func (l *look) lookKeys(ctx context.Context) {
	if l.selectors == nil {
		l.facts.Selectors = compliance.Unseen[[]compliance.Selector]("no selector is known, and DNS does not list them: name those in use with --selector")
		return
	}
	list := make([]compliance.Selector, len(l.selectors))
	var group errgroup.Group
	for i, name := range l.selectors {
		group.Go(func() error {
			list[i] = compliance.Selector{Name: name, Texts: l.texts(ctx, keyName(name, l.domain))}
			return nil
		})
	}
	if l.every {
		group.Go(func() error { l.lookServers(ctx); return nil })
	}
	_ = group.Wait()
	l.facts.Selectors = compliance.Seen(list)
}

func keyName(selector, domain string) string { return selector + "._domainkey." + domain }

// lookServers asks each authoritative server by itself.
func (l *look) lookServers(ctx context.Context) {
	prober := probe.NewProber(probe.Options{Resolver: l.resolver, Port: l.dnsPort, Timeout: l.timeout / 3, AllowPrivate: l.allowed})
	l.servers = map[string]map[string][]string{}
	for _, selector := range l.selectors {
		name := keyName(selector, l.domain)
		authority, err := prober.Authority(ctx, name, nil)
		if err != nil {
			l.serversUnknown = fmt.Sprintf("the name servers of %s: %v", name, err)
			return
		}
		at := map[string][]string{}
		for _, a := range prober.Ask(ctx, authority, name, "TXT") {
			switch a.Outcome {
			case probe.Found, probe.NoData, probe.NXDomain:
				at[a.Server+" "+a.Addr.Addr().String()] = a.Values
			case probe.Unroutable:
			default:
				l.serversUnknown = fmt.Sprintf("%s: %s of %s", name, cmp.Or(a.Detail, string(a.Outcome)), a.Server)
			}
		}
		l.servers[selector] = at
	}
}

func (l *look) lookDMARC(ctx context.Context) {
	found, err := dmarc.Discover(ctx, l.resolver, l.domain)
	l.facts.DMARC = factOf(found, err)
	switch {
	case err != nil:
		l.facts.Destinations = compliance.Unseen[[]dmarc.Destination](causeOf(err))
		l.noMX = compliance.Unseen[[]string](causeOf(err))
		return
	case found.Policy == nil:
		l.facts.Destinations, l.noMX = compliance.Seen([]dmarc.Destination{}), compliance.Seen([]string{})
		return
	}
	destinations, err := dmarc.Destinations(ctx, l.resolver, found.Policy.Domain, found.Policy.Record)
	if l.facts.Destinations = factOf(destinations, err); err != nil {
		l.noMX = compliance.Unseen[[]string](causeOf(err))
		return
	}
	noMX := []string{}
	for _, d := range destinations {
		takes, err := l.takesMail(ctx, d.Host)
		if err != nil {
			l.noMX = compliance.Unseen[[]string](causeOf(err))
			return
		}
		if !takes {
			noMX = append(noMX, d.Host)
		}
	}
	l.noMX = compliance.Seen(noMX)
}

// takesMail: a host has an MX record that is not null, or an address (RFC 5321 §5.1).
func (l *look) takesMail(ctx context.Context, host string) (bool, error) {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true, nil
	}
	list, err := l.resolver.LookupMX(ctx, host)
	switch {
	case err == nil:
		return slices.ContainsFunc(list, func(mx *net.MX) bool { return strings.TrimSuffix(mx.Host, ".") != "" }), nil
	case !isNotFound(err):
		return false, err
	}
	_, err = l.resolver.LookupNetIP(ctx, "ip", host)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// lookPolicy fetches the policy from each address of the policy host. Who gives no answer may give
// senders one: that is unknown.
func (l *look) lookPolicy(ctx context.Context) {
	fetcher := &probe.PolicyFetcher{Resolver: l.resolver, Roots: l.pool, Port: l.policyPort, Timeout: l.timeout, AllowPrivate: l.allowed}
	answer, err := fetcher.Fetch(ctx, l.domain)
	switch {
	case isNotFound(err):
		l.facts.Policy = compliance.Seen(compliance.Policy{Failure: "mta-sts." + l.domain + " has no address"})
		return
	case err != nil:
		l.facts.Policy = compliance.Unseen[compliance.Policy](causeOf(err))
		return
	}
	l.facts.Policy, l.mislabelled = policyOf(answer)
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

// announcedID is the id of the one MTA-STS record; "" if there is none.
func announcedID(texts []string) string {
	records := slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !mtasts.IsRecord(t) })
	if len(records) != 1 {
		return ""
	}
	r, err := mtasts.ParseRecord(records[0])
	if err != nil {
		return ""
	}
	return r.ID
}
