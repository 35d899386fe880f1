package dkim

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

var rule = lint.NewRule

var rules = lint.Table{
	rule("DKIM-MISSING", lint.Error, "no key record at a selector in use", "publish the record of the key that signs, or stop signing with it", "RFC 6376 §6.1.2"),
	rule("DKIM-MULTIPLE", lint.Error, "more than one text at the selector", "keep the one of the key that signs: which one receivers take is undefined", "RFC 6376 §3.6.2.2"),
	rule("DKIM-SYNTAX", lint.Error, "the record can't be read", "correct it: all signatures under the selector fail", "RFC 6376 §3.6.1, §6.1.2"),
	rule("DKIM-KEY-UNREADABLE", lint.Error, "p is no key of its type", "publish the key anew, and all of it: a text that ends at 255 octets was cut off", "RFC 6376 §3.6.1, RFC 8463 §4.2"),
	rule("DKIM-KEY-TYPE", lint.Error, "a key type that receivers do not know", "use rsa, and ed25519 beside it", "RFC 6376 §3.6.1, RFC 8463 §4.2"),
	rule("DKIM-KEY-WEAK", lint.Error, "an RSA key that receivers must not accept", "rotate to a key of 2048 bits", "RFC 8301 §3.2"),
	rule("DKIM-KEY-DIFFERS", lint.Error, "the public key does not belong to the private key", "publish the key that signs: all its signatures fail", "RFC 6376 §6.1.3"),
	rule("DKIM-REVOKED", lint.Error, "a signer uses a key that is revoked", "sign with another key", "RFC 6376 §3.6.1, §6.1.2"),
	rule("DKIM-NO-SHA256", lint.Error, "h does not allow sha256, the one hash that receivers accept", "remove h, or write h=sha256", "RFC 8301 §3.1"),
	rule("DKIM-SERVICE", lint.Error, "s keeps receivers of e-mail from using the key", "remove s, or add email to it", "RFC 6376 §3.6.1"),
	rule("DKIM-PARENT-MISSING", lint.Error, "_domainkey does not exist for the name server, so nothing below does", "have the server answer NOERROR there, as names stand below", "RFC 8020 §2, Internet.nl mail test"),
	rule("DKIM-KEY-SHORT", lint.Warning, "an RSA key shorter than it should be", "rotate to a key of 2048 bits", "RFC 8301 §3.2"),
	rule("DKIM-KEY-LONG", lint.Warning, "an RSA key longer than receivers must be able to use", "rotate to a key of 2048 bits", "RFC 8301 §3.2"),
	rule("DKIM-KEY-OLD", lint.Warning, "the key has been in use for long", "rotate it", "M3AAWG DKIM key rotation"),
	rule("DKIM-KEY-SHARED", lint.Warning, "one key stands under more than one name", "give each selector and domain a key of its own", "M3AAWG DKIM key rotation"),
	rule("DKIM-SHA1", lint.Warning, "h allows sha1", "remove h, or write h=sha256", "RFC 8301 §3.1"),
	rule("DKIM-TESTING", lint.Warning, "t=y says that the domain only tests DKIM", "remove the flag once signatures verify", "RFC 6376 §3.6.1"),
	rule("DKIM-V-MISSING", lint.Warning, "no v", "begin the record with v=DKIM1: some receivers want it", "RFC 6376 §3.6.1"),
	rule("DKIM-SERVERS-DIFFER", lint.Warning, "the authoritative servers do not agree", "wait for the secondary servers, or repair their transfer", "RFC 1034 §4.3.5"),
	rule("DKIM-UNKNOWN-TAG", lint.Info, "a tag that receivers ignore", "remove it, unless somebody uses it", "RFC 6376 §3.2"),

	// Of signatures.
	rule("DKIM-SIGNATURE-SYNTAX", lint.Error, "the signature can't be read, or contradicts itself", "correct the signer: receivers ignore the signature", "RFC 6376 §3.5, §6.1.1"),
	rule("DKIM-SIGNATURE-SHA1", lint.Error, "signed with sha1, which receivers must not accept", "sign with rsa-sha256", "RFC 8301 §3.1"),
	rule("DKIM-SIGNATURE-LENGTH", lint.Warning, "only the first part of the body is signed, so anybody can add to it", "sign without l", "RFC 6376 §8.2"),
	rule("DKIM-SIGNATURE-EXPIRED", lint.Warning, "the signature has expired", "set x some days after t, or leave it out", "RFC 6376 §3.5"),
}

// Rules returns the rules that Lint and LintSignature judge by.
func Rules() []lint.Rule { return slices.Clone(rules) }

// Subject is what Lint judges: one selector. Only Texts is needed; what is nil or zero is not
// judged.
type Subject struct {
	Texts []string // all TXT records at <selector>._domainkey.<domain>, each with its strings joined
	InUse bool     // mail is signed under the selector
	// Public is the public key of the private key that signs.
	Public crypto.PublicKey
	// ParentMissing: the name server answers NXDOMAIN for _domainkey.<domain>, though names
	// stand below.
	ParentMissing bool
	// Servers are the texts that each authoritative server has, by its name.
	Servers map[string][]string
	// Others are the key records of other selectors and domains, by their names.
	Others map[string]string
	// Created is when the key was made; it should be no older than MaxAge at Now.
	Created, Now time.Time
	MaxAge       time.Duration
}

