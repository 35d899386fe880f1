package dnsprovider

import (
	"context"
	"time"
)

// The record types that a Zone reads and writes.
const (
	TypeTXT   = "TXT"
	TypeCNAME = "CNAME"
	TypeA     = "A"
	TypeAAAA  = "AAAA"
)

// Key names one RRset.
type Key struct {
	Name string // absolute, lower case, no trailing dot
	Type string // TypeTXT, TypeCNAME, TypeA or TypeAAAA
}

func (k Key) String() string { return k.Type + " " + k.Name }

// Record is one resource record of an RRset.
type Record struct {
	// Value is what the record says. TXT: the octets of all character-strings joined
	// (RFC 7208 §3.3, RFC 6376 §3.6.2.2); CNAME: the canonical target; A and AAAA: the
	// canonical address.
	Value string

	// Handle is the adapter's exact identity of the record as it was read: two records
	// can have one Value and still differ, "abc" "def" and "abcdef" for instance. Only
	// the adapter that made it can read it.
	Handle string
}

// RRset is what stands at a Key. An RRset without records does not exist.
type RRset struct {
	Key
	TTL     time.Duration
	Records []Record // sorted by Value, then Handle

	// Alias is the canonical target of the CNAME that occupies the name, where Type is
	// not CNAME. No other record can stand beside it (RFC 1034 §3.6.2).
	Alias string

	// Shared: where Type is CNAME, records that are no addresses stand at the name, so that a CNAME
	// cannot. It is set by adapters whose provider would take the CNAME nevertheless.
	Shared bool
}

// Values returns the value of every record, in order.
func (s RRset) Values() []string {
	values := make([]string, len(s.Records))
	for i, r := range s.Records {
		values[i] = r.Value
	}
	return values
}

// Change replaces records of one RRset in place, as one step: nobody ever sees the
// RRset with Remove gone and Add not there yet. It is valid only while the RRset still
// is Seen, and it leaves every record that Remove does not name as it is, octet by octet.
type Change struct {
	Seen   RRset
	Remove []Record      // a part of Seen.Records
	Add    []string      // values
	TTL    time.Duration // for a new RRset; where other records stay, their TTL is kept
}

// Empty reports whether the change changes nothing.
func (c Change) Empty() bool { return len(c.Remove) == 0 && len(c.Add) == 0 }

// Reading is the answer to the question what stands at one key.
type Reading struct {
	RRset RRset
	Err   error // an *Error; then RRset says nothing
}

// Capabilities is what sets one provider apart from another.
type Capabilities struct {
	// CompareAndSwap: Apply itself refuses a change whose RRset is not Seen any more. Without it
	// another writer has the time between read and write to come in between.
	CompareAndSwap bool
	// MinTTL is the shortest time to live that the provider takes; 0: none.
	MinTTL time.Duration
	// MaxChanges is how many changes go to the provider in one call, at most.
	MaxChanges int
}

// Zone reads and changes the RRsets of one DNS zone at its provider. Its methods can be
// called at the same time, and every error they return is an *Error.
type Zone interface {
	// Read returns what stands at the keys, one answer for each, in their order. No records with a
	// nil error is proof of absence, not a failure to look. Records that a wildcard makes up
	// are not at a key.
	Read(ctx context.Context, keys ...Key) []Reading

	// Apply makes the changes, each whole or not at all, in their order, and returns the error of
	// each; no two are of one key. Those of one name's CNAME, A and AAAA records are made whole or not at
	// all together, where the provider can do that. Seen may count on what changes before it make of the name's other
	// types: an adapter that can't tell answers Changed, and the next look does it. Nil says that the provider took the change, not that
	// it is served: the caller reads back. After an error of kind UnknownOutcome it may or may
	// not have happened. One that is Empty costs nothing.
	Apply(ctx context.Context, changes ...Change) []error

	Capabilities() Capabilities
}
