package dnsprovider

import "testing"

func TestCanonical(t *testing.T) {
	for name, want := range map[string]string{
		"":                    "",
		".":                   "",
		"example.com":         "example.com",
		"_DMARC.Example.COM.": "_dmarc.example.com",
		"\u212A.example":      "\u212A.example", // KELVIN SIGN is no ASCII letter, and no k
	} {
		if got := Canonical(name); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		want       bool
	}{
		{"example.com", "example.com", true},
		{"_dmarc.example.com", "example.com", true},
		{"a.b.example.com", "example.com", true},
		{"_DMARC.Example.Com.", "eXample.com", true},
		{"notexample.com", "example.com", false},
		{"example.com", "_dmarc.example.com", false},
		{"example.com.evil.example", "example.com", false},
		{"com", "example.com", false},
		{`evil\.example.com`, "example.com", false}, // one label with a dot in it
		{"example.com", "", false},
		{"", "", false},
		{"", "example.com", false},
	} {
		if got := Within(c.name, c.zone); got != c.want {
			t.Errorf("Within(%q, %q) = %v, want %v", c.name, c.zone, got, c.want)
		}
	}
}

func TestParent(t *testing.T) {
	for name, want := range map[string]string{
		"a.b.c":   "b.c",
		`a\.b.c`:  "c",
		"com":     "",
		"":        "",
		`a\046.b`: "b",
	} {
		if got := parent(name); got != want {
			t.Errorf("parent(%q) = %q, want %q", name, got, want)
		}
	}
}