// Lint judges what a domain publishes at a selector, the worst first.
func Lint(s Subject) []lint.Finding { return lint.WorstFirst(judge(s)) }

func judge(s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	if s.ParentMissing {
		find("DKIM-PARENT-MISSING", "_domainkey gets NXDOMAIN")
	}
	servers := slices.Sorted(maps.Keys(s.Servers))
	for _, server := range servers {
		if first := servers[0]; !slices.Equal(set(s.Servers[first]), set(s.Servers[server])) {
			find("DKIM-SERVERS-DIFFER", "%s has not what %s has", server, first)
		}
	}
	if len(s.Texts) > 1 {
		find("DKIM-MULTIPLE", "%d texts: %.60q", len(s.Texts), s.Texts)
	}
	var records []string
	for _, text := range s.Texts {
		if IsRecord(text) {
			records = append(records, text)
		}
	}
	if len(records) == 0 && s.InUse {
		find("DKIM-MISSING", "%d texts, none of them a key record", len(s.Texts))
	}
	if len(records) != 1 {
		return out
	}
	r, err := Parse(records[0])
	if err != nil {
		find("DKIM-SYNTAX", "%v", err)
		return out
	}
	if !format.Is(records[0]) {
		find("DKIM-V-MISSING", "%.60q", records[0])
	}
	for _, e := range r.Extensions {
		find("DKIM-UNKNOWN-TAG", "%.60s=%.60s", e.Name, e.Value)
	}
	if r.Revoked() {
		if s.InUse {
			find("DKIM-REVOKED", "p is empty")
		}
		return out
	}
	out = append(out, lintUse(r, s.InUse)...)
	return append(out, lintKey(r, s)...)
}

// lintUse judges what the record lets receivers use the key for.
func lintUse(r Record, inUse bool) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	hashes := strings.Join(r.Hashes, ":")
	if hashes != "" && !slices.Contains(r.Hashes, "sha256") {
		find("DKIM-NO-SHA256", "h=%.60s", hashes)
	}
	if slices.Contains(r.Hashes, "sha1") {
		find("DKIM-SHA1", "h=%.60s", hashes)
	}
	// Keys of other services are none of e-mail's: TLS reports have tlsrpt (RFC 8460 §3).
	if allowed := services(r.Services); inUse && !slices.Contains(allowed, "*") && !slices.Contains(allowed, "email") {
		find("DKIM-SERVICE", "s=%.60s", strings.Join(r.Services, ":"))
	}
	if slices.Contains(r.Flags, "y") {
		find("DKIM-TESTING", "t=%.60s", strings.Join(r.Flags, ":"))
	}
	return out
}

// lintKey judges the key itself.
func lintKey(r Record, s Subject) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	if r.KeyType != RSA && r.KeyType != Ed25519 {
		find("DKIM-KEY-TYPE", "k=%.60s", r.KeyType)
		return out
	}
	public, err := r.Public()
	if err != nil {
		find("DKIM-KEY-UNREADABLE", "%v", err)
		return out
	}
	if key, ok := public.(*rsa.PublicKey); ok {
		switch bits := key.N.BitLen(); {
		case bits < minBits:
			find("DKIM-KEY-WEAK", "%d bits, want %d or more", bits, advisedBits)
		case bits < advisedBits:
			find("DKIM-KEY-SHORT", "%d bits, want %d or more", bits, advisedBits)
		case bits > maxBits:
			find("DKIM-KEY-LONG", "%d bits, want %d at most", bits, maxBits)
		}
	}
	if s.Public != nil && !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(s.Public) {
		find("DKIM-KEY-DIFFERS", "another key is published than the one that signs")
	}
	if age := s.Now.Sub(s.Created); !s.Created.IsZero() && s.MaxAge > 0 && age > s.MaxAge {
		find("DKIM-KEY-OLD", "%d days, want %d at most", days(age), days(s.MaxAge))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Others)) {
		if other, err := Parse(s.Others[name]); err == nil && bytes.Equal(other.PublicKey, r.PublicKey) {
			find("DKIM-KEY-SHARED", "%s has it too", name)
		}
	}
	return out
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// LintSignature judges the value of a DKIM-Signature header field. Whether it has expired is
// judged at the time now, unless that is zero.
func LintSignature(value string, now time.Time) (out []lint.Finding) {
	find := func(code, format string, args ...any) { out = append(out, rules.Find(code, format, args...)) }
	s, err := ParseSignature(value)
	if err != nil {
		find("DKIM-SIGNATURE-SYNTAX", "%v", err)
		return out
	}
	if strings.HasSuffix(s.Algorithm, "-sha1") {
		find("DKIM-SIGNATURE-SHA1", "a=%.60s", s.Algorithm)
	}
	if s.BodyLength != nil {
		find("DKIM-SIGNATURE-LENGTH", "l=%d", *s.BodyLength)
	}
	if !s.Expires.IsZero() && now.After(s.Expires) {
		find("DKIM-SIGNATURE-EXPIRED", "x=%d, %s", s.Expires.Unix(), s.Expires.Format(time.RFC3339))
	}
	return out
}
