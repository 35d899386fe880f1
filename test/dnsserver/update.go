package dnsserver

import (
	"slices"

	"github.com/miekg/dns"
)

// update carries out an UPDATE message (RFC 2136 §3) and returns the response code. All that
// can go wrong is found before the first change. With lose, the changes are not made.
func (s *Server) update(req *dns.Msg, signed, lose bool) (rcode int) {
	if len(req.Question) != 1 || req.Question[0].Qtype != dns.TypeSOA {
		return dns.RcodeFormatError // §3.1.1
	}
	d := s.zones
	d.mu.Lock()
	defer d.mu.Unlock()

	z := d.zones[dns.CanonicalName(req.Question[0].Name)]
	switch {
	case z == nil || req.Question[0].Qclass != dns.ClassINET:
		return dns.RcodeNotAuth // §3.1.2
	case !signed || s.secondary:
		return dns.RcodeRefused // §3.3, and no forwarding (§6)
	}
	if rcode := d.checkPrerequisites(z, req.Answer); rcode != dns.RcodeSuccess {
		return rcode
	}
	if rcode := d.prescan(z, req.Ns); rcode != dns.RcodeSuccess {
		return rcode
	}
	if !lose {
		z.apply(req.Ns)
	}
	return dns.RcodeSuccess
}

// checkPrerequisites evaluates the prerequisite section (§3.2.5).
func (d *store) checkPrerequisites(z *zone, prerequisites []dns.RR) (rcode int) {
	exact := map[string]map[uint16][]dns.RR{}
	for _, rr := range prerequisites {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		nameInUse, setExists := len(z.names[name]) > 0, len(z.names[name][h.Rrtype]) > 0
		empty := h.Rdlength == 0
		switch {
		case h.Ttl != 0:
			return dns.RcodeFormatError
		case d.zoneOf(name) != z:
			return dns.RcodeNotZone
		case h.Class == dns.ClassANY && empty && h.Rrtype == dns.TypeANY: // §2.4.4
			if !nameInUse {
				return dns.RcodeNameError
			}
		case h.Class == dns.ClassANY && empty: // §2.4.1
			if !setExists {
				return dns.RcodeNXRrset
			}
		case h.Class == dns.ClassNONE && empty && h.Rrtype == dns.TypeANY: // §2.4.5
			if nameInUse {
				return dns.RcodeYXDomain
			}
		case h.Class == dns.ClassNONE && empty: // §2.4.3
			if setExists {
				return dns.RcodeYXRrset
			}
		case h.Class == dns.ClassINET: // §2.4.2
			if exact[name] == nil {
				exact[name] = map[uint16][]dns.RR{}
			}
			exact[name][h.Rrtype] = append(exact[name][h.Rrtype], stored(rr))
		default:
			return dns.RcodeFormatError
		}
	}
	for name, types := range exact {
		for code, records := range types {
			if !sameSet(records, z.names[name][code]) {
				return dns.RcodeNXRrset
			}
		}
	}
	return dns.RcodeSuccess
}

// prescan looks for errors in the update section (§3.4.1).
func (d *store) prescan(z *zone, updates []dns.RR) (rcode int) {
	for _, rr := range updates {
		h := rr.Header()
		switch {
		case d.zoneOf(dns.CanonicalName(h.Name)) != z:
			return dns.RcodeNotZone
		case h.Class == dns.ClassINET && !isMeta(h.Rrtype) && h.Rdlength > 0 && h.Rrtype != dns.TypeDNAME:
		case h.Class == dns.ClassANY && h.Ttl == 0 && h.Rdlength == 0 && (h.Rrtype == dns.TypeANY || !isMeta(h.Rrtype)):
		case h.Class == dns.ClassNONE && h.Ttl == 0 && !isMeta(h.Rrtype):
		default:
			return dns.RcodeFormatError
		}
	}
	return dns.RcodeSuccess
}

// isMeta reports the types that are not data (RFC 6895 §3.1).
func isMeta(code uint16) bool {
	return code == dns.TypeOPT || code >= 128 && code <= 255
}

// apply makes the changes (§3.4.2) and raises the serial number if there was one.
func (z *zone) apply(updates []dns.RR) {
	before, changed := z.soa().Serial, false
	for _, rr := range updates {
		switch rr.Header().Class {
		case dns.ClassINET:
			changed = z.add(stored(rr)) || changed
		case dns.ClassANY:
			changed = z.deleteSets(dns.CanonicalName(rr.Header().Name), rr.Header().Rrtype) || changed
		case dns.ClassNONE:
			changed = z.deleteRecord(stored(rr)) || changed
		}
	}
	if changed && z.soa().Serial == before {
		z.bump()
	}
}

// add adds a record to an RRset (§3.4.2.2). What cannot stand is silently left out.
func (z *zone) add(rr dns.RR) (changed bool) {
	name, code := rr.Header().Name, rr.Header().Rrtype
	set := z.names[name][code]
	if !z.canStand(name, code) {
		return false
	}
	switch rr := rr.(type) {
	case *dns.SOA:
		if name != z.apex || int32(rr.Serial-z.soa().Serial) <= 0 { // RFC 1982
			return false
		}
		set = nil
	case *dns.CNAME:
		set = nil
	}
	next := unique(append(slices.Clone(set), rr))
	if sameSet(next, z.names[name][code]) && next[0].Header().Ttl == z.names[name][code][0].Header().Ttl {
		return false
	}
	z.set(name, code, next)
	return true
}

// deleteSets deletes an RRset, or all of a name, but not what makes the apex (§3.4.2.3).
func (z *zone) deleteSets(name string, code uint16) (changed bool) {
	for _, t := range sortedTypes(z.names[name]) {
		atApex := name == z.apex && (t == dns.TypeSOA || t == dns.TypeNS)
		if (t == code || code == dns.TypeANY) && !atApex {
			z.set(name, t, nil)
			changed = true
		}
	}
	return changed
}

// deleteRecord deletes one record, but not the SOA and not the last NS of the apex (§3.4.2.4).
func (z *zone) deleteRecord(rr dns.RR) (changed bool) {
	name, code := rr.Header().Name, rr.Header().Rrtype
	set := z.names[name][code]
	rest := slices.DeleteFunc(slices.Clone(set), func(other dns.RR) bool { return dns.IsDuplicate(rr, other) })
	if name == z.apex && (code == dns.TypeSOA || code == dns.TypeNS && len(rest) == 0) {
		return false
	}
	z.set(name, code, rest)
	return len(rest) != len(set)
}

// stored gives a record of the message the form that records have in a zone.
func stored(rr dns.RR) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Name = dns.CanonicalName(rr.Header().Name)
	rr.Header().Class = dns.ClassINET
	return rr
}

// sameSet reports whether two RRsets hold the same records, whatever their order and TTL.
func sameSet(a, b []dns.RR) bool {
	in := func(set []dns.RR) func(dns.RR) bool {
		return func(rr dns.RR) bool {
			return slices.ContainsFunc(set, func(other dns.RR) bool { return dns.IsDuplicate(rr, other) })
		}
	}
	missing := func(set, from []dns.RR) bool {
		return slices.ContainsFunc(set, func(rr dns.RR) bool { return !in(from)(rr) })
	}
	return !missing(a, b) && !missing(b, a)
}
