package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// ask sends one question through a Prober to one server.
func ask(t *testing.T, n *nameServer, o Options) Answer {
	t.Helper()
	if o.AllowPrivate == nil {
		o.AllowPrivate = loopback
	}
	answers := NewProber(o).Ask(t.Context(), n.authority(), "example.com", "TXT")
	if len(answers) != 1 {
		t.Fatalf("%d answers, want 1", len(answers))
	}
	return answers[0]
}

func texts(values ...string) []string {
	lines := make([]string, len(values))
	for i, v := range values {
		lines[i] = fmt.Sprintf("example.com. 60 TXT %q", v)
	}
	return lines
}

func TestForgedDatagramsAreSkipped(t *testing.T) {
	n := play(t, script{"example.com TXT": {raw: func(q *dns.Msg) [][]byte {
		otherID, otherName := q.Copy(), q.Copy()
		otherID.Id++
		otherName.Question[0].Name = "example.net."
		forged := scripted{aa: true, answer: texts("forged")}
		return [][]byte{
			{},
			[]byte("junk"),
			pack(forged.message(otherID)),
			pack(forged.message(otherName)),
			pack(scripted{aa: true, answer: texts("true")}.message(q)),
		}
	}}})
	got := ask(t, n, Options{Timeout: patience})
	if diff := cmp.Diff([]string{"true"}, got.Values); diff != "" {
		t.Errorf("%+v: %s", got, diff)
	}
}

