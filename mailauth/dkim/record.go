package dkim

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth"
	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// The key types.
const (
	RSA     = "rsa"
	Ed25519 = "ed25519" // RFC 8463
)

// Record is a key record (RFC 6376 §3.6.1). The zero value of a field means that its tag is
// absent, with two exceptions: Parse sets KeyType to rsa where k is absent, and p is in every
// record. The zero Record revokes an RSA key.
type Record struct {
	KeyType string // k; "" is read as rsa
	// PublicKey is p, decoded: for rsa a SubjectPublicKeyInfo in DER, for ed25519 the 32
	// octets of the key. Empty: the key is revoked.
	PublicKey []byte
	Hashes    []string // h; absent: all
	Services  []string // s; absent: all ("*")
	Flags     []string // t: y (testing), s (no subdomains)
	Notes     string   // n, for people; in quoted-printable, so without semicolons
	// Extensions are other tags, in their order; verifiers ignore them.
	Extensions []Extension
}

// Extension is a tag that RFC 6376 does not define for key records.
type Extension struct{ Name, Value string }

// SyntaxError says where a text is broken, what was expected, and which section wants it.
type SyntaxError = mailauth.SyntaxError

var format = syntax.Format{Record: "DKIM key record", Ref: "RFC 6376 §3.6.1", Version: "DKIM1", Folded: true}

// IsRecord reports whether txt is meant to be a key record, well-formed or not: its version is
// one of DKIM, or it has none, which is allowed, and a tag p.
func IsRecord(txt string) bool {
	first, _, _ := strings.Cut(txt, ";")
	if name, version, found := strings.Cut(first, "="); found && strings.TrimSpace(name) == "v" {
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(version)), "dkim")
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
	for i, t := range tags {
		if t.Name == "v" && (i > 0 || t.Value != format.Version) {
			return Record{}, format.Bad(t, "DKIM1, as the first tag")
		}
		if err := r.set(t); err != nil {
			return Record{}, err
		}
	}
	if _, found := find(tags, "p"); !found {
		return Record{}, format.Fail(len(txt), "", "the tag p")
	}
	return r, nil
}

func (r *Record) set(t syntax.Tag) (err error) {
	switch t.Name {
	case "v": // which Parse has judged
	case "k":
		if r.KeyType = t.Value; !isWord(r.KeyType) {
			return format.Bad(t, "a key type, rsa or ed25519")
		}
	case "p":
		if r.PublicKey, err = decode64(t.Value); err != nil {
			return format.Bad(t, "base64")
		}
	case "h":
		r.Hashes, err = words(t, "sha256")
	case "s":
		r.Services, err = words(t, "email")
	case "t":
		r.Flags, err = words(t, "y")
	case "n":
		if r.Notes = t.Value; !isPlain(r.Notes) {
			return format.Bad(t, "ASCII, other characters in quoted-printable")
		}
	default:
		if !isTagName(t.Name) || !isPlain(t.Value) {
			return format.Bad(t, "a name of letters, digits and _, and a value in ASCII")
		}
		r.Extensions = append(r.Extensions, Extension{t.Name, t.Value})
	}
	return err
}

// words splits a list at its colons. An empty list or element is none of the grammar's. The case of
// its words counts (RFC 6376 §3.2).
func words(t syntax.Tag, example string) ([]string, error) {
	list := format.List(t.Value, ":")
	for _, word := range list {
		if !isWord(word) && (word != "*" || t.Name != "s") {
			return nil, format.Bad(t, "words such as "+example+", colons between them")
		}
	}
	return list, nil
}

// find returns the tag of a name.
func find(tags []syntax.Tag, name string) (syntax.Tag, bool) {
	for _, t := range tags {
		if t.Name == name {
			return t, true
		}
	}
	return syntax.Tag{}, false
}

// unfold takes out the white space that may stand inside base64 (RFC 6376 §2.10).
var unfold = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")

// decode64 reads a base64string (RFC 6376 §2.10), whose padding is optional.
func decode64(s string) ([]byte, error) {
	s = unfold.Replace(s)
	if strings.HasSuffix(s, "=") {
		return base64.StdEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// isWord: a hyphenated-word (RFC 6376 §2.10).
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (i == 0 || !isDigit(c) && (c != '-' || i == len(s)-1)) {
			return false
		}
	}
	return s != ""
}

// isTagName: a tag-name (RFC 6376 §3.2); that it has no other characters is seen before.
func isTagName(s string) bool { return isLetter(s[0]) && !strings.ContainsAny(s, "-.") }

// isPlain: a tag-value (RFC 6376 §3.2), which is ASCII without control characters.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && !strings.ContainsRune("\t\r\n", rune(c)) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

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

// Revoked reports whether the record takes the key back (RFC 6376 §3.6.1).
func (r Record) Revoked() bool { return len(r.PublicKey) == 0 }

// Revoked returns the record that takes back a key of the type.
func Revoked(keyType string) Record { return Record{KeyType: keyType} }

// Same reports whether both texts mean the same to every verifier: notes and unknown tags do not
// count. A record without v is another one than with it, since some verifiers ignore it.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := Parse(a)
	y, errY := Parse(b)
	return errX == nil && errY == nil && format.Is(a) == format.Is(b) && x.KeyType == y.KeyType && bytes.Equal(x.PublicKey, y.PublicKey) &&
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
