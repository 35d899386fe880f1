package dnsprovider

import (
	"context"
	"fmt"
	"time"

	"github.com/libdns/rfc2136"
	"github.com/miekg/dns"
)

// tsigFudge is how far the clocks of the two sides may be apart, in seconds: the value that
// RFC 8945 §10 recommends.
const tsigFudge = 300

// session is one TCP connection to the primary.
type session struct {
	apex  string
	creds rfc2136.Provider
	conn  *dns.Conn
	ctx   context.Context
	close func()
	// broken: an answer did not come, or was not the question's; it may come yet.
	broken bool
}

func (z *rfc2136Zone) connect(ctx context.Context) (*session, error) {
	conn, err := z.dial(ctx, "tcp", z.creds.Server)
	if err != nil {
		return nil, failure(Unreachable, err, "cannot connect: %s: check the server's address and the network policy", networkReason(err))
	}
	// A deadline in the past ends the read or write under way, when ctx ends for whatever reason.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return &session{
		apex:  z.apex,
		creds: z.creds,
		conn:  &dns.Conn{Conn: conn},
		ctx:   ctx,
		close: func() { stop(); conn.Close() },
	}, nil
}

// unanswered is a message that was, or may have been, sent and got no answer.
type unanswered struct{ cause error }

func (u unanswered) Error() string { return "no answer: " + networkReason(u.cause) }
func (u unanswered) Unwrap() error { return u.cause }

// unproved is an answer that does not prove to come from one who knows the key.
type unproved struct {
	text  string
	cause error
}

func (u unproved) Error() string { return u.text }
func (u unproved) Unwrap() error { return u.cause }

// exchange signs and sends a message and returns the answer, its signature verified. Its
// errors are *Error, unanswered and unproved; what the last two mean depends on what was sent.
func (s *session) exchange(msg *dns.Msg) (*dns.Msg, error) {
	// Time 0 has miekg/dns stamp the message as it signs it.
	msg.SetTsig(dns.Fqdn(s.creds.KeyName), dns.Fqdn(s.creds.KeyAlg), tsigFudge, 0)
	wire, mac, err := dns.TsigGenerate(msg, s.creds.Key, "", false)
	if err != nil {
		return nil, failure(Invalid, err, "the message cannot be encoded: the records of the RRset are too large")
	}
	if len(wire) > dns.MaxMsgSize {
		return nil, failure(Invalid, nil, "the message would be larger than DNS allows: the records of the RRset are too large")
	}
	if err := s.ctx.Err(); err != nil {
		return nil, failure(Unreachable, err, "the time was up before anything was sent")
	}
	s.broken = true
	if _, err := s.conn.Write(wire); err != nil {
		return nil, unanswered{s.cause(err)}
	}
	raw, err := s.conn.ReadMsgHeader(nil)
	if err != nil {
		return nil, unanswered{s.cause(err)}
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(raw); err != nil {
		return nil, unproved{"the answer is not a DNS message", err}
	}
	if !answer.Response || answer.Id != msg.Id || answer.Opcode != msg.Opcode {
		return nil, unproved{"the answer belongs to another question", nil}
	}
	s.broken = false
	return answer, s.authenticate(answer, raw, mac)
}

// authenticate verifies the answer's signature (RFC 8945 §5.3). A server that does not accept
// ours says so without one (§5.3.2). Other answers that say no are taken as they are: who
// could forge them could as well cut the connection.
func (s *session) authenticate(answer *dns.Msg, raw []byte, requestMAC string) error {
	signature := answer.IsTsig()
	switch answer.Rcode {
	case dns.RcodeNotAuth:
		if signature != nil && signature.Error != dns.RcodeSuccess {
			return unauthorized(signature.Error)
		}
		return nil // miekg/dns verifies no answer with this code
	case dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused:
		return nil
	}
	if signature == nil {
		return unproved{"the answer is not signed with the key: check that the address is the primary's own and not a resolver's or proxy's, and that the server knows the key", nil}
	}
	if err := dns.TsigVerify(raw, s.creds.Key, requestMAC, false); err != nil {
		return unproved{"the answer's signature is not the key's: check the key's secret and the clocks of both sides", err}
	}
	return nil
}

func unauthorized(code uint16) error {
	switch code {
	case dns.RcodeBadKey:
		return failure(Unauthorized, nil, "the server does not know the key (BADKEY): check the key's name and algorithm")
	case dns.RcodeBadSig:
		return failure(Unauthorized, nil, "the server does not accept the signature (BADSIG): check the key's secret")
	case dns.RcodeBadTime:
		return failure(Unauthorized, nil, "the clocks of server and operator are more than %d seconds apart (BADTIME): synchronize them", tsigFudge)
	default:
		return failure(Unauthorized, nil, "the server does not accept the signature (TSIG error %s): check the key", rcodeName(int(code)))
	}
}

// cause prefers the end of the context over the time-out that the context forced.
func (s *session) cause(err error) error {
	if ctxErr := s.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return err
}

func rcodeName(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", code)
}
