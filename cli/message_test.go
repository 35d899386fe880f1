package cli

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/mail"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"github.com/maildomain/maildomain-operator/compliance"
	ourdkim "github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/real"
)

// The example of RFC 8463, appendix A.3.
const rfc8463 = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`

// told runs message and returns what it reports.
func told(t *testing.T, resolver, text string, flags ...string) (r MessageReport, code int) {
	t.Helper()
	code, stdout, stderr := run(t, text, append([]string{"message", "-", "-o", "json", "--resolver", resolver}, flags...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: exit code %d\n%s%s", err, code, stdout, stderr)
	}
	return r, code
}

func TestMessageRFC8463(t *testing.T) {
	server, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{"com", "net"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	for name, text := range map[string]string{
		"brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
		"test._domainkey.football.example.com": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
			"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
			"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
			"Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
		"_dmarc.example.com": "v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@example.com",
	} {
		if err := server.SetTXT(name, text); err != nil {
			t.Fatal(err)
		}
	}
	r, code := told(t, server.Addr(), rfc8463)
	if code != ExitOK || r.Outcome != compliance.Pass || r.Author != "football.example.com" || len(r.DKIM) != 2 {
		t.Fatalf("exit code %d, %+v", code, r)
	}
	for i, selector := range []string{"brisbane", "test"} {
		if s := r.DKIM[i]; s.Selector != selector || s.Outcome != compliance.Pass || s.Aligned != compliance.Pass {
			t.Errorf("%+v", s)
		}
	}
	if f := r.DKIM[1].Findings; len(f) != 1 || f[0].Code != "DKIM-KEY-SHORT" {
		t.Errorf("findings of the rsa key: %+v", f)
	}
	if r.SPF.Result != "" || !strings.Contains(r.SPF.Why, "--ip") || r.DMARC.Policy != dmarc.Quarantine || r.DMARC.At != "_dmarc.example.com" {
		t.Errorf("%+v, %+v", r.SPF, r.DMARC)
	}
	// A changed message: both fail, and as nothing is known of SPF neither is DMARC.
	changed := strings.Replace(rfc8463, "hungry", "thirsty", 1)
	if r, code := told(t, server.Addr(), changed); code != ExitUnknown || r.DKIM[0].Outcome != compliance.Fail || r.DKIM[1].Outcome != compliance.Fail {
		t.Errorf("exit code %d, %+v", code, r)
	}
	if r, code := told(t, server.Addr(), changed, "--ip", "192.0.2.1", "--mail-from", "joe@football.example.com"); code != ExitFail || r.SPF.Result != spf.None {
		t.Errorf("exit code %d, %+v", code, r)
	}
	// Without an answer about a key its signature is unknown, not failed; and so is DMARC.
	silent := between(t, server.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
		if !strings.Contains(req.Question[0].Name, "_domainkey") {
			return false
		}
		_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeServerFailure))
		return true
	})
	if r, code := told(t, silent.Addr, rfc8463, "--ip", "192.0.2.1", "--mail-from", "joe@football.example.com"); code != ExitUnknown || r.DKIM[0].Outcome != compliance.Unknown {
		t.Errorf("exit code %d, %+v", code, r)
	}
	// The table tells the same, with LF and as a mailbox has it too.
	for _, text := range []string{rfc8463, "From joe Fri Jul 11 21:00:37 2003\n" + rfc8463, strings.ReplaceAll(rfc8463, "\n", "\r\n")} {
		code, stdout, stderr := run(t, text, "message", "-", "--resolver", server.Addr())
		if code != ExitOK || stderr != "" || !strings.Contains(stdout, "aligned with the author") || !strings.Contains(stdout, "s=brisbane a=ed25519-sha256") {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
	}
}

const letter = `Return-Path: <bounce@mail.example.test>
Received: from relay (relay [10.0.0.1]) by inside.other.test; Mon, 30 Nov 2026 12:00:00 +0000
Received: from out.example.test (unknown [8.8.8.8]) by mx.other.test; Mon, 30 Nov 2026 12:00:00 +0000
From: Ann <ann@example.test>
To: bob@other.test
Subject: hello
Date: Mon, 30 Nov 2026 12:00:00 +0000
Message-ID: <1@example.test>

