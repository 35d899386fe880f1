// Package hostile makes long record texts that would take a careless parser forever.
package hostile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Longest is the length of the longest text of a TXT record.
const Longest = 65535

// What can be repeated behind a sound text; %d is another number each time.
var (
	Tags = map[string]string{
		"tags":       "; x%d=y",
		"one tag":    "; x=y",
		"semicolons": ";",
		"equals":     "=",
		"spaces":     " ",
		"addresses":  ",mailto:a%d@x.se",
		"colons":     ":",
		"quotes":     "\x00\"\\\xff",
	}
	Terms = map[string]string{
		"networks":  " ip4:10.%d.0.1",
		"includes":  " include:x%d.se",
		"modifiers": " x%d=y",
		"spaces":    " ",
		"macros":    "%{d2r.-}",
		"slashes":   "/1",
		"dots":      ".a",
	}
	Lines = map[string]string{
		"hosts":      "mx: a%d.se\n",
		"one host":   "mx: a.se\n",
		"extensions": "x%d: y\n",
		"ends":       "\n",
		"colons":     ":",
	}
)

// Text is a sound text with something repeated behind it, as often as length allows.
func Text(sound, repeat string, length int) string {
	var b strings.Builder
	for next, i := sound, 0; next != "" && b.Len()+len(next) <= length; i++ {
		b.WriteString(next)
		next = strings.ReplaceAll(repeat, "%d", strconv.Itoa(i%250))
	}
	return b.String()
}

// Fuzz runs a function over long texts: sound with whatever the fuzzer finds to repeat.
func Fuzz(f *testing.F, repeats map[string]string, sound string, run func(string)) {
	for _, repeat := range repeats {
		f.Add(repeat)
	}
	f.Fuzz(func(_ *testing.T, repeat string) { run(Text(sound, repeat, Longest)) })
}

// Refused checks that what is longer than any TXT record can be is refused for its length.
func Refused(t *testing.T, repeats map[string]string, sound string, offset func(string) int) {
	t.Helper()
	for name, repeat := range repeats {
		if at := offset(Text(sound, repeat, 1<<20)); at != Longest {
			t.Errorf("%s: refused at octet %d, want %d", name, at, Longest)
		}
	}
}

// Bench runs a function over texts of a quarter of the longest length and of all of it: the
// second should take about four times as long as the first.
func Bench(b *testing.B, repeats map[string]string, sound string, run func(string)) {
	for name, repeat := range repeats {
		for _, length := range []int{Longest / 4, Longest} {
			text := Text(sound, repeat, length)
			b.Run(fmt.Sprintf("%s/%d", name, length), func(b *testing.B) {
				for b.Loop() {
					run(text)
				}
			})
		}
	}
}
