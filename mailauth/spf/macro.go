package spf

import "strings"

// isDomainSpec: a macro-string that ends in a macro or in a dot and a top label (RFC 7208 §7.1).
func isDomainSpec(s string) bool {
	if s == "" || !isMacroString(s) {
		return false
	}
	if strings.HasSuffix(s, "}") || strings.HasSuffix(s, "%%") || strings.HasSuffix(s, "%_") || strings.HasSuffix(s, "%-") {
		return strings.Contains(s, "%")
	}
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	return dot > 0 && isTopLabel(s[dot+1:])
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

// isMacroString: visible ASCII, where % only begins a macro.
func isMacroString(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
		if s[i] != '%' {
			continue
		}
		n := macroLen(s[i:])
		if n == 0 {
			return false
		}
		i += n - 1
	}
	return true
}

// macroLen is the length of the macro that s begins with, 0 if it is none:
// "%{" letter *digit ["r"] *delimiter "}", "%%", "%_" or "%-".
func macroLen(s string) int {
	if len(s) < 2 {
		return 0
	}
	if s[1] == '%' || s[1] == '_' || s[1] == '-' {
		return 2
	}
	if s[1] != '{' || len(s) < 4 || !strings.ContainsRune("slodiphcrtv", rune(s[2]|0x20)) {
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
	for i < len(s) && strings.IndexByte(".-+,/_=", s[i]) >= 0 {
		i++
	}
	if i == len(s) || s[i] != '}' {
		return 0
	}
	return i + 1
}
