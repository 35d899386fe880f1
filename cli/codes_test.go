package cli

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
	"github.com/maildomain/maildomain-operator/test/real"
)

// scene is one thing that is wrong with an otherwise sound domain.
type scene struct {
	code  string
	make  func(p *place)
	flags []string
}

// text is a scene of other texts at a name.
func text(code, name string, texts ...string) scene {
	return scene{code: code, make: func(p *place) { p.txt(name, texts...) }}
}

func (s scene) with(flags ...string) scene {
	s.flags = append(s.flags, flags...)
	return s
}

// Every code of docs/lint.md shows in check, but those of signatures, which show in message.
func TestEveryCode(t *testing.T) {
	key := keyRecord(t, 2048)
	spfCase := func(code, record string, more ...string) scene {
		return text(code, "", append([]string{record}, more...)...)
	}
	keyCase := func(code string, texts ...string) scene { return text(code, "s1._domainkey", texts...) }
	dmarcCase := func(code string, texts ...string) scene { return text(code, "_dmarc", texts...) }
	stsCase := func(code string, texts ...string) scene { return text(code, "_mta-sts", texts...) }
	policy := func(code, body string) scene { return scene{code: code, make: func(p *place) { p.serve(body) }} }
	rptCase := func(code string, texts ...string) scene { return text(code, "_smtp._tls", texts...) }
	const rua = "rua=mailto:d@example.test"
	const mode = "version: STSv1\r\nmode: enforce\r\nmax_age: 1209600\r\n"

	scenes := []scene{
		text("SPF-MISSING", ""),
		spfCase("SPF-MULTIPLE", "v=spf1 -all", "v=spf1 ~all"),
		spfCase("SPF-VERSION", " v=spf1 -all"),
		spfCase("SPF-SYNTAX", "v=spf1 x -all"),
		spfCase("SPF-PASS-ALL", "v=spf1 +all"),
		spfCase("SPF-DUPLICATE-ALL", "v=spf1 -all ~all"),
		spfCase("SPF-NO-ALL", "v=spf1 mx"),
		spfCase("SPF-NEUTRAL-ALL", "v=spf1 mx ?all"),
		spfCase("SPF-AFTER-ALL", "v=spf1 -all mx"),
		spfCase("SPF-REDIRECT-WITH-ALL", "v=spf1 -all redirect=other.test"),
		spfCase("SPF-PTR", "v=spf1 ptr -all"),
		{code: "SPF-INCLUDE-TWICE", make: func(p *place) {
			p.txt("other.test", "v=spf1 ip4:192.0.2.1 -all")
			p.txt("", "v=spf1 include:other.test include:other.test -all")
		}},
		spfCase("SPF-NETWORK-TWICE", "v=spf1 ip4:192.0.2.0/24 ip4:192.0.2.1 -all"),
		spfCase("SPF-NETWORK-WIDE", "v=spf1 ip4:10.0.0.0/8 -all"),
		spfCase("SPF-SIZE", "v=spf1 mx -all", strings.Repeat("x", 400)),
		spfCase("SPF-SIZE-UDP", "v=spf1 mx -all", strings.Repeat("x", 600)),
		spfCase("SPF-SENDER-ID", "v=spf1 mx -all", "spf2.0/pra -all"),
		spfCase("SPF-PARKED", "v=spf1 mx -all").with("--baseline", "M3AAWG-Parked"),
		spfCase("SPF-UNKNOWN-MODIFIER", "v=spf1 foo=bar -all"),
		spfCase("SPF-LOOKUPS-EXCEEDED", "v=spf1"+strings.Repeat(" a:mx1.example.test", 11)+" -all"),
		spfCase("SPF-LOOKUPS-HIGH", "v=spf1"+strings.Repeat(" a:mx1.example.test", 8)+" -all"),
		spfCase("SPF-VOIDS-EXCEEDED", "v=spf1 a:n1.example.test a:n2.example.test a:n3.example.test -all"),
		{code: "SPF-VOIDS-IPV6", make: func(p *place) {
			for _, host := range []string{"v1", "v2", "v3"} {
				p.set(host, "A", "192.0.2.1")
			}
			p.txt("", "v=spf1 a:v1.example.test a:v2.example.test a:v3.example.test -all")
		}},
		{code: "SPF-MX-HOSTS-EXCEEDED", make: func(p *place) {
			var hosts []string
			for i := range 11 {
				hosts = append(hosts, fmt.Sprintf("10 m%d.example.test.", i))
			}
			p.set("", "MX", hosts...)
		}},
		spfCase("SPF-INCLUDE-NONE", "v=spf1 include:gone.other.test -all"),
		{code: "SPF-INCLUDE-MULTIPLE", make: func(p *place) {
			p.txt("other.test", "v=spf1 -all", "v=spf1 ~all")
			p.txt("", "v=spf1 include:other.test -all")
		}},
		{code: "SPF-INCLUDE-SYNTAX", make: func(p *place) {
			p.txt("other.test", "v=spf1 x -all")
			p.txt("", "v=spf1 include:other.test -all")
		}},
		spfCase("SPF-LOOP", "v=spf1 include:example.test -all"),
		spfCase("SPF-VOID", "v=spf1 a:gone.example.test -all"),
		{code: "SPF-MX-EMPTY", make: func(p *place) { p.set("", "MX", "10 gone.example.test.") }},
		spfCase("SPF-EXP", "v=spf1 -all exp=gone.example.test"),
		spfCase("SPF-MACRO", "v=spf1 exists:%{i}.example.test -all"),

		keyCase("DKIM-MISSING"),
		keyCase("DKIM-MULTIPLE", key, "v=DKIM1; p="),
		keyCase("DKIM-SYNTAX", "v=DKIM1; k=rsa; p=!!!"),
		keyCase("DKIM-KEY-UNREADABLE", "v=DKIM1; k=rsa; p=AAAA"),
		keyCase("DKIM-KEY-TYPE", "v=DKIM1; k=dsa; p=AAAA"),
		keyCase("DKIM-KEY-WEAK", rsaText(512)),
		keyCase("DKIM-KEY-SHORT", rsaText(1024)),
		keyCase("DKIM-KEY-LONG", rsaText(8192)),
		keyCase("DKIM-KEY-DIFFERS", key).with("--private-key", "s1="+privateKey(t)),
		keyCase("DKIM-REVOKED", "v=DKIM1; p="),
		keyCase("DKIM-NO-SHA256", key+"; h=sha1"),
		keyCase("DKIM-SHA1", key+"; h=sha1:sha256"),
		keyCase("DKIM-SERVICE", key+"; s=tlsrpt"),
		{code: "DKIM-PARENT-MISSING", make: func(p *place) {
			p.asked = between(p.t, p.dns.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
				if req.Question[0].Name != "_domainkey.example.test." {
					return false
				}
				reply := new(dns.Msg).SetRcode(req, dns.RcodeNameError)
				reply.Authoritative = true
				_ = w.WriteMsg(reply)
				return true
			}).Addr
		}},
		keyCase("DKIM-KEY-OLD", key).with("--previous", earlier(t, Observed{Keys: map[string]ObservedKey{"s1": {Record: key, Since: now.AddDate(-1, 0, 0)}}})),
		text("DKIM-KEY-SHARED", "s2._domainkey", key).with("--selector", "s2"),
		keyCase("DKIM-TESTING", key+"; t=y"),
		keyCase("DKIM-V-MISSING", strings.TrimPrefix(key, "v=DKIM1; ")),
		{code: "DKIM-SERVERS-DIFFER", make: laggingSecondary, flags: []string{"--every-server"}},
		keyCase("DKIM-UNKNOWN-TAG", key+"; x=1"),

		dmarcCase("DMARC-MISSING"),
		dmarcCase("DMARC-MULTIPLE", "v=DMARC1; p=none", "v=DMARC1; p=reject"),
		dmarcCase("DMARC-VERSION", "v=dmarc1; p=none"),
		dmarcCase("DMARC-FOREIGN-TEXT", "v=DMARC1; p=none", "hello"),
		spfCase("DMARC-PLACE", "v=spf1 mx -all", "v=DMARC1; p=none"),
		dmarcCase("DMARC-POLICY", "v=DMARC1; p=rejct; "+rua),
		dmarcCase("DMARC-NO-POLICY", "v=DMARC1; sp=x"),
		dmarcCase("DMARC-URI", "v=DMARC1; p=none; rua=d@example.test"),
		dmarcCase("DMARC-SYNTAX", "v=DMARC1; p=none; adkim=x"),
		dmarcCase("DMARC-REPORT-REFUSED", "v=DMARC1; p=reject; rua=mailto:d@other.test"),
		dmarcCase("DMARC-REPORT-NO-MX", "v=DMARC1; p=reject; rua=mailto:d@gone.example.test"),
		dmarcCase("DMARC-NONE", "v=DMARC1; p=none; "+rua),
		dmarcCase("DMARC-TESTING", "v=DMARC1; p=reject; t=y; "+rua),
		dmarcCase("DMARC-SUBDOMAINS", "v=DMARC1; p=reject; sp=none; "+rua),
		dmarcCase("DMARC-NO-REPORTS", "v=DMARC1; p=reject"),
		dmarcCase("DMARC-HISTORIC-TAG", "v=DMARC1; p=reject; pct=50; "+rua),
		dmarcCase("DMARC-URI-SIZE", "v=DMARC1; p=reject; "+rua+"!10m"),
		dmarcCase("DMARC-URI-MANY", "v=DMARC1; p=reject; "+rua+",mailto:e@example.test,mailto:f@example.test"),
		dmarcCase("DMARC-P-MISSING", "v=DMARC1; "+rua),
		dmarcCase("DMARC-P-NOT-SECOND", "v=DMARC1; "+rua+"; p=reject"),
		dmarcCase("DMARC-FO-UNUSED", "v=DMARC1; p=reject; fo=1; "+rua),
		dmarcCase("DMARC-FO-BOTH", "v=DMARC1; p=reject; fo=0:1; ruf=mailto:d@example.test; "+rua),
		{code: "DMARC-SP-IGNORED", make: func(p *place) {
			p.txt("_dmarc.test", "v=DMARC1; p=none")
			p.txt("_dmarc", "v=DMARC1; p=reject; sp=reject; "+rua)
		}},
		dmarcCase("DMARC-PSD", "v=DMARC1; p=reject; psd=y; "+rua),
		dmarcCase("DMARC-SIZE", "v=DMARC1; p=reject; "+rua+"; x="+strings.Repeat("y", 450)),
		dmarcCase("DMARC-UNKNOWN-TAG", "v=DMARC1; p=reject; x=y; "+rua),
		dmarcCase("DMARC-STRICT", "v=DMARC1; p=reject; adkim=s; "+rua),

		stsCase("MTASTS-MISSING"),
		stsCase("MTASTS-MULTIPLE", "v=STSv1; id=1", "v=STSv1; id=2"),
		stsCase("MTASTS-VERSION", " v=STSv1; id=1"),
		stsCase("MTASTS-SYNTAX", "v=STSv1; id=-"),
		stsCase("MTASTS-UNKNOWN-FIELD", "v=STSv1; id=1; x=1"),
		{code: "MTASTS-POLICY-NOT-SERVED", make: func(p *place) { p.answer(404, "text/plain") }},
		policy("MTASTS-POLICY-SYNTAX", "mode: enforce\r\n"),
		{code: "MTASTS-CONTENT-TYPE", make: func(p *place) { p.answer(200, "text/html") }},
		policy("MTASTS-LINE-ENDS", strings.ReplaceAll(mode, "\r", "")+"mx: mx1.example.test\n"),
		policy("MTASTS-MAX-AGE-SHORT", "version: STSv1\r\nmode: enforce\r\nmax_age: 60\r\nmx: mx1.example.test\r\n"),
		policy("MTASTS-MX-TWICE", mode+"mx: mx1.example.test\r\nmx: mx1.example.test\r\n"),
		policy("MTASTS-TESTING-LONG", testMode).with("--previous", earlier(t, Observed{MTASTS: &ObservedPolicy{ID: "1", Body: testMode, ModeSince: now.AddDate(-1, 0, 0), Until: now}})),
		policy("MTASTS-MX-NOT-COVERED", mode+"mx: mx2.example.test\r\n"),
		policy("MTASTS-MX-UNUSED", mode+"mx: mx1.example.test\r\nmx: mx2.example.test\r\n"),
		{code: "MTASTS-MX-CERTIFICATE", make: func(p *place) { p.set("mx1", "A", "127.0.0.1"); p.set("mx1", "AAAA") }, flags: []string{"--starttls", "--smtp-port", plainMX(t)}},
		policy("MTASTS-ID-UNCHANGED", mode+"mx: mx1.example.test\r\n").with("--previous", earlier(t, Observed{MTASTS: &ObservedPolicy{ID: "1", Body: testMode, ModeSince: now, Until: now}})),
		{code: "MTASTS-LEFT-EARLY", make: func(p *place) { p.txt("_mta-sts"); p.set("mta-sts", "A") },
			flags: []string{"--previous", earlier(t, Observed{MTASTS: &ObservedPolicy{ID: "1", Body: testMode, ModeSince: now, Until: now.AddDate(0, 1, 0)}})}},
		rptCase("MTASTS-NO-REPORTS"),

		rptCase("TLSRPT-MISSING"),
		rptCase("TLSRPT-MULTIPLE", "v=TLSRPTv1; rua=https://a.test/", "v=TLSRPTv1; rua=https://b.test/"),
		rptCase("TLSRPT-VERSION", " v=TLSRPTv1; rua=https://a.test/"),
		rptCase("TLSRPT-SYNTAX", "v=TLSRPTv1; rua=ftp://a.test/"),
		rptCase("TLSRPT-OWN-DOMAIN", "v=TLSRPTv1; rua=mailto:t@example.test"),
		rptCase("TLSRPT-UNKNOWN-TAG", "v=TLSRPTv1; rua=https://a.test/; x=1"),
	}
	shown := map[string]bool{}
	for _, s := range scenes {
		t.Run(s.code, func(t *testing.T) {
			p := newPlace(t)
			p.sound()
			s.make(p)
			r, code := p.check(append([]string{"--selector", "s1"}, s.flags...)...)
			at := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == s.code })
			if at < 0 {
				t.Fatalf("exit code %d, found %s, unknown %q", code, r.codes(), r.Unknown)
			}
			shown[s.code] = true
			if f := r.Findings[at]; f.Severity == lint.Error && code != ExitFail || f.Message == "" || f.Mend == "" || f.Source == "" || f.Name == "" {
				t.Errorf("exit code %d: %+v", code, f)
			}
		})
	}
	for _, rule := range slices.Concat(spf.Rules(), dkim.Rules(), dmarc.Rules(), mtasts.Rules(), tlsrpt.Rules()) {
		if !shown[rule.Code] && !strings.HasPrefix(rule.Code, "DKIM-SIGNATURE-") {
			t.Errorf("%s: no scene shows it", rule.Code)
		}
	}
}

