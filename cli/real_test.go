package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/test/real"
)

// With real BIND the verdict is there in less than 3 s, and each question is asked once.
func TestCheckBIND(t *testing.T) {
	var key []string
	for text := keyRecord(t, 2048); text != ""; {
		n := min(255, len(text))
		key, text = append(key, fmt.Sprintf("%q", text[:n])), text[n:]
	}
	addr := real.BIND(t, real.Key{Name: "k", Secret: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, real.Zone{Apex: "test", Records: `
example MX 10 mx1.example
example TXT "v=spf1 mx a:mx2.example.test include:_spf.example.test -all"
mx1.example A 192.0.2.1
mx1.example AAAA 2001:db8::1
mx2.example A 192.0.2.2
mx2.example AAAA 2001:db8::2
_spf.example TXT "v=spf1 ip4:192.0.2.128/25 mx:example.test -all"
s1._domainkey.example TXT ` + strings.Join(key, " ") + `
_dmarc.example TXT "v=DMARC1; p=reject; rua=mailto:d@example.test"
_smtp._tls.example TXT "v=TLSRPTv1; rua=mailto:t@example.test"
`})
	best := time.Hour
	for range 5 { // the machine may be busy with other things
		bind := between(t, addr, nil)
		began := time.Now()
		r, code := reported(t, []string{"check", domain, "--selector", "s1", "--baseline", "PCI-DSS-5.4.1", "-o", "json", "--resolver", bind.Addr})
		best = min(best, time.Since(began))
		twice, total := bind.twice()
		if code != ExitOK || r.Outcome != compliance.Pass || len(r.Findings) > 0 || len(twice) > 0 {
			t.Fatalf("exit code %d, %+v, asked twice: %q", code, r, twice)
		}
		t.Logf("%d questions, %s", total, time.Since(began))
		if best < 3*time.Second {
			return
		}
	}
	t.Errorf("it took %s at best", best)
}
