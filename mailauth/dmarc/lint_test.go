package dmarc

import (
	"fmt"
	"strings"
	"testing"
)

// Every rule is broken by a case, and a sound record by none.
func TestLint(t *testing.T) {
	const good = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
	broken := map[string]bool{}
	for _, test := range []struct {
		codes string
		s     Subject
	}{
		{"", Subject{Texts: []string{good}, DomainTexts: []string{"v=spf1 -all"}}},
		{"", Subject{Texts: []string{good}, Destinations: []Destination{{Host: "example.com"}, {Host: "x.example", External: true, Agrees: true}}}},
		{"DMARC-MISSING", Subject{}},
		{"DMARC-MULTIPLE", Subject{Texts: []string{good, good + ";"}}},
		{"DMARC-VERSION DMARC-MISSING", Subject{Texts: []string{"v=dmarc1; p=none"}}},
		{"DMARC-VERSION DMARC-MISSING", Subject{Texts: []string{"p=none; v=DMARC1"}}},
		{"DMARC-FOREIGN-TEXT", Subject{Texts: []string{good, "a site's token"}}},
		{"DMARC-PLACE", Subject{Texts: []string{good}, DomainTexts: []string{good}}},
		{"DMARC-POLICY", Subject{Texts: []string{"v=DMARC1; p=block"}}},
		{"DMARC-POLICY DMARC-NONE", Subject{Texts: []string{"v=DMARC1; p=reject; sp=block; rua=mailto:a@x.se"}}},
		{"DMARC-URI DMARC-NO-REPORTS", Subject{Texts: []string{"v=DMARC1; p=reject; rua=a@x.se"}}},
		{"DMARC-SYNTAX", Subject{Texts: []string{good + "; adkim=x"}}},
		{"DMARC-SYNTAX", Subject{Texts: []string{good + "; p=none"}}},
		{"DMARC-SYNTAX", Subject{Texts: []string{"v=DMARC1; p=none;" + strings.Repeat(" ", 70000)}}},
		{"DMARC-REPORT-REFUSED", Subject{Texts: []string{good}, Destinations: []Destination{{Host: "x.example", External: true, Name: "example.com._report._dmarc.x.example"}}}},
		{"DMARC-REPORT-NO-MX", Subject{Texts: []string{good}, NoMX: []string{"example.com"}}},
		{"DMARC-NONE", Subject{Texts: []string{"v=DMARC1; p=none; rua=mailto:a@x.se"}}},
		{"DMARC-TESTING", Subject{Texts: []string{good + "; t=y"}}},
		{"DMARC-SUBDOMAINS", Subject{Texts: []string{good + "; sp=none"}}},
		{"DMARC-SUBDOMAINS", Subject{Texts: []string{good + "; np=quarantine"}}},
		{"DMARC-NO-REPORTS", Subject{Texts: []string{"v=DMARC1; p=reject"}}},
		{"DMARC-HISTORIC-TAG", Subject{Texts: []string{good + "; pct=25"}}},
		{"DMARC-URI-SIZE", Subject{Texts: []string{good + "!10m"}}},
		{"DMARC-URI-MANY", Subject{Texts: []string{good + ",mailto:b@x.se,mailto:c@x.se"}}},
		{"DMARC-P-MISSING DMARC-NONE", Subject{Texts: []string{"v=DMARC1; rua=mailto:a@x.se"}}},
		{"DMARC-P-NOT-SECOND", Subject{Texts: []string{"v=DMARC1; rua=mailto:a@x.se; p=reject"}}},
		{"DMARC-FO-UNUSED", Subject{Texts: []string{good + "; fo=1"}}},
		{"DMARC-FO-BOTH", Subject{Texts: []string{good + "; fo=0:1; ruf=mailto:a@x.se"}}},
		{"DMARC-SP-IGNORED", Subject{Texts: []string{good + "; sp=reject"}, Organization: "example.com"}},
		{"", Subject{Texts: []string{good + "; sp=reject; psd=n"}, Organization: "example.com"}},
		{"DMARC-PSD", Subject{Texts: []string{good + "; psd=y"}}},
		{"DMARC-SIZE", Subject{Texts: []string{good + strings.Repeat("x", 450)}}},
		{"DMARC-UNKNOWN-TAG", Subject{Texts: []string{good + "; foo=bar"}}},
		{"DMARC-STRICT", Subject{Texts: []string{good + "; aspf=s"}}},
	} {
		var codes []string
		for _, f := range Lint(test.s) {
			codes = append(codes, f.Code)
			broken[f.Code] = true
		}
		if got := strings.Join(codes, " "); got != test.codes {
			t.Errorf("%.200s: got %s, want %s", fmt.Sprint(test.s), got, test.codes)
		}
	}
	for _, r := range Rules() {
		if !broken[r.Code] {
			t.Errorf("%s: no case breaks it", r.Code)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:dmarc@example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
