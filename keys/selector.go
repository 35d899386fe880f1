package keys

import "time"

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

// letters counts a, b, ... z, aa, ab, ...
func letters(n int) string {
	text := ""
	for n++; n > 0; n = (n - 1) / 26 {
		text = string(rune('a'+(n-1)%26)) + text
	}
	return text
}
