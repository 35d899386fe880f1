// Package mtasts is SMTP MTA Strict Transport Security (RFC 8461): the policy in which a domain
// tells senders that its MX hosts speak TLS with certificates for their names, and the TXT record
// that announces it.
//
// # The protocol
//
// SMTP encrypts if both sides happen to offer it: who sits between them can take the offer out, or
// answer the question for MX records with a host of his own. A domain that has something against
// that publishes two things. One is a small file, fetched over HTTPS from a fixed place:
//
//	https://mta-sts.example.com/.well-known/mta-sts.txt
//
//	version: STSv1
//	mode: enforce
//	mx: mx1.example.com
//	max_age: 604800
//
// The other is a TXT record at _mta-sts.example.com, which says that there is a policy and, by an
// id that changes, when to fetch it anew:
//
//	v=STSv1; id=20160831085700Z
//
// A sender that has the policy delivers only to a host that an mx line covers and that shows a
// valid certificate for its name; with mode testing it delivers all the same, and reports (RFC
// 8460). It keeps the policy for max_age seconds from the last time that it got it. So a mistake
// lasts: a policy must not leave out a host, must be served before it is announced, and can only
// be taken back by serving mode none until everybody has forgotten (§8.3).
//
// # The package
//
// [ParsePolicy] and [Policy.String], [ParseRecord] and [Record.String] turn text into values and
// back. [Policy.ID] derives an id from the policy's content, so that it changes exactly when the
// policy does, and [Policy.Covers] says whether a policy lets an MX host receive. [Lint] judges
// all of it, with codes that stay the same. Nothing here asks DNS, fetches, or reads a clock.
package mtasts
