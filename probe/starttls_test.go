package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

const mx = "mx.example.com"

// mailServer plays an MX host on a loopback port and remembers what it was told in plain text and
// under TLS.
type mailServer struct {
	addr netip.AddrPort

	mu    sync.Mutex
	heard []string
}

// smtpSide is the server's side of one conversation.
type smtpSide struct {
	net.Conn
	in     *bufio.Reader
	server *mailServer
}

func (c *smtpSide) say(text string) { _, _ = io.WriteString(c.Conn, text) }

// hear reads a command; "" when the client has gone.
func (c *smtpSide) hear() string {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return ""
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.heard = append(c.server.heard, strings.TrimSpace(line))
	return line
}

// goodbye reads until the client has gone, so that nothing that was said is lost to a reset.
func (c *smtpSide) goodbye() {
	for line := c.hear(); line != ""; line = c.hear() {
		if line == "QUIT\r\n" {
			c.say("221 bye\r\n")
		}
	}
}

// receiveMail serves one conversation after the other.
func receiveMail(t *testing.T, talk func(c *smtpSide)) *mailServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{addr: netip.MustParseAddrPort(listener.Addr().String())}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				talk(&smtpSide{conn, bufio.NewReader(conn), s})
			})
		}
	})
	t.Cleanup(func() { listener.Close(); running.Wait() })
	return s
}

// commands waits for the last conversation's end, and returns what was said in all of them.
func (s *mailServer) commands(t *testing.T, last string) []string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		heard := slices.Clone(s.heard)
		s.mu.Unlock()
		if len(heard) > 0 && heard[len(heard)-1] == last {
			return heard
		}
	}
	t.Fatalf("never heard %s: %q", last, s.heard)
	return nil
}

// says plays fixed replies, each after a command, and then listens.
func says(replies ...string) func(c *smtpSide) {
	return func(c *smtpSide) {
		for i, reply := range replies {
			if i > 0 && c.hear() == "" {
				return
			}
			c.say(reply)
		}
		c.goodbye()
	}
}

// speaksTLS plays a sound server up to the handshake, and then under TLS.
func speaksTLS(config *tls.Config) func(c *smtpSide) {
	return func(c *smtpSide) {
		c.say("220-mx.example.com\r\n220 ready\r\n")
		c.hear()
		c.say("250-mx.example.com greets you\r\n250-SIZE 1000\r\n250-starttls\r\n250 8BITMIME\r\n")
		c.hear()
		c.say("220\r\n")
		secure := tls.Server(c.Conn, config)
		if secure.Handshake() == nil {
			(&smtpSide{secure, bufio.NewReader(secure), c.server}).goodbye()
		}
	}
}

const (
	greets = "220 mx.example.com ESMTP\r\n"
	offers = "250-mx.example.com\r\n250 STARTTLS\r\n"
)

