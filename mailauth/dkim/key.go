package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// The sizes of RSA keys, in bits (RFC 8301 §3.2).
const (
	minBits     = 1024 // verifiers do not accept less
	advisedBits = 2048 // signers should use no less
	maxBits     = 4096 // verifiers need not know more
)

// NewRecord returns the record of a public key: *rsa.PublicKey of 1024 bits or more (RFC 8301
// §3.2), or ed25519.PublicKey.
func NewRecord(public crypto.PublicKey) (Record, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minBits {
			return Record{}, fmt.Errorf("an RSA key of %d bits: want %d or more (RFC 8301 §3.2)", bits, minBits)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return Record{}, fmt.Errorf("encoding the RSA key: %w", err)
		}
		return Record{KeyType: RSA, PublicKey: der}, nil
	case ed25519.PublicKey:
		r := Record{KeyType: Ed25519, PublicKey: slices.Clone(key)}
		_, err := r.Public()
		return r, err
	}
	return Record{}, fmt.Errorf("a key of type %T: want RSA or Ed25519", public)
}

// Public returns the key that the record holds: *rsa.PublicKey of any size, or
// ed25519.PublicKey. A record that is revoked, of an unknown type or with an unreadable key is
// an error.
func (r Record) Public() (crypto.PublicKey, error) {
	switch {
	case r.Revoked():
		return nil, errors.New("the key is revoked: p= is empty (RFC 6376 §3.6.1)")
	case r.KeyType == Ed25519:
		if len(r.PublicKey) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("an Ed25519 key of %d octets: want %d (RFC 8463 §4.2)", len(r.PublicKey), ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(slices.Clone(r.PublicKey)), nil
	case r.KeyType != RSA && r.KeyType != "":
		return nil, fmt.Errorf("key type %q: want rsa or ed25519", r.KeyType)
	}
	// RFC 6376 names the bare RSAPublicKey, and the world publishes SubjectPublicKeyInfo (its
	// erratum 3017): both are in use.
	if key, err := x509.ParsePKIXPublicKey(r.PublicKey); err == nil {
		if public, ok := key.(*rsa.PublicKey); ok {
			return public, nil
		}
		return nil, fmt.Errorf("a key of type %T in a record with k=rsa", key)
	}
	public, err := x509.ParsePKCS1PublicKey(r.PublicKey)
	if err != nil {
		return nil, errors.New("the RSA key can't be read: want SubjectPublicKeyInfo in DER (RFC 6376 §3.6.1)")
	}
	return public, nil
}
