package probe

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	// maxReplyLine bounds a line of a reply, its CRLF included (RFC 5321 §4.5.3.1.5).
	maxReplyLine = 512
	// maxReplyLines bounds the lines of one reply; the longest answers to EHLO have about 20.
	maxReplyLines = 100
	// maxReplies bounds what a server may say in one conversation.
	maxReplies = 64 << 10
	// farewell bounds the wait for the answer to QUIT, which does not matter any more.
	farewell = 2 * time.Second
)

// smtpReply is an SMTP server's answer to a command (RFC 5321 §4.2). Its lines are remote texts:
// to be compared, not shown.
type smtpReply struct {
	code  int      // 200 to 559
	lines []string // what stands behind the code, at least one
}

var errNotSMTP = errors.New("what answers does not speak SMTP")

// readReply reads one reply and nothing behind it. The reader's buffer holds maxReplyLine octets: a
// longer line is refused as it comes. net/textproto takes lines and replies of any length.
func readReply(r *bufio.Reader) (smtpReply, error) {
	var reply smtpReply
	for range maxReplyLines {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return smtpReply{}, errNotSMTP
		case err != nil:
			return smtpReply{}, err
		}
		code, text, last, ok := parseReplyLine(strings.TrimRight(string(line), "\r\n"))
		if !ok || reply.code != 0 && code != reply.code {
			return smtpReply{}, errNotSMTP
		}
		reply.code, reply.lines = code, append(reply.lines, text)
		if last {
			return reply, nil
		}
	}
	return smtpReply{}, errNotSMTP
}

// parseReplyLine takes a line apart: 250-text, and 250 text or 250 alone for the last one of a reply.
func parseReplyLine(line string) (code int, text string, last, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '5' || line[2] < '0' || line[2] > '9' {
		return 0, "", false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch rest := line[3:]; {
	case rest == "":
		return code, "", true, true
	case rest[0] == ' ', rest[0] == '-':
		return code, rest[1:], rest[0] == ' ', true
	}
	return 0, "", false, false
}

// temporary holds for a refusal that may be gone next time, such as greylisting (RFC 5321 §4.2.1).
func (r smtpReply) temporary() bool { return r.code/100 == 4 }

// positive holds for a command that was carried out.
func (r smtpReply) positive() bool { return r.code/100 == 2 }

// unknownCommand holds for the answer of a server that does not have the command at all
// (RFC 5321 §4.2.4).
func (r smtpReply) unknownCommand() bool { return r.code == 500 || r.code == 502 }

// offers reports whether an answer to EHLO names a service extension (RFC 5321 §4.1.1.1); the
// first line is the server's greeting.
func (r smtpReply) offers(extension string) bool {
	for _, line := range r.lines[1:] {
		if keyword, _, _ := strings.Cut(line, " "); strings.EqualFold(keyword, extension) {
			return true
		}
	}
	return false
}

// smtpSession is a client's side of a conversation.
type smtpSession struct {
	conn net.Conn
	in   *bufio.Reader
}

func newSMTPSession(conn net.Conn) smtpSession {
	return smtpSession{conn, bufio.NewReaderSize(io.LimitReader(conn, maxReplies), maxReplyLine)}
}

func (s smtpSession) ask(command string) (smtpReply, error) {
	if _, err := io.WriteString(s.conn, command+"\r\n"); err != nil {
		return smtpReply{}, err
	}
	return readReply(s.in)
}

// refusal is why a conversation does not get as far as TLS; the zero value when it does.
type refusal struct {
	outcome MXOutcome
	detail  string
}

// startTLS leads the conversation up to the handshake (RFC 3207 §4). A server that has something
// against this client, or no time for it, may well offer TLS to others.
func (s smtpSession) startTLS(name string) (refusal, error) {
	greeting, err := readReply(s.in)
	switch {
	case err != nil:
		return refusal{}, err
	case greeting.temporary():
		return refusal{MXNoAnswer, "the server has no time for us now (4xx as its greeting)"}, nil
	case !greeting.positive():
		return refusal{MXNoAnswer, "the server does not talk to us (5xx as its greeting)"}, nil
	}
	hello, err := s.ask("EHLO " + name)
	switch {
	case err != nil:
		return refusal{}, err
	case hello.unknownCommand():
		return refusal{MXNoSTARTTLS, "the server does not know EHLO, without which there is no STARTTLS"}, nil
	case hello.temporary():
		return refusal{MXNoAnswer, "the server has no time for us now (4xx to EHLO)"}, nil
	case !hello.positive():
		return refusal{MXNoAnswer, "the server does not talk to us (5xx to EHLO)"}, nil
	case !hello.offers("STARTTLS"):
		return refusal{MXNoSTARTTLS, "the server does not offer STARTTLS"}, nil
	}
	ready, err := s.ask("STARTTLS")
	switch {
	case err != nil:
		return refusal{}, err
	case ready.temporary():
		return refusal{MXNoAnswer, "the server can't start TLS now (4xx to STARTTLS)"}, nil
	case !ready.positive():
		return refusal{MXNoSTARTTLS, "the server offers STARTTLS, but refuses it"}, nil
	case s.in.Buffered() > 0: // CVE-2011-0411, from the other side
		return refusal{MXTLSFailed, "plain text stands between the answer to STARTTLS and the handshake: somebody may have put it there"}, nil
	}
	return refusal{}, nil
}

// quit takes leave, and waits a moment for the server to do so too, so that its log shows no
// client that hung up.
func (s smtpSession) quit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.conn.Close() })()
	_, _ = s.ask("QUIT")
}

// literal is an address as it stands in EHLO for want of a name (RFC 5321 §4.1.3).
func literal(local net.Addr) string {
	from, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return "[127.0.0.1]"
	}
	if addr := from.Addr().Unmap().WithZone(""); addr.Is6() {
		return "[IPv6:" + addr.String() + "]"
	}
	return "[" + from.Addr().Unmap().String() + "]"
}
