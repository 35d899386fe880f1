package compliance

import (
	"crypto/ed25519"
	"crypto/rsa"
	"math/big"
	"testing"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

// rsaRecord is the record of a key of so many bits; nobody has its private half.
func rsaRecord(bits uint) string {
	key := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1)), E: 65537}
	r, err := dkim.NewRecord(key)
	if err != nil {
		panic(err)
	}
	return r.String()
}

func edRecord() string {
	r, err := dkim.NewRecord(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		panic(err)
	}
	return r.String()
}

func policyOf(mode mtasts.Mode, mx ...string) Fact[Policy] {
	return Seen(Policy{Body: mtasts.Policy{Mode: mode, MaxAge: mtasts.MaxMaxAge, MX: mx}.String()})
}

// discovery is what the walk from the domain finds with a record at a domain.
func discovery(t testing.TB, domain, at, text string) Fact[dmarc.Discovery] {
	t.Helper()
	r, err := dmarc.Interpret(text)
	if err != nil {
		t.Fatal(err)
	}
	found := dmarc.Found{Domain: at, Text: text, Record: r}
	return Seen(dmarc.Discovery{Domain: domain, Organization: at, Policy: &found, Walk: []dmarc.Found{found}})
}

// sound is a domain that passes what a sender can pass.
func sound(t testing.TB) Facts {
	return Facts{
		Domain: "example.com",
		Exists: Seen(true),
		MX: Seen(MX{Hosts: []Host{
			{Name: "mx1.example.com", IPv6: Seen(true), TLS: Seen(TLS{OK: true, Offered: true})},
			{Name: "mx2.example.com", IPv6: Seen(true), TLS: Seen(TLS{OK: true, Offered: true})},
		}}),
		SPF:          Seen(SPF{Records: []string{"v=spf1 mx -all"}, Analysis: spf.Analysis{Lookups: 1}}),
		Selectors:    Seen([]Selector{{"s1", Seen([]string{rsaRecord(2048)})}, {"s2", Seen([]string{edRecord()})}}),
		KeysBelow:    Seen(true),
		NullKey:      Seen([]string{}),
		DMARC:        discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; rua=mailto:d@example.com,mailto:reports@dmarc.cyber.dhs.gov"),
		Destinations: Seen([]dmarc.Destination{{Host: "example.com"}, {Host: "dmarc.cyber.dhs.gov", External: true, Agrees: true}}),
		MTASTS:       Seen([]string{"v=STSv1; id=1"}),
		Policy:       policyOf(mtasts.Enforce, "*.example.com"),
		TLSRPT:       Seen([]string{"v=TLSRPTv1; rua=mailto:t@example.net"}),
	}
}

// parked is a domain without mail.
func parked(t testing.TB) Facts {
	return Facts{
		Domain:       "example.com",
		Exists:       Seen(true),
		MX:           Seen(MX{Null: true}),
		SPF:          Seen(SPF{Records: []string{"v=spf1 -all"}}),
		Selectors:    Seen([]Selector{}),
		KeysBelow:    Seen(true),
		NullKey:      Seen([]string{"v=DKIM1; p="}),
		DMARC:        discovery(t, "example.com", "example.com", "v=DMARC1; p=reject"),
		Destinations: Seen([]dmarc.Destination{}),
		MTASTS:       Seen([]string{}),
		Policy:       Seen(Policy{Failure: "no such host"}),
		TLSRPT:       Seen([]string{}),
	}
}
