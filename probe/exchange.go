package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is the EDNS buffer size that avoids fragmentation on nearly all
	// paths; longer answers come over TCP.
	udpSize = 1232
	// defaultTimeout bounds one transport of one query to one address.
	defaultTimeout = 3 * time.Second
)

// exchanger sends one query to one address: over UDP, and over TCP when the
// answer was truncated.
type exchanger struct {
	timeout time.Duration // per transport
	dialer  net.Dialer
}

// silence says why no usable message came back. Its text is stable: it holds no
// ports of ours, ids or times.
type silence struct {
	outcome Outcome
	detail  string
	cause   error
}

func (s *silence) Error() string { return s.detail }
func (s *silence) Unwrap() error { return s.cause }

var errMalformed = &silence{outcome: ServFail, detail: "malformed message"}

// newQuery builds a question with EDNS (RFC 6891).
func newQuery(name string, rrtype uint16, recursive bool) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), rrtype)
	q.RecursionDesired = recursive
	q.SetEdns0(udpSize, false)
	return q
}

// exchange returns a message that answers query, or a *silence.
func (e *exchanger) exchange(ctx context.Context, address string, query *dns.Msg) (*dns.Msg, error) {
	msg, err := e.transact(ctx, address, query)
	// Servers that predate EDNS answer FORMERR or NOTIMP (RFC 6891 §7).
	if err == nil && query.IsEdns0() != nil && (msg.Rcode == dns.RcodeFormatError || msg.Rcode == dns.RcodeNotImplemented) {
		plain := query.Copy()
		plain.Extra = nil
		return e.transact(ctx, address, plain)
	}
	return msg, err
}

func (e *exchanger) transact(ctx context.Context, address string, query *dns.Msg) (*dns.Msg, error) {
	wire, err := query.Pack()
	if err != nil {
		return nil, &silence{outcome: ServFail, detail: "the question cannot be put into a DNS message", cause: err}
	}
	msg, err := e.over(ctx, "udp", address, query, wire)
	if err == nil && msg.Truncated {
		msg, err = e.over(ctx, "tcp", address, query, wire)
		if err == nil && msg.Truncated {
			return nil, errMalformed
		}
		if s := new(silence); errors.As(err, &s) {
			return nil, &silence{outcome: s.outcome, detail: "truncated over UDP, then over TCP: " + s.detail, cause: s.cause}
		}
	}
	return msg, err
}

// over runs one query over one transport within the time-out.
func (e *exchanger) over(ctx context.Context, network, address string, query *dns.Msg, wire []byte) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	conn, err := e.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, silenceOf(ctx, err)
	}
	defer conn.Close()
	// The end of the context unblocks reads and writes.
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	var msg *dns.Msg
	if network == "tcp" {
		msg, err = overTCP(conn, query, wire)
	} else {
		msg, err = e.overUDP(conn, query, wire)
	}
	if err != nil {
		return nil, silenceOf(ctx, err)
	}
	return msg, nil
}

// overUDP sends the query, sends it again after half of the time-out, and reads
// until a datagram answers it. Datagrams that do not belong to the query are
// skipped: they may be forged.
func (e *exchanger) overUDP(conn net.Conn, query *dns.Msg, wire []byte) (*dns.Msg, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	again := time.AfterFunc(e.timeout/2, func() { _, _ = conn.Write(wire) })
	defer again.Stop()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		msg, mine, err := parse(query, buf[:n])
		if mine {
			return msg, err
		}
	}
}

// overTCP frames the query and the answer by their length (RFC 1035 §4.2.2).
func overTCP(conn net.Conn, query *dns.Msg, wire []byte) (*dns.Msg, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	msg, mine, err := parse(query, answer)
	if !mine {
		return nil, errMalformed
	}
	return msg, err
}

const headerSize = 12

// parse decodes wire and reports whether it answers query: same id, a response,
// and the same question. A failing server may leave the question out.
// A message that is cut short without saying so (the TC bit) is malformed: a
// part of an RRset must not pass for the whole.
func parse(query *dns.Msg, wire []byte) (msg *dns.Msg, mine bool, err error) {
	if len(wire) < headerSize || binary.BigEndian.Uint16(wire) != query.Id {
		return nil, false, nil
	}
	msg = new(dns.Msg)
	unpackErr := msg.Unpack(wire)
	if !msg.Response || msg.Opcode != dns.OpcodeQuery {
		return nil, false, nil
	}
	failed := msg.Rcode != dns.RcodeSuccess && msg.Rcode != dns.RcodeNameError
	switch len(msg.Question) {
	case 1:
		asked, echoed := query.Question[0], msg.Question[0]
		if canonical(asked.Name) != canonical(echoed.Name) || asked.Qtype != echoed.Qtype || asked.Qclass != echoed.Qclass {
			return nil, false, nil
		}
	case 0:
		if !failed && unpackErr == nil {
			return nil, false, nil
		}
	default:
		return nil, true, errMalformed
	}
	if failed || msg.Truncated {
		return msg, true, nil
	}
	if unpackErr != nil || !wholeSections(wire, msg) {
		return nil, true, errMalformed
	}
	return msg, true, nil
}

// wholeSections compares the header's counts with what was found: the decoder
// takes a message that ends early at a record's border for complete.
func wholeSections(wire []byte, msg *dns.Msg) bool {
	count := func(at int) int { return int(binary.BigEndian.Uint16(wire[at:])) }
	return count(4) == len(msg.Question) && count(6) == len(msg.Answer) &&
		count(8) == len(msg.Ns) && count(10) == len(msg.Extra)
}

// silenceOf names the cause of a failed exchange in stable words.
func silenceOf(ctx context.Context, err error) *silence {
	if s := new(silence); errors.As(err, &s) {
		return s
	}
	s := &silence{outcome: Timeout, cause: err}
	var lookup *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.Is(err, errNotAllowed):
		s.outcome, s.detail = Unroutable, errNotAllowed.Error()
	case noRoute(err):
		s.outcome, s.detail = Unroutable, "no route to this address"
	case ctx.Err() != nil || isTimeout(err):
		s.detail = "no answer in time"
		if ctx.Err() != nil {
			s.cause = ctx.Err()
		}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		s.detail = "connection closed before the answer"
	case errors.As(err, &lookup):
		s.detail = "the server's own name does not resolve"
	case errors.As(err, &errno):
		s.detail = strings.ToLower(errno.Error())
	default:
		s.detail = "no answer"
	}
	return s
}

// noRoute holds when this host cannot reach the address at all, as opposed to
// the address not answering. EHOSTUNREACH is not among them: a router says so of a
// host that is down, which must be waited for like any other that is silent.
func noRoute(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
