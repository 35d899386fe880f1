package dnsprovider

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// quoteTXT writes text the way zone files do (RFC 1035 §5.1): in as few quoted
// character-strings as it needs, with a space between them. What is not printable ASCII
// becomes \DDD, as JSON and XML carry no octets that are not UTF-8, and a border between
// strings can fall into a rune.
func quoteTXT(text string) string {
	var quoted strings.Builder
	first := true
	for chunk := range slices.Chunk([]byte(text), maxCharacterString) {
		if !first {
			quoted.WriteByte(' ')
		}
		first = false
		quoteString(&quoted, chunk)
	}
	if first { // TXT rdata without a string is an error
		quoteString(&quoted, nil)
	}
	return quoted.String()
}

func quoteString(quoted *strings.Builder, octets []byte) {
	quoted.WriteByte('"')
	for _, octet := range octets {
		switch {
		case octet == '"' || octet == '\\':
			quoted.Write([]byte{'\\', octet})
		case octet < ' ' || octet > '~':
			fmt.Fprintf(quoted, `\%03d`, octet)
		default:
			quoted.WriteByte(octet)
		}
	}
	quoted.WriteByte('"')
}

// unquoteTXT returns what content says: the octets of its quoted character-strings, joined,
// however long they are and whatever space is between them. Content that does not begin
// with a quote is one string that is meant as it stands, backslashes included.
func unquoteTXT(content string) (string, error) {
	const space = " \t\r\n"
	rest := strings.TrimLeft(content, space)
	if !strings.HasPrefix(rest, `"`) {
		return content, nil
	}
	text := make([]byte, 0, len(content))
	for ; rest != ""; rest = strings.TrimLeft(rest, space) {
		var err error
		if text, rest, err = unquoteString(text, rest); err != nil {
			return "", err
		}
	}
	return string(text), nil
}

// unquoteString appends the octets of the quoted string at the start of content to text.
func unquoteString(text []byte, content string) (_ []byte, rest string, err error) {
	if content[0] != '"' {
		return nil, "", errors.New("text stands outside the quotes")
	}
	for i := 1; i < len(content); i++ {
		switch octet := content[i]; octet {
		case '"':
			return text, content[i+1:], nil
		case '\\':
			escaped, length := unescape(content[i+1:])
			if length == 0 {
				return nil, "", errors.New("a backslash escapes nothing")
			}
			text = append(text, escaped)
			i += length
		default:
			text = append(text, octet)
		}
	}
	return nil, "", errors.New("a quote is not closed")
}

// unescape returns the octet that the characters after a backslash stand for, and how many
// they are; none if they stand for no octet.
func unescape(after string) (octet byte, length int) {
	if after == "" {
		return 0, 0
	}
	if !isDigit(after[0]) {
		return after[0], 1
	}
	if len(after) < 3 || !isDigit(after[1]) || !isDigit(after[2]) {
		return 0, 0
	}
	n := int(after[0]-'0')*100 + int(after[1]-'0')*10 + int(after[2]-'0')
	if n > 255 {
		return 0, 0
	}
	return byte(n), 3
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
