package mtasts_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

func ExamplePolicy_String() {
	p := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}}
	fmt.Print(strings.ReplaceAll(p.String(), "\r\n", "\n"))
	fmt.Println(mtasts.Record{ID: p.ID()})
	// Output:
	// version: STSv1
	// mode: enforce
	// mx: mx1.example.com
	// max_age: 604800
	// v=STSv1; id=8fc8d38bc36ae3bb4004e0efb0b5e14f
}

// A wildcard stands for exactly one label.
func ExamplePolicy_Covers() {
	p := mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"*.mail.example.com"}}
	fmt.Println(p.Covers("mx1.mail.example.com"), p.Covers("mail.example.com"), p.Covers("a.b.mail.example.com"))
	// Output: true false false
}