Hello.
`

// What each of SPF, DKIM and alignment gives for DMARC, by messages that are signed with keys of ours.
func TestMessageAlignment(t *testing.T) {
	p := newPlace(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"s1._domainkey": rsaKey, "s1._domainkey.other.test": rsaKey, "s2._domainkey.mail": edKey} {
		r, err := ourdkim.NewRecord(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		p.txt(name, r.String())
	}
	sign := func(key crypto.Signer, domain, selector, text string) string {
		var signed bytes.Buffer
		if err := dkim.Sign(&signed, strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")), &dkim.SignOptions{Domain: domain, Selector: selector, Signer: key}); err != nil {
			t.Fatal(err)
		}
		return signed.String()
	}
	const relaxed, strict = "v=DMARC1; p=reject; rua=mailto:d@example.test", "v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:d@example.test"
	for name, c := range map[string]struct {
		spf, dmarc, text string
		code             int
		result           spf.Result
		aligned          compliance.Outcome
		dkim             []compliance.Outcome // of each signature: whether it verifies, and is aligned
		why              string
	}{
		"SPF aligned, relaxed":       {"v=spf1 ip4:8.8.8.8 -all", relaxed, letter, ExitOK, spf.Pass, compliance.Pass, nil, "SPF passes"},
		"SPF not aligned, strict":    {"v=spf1 ip4:8.8.8.8 -all", strict, letter, ExitFail, spf.Pass, compliance.Fail, nil, "neither"},
		"SPF fails":                  {"v=spf1 -all", relaxed, letter, ExitFail, spf.Fail, compliance.Pass, nil, "receivers are asked for reject"},
		"no DMARC record":            {"v=spf1 ip4:8.8.8.8 -all", "", letter, ExitFail, spf.Pass, compliance.Unknown, nil, "no DMARC record"},
		"DKIM of the domain":         {"v=spf1 -all", strict, sign(rsaKey, "example.test", "s1", letter), ExitOK, spf.Fail, compliance.Fail, []compliance.Outcome{compliance.Pass, compliance.Pass}, "DKIM of example.test"},
		"DKIM of another":            {"v=spf1 -all", relaxed, sign(rsaKey, "other.test", "s1", letter), ExitFail, spf.Fail, compliance.Pass, []compliance.Outcome{compliance.Pass, compliance.Fail}, "neither"},
		"DKIM of a subdomain":        {"v=spf1 -all", relaxed, sign(edKey, "mail.example.test", "s2", letter), ExitOK, spf.Fail, compliance.Pass, []compliance.Outcome{compliance.Pass, compliance.Pass}, "DKIM of mail.example.test"},
		"DKIM of one, strict":        {"v=spf1 -all", strict, sign(edKey, "mail.example.test", "s2", letter), ExitFail, spf.Fail, compliance.Fail, []compliance.Outcome{compliance.Pass, compliance.Fail}, "neither"},
		"DKIM by another key":        {"v=spf1 -all", strict, sign(edKey, "example.test", "s1", letter), ExitFail, spf.Fail, compliance.Fail, []compliance.Outcome{compliance.Fail, compliance.Pass}, "neither"},
		"DKIM without a key":         {"v=spf1 -all", strict, sign(rsaKey, "example.test", "s9", letter), ExitFail, spf.Fail, compliance.Fail, []compliance.Outcome{compliance.Fail, compliance.Pass}, "neither"},
		"two authors' domains":       {"v=spf1 ip4:8.8.8.8 -all", relaxed, strings.Replace(letter, "From: Ann <ann@example.test>", "From: ann@example.test, eve@other.test", 1), ExitFail, spf.Pass, compliance.NotApplicable, nil, "example.test and of other.test"},
		"a bounce, judged by HELO":   {"v=spf1 -all", relaxed, strings.Replace(letter, "<bounce@mail.example.test>", "<>", 1), ExitFail, spf.None, compliance.Pass, nil, "neither"},
		"an SPF record that is none": {"v=spf1 x", relaxed, letter, ExitFail, spf.PermError, compliance.Pass, nil, "neither"},
	} {
		p.txt("mail", c.spf)
		if p.txt("_dmarc"); c.dmarc != "" {
			p.txt("_dmarc", c.dmarc)
		}
		r, code := told(t, p.dns.Addr(), c.text)
		aligned := c.aligned
		if c.dmarc == "" {
			aligned = compliance.Fail // without a record nothing ties the two domains together
		}
		var got []compliance.Outcome
		for _, s := range r.DKIM {
			got = append(got, s.Outcome, s.Aligned)
		}
		if code != c.code || r.SPF.Result != c.result || r.SPF.Aligned != aligned || !slices.Equal(got, c.dkim) || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: exit code %d, SPF %s %s, DKIM %v, %q; want %+v", name, code, r.SPF.Result, r.SPF.Aligned, got, r.Why, c)
		}
		if len(c.dkim) == 0 && (r.Source.IP != "8.8.8.8" || r.Source.HELO != "out.example.test" || r.Source.From != "Received header 2 of 2") {
			t.Errorf("%s: %+v", name, r.Source)
		}
	}
	p.txt("mail", "v=spf1 a:gone.example.test ip4:8.8.8.8 -all")
	r, _ := told(t, p.dns.Addr(), letter)
	want := []Step{{0, "mail.example.test", "a:gone.example.test", 1, spf.NotMatched}, {0, "mail.example.test", "ip4:8.8.8.8", 0, spf.Matched}}
	if !slices.Equal(r.SPF.Trace, want) || r.SPF.Lookups != 1 || r.SPF.Voids != 1 {
		t.Errorf("%+v", r.SPF)
	}
}

// Debian's dkimsign, of python3-dkim, signs what we verify.
func TestMessageDkimsign(t *testing.T) {
	program := real.Program(t, "dkimsign")
	p := newPlace(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	record, err := ourdkim.NewRecord(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p.txt("s1._domainkey", record.String())
	p.txt("_dmarc", "v=DMARC1; p=reject; adkim=s; rua=mailto:d@example.test")
	path := file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	cmd := exec.Command(program, "s1", "example.test", path)
	cmd.Stdin = strings.NewReader(letter)
	signed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if r, code := told(t, p.dns.Addr(), string(signed)); code != ExitOK || len(r.DKIM) != 1 || r.DKIM[0].Outcome != compliance.Pass {
		t.Errorf("exit code %d, %+v\n%s", code, r, signed)
	}
}

// The codes of signatures show in message.
func TestMessageFindings(t *testing.T) {
	p := newPlace(t)
	signature := "DKIM-Signature: v=1; a=rsa-sha256; d=example.test; s=s1; h=from; b=AAAA; bh=" + strings.Repeat("A", 43) + "="
	for code, header := range map[string]string{
		"DKIM-SIGNATURE-SYNTAX":  "DKIM-Signature: v=1; a=rsa-sha256",
		"DKIM-SIGNATURE-SHA1":    strings.Replace(signature[:len(signature)-17], "sha256", "sha1", 1) + "=",
		"DKIM-SIGNATURE-LENGTH":  signature + "; l=1",
		"DKIM-SIGNATURE-EXPIRED": signature + "; x=1",
		"DKIM-MISSING":           signature,
	} {
		r, exit := told(t, p.dns.Addr(), header+"\n"+letter)
		if exit != ExitFail || len(r.DKIM) != 1 || r.DKIM[0].Outcome != compliance.Fail ||
			!slices.ContainsFunc(r.DKIM[0].Findings, func(f Finding) bool { return f.Code == code }) {
			t.Errorf("%s: exit code %d, %+v", code, exit, r)
		}
	}
	many := strings.Repeat(signature+"\n", maxSignatures+1) + letter
	if r, _ := told(t, p.dns.Addr(), many); len(r.DKIM) != maxSignatures+1 || r.DKIM[maxSignatures].Outcome != compliance.Unknown {
		t.Errorf("%+v", r.DKIM)
	}
}

func TestReceived(t *testing.T) {
	for value, want := range map[string][2]string{
		"from out.example.test (rdns.example.test [192.0.2.1]) by mx; Mon":                     {"192.0.2.1", "out.example.test"},
		"from rdns.example.test ([192.0.2.1] helo=out.example.test) by mx with esmtp (Exim 4)": {"192.0.2.1", "out.example.test"},
		"from unknown (HELO out.example.test) (192.0.2.1) by mx":                               {"192.0.2.1", "out.example.test"},
		"from [192.0.2.1] (helo=out.example.test) by mx":                                       {"192.0.2.1", "out.example.test"},
		"from out.example.test ([IPv6:2001:db8::1]) by mx":                                     {"2001:db8::1", "out.example.test"},
		"from out.example.test (out.example.test [::ffff:192.0.2.1]) by mx":                    {"192.0.2.1", "out.example.test"},
		"by mx.example.test with LMTP id 1 [192.0.2.1]":                                        {"invalid IP", ""},
		"from a (b [300.1.2.3]) by mx":                                                         {"invalid IP", "a"},
		"":                                                                                     {"invalid IP", ""},
	} {
		if ip, name := hop(value); ip.String() != want[0] || name != want[1] {
			t.Errorf("%q: %s %q, want %q", value, ip, name, want)
		}
	}
	m := messenger{received: 3}
	if _, err := m.source(mail.Header{"Received": {"a", "b"}}); err == nil {
		t.Error("the third of two headers is taken")
	}
}

func FuzzReceived(f *testing.F) {
	f.Add("from a (b [192.0.2.1]) by mx")
	f.Fuzz(func(_ *testing.T, value string) { hop(value) })
}

func TestMessageUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no file": {"message"}, "no such file": {"message", "/nowhere"}, "no message": {"message", "-"},
		"no format": {"message", "-", "-o", "x"}, "no address": {"message", "-", "--ip", "x"}, "no header": {"message", "-", "--received", "9"},
	} {
		text := letter
		if name == "no message" {
			text = "hello"
		}
		if code, stdout, stderr := run(t, text, args...); code != ExitUsage || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
	}
}
