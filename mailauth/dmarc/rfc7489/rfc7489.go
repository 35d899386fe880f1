// Package rfc7489 sees DMARC as receivers of before RFC 9989 do: the organizational domain comes
// from the public suffix list, not from a walk up the tree, and the tags np, t and psd do not
// exist. Compare it with package dmarc to find records that the two kinds of receivers take for
// different things. Of pct, by which a receiver takes a step off the policy of a part of the mail,
// it says nothing.
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
	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// OrganizationalDomain returns the domain one label below the public suffix (RFC 7489 §3.2), or
// the domain itself if it is a public suffix. The list is that of golang.org/x/net/publicsuffix, with
// the suffixes that companies have registered for themselves; not all receivers take those.
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
		r, err := interpret(texts[0])
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

// interpret reads a record without the tags that RFC 7489 does not know, so that they can't do harm.
// Its grammar has p behind v (§6.4); without, the record asks for nothing but reports (§6.6.3).
func interpret(text string) (dmarc.Record, error) {
	format := syntax.Format{FoldNames: true}
	tags := slices.DeleteFunc(format.Tolerate(text), func(t syntax.Tag) bool { return t.Name == "np" || t.Name == "t" || t.Name == "psd" })
	if len(tags) < 2 || tags[1].Name != "p" {
		tags = slices.DeleteFunc(tags, func(t syntax.Tag) bool { return t.Name == "p" || t.Name == "sp" })
	}
	return dmarc.Interpret(syntax.Join(tags))
}
