package cli

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/maildomain/maildomain-operator/compliance"
	ourdkim "github.com/maildomain/maildomain-operator/mailauth/dkim"
)

// A name with white space before its colon is that name (RFC 5322 §4.5.8), for the verifier too. The
// good signature of somebody is never told of one that names the author's domain.
func TestHeaderForeignSignature(t *testing.T) {
	p := newPlace(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	record, err := ourdkim.NewRecord(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p.txt("s1._domainkey.other.test", record.String())
	p.txt("mail", "v=spf1 -all")
	p.txt("_dmarc", "v=DMARC1; p=reject; rua=mailto:d@example.test")
	var signed bytes.Buffer
	options := &dkim.SignOptions{Domain: "other.test", Selector: "s1", Signer: key, HeaderCanonicalization: dkim.CanonicalizationRelaxed}
	if err := dkim.Sign(&signed, strings.NewReader(strings.ReplaceAll(letter, "\n", "\r\n")), options); err != nil {
		t.Fatal(err)
	}
	forged := "DKIM-Signature: v=1; a=rsa-sha256; d=example.test; s=s1; h=from; b=AAAA; bh=" + strings.Repeat("A", 43) + "=\r\n"
	for _, name := range []string{"DKIM-Signature:", "DKIM-Signature :", "dkim-signature\t:"} {
		text := strings.Replace(signed.String(), "DKIM-Signature:", name, 1)
		first, rest, _ := strings.Cut(text, "Return-Path: <")
		r, code := told(t, p.dns.Addr(), first+forged+"Return-Path: <"+rest)
		if code != ExitFail || len(r.DKIM) != 2 || r.DKIM[0].Domain != "other.test" || r.DKIM[0].Outcome != compliance.Pass || r.DKIM[1].Outcome != compliance.Fail {
			t.Errorf("%q: exit code %d, %s: %+v", name, code, r.Why, r.DKIM)
		}
	}
	r, code := told(t, p.dns.Addr(), "X: y\nFrom : eve@other.test\n"+letter)
	if code != ExitFail || r.Why != "2 From headers, want one" {
		t.Errorf("exit code %d, %s", code, r.Why)
	}
	// A letter that other alphabets fold to one of ours is none of the name's, for no reader.
	if code, _, stderr := run(t, "DKIM-\u017fignature: x\n"+letter, "message", "-"); code != ExitUsage || !strings.Contains(stderr, "header field 1") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// What can't be a message is refused without a word of its own, and before it costs anything.
func TestHeaderRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no colon":        "\x1b[2Jhello\n\n",
		"no first field":  " \x1b[2Jfrom: x\n\n",
		"empty":           "\n\n",
		"binary":          strings.Repeat("\x00\xff\x1b", 1000),
		"many fields":     strings.Repeat("A:\n", maxFields+1) + letter,
		"a long field":    "A: " + strings.Repeat("a", maxHeader) + "\n" + letter,
		"a folded field":  "A: a\n" + strings.Repeat(" aaaaaaa\n", maxHeader/8+1) + letter,
		"a large message": letter + strings.Repeat("a", maxMessage),
	} {
		code, stdout, stderr := run(t, text, "message", "-", "--resolver", "127.0.0.1:1")
		if code != ExitUsage || stdout != "" || strings.Contains(stderr, "\x1b") || len(stderr) > 200 {
			t.Errorf("%s: exit code %d, %q, %.300q", name, code, stdout, stderr)
		}
	}
}

// Signatures beyond the first ones cost no question, and are told in one line.
func TestHeaderManySignatures(t *testing.T) {
	p := newPlace(t)
	p.txt("_dmarc", "v=DMARC1; p=reject; rua=mailto:d@example.test")
	counter := between(t, p.dns.Addr(), nil)
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "DKIM-Signature: v=1; a=rsa-sha256; d=a%d.test; s=s1; h=from; b=AAAA; bh=%s=\n", i, strings.Repeat("A", 43))
	}
	r, code := told(t, counter.Addr, text.String()+letter)
	_, total := counter.twice()
	if last := r.DKIM[len(r.DKIM)-1]; code != ExitUnknown || len(r.DKIM) != maxSignatures+1 || !strings.Contains(last.Why, "490 more") || total > 100 {
		t.Errorf("exit code %d, %d signatures, %d questions, %q", code, len(r.DKIM), total, last.Why)
	}
}
