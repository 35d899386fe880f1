package dmarc

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Destination is a domain that reports go to.
type Destination struct {
	Host string
	// External: it is of another organization, which has to agree (RFC 9990 §4).
	External bool
	// Name is where the agreement of an external one stands, as a TXT record that begins with
	// v=DMARC1; "" if no such name can be, as it would be too long, or as Host is an address.
	Name string
	// Agrees: the record stands there. Without it receivers send no reports to this destination.
	Agrees bool
}

// ReportName returns the name at which host agrees to get the reports about domain (RFC 9990
// §4); ok is false if the name would be too long. A record at *._report._dmarc.<host> agrees to
// the reports about any domain.
func ReportName(domain, host string) (name string, ok bool) {
	name = fold(domain) + "._report._dmarc." + fold(host)
	return name, len(name) <= 253
}

// MaxDestinations is how many domains Destinations looks at, so that a record can't have it ask DNS
// without end.
const MaxDestinations = 20

// Destinations looks at the domains that a record of domain has reports sent to, MaxDestinations
// at most. An error says that a question got no answer.
func Destinations(ctx context.Context, resolver Resolver, domain string, r Record) ([]Destination, error) {
	own, err := Discover(ctx, resolver, domain)
	if err != nil {
		return nil, err
	}
	var list []Destination
	reported := hosts(slices.Concat(r.RUA, r.RUF))
	for _, host := range reported[:min(len(reported), MaxDestinations)] {
		if _, err := netip.ParseAddr(host); err == nil {
			list = append(list, Destination{Host: host, External: true})
			continue
		}
		there, err := Discover(ctx, resolver, host)
		if err != nil {
			return nil, err
		}
		d := Destination{Host: host, External: there.Organization != own.Organization}
		if name, ok := ReportName(domain, host); d.External && ok {
			d.Name = name
			texts, err := resolver.LookupTXT(ctx, name+".")
			if err != nil && !isNotFound(err) {
				return nil, fmt.Errorf("no answer to the question for TXT of %s: %w", name, err)
			}
			d.Agrees = agree(texts, host)
		}
		list = append(list, d)
	}
	return list, nil
}

// agree reports whether one of the texts is the host's agreement. It may have the reports sent to
// other addresses, but not to those of another host: then they go to neither (RFC 9990 §4).
func agree(texts []string, host string) bool {
	agrees := false
	for _, text := range texts {
		if !IsRecord(text) {
			continue
		}
		agrees = true
		for _, t := range format.Tolerate(text) {
			if t.Name != "rua" && t.Name != "ruf" {
				continue
			}
			for _, uri := range format.List(t.Value, ",") {
				if instead, ok := Host(uri); ok && instead != host {
					return false
				}
			}
		}
	}
	return agrees
}
