package tlsrpt

import (
	"testing"

	"github.com/maildomain/maildomain-operator/test/linttest"
)

func TestLint(t *testing.T) {
	const good = "v=TLSRPTv1; rua=mailto:tls@example.org"
	texts := func(texts ...string) Subject { return Subject{Domain: "example.com", Texts: texts, Enforced: true} }
	gets := linttest.Start(t, Rules(), Lint)
	gets("", texts(good))
	gets("", Subject{})
	gets("", Subject{Domain: "example.com", Texts: []string{"v=TLSRPTv1; rua=mailto:tls@example.com"}})
	gets("", texts("v=TLSRPTv1; rua=mailto:tls@example.com,https://r.example.com/"))
	gets("", texts("v=TLSRPTv1; rua=mailto:tls@sub.example.com"))
	gets("", texts(good, "a site's token"))
	gets("TLSRPT-MISSING", texts())
	gets("TLSRPT-MULTIPLE", texts(good, good+";"))
	gets("TLSRPT-VERSION TLSRPT-MISSING", texts("v=tlsrptv1; rua=mailto:tls@example.org"))
	gets("TLSRPT-VERSION TLSRPT-MISSING", texts("v=TLSRPTv1"))
	gets("TLSRPT-VERSION", texts(good, " "+good))
	gets("TLSRPT-SYNTAX", texts("v=TLSRPTv1; rua=tls@example.org"))
	gets("TLSRPT-UNKNOWN-TAG", texts(good+"; ruf=x"))
	gets("TLSRPT-OWN-DOMAIN", texts("v=TLSRPTv1; rua=mailto:tls@Example.com?x=y"))
}