func TestTruncationGoesOverTCP(t *testing.T) {
	whole := scripted{aa: true, answer: texts(strings.Repeat("x", 200), strings.Repeat("y", 200))}
	cut := func(over scripted) script {
		return script{"example.com TXT": {aa: true, tc: true, answer: texts("part"), tcp: &over}}
	}
	tests := map[string]struct {
		script script
		want   Outcome
		values int
		detail string
	}{
		"whole over TCP":  {cut(whole), Found, 2, ""},
		"refused there":   {cut(scripted{code: dns.RcodeRefused}), Refused, 0, ""},
		"closed there":    {cut(scripted{silent: true}), Timeout, 0, "truncated over UDP, then over TCP: connection closed before the answer"},
		"truncated again": {cut(scripted{aa: true, tc: true}), ServFail, 0, "malformed message"},
		"another's answer there": {cut(scripted{raw: func(q *dns.Msg) [][]byte {
			other := q.Copy()
			other.Id++
			return [][]byte{pack(whole.message(other))}
		}}), ServFail, 0, "truncated over UDP, then over TCP: malformed message"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			n := play(t, tt.script)
			got := ask(t, n, Options{Timeout: patience})
			if got.Outcome != tt.want || len(got.Values) != tt.values || got.Detail != tt.detail {
				t.Errorf("got %+v, want %s with %d values, %q", got, tt.want, tt.values, tt.detail)
			}
			if diff := cmp.Diff([]string{"udp example.com TXT", "tcp example.com TXT"}, n.questions()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	for _, code := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented} {
		n := play(t, script{"example.com TXT": {raw: func(q *dns.Msg) [][]byte {
			if q.IsEdns0() != nil {
				return [][]byte{pack(scripted{code: code}.message(q))[:headerSize]}
			}
			return [][]byte{pack(scripted{aa: true, answer: texts("old")}.message(q))}
		}}})
		if got := ask(t, n, Options{Timeout: patience}); !slices.Equal(got.Values, []string{"old"}) {
			t.Errorf("%s: got %+v", dns.RcodeToString[code], got)
		}
	}
}

func TestLostDatagramIsSentAgain(t *testing.T) {
	var seen atomic.Int32
	n := serve(t, func(string) scripted {
		if seen.Add(1) == 1 {
			return scripted{silent: true}
		}
		return scripted{aa: true, answer: texts("second")}
	})
	if got := ask(t, n, Options{Timeout: patience / 4}); got.Outcome != Found {
		t.Errorf("got %+v", got)
	}
}

func TestOutcomes(t *testing.T) {
	answer := func(s scripted) func(*testing.T) *nameServer {
		return func(t *testing.T) *nameServer { return play(t, script{"example.com TXT": s}) }
	}
	tests := map[string]struct {
		server func(*testing.T) *nameServer
		o      Options
		want   Outcome
		detail string
	}{
		"not there":     {answer(scripted{aa: true, code: dns.RcodeNameError}), Options{Timeout: patience}, NXDomain, ""},
		"no such type":  {answer(scripted{aa: true}), Options{Timeout: patience}, NoData, ""},
		"failing":       {answer(scripted{code: dns.RcodeServerFailure}), Options{Timeout: patience}, ServFail, ""},
		"refusing":      {answer(scripted{code: dns.RcodeRefused}), Options{Timeout: patience}, Refused, ""},
		"lame":          {answer(scripted{answer: texts("cached")}), Options{Timeout: patience}, Lame, ""},
		"silent":        {answer(scripted{silent: true}), Options{Timeout: hurry}, Timeout, "no answer in time"},
		"nobody there":  {func(t *testing.T) *nameServer { return &nameServer{addr: deadAddr(t)} }, Options{Timeout: patience}, Timeout, "connection refused"},
		"not allowed":   {answer(scripted{aa: true}), Options{AllowPrivate: func(netip.Addr) bool { return false }}, Unroutable, errNotAllowed.Error()},
		"cut in a name": {answer(scripted{raw: func(q *dns.Msg) [][]byte { w := txtMessage(q, []byte("x")); return [][]byte{w[:len(w)-1]} }}), Options{Timeout: patience}, ServFail, "malformed message"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			n := tt.server(t)
			got := ask(t, n, tt.o)
			if got.Outcome != tt.want || got.Detail != tt.detail {
				t.Errorf("got %s, %q, want %s, %q", got.Outcome, got.Detail, tt.want, tt.detail)
			}
			if got.Server != "ns1.example.com" || got.Addr != n.addr {
				t.Errorf("answer of %s %s, want of ns1.example.com %s", got.Server, got.Addr, n.addr)
			}
			if tt.want == Unroutable && len(n.questions()) != 0 {
				t.Errorf("a refused address was asked: %v", n.questions())
			}
		})
	}
}

func TestCancelledContext(t *testing.T) {
	n := play(t, script{"example.com TXT": {silent: true}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := NewProber(Options{Timeout: patience, AllowPrivate: loopback}).Ask(ctx, n.authority(), "example.com", "TXT")
	if len(got) != 1 || got[0].Outcome != Timeout {
		t.Errorf("got %+v, want one Timeout", got)
	}
}

// What a failed system call means, and that its text holds no port or address of ours.
func TestSilenceOf(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return &net.OpError{
			Op: "dial", Net: "udp", Source: &net.UDPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 45678},
			Addr: &net.UDPAddr{IP: net.IPv4(1, 1, 1, 1), Port: 53}, Err: os.NewSyscallError("connect", errno),
		}
	}
	tests := []struct {
		err     error
		outcome Outcome
		detail  string
	}{
		{dial(syscall.ENETUNREACH), Unroutable, "no route to this address"},
		{dial(syscall.EAFNOSUPPORT), Unroutable, "no route to this address"},
		{dial(syscall.EADDRNOTAVAIL), Unroutable, "no route to this address"},
		{dial(syscall.EHOSTUNREACH), Timeout, "no route to host"}, // the host is down
		{dial(syscall.EADDRNOTAVAIL), Unroutable, "no route to this address"},
		{dial(syscall.EAFNOSUPPORT), Unroutable, "no route to this address"},
		{dial(syscall.ECONNREFUSED), Timeout, "connection refused"},
		{dial(syscall.ECONNRESET), Timeout, "connection reset by peer"},
		{dial(syscall.EPERM), Timeout, "operation not permitted"},
		{io.ErrUnexpectedEOF, Timeout, "connection closed before the answer"},
		{os.ErrDeadlineExceeded, Timeout, "no answer in time"},
		{&net.DNSError{Err: "no such host", Name: "resolver.example"}, Timeout, "the server's own name does not resolve"},
		{errors.New("reading from 10.1.2.3:45678"), Timeout, "no answer"},
	}
	for _, tt := range tests {
		got := silenceOf(t.Context(), tt.err)
		if got.outcome != tt.outcome || got.detail != tt.detail {
			t.Errorf("%v: got %s, %q, want %s, %q", tt.err, got.outcome, got.detail, tt.outcome, tt.detail)
		}
	}
}
