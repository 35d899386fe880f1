package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Resolver asks DNS; *net.Resolver is one. Names are handed to it with the dot at their end, so
// that no search list applies. An error that is a *net.DNSError with IsNotFound says that no
// TXT record stands at the name; any other error says that it could not be found out.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// MaxQueries is how many names one tree walk asks for (RFC 9989 §4.10).
const MaxQueries = 8

// Found is a record and where it stands.
type Found struct {
	Domain string // without _dmarc
	Text   string
	Record Record // as Interpret reads it
	// Unusable: it has neither a usable policy nor a report address (ErrNotProcessed).
	Unusable bool
}

// Discovery is what the tree walk from a domain finds.
type Discovery struct {
	Domain string
	// Organization is the organizational domain (RFC 9989 §4.10.2): names that share it are of
	// one owner. It is the domain itself where no record is found.
	Organization string
	// Policy is the record that applies to mail from the domain (§4.10.1): its own, else the
	// organizational domain's, else that of the public suffix. nil: there is no DMARC, as there is
	// no record, or as the one that would apply is unusable.
	Policy *Found
	// Walk are the records, from the domain upwards. The walk discards what does not begin with the
	// version (§4.10 step 2), and nothing else.
	Walk []Found
	// Ambiguous are names with more than one record: receivers discard them all (§4.10).
	Ambiguous []string
	Queries   int
}

// Discover walks the tree from domain upwards (RFC 9989 §4.10). An error says that a question got
// no answer, so that nothing is known.
//
// Of several records at one name all are discarded and the walk goes on, as the text of §4.10
// has it. Some receivers end the walk if that name is the author's own; either way the policy
// that was meant is lost, see Discovery.Ambiguous.
func Discover(ctx context.Context, resolver Resolver, domain string) (Discovery, error) {
	domain = fold(domain)
	d := Discovery{Domain: domain, Organization: domain}
	if domain == "" {
		return d, errors.New("no domain to look for a DMARC record of")
	}
	for _, name := range ancestry(domain) {
		d.Queries++
		texts, err := resolver.LookupTXT(ctx, "_dmarc."+name+".")
		if err != nil && !isNotFound(err) {
			return d, fmt.Errorf("no answer to the question for TXT of _dmarc.%s: %w", name, err)
		}
		found, several := only(texts)
		if several {
			d.Ambiguous = append(d.Ambiguous, name)
		}
		if found == "" {
			continue
		}
		r, err := Interpret(found)
		if err != nil && !errors.Is(err, ErrNotProcessed) {
			continue
		}
		d.Walk = append(d.Walk, Found{name, found, r, err != nil})
		if r.PSD == "y" || r.PSD == "n" {
			break
		}
	}
	d.Organization = d.organization()
	if f := d.applicable(); f != nil && !f.Unusable {
		d.Policy = f
	}
	return d, nil
}

// applicable is the record for mail from the domain (§4.10.1).
func (d Discovery) applicable() *Found {
	for _, name := range []string{d.Domain, d.Organization} {
		for i := range d.Walk {
			if d.Walk[i].Domain == name {
				return &d.Walk[i]
			}
		}
	}
	if n := len(d.Walk); n > 0 {
		return &d.Walk[n-1] // of the public suffix: any other would be the organizational domain's
	}
	return nil
}

// ancestry are the names that a walk asks for: the domain, then its ancestors from seven labels
// downwards to one.
func ancestry(domain string) []string {
	names := []string{domain}
	labels := strings.Split(domain, ".")
	for n := min(len(labels)-1, MaxQueries-1); n > 0; n-- {
		names = append(names, strings.Join(labels[len(labels)-n:], "."))
	}
	return names
}

// only returns the one DMARC record among texts, "" if there is none or more than one.
func only(texts []string) (record string, several bool) {
	for _, text := range texts {
		if !IsRecord(text) {
			continue
		}
		if record != "" {
			return "", true
		}
		record = text
	}
	return record, false
}

func (d Discovery) organization() string {
	for _, f := range d.Walk {
		if f.Record.PSD == "n" {
			return f.Domain
		}
	}
	for _, f := range d.Walk {
		if f.Record.PSD == "y" && f.Domain != d.Domain {
			// One label below the public suffix.
			below := strings.TrimSuffix(d.Domain, "."+f.Domain)
			return below[strings.LastIndexByte(below, '.')+1:] + "." + f.Domain
		}
	}
	if n := len(d.Walk); n > 0 {
		return d.Walk[n-1].Domain // of the fewest labels
	}
	return d.Domain
}

// Effective is the policy for mail from the domain that fails (RFC 9989 §4.10.1), with t=y
// taken into account; None where there is no DMARC. exists says that DNS knows the domain:
// that it does not answer NXDOMAIN.
func (d Discovery) Effective(exists bool) Policy {
	if d.Policy == nil {
		return None
	}
	p, sp, np := d.Policy.Record.policies()
	switch {
	case d.Policy.Domain == d.Domain:
	case exists:
		p = sp
	default:
		p = np
	}
	if t := d.Policy.Record.Testing; t != nil && *t {
		p = p.Weaker()
	}
	return p
}

// Aligned reports whether a domain that SPF or DKIM has authenticated speaks for the author's
// domain (RFC 9989 §4.4): strict is that they are equal, else that they have one organizational
// domain.
func Aligned(ctx context.Context, resolver Resolver, author, authenticated string, strict bool) (bool, error) {
	author, authenticated = fold(author), fold(authenticated)
	if author == authenticated {
		return true, nil
	}
	if strict {
		return false, nil
	}
	a, err := Discover(ctx, resolver, author)
	if err != nil {
		return false, err
	}
	b, err := Discover(ctx, resolver, authenticated)
	if err != nil {
		return false, err
	}
	return a.Organization == b.Organization, nil
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
