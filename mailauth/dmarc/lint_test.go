package dmarc

import (
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/test/linttest"
)

func TestLint(t *testing.T) {
	const good = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
	gets := linttest.Start(t, Rules(), Lint)
	gets("", Subject{Texts: []string{good}, DomainTexts: []string{"v=spf1 -all"}})
	gets("", Subject{Texts: []string{good}, Destinations: []Destination{{Host: "example.com"}, {Host: "x.example", External: true, Agrees: true}}})
	gets("DMARC-MISSING", Subject{})
	gets("DMARC-MULTIPLE", Subject{Texts: []string{good, good + ";"}})
	gets("DMARC-VERSION DMARC-MISSING", Subject{Texts: []string{"v=dmarc1; p=none"}})
	gets("DMARC-VERSION DMARC-MISSING", Subject{Texts: []string{"p=none; v=DMARC1"}})
	gets("DMARC-VERSION DMARC-MISSING", Subject{Texts: []string{" " + good}})
	gets("DMARC-VERSION DMARC-MISSING", Subject{Texts: []string{"v=DMARC1\r\n; p=none"}})
	gets("DMARC-FOREIGN-TEXT", Subject{Texts: []string{good, "a site's token"}})
	gets("DMARC-PLACE", Subject{Texts: []string{good}, DomainTexts: []string{good}})
	gets("DMARC-NO-POLICY", Subject{Texts: []string{"v=DMARC1"}})
	gets("DMARC-NO-POLICY", Subject{Texts: []string{"v=DMARC1; sp=reject"}})
	gets("DMARC-NO-POLICY DMARC-URI", Subject{Texts: []string{"v=DMARC1; rua=mailto:foo"}})
	gets("DMARC-POLICY", Subject{Texts: []string{"v=DMARC1; p=block"}})
	gets("DMARC-POLICY DMARC-NONE", Subject{Texts: []string{"v=DMARC1; p=reject; sp=block; rua=mailto:a@x.se"}})
	gets("DMARC-URI DMARC-NO-REPORTS", Subject{Texts: []string{"v=DMARC1; p=reject; rua=a@x.se"}})
	gets("DMARC-SYNTAX", Subject{Texts: []string{good + "; adkim=x"}})
	gets("DMARC-SYNTAX", Subject{Texts: []string{good + "; p=none"}})
	gets("DMARC-SYNTAX", Subject{Texts: []string{"v=DMARC1; p=none;" + strings.Repeat(" ", 70000)}})
	gets("DMARC-REPORT-REFUSED", Subject{Texts: []string{good}, Destinations: []Destination{{Host: "x.example", External: true, Name: "example.com._report._dmarc.x.example"}}})
	gets("DMARC-REPORT-REFUSED", Subject{Texts: []string{good}, Destinations: []Destination{{Host: "2001:db8::1", External: true}}})
	gets("DMARC-REPORT-NO-MX", Subject{Texts: []string{good}, NoMX: []string{"example.com"}})
	gets("DMARC-NONE", Subject{Texts: []string{"v=DMARC1; p=none; rua=mailto:a@x.se"}})
	gets("DMARC-TESTING", Subject{Texts: []string{good + "; t=y"}})
	gets("DMARC-SUBDOMAINS", Subject{Texts: []string{good + "; sp=none"}})
	gets("DMARC-SUBDOMAINS", Subject{Texts: []string{good + "; np=quarantine"}})
	gets("DMARC-NO-REPORTS", Subject{Texts: []string{"v=DMARC1; p=reject"}})
	gets("DMARC-HISTORIC-TAG", Subject{Texts: []string{good + "; pct=25"}})
	gets("DMARC-URI-SIZE", Subject{Texts: []string{good + "!10m"}})
	gets("", Subject{Texts: []string{good + ",mailto:b@x.se; ruf=mailto:a@x.se,mailto:b@x.se"}})
	gets("DMARC-URI-MANY", Subject{Texts: []string{good + ",mailto:b@x.se,mailto:c@x.se"}})
	gets("DMARC-P-MISSING DMARC-NONE", Subject{Texts: []string{"v=DMARC1; rua=mailto:a@x.se"}})
	gets("DMARC-P-NOT-SECOND", Subject{Texts: []string{"v=DMARC1; rua=mailto:a@x.se; p=reject"}})
	gets("DMARC-FO-UNUSED", Subject{Texts: []string{good + "; fo=1"}})
	gets("DMARC-FO-BOTH", Subject{Texts: []string{good + "; fo=0:1; ruf=mailto:a@x.se"}})
	gets("DMARC-SP-IGNORED", Subject{Texts: []string{good + "; sp=reject"}, Organization: "example.com"})
	gets("", Subject{Texts: []string{good + "; sp=reject; psd=n"}, Organization: "example.com"})
	gets("DMARC-PSD", Subject{Texts: []string{good + "; psd=y"}})
	gets("", Subject{Texts: []string{good + strings.Repeat("x", 450-len(good))}})
	gets("DMARC-SIZE", Subject{Texts: []string{good + strings.Repeat("x", 451-len(good))}})
	gets("DMARC-UNKNOWN-TAG", Subject{Texts: []string{good + "; foo=bar"}})
	gets("DMARC-STRICT", Subject{Texts: []string{good + "; aspf=s"}})
}
