package rfc7489

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
)

type zone map[string][]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	texts, ok := z[strings.TrimSuffix(name, ".")]
	if !ok {
		return nil, &net.DNSError{IsNotFound: true}
	}
	if texts == nil {
		return nil, &net.DNSError{IsTemporary: true}
	}
	return texts, nil
}

// counter counts questions, and has no answer to any.
type counter int

func (c *counter) LookupTXT(ctx context.Context, name string) ([]string, error) {
	*c++
	return zone{}.LookupTXT(ctx, name)
}

// Where the two kinds of receivers differ.
func TestDifferences(t *testing.T) {
	for name, test := range map[string]struct {
		zone     zone
		domain   string
		old, new dmarc.Policy
		at       string
	}{
		"t is not known":              {zone{"_dmarc.example.com": {"v=DMARC1; p=reject; t=y"}}, "example.com", dmarc.Reject, dmarc.Quarantine, "example.com"},
		"np is not known":             {zone{"_dmarc.example.com": {"v=DMARC1; p=reject; sp=none; np=reject"}}, "no.example.com", dmarc.None, dmarc.Reject, "example.com"},
		"a record in between":         {zone{"_dmarc.b.example.com": {"v=DMARC1; p=reject; psd=n"}, "_dmarc.example.com": {"v=DMARC1; p=none"}}, "a.b.example.com", dmarc.None, dmarc.Reject, "example.com"},
		"a public suffix's record":    {zone{"_dmarc.co.uk": {"v=DMARC1; p=reject; psd=y"}}, "example.co.uk", dmarc.None, dmarc.Reject, ""},
		"sp for a subdomain":          {zone{"_dmarc.example.com": {"v=DMARC1; p=reject; sp=quarantine"}}, "a.example.com", dmarc.Quarantine, dmarc.Quarantine, "example.com"},
		"p for a subdomain":           {zone{"_dmarc.example.com": {"v=DMARC1; p=reject"}}, "A.example.com.", dmarc.Reject, dmarc.Reject, "example.com"},
		"several records end it here": {zone{"_dmarc.a.example.com": {"v=DMARC1; p=none", "v=DMARC1; p=reject"}, "_dmarc.example.com": {"v=DMARC1; p=reject"}}, "a.example.com", dmarc.None, dmarc.Reject, ""},
		"one that can't be used":      {zone{"_dmarc.example.com": {"v=DMARC1; p=x"}}, "example.com", dmarc.None, dmarc.None, ""},
		"an np that can't be read":    {zone{"_dmarc.example.com": {"v=DMARC1; p=reject; np=x"}}, "example.com", dmarc.Reject, dmarc.None, "example.com"},
		"p behind another tag":        {zone{"_dmarc.example.com": {"v=DMARC1; sp=none; p=reject"}}, "example.com", dmarc.None, dmarc.Reject, ""},
		"p behind rua":                {zone{"_dmarc.example.com": {"v=DMARC1; rua=mailto:a@x.se; sp=reject; p=reject"}}, "a.example.com", dmarc.None, dmarc.Reject, "example.com"},
		"p missing":                   {zone{"_dmarc.example.com": {"v=DMARC1; rua=mailto:a@x.se; sp=reject"}}, "a.example.com", dmarc.None, dmarc.Reject, "example.com"},
		"an sp that can't be read":    {zone{"_dmarc.example.com": {"v=DMARC1; p=reject; sp=x"}}, "example.com", dmarc.None, dmarc.None, ""},
		"sp at the domain itself":     {zone{"_dmarc.example.com": {"v=DMARC1; p=reject; sp=none"}}, "example.com", dmarc.Reject, dmarc.Reject, "example.com"},
		"nothing":                     {zone{}, "example.com", dmarc.None, dmarc.None, ""},
	} {
		t.Run(name, func(t *testing.T) {
			old, at, err := Discover(t.Context(), test.zone, test.domain)
			if err != nil || old != test.old || at != test.at {
				t.Errorf("RFC 7489: got %s at %q (%v), want %s at %q", old, at, err, test.old, test.at)
			}
			d, err := dmarc.Discover(t.Context(), test.zone, test.domain)
			if got := d.Effective(false); err != nil || got != test.new {
				t.Errorf("RFC 9989: got %s (%v), want %s", got, err, test.new)
			}
		})
	}
	asked := new(counter)
	if _, _, err := Discover(t.Context(), asked, "example.com"); err != nil || *asked != 1 {
		t.Errorf("%d questions about a domain that is the organizational one (%v)", *asked, err)
	}
	if _, _, err := Discover(t.Context(), zone{"_dmarc.example.com": nil}, "a.example.com"); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("no answer: got %v", err)
	}
}

func TestOrganizationalDomain(t *testing.T) {
	for domain, want := range map[string]string{"a.b.example.com": "example.com", "Example.co.uk.": "example.co.uk", "co.uk": "co.uk", "com": "com"} {
		if got := OrganizationalDomain(domain); got != want {
			t.Errorf("%s: got %s, want %s", domain, got, want)
		}
	}
}
