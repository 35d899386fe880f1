package keys

import (
	"slices"
	"strings"
)

// SharedLimit is the size, in octets of names and values, at which a Secret that several domains share
// takes up no further one. The API server stores no more than 1 MiB, and those that are in it must
// still be able to rotate.
const SharedLimit = 900 << 10

// SizeOf returns the size of a Secret's content, as SharedLimit counts it.
func SizeOf(data map[string][]byte) int {
	n := 0
	for name, content := range data {
		n += len(name) + len(content)
	}
	return n
}

// PartOf returns what the domain has in a Secret that several share, in the form of SignerData: private
// keys by their plain names, and the selectors that the tables sign with.
func PartOf(data map[string][]byte, domain string) map[string][]byte {
	part := map[string][]byte{}
	for name, content := range data {
		if plain, ok := strings.CutPrefix(name, domain+"_"); ok && !slices.Contains(tableFiles, name) {
			part[plain] = content
		}
	}
	for line := range strings.Lines(string(data[EximFile])) {
		if domainOf(line) == domain {
			_, list, _ := strings.Cut(strings.TrimSpace(line), ":")
			for selector := range strings.SplitSeq(list, ":") {
				part[SelectorsFile] = append(part[SelectorsFile], strings.TrimSpace(selector)+"\n"...)
			}
		}
	}
	return part
}

// Shared reports whether any domain has a part in the content.
func Shared(data map[string][]byte) bool {
	for name, content := range data {
		if !slices.Contains(tableFiles, name) || len(content) > 0 {
			return true
		}
	}
	return false
}
