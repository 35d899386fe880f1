package dkim

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// Signature is the value of a DKIM-Signature header field (RFC 6376 §3.5).
type Signature struct {
	Algorithm string // a, such as rsa-sha256
	Signature []byte // b
	BodyHash  []byte // bh
	// HeaderCanonicalization and BodyCanonicalization are c: simple or relaxed.
	HeaderCanonicalization, BodyCanonicalization string

	Domain   string   // d, which answers for the message
	Selector string   // s
	Headers  []string // h: the names of the signed header fields, in their order
	Identity string   // i, decoded: for whom the domain signs; absent: "@" and the domain
	// BodyLength is l: how many octets of the body are signed. nil: all.
	BodyLength *uint64
	Signed     time.Time // t; zero: not stated
	Expires    time.Time // x; zero: never
}

// KeyName is the name in DNS that has the key record (RFC 6376 §3.6.2.1).
func (s Signature) KeyName() string { return s.Selector + "._domainkey." + s.Domain }

var signatureFormat = syntax.Format{Record: "DKIM signature", Ref: "RFC 6376 §3.5", Version: "1", Folded: true}

// ParseSignature reads the value of a DKIM-Signature header field, folded or not. The error is a
// *SyntaxError. A signature that no verifier would look at any further for what it says by itself (RFC
// 6376 §6.1.1) is an error, even if each of its tags can be read. Not so one that has expired, or
// whose algorithm is unknown or too weak: for that see LintSignature, and ask a verifier. z and
// unknown tags are left out.
func ParseSignature(value string) (Signature, error) {
	if len(value) > syntax.MaxText {
		return Signature{}, signatureFormat.Fail(syntax.MaxText, value[syntax.MaxText:], "65535 octets at most")
	}
	tags, err := signatureFormat.Parse(value)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{HeaderCanonicalization: "simple", BodyCanonicalization: "simple"}
	for _, t := range tags {
		if err := s.set(t); err != nil {
			return Signature{}, err
		}
	}
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if _, found := find(tags, name); !found {
			return Signature{}, signatureFormat.Fail(len(value), "", "the tag "+name)
		}
	}
	if err := s.agree(tags); err != nil {
		return Signature{}, err
	}
	return s, nil
}

func (s *Signature) set(t syntax.Tag) error {
	switch t.Name {
	case "v":
		if t.Value != signatureFormat.Version {
			return signatureFormat.Bad(t, "1")
		}
	case "a":
		s.Algorithm = strings.ToLower(t.Value)
		key, hash, _ := strings.Cut(s.Algorithm, "-")
		if !isWord(key) || !isWord(hash) || strings.Contains(hash, "-") {
			return signatureFormat.Bad(t, "an algorithm, such as rsa-sha256")
		}
	case "b":
		return octets(t, &s.Signature)
	case "bh":
		return octets(t, &s.BodyHash)
	case "c":
		header, body, both := strings.Cut(strings.ToLower(t.Value), "/")
		if !both {
			body = "simple"
		}
		if !isWord(header) || !isWord(body) {
			return signatureFormat.Bad(t, "one or two of simple and relaxed, with a slash between them")
		}
		s.HeaderCanonicalization, s.BodyCanonicalization = header, body
	case "d":
		if s.Domain = t.Value; !isDomain(s.Domain) {
			return signatureFormat.Bad(t, "a domain name")
		}
	case "s":
		if s.Selector = t.Value; !areLabels(s.Selector) {
			return signatureFormat.Bad(t, "a selector, of one or more labels")
		}
	case "h":
		s.Headers = signatureFormat.List(t.Value, ":")
		if slices.ContainsFunc(s.Headers, func(name string) bool { return !isFieldName(name) }) {
			return signatureFormat.Bad(t, "names of header fields with colons between them")
		}
	case "i":
		var ok bool
		if s.Identity, ok = unquote(unfold.Replace(t.Value)); !ok {
			return signatureFormat.Bad(t, "quoted-printable")
		}
	case "l":
		length, err := strconv.ParseUint(t.Value, 10, 64)
		if err != nil {
			return signatureFormat.Bad(t, "a number of octets")
		}
		s.BodyLength = &length
	case "q":
		if !slices.Contains(signatureFormat.List(strings.ToLower(t.Value), ":"), "dns/txt") {
			return signatureFormat.Bad(t, "dns/txt, the one method that there is")
		}
	case "t":
		return seconds(t, &s.Signed)
	case "x":
		return seconds(t, &s.Expires)
	default:
		if !isTagName(t.Name) {
			return signatureFormat.Bad(t, "a name of letters, digits and _")
		}
	}
	return nil
}

// hashSizes are how many octets the hashes have.
var hashSizes = map[string]int{"sha1": 20, "sha256": 32}

// agree checks what the tags have to do with each other.
func (s *Signature) agree(tags []syntax.Tag) error {
	_, hash, _ := strings.Cut(s.Algorithm, "-")
	if size, known := hashSizes[hash]; known && len(s.BodyHash) != size {
		t, _ := find(tags, "bh")
		return signatureFormat.Bad(t, strconv.Itoa(size)+" octets, as "+hash+" has, in base64")
	}
	if !slices.ContainsFunc(s.Headers, func(name string) bool { return strings.EqualFold(name, "from") }) {
		t, _ := find(tags, "h")
		return &SyntaxError{Record: signatureFormat.Record, Offset: t.Offset, Text: t.Value, Want: "h= with From", Ref: "RFC 6376 §5.4"}
	}
	if t, found := find(tags, "i"); found {
		at := strings.LastIndexByte(s.Identity, '@')
		below := strings.ToLower("." + s.Identity[at+1:])
		if at < 0 || !isDomain(s.Identity[at+1:]) || !strings.HasSuffix(below, "."+strings.ToLower(s.Domain)) {
			return signatureFormat.Bad(t, "an address at "+s.Domain+" or below it")
		}
	} else {
		s.Identity = "@" + s.Domain
	}
	if t, found := find(tags, "x"); found && !s.Signed.IsZero() && !s.Expires.After(s.Signed) {
		return signatureFormat.Bad(t, "a time after that of t=")
	}
	return nil
}

func octets(t syntax.Tag, into *[]byte) (err error) {
	if *into, err = decode64(t.Value); err != nil || len(*into) == 0 {
		return signatureFormat.Bad(t, "base64")
	}
	return nil
}

func seconds(t syntax.Tag, into *time.Time) error {
	n, err := strconv.ParseUint(t.Value, 10, 64)
	if err != nil || len(t.Value) > 12 {
		return signatureFormat.Bad(t, "seconds since 1970, of 12 digits at most")
	}
	*into = time.Unix(int64(n), 0).UTC()
	return nil
}

// unquote decodes quoted-printable as DKIM has it (RFC 6376 §2.11).
func unquote(s string) (string, bool) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "=")
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		c, err := strconv.ParseUint(rest[:min(2, len(rest))], 16, 8)
		if err != nil || len(rest) < 2 {
			return "", false
		}
		b.WriteByte(byte(c))
		s = rest[2:]
	}
}

func isDomain(s string) bool { return strings.Contains(s, ".") && len(s) <= 253 && areLabels(s) }

// areLabels: one or more labels, in ASCII or, as internationalized messages have them, in UTF-8
// (RFC 8616 §5).
func areLabels(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' && c < utf8.RuneSelf {
				return false
			}
		}
	}
	return utf8.ValidString(s)
}

// isFieldName: the name of a header field (RFC 5322 §3.6.8).
func isFieldName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return s != ""
}
