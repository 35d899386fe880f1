package mtasts

import (
	"github.com/maildomain/maildomain-operator/mailauth"
	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// Record is the TXT record at _mta-sts.<domain> (RFC 8461 §3.1). It says that there is a
// policy, and when it has changed.
type Record struct {
	// ID changes with the policy: 1 to 32 letters and digits.
	ID string
	// Extensions are other fields, in their order; senders ignore those that they do not know.
	Extensions []Extension
}

// Extension is a field that RFC 8461 does not define.
type Extension struct{ Name, Value string }

// SyntaxError says where a record or policy is broken, what was expected, and which section wants it.
type SyntaxError = mailauth.SyntaxError

var format = syntax.Format{Record: "MTA-STS record", Ref: "RFC 8461 §3.1", Version: "STSv1", Literal: true}

// IsRecord reports whether txt is an MTA-STS record, well-formed or not: it begins with v=STSv1 and
// a semicolon. Senders discard all others at the name before they count (RFC 8461 §3.1).
func IsRecord(txt string) bool { return format.Is(txt) }

// ParseRecord reads a TXT record. The error is a *SyntaxError.
func ParseRecord(txt string) (Record, error) {
	if !IsRecord(txt) {
		return Record{}, format.Fail(0, txt, "v=STSv1 and a semicolon first")
	}
	tags, err := format.Parse(txt)
	if err != nil {
		return Record{}, err
	}
	var r Record
	for _, t := range tags[1:] {
		if t.Name != "id" {
			if !syntax.IsExtension(t) {
				return Record{}, format.Bad(t, "a name of 32 characters at most, and visible characters without ; and =")
			}
			r.Extensions = append(r.Extensions, Extension{t.Name, t.Value})
			continue
		}
		if !isID(t.Value) {
			return Record{}, format.Bad(t, "1 to 32 letters and digits")
		}
		r.ID = t.Value
	}
	if r.ID == "" {
		return Record{}, format.Fail(len(txt), "", "the tag id")
	}
	return r, nil
}

// String returns the record's text.
func (r Record) String() string {
	tags := []syntax.Tag{{Name: "v", Value: format.Version}, {Name: "id", Value: r.ID}}
	for _, e := range r.Extensions {
		tags = append(tags, syntax.Tag{Name: e.Name, Value: e.Value})
	}
	return syntax.Join(tags)
}

// Same reports whether both texts announce the same id.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := ParseRecord(a)
	y, errY := ParseRecord(b)
	return errX == nil && errY == nil && x.ID == y.ID
}

func isID(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
