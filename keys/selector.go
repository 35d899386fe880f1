package keys

import (
	"regexp"
	"time"
)

// NewSelector returns the first selector "<stem>-<yyyymmdd><letters>" of the day that is not
// taken; after z comes aa. The date is for people; what keeps a selector from being used
// twice is taken.
func NewSelector(stem string, now time.Time, taken func(selector string) bool) string {
	prefix := stem + "-" + now.UTC().Format("20060102")
	for n := 0; ; n++ {
		if selector := prefix + letters(n); !taken(selector) {
			return selector
		}
	}
}

var made = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9]{8}[a-z]+$`)

// IsSelector reports whether the selector has the form that NewSelector gives.
func IsSelector(selector string) bool { return made.MatchString(selector) }

// letters counts a, b, ... z, aa, ab, ...
func letters(n int) string {
	text := ""
	for n++; n > 0; n = (n - 1) / 26 {
		text = string(rune('a'+(n-1)%26)) + text
	}
	return text
}