func TestProbeSTARTTLS(t *testing.T) {
	ca := newCertAuthority(t)
	end := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	valid := with(ca.issue(t, mx, end))
	limited := func(least, most uint16) *tls.Config {
		return &tls.Config{Certificates: valid.Certificates, MinVersion: least, MaxVersion: most}
	}
	commonName := ca.issueNamed(t, mx, nil, end)
	good := func(version uint16) MXResult { return MXResult{Outcome: MXValid, Version: version, NotAfter: end} }
	bad := func(outcome MXOutcome, detail string) MXResult { return MXResult{Outcome: outcome, Detail: detail} }
	noSMTP := bad(MXNoAnswer, "what answers does not speak SMTP")

	tests := map[string]struct {
		talk func(c *smtpSide)
		want MXResult
	}{
		"TLS 1.3":           {speaksTLS(valid), good(tls.VersionTLS13)},
		"TLS 1.2":           {speaksTLS(limited(0, tls.VersionTLS12)), good(tls.VersionTLS12)},
		"wildcard":          {speaksTLS(with(ca.issue(t, "*.example.com", end))), good(tls.VersionTLS13)},
		"one of many names": {speaksTLS(with(ca.issueNamed(t, "", []string{"a.example", mx}, end))), good(tls.VersionTLS13)},
		"the SNI chooses": {speaksTLS(&tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := ca.issue(t, hello.ServerName, end)
			return &c, nil
		}}), good(tls.VersionTLS13)},

		"other name":             {speaksTLS(with(ca.issue(t, "www.example.com", end))), bad(MXBadCertificate, "the certificate is not valid for mx.example.com")},
		"common name only":       {speaksTLS(with(commonName)), bad(MXBadCertificate, "the certificate is not valid for mx.example.com")},
		"wildcard of two labels": {speaksTLS(with(ca.issue(t, "*.com", end))), bad(MXBadCertificate, "the certificate is not valid for mx.example.com")},
		"expired":                {speaksTLS(with(ca.issue(t, mx, time.Now().Add(-time.Hour)))), bad(MXBadCertificate, "the certificate has expired or is not valid yet")},
		"not yet valid":          {speaksTLS(with(ca.issue(t, mx, time.Now().Add(47*time.Hour)))), bad(MXBadCertificate, "the certificate has expired or is not valid yet")},
		"untrusted":              {speaksTLS(with(newCertAuthority(t).issue(t, mx, end))), bad(MXBadCertificate, "the certificate is not signed by a trusted authority")},
		"old TLS only":           {speaksTLS(limited(tls.VersionTLS10, tls.VersionTLS11)), bad(MXTLSFailed, "the server refused the TLS handshake: protocol version not supported")},
		"no TLS after 220":       {says(greets, offers, "220 go\r\n", "500 what?\r\n"), bad(MXTLSFailed, "the server does not speak TLS")},
		"hangs up after 220": {func(c *smtpSide) {
			c.say(greets)
			c.hear()
			c.say(offers)
			c.hear()
			c.say("220 go\r\n")
			_, _ = c.Read(make([]byte, 4096)) // the client's first message, not to reset the connection
		}, bad(MXTLSFailed, "the TLS handshake (1.2 or later) failed")},
		"text behind the 220": {says(greets, offers, "220 go\r\n250 injected\r\n"),
			bad(MXTLSFailed, "plain text stands between the answer to STARTTLS and the handshake: somebody may have put it there")},

		"not offered":              {says(greets, "250-mx.example.com\r\n250-SIZE\r\n250 HELP\r\n"), bad(MXNoSTARTTLS, "the server does not offer STARTTLS")},
		"one line, no extensions":  {says(greets, "250 mx.example.com\r\n"), bad(MXNoSTARTTLS, "the server does not offer STARTTLS")},
		"a host named STARTTLS":    {says(greets, "250 STARTTLS\r\n"), bad(MXNoSTARTTLS, "the server does not offer STARTTLS")},
		"another extension's word": {says(greets, "250-mx\r\n250-X STARTTLS\r\n250 STARTTLSX\r\n"), bad(MXNoSTARTTLS, "the server does not offer STARTTLS")},
		"masked by a firewall":     {says(greets, "250-mx\r\n250 XXXXXXXA\r\n"), bad(MXNoSTARTTLS, "the server does not offer STARTTLS")},
		"no EHLO":                  {says(greets, "502 unknown command\r\n"), bad(MXNoSTARTTLS, "the server does not know EHLO, without which there is no STARTTLS")},
		"offered, then refused":    {says(greets, offers, "554 no\r\n"), bad(MXNoSTARTTLS, "the server offers STARTTLS, but refuses it")},
		"intermediate answer":      {says(greets, offers, "354 go ahead\r\n"), bad(MXNoSTARTTLS, "the server offers STARTTLS, but refuses it")},

		"greylists":           {says("421 later\r\n"), bad(MXNoAnswer, "the server has no time for us now (4xx as its greeting)")},
		"blocks":              {says("554 5.7.1 192.0.2.1 is on a list\r\n"), bad(MXNoAnswer, "the server does not talk to us (5xx as its greeting)")},
		"4xx to EHLO":         {says(greets, "450 later\r\n"), bad(MXNoAnswer, "the server has no time for us now (4xx to EHLO)")},
		"5xx to EHLO":         {says(greets, "550 who?\r\n"), bad(MXNoAnswer, "the server does not talk to us (5xx to EHLO)")},
		"454 to STARTTLS":     {says(greets, offers, "454 no entropy\r\n"), bad(MXNoAnswer, "the server can't start TLS now (4xx to STARTTLS)")},
		"hangs up at once":    {func(*smtpSide) {}, bad(MXNoAnswer, "connection closed before the answer")},
		"hangs up after EHLO": {func(c *smtpSide) { c.say(greets); c.hear(); c.say("250-mx.exam") }, bad(MXNoAnswer, "connection closed before the answer")},
		"HTTP":                {says("HTTP/1.1 400 Bad Request\r\n\r\n"), noSMTP},
		"zero octets":         {says(strings.Repeat("\x00", 600)), noSMTP},
		"no code":             {says("\r\n"), noSMTP},
		"code changes":        {says(greets, "250-mx\r\n550 STARTTLS\r\n"), noSMTP},
		"longest line":        {says(greets, "250-mx\r\n250-"+strings.Repeat("x", 506)+"\r\n250 STARTTLS\r\n", "500\r\n"), bad(MXNoSTARTTLS, "the server offers STARTTLS, but refuses it")},
		"line too long":       {says(greets, "250-mx\r\n250-"+strings.Repeat("x", 507)+"\r\n250 STARTTLS\r\n", "500\r\n"), noSMTP},
		"most lines":          {says(greets, strings.Repeat("250-x\r\n", 99)+"250 STARTTLS\r\n", "500\r\n"), bad(MXNoSTARTTLS, "the server offers STARTTLS, but refuses it")},
		"too many lines":      {says(greets, strings.Repeat("250-x\r\n", 100)+"250 STARTTLS\r\n", "500\r\n"), noSMTP},
		"too much":            {says(longReply("220"), longReply("250")), bad(MXNoAnswer, "connection closed before the answer")},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := receiveMail(t, tt.talk)
			p := &STARTTLSProber{Roots: ca.pool, Timeout: patience, AllowPrivate: loopback, HELO: "probe.example"}
			tt.want.Addr = s.addr
			if diff := cmp.Diff(tt.want, p.probe(t.Context(), mx, s.addr), addressesByValue); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// longReply is a reply of lines as long and as many as they may be.
