package tlsrpt

import (
	"testing"
)

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("v=TLSRPTv1; rua=mailto:tls@example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
