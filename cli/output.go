package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

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
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(result)
	case "yaml":
		text, err := yaml.Marshal(result)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	return fmt.Errorf("-o is %q, want one of %s", format, strings.Join(formats, ", "))
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