func longReply(code string) string {
	line := strings.Repeat("x", 506) + "\r\n"
	return strings.Repeat(code+"-"+line, 99) + code + " " + line
}

// What is said, and that the conversation ends as it should.
func TestProbeSTARTTLSIsPolite(t *testing.T) {
	ca := newCertAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, mx, time.Now().Add(time.Hour))}}
	for title, tt := range map[string]struct {
		talk func(c *smtpSide)
		helo string
		want []string
	}{
		"with TLS":       {speaksTLS(config), "probe.example", []string{"EHLO probe.example", "STARTTLS", "QUIT"}},
		"without a name": {speaksTLS(config), "", []string{"EHLO [127.0.0.1]", "STARTTLS", "QUIT"}},
		"without TLS":    {says(greets, "250 mx\r\n"), "probe.example", []string{"EHLO probe.example", "QUIT"}},
		"not welcome":    {says("554 go away\r\n"), "probe.example", []string{"QUIT"}},
		"refused":        {says(greets, offers, "454 later\r\n"), "probe.example", []string{"EHLO probe.example", "STARTTLS", "QUIT"}},
	} {
		t.Run(title, func(t *testing.T) {
			s := receiveMail(t, tt.talk)
			p := &STARTTLSProber{Roots: ca.pool, Timeout: patience, AllowPrivate: loopback, HELO: tt.helo}
			p.probe(t.Context(), mx, s.addr)
			if diff := cmp.Diff(tt.want, s.commands(t, "QUIT")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Servers that keep a client waiting, at each step and by each octet, hold a probe no longer than
// its time-out.
func TestProbeSTARTTLSEnds(t *testing.T) {
	listens := func(c *smtpSide) { _, _ = io.Copy(io.Discard, c.Conn) }
	for title, talk := range map[string]func(c *smtpSide){
		"no greeting": listens,
		"no answer":   func(c *smtpSide) { c.say(greets); listens(c) },
		"no 220":      func(c *smtpSide) { c.say(greets); c.hear(); c.say(offers); listens(c) },
		"no handshake": func(c *smtpSide) {
			c.say(greets)
			c.hear()
			c.say(offers)
			c.hear()
			c.say("220 go\r\n")
			listens(c)
		},
		"drips": func(c *smtpSide) {
			for err := error(nil); err == nil; time.Sleep(10 * time.Millisecond) {
				_, err = io.WriteString(c.Conn, "220-\r\n")
			}
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := receiveMail(t, talk)
			p := &STARTTLSProber{Timeout: hurry, AllowPrivate: loopback}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got := p.probe(ctx, mx, s.addr)
			if ctx.Err() != nil || got.Outcome != MXNoAnswer {
				t.Errorf("got %+v; ended in time: %v", got, ctx.Err() == nil)
			}
		})
	}
}

func TestProbeSTARTTLSAtATime(t *testing.T) {
	ca := newCertAuthority(t)
	end := time.Now().Add(time.Hour)
	s := receiveMail(t, speaksTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, mx, end)}}))
	for at, want := range map[time.Time]MXOutcome{end.Add(-time.Minute): MXValid, end.Add(time.Minute): MXBadCertificate} {
		p := &STARTTLSProber{Roots: ca.pool, Timeout: patience, AllowPrivate: loopback, Now: func() time.Time { return at }}
		if got := p.probe(t.Context(), mx, s.addr); got.Outcome != want {
			t.Errorf("%v from the end: %+v, want %s", at.Sub(end), got, want)
		}
	}
}

