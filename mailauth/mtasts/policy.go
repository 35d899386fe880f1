package mtasts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// Mode is what a sender does if an MX host fails the policy (RFC 8461 §5).
type Mode string

const (
	Enforce Mode = "enforce" // does not deliver
	Testing Mode = "testing" // delivers, and reports
	None    Mode = "none"    // there is no policy any more
)

// MaxMaxAge is the longest time that a policy can last, a year (RFC 8461 §3.2).
const MaxMaxAge = 31557600 * time.Second

// Policy is a policy file (RFC 8461 §3.2).
type Policy struct {
	Mode   Mode
	MaxAge time.Duration // in whole seconds, 0 to MaxMaxAge
	// MX are host names, or *.name for any one label before name; none only with mode none.
	MX []string
	// Extensions are other fields, in their order; senders ignore those that they do not know.
	Extensions []Extension
}

const policyRef = "RFC 8461 §3.2"

// MaxPolicy is the longest policy file that senders have to read, in octets (RFC 8461 §3.3).
const MaxPolicy = 64 << 10

// ParsePolicy reads a policy file: fields in any order, on lines that end in CRLF or LF. Empty
// lines are passed over, and of fields that stand twice, except mx, all but the first. The error
// is a *SyntaxError.
func ParsePolicy(body string) (Policy, error) {
	var p Policy
	seen := map[string]bool{}
	fail := func(offset int, text, want string) (Policy, error) {
		return Policy{}, &SyntaxError{Record: "MTA-STS policy", Offset: offset, Text: text, Want: want, Ref: policyRef}
	}
	if len(body) > MaxPolicy {
		return fail(MaxPolicy, body[MaxPolicy:], "64 KiB at most")
	}
	offset := 0
	for line := range strings.SplitAfterSeq(body, "\n") {
		at := offset
		offset += len(line)
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " \t")
		if !found {
			return fail(at, line, "key: value")
		}
		if seen[name] && name != "mx" {
			continue
		}
		seen[name] = true
		switch name {
		case "version":
			if value != "STSv1" {
				return fail(at, line, "version: STSv1")
			}
		case "mode":
			p.Mode = Mode(value)
			if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
				return fail(at, line, "mode: enforce, testing or none")
			}
		case "max_age":
			seconds, err := strconv.ParseUint(value, 10, 64)
			if err != nil || len(value) > 10 || seconds > uint64(MaxMaxAge/time.Second) {
				return fail(at, line, "max_age: 0 to 31557600 seconds")
			}
			p.MaxAge = time.Duration(seconds) * time.Second
		case "mx":
			if !isPattern(value) {
				return fail(at, line, "mx: a host name, or *. and a host name")
			}
			p.MX = append(p.MX, value)
		default:
			if !isExtension(name, value) {
				return fail(at, line, "a key of letters, digits, _, - and ., 32 at most, and a value")
			}
			p.Extensions = append(p.Extensions, Extension{name, value})
		}
	}
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return fail(len(body), "", "a line "+name)
		}
	}
	if len(p.MX) == 0 && p.Mode != None {
		return fail(len(body), "", "a line mx, unless the mode is none")
	}
	return p, nil
}

// isExtension: a field that senders ignore, as the grammar has it: visible characters in UTF-8, with
// spaces between them.
func isExtension(name, value string) bool {
	return syntax.IsExtensionName(name) && value != "" && value == strings.Trim(value, " ") && utf8.ValidString(value) &&
		!strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// String returns the policy file, with CRLF at the end of each line.
func (p Policy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", p.Mode)
	for _, mx := range p.MX {
		fmt.Fprintf(&b, "mx: %s\r\n", mx)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", int64(p.MaxAge/time.Second))
	for _, e := range p.Extensions {
		fmt.Fprintf(&b, "%s: %s\r\n", e.Name, e.Value)
	}
	return b.String()
}

// Validate says what keeps the policy from being a valid file; nil: nothing.
func (p Policy) Validate() error {
	switch {
	case p.Mode != Enforce && p.Mode != Testing && p.Mode != None:
		return fmt.Errorf("mode %q: want enforce, testing or none (%s)", p.Mode, policyRef)
	case p.MaxAge < 0 || p.MaxAge > MaxMaxAge || p.MaxAge%time.Second != 0:
		return fmt.Errorf("max_age %s: want whole seconds from 0 to 31557600 (%s)", p.MaxAge, policyRef)
	case p.Mode != None && len(p.MX) == 0:
		return fmt.Errorf("no mx: want one at least with mode %s (%s)", p.Mode, policyRef)
	}
	for _, mx := range p.MX {
		if !isPattern(mx) {
			return fmt.Errorf("mx %q: want a host name, or *. and a host name (%s)", mx, policyRef)
		}
	}
	for _, e := range p.Extensions {
		if slices.Contains([]string{"version", "mode", "max_age", "mx"}, e.Name) || !isExtension(e.Name, e.Value) {
			return fmt.Errorf("field %q with %q: want a key of its own, of 32 letters, digits, _, - and . at most, and a value (%s)", e.Name, e.Value, policyRef)
		}
	}
	if size := len(p.String()); size > MaxPolicy {
		return fmt.Errorf("a file of %d octets: want 64 KiB at most (RFC 8461 §3.3)", size)
	}
	return nil
}

// ID returns an id for the policy's TXT record: a hash of the file, so that two policies have
// the same id exactly if they are the same.
func (p Policy) ID() string {
	sum := sha256.Sum256([]byte(p.String()))
	return hex.EncodeToString(sum[:16])
}

// Covers reports whether the host of an MX record is one of the policy's (RFC 8461 §4.1): by
// name, or by a wildcard that stands for exactly one label. Both are in A-labels, as DNS has them.
func (p Policy) Covers(host string) bool {
	host = fold(host)
	label, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		pattern = fold(pattern)
		suffix, wild := strings.CutPrefix(pattern, "*.")
		if wild {
			return label != "" && parent == suffix
		}
		return host == pattern
	})
}

// CoversAll reports whether every host that one of the patterns covers is covered by the policy.
func (p Policy) CoversAll(patterns []string) bool {
	return !slices.ContainsFunc(patterns, func(pattern string) bool { return !p.coversPattern(pattern) })
}

func (p Policy) coversPattern(pattern string) bool {
	if strings.HasPrefix(pattern, "*.") {
		return slices.ContainsFunc(p.MX, func(own string) bool { return fold(own) == fold(pattern) })
	}
	return p.Covers(pattern)
}

func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isPattern: sts-policy-mx-value, a domain name of A-labels with or without "*." before it.
func isPattern(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' {
				return false
			}
		}
	}
	return true
}
