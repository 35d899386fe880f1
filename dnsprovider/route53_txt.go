package dnsprovider

import (
	"errors"
	"strings"
)

// Route 53 writes texts as zone files do, "quoted" "strings", but its escapes are octal: \DDD is
// three octal digits, where RFC 1035 §5.1 has decimal ones. In texts it wants printable ASCII as it
// is and all other octets escaped (Developer Guide, "TXT record type"); in names it writes, and
// we read, escapes for what is not a-z, 0-9, hyphen or underscore ("DNS domain name format").

// quoteRoute53 writes a text as the value of a TXT record, in as few strings as it needs.
func quoteRoute53(text string) string {
	var b strings.Builder
	for first := true; first || text != ""; first = false {
		if !first {
			b.WriteByte(' ')
		}
		n := min(len(text), maxCharacterString)
		b.WriteByte('"')
		for i := range n {
			switch c := text[i]; {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case ' ' <= c && c <= '~':
				b.WriteByte(c)
			default:
				b.Write([]byte{'\\', '0' + c>>6, '0' + c>>3&7, '0' + c&7})
			}
		}
		b.WriteByte('"')
		text = text[n:]
	}
	return b.String()
}

// unquoteRoute53 reads the value of a TXT record: the strings joined, whatever white space
// stands between them. Text without quotes is an error: which white space counts in it, nobody
// could say.
func unquoteRoute53(value string) (string, error) {
	text := make([]byte, 0, len(value))
	within, found := false, false // a string
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case c == '"':
			within, found = !within, true
			i++
		case !within && !isBlank(c):
			return "", errors.New("text outside of quotes")
		case c == '\\':
			octet, n, ok := unescapeRoute53(value[i:])
			if !ok {
				return "", errors.New("a backslash before nothing that it could escape")
			}
			text = append(text, octet)
			i += n
		default:
			if within {
				text = append(text, c)
			}
			i++
		}
	}
	if within || !found {
		return "", errors.New("no string, or one that is not closed")
	}
	return string(text), nil
}

// unescapeRoute53 reads the escape at the start of s, and says how long it is.
func unescapeRoute53(s string) (octet byte, n int, ok bool) {
	switch {
	case len(s) < 2:
		return 0, 0, false
	case s[1] < '0' || s[1] > '9':
		return s[1], 2, true
	case len(s) < 4 || s[1] > '3' || s[2] < '0' || s[2] > '7' || s[3] < '0' || s[3] > '7':
		return 0, 0, false
	default:
		return s[1]<<6 | (s[2]-'0')<<3 | (s[3] - '0'), 4, true
	}
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// nameOfRoute53 returns a name of an answer in the form of this package. Escapes of characters
// that need none here are undone, "\052" becomes "*"; the others stay, and such a name is no key's:
// a dot within a label above all must not become a dot between two.
func nameOfRoute53(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		if octet, n, ok := unescapeRoute53(name[i:]); name[i] == '\\' && ok {
			if isNameOctet(octet) || octet == '*' {
				b.WriteByte(octet)
			} else {
				b.WriteString(name[i : i+n])
			}
			i += n
			continue
		}
		b.WriteByte(name[i])
		i++
	}
	return strings.TrimSuffix(strings.ToLower(b.String()), ".")
}

func isNameOctet(b byte) bool { return isWord(b) || b == '-' }

// plainName reports whether name is made of labels that no one writes in two ways.
func plainName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || !every(label, isNameOctet) {
			return false
		}
	}
	return true
}
