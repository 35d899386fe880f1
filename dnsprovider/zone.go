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

// Zone reads and changes the RRsets of one DNS zone at its provider. Its methods can be
// called at the same time, and every error they return is an *Error.
type Zone interface {
	// Read returns what stands at key. No records with a nil error is proof of absence,
	// not a failure to look. Records that a wildcard makes up are not at key.
	Read(ctx context.Context, key Key) (RRset, error)

	// Apply makes the change whole or not at all. Nil says that the provider took it, not
	// that it is served: the caller reads back. After an error of kind UnknownOutcome it may
	// or may not have happened.
	Apply(ctx context.Context, change Change) error
}
