// Package mailauth is what the packages below it have in common. Each of them is one of the protocols
// by which a domain says in DNS who sends its mail, and how mail for it is to be delivered:
//
//   - [spf]: the hosts that may send in the domain's name (RFC 7208)
//   - [dkim]: the keys that the domain's mail is signed with (RFC 6376)
//   - [dmarc]: what receivers shall do with mail that neither of the two vouches for, and where they
//     report it (RFC 9989); [rfc7489] has the view of receivers of before 2026
//   - [mtasts]: that mail for the domain is delivered over TLS, and to which hosts (RFC 8461)
//   - [tlsrpt]: where senders report that they could not (RFC 8460)
//
// Each begins with an introduction to its protocol, and has the same parts. Parse and
// Record.String turn a record's text into a value and back. Same compares two texts by what they
// mean. Lint judges what a domain publishes, by the rules of the package, whose codes stay the
// same; package [lint] has what rules and findings are. Errors of the parsers are a
// [*SyntaxError], which says where and why.
//
// Domain names are expected as DNS has them, in A-labels: convert others beforehand. Texts are those
// of TXT records with their strings joined.
//
// [spf]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/spf
// [dkim]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/dkim
// [dmarc]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/dmarc
// [rfc7489]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/dmarc/rfc7489
// [mtasts]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/mtasts
// [tlsrpt]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/tlsrpt
// [lint]: https://pkg.go.dev/github.com/maildomain/maildomain-operator/mailauth/lint
package mailauth

import "fmt"

// SyntaxError says where a text is not what its RFC wants.
type SyntaxError struct {
	// Record is what is broken: "SPF record".
	Record string
	// Offset is where the broken part begins, in octets from 0.
	Offset int
	// Text is that part. It may be long, and is a stranger's.
	Text string
	// Want is what would be right there.
	Want string
	// Ref is the section that wants it: "RFC 7208 §4.6.1".
	Ref string
}

// Error has all fields in one line, with no more than the beginning of a long text.
func (e *SyntaxError) Error() string {
	const shown = 80
	text := e.Text
	if len(text) > shown {
		text = text[:shown] + "…"
	}
	return fmt.Sprintf("%s, octet %d: %q: want %s (%s)", e.Record, e.Offset, text, e.Want, e.Ref)
}
