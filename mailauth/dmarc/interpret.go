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
// counts. If a policy is invalid, or p is missing, the record asks for nothing but reports; without
// a report address either the error is ErrNotProcessed. If the text is no DMARC record at all, the
// error is a *SyntaxError.
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
	if unusable || r.Policy == "" {
		if len(r.RUA) == 0 {
			return Record{}, ErrNotProcessed
		}
		r.Policy, r.SubdomainPolicy, r.NonexistentSubdomainPolicy = None, "", ""
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
func Host(uri string) (host string, ok bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	if strings.EqualFold(scheme, "mailto") {
		rest, _, _ = strings.Cut(rest, "?")
		rest, _, _ = strings.Cut(rest, "!")
		at := strings.LastIndexByte(rest, '@')
		if at < 0 {
			return "", false
		}
		host = rest[at+1:]
	} else {
		rest, found := strings.CutPrefix(rest, "//")
		if !found {
			return "", false
		}
		host, _, _ = strings.Cut(rest, "/")
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			host = host[i+1:]
		}
		host, _, _ = strings.Cut(host, ":")
	}
	host = fold(host)
	return host, host != ""
}

func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
