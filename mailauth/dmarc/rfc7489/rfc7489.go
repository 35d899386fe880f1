// Package rfc7489 sees DMARC as receivers of before RFC 9989 do: the organizational domain comes
// from the public suffix list, not from a walk up the tree, and the tags np, t and psd do not
// exist. Compare it with package dmarc to find records that the two kinds of receivers take for
// different things.
package rfc7489

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
)

// OrganizationalDomain returns the domain one label below the public suffix (RFC 7489 §3.2), or
// the domain itself if it is a public suffix.
func OrganizationalDomain(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	organization, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return domain
	}
	return organization
}

// Discover returns the policy that applies to mail from domain (RFC 7489 §6.6.3), and the name
// without _dmarc at which its record stands; "" if there is none. An error says that a question
// got no answer.
func Discover(ctx context.Context, resolver dmarc.Resolver, domain string) (policy dmarc.Policy, at string, err error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	organization := OrganizationalDomain(domain)
	names := []string{domain, organization}
	for i, name := range slices.Compact(names) {
		texts, err := resolver.LookupTXT(ctx, "_dmarc."+name+".")
		if dns, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !dns.IsNotFound) {
			return "", "", fmt.Errorf("no answer to the question for TXT of _dmarc.%s: %w", name, err)
		}
		texts = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return !dmarc.IsRecord(text) })
		if len(texts) == 0 {
			continue
		}
		// Of several records, and of one that can't be used, comes no DMARC processing at all.
		if len(texts) > 1 {
			return dmarc.None, "", nil
		}
		r, err := dmarc.Interpret(texts[0])
		if err != nil {
			return dmarc.None, "", nil
		}
		if i > 0 && r.SubdomainPolicy != "" {
			return r.SubdomainPolicy, name, nil
		}
		return r.Policy, name, nil
	}
	return dmarc.None, "", nil
}