const testMode = "version: STSv1\r\nmode: testing\r\nmx: mx1.example.test\r\nmax_age: 1209600\r\n"

// earlier writes what an earlier check has seen to a file.
func earlier(t *testing.T, o Observed) string {
	t.Helper()
	content, err := json.Marshal(Report{Domain: domain, Observed: o})
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "earlier.json", string(content))
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// privateKey writes a new private key to a file.
func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// laggingSecondary adds a second name server, which has heard of no key.
func laggingSecondary(p *place) {
	_, port, err := net.SplitHostPort(p.dns.Addr())
	if err != nil {
		p.t.Fatal(err)
	}
	p.txt("s1._domainkey", "v=DKIM1; p=")
	secondary, err := p.dns.Secondary("127.0.0.2:" + port)
	if err != nil && os.Getenv(real.RequireEnv) == "1" {
		p.t.Fatal(err)
	} else if err != nil {
		p.t.Skip("no second loopback address: ", err)
	}
	p.t.Cleanup(func() { _ = secondary.Close() })
	secondary.Freeze()
	p.set("", "NS", "ns1.example.test.", "ns2.example.test.")
	p.set("ns2", "A", "127.0.0.2")
	p.txt("s1._domainkey", keyRecord(p.t, 2048))
	p.more = append(p.more, "--authoritative-port", port)
}

// plainMX starts an MX host without STARTTLS and returns its port.
func plainMX(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = conn.Write([]byte("220 mx1.example.test\r\n"))
			in := bufio.NewReader(conn)
			for line, err := in.ReadString('\n'); err == nil && !strings.HasPrefix(line, "QUIT"); line, err = in.ReadString('\n') {
				_, _ = conn.Write([]byte("250 mx1.example.test\r\n"))
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}
