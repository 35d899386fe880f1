package survey

import (
	"context"
	"net"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
)

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
