// Package dnsprovider changes DNS records at the provider that holds a zone, one
// RRset at a time, without ever touching a record that is not ours.
//
// Decide is the pure half: from what stands in an RRset, what the ledger says we
// wrote, and what is wanted, it says what to do. Zone is the other half: it reads an
// RRset and replaces records in place, valid only while the RRset still is what was
// read. Nothing in the package knows Kubernetes, and nothing in it reads a clock.
//
// Names are absolute, lower-case A-labels without the trailing dot, such as
// "_dmarc.example.com"; only the wire edge adds the dot.
package dnsprovider
