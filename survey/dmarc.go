package survey

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
)

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
