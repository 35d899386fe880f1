package dnsprovider

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// A record's rdata is kept as octets, in the hexadecimal of RFC 3597 §5, from the answer to
// the update: that is its Handle. So a record that is not ours goes back into a prerequisite
// exactly as it came, however its text is cut into character-strings, and no escape is ever
// written or undone.

var typeCodes = map[string]uint16{
	TypeTXT:   dns.TypeTXT,
	TypeCNAME: dns.TypeCNAME,
	TypeA:     dns.TypeA,
	TypeAAAA:  dns.TypeAAAA,
}

const (
	maxCharacterString = 255 // octets, RFC 1035 §3.3
	maxRdata           = 1<<16 - 1
	maxTTL             = 1<<31 - 1 // seconds, RFC 2181 §8
)

// rrsetOf turns the records of an answer into an RRset.
func rrsetOf(key Key, found answer) (RRset, error) {
	set := RRset{Key: key, Alias: found.alias}
	for _, rr := range found.records {
		var generic dns.RFC3597
		if err := generic.ToRFC3597(rr); err != nil {
			return RRset{}, failure(Unreachable, err, "the answer holds a record that cannot be read")
		}
		set.Records = append(set.Records, Record{Value: valueOf(rr, generic.Rdata), Handle: generic.Rdata})
		set.TTL = time.Duration(rr.Header().Ttl) * time.Second
	}
	slices.SortFunc(set.Records, compareRecords)
	return set, nil
}

// valueOf says what a record of one of our types says.
func valueOf(rr dns.RR, rdata string) string {
	switch rr := rr.(type) {
	case *dns.CNAME:
		return Canonical(rr.Target)
	case *dns.A:
		addr, _ := netip.AddrFromSlice(rr.A.To4())
		return addr.String()
	case *dns.AAAA:
		addr, _ := netip.AddrFromSlice(rr.AAAA.To16())
		return addr.String()
	default:
		octets, _ := hex.DecodeString(rdata) // miekg/dns encoded it
		return joinCharacterStrings(octets)
	}
}

// rdataOf is the inverse of valueOf for a record that we write. libdns knows what a value of
// each type looks like; the octets are ours.
func rdataOf(recordType, value string) (string, error) {
	record, err := libdns.RR{Type: recordType, Data: value}.Parse()
	if err != nil {
		return "", failure(Invalid, err, "the value %q is not one of a %s record", value, recordType)
	}
	switch record := record.(type) {
	case libdns.TXT:
		octets := splitCharacterStrings(record.Text)
		if len(octets) > maxRdata {
			return "", failure(Invalid, nil, "the text has %d octets, more than a TXT record can hold", len(value))
		}
		return hex.EncodeToString(octets), nil
	case libdns.Address:
		if record.RR().Type != recordType || record.IP.Zone() != "" {
			return "", failure(Invalid, nil, "the value %q is not an address of a %s record", value, recordType)
		}
		return hex.EncodeToString(record.IP.AsSlice()), nil
	case libdns.CNAME:
		target := make([]byte, 255) // RFC 1035 §2.3.4
		// In lower case: an answer can show another case than is stored, by name compression, and
		// PowerDNS would then not find what is to be removed, and say that it is.
		end, err := dns.PackDomainName(dns.Fqdn(Canonical(record.Target)), target, 0, nil, false)
		if err != nil || record.Target == "" {
			return "", failure(Invalid, err, "the value %q is not a domain name", value)
		}
		return hex.EncodeToString(target[:end]), nil
	default:
		return "", failure(Invalid, nil, "record type %q is not one of TXT, CNAME, A, AAAA", recordType)
	}
}

// splitCharacterStrings cuts text into as few character-strings as it needs (RFC 1035
// §3.3.14). An empty text is one empty string: TXT rdata without a string is an error.
func splitCharacterStrings(text string) []byte {
	rdata := make([]byte, 0, len(text)+len(text)/maxCharacterString+1)
	for first := true; first || text != ""; first = false {
		n := min(len(text), maxCharacterString)
		rdata = append(rdata, byte(n))
		rdata = append(rdata, text[:n]...)
		text = text[n:]
	}
	return rdata
}

