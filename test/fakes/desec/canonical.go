package desec

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// canonical checks a record and returns the form in which it is stored and shown.
func canonical(recordType, content string) (string, error) {
	if strings.ContainsRune(content, 0) || content == "" {
		return "", refusal("This field may not be blank, nor hold null characters.")
	}
	switch recordType {
	case "TXT", "SPF":
		return canonicalTXT(content)
	case "A", "AAAA":
		addr, err := netip.ParseAddr(content)
		if err != nil || addr.Is4() != (recordType == "A") || addr.Zone() != "" {
			return "", refusal("Cannot parse record contents: not an address.")
		}
		return addr.String(), nil
	case "CNAME", "NS", "MX", "SRV":
		if !strings.HasSuffix(content, ".") {
			return "", refusal("Hostname must be fully qualified (i.e., end in a dot: \"example.com.\")")
		}
		content = strings.ToLower(content)
	}
	rr, err := dns.NewRR(". 0 IN " + recordType + " " + content)
	if err != nil || rr == nil {
		return "", refusal(fmt.Sprintf("Record content for type %s malformed.", recordType))
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String()), nil
}

// canonicalTXT reads quoted strings of any length and writes each as strings of 255 octets.
func canonicalTXT(content string) (string, error) {
	var out []string
	rest := strings.Trim(content, " \t")
	for rest != "" {
		if rest[0] != '"' {
			return "", refusal("Data for TXT records must be given using quotation marks.")
		}
		octets, length, err := quoted(rest)
		if err != nil {
			return "", err
		}
		rest = strings.TrimLeft(rest[length:], " \t")
		for first := true; first || len(octets) > 0; first = false {
			n := min(255, len(octets))
			out = append(out, escaped(octets[:n]))
			octets = octets[n:]
		}
	}
	if len(out) == 0 {
		return "", refusal("Record content for type TXT malformed.")
	}
	return strings.Join(out, " "), nil
}

// quoted reads the quoted string that content begins with.
func quoted(content string) (octets []byte, length int, err error) {
	for i := 1; i < len(content); i++ {
		c := content[i]
		switch {
		case c == '"':
			return octets, i + 1, nil
		case c == '\n':
			return nil, 0, refusal("Record content for type TXT malformed: newline in quoted string")
		case c != '\\':
			octets = append(octets, c)
		case i+1 < len(content) && (content[i+1] < '0' || content[i+1] > '9'):
			octets = append(octets, content[i+1])
			i++
		default:
			var n int
			if i+3 >= len(content) {
				return nil, 0, refusal("Record content for type TXT malformed: bad escape")
			}
			if _, err := fmt.Sscanf(content[i+1:i+4], "%03d", &n); err != nil || n > 255 {
				return nil, 0, refusal("Record content for type TXT malformed: bad escape")
			}
			octets = append(octets, byte(n))
			i += 3
		}
	}
	return nil, 0, refusal("Record content for type TXT malformed: unbalanced quotes")
}

func escaped(octets []byte) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, c := range octets {
		switch {
		case c == '"' || c == '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&out, `\%03d`, c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}
