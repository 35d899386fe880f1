package route53

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// normal returns a name as Route 53 stores it: absolute, in lower case, and with escapes of three
// octal digits for all but letters, digits, hyphen and underscore (Developer Guide, "DNS domain name
// format"). "*" becomes "\052".
func normal(name string) (string, error) {
	var b strings.Builder
	write := func(c byte) {
		switch {
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			b.WriteByte('.')
		case c == '\\':
			octet, ok := octal(name[i+1:])
			if !ok {
				return "", fmt.Errorf("name %q has an escape that is not octal", name)
			}
			write(octet)
			i += 3
		case c <= ' ' || c > '~':
			return "", fmt.Errorf("name %q has a character that must be escaped", name)
		default:
			write(c)
		}
	}
	stored := strings.TrimSuffix(b.String(), ".")
	if len(stored) > 255 {
		return "", fmt.Errorf("name %q is too long", name)
	}
	for label := range strings.SplitSeq(stored, ".") {
		if label == "" || len(label)-3*strings.Count(label, `\`) > 63 {
			return "", fmt.Errorf("name %q has a label that is empty or too long", name)
		}
	}
	return stored + ".", nil
}

// octal reads the three octal digits of an escape.
func octal(s string) (octet byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:3], 8, 8)
	return byte(n), err == nil
}

// order is what names are sorted by: the labels in reverse, with a dot behind each, escapes as
// they are (API Reference, ListResourceRecordSets and ListHostedZonesByName).
func order(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

func within(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }
