package dnsprovider

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/miekg/dns"
)

func startServer(t *testing.T, zones ...string) *dnsserver.Server {
	t.Helper()
	s, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{keyName: keySecret}, Zones: zones})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRFC2136(t *testing.T) {
	for _, c := range rfc2136Cases {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, "zone.example")
			if err := s.Load("$ORIGIN zone.example.\n$TTL 300\n" + c.zone + "\n"); err != nil {
				t.Fatal(err)
			}
			if c.child != "" {
				if err := s.AddZone(c.child + ".zone.example"); err != nil {
					t.Fatal(err)
				}
			}
			c.run(t, env{server: s.Addr(), apex: "zone.example"})
			if s.Transfers() != 0 {
				t.Error("asked for a zone transfer")
			}
		})
	}
}

func TestRFC2136Config(t *testing.T) {
	good := RFC2136Config{Server: "ns1.example.com:53", Zone: "example.com", KeyName: "key", KeySecret: keySecret}
	if _, err := NewRFC2136(good); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*RFC2136Config){
		"server":        func(c *RFC2136Config) { c.Server = "ns1.example.com" },
		"zone":          func(c *RFC2136Config) { c.Zone = "." },
		"key name":      func(c *RFC2136Config) { c.KeyName = "" },
		"key algorithm": func(c *RFC2136Config) { c.KeyAlgorithm = "hmac-md5" },
		"key secret":    func(c *RFC2136Config) { c.KeySecret = "s3cret!" },
		"timeout":       func(c *RFC2136Config) { c.Timeout = -time.Second },
	} {
		bad := good
		spoil(&bad)
		_, err := NewRFC2136(bad)
		wantKind(t, err, Invalid)
		if !strings.Contains(err.Error(), field+":") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRFC2136ReadFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault dnsserver.Fault
		want  Kind
	}{
		"SERVFAIL":           {dnsserver.Fault{ServFail: true}, Unreachable},
		"no authority":       {dnsserver.Fault{Lame: true}, ZoneNotFound},
		"answer not signed":  {dnsserver.Fault{Unsigned: true}, Unauthorized},
		"truncated over UDP": {dnsserver.Fault{TruncateUDP: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "zone.example")
			s.Fault(c.fault)
			e := env{server: s.Addr(), apex: "zone.example"}
			for _, label := range []string{"_dmarc", "@"} { // absent or not, no proof of anything
				_, err := readOne(t.Context(), e.open(t), e.txt(label))
				wantKind(t, err, c.want)
			}
		})
	}
}

func TestRFC2136UpdateFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault   dnsserver.Fault
		want    Kind
		applied bool
	}{
		"refused":           {dnsserver.Fault{RefuseUpdates: true}, Refused, false},
		"silently lost":     {dnsserver.Fault{LoseUpdates: true}, "", false},
		"answer not signed": {dnsserver.Fault{Unsigned: true}, UnknownOutcome, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "zone.example")
			e := env{server: s.Addr(), apex: "zone.example"}
			seen := e.read(t, e.txt("_dmarc"))
			s.Fault(c.fault)
			err := applyOne(t.Context(), e.open(t), Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
			wantKind(t, err, c.want)
			s.Fault(dnsserver.Fault{})
			if applied := len(e.read(t, e.txt("_dmarc")).Records) == 1; applied != c.applied {
				t.Errorf("applied = %v, want %v", applied, c.applied)
			}
		})
	}
}

func TestRFC2136Unreachable(t *testing.T) {
	s := startServer(t)
	e := env{server: s.Addr(), apex: "zone.example"}
	s.Close()
	_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
	wantKind(t, err, Unreachable)
	err = applyOne(t.Context(), e.open(t), Change{Seen: RRset{Key: e.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour})
	wantKind(t, err, Unreachable)
	want := "update TXT _dmarc.zone.example at " + e.server + ": cannot connect: connection refused: check the server's address and the network policy"
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}

	guarded := e.open(t, func(c *RFC2136Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("address not allowed") }
	})
	_, err = readOne(t.Context(), guarded, e.txt("_dmarc"))
	wantKind(t, err, Unreachable)
	if !strings.Contains(err.Error(), "address not allowed") {
		t.Error(err)
	}
}

