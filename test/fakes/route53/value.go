package route53

import (
	"net/netip"
	"strings"
)

const (
	maxValue  = 4000 // characters, API Reference, ResourceRecord
	maxString = 255  // octets, RFC 1035 §3.3
)

// checkValue says what is wrong with the value of a record. Types that no test writes are not
// looked at.
func checkValue(rrtype, value string) string {
	if len([]rune(value)) > maxValue {
		return "TXTRDATATooLong (Value is too long)"
	}
	switch rrtype {
	case "TXT", "SPF":
		_, reason := readStrings(value)
		return reason
	case "A":
		if addr, err := netip.ParseAddr(value); err != nil || !addr.Is4() {
			return "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
		}
	case "AAAA":
		if addr, err := netip.ParseAddr(value); err != nil || !addr.Is6() || addr.Zone() != "" {
			return "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
		}
	case "CNAME", "NS", "PTR":
		if _, err := normal(value); err != nil {
			return "RRDATANotSingleField (Value is not a domain name)"
		}
	}
	return ""
}

// readStrings reads the value of a TXT record: quoted strings with white space between them, each
// of at most 255 octets; a quote and a backslash behind a backslash, and what is not printable
// ASCII as three octal digits behind one (Developer Guide, "TXT record type").
func readStrings(value string) (strs []string, reason string) {
	for rest := strings.TrimLeft(value, " \t"); rest != "" || len(strs) == 0; {
		if !strings.HasPrefix(rest, `"`) {
			return nil, "InvalidCharacterString (Value should be enclosed in quotation marks)"
		}
		var text []byte
		i := 1
		for {
			if i >= len(rest) {
				return nil, "InvalidCharacterString (Value should be enclosed in quotation marks)"
			}
			c := rest[i]
			if c == '"' {
				i++
				break
			}
			switch {
			case c != '\\' && (c < ' ' || c > '~'):
				return nil, "InvalidCharacterString (Value has a character that must be escaped)"
			case c != '\\':
				text = append(text, c)
				i++
			case i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
				text = append(text, rest[i+1])
				i += 2
			default:
				octet, ok := octal(rest[i+1:])
				if !ok {
					return nil, "UnsupportedEscape (Value has an escape that is not octal)"
				}
				text = append(text, octet)
				i += 4
			}
		}
		if len(text) > maxString {
			return nil, "CharacterStringTooLong (Value is too long)"
		}
		strs = append(strs, string(text))
		after := strings.TrimLeft(rest[i:], " \t")
		if after != "" && len(after) == len(rest[i:]) {
			return nil, "InvalidCharacterString (Strings should be separated by white space)"
		}
		rest = after
	}
	return strs, ""
}
