package spf

import (
	"errors"
	"testing"

	"github.com/maildomain/maildomain-operator/test/hostile"
)

const long = "v=spf1 a:x.se" // and what hostile repeats behind it

func judgeLong(text string) { Lint(Subject{Domain: "example.com", Texts: []string{text}}) }

func FuzzLong(f *testing.F)      { hostile.Fuzz(f, hostile.Terms, long, judgeLong) }
func BenchmarkLong(b *testing.B) { hostile.Bench(b, hostile.Terms, long, judgeLong) }

func TestTooLong(t *testing.T) {
	hostile.Refused(t, hostile.Terms, long, func(text string) int {
		_, err := Parse(text)
		var at *SyntaxError
		if !errors.As(err, &at) {
			return -1
		}
		return at.Offset
	})
}
