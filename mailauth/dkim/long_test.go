package dkim

import (
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/hostile"
)

// Texts that hostile repeats something behind.
const (
	longRecord    = "v=DKIM1; k=rsa; p=AAAA"
	longSignature = "v=1; a=rsa-sha256; d=x.se; s=a; bh=AAAA; b=AAAA; h=from"
)

func judgeLong(text string) {
	Lint(Subject{Texts: []string{text}, InUse: true})
	LintSignature(text, time.Time{})
}

func FuzzLong(f *testing.F)      { hostile.Fuzz(f, hostile.Tags, longRecord, judgeLong) }
func BenchmarkLong(b *testing.B) { hostile.Bench(b, hostile.Tags, longRecord, judgeLong) }

func FuzzLongSignature(f *testing.F) { hostile.Fuzz(f, hostile.Tags, longSignature, judgeLong) }
func BenchmarkLongSignature(b *testing.B) {
	hostile.Bench(b, hostile.Tags, longSignature, judgeLong)
}
