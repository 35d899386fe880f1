package dmarc

import (
	"testing"
)

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:dmarc@example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
