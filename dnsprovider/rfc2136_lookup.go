package dnsprovider

import (
	"errors"
	"slices"

	"github.com/miekg/dns"
)

// answer is what an authoritative server said about one name and type.
type answer struct {
	records []dns.RR
	alias   string // canonical target of the name's CNAME, if the question was not for CNAME
	holder  string // of a negative answer: apex of the zone that says so
}

func (a answer) positive() bool { return len(a.records) > 0 || a.alias != "" }

func (a answer) equal(b answer) bool {
	return a.alias == b.alias && slices.Equal(rdataSet(a.records), rdataSet(b.records))
}

func rdataSet(records []dns.RR) []string {
	var set []string
	for _, rr := range records {
		var generic dns.RFC3597
		if generic.ToRFC3597(rr) == nil {
			set = append(set, generic.Rdata)
		}
	}
	slices.Sort(set)
	return set
}

// probeLabel is a label below which nobody keeps records.
const probeLabel = "_wildcard"

// lookup returns what stands at key, in our zone and at the name itself. Two things hide
// behind a good-looking answer: the server can hold a parent or a child zone which the name
// belongs to, and a wildcard can have made the records up (RFC 4592). A question below the
// name uncovers both. If the name exists it is the closest encloser of that question, so no
// wildcard above it applies; and the negative answer's SOA names the zone.
func (s *session) lookup(key Key) (answer, error) {
	rrtype := typeCodes[key.Type]
	found, err := s.ask(key.Name, rrtype)
	if err != nil {
		return answer{}, err
	}
	if !found.positive() {
		return found, s.inOurZone(found.holder)
	}

	below, err := s.ask(probeLabel+"."+key.Name, rrtype)
	if err != nil {
		return answer{}, err
	}
	if !below.positive() {
		return found, s.inOurZone(below.holder)
	}

	holder, err := s.holder(key.Name)
	if err == nil {
		err = s.inOurZone(holder)
	}
	if err != nil {
		return answer{}, err
	}
	if key.Name == s.apex || !below.equal(found) {
		return found, nil
	}
	// Either one wildcard answers for the name and below it, and then for its siblings too,
	// or the name has a wildcard of its own that says the same.
	beside, err := s.ask(probeLabel+"."+parent(key.Name), rrtype)
	if err != nil {
		return answer{}, err
	}
	if beside.equal(found) {
		return answer{}, nil
	}
	return found, nil
}

// holder finds the apex of the zone that name belongs to by asking for SOA.
func (s *session) holder(name string) (string, error) {
	for ; Within(name, s.apex); name = parent(name) {
		found, err := s.ask(name, dns.TypeSOA)
		switch {
		case err != nil:
			return "", err
		case len(found.records) > 0:
			return name, nil
		case found.holder != "":
			return found.holder, nil
		}
		// An alias is no apex: the name is in the same zone as its parent.
	}
	return "", failure(ZoneNotFound, nil, "the server shows no SOA for zone %s: check the zone's name", s.apex)
}

func (s *session) inOurZone(holder string) error {
	switch {
	case holder == s.apex:
		return nil
	case Within(holder, s.apex):
		return delegated(holder)
	default:
		return failure(ZoneNotFound, nil, "the server does not hold zone %s, only a zone above it: check the zone's name", s.apex)
	}
}

func delegated(child string) error {
	return failure(Delegated, nil, "the name belongs to the child zone %s: configure a provider for that zone", child)
}

// ask sends one question.
func (s *session) ask(name string, rrtype uint16) (answer, error) {
	msg := new(dns.Msg)
	msg.SetQuestion(dns.Fqdn(name), rrtype)
	msg.RecursionDesired = false
	msg.SetEdns0(dns.DefaultMsgSize, false) // to be told why, if refused (RFC 8914)
	in, err := s.exchange(msg)
	if no, ok := errors.AsType[unanswered](err); ok {
		return answer{}, failure(Unreachable, err, "%v: check that the server is up", no)
	}
	if no, ok := errors.AsType[unproved](err); ok {
		return answer{}, failure(Unauthorized, err, "%v", no)
	}
	if err != nil {
		return answer{}, err
	}
	return interpret(in, name, rrtype, s.apex)
}

// interpret says what an answer means. Only a server with authority that shows the zone's SOA
// proves absence (RFC 2308 §2); anything less is an error.
func interpret(in *dns.Msg, name string, rrtype uint16, apex string) (answer, error) {
	switch in.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	case dns.RcodeNotAuth:
		if in.IsTsig() == nil { // PowerDNS of a key that it does not accept; other servers say why
			return answer{}, failure(Unauthorized, nil, "the server does not accept the key (NOTAUTH): check the key's name, algorithm and secret")
		}
		return answer{}, notHeld(apex)
	case dns.RcodeRefused:
		if prohibited(in) {
			return answer{}, failure(Refused, nil, "the server refuses the question: allow the key to query zone %s", apex)
		}
		return answer{}, notHeld(apex)
	case dns.RcodeServerFailure:
		return answer{}, failure(Unreachable, nil, "the server failed (SERVFAIL): see its log on zone %s", apex)
	default:
		return answer{}, failure(Refused, nil, "the server answered %s: see its log", rcodeName(in.Rcode))
	}
	if in.Truncated {
		return answer{}, failure(Unreachable, nil, "the answer is cut off: the RRset is too large for DNS")
	}

	if !in.Authoritative {
		if child, ok := referral(in, name, apex); ok {
			return answer{}, delegated(child)
		}
		return answer{}, failure(ZoneNotFound, nil, "the server has no authority for zone %s: check that it is the zone's primary", apex)
	}

	var found answer
	for _, rr := range in.Answer {
		if Canonical(rr.Header().Name) != name || rr.Header().Class != dns.ClassINET {
			continue
		}
		if rr.Header().Rrtype == rrtype {
			found.records = append(found.records, rr)
		} else if alias, ok := rr.(*dns.CNAME); ok {
			found.alias = Canonical(alias.Target)
		}
	}
	if len(found.records) > 0 {
		found.alias = "" // no CNAME stands beside other records
	}
	if found.positive() {
		return found, nil
	}
	for _, rr := range in.Ns {
		if _, ok := rr.(*dns.SOA); ok && len(in.Answer) == 0 && Within(name, rr.Header().Name) {
			found.holder = Canonical(rr.Header().Name)
			return found, nil
		}
	}
	return answer{}, failure(Unreachable, nil, "the answer holds neither the record nor the SOA that would prove its absence: see the server's log")
}

func notHeld(apex string) error {
	return failure(ZoneNotFound, nil, "the server does not hold zone %s, or does not let the key query it: check the zone's name and the server's address", apex)
}

// prohibited reports whether the server says that a rule of its own forbids the question
// (RFC 8914 §4.19). Without that, a server with authority refuses what is not in its zones.
func prohibited(in *dns.Msg) bool {
	opt := in.IsEdns0()
	return opt != nil && slices.ContainsFunc(opt.Option, func(option dns.EDNS0) bool {
		reason, ok := option.(*dns.EDNS0_EDE)
		return ok && reason.InfoCode == dns.ExtendedErrorCodeProhibited
	})
}

// referral returns the child zone to which the answer points.
func referral(in *dns.Msg, name, apex string) (child string, ok bool) {
	for _, rr := range in.Ns {
		owner := Canonical(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeNS && owner != apex && Within(owner, apex) && Within(name, owner) {
			return owner, len(in.Answer) == 0
		}
	}
	return "", false
}
