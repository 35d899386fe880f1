package spf

import (
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// isDomainSpec: a macro-string that ends in a macro or in a dot and a top label (RFC 7208 §7.1).
func isDomainSpec(s string) bool {
	last, ok := scanMacros(s, macroLetters)
	if s == "" || !ok {
		return false
	}
	if last == len(s) {
		return true
	}
	s = strings.TrimSuffix(s[last:], ".")
	dot := strings.LastIndexByte(s, '.') // the macro-string before it may be empty
	return dot >= 0 && isTopLabel(s[dot+1:])
}

// isTopLabel: letters, digits and inner hyphens, not digits alone.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	digits := true
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && !isDigit(c) && c != '-' {
			return false
		}
		digits = digits && isDigit(c)
	}
	return !digits
}

// hasMacro reports whether the name depends on the message, so that it can't be looked up
// without one.
func hasMacro(s string) bool { return strings.Contains(s, "%") }

// The letters of §7.2; those of the second list stand only in explanations.
const (
	macroLetters       = "slodiphv"
	explanationLetters = macroLetters + "crt"
)

// isMacroString: visible ASCII, where % only begins a macro.
func isMacroString(s string) bool {
	_, ok := scanMacros(s, macroLetters)
	return ok
}

// isExplanation: what isMacroString allows, all macro letters, and spaces (§6.2).
func isExplanation(s string) bool {
	_, ok := scanMacros(strings.ReplaceAll(s, " ", "_"), explanationLetters)
	return ok
}

// scanMacros checks a macro-string and returns where its last macro ends, 0 if it has none.
func scanMacros(s, letters string) (last int, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return 0, false
		}
		if s[i] != '%' {
			continue
		}
		n := macroLen(s[i:], letters)
		if n == 0 {
			return 0, false
		}
		i += n - 1
		last = i + 1
	}
	return last, true
}

const delimiters = ".-+,/_="

// macroLen is the length of the macro that s begins with, 0 if it is none:
// "%{" letter *digit ["r"] *delimiter "}", "%%", "%_" or "%-".
func macroLen(s, letters string) int {
	if len(s) < 2 {
		return 0
	}
	if s[1] == '%' || s[1] == '_' || s[1] == '-' {
		return 2
	}
	if s[1] != '{' || len(s) < 4 || strings.IndexByte(letters, s[2]|0x20) < 0 || !isLetter(s[2]) {
		return 0
	}
	i := 3
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if digits := s[3:i]; digits != "" && strings.Trim(digits, "0") == "" {
		return 0 // §7.3: zero labels can't be asked for
	}
	if i < len(s) && s[i]|0x20 == 'r' {
		i++
	}
	for i < len(s) && strings.IndexByte(delimiters, s[i]) >= 0 {
		i++
	}
	if i == len(s) || s[i] != '}' {
		return 0
	}
	return i + 1
}

// target is the name that a domain-spec stands for, "" the domain of the record itself. It may
// be no name at all; nothing stands there, then.
func (e *evaluation) target(spec, domain string) string {
	if spec == "" {
		return domain
	}
	var name []byte
	for part := range e.expand(spec, domain) {
		name = append(name, part...)
		if len(name) > 16*maxName {
			name = append(name[:0], name[len(name)-maxName-2:]...) // labels go from the left, see below
		}
	}
	return cutLabels(strings.TrimSuffix(string(name), "."))
}

// cutLabels takes labels from the left until the name is short enough (§7.3).
func cutLabels(name string) string {
	for len(name) > maxName {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			return ""
		}
		name = rest
	}
	return name
}

// expand puts in what the macros of a checked macro-string stand for (§7.2), part by part. domain
// is that of the record that holds it.
func (e *evaluation) expand(s, domain string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s != "" {
			before, length := s, 0
			if i := strings.IndexByte(s, '%'); i >= 0 {
				before = s[:i]
				length = macroLen(s[i:], explanationLetters)
			}
			macro := s[len(before) : len(before)+length]
			s = s[len(before)+length:]
			value := ""
			switch {
			case length == 0:
				s = "" // there is no further macro, as the string is checked
			case macro[1] == '%':
				value = "%"
			case macro[1] == '_':
				value = " "
			case macro[1] == '-':
				value = "%20"
			default:
				value = e.macro(macro[2:length-1], domain)
			}
			if !yield(before) || !yield(value) {
				return
			}
		}
	}
}

// macro is what the inside of "%{…}" stands for.
func (e *evaluation) macro(m, domain string) string {
	value := e.macroValue(m[0]|0x20, domain)
	transformers := m[1:]
	digits := 0
	for digits < len(transformers) && isDigit(transformers[digits]) {
		digits++
	}
	keep, err := strconv.Atoi(transformers[:digits])
	if err != nil {
		keep = 0 // none asked for, or more than there can be
	}
	split := transformers[digits:]
	reverse := split != "" && split[0]|0x20 == 'r'
	if reverse {
		split = split[1:]
	}
	if digits > 0 || reverse || split != "" {
		if split == "" {
			split = "."
		}
		parts := fieldsKeepingEmpty(value, split)
		if reverse {
			slices.Reverse(parts)
		}
		if keep > 0 && keep < len(parts) {
			parts = parts[len(parts)-keep:]
		}
		value = strings.Join(parts, ".")
	}
	if m[0] < 'a' {
		value = escape(value)
	}
	return value
}

func (e *evaluation) macroValue(letter byte, domain string) string {
	switch letter {
	case 's':
		return e.local + "@" + e.sender
	case 'l':
		return e.local
	case 'o':
		return e.sender
	case 'd':
		return domain
	case 'i':
		return dotted(e.ip.AsSlice())
	case 'p':
		return e.name(domain)
	case 'v':
		if e.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return e.helo
	case 'c':
		return e.ip.String()
	case 'r':
		if e.Receiver == "" {
			return "unknown"
		}
		return e.Receiver
	case 't':
		if e.Time.IsZero() {
			return "0"
		}
		return strconv.FormatInt(e.Time.Unix(), 10)
	}
	return ""
}

// name is %{p}: the domain itself if it is a validated name of the host, else one below it, else
// any (§7.3).
func (e *evaluation) name(domain string) string {
	names := e.validated()
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, domain) }); i >= 0 {
		return names[i]
	}
	if i := slices.IndexFunc(names, func(n string) bool { return within(n, domain) }); i >= 0 {
		return names[i]
	}
	if len(names) > 0 {
		return names[0]
	}
	return "unknown"
}

// dotted writes an address as %{i} wants it: octets in decimal, or nibbles in hexadecimal. The
// suite of RFC 7208 wants the latter in capitals; DNS does not mind.
func dotted(ip []byte) string {
	parts := make([]string, 0, 32)
	for _, octet := range ip {
		if len(ip) == 4 {
			parts = append(parts, strconv.Itoa(int(octet)))
		} else {
			const digits = "0123456789ABCDEF"
			parts = append(parts, digits[octet>>4:][:1], digits[octet&0xf:][:1])
		}
	}
	return strings.Join(parts, ".")
}

// fieldsKeepingEmpty splits at each of the separators.
func fieldsKeepingEmpty(s, separators string) []string {
	var parts []string
	for {
		i := strings.IndexAny(s, separators)
		if i < 0 {
			return append(parts, s)
		}
		parts, s = append(parts, s[:i]), s[i+1:]
	}
}

// escape is URL encoding of all but unreserved characters (§7.3, RFC 3986 §2.3).
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
