package dmarc_test

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
)

// zone answers from a map; *net.Resolver asks the world.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, there := z[strings.TrimSuffix(name, ".")]; there {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
}

func ExampleRecord_String() {
	fmt.Println(dmarc.Record{Policy: dmarc.Reject, RUA: []string{"mailto:dmarc@example.com"}})
	// Output: v=DMARC1; p=reject; rua=mailto:dmarc@example.com
}

// What happens to mail that claims to be from a subdomain without a record of its own.
func ExampleDiscover() {
	world := zone{"_dmarc.example.com": "v=DMARC1; p=reject; sp=quarantine; np=reject"}
	d, err := dmarc.Discover(context.Background(), world, "news.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("organizational domain:", d.Organization)
	fmt.Println("if the subdomain exists:", d.Effective(true))
	fmt.Println("if it does not:", d.Effective(false))
	// Output:
	// organizational domain: example.com
	// if the subdomain exists: quarantine
	// if it does not: reject
}

func ExampleLint() {
	for _, f := range dmarc.Lint(dmarc.Subject{Texts: []string{"v=DMARC1; p=reject; rua=dmarc@example.com"}}) {
		fmt.Println(f.Severity, f.Code)
	}
	// Output:
	// error DMARC-URI
	// warning DMARC-NO-REPORTS
}
