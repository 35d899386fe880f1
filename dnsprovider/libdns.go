package dnsprovider

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// libdnsModules are the libdns modules that can be used, by the name that a user gives. All of
// them are experimental. Each has a file of its own that says what is true of it, and a strict
// server in the tests that proves it: see docs/providers.md.
var libdnsModules = map[string]func(LibdnsConfig) (libdnsModule, error){
	"desec": openDesec,
}

// LibdnsConfig is how to reach a zone through a libdns module.
type LibdnsConfig struct {
	Module string // a name in the table above
	Zone   string // apex of the zone

	// Credentials are what the module wants to know, by name.
	Credentials map[string]string

	// Timeout bounds one Read or Apply, waiting for another one of the zone included. Default 20 s.
	// A module that does not heed it is left alone a second later.
	Timeout time.Duration

	// Begin is asked before each method of the module that changes something.
	Begin Begin
}

const defaultLibdnsTimeout = 20 * time.Second

// NewLibdns returns a zone behind a libdns module. It connects to nothing yet.
//
// libdns says what its methods should do, and modules differ in what they do: how they quote
// and cut TXT, whether SetRecords replaces an RRset in one step or in two, whether an error
// comes back at all. So nothing is taken on trust but what the module's libdnsModule says.
// What cannot be done in a way that is safe with that is refused with Unsupported, and nothing
// is sent.
//
// No module has a compare-and-swap. Between the read that Apply makes itself and the write that
// follows at once, a record that somebody else adds to the very RRset can be lost.
func NewLibdns(cfg LibdnsConfig) (Zone, error) {
	invalid := func(err error) error {
		return &Error{Kind: Invalid, Op: "configure libdns", Server: cfg.Module, Err: err}
	}
	open, ok := libdnsModules[cfg.Module]
	if !ok {
		return nil, invalid(fmt.Errorf("module: %q is not one of %s", cfg.Module, strings.Join(slices.Sorted(maps.Keys(libdnsModules)), " ")))
	}
	module, err := open(cfg)
	if err != nil {
		return nil, invalid(err)
	}
	z, err := newLibdnsZone(module, cfg)
	if err != nil {
		return nil, invalid(err)
	}
	return z, nil
}

func newLibdnsZone(module libdnsModule, cfg LibdnsConfig) (*libdnsZone, error) {
	z := &libdnsZone{libdnsModule: module, apex: Canonical(cfg.Zone), timeout: cmp.Or(cfg.Timeout, defaultLibdnsTimeout), begin: cfg.Begin}
	if _, ok := dns.IsDomainName(z.apex); !ok || z.apex == "" {
		return nil, fmt.Errorf("zone: %q is not a domain name, such as example.com", z.apex)
	}
	if z.timeout < 0 {
		return nil, fmt.Errorf("timeout: %v is negative", z.timeout)
	}
	z.gate = libdnsGate(z.server + " " + z.apex)
	return z, nil
}

// libdnsModule is a libdns module and what is true of the pinned version of it. The zero value
// of a field promises nothing.
type libdnsModule struct {
	name   string // with its version, as texts name it
	server string // Error.Server
	client libdnsClient
	txt    libdnsText

	// replaces: what SetRecords makes of the RRsets it is given, as one step.
	replaces libdnsReplaces
	// bulk is how many RRsets SetRecords replaces in one transaction, at most; with replacesRRset.
	bulk int
	// appends: AppendRecords leaves all other records of the RRset as they are, whatever happens.
	appends bool
	// deletes: DeleteRecords removes no other record than those that it is given.
	deletes bool
	// showsNS: GetRecords shows the NS records of the apex. A list without them is not the zone's.
	showsNS bool

	minTTL, maxTTL time.Duration // what the provider takes; 0: any

	// judge says what an error of the module means, as an *Error of failure; nil if it does not
	// say. writing: it came from a method that changes something.
	judge func(err error, writing bool) error
}

// libdnsClient is what a module can do, of libdns v1.1.1.
type libdnsClient interface {
	libdns.RecordGetter
	libdns.RecordAppender
	libdns.RecordSetter
	libdns.RecordDeleter
}

// libdnsReplaces says when SetRecords replaces what stands there in one step.
type libdnsReplaces int

const (
	replacesNothing libdnsReplaces = iota // or in several steps
	replacesOne                           // one record by one, where no other stands
	replacesRRset                         // any RRset by any other
)

type libdnsZone struct {
	libdnsModule
	apex    string
	timeout time.Duration
	begin   Begin
	gate    chan struct{}
}

// Read has the module list the zone, once for all keys.
func (z *libdnsZone) Read(ctx context.Context, keys ...Key) []Reading {
	readings := make([]Reading, len(keys))
	wanted := 0
	for i, key := range keys {
		if readings[i].Err = key.check(z.apex); readings[i].Err == nil {
			wanted++
		}
	}
	var list libdnsList
	var err error
	if wanted > 0 {
		list, err = z.readAll(ctx)
	}
	for i, key := range keys {
		r := &readings[i]
		if r.Err == nil {
			r.Err = err
		}
		if r.Err == nil {
			r.RRset, r.Err = z.rrset(key, list)
		}
		if r.Err != nil {
			*r = Reading{Err: z.complete(r.Err, "read", key)}
		}
	}
	return readings
}

func (z *libdnsZone) readAll(ctx context.Context) (libdnsList, error) {
	v, leave, err := z.visit(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return v.list()
}

// Apply makes each change right after a read of its own, with no other call of this process
// for the zone in between. Where the module replaces several RRsets in one transaction, that
// many changes share the read and the write.
func (z *libdnsZone) Apply(ctx context.Context, changes ...Change) []error {
	errs := make([]error, len(changes))
	var todo []int
	for i, change := range changes {
		if change.Empty() {
			continue
		}
		if errs[i] = z.check(change); errs[i] == nil {
			todo = append(todo, i)
		}
	}
	if len(todo) > 0 {
		z.deliver(ctx, changes, todo, errs)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = z.complete(err, "update", changes[i].Seen.Key)
		}
	}
	return errs
}

// check refuses what makes no sense, whatever stands there now: it costs no call.
func (z *libdnsZone) check(change Change) error {
	if err := change.Seen.check(z.apex); err != nil {
		return err
	}
	if err := change.check(); err != nil {
		return err
	}
	if !change.keepsSome() && (change.TTL < 0 || change.TTL > maxTTL*time.Second) {
		return failure(Invalid, nil, "the TTL %v is not between 0 and %d seconds", change.TTL, maxTTL)
	}
	for _, value := range change.Add {
		if _, err := rdataOf(change.Seen.Type, value); err != nil {
			return err
		}
	}
	return nil
}

func (z *libdnsZone) deliver(ctx context.Context, changes []Change, todo []int, errs []error) {
	v, leave, err := z.visit(ctx)
	if err != nil {
		for _, i := range todo {
			errs[i] = err
		}
		return
	}
	defer leave()
	for batch := range slices.Chunk(todo, z.Capabilities().MaxChanges) {
		v.deliver(changes, batch, errs)
	}
}

// Capabilities has several changes in one call only where that is one transaction.
func (z *libdnsZone) Capabilities() Capabilities {
	most := 1
	if z.replaces == replacesRRset {
		most = max(z.bulk, 1)
	}
	return Capabilities{MinTTL: z.minTTL, MaxChanges: most}
}

// complete fills in what was attempted and where.
func (z *libdnsZone) complete(err error, verb string, key Key) error {
	return completed(err, verb+" "+key.String(), z.server)
}
