package mailauth

import (
	"strings"
	"testing"
)

func TestSyntaxError(t *testing.T) {
	for text, want := range map[string]string{
		"a\n":                    `X record, octet 7: "a\n": want b (RFC 1 §2)`,
		strings.Repeat("x", 80):  `X record, octet 7: "` + strings.Repeat("x", 80) + `": want b (RFC 1 §2)`,
		strings.Repeat("x", 999): `X record, octet 7: "` + strings.Repeat("x", 80) + `…": want b (RFC 1 §2)`,
	} {
		if got := (&SyntaxError{Record: "X record", Offset: 7, Text: text, Want: "b", Ref: "RFC 1 §2"}).Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
