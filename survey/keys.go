package survey

import (
	"cmp"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
)

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
