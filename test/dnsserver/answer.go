package dnsserver

import (
	"slices"

	"github.com/miekg/dns"
)

// maxAliases is how many aliases one answer follows.
const maxAliases = 8

// answer answers a question (RFC 1034 §4.3.2).
func (d *store) answer(reply *dns.Msg, q dns.Question) {
	d.mu.RLock()
	defer d.mu.RUnlock()

	name := q.Name
	for followed := 0; ; followed++ {
		z := d.zoneOf(dns.CanonicalName(name))
		if z == nil {
			if followed == 0 {
				reply.Rcode = dns.RcodeRefused
			}
			return // where the alias leads is for others to say
		}
		target := z.answer(reply, name, q.Qtype)
		if target == "" || followed == maxAliases {
			return
		}
		name = target
	}
}

// answer answers from one zone. It returns the target of an alias that is to be followed.
func (z *zone) answer(reply *dns.Msg, qname string, qtype uint16) (target string) {
	name := dns.CanonicalName(qname)
	// A DS record stands above the zone cut (RFC 4035 §3.1.4.1).
	if cut := z.cut(name); cut != "" && (cut != name || qtype != dns.TypeDS) {
		reply.Ns = append(reply.Ns, show(z.names[cut][dns.TypeNS], cut)...)
		z.addGlue(reply, z.names[cut][dns.TypeNS])
		return ""
	}
	reply.Authoritative = true

	owner, ok := z.match(name)
	types := z.names[owner] // none at an empty non-terminal
	alias := types[dns.TypeCNAME]
	switch {
	case !ok:
		reply.Rcode = dns.RcodeNameError
		z.addSOA(reply)
	case qtype == dns.TypeANY && len(types) > 0:
		for _, code := range sortedTypes(types) {
			reply.Answer = append(reply.Answer, show(types[code], qname)...)
		}
	case len(types[qtype]) > 0:
		reply.Answer = append(reply.Answer, show(types[qtype], qname)...)
		if qtype == dns.TypeNS {
			z.addGlue(reply, types[qtype])
		}
	case len(alias) > 0:
		shown := show(alias, qname)
		if slices.ContainsFunc(reply.Answer, func(rr dns.RR) bool { return dns.IsDuplicate(rr, shown[0]) }) {
			return "" // a loop
		}
		reply.Answer = append(reply.Answer, shown...)
		return alias[0].(*dns.CNAME).Target
	default:
		z.addSOA(reply)
	}
	return ""
}

// cut returns the owner of the NS records by which name, or a name above it, is delegated to a
// child zone.
func (z *zone) cut(name string) string {
	var cut string
	for ; name != z.apex; name = parent(name) {
		if len(z.names[name][dns.TypeNS]) > 0 {
			cut = name // the one next to the apex counts
		}
	}
	return cut
}

// match returns the owner of the records that answer for name: name itself if it exists, else
// the wildcard below its closest encloser (RFC 4592 §3.3.1).
func (z *zone) match(name string) (owner string, ok bool) {
	if name == z.apex || z.exists(name) {
		return name, true
	}
	encloser := parent(name)
	for encloser != z.apex && !z.exists(encloser) {
		encloser = parent(encloser)
	}
	if encloser == "." {
		encloser = ""
	}
	wildcard := "*." + encloser
	return wildcard, z.exists(wildcard)
}

// addSOA adds the proof of absence, to be cached for the lesser of two times (RFC 2308 §3).
func (z *zone) addSOA(reply *dns.Msg) {
	soa := *z.soa()
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	reply.Ns = append(reply.Ns, &soa)
}

// addGlue adds the addresses of name servers that the zone knows, below its cuts too.
func (z *zone) addGlue(reply *dns.Msg, servers []dns.RR) {
	for _, rr := range servers {
		host := dns.CanonicalName(rr.(*dns.NS).Ns)
		for _, code := range []uint16{dns.TypeA, dns.TypeAAAA} {
			reply.Extra = append(reply.Extra, show(z.names[host][code], host)...)
		}
	}
}

// show copies records for an answer, in the question's spelling of the name.
func show(records []dns.RR, owner string) []dns.RR {
	shown := make([]dns.RR, len(records))
	for i, rr := range records {
		shown[i] = dns.Copy(rr)
		shown[i].Header().Name = owner
	}
	return shown
}

func sortedTypes(types map[uint16][]dns.RR) []uint16 {
	codes := make([]uint16, 0, len(types))
	for code := range types {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}