func joinCharacterStrings(rdata []byte) string {
	text := make([]byte, 0, len(rdata))
	for len(rdata) > 0 {
		n := min(1+int(rdata[0]), len(rdata))
		text = append(text, rdata[1:n]...)
		rdata = rdata[n:]
	}
	return string(text)
}

// updateFor builds the UPDATE message of a unit: the prerequisites that the RRsets are what was seen, our
// records out, the new ones in.
func updateFor(apex string, unit ...Change) (*dns.Msg, error) {
	msg := new(dns.Msg)
	msg.SetUpdate(dns.Fqdn(apex))
	for i, change := range unit {
		if err := change.check(); err != nil {
			return nil, err
		}
		require(msg, change, slices.Concat(unit[:i], unit[i+1:]))
	}
	for _, change := range unit {
		if err := replace(msg, change); err != nil {
			return nil, err
		}
	}
	return msg, nil
}

// besideTypes are the kinds of records that may stand at the name of a host beside its addresses, and so keep
// a CNAME from it.
var besideTypes = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeSRV, dns.TypeCAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTLSA,
	dns.TypeSSHFP, dns.TypeNAPTR, dns.TypePTR, dns.TypeHINFO, dns.TypeLOC, dns.TypeRP, dns.TypeURI, dns.TypeDNAME, dns.TypeDS,
}

// require has the server change nothing unless what stands is what was seen. others are the other changes of
// the unit.
func require(msg *dns.Msg, change Change, others []Change) {
	seen := change.Seen
	absent := func(code uint16) {
		msg.RRsetNotUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: dns.Fqdn(seen.Name), Rrtype: code, Class: dns.ClassINET}}})
	}
	clearing := func(recordType string) bool {
		return slices.ContainsFunc(others, func(c Change) bool { return c.Seen.Type == recordType && c.clears() })
	}
	switch {
	case len(seen.Records) > 0: // §2.4.2: exactly these
		for _, r := range seen.Records {
			msg.Used(recordsFor(seen.Key, r.Handle, 0))
		}
	case seen.Type != TypeCNAME: // §2.4.3, also for the CNAME beside which the new record would silently be ignored
		absent(typeCodes[seen.Type])
		if !clearing(TypeCNAME) {
			absent(dns.TypeCNAME)
		}
	case !clearing(TypeA) && !clearing(TypeAAAA): // §2.4.3, and §2.4.5 as a CNAME stands alone or is silently ignored (§3.4.2.2)
		absent(dns.TypeCNAME)
		msg.NameNotUsed(recordsFor(seen.Key, "", 0))
	default: // as before, but for the addresses that make way for it
		absent(dns.TypeCNAME)
		for _, code := range besideTypes {
			if code == dns.TypeA && clearing(TypeA) || code == dns.TypeAAAA && clearing(TypeAAAA) {
				continue
			}
			absent(code)
		}
	}
}

// replace takes records out and puts others in.
func replace(msg *dns.Msg, change Change) error {
	seen := change.Seen
	for _, r := range change.Remove {
		msg.Remove(recordsFor(seen.Key, r.Handle, 0)) // §2.5.4: this record and no other
	}
	ttl := change.TTL
	if change.keepsSome() {
		ttl = seen.TTL // records of one RRset have one TTL (RFC 2181 §5.2): the owners of the others chose it
	}
	if ttl < 0 || ttl > maxTTL*time.Second {
		return failure(Invalid, nil, "the TTL %v is not between 0 and %d seconds", ttl, maxTTL)
	}
	for _, value := range change.Add {
		rdata, err := rdataOf(seen.Type, value)
		if err != nil {
			return err
		}
		msg.Insert(recordsFor(seen.Key, rdata, ttl))
	}
	return nil
}

func recordsFor(key Key, rdata string, ttl time.Duration) []dns.RR {
	header := dns.RR_Header{Name: dns.Fqdn(key.Name), Rrtype: typeCodes[key.Type], Class: dns.ClassINET, Ttl: uint32(ttl / time.Second)}
	return []dns.RR{&dns.RFC3597{Hdr: header, Rdata: rdata}}
}
