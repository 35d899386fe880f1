// Package records says which DNS records a MailDomain wants: a pure function of its spec and
// its keyring. The controllers and the command line share it; the texts themselves are built
// and recognised by the packages of mailauth, one per RFC.
package records

import (
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
)

// Slot is where a record of one purpose stands.
type Slot struct {
	dnsprovider.Slot
	Purpose v1alpha1.RecordPurpose
}

func txt(name string, purpose v1alpha1.RecordPurpose, is func(string) bool, same func(a, b string) bool) Slot {
	return Slot{
		Slot:    dnsprovider.Slot{Key: dnsprovider.Key{Name: name, Type: dnsprovider.TypeTXT}, Is: is, Same: same},
		Purpose: purpose,
	}
}

// ClaimSlot is the place of the registry record that says who manages the domain.
func ClaimSlot(domain string) Slot {
	return txt("_maildomain."+domain, v1alpha1.PurposeClaim, IsClaim, SameClaim)
}

// SPFSlot is the domain itself (RFC 7208 §3).
func SPFSlot(domain string) Slot {
	return txt(domain, v1alpha1.PurposeSPF, spf.IsRecord, spf.Same)
}

// DKIMSlot is the place of one selector's key (RFC 6376 §3.6.2.1).
func DKIMSlot(domain, selector string) Slot {
	return txt(selector+"._domainkey."+domain, v1alpha1.PurposeDKIM, dkim.IsRecord, dkim.Same)
}

// DMARCSlot is _dmarc below the domain (RFC 9989).
func DMARCSlot(domain string) Slot {
	return txt("_dmarc."+domain, v1alpha1.PurposeDMARC, dmarc.IsRecord, dmarc.Same)
}

// MTASTSSlot is _mta-sts below the domain (RFC 8461 §3.1).
func MTASTSSlot(domain string) Slot {
	return txt("_mta-sts."+domain, v1alpha1.PurposeMTASTS, mtasts.IsRecord, mtasts.Same)
}

// TLSRPTSlot is _smtp._tls below the domain (RFC 8460 §3).
func TLSRPTSlot(domain string) Slot {
	return txt("_smtp._tls."+domain, v1alpha1.PurposeTLSRPT, tlsrpt.IsRecord, tlsrpt.Same)
}

// SPF builds the SPF record.
func SPF(s *v1alpha1.SPFSpec) (spf.Record, error) {
	terms := append([]string{"v=spf1"}, s.Mechanisms...)
	switch s.All {
	case v1alpha1.SPFFail:
		terms = append(terms, "-all")
	case v1alpha1.SPFSoftFail:
		terms = append(terms, "~all")
	case v1alpha1.SPFNeutral:
		terms = append(terms, "?all")
	case v1alpha1.SPFPass:
		terms = append(terms, "all")
	}
	if s.Redirect != "" {
		terms = append(terms, "redirect="+s.Redirect)
	}
	if s.Exp != "" {
		terms = append(terms, "exp="+s.Exp)
	}
	return spf.Parse(strings.Join(terms, " "))
}

// DMARC builds the DMARC record.
func DMARC(s *v1alpha1.DMARCSpec) dmarc.Record {
	r := dmarc.Record{
		Policy:                     dmarc.Policy(s.Policy),
		SubdomainPolicy:            dmarc.Policy(s.SubdomainPolicy),
		NonexistentSubdomainPolicy: dmarc.Policy(s.NonexistentSubdomainPolicy),
		Testing:                    s.Testing,
		DKIMAlignment:              alignment(s.DKIMAlignment),
		SPFAlignment:               alignment(s.SPFAlignment),
		RUA:                        s.RUA,
		RUF:                        s.RUF,
	}
	for _, option := range s.FailureOptions {
		r.FailureOptions = append(r.FailureOptions, string(option))
	}
	if s.Legacy != nil {
		r.RF = s.Legacy.RF
		r.Pct, r.RI = number(s.Legacy.Pct), number(s.Legacy.RI)
	}
	return r
}

func alignment(a v1alpha1.DMARCAlignment) string {
	switch a {
	case v1alpha1.AlignmentRelaxed:
		return "r"
	case v1alpha1.AlignmentStrict:
		return "s"
	}
	return ""
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	value := int(*n)
	return &value
}

// TLSRPT builds the TLS-RPT record.
func TLSRPT(s *v1alpha1.TLSRPTSpec) tlsrpt.Record { return tlsrpt.Record{RUA: s.RUA} }

// MTASTSPolicy builds the MTA-STS policy. mx are the hosts of the live MX records, for a
// spec that names none.
func MTASTSPolicy(s *v1alpha1.MTASTSSpec, mx []string) mtasts.Policy {
	p := mtasts.Policy{Mode: mtasts.Mode(s.Mode), MaxAge: s.MaxAgeOrDefault(), MX: s.MX}
	if len(p.MX) == 0 && s.Mode != v1alpha1.MTASTSNone {
		p.MX = mx
	}
	return p
}

// withdrawnMaxAge is the max_age of the policy that ends a commitment: senders should forget
// it soon (RFC 8461 §8.3).
const withdrawnMaxAge = 24 * time.Hour

// MTASTSWithdrawal is the policy that releases senders from an earlier one (RFC 8461 §8.3).
func MTASTSWithdrawal() mtasts.Policy {
	return mtasts.Policy{Mode: mtasts.Mode(v1alpha1.MTASTSNone), MaxAge: withdrawnMaxAge}
}

// DKIM returns what should stand at the slot of a key: its record, from the moment that it is
// generated until it is revoked; then the record of a revoked key; and nothing of ours in the end.
func DKIM(k keys.Key) string {
	switch k.State() {
	case keys.Removed:
		return ""
	case keys.Revoked:
		return dkim.Revoked(k.Algorithm).String()
	}
	return k.Record
}
