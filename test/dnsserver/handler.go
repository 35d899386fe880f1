package dnsserver

import (
	"slices"

	"github.com/miekg/dns"
)

// maxUDP is the largest answer over UDP, so that none is sent in fragments.
const maxUDP = 1232

// accept lets UPDATE messages through, which miekg/dns leaves out by default.
func accept(header dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	if header.Bits&response == 0 && int(header.Bits>>11)&0xF == dns.OpcodeUpdate {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(header)
}

// ServeDNS answers one message. It is called by the listeners.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	fault := s.currentFault()
	reply := new(dns.Msg)
	reply.SetReply(req)

	signature := req.IsTsig()
	var tsigCode uint16
	if signature != nil {
		tsigCode = tsigError(w.TsigStatus())
	}

	opt, mute := req.IsEdns0(), false
	switch {
	case misplacedTSIG(req):
		reply.Rcode = dns.RcodeFormatError
	case tsigCode != dns.RcodeSuccess:
		reply.Rcode = dns.RcodeNotAuth
	case opt != nil && opt.Version() != 0:
		reply.Rcode = dns.RcodeBadVers // RFC 6891 §6.1.3
	case req.Opcode == dns.OpcodeUpdate:
		s.updates.Add(1)
		mute = fault.DropUpdates || fault.MuteUpdates
		switch {
		case fault.RefuseUpdates:
			reply.Rcode = dns.RcodeRefused
		case !fault.DropUpdates:
			s.around(req, func() { reply.Rcode = s.update(req, signature != nil, fault.LoseUpdates) })
		}
	case req.Opcode == dns.OpcodeQuery:
		mute = fault.DropQueries
		s.query(reply, req, fault)
	default:
		reply.Rcode = dns.RcodeNotImplemented
	}
	if mute {
		return
	}

	if opt != nil {
		reply.SetEdns0(maxUDP, false)
	}
	signed := signature != nil && !fault.Unsigned
	reply.Compress = true
	if w.LocalAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if opt != nil {
			size = max(size, min(int(opt.UDPSize()), maxUDP))
		}
		// A signed answer that does not fit is sent without records (RFC 8945 §5.3).
		if fault.TruncateUDP || signed && reply.Len()+dns.Len(signature) > size {
			reply.Answer, reply.Ns, reply.Truncated = nil, nil, true
		}
		reply.Truncate(size)
	}
	if signed {
		sign(reply, signature, tsigCode)
	}
	w.WriteMsg(reply) // the client is gone, or asks again
}

func (s *Server) around(update *dns.Msg, apply func()) {
	if s.cfg.Around != nil {
		s.cfg.Around(update, apply)
	} else {
		apply()
	}
}

// misplacedTSIG reports a signature that is not the message's last record (RFC 8945 §5.1).
func misplacedTSIG(req *dns.Msg) bool {
	at := slices.IndexFunc(req.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeTSIG })
	return at >= 0 && at != len(req.Extra)-1
}

func (s *Server) query(reply, req *dns.Msg, fault Fault) {
	question := req.Question[0] // exactly one, says dns.DefaultMsgAcceptFunc
	switch {
	case question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR:
		s.transfers.Add(1)
		reply.Rcode = dns.RcodeRefused
		return
	case question.Qclass != dns.ClassINET:
		reply.Rcode = dns.RcodeRefused
	case fault.ServFail:
		reply.Rcode = dns.RcodeServerFailure
	default:
		s.shown().answer(reply, question)
	}
	if fault.Lame {
		reply.Authoritative = false
	}
	s.queries.Add(1)
}
