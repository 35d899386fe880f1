// Package dkim reads and writes DKIM key records (RFC 6376 §3.6.1, RFC 8301, RFC 8463): the
// public keys that receivers find under <selector>._domainkey.<domain>.
package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// The key types.
const (
	RSA     = "rsa"
	Ed25519 = "ed25519" // RFC 8463
)

// Record is a key record. The zero value of a field means that its tag is absent.
type Record struct {
	KeyType string // k; "" is read as rsa
	// PublicKey is p, decoded: for rsa a SubjectPublicKeyInfo in DER, for ed25519 the 32
	// octets of the key. Empty: the key is revoked.
	PublicKey []byte
	Hashes    []string // h; absent: all
	Services  []string // s; absent: all ("*")
	Flags     []string // t: y (testing), s (no subdomains)
	Notes     string   // n, for people
	// Extensions are other tags, in their order; verifiers ignore them.
	Extensions []Extension
}

// Extension is a tag that RFC 6376 does not define for key records.
type Extension struct{ Name, Value string }

// SyntaxError says where a record is broken, what was expected, and which section wants it.
type SyntaxError = syntax.Error

var format = syntax.Format{Record: "DKIM key", Ref: "RFC 6376 §3.6.1", Version: "DKIM1"}

// IsRecord reports whether txt is meant to be a key record, well-formed or not: it has the
// version in front, or a tag p, since the version may be left out.
func IsRecord(txt string) bool {
	if format.Is(txt) {
		return true
	}
	for part := range strings.SplitSeq(txt, ";") {
		if name, _, found := strings.Cut(part, "="); found && strings.TrimSpace(name) == "p" {
			return true
		}
	}
	return false
}

// Parse reads a key record. The error is a *SyntaxError. Whether the key itself is sound is
// for Public to say.
func Parse(txt string) (Record, error) {
	tags, err := format.Parse(txt)
	if err != nil {
		return Record{}, err
	}
	r := Record{KeyType: RSA}
	found := false
	for i, t := range tags {
		switch t.Name {
		case "v":
			if i != 0 || t.Value != format.Version {
				return Record{}, format.Bad(t, "DKIM1, as the first tag")
			}
		case "k":
			if r.KeyType = strings.ToLower(t.Value); r.KeyType == "" {
				return Record{}, format.Bad(t, "a key type, rsa or ed25519")
			}
		case "p":
			found = true
			if r.PublicKey, err = base64.StdEncoding.DecodeString(unfold(t.Value)); err != nil {
				return Record{}, format.Bad(t, "base64")
			}
		case "h":
			r.Hashes = words(t.Value)
		case "s":
			r.Services = words(t.Value)
		case "t":
			r.Flags = words(t.Value)
		case "n":
			r.Notes = t.Value
		default:
			r.Extensions = append(r.Extensions, Extension{t.Name, t.Value})
		}
	}
	if !found {
		return Record{}, format.Fail(len(txt), "", "the tag p")
	}
	return r, nil
}

// words splits a list at its colons; an empty one lists nothing.
func words(value string) []string {
	if value == "" {
		return nil
	}
	return syntax.List(strings.ToLower(value), ":")
}

// unfold takes out the white space that may stand inside base64 (RFC 6376 §3.6.1).
func unfold(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(" \t\r\n", c) {
			return -1
		}
		return c
	}, s)
}

// String returns the record's text. v and k are always written; of the rest what is set.
func (r Record) String() string {
	keyType := r.KeyType
	if keyType == "" {
		keyType = RSA
	}
	tags := []syntax.Tag{{Name: "v", Value: format.Version}, {Name: "k", Value: keyType}}
	add := func(name, value string) {
		if value != "" {
			tags = append(tags, syntax.Tag{Name: name, Value: value})
		}
	}
	add("h", strings.Join(r.Hashes, ":"))
	add("s", strings.Join(r.Services, ":"))
	add("t", strings.Join(r.Flags, ":"))
	add("n", r.Notes)
	for _, e := range r.Extensions {
		tags = append(tags, syntax.Tag{Name: e.Name, Value: e.Value})
	}
	// p comes last: it is long, and what is behind it is easily overlooked.
	tags = append(tags, syntax.Tag{Name: "p", Value: base64.StdEncoding.EncodeToString(r.PublicKey)})
	return syntax.Join(tags)
}

// NewRecord returns the record of a public key: *rsa.PublicKey of 1024 bits or more (RFC 8301
// §3.2), or ed25519.PublicKey.
func NewRecord(public crypto.PublicKey) (Record, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 1024 {
			return Record{}, fmt.Errorf("an RSA key of %d bits: want 1024 or more (RFC 8301 §3.2)", bits)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return Record{}, fmt.Errorf("encoding the RSA key: %w", err)
		}
		return Record{KeyType: RSA, PublicKey: der}, nil
	case ed25519.PublicKey:
		return Record{KeyType: Ed25519, PublicKey: slices.Clone(key)}, nil
	}
	return Record{}, fmt.Errorf("a key of type %T: want RSA or Ed25519", public)
}

// Public returns the key that the record holds. A record that is revoked, of an unknown type
// or with an unreadable key is an error.
func (r Record) Public() (crypto.PublicKey, error) {
	switch {
	case r.Revoked():
		return nil, fmt.Errorf("the key is revoked: p= is empty (RFC 6376 §3.6.1)")
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
		return nil, fmt.Errorf("the RSA key can't be read: want SubjectPublicKeyInfo in DER (RFC 6376 §3.6.1)")
	}
	return public, nil
}

// Revoked reports whether the record takes the key back (RFC 6376 §3.6.1).
func (r Record) Revoked() bool { return len(r.PublicKey) == 0 }

// Revoked returns the record that takes back a key of the type.
func Revoked(keyType string) Record { return Record{KeyType: keyType} }

// Same reports whether both texts mean the same to a verifier: notes and unknown tags do not count.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := Parse(a)
	y, errY := Parse(b)
	return errX == nil && errY == nil && x.KeyType == y.KeyType && bytes.Equal(x.PublicKey, y.PublicKey) &&
		slices.Equal(set(x.Hashes), set(y.Hashes)) && slices.Equal(set(x.Flags), set(y.Flags)) &&
		slices.Equal(services(x.Services), services(y.Services))
}

func set(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func services(list []string) []string {
	if len(list) == 0 || slices.Contains(list, "*") {
		return []string{"*"}
	}
	return set(list)
}
