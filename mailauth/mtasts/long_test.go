package mtasts

import (
	"errors"
	"testing"

	"github.com/maildomain/maildomain-operator/test/hostile"
)

const long = "v=STSv1; id=1" // and what hostile repeats behind it

func judgeLong(text string) { Lint(Subject{Texts: []string{text}}) }

func FuzzLong(f *testing.F)      { hostile.Fuzz(f, hostile.Tags, long, judgeLong) }
func BenchmarkLong(b *testing.B) { hostile.Bench(b, hostile.Tags, long, judgeLong) }

func TestTooLong(t *testing.T) {
	hostile.Refused(t, hostile.Tags, long, func(text string) int {
		_, err := ParseRecord(text)
		var at *SyntaxError
		if !errors.As(err, &at) {
			return -1
		}
		return at.Offset
	})
}

const longPolicy = "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: a.se\n"

func judgeLongPolicy(body string) {
	Lint(Subject{Texts: []string{"v=STSv1; id=1"}, Served: &Served{Body: body, ContentType: "text/plain"}, MX: []string{"a.se"}})
}

func FuzzLongPolicy(f *testing.F) { hostile.Fuzz(f, hostile.Lines, longPolicy, judgeLongPolicy) }
func BenchmarkLongPolicy(b *testing.B) {
	hostile.Bench(b, hostile.Lines, longPolicy, judgeLongPolicy)
}
