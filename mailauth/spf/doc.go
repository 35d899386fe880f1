// Package spf is the Sender Policy Framework (RFC 7208): the TXT record in which a domain lists
// the hosts that may send mail in its name, and the function by which a receiver judges a
// message.
//
// # The protocol
//
// A receiver has the address of the host that delivers, and the domain of the sender that the
// host states in MAIL FROM (or in HELO, for mail without a sender). It gets the domain's one TXT
// record that begins with "v=spf1", such as
//
//	v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all
//
// and takes its mechanisms from left to right. The first one that the host matches decides, by
// its qualifier: + (or none) pass, - fail, ~ softfail, ? neutral. Here pass the hosts of a
// network, those that take the domain's mail, and those that smarter.se's own record lets pass;
// all others fail.
//
// Because a record may lead to other records, and those to more, a receiver asks DNS ten times
// at most, and gives up with permerror beyond. That limit is what breaks real records, as it is
// used up by people who do not know of each other.
//
// # The package
//
// [Parse] and [Record.String] turn text into a [Record] and back. [Evaluate] is the receiver's
// function, whole: all mechanisms, macros, limits, and the sender's explanation; it leaves a
// trace that shows where the lookups go. [Analyze] weighs a record without a message, in the worst
// case: what it costs, whom it lets pass, and where some receiver would give up. [Lint] judges
// it, with codes that stay the same.
//
// A question to DNS goes through a [Resolver], which *net.Resolver is. Nothing here reads a clock
// or keeps state.
package spf
