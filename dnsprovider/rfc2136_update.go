package dnsprovider

import (
	"errors"

	"github.com/miekg/dns"
)

// update sends an UPDATE message and says what its answer means (RFC 2136 §2.2, §3). From the
// first octet sent, no answer is no knowledge.
func (s *session) update(msg *dns.Msg, key Key) error {
	in, err := s.exchange(msg)
	if no, ok := errors.AsType[unanswered](err); ok {
		return failure(UnknownOutcome, err, "the update was sent and may have been applied: %v", no)
	}
	if no, ok := errors.AsType[unproved](err); ok {
		return failure(UnknownOutcome, err, "the update was sent and may have been applied: %v", no)
	}
	if err != nil {
		return err
	}

	switch in.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeYXDomain, dns.RcodeYXRrset:
		if key.Type == TypeCNAME {
			return failure(Refused, nil, "other records stand at the name, and a CNAME cannot stand beside them (RFC 1034 §3.6.2): remove them, or do without the CNAME")
		}
		fallthrough
	case dns.RcodeNameError, dns.RcodeNXRrset:
		return failure(Changed, nil, "somebody else changed the records since they were read (%s)", rcodeName(in.Rcode))
	case dns.RcodeNotAuth, dns.RcodeNotZone:
		return failure(ZoneNotFound, nil, "the server does not take updates for the name in zone %s (%s): check the zone's name and that the server is its primary", s.apex, rcodeName(in.Rcode))
	case dns.RcodeRefused:
		return failure(Refused, nil, "the server refuses the update: check the key, and allow it to update zone %s", s.apex)
	case dns.RcodeServerFailure:
		// A server that forwards the update (§6) says so too when the primary's answer is lost.
		return failure(UnknownOutcome, nil, "the server failed (SERVFAIL) and may have applied the update: see its log on zone %s", s.apex)
	default:
		return failure(Refused, nil, "the server answered %s to the update: check that it takes dynamic updates (RFC 2136)", rcodeName(in.Rcode))
	}
}
