package dnsserver

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// AddZone adds a zone with a SOA record, an NS record for ns1 below the apex, and ns1's
// address, which is the server's own.
func (s *Server) AddZone(apex string) error {
	apex = dns.CanonicalName(apex)
	if _, ok := dns.IsDomainName(apex); !ok {
		return fmt.Errorf("dnsserver: zone %q is not a domain name", apex)
	}
	address, addressType := s.addr.Addr().Unmap(), "A"
	if address.Is6() {
		addressType = "AAAA"
	}
	ns := "ns1." + strings.TrimPrefix(apex, ".")
	seconds := func(d time.Duration) int { return int(d / time.Second) }
	z := newZone(apex)
	for _, line := range []string{
		fmt.Sprintf("%s %d IN SOA %s hostmaster.%s 1 3600 600 604800 %d", apex, seconds(s.cfg.SOATTL), ns, strings.TrimPrefix(apex, "."), seconds(s.cfg.Minimum)),
		fmt.Sprintf("%s %d IN NS %s", apex, seconds(s.cfg.TTL), ns),
		fmt.Sprintf("%s %d IN %s %s", ns, seconds(s.cfg.TTL), addressType, address),
	} {
		rr, err := parseRecord(line)
		if err != nil {
			return err
		}
		z.set(rr.Header().Name, rr.Header().Rrtype, []dns.RR{rr})
	}

	s.zones.mu.Lock()
	defer s.zones.mu.Unlock()
	if s.zones.zones[apex] != nil {
		return fmt.Errorf("dnsserver: zone %s is there already", apex)
	}
	s.zones.zones[apex] = z
	return nil
}

// RemoveZone removes a zone. From then on its names are those of the zone above, or refused.
func (s *Server) RemoveZone(apex string) {
	s.zones.mu.Lock()
	defer s.zones.mu.Unlock()
	delete(s.zones.zones, dns.CanonicalName(apex))
}

// Set replaces the RRset at name by records in presentation form, as a zone file has them:
// Set("example.com", "MX", "10 mx.example.com."). Without rdata it removes the RRset. A TXT
// text must be quoted here, and cut into strings of 255 octets; SetTXT does both.
func (s *Server) Set(name, rrtype string, rdata ...string) error {
	return s.SetTTL(name, rrtype, s.cfg.TTL, rdata...)
}

// SetTTL is Set with a TTL of its own.
func (s *Server) SetTTL(name, rrtype string, ttl time.Duration, rdata ...string) error {
	code, ok := dns.StringToType[strings.ToUpper(rrtype)]
	if !ok {
		return fmt.Errorf("dnsserver: unknown record type %q", rrtype)
	}
	records := make([]dns.RR, len(rdata))
	for i, data := range rdata {
		rr, err := parseRecord(fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(name), ttl/time.Second, rrtype, data))
		if err != nil {
			return err
		}
		records[i] = rr
	}
	return s.replace(dns.CanonicalName(name), code, records)
}

// SetTXT replaces the TXT RRset at name by one record for each text, taken octet by octet and
// cut into strings of 255 octets.
func (s *Server) SetTXT(name string, texts ...string) error {
	rdata := make([]string, len(texts))
	for i, text := range texts {
		octets := []byte{}
		for chunk := range slices.Chunk([]byte(text), 255) {
			octets = append(append(octets, byte(len(chunk))), chunk...)
		}
		if text == "" {
			octets = []byte{0}
		}
		rdata[i] = fmt.Sprintf(`\# %d %x`, len(octets), octets) // RFC 3597 §5
	}
	return s.Set(name, "TXT", rdata...)
}

// Load adds records in the form of a zone file, each with an absolute name or below an
// $ORIGIN, to the zones that the server holds. A SOA record replaces the zone's own.
func (s *Server) Load(zoneFile string) error {
	var records []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(zoneFile), "", "")
	parser.SetDefaultTTL(uint32(s.cfg.TTL / time.Second))
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		normal, err := normalize(rr)
		if err != nil {
			return err
		}
		records = append(records, normal)
	}
	if err := parser.Err(); err != nil {
		return fmt.Errorf("dnsserver: %w", err)
	}
	for _, rr := range records {
		name, code := rr.Header().Name, rr.Header().Rrtype
		set := []dns.RR{rr}
		if code != dns.TypeSOA {
			set = append(s.records(name, code), rr)
		}
		if err := s.replace(name, code, set); err != nil {
			return err
		}
	}
	return nil
}

