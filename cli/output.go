package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"

	"sigs.k8s.io/yaml"
)

// formats are what -o takes.
var formats = []string{"table", "json", "yaml"}

// write prints a result in a format; table prints it for people.
func write(w io.Writer, format string, result any, table func(io.Writer)) error {
	switch format {
	case "table":
		table(w)
		return nil
	case "json":
		text, err := jsonOf(result)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, printable(text, func(r rune) string {
			first, second := utf16.EncodeRune(r)
			return fmt.Sprintf(`\u%04x\u%04x`, first, second)
		}))
		return err
	case "yaml":
		text, err := jsonOf(result)
		if err != nil {
			return err
		}
		// YAML takes no control characters as they are (YAML 1.2 §5.1), and knows no pairs of surrogates.
		asYAML, err := yaml.JSONToYAML([]byte(printable(text, func(r rune) string { return fmt.Sprintf(`\U%08x`, r) })))
		if err != nil {
			return err
		}
		_, err = w.Write(asYAML)
		return err
	}
	return fmt.Errorf("-o is %q, want one of %s", format, strings.Join(formats, ", "))
}

func jsonOf(result any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(result)
	return text.String(), err
}

// printable is JSON whose strings have nothing that moves a cursor or turns the direction of writing:
// JSON itself only forbids what is below U+0020 (RFC 8259 §7). beyond escapes what is above U+FFFF.
func printable(text string, beyond func(rune) string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			b.WriteString(beyond(r))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// plain is a stranger's text for a terminal: control characters and what is no UTF-8 are written out,
// so that no text moves the cursor or looks like another.
func plain(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == unicode.ReplacementChar:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
