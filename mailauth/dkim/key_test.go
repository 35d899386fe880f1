package dkim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
)

// rsaPublic is a number of that many bits. It is no product of primes, which nobody checks.
func rsaPublic(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func rsaRecord(t testing.TB, bits int) Record {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(rsaPublic(bits))
	if err != nil {
		t.Fatal(err)
	}
	return Record{KeyType: RSA, PublicKey: der}
}

func TestNewRecord(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, key := range map[string]crypto.PublicKey{
		// What is published already must not change by a letter.
		"v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A":                         &rsaKey.PublicKey,
		"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edKey):          edKey,
		"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCAAAAAAAAAAAAAAAAA": rsaPublic(1024),
	} {
		r, err := NewRecord(key)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.String(), prefix) {
			t.Errorf("got %s, want %s…", r, prefix)
		}
		parsed, err := Parse(r.String())
		if err != nil {
			t.Fatal(err)
		}
		if public, err := parsed.Public(); err != nil || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
			t.Errorf("got %v, %v", public, err)
		}
	}
	for want, key := range map[string]crypto.PublicKey{
		"1023 bits":   rsaPublic(1023),
		"31 octets":   edKey[1:],
		"type string": "a key",
		"revoked":     ed25519.PublicKey{},
	} {
		if _, err := NewRecord(key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestPublic(t *testing.T) {
	// RSAPublicKey as RFC 6376 §3.6.1 names it, without the algorithm around.
	bare := Record{PublicKey: x509.MarshalPKCS1PublicKey(rsaPublic(2048))}
	if public, err := bare.Public(); err != nil || !rsaPublic(2048).Equal(public) {
		t.Errorf("got %v, %v", public, err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalPKIXPublicKey(ecKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Record{
		"is revoked":                              {},
		"of 3 octets: want 32 (RFC 8463 §4.2)":    {KeyType: Ed25519, PublicKey: []byte{0, 0, 0}},
		"SubjectPublicKeyInfo":                    {KeyType: RSA, PublicKey: []byte{0, 0, 0}},
		`"mldsa": want rsa or ed25519`:            {KeyType: "mldsa", PublicKey: []byte{0}},
		"*ecdsa.PublicKey in a record with k=rsa": {KeyType: RSA, PublicKey: ec},
	} {
		if public, err := r.Public(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v, want %s", public, err, want)
		}
	}
}
