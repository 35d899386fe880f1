package compliance

import (
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

// Facts are what the world shows of a domain.
type Facts struct {
	Domain string
	// Exists: DNS knows the domain, that is, does not answer NXDOMAIN (RFC 9989 §4.10.1).
	Exists Fact[bool]
	MX     Fact[MX]
	SPF    Fact[SPF]
	// Selectors are the DKIM selectors in use. They can't be listed by DNS: somebody has to name them.
	Selectors Fact[[]Selector]
	// KeysBelow: DNS does not deny that names stand below _domainkey.<domain> (RFC 8020 §2).
	KeysBelow Fact[bool]
	// NullKey are the TXT records at *._domainkey.<domain>.
	NullKey Fact[[]string]
	// DMARC is what the tree walk of RFC 9989 §4.10 finds.
	DMARC Fact[dmarc.Discovery]
	// Destinations are the domains that aggregate and failure reports go to.
	Destinations Fact[[]dmarc.Destination]
	MTASTS       Fact[[]string] // TXT records at _mta-sts.<domain>
	Policy       Fact[Policy]
	TLSRPT       Fact[[]string] // TXT records at _smtp._tls.<domain>
}

// MX is where mail for the domain is delivered.
type MX struct {
	// Null: the domain says that it takes no mail (RFC 7505).
	Null bool
	// Hosts are those of the MX records or, without any, the domain itself if it has an address
	// (RFC 5321 §5.1). None and no Null: no mail can be delivered.
	Hosts []Host
}

// Host is one MX host.
type Host struct {
	Name string
	// IPv6: it has an AAAA record.
	IPv6 Fact[bool]
	// TLS: STARTTLS with TLS 1.2 or later, and a certificate that is valid for the name.
	TLS Fact[TLS]
}

// TLS is what an MX host offers.
type TLS struct {
	OK bool
	// Failure says what is wrong, in stable words; "" if nothing is.
	Failure string
	// Offered: the server offers STARTTLS and a handshake comes about, whatever the certificate.
	Offered bool
}

// SPF is what stands at the domain.
type SPF struct {
	Records []string // the TXT records that begin with v=spf1
	// Analysis weighs the record, where there is exactly one that can be read.
	Analysis spf.Analysis
	// RedirectEnd is what hosts get that nothing matches, by the record that redirect leads to in the
	// end (RFC 7208 §6.1); it counts only where the domain's own record has no all.
	RedirectEnd Fact[spf.Result]
}

// Selector is a DKIM selector that signers use.
type Selector struct {
	Name  string
	Texts Fact[[]string] // TXT records at <selector>._domainkey.<domain>
}

// Policy is what the host mta-sts.<domain> serves as MTA-STS policy.
type Policy struct {
	Failure string // why senders get none, in stable words; "": they get Body
	Body    string
}

// read returns the policy, or why senders can't use it.
func (p Policy) read() (policy mtasts.Policy, failure string) {
	if p.Failure != "" {
		return policy, p.Failure
	}
	policy, err := mtasts.ParsePolicy(p.Body)
	if err != nil {
		return policy, "it can't be read: " + err.Error()
	}
	return policy, ""
}
