// Package dmarc is Domain-based Message Authentication, Reporting, and Conformance (RFC 9989): the
// TXT record in which a domain says what receivers shall do with mail that claims to be from it
// and is not, and where they report it.
//
// # The protocol
//
// SPF and DKIM each authenticate some domain: of the envelope, of a signature. People see
// another one, in the From header. DMARC ties them together: a message passes if one of the
// domains that SPF or DKIM has authenticated is aligned with the author's domain. It is so if both have
// one organizational domain, or, if the owner wants it strict, if they are equal. For what does
// not pass there is a record at _dmarc.example.com:
//
//	v=DMARC1; p=reject; rua=mailto:dmarc@example.com
//
// The policy p is none, quarantine or reject; sp is that of subdomains, np that of subdomains that do
// not exist, and t=y has receivers take one step less. To the addresses of rua go daily reports,
// if their domains agree (RFC 9990 §4).
//
// The organizational domain, and the record of a domain that has none of its own, are found by
// walking up the tree of names, eight questions at most (§4.10). Receivers of before 2026 follow RFC 7489
// instead, which took a list of public suffixes and knew neither np nor t: see package rfc7489.
//
// # The package
//
// [Parse] and [Record.String] turn text into a [Record] and back, with the tags pct, rf and ri that
// only RFC 7489 had. Parse is strict, for what one writes oneself; [Interpret] reads a record as a
// receiver does, who tolerates much. [Discover] walks the tree, and [Discovery.Effective] is the policy
// for mail from a domain. [Destinations] says whether the report addresses agree. [Stricter]
// compares two records by what they do to mail. [Lint] judges, with codes that stay the same.
// Questions to DNS go through a [Resolver], which *net.Resolver is; nothing here reads a clock.
package dmarc