// answering starts a TCP server that answers each message with what reply makes of it, nil to
// close the connection.
func answering(t *testing.T, reply func(request []byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for {
					var length uint16
					if binary.Read(conn, binary.BigEndian, &length) != nil {
						return
					}
					request := make([]byte, length)
					if _, err := io.ReadFull(conn, request); err != nil {
						return
					}
					answer := reply(request)
					if answer == nil {
						return
					}
					_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// Whatever comes back, a read never proves absence and an update never succeeds.
func TestRFC2136HostileServer(t *testing.T) {
	header := func(request []byte, flags ...byte) []byte {
		answer := bytes.Clone(request)
		answer[2], answer[3] = flags[0], flags[1]
		return answer
	}
	negative := func(request []byte) *dns.Msg {
		in, out := new(dns.Msg), new(dns.Msg)
		if err := in.Unpack(request); err != nil {
			panic(err)
		}
		out.SetReply(in)
		out.Authoritative = true
		soa, _ := dns.NewRR("zone.example. 60 IN SOA ns1 host 1 1 1 1 1")
		out.Ns = append(out.Ns, soa)
		return out
	}
	for name, c := range map[string]struct {
		reply  func(request []byte) []byte
		read   Kind
		update Kind
	}{
		"connection closed": {func([]byte) []byte { return nil }, Unreachable, UnknownOutcome},
		"garbage":           {func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, Unauthorized, UnknownOutcome},
		"short":             {func([]byte) []byte { return []byte("x") }, Unreachable, UnknownOutcome},
		"echo":              {func(request []byte) []byte { return request }, Unauthorized, UnknownOutcome},
		"other id":          {func(request []byte) []byte { return append([]byte{request[0] ^ 1}, header(request, 0x84, 0)[1:]...) }, Unauthorized, UnknownOutcome},
		"our own signature": {func(request []byte) []byte { return header(request, 0x84|request[2], 0) }, Unauthorized, UnknownOutcome},
		"unsigned": {func(request []byte) []byte {
			wire, _ := negative(request).Pack()
			return wire
		}, Unauthorized, UnknownOutcome},
		"signed with another secret": {func(request []byte) []byte {
			out := negative(request).SetTsig(keyName+".", dns.HmacSHA256, 300, 0)
			wire, _, _ := dns.TsigGenerate(out, "b3RoZXI=", "", false)
			return wire
		}, Unauthorized, UnknownOutcome},
		"SERVFAIL": {func(request []byte) []byte {
			out := negative(request)
			out.Rcode = dns.RcodeServerFailure
			wire, _ := out.Pack()
			return wire
		}, Unreachable, UnknownOutcome},
		"NOTAUTH, not signed": {func(request []byte) []byte { // PowerDNS of a wrong key, Knot of a wrong zone
			out := negative(request)
			out.Rcode = dns.RcodeNotAuth
			wire, _ := out.Pack()
			return wire
		}, Unauthorized, ZoneNotFound},
		"NOTIMP": {func(request []byte) []byte {
			out := negative(request)
			out.Rcode = dns.RcodeNotImplemented
			wire, _ := out.Pack()
			return wire
		}, Refused, Refused},
	} {
		t.Run(name, func(t *testing.T) {
			e := env{server: answering(t, c.reply), apex: "zone.example"}
			_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
			if KindOf(err) != c.read {
				t.Errorf("read: kind %q, want %q: %v", KindOf(err), c.read, err)
			}
			err = applyOne(t.Context(), e.open(t), Change{Seen: RRset{Key: e.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour})
			if KindOf(err) != c.update {
				t.Errorf("update: kind %q, want %q: %v", KindOf(err), c.update, err)
			}
			again := applyOne(t.Context(), e.open(t), Change{Seen: RRset{Key: e.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour})
			if fmt.Sprint(err) != fmt.Sprint(again) {
				t.Errorf("the text changes:\n%v\n%v", err, again)
			}
			if strings.Contains(fmt.Sprint(err), "HTTP") {
				t.Errorf("the text quotes the server: %v", err)
			}
		})
	}
}

func TestUnauthorized(t *testing.T) {
	for code, hint := range map[uint16]string{
		dns.RcodeBadKey:   "name",
		dns.RcodeBadSig:   "secret",
		dns.RcodeBadTime:  "clocks",
		dns.RcodeBadTrunc: "BADTRUNC",
		4711:              "RCODE4711",
	} {
		err := unauthorized(code)
		wantKind(t, err, Unauthorized)
		if !strings.Contains(err.Error(), hint) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	for text, err := range map[string]error{
		"the host name does not exist":              &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", Server: "10.0.0.1:53", IsNotFound: true}},
		"the host name cannot be resolved now":      &net.DNSError{Err: "read udp 10.0.0.1:43211->10.0.0.2:53: i/o timeout", IsTimeout: true},
		"no answer in time":                         fmt.Errorf("x: %w", context.DeadlineExceeded),
		"the server closed the connection":          io.ErrUnexpectedEOF,
		"not allowed":                               &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("not allowed")},
		"something else that has a text of its own": errors.New("something else that has a text of its own"),
	} {
		if got := networkReason(err); got != text {
			t.Errorf("%v: %q, want %q", err, got, text)
		}
	}
	if KindOf(nil) != "" || KindOf(io.EOF) != "" {
		t.Error("a kind of other errors")
	}
	wrapped := fmt.Errorf("slot: %w", &Error{Kind: Changed, Op: "update TXT a.example", Server: "ns:53", Err: io.EOF})
	if KindOf(wrapped) != Changed || !errors.Is(wrapped, io.EOF) || wrapped.Error() != "slot: update TXT a.example at ns:53: EOF" {
		t.Errorf("%v", wrapped)
	}
}
