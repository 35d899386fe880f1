// Package syntax is what the record formats of e-mail security have in common: the list of
// tag=value pairs (RFC 6376 §3.2 and its descendants), and the addresses of reports.
package syntax

import (
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth"
)

// Tag is one pair of a tag list.
type Tag struct {
	Name   string
	Value  string
	Offset int // of the value
}

// Format is what the dialects of tag lists differ in.
type Format struct {
	Record  string // what it is, for errors: "SPF record"
	Ref     string // the section that defines the list
	Version string // the value of the first tag, v
	// FoldNames: names of tags are compared without regard to case, as the ABNF of DMARC has
	// them; those of DKIM are not (RFC 6376 §3.2), nor those of MTA-STS and TLS-RPT.
	FoldNames bool
	// Repeats is the tag that may stand more than once, if there is one.
	Repeats string
	// Folded: line ends count as white space, which may also stand before the first tag, as in
	// header fields (FWS, RFC 6376 §2.8). Of the others white space is SP and TAB.
	Folded bool
	// Literal: no white space stands around an equals sign, and the version is a literal that the
	// record begins with and a semicolon follows (RFC 8461 §3.1, RFC 8460 §3).
	Literal bool
}

// Is reports whether text is meant to be a record of the format: its first tag is the version,
// which is compared letter by letter.
func (f Format) Is(text string) bool {
	if f.Literal {
		rest, found := strings.CutPrefix(text, "v="+f.Version)
		return found && strings.HasPrefix(f.trim(rest), ";")
	}
	if !f.Folded && text != "" && (text[0] == ' ' || text[0] == '\t') {
		return false
	}
	first, _, _ := strings.Cut(text, ";")
	t, ok := f.tag(first, 0)
	return ok && t.Name == "v" && t.Value == f.Version
}

// MaxText is the longest text of a TXT record: its data has 16 bits for its length (RFC 1035
// §3.2.1).
const MaxText = 65535

// maxLinear is how many tags are searched one by one for one that stands twice.
const maxLinear = 16

// Parse splits a record into its tags, with the version tag first if there is one. A tag that
// stands twice is an error; an empty element is allowed only at the end.
func (f Format) Parse(text string) ([]Tag, error) {
	if len(text) > MaxText {
		return nil, f.Fail(MaxText, text[MaxText:], "65535 octets at most, as in any TXT record")
	}
	tags := make([]Tag, 0, min(maxLinear, 1+strings.Count(text, ";")))
	var seen map[string]bool // beyond maxLinear
	for offset := 0; offset <= len(text); {
		part := text[offset:]
		if end := strings.IndexByte(part, ';'); end >= 0 {
			part = part[:end]
		}
		next := offset + len(part) + 1
		t, ok := f.tag(part, offset)
		switch {
		case f.trim(part) == "":
			if next <= len(text) || len(tags) == 0 {
				return nil, f.Fail(offset, part, "a tag between the semicolons")
			}
			offset = next
			continue
		case !ok:
			return nil, f.Fail(offset, part, "name=value")
		case t.Name != f.Repeats && (seen[t.Name] || seen == nil && slices.ContainsFunc(tags, func(o Tag) bool { return o.Name == t.Name })):
			return nil, f.Fail(offset, part, "the tag "+t.Name+" only once")
		}
		tags = append(tags, t)
		switch {
		case seen != nil:
			seen[t.Name] = true
		case len(tags) == maxLinear:
			seen = make(map[string]bool, len(tags)+1)
			for _, o := range tags {
				seen[o.Name] = true
			}
		}
		offset = next
	}
	return tags, nil
}

// Tolerate splits a record into the tags that can be read, and leaves out the rest.
func (f Format) Tolerate(text string) []Tag {
	var tags []Tag
	offset := 0
	for part := range strings.SplitSeq(text, ";") {
		if t, ok := f.tag(part, offset); ok {
			tags = append(tags, t)
		}
		offset += len(part) + 1
	}
	return tags
}

// tag reads one element of a list, which stands at offset.
func (f Format) tag(part string, offset int) (Tag, bool) {
	equals := strings.IndexByte(part, '=')
	if equals < 0 {
		return Tag{}, false
	}
	name, value := f.trim(part[:equals]), part[equals+1:]
	trimmed := strings.TrimLeft(value, f.space())
	at := offset + equals + 1 + len(value) - len(trimmed)
	if f.Literal && (!strings.HasSuffix(part[:equals], name) || trimmed != value) {
		return Tag{}, false
	}
	if f.FoldNames {
		name = strings.ToLower(name)
	}
	return Tag{Name: name, Value: f.trim(value), Offset: at}, isName(name)
}

// Fail returns the error for a part of the text.
func (f Format) Fail(offset int, text, want string) error {
	return &mailauth.SyntaxError{Record: f.Record, Offset: offset, Text: text, Want: want, Ref: f.Ref}
}

// Bad returns the error for a tag's value.
func (f Format) Bad(t Tag, want string) error {
	return f.Fail(t.Offset, t.Value, t.Name+"= with "+want)
}

// Join puts tags back together.
func Join(tags []Tag) string {
	var b strings.Builder
	for i, t := range tags {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(t.Name + "=" + t.Value)
	}
	return b.String()
}

// List splits a value at the separator, without the white space around its elements.
func (f Format) List(value, separator string) []string {
	var list []string
	for part := range strings.SplitSeq(value, separator) {
		list = append(list, f.trim(part))
	}
	return list
}

// IsExtension reports whether a tag follows the grammar of extensions that MTA-STS and TLS-RPT
// share (RFC 8461 §3.1, RFC 8460 §3).
func IsExtension(t Tag) bool {
	if !IsExtensionName(t.Name) || t.Value == "" {
		return false
	}
	for i := range len(t.Value) {
		if c := t.Value[i]; c <= ' ' || c > '~' || c == ';' || c == '=' {
			return false
		}
	}
	return true
}

// IsExtensionName reports whether an extension may have the name.
func IsExtensionName(name string) bool { return len(name) <= 32 && isName(name) }

func (f Format) space() string {
	if f.Folded {
		return " \t\r\n"
	}
	return " \t"
}

func (f Format) trim(s string) string { return strings.Trim(s, f.space()) }

// isName: letters, digits and, behind the first, "_" and the hyphen and dot of RFC 8461's names.
func isName(s string) bool {
	if s == "" || s[0] == '_' || s[0] == '-' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
