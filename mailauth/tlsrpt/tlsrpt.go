package tlsrpt

import (
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth"
	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// Record is the record at _smtp._tls.<domain> (RFC 8460 §3).
type Record struct {
	// RUA are the report URIs, mailto or https, one at least.
	RUA []string
	// Extensions are other tags, in their order; receivers ignore those that they do not know.
	Extensions []Extension
}

// Extension is a tag that RFC 8460 does not define.
type Extension struct{ Name, Value string }

// SyntaxError says where a record is broken, what was expected, and which section wants it.
type SyntaxError = mailauth.SyntaxError

var format = syntax.Format{Record: "TLS-RPT record", Ref: "RFC 8460 §3", Version: "TLSRPTv1", Repeats: "rua", Literal: true}

// IsRecord reports whether txt is a TLS-RPT record, well-formed or not: it begins with v=TLSRPTv1
// and a semicolon. Senders discard all others at the name before they count (RFC 8460 §3).
func IsRecord(txt string) bool { return format.Is(txt) }

// Parse reads a record. The error is a *SyntaxError.
func Parse(txt string) (Record, error) {
	if !IsRecord(txt) {
		return Record{}, format.Fail(0, txt, "v=TLSRPTv1 and a semicolon first")
	}
	tags, err := format.Parse(txt)
	if err != nil {
		return Record{}, err
	}
	var r Record
	for _, t := range tags[1:] {
		if t.Name != "rua" {
			if !syntax.IsExtension(t) {
				return Record{}, format.Bad(t, "a name of 32 characters at most, and visible characters without ; and =")
			}
			r.Extensions = append(r.Extensions, Extension{t.Name, t.Value})
			continue
		}
		for _, uri := range format.List(t.Value, ",") {
			scheme, _, _ := strings.Cut(strings.ToLower(uri), ":")
			if !syntax.IsURI(uri) || strings.Contains(uri, "!") || scheme != "mailto" && scheme != "https" {
				return Record{}, format.Bad(t, "mailto: or https: URIs, with comma, semicolon, exclamation mark and space percent-encoded")
			}
			r.RUA = append(r.RUA, uri)
		}
	}
	if len(r.RUA) == 0 {
		return Record{}, format.Fail(len(txt), "", "the tag rua")
	}
	return r, nil
}

// String returns the record's text.
func (r Record) String() string {
	tags := []syntax.Tag{{Name: "v", Value: format.Version}, {Name: "rua", Value: strings.Join(r.RUA, ",")}}
	for _, e := range r.Extensions {
		tags = append(tags, syntax.Tag{Name: e.Name, Value: e.Value})
	}
	return syntax.Join(tags)
}

// Same reports whether both texts mean the same: reports go to the same places.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := Parse(a)
	y, errY := Parse(b)
	return errX == nil && errY == nil && slices.Equal(set(x.RUA), set(y.RUA)) && slices.Equal(x.Extensions, y.Extensions)
}

func set(uris []string) []string { return slices.Compact(slices.Sorted(slices.Values(uris))) }
