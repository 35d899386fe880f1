package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// The keys of RFC 8463, appendix A.2, and of RFC 6376, appendix C.
const (
	rfc8463Key    = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	rfc8463Record = "v=DKIM1; k=ed25519; p=" + rfc8463Key
	rfc8463RSA    = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
		"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
		"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
		"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
	rfc6376Record = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ" +
		"KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
		"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v" +
		"/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi" +
		"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)

// The signatures of RFC 8463, appendix A.3, and RFC 6376, appendix A.2.
var (
	rfc8463Signature = crlf(` v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
`)
	rfc8463RSASignature = crlf(` v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
`)
	rfc6376Signature = crlf(` v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
`)
	received = crlf(`Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
`)
	message = crlf(`From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`)
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// The signatures of both RFCs verify with the keys that we read from their records.
func TestVerifyRFC(t *testing.T) {
	world := map[string]string{
		"brisbane._domainkey.football.example.com": rfc8463Record,
		"test._domainkey.football.example.com":     rfc8463RSA,
		"brisbane._domainkey.example.com":          rfc6376Record,
	}
	verify(t, world, "DKIM-Signature:"+rfc8463Signature+"DKIM-Signature:"+rfc8463RSASignature+message, 2)
	verify(t, world, "DKIM-Signature:"+rfc6376Signature+received+message, 1)
}

// What another library signs verifies with the record that we make of the key.
func TestVerifyOwnRecord(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{rsaKey, edKey} {
		r, err := NewRecord(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		var signed bytes.Buffer
		options := &dkim.SignOptions{Domain: "example.com", Selector: "s1.mail", Signer: key, BodyCanonicalization: dkim.CanonicalizationRelaxed}
		if err := dkim.Sign(&signed, strings.NewReader(message), options); err != nil {
			t.Fatal(err)
		}
		value, _, _ := strings.Cut(strings.TrimPrefix(signed.String(), "DKIM-Signature:"), "\r\nFrom:")
		s, err := ParseSignature(value)
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if s.Algorithm != r.KeyType+"-sha256" || s.HeaderCanonicalization != "simple" || s.BodyCanonicalization != "relaxed" || s.Signed.IsZero() {
			t.Errorf("got %+v", s)
		}
		verify(t, map[string]string{s.KeyName(): r.String()}, signed.String(), 1)
	}
}

// verify has go-msgauth verify a message whose keys it gets through Parse and String.
func verify(t *testing.T, world map[string]string, message string, want int) {
	t.Helper()
	lookup := func(name string) ([]string, error) {
		r, err := Parse(world[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return []string{r.String()}, nil
	}
	verifications, err := dkim.VerifyWithOptions(strings.NewReader(message), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil || len(verifications) != want {
		t.Fatalf("got %d signatures and %v, want %d", len(verifications), err, want)
	}
	for _, v := range verifications {
		if v.Err != nil {
			t.Errorf("%s: %v", v.Identifier, v.Err)
		}
	}
}
