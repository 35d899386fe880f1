package spf_test

import (
	"fmt"

	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

func ExampleParse() {
	r, err := spf.Parse("v=spf1 ip4:192.0.2.0/24 mx ~include:smarter.se -all")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range r.Mechanisms {
		fmt.Println(m.Result, m)
	}
	// Output:
	// pass ip4:192.0.2.0/24
	// pass mx
	// softfail ~include:smarter.se
	// fail -all
}

func ExampleParse_error() {
	_, err := spf.Parse("v=spf1 ip4:192.0.2.0/33 -all")
	fmt.Println(err)
	// Output:
	// SPF record, octet 11: "192.0.2.0/33": want an IPv4 address, then /0 to /32 if wanted, such as 192.0.2.0/24 (RFC 7208 §5.6)
}
