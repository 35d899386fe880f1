package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// Every rule is broken by a case, and a sound record or signature by none.
func TestLint(t *testing.T) {
	broken := map[string]bool{}
	check := func(what string, findings []lint.Finding, want string) {
		t.Helper()
		var codes []string
		for _, f := range findings {
			codes = append(codes, f.Code)
			broken[f.Code] = true
			if f.Message == "" || f.Mend == "" || f.Source == "" {
				t.Errorf("%.200s: %+v", what, f)
			}
		}
		if got := strings.Join(codes, " "); got != want {
			t.Errorf("%.200s: got %s, want %s", what, got, want)
		}
	}
	good := rsaRecord(t, 2048).String()
	bare := "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(rsaPublic(2048)))
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	for _, test := range []struct {
		codes string
		s     Subject
	}{
		{"", Subject{}},
		{"", Subject{Texts: []string{good}}},
		{"", Subject{Texts: []string{rfc8463Record}, InUse: true, Public: ed25519.PublicKey(decode(t, rfc8463Key))}},
		{"", Subject{Texts: []string{bare}, Public: rsaPublic(2048)}},
		{"", Subject{Texts: []string{rsaRecord(t, 4096).String()}}},
		{"", Subject{Texts: []string{"v=DKIM1; h=sha256; s=tlsrpt:email; t=s; n=for people; p=" + good[len("v=DKIM1; k=rsa; p="):]}, InUse: true}},
		{"", Subject{
			Texts: []string{good}, InUse: true, Servers: map[string][]string{"ns1": {"x", good}, "ns2": {good, "x"}},
			Others: map[string]string{"s2": rfc8463Record, "s3": "broken", "s4": "p="}, Created: now.Add(-year), Now: now, MaxAge: year,
		}},
		{"", Subject{Texts: []string{good}, Created: now.Add(-year), Now: now}},
		{"", Subject{Texts: []string{good}, Now: now, MaxAge: year}},
		{"", Subject{Texts: []string{"v=DKIM1; k=rsa; p="}, Others: map[string]string{"s2": "v=DKIM1; p="}}},
		{"", Subject{Texts: []string{"v=DKIM1; s=tlsrpt; k=ed25519; p=" + rfc8463Key}}},
		{"DKIM-MISSING", Subject{InUse: true}},
		{"DKIM-MISSING", Subject{Texts: []string{"v=spf1 -all"}, InUse: true}},
		{"DKIM-MULTIPLE", Subject{Texts: []string{good, rfc8463Record}, InUse: true}},
		{"DKIM-MULTIPLE DKIM-REVOKED", Subject{Texts: []string{"a site's token", "v=DKIM1; p="}, InUse: true}},
		{"DKIM-SYNTAX", Subject{Texts: []string{"v=DKIM1; k=rsa"}}},
		{"DKIM-SYNTAX", Subject{Texts: []string{"v=DKIM1; p=no base64!"}}},
		{"DKIM-SYNTAX", Subject{Texts: []string{"v=dkim1; p=AAAA"}}},
		{"DKIM-SYNTAX", Subject{Texts: []string{"v=DKIM1; p=" + strings.Repeat("A", 1<<20)}}},
		{"DKIM-KEY-UNREADABLE", Subject{Texts: []string{"v=DKIM1; p=AAAA"}}},
		{"DKIM-KEY-UNREADABLE", Subject{Texts: []string{"v=DKIM1; k=ed25519; p=AAAA"}}},
		{"DKIM-KEY-UNREADABLE", Subject{Texts: []string{good[:254]}, Public: rsaPublic(2048)}},
		{"DKIM-KEY-TYPE", Subject{Texts: []string{"v=DKIM1; k=mldsa; p=AAAA"}}},
		{"DKIM-KEY-TYPE", Subject{Texts: []string{"v=DKIM1; k=RSA; p=AAAA"}}},
		{"DKIM-KEY-WEAK", Subject{Texts: []string{rsaRecord(t, 1023).String()}}},
		{"DKIM-KEY-SHORT", Subject{Texts: []string{rsaRecord(t, 1024).String()}}},
		{"DKIM-KEY-SHORT", Subject{Texts: []string{rsaRecord(t, 2047).String()}}},
		{"DKIM-KEY-LONG", Subject{Texts: []string{rsaRecord(t, 4097).String()}}},
		{"DKIM-KEY-DIFFERS", Subject{Texts: []string{good}, Public: rsaPublic(2049)}},
		{"DKIM-KEY-DIFFERS", Subject{Texts: []string{good}, Public: ed25519.PublicKey(make([]byte, 32))}},
		{"DKIM-KEY-DIFFERS", Subject{Texts: []string{good}, Public: crypto.PublicKey("none")}},
		{"DKIM-REVOKED", Subject{Texts: []string{"v=DKIM1; k=ed25519; p="}, InUse: true, Public: rsaPublic(2048)}},
		{"DKIM-NO-SHA256 DKIM-SHA1", Subject{Texts: []string{good + "; h=sha1"}}},
		{"DKIM-NO-SHA256", Subject{Texts: []string{good + "; h=sha512"}}},
		{"DKIM-NO-SHA256", Subject{Texts: []string{good + "; h=SHA256"}}},
		{"DKIM-SHA1", Subject{Texts: []string{good + "; h=sha1:sha256"}}},
		{"DKIM-SERVICE", Subject{Texts: []string{good + "; s=tlsrpt"}, InUse: true}},
		{"DKIM-PARENT-MISSING", Subject{Texts: []string{good}, ParentMissing: true}},
		{"DKIM-KEY-OLD", Subject{Texts: []string{good}, Created: now.Add(-year - 1), Now: now, MaxAge: year}},
		{"DKIM-KEY-SHARED DKIM-KEY-SHARED", Subject{Texts: []string{good}, Others: map[string]string{"s2": good + "; t=s", "s3": good}}},
		{"DKIM-TESTING", Subject{Texts: []string{good + "; t=s:y"}}},
		{"DKIM-V-MISSING", Subject{Texts: []string{"k=ed25519; p=" + rfc8463Key}}},
		{"DKIM-V-MISSING", Subject{Texts: []string{good[len("v=DKIM1; k=rsa; "):]}}},
		{"DKIM-SERVERS-DIFFER", Subject{Texts: []string{good}, Servers: map[string][]string{"ns1": {good}, "ns2": nil, "ns3": {good}}}},
		{"DKIM-UNKNOWN-TAG", Subject{Texts: []string{good + "; g=*"}}},
	} {
		check(strings.Join(test.s.Texts, " "), Lint(test.s), test.codes)
	}
	for value, want := range map[string]string{
		sound:                          "",
		rfc8463Signature:               "",
		sound + "; x=1795478400":       "",
		sound + "; x=1795478399":       "DKIM-SIGNATURE-EXPIRED",
		sound + "; l=0":                "DKIM-SIGNATURE-LENGTH",
		without("h") + "; h=to":        "DKIM-SIGNATURE-SYNTAX",
		strings.Repeat("v=1; ", 1<<20): "DKIM-SIGNATURE-SYNTAX",
		"a=rsa-sha1; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAA=; v=1; b=AAAA; d=example.com; h=From; s=s1": "DKIM-SIGNATURE-SHA1",
	} {
		check(value, LintSignature(value, now), want)
	}
	check("at no time", LintSignature(sound+"; x=1", time.Time{}), "")
	for _, r := range Rules() {
		if !broken[r.Code] {
			t.Errorf("%s: no case breaks it", r.Code)
		}
	}
}