// Dump returns the records of all zones in the form of a zone file, sorted, for Load.
func (s *Server) Dump() string {
	data := s.shown()
	data.mu.RLock()
	defer data.mu.RUnlock()
	var lines []string
	for _, z := range data.zones {
		for _, types := range z.names {
			for _, records := range types {
				for _, rr := range records {
					lines = append(lines, rr.String()+"\n")
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Records returns the rdata of an RRset in presentation form, sorted.
func (s *Server) Records(name, rrtype string) []string {
	var rdata []string
	for _, rr := range s.records(dns.CanonicalName(name), dns.StringToType[strings.ToUpper(rrtype)]) {
		rdata = append(rdata, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(rdata)
	return rdata
}

// TXT returns the texts at name, the strings of each joined, octet by octet, sorted.
func (s *Server) TXT(name string) []string {
	var texts []string
	for _, rr := range s.records(dns.CanonicalName(name), dns.TypeTXT) {
		var generic dns.RFC3597
		if err := generic.ToRFC3597(rr); err != nil {
			continue // stored records are normalized: they can be encoded
		}
		octets, _ := hex.DecodeString(generic.Rdata)
		var text []byte
		for len(octets) > 0 {
			end := 1 + int(octets[0])
			text = append(text, octets[1:end]...)
			octets = octets[end:]
		}
		texts = append(texts, string(text))
	}
	slices.Sort(texts)
	return texts
}

func (s *Server) records(name string, code uint16) []dns.RR {
	data := s.shown()
	data.mu.RLock()
	defer data.mu.RUnlock()
	if z := data.zoneOf(name); z != nil {
		return slices.Clone(z.names[name][code])
	}
	return nil
}

// replace replaces an RRset, with one TTL for all its records (RFC 2181 §5.2).
func (s *Server) replace(name string, code uint16, records []dns.RR) error {
	s.zones.mu.Lock()
	defer s.zones.mu.Unlock()
	z := s.zones.zoneOf(name)
	switch {
	case z == nil:
		return fmt.Errorf("dnsserver: no zone for %s", name)
	case name == z.apex && code == dns.TypeSOA && len(records) != 1:
		return fmt.Errorf("dnsserver: zone %s needs one SOA record", z.apex)
	case len(records) > 0 && !z.canStand(name, code):
		return fmt.Errorf("dnsserver: %s at %s: an alias stands alone (RFC 1034 §3.6.2)", dns.TypeToString[code], name)
	}
	z.set(name, code, unique(records))
	if code != dns.TypeSOA {
		z.bump()
	}
	return nil
}

// canStand reports whether a type can stand beside what is at name: an alias stands alone.
func (z *zone) canStand(name string, code uint16) bool {
	for other := range z.names[name] {
		if other != code && (other == dns.TypeCNAME || code == dns.TypeCNAME) {
			return false
		}
	}
	return true
}

// unique drops all but the last of equal records, and gives all of them the last one's TTL.
func unique(records []dns.RR) []dns.RR {
	var set []dns.RR
	for i, rr := range records {
		if slices.ContainsFunc(records[i+1:], func(later dns.RR) bool { return dns.IsDuplicate(rr, later) }) {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Ttl = records[len(records)-1].Header().Ttl
		set = append(set, rr)
	}
	return set
}

func parseRecord(line string) (dns.RR, error) {
	rr, err := dns.NewRR(line)
	if err != nil {
		return nil, fmt.Errorf("dnsserver: %w", err)
	}
	if rr == nil {
		return nil, fmt.Errorf("dnsserver: %q is not a record", line)
	}
	return normalize(rr)
}

// normalize gives a record the one form that it has after a trip over the wire, so that equal
// records compare equal however they were written.
func normalize(rr dns.RR) (dns.RR, error) {
	if rr.Header().Rrtype == dns.TypeDNAME {
		return nil, fmt.Errorf("dnsserver: DNAME is not supported")
	}
	wire := make([]byte, dns.Len(rr))
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("dnsserver: %s: %w", rr.Header().Name, err)
	}
	normal, _, err := dns.UnpackRR(wire[:end], 0)
	if err != nil {
		return nil, fmt.Errorf("dnsserver: %s: %w", rr.Header().Name, err)
	}
	normal.Header().Name = dns.CanonicalName(normal.Header().Name)
	return normal, nil
}
