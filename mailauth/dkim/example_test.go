package dkim_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
)

func ExampleNewRecord() {
	// The key of RFC 8463, appendix A.1.
	seed, err := base64.StdEncoding.DecodeString("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
	if err != nil {
		fmt.Println(err)
		return
	}
	record, err := dkim.NewRecord(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(record)
	// Output: v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
}

func ExampleParse() {
	r, err := dkim.Parse("v=DKIM1; k=ed25519; t=y; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.KeyType, r.Flags, len(r.PublicKey), r.Revoked())
	// Output: ed25519 [y] 32 false
}

func ExampleParse_error() {
	_, err := dkim.Parse("v=DKIM1; k=rsa; p=-----BEGIN PUBLIC KEY-----")
	fmt.Println(err)
	// Output:
	// DKIM key record, octet 18: "-----BEGIN PUBLIC KEY-----": want p= with base64 (RFC 6376 §3.6.1)
}

func ExampleRevoked() {
	fmt.Println(dkim.Revoked(dkim.RSA))
	// Output: v=DKIM1; k=rsa; p=
}

func ExampleLint() {
	for _, finding := range dkim.Lint(dkim.Subject{Texts: []string{"v=DKIM1; k=rsa; p="}, InUse: true}) {
		fmt.Println(finding)
	}
	// Output: error DKIM-REVOKED: p is empty: sign with another key
}

const signature = `v=1; a=rsa-sha256; d=example.net; s=brisbane;
 c=simple; q=dns/txt; i=@eng.example.net; t=1117574938; x=1118006938; l=1000;
 h=from:to:subject:date; bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=;
 b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR`

func ExampleParseSignature() {
	s, err := dkim.ParseSignature(signature)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Algorithm, s.Identity, s.Headers)
	fmt.Println("the key is at", s.KeyName())
	// Output:
	// rsa-sha256 @eng.example.net [from to subject date]
	// the key is at brisbane._domainkey.example.net
}

func ExampleLintSignature() {
	for _, finding := range dkim.LintSignature(signature, time.Date(2005, 6, 1, 0, 0, 0, 0, time.UTC)) {
		fmt.Println(finding)
	}
	// Output:
	// warning DKIM-SIGNATURE-LENGTH: l=1000: sign without l
}
