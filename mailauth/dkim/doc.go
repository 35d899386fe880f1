// Package dkim is DomainKeys Identified Mail (RFC 6376, with RFC 8301 and RFC 8463): the key
// records that a domain publishes, and the signatures in messages that point to them.
//
// # The protocol
//
// A mail server signs a message with a private key and adds the signature as a header field:
//
//	DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=mail-2026;
//	  h=from:to:subject:date; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=…
//
// It says which domain answers for the message (d), which header fields are signed (h), and what
// the body's hash is (bh). With the selector s it also says where the public key is: in the TXT
// record at mail-2026._domainkey.example.com, such as
//
//	v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A…
//
// A receiver looks the key up and verifies. If it succeeds, the message comes from somebody who
// holds a private key of example.com, and what is signed was not changed on the way. It does not
// say that the author in From is of that domain: comparing the two is DMARC's.
//
// # Selectors and rotation
//
// By selectors a domain has more than one key at a time: one for each of its senders, one for
// each algorithm, and the next one beside the old. To change keys, publish the new one under a
// new selector; once all name servers have it, sign with it; and keep the old record until the
// mail that was signed with the old key has arrived, a week or so. Then revoke it: a record with
// an empty p. A selector is not used again, or a receiver could not tell old mail from forged.
//
// RSA keys should have 2048 bits: 1024 is the least that receivers accept, and 4096 the most
// that they must (RFC 8301 §3.2). An Ed25519 key is stronger than 2048 bits of RSA and far
// shorter, but many receivers do not know the algorithm: sign with both.
//
// # The package
//
// [Parse] and [Record.String] turn text into a [Record] and back. [NewRecord] makes the record
// of a public key, and [Record.Public] gives the key back. [Lint] judges what stands at a
// selector, by the record, by what DNS answers, and by what its caller knows of the signer.
// [ParseSignature] and [LintSignature] read and judge the header field of a message; whether a
// signature fits its message is for a verifier to say.
//
// Nothing here asks DNS, reads a clock or keeps state.
package dkim
