package dkim

import "testing"

func BenchmarkParse(b *testing.B) {
	text := rsaRecord(b, 2048).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseSignature(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSignature(rfc6376Signature); err != nil {
			b.Fatal(err)
		}
	}
}
