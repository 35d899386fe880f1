package route53

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Target is a DNS server that can serve what the fake holds; dnsserver.Server is one.
type Target interface {
	// Set replaces an RRset by records in the form of a zone file; without rdata it removes it.
	Set(name, rrtype string, rdata ...string) error
}

type mirror struct {
	zone   string
	target Target
	shown  map[[2]string][]string // by name and type
}

// Serve has a DNS server show the zone as it is now and after each change, before the change
// is answered. Left out are the apex's SOA and NS, which are the server's own, what Route 53
// makes up answers from, aliases and sets with a routing policy, and odd records of rare types that
// the server does not take.
func (s *Server) Serve(zoneID string, target Target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[zoneID]
	if z == nil {
		return fmt.Errorf("route53: no zone %s", zoneID)
	}
	s.mirrors = append(s.mirrors, &mirror{zone: zoneID, target: target, shown: map[[2]string][]string{}})
	return s.show(z)
}

// show brings the DNS servers up to date: what is gone first, as a CNAME may take its place.
func (s *Server) show(z *zone) error {
	var errs []error
	for _, m := range s.mirrors {
		if m.zone != z.id {
			continue
		}
		now := map[[2]string][]string{}
		for _, set := range z.sets {
			if set.Alias != nil || set.SetIdentifier != "" || set.Name == z.name && (set.Type == "SOA" || set.Type == "NS") {
				continue
			}
			for _, value := range set.Values {
				now[[2]string{set.Name, set.Type}] = append(now[[2]string{set.Name, set.Type}], decimal(value))
			}
		}
		set := func(key [2]string, values ...string) {
			err := m.target.Set(decimal(key[0]), key[1], values...)
			if slices.Contains([]string{"TXT", "CNAME", "A", "AAAA", "NS"}, key[1]) {
				errs = append(errs, err)
			}
		}
		for key := range m.shown {
			if now[key] == nil {
				set(key)
			}
		}
		for key, values := range now {
			if !slices.Equal(values, m.shown[key]) {
				set(key, values...)
			}
		}
		m.shown = now
	}
	return errors.Join(errs...)
}

// decimal turns the octal escapes of Route 53 into the decimal ones of a zone file (RFC 1035 §5.1).
func decimal(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		if octet, ok := octal(text[i+1:]); ok {
			if octet == '*' {
				b.WriteByte('*') // a wildcard, not the character
			} else {
				fmt.Fprintf(&b, `\%03d`, octet)
			}
			i += 3
			continue
		}
		b.WriteString(text[i : i+2])
		i++
	}
	return b.String()
}
