package cli

import (
	"bytes"
	"fmt"
	"net/mail"
	"net/textproto"
	"strings"
)

// No server lets a larger header pass. What signatures name is looked for in all fields, so that the
// work grows with both.
const (
	maxHeader = 256 << 10
	maxFields = 1000
)

// readHeader reads the header fields of a message with CRLF at the end of each line; values are
// unfolded. It takes the same fields for signatures and authors as the verifier of signatures does,
// also with white space before the colon (RFC 5322 §4.5.8): else the result of one signature would be
// told of another.
func readHeader(content []byte) (mail.Header, error) {
	header := mail.Header{}
	name, value, fields, size := "", "", 0, 0
	end := func() {
		if name != "" {
			header[name] = append(header[name], value)
		}
	}
	for len(content) > 0 {
		var line []byte
		line, content, _ = bytes.Cut(content, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		if size += len(line); size > maxHeader {
			return nil, fmt.Errorf("its header is larger than %d KiB", maxHeader>>10)
		}
		if fields > 0 && (line[0] == ' ' || line[0] == '\t') {
			value += " " + strings.Trim(string(line), " \t")
			continue
		}
		end()
		if fields++; fields > maxFields {
			return nil, fmt.Errorf("it has more than %d header fields", maxFields)
		}
		key, rest, colon := strings.Cut(string(line), ":")
		if key = strings.TrimRight(key, " \t"); !colon || !isFieldName(key) {
			return nil, fmt.Errorf("header field %d does not begin with a name and a colon", fields)
		}
		name, value = textproto.CanonicalMIMEHeaderKey(key), strings.Trim(rest, " \t")
	}
	end()
	if fields == 0 {
		return nil, fmt.Errorf("it has no header")
	}
	return header, nil
}

// isFieldName reports whether name is one of RFC 5322 §3.6.8: printable ASCII without a colon.
func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r < 33 || r > 126 || r == ':' })
}
