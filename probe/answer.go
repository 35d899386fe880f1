package probe

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Outcome is what one address of one authoritative server had to say.
// The outcomes are different facts: only NoData and NXDomain prove absence.
type Outcome string

const (
	Found      Outcome = "Found"      // a record of the type, or an alias, stands at the name
	NoData     Outcome = "NoData"     // the name exists without such a record (RFC 2308 §2.2)
	NXDomain   Outcome = "NXDomain"   // the name does not exist (RFC 2308 §2.1)
	ServFail   Outcome = "ServFail"   // the server failed: SERVFAIL, FORMERR, NOTIMP, a malformed message
	Refused    Outcome = "Refused"    // the server will not answer (REFUSED)
	Timeout    Outcome = "Timeout"    // no answer: time ran out, connection refused or broken off, no address known
	Lame       Outcome = "Lame"       // the server is not authoritative for the name
	Unroutable Outcome = "Unroutable" // no route to this address from here, or the address is not allowed
)

// Answer is what one address of one authoritative server gave for a name.
type Answer struct {
	Server string         // the server's name as delegated or configured
	Addr   netip.AddrPort // the address asked; the zero value when the server has none that is known
	// Outcome says which fact this is; the fields below belong to it.
	Outcome Outcome
	// Detail says more about an outcome without data, in stable words, e.g.
	// "FORMERR" or "connection refused"; otherwise empty.
	Detail string
	// Values are the records at the name itself, sorted. TXT: all strings of a
	// record joined, raw octets. Names are canonical. A record of any other type
	// is in presentation form (MX: "10 mx1.example.com").
	Values []string
	// Alias is the target of a CNAME that stands at the name. What the target
	// holds is not this server's to say; Values is empty then, unless the CNAME
	// itself was asked for.
	Alias string
	// TTL is the lowest TTL of Values or of the alias; of an answer that proves
	// absence it is the negative TTL (RFC 2308 §5), 0 without an SOA.
	TTL time.Duration
}

// interpret turns a message from an authoritative server into an Answer without
// Server and Addr.
func interpret(question dns.Question, msg *dns.Msg) Answer {
	switch msg.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	case dns.RcodeRefused:
		return Answer{Outcome: Refused}
	case dns.RcodeServerFailure:
		return Answer{Outcome: ServFail}
	default:
		return Answer{Outcome: ServFail, Detail: rcodeText(msg.Rcode)}
	}
	if !msg.Authoritative {
		return Answer{Outcome: Lame}
	}
	name := canonical(question.Name)
	if set := recordsAt(msg.Answer, name, question.Qtype); len(set) > 0 {
		a := Answer{Outcome: Found, Values: values(set), TTL: lowestTTL(set)}
		if question.Qtype == dns.TypeCNAME {
			a.Alias = a.Values[0]
		}
		return a
	}
	if set := recordsAt(msg.Answer, name, dns.TypeCNAME); len(set) > 0 {
		// The rest of the message, its NXDOMAIN included, is about the
		// target (RFC 6604 §3).
		return Answer{Outcome: Found, Alias: values(set)[0], TTL: lowestTTL(set)}
	}
	a := Answer{Outcome: NoData}
	if msg.Rcode == dns.RcodeNameError {
		a.Outcome = NXDomain
	}
	if soa := enclosingSOA(msg, name); soa != nil {
		a.TTL = negativeTTL(soa)
	}
	return a
}

// recordsAt picks the records of one RRset from a section.
func recordsAt(section []dns.RR, name string, rrtype uint16) []dns.RR {
	var set []dns.RR
	for _, rr := range section {
		h := rr.Header()
		if h.Class == dns.ClassINET && h.Rrtype == rrtype && canonical(h.Name) == name {
			set = append(set, rr)
		}
	}
	return set
}

// enclosingSOA is the SOA of the AUTHORITY section of a negative answer, if it
// belongs to name or a zone above it.
func enclosingSOA(msg *dns.Msg, name string) *dns.SOA {
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*dns.SOA); ok && soa.Hdr.Class == dns.ClassINET {
			if owner := canonical(soa.Hdr.Name); owner == name || above(owner, name) {
				return soa
			}
		}
	}
	return nil
}

// negativeTTL is how long a resolver may remember that a name is not there
// (RFC 2308 §5).
func negativeTTL(soa *dns.SOA) time.Duration {
	return min(ttl(soa.Hdr.Ttl), ttl(soa.Minttl))
}

// ttl reads a TTL; one with the highest bit set means zero (RFC 2181 §8).
func ttl(seconds uint32) time.Duration {
	if seconds > 1<<31-1 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func lowestTTL(set []dns.RR) time.Duration {
	lowest := ttl(set[0].Header().Ttl)
	for _, rr := range set[1:] {
		lowest = min(lowest, ttl(rr.Header().Ttl))
	}
	return lowest
}

// values renders an RRset in sorted order, for servers rotate it.
func values(set []dns.RR) []string {
	texts := make([]string, len(set))
	for i, rr := range set {
		texts[i] = value(rr)
	}
	slices.Sort(texts)
	return slices.Compact(texts) // duplicates are one record (RFC 2181 §5)
}

func value(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.TXT:
		return joinTXT(rr.Txt)
	case *dns.CNAME:
		return target(rr.Target)
	case *dns.NS:
		return target(rr.Ns)
	case *dns.PTR:
		return target(rr.Ptr)
	case *dns.MX:
		return strconv.Itoa(int(rr.Preference)) + " " + target(rr.Mx)
	case *dns.A:
		return addrOf(rr).String()
	case *dns.AAAA:
		return addrOf(rr).String()
	default:
		return strings.TrimPrefix(rr.String(), rr.Header().String())
	}
}

// addrOf is the address in an A or AAAA record; invalid for anything else and
// for a record without data.
func addrOf(rr dns.RR) netip.Addr {
	var addr netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		addr, _ = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		addr, _ = netip.AddrFromSlice(rr.AAAA.To16())
	}
	return addr
}

// joinTXT joins the character-strings of a TXT record and undoes the decoder's
// presentation escapes (RFC 1035 §5.1), so that raw octets come out.
func joinTXT(texts []string) string {
	var b strings.Builder
	for _, s := range texts {
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] != '\\' || i+1 == len(s):
				b.WriteByte(s[i])
			case i+3 < len(s) && isDecimal(s[i+1:i+4]):
				n, _ := strconv.Atoi(s[i+1 : i+4])
				b.WriteByte(byte(n))
				i += 3
			default:
				i++
				b.WriteByte(s[i])
			}
		}
	}
	return b.String()
}

func isDecimal(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

func rcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return "RCODE" + strconv.Itoa(rcode)
}