func TestProbeSTARTTLSPerAddress(t *testing.T) {
	ca := newCertAuthority(t)
	end := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	s := receiveMail(t, speaksTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, mx, end)}}))
	many := scripted{ra: true}
	for i := range maxMXAddrs + 1 {
		many.answer = append(many.answer, fmt.Sprintf("many.example. 60 A 192.0.2.%d", i))
	}
	none := scripted{ra: true, ns: []string{soa("example", "60", "60")}}
	p := &STARTTLSProber{Roots: ca.pool, Port: s.addr.Port(), Timeout: patience, AllowPrivate: loopback, Resolver: play(t, script{
		"mx.example.com A":    {ra: true, answer: []string{"mx.example.com. 60 A 10.0.0.1", "mx.example.com. 60 A 127.0.0.1"}},
		"mx.example.com AAAA": {ra: true, ns: []string{soa("example.com", "60", "60")}},
		"gone.example A":      {ra: true, code: dns.RcodeNameError}, "gone.example AAAA": {ra: true, code: dns.RcodeNameError},
		"half.example A": {ra: true, answer: []string{"half.example. 60 A 127.0.0.1"}},
		"many.example A": many, "many.example AAAA": none,
	}).resolver()}
	want := MXAnswer{Host: mx, Results: []MXResult{
		{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), s.addr.Port()), Outcome: MXUnroutable, Detail: errNotAllowed.Error()},
		{Addr: s.addr, Outcome: MXValid, Version: tls.VersionTLS13, NotAfter: end},
	}}
	if diff := cmp.Diff(want, p.Probe(t.Context(), "MX.example.com."), addressesByValue); diff != "" {
		t.Error(diff)
	}
	for host, unresolved := range map[string]string{
		"gone.example": "the host has no address",
		"half.example": "the host's addresses can't be found out now",
		"many.example": "the host has too many addresses to probe",
		"":             "not a host name",
		".":            "not a host name",
		"a b\r\nMAIL":  "not a host name",
	} {
		if got := p.Probe(t.Context(), host); got.Unresolved != unresolved || len(got.Results) > 0 {
			t.Errorf("%q: %+v, want %q", host, got, unresolved)
		}
	}
}

func TestProbeSTARTTLSWithoutServer(t *testing.T) {
	for title, tt := range map[string]struct {
		addr    netip.AddrPort
		outcome MXOutcome
		detail  string
	}{
		"nobody there":   {deadAddr(t), MXNoAnswer, "connection refused"},
		"cloud metadata": {netip.MustParseAddrPort("169.254.169.254:25"), MXUnroutable, errNotAllowed.Error()},
	} {
		p := &STARTTLSProber{Timeout: patience, AllowPrivate: loopback}
		if got := p.probe(t.Context(), mx, tt.addr); got.Outcome != tt.outcome || got.Detail != tt.detail {
			t.Errorf("%s: %+v", title, got)
		}
	}
}

