package tlsrpt

import (
	"errors"
	"testing"

	"github.com/maildomain/maildomain-operator/test/hostile"
)

const long = "v=TLSRPTv1; rua=mailto:a@x.se" // and what hostile repeats behind it

func judgeLong(text string) { Lint(Subject{Texts: []string{text}}) }

func FuzzLong(f *testing.F)      { hostile.Fuzz(f, hostile.Tags, long, judgeLong) }
func BenchmarkLong(b *testing.B) { hostile.Bench(b, hostile.Tags, long, judgeLong) }

func TestTooLong(t *testing.T) {
	hostile.Refused(t, hostile.Tags, long, func(text string) int {
		_, err := Parse(text)
		var at *SyntaxError
		if !errors.As(err, &at) {
			return -1
		}
		return at.Offset
	})
}
