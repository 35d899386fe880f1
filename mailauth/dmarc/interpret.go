package dmarc

import (
	"errors"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// ErrNotProcessed: a receiver that follows RFC 9989 treats the domain as if it had no record.
var ErrNotProcessed = errors.New("neither a usable policy nor a report address: receivers ignore the record (RFC 9989 §4.10.1)")

// Interpret reads a record as a receiver does (RFC 9989 §4.8, §4.10.1), which is more lenient
// than Parse: a tag that can't be read counts as absent, and of one that stands twice the first
// counts. p counts as none if it is missing (§4.7), and if a policy is invalid the record asks for
// nothing but reports. If there is no report address either, the error is ErrNotProcessed, with a
// record that has no policies: its psd says all the same where the organization ends (§4.10). If the
// text is no DMARC record at all, the error is a *SyntaxError.
func Interpret(txt string) (Record, error) {
	if !IsRecord(txt) || len(txt) > syntax.MaxText {
		return Record{}, format.Fail(0, txt, "v=DMARC1 first")
	}
	var r Record
	unusable := false
	seen := map[string]bool{"v": true}
	for _, t := range format.Tolerate(txt) {
		if seen[t.Name] {
			continue
		}
		seen[t.Name] = true
		switch err := r.set(t); {
		case err == nil:
		case t.Name == "p" || t.Name == "sp" || t.Name == "np":
			unusable = true
		case t.Name == "rua" || t.Name == "ruf":
			// One bad address does not take the others with it.
			usable := slices.DeleteFunc(format.List(t.Value, ","), func(uri string) bool { return !syntax.IsURI(uri) })
			if t.Name == "rua" {
				r.RUA = usable
			} else {
				r.RUF = usable
			}
		}
	}
	switch {
	case (unusable || r.Policy == "") && len(r.RUA) == 0:
		r.Policy, r.SubdomainPolicy, r.NonexistentSubdomainPolicy = "", "", ""
		return r, ErrNotProcessed
	case unusable:
		r.Policy, r.SubdomainPolicy, r.NonexistentSubdomainPolicy = None, "", ""
	case r.Policy == "":
		r.Policy = None
	}
	return r, nil
}

// Weaker returns the policy one step down, which is what t=y makes of it (RFC 9989 §4.7).
func (p Policy) Weaker() Policy {
	if p == Reject {
		return Quarantine
	}
	return None
}

// Alignment returns what the record demands of the domains that SPF and DKIM authenticate:
// true is that they equal the author's domain; else that both have one organizational domain.
func (r Record) Alignment() (strictSPF, strictDKIM bool) {
	return r.SPFAlignment == "s", r.DKIMAlignment == "s"
}

// hosts returns the domains that the URIs of a list lead to, in their order, each once.
func hosts(uris []string) []string {
	var list []string
	seen := map[string]bool{}
	for _, uri := range uris {
		if host, ok := Host(uri); ok && !seen[host] {
			seen[host] = true
			list = append(list, host)
		}
	}
	return list
}

// Host returns the domain that a report URI leads to: of the address of a mailto URI, without the
// size that RFC 7489 allowed behind "!", or the host of another one. ok is false if there is none.
func Host(uri string) (host string, ok bool) { return syntax.Host(uri) }

func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