func TestMXVerdict(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2027, 2, d, 12, 0, 0, 0, time.UTC) }
	at := func(last byte, r MXResult) MXResult {
		r.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), 25)
		return r
	}
	valid := MXResult{Outcome: MXValid, Version: tls.VersionTLS13, NotAfter: day(2)}
	older := MXResult{Outcome: MXValid, Version: tls.VersionTLS12, NotAfter: day(3)}
	sooner := MXResult{Outcome: MXValid, Version: tls.VersionTLS13, NotAfter: day(1)}
	silent := MXResult{Outcome: MXNoAnswer, Detail: "no answer in time"}
	noRoute := MXResult{Outcome: MXUnroutable, Detail: "no route to this address"}
	for title, tt := range map[string]struct {
		answer  MXAnswer
		verdict MXVerdict
		message string
	}{
		"valid":                  {MXAnswer{Results: []MXResult{at(1, valid)}}, MXPass, "TLSv1.3, valid until 2027-02-02"},
		"the least of all":       {MXAnswer{Results: []MXResult{at(1, valid), at(2, older), at(3, sooner)}}, MXPass, "TLSv1.2, valid until 2027-02-01"},
		"one is silent":          {MXAnswer{Results: []MXResult{at(1, silent), at(2, valid), at(3, noRoute)}}, MXPass, "TLSv1.3, valid until 2027-02-02"},
		"one fails":              {MXAnswer{Results: []MXResult{at(1, valid), at(2, silent), at(3, MXResult{Outcome: MXNoSTARTTLS, Detail: "no"}), at(4, MXResult{Outcome: MXTLSFailed})}}, MXFail, "192.0.2.3: no"},
		"handshake fails":        {MXAnswer{Results: []MXResult{at(1, MXResult{Outcome: MXTLSFailed, Detail: "no"}), at(2, valid)}}, MXFail, "192.0.2.1: no"},
		"certificate fails":      {MXAnswer{Results: []MXResult{at(1, MXResult{Outcome: MXBadCertificate, Detail: "no"})}}, MXFail, "192.0.2.1: no"},
		"all are silent":         {MXAnswer{Results: []MXResult{at(1, noRoute), at(2, silent)}}, MXUnknown, "192.0.2.2: no answer in time"},
		"no route":               {MXAnswer{Results: []MXResult{at(1, noRoute)}}, MXUnknown, "192.0.2.1: no route to this address"},
		"no address":             {MXAnswer{Unresolved: "the host has no address"}, MXUnknown, "the host has no address"},
		"nothing is not a proof": {MXAnswer{}, MXUnknown, "the host was not probed"},
	} {
		if verdict, message := tt.answer.Verdict(); verdict != tt.verdict || message != tt.message {
			t.Errorf("%s: got %s, %q, want %s, %q", title, verdict, message, tt.verdict, tt.message)
		}
	}
}

func TestLiteral(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:1": "[192.0.2.1]", "[2001:db8::1]:1": "[IPv6:2001:db8::1]", "[fe80::1%eth0]:1": "[IPv6:fe80::1]", "[::ffff:192.0.2.1]:1": "[192.0.2.1]",
	} {
		if got := literal(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// Whatever a server says, a reply is read within its bounds and none of what stands behind it is.
func FuzzSTARTTLSReplies(f *testing.F) {
	for _, seed := range []string{greets, offers + "250 x", "250\r\n", "250-a\n250 b\n", "250-a\r\n251 b\r\n", "25", "999 x\r\n", longReply("250"), strings.Repeat("2", 600)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		r := bufio.NewReaderSize(strings.NewReader(stream), maxReplyLine)
		reply, err := readReply(r)
		if err != nil {
			return
		}
		if reply.code < 200 || reply.code > 559 || len(reply.lines) < 1 || len(reply.lines) > maxReplyLines {
			t.Errorf("%q: code %d, %d lines", stream, reply.code, len(reply.lines))
		}
		rest, _ := io.ReadAll(r)
		taken := strings.TrimSuffix(stream, string(rest))
		if !strings.HasSuffix(taken, "\n") || strings.Count(taken, "\n") != len(reply.lines) {
			t.Errorf("%q: took %q for %d lines", stream, taken, len(reply.lines))
		}
		for _, line := range reply.lines {
			if len(line) > maxReplyLine-len("250 \n") || strings.Contains(line, "\n") {
				t.Errorf("%q: line %q", stream, line)
			}
		}
		reply.offers("STARTTLS")
	})
}

// issueNamed issues a certificate with a common name and any number of other names.
func (ca certAuthority) issueNamed(t *testing.T, commonName string, names []string, notAfter time.Time) tls.Certificate {
	t.Helper()
	return ca.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: commonName}, DNSNames: names}, notAfter)
}
