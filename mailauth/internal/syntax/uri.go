package syntax

import (
	"net/url"
	"strings"
)

// IsURI reports whether s can stand in a list of report addresses: a scheme, something after
// it, and none of the characters that separate (RFC 3986 wants those encoded). A mailto URI leads
// to an address, one of the web to a host.
func IsURI(s string) bool {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || scheme == "" || rest == "" || !isLetter(scheme[0]) {
		return false
	}
	for i := range len(scheme) {
		if c := scheme[i]; !isLetter(c) && !isDigit(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7f || c == ',' || c == ';' {
			return false
		}
	}
	switch strings.ToLower(scheme) {
	case "mailto", "http", "https":
		_, ok := Host(s)
		return ok
	}
	return true
}

// Host returns the domain that a report URI leads to: of the address of a mailto URI, or the host
// of another one, without the size that RFC 7489 allowed behind "!". ok is false if there is none.
func Host(uri string) (host string, ok bool) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", false
	}
	if host = u.Hostname(); u.Scheme == "mailto" {
		at := strings.LastIndexByte(u.Opaque, '@')
		if at < 1 {
			return "", false
		}
		host = u.Opaque[at+1:]
	}
	host, _, _ = strings.Cut(host, "!")
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	host = strings.TrimPrefix(strings.Trim(host, "[]"), "ipv6:") // an address (RFC 5321 §4.1.3)
	return host, host != ""
}
