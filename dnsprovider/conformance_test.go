package dnsprovider_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// TestConformance holds every adapter to one contract: each behaviour against each backend. A new
// adapter is one file with a world, and a line in backends.
func TestConformance(t *testing.T) {
	behaviours := slices.Concat(ofValues, ofHosts, ofOthers, ofWriting, ofFaults)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			newWorld := b.start(t, len(behaviours))
			known := map[string]bool{}
			for _, c := range behaviours {
				if known[c.name] {
					t.Errorf("two behaviours are called %q", c.name)
				}
				known[c.name] = true
				t.Run(c.name, func(t *testing.T) {
					why, skipped := b.skips[c.name]
					if !skipped {
						c.run(t, newWorld(t))
						return
					}
					if holds(t, c, newWorld) {
						t.Errorf("it holds, so take it from the list of what %s is not held to: %s", b.name, why)
					}
					t.Skip(why)
				})
			}
			for name := range b.skips {
				if !known[name] {
					t.Errorf("skipped, and no behaviour: %q", name)
				}
			}
		})
	}
}

// backend is a provider with the adapter for it.
type backend struct {
	name string
	// start starts the provider, with so many zones, and returns what makes a world of the next one.
	start func(t *testing.T, zones int) func(t testing.TB) world
	// skips are the behaviours that it is not held to, and why. One that holds must not be there.
	skips map[string]string
}

// behaviour is one thing that every adapter does.
type behaviour struct {
	name string
	test func(b *bench)
}

func (c behaviour) run(t testing.TB, w world) {
	c.test(&bench{TB: t, world: w, zone: w.open(t, access{})})
}

// holds runs a behaviour that may fail, and reports whether it did not.
func holds(t testing.TB, c behaviour, newWorld func(t testing.TB) world) bool {
	r := &rehearsal{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(r, newWorld(r))
	}()
	<-done
	return !r.failed
}

// rehearsal is a test whose failure is no failure of the suite.
type rehearsal struct {
	testing.TB
	failed bool
}

func (r *rehearsal) Error(...any)          { r.failed = true }
func (r *rehearsal) Errorf(string, ...any) { r.failed = true }
func (r *rehearsal) Fatal(...any)          { r.failed = true; runtime.Goexit() }
func (r *rehearsal) Fatalf(string, ...any) { r.failed = true; runtime.Goexit() }
func (r *rehearsal) Failed() bool          { return r.failed }

// patience is far longer than any answer takes.
const patience = time.Minute

// The TTL of what others write, and ours.
const (
	theirTTL = 2 * time.Hour
	ourTTL   = time.Hour
)

// bench is where one behaviour is tested: a world, and a zone opened in it.
type bench struct {
	testing.TB
	world
	zone dnsprovider.Zone
}

// name returns the name below the apex, "@" for the apex.
func (b *bench) name(label string) string { return absolute(label, b.apex()) }

func absolute(label, apex string) string {
	if label == "@" {
		return apex
	}
	return label + "." + apex
}

func (b *bench) txt(label string) dnsprovider.Key { return b.key(label, dnsprovider.TypeTXT) }

func (b *bench) key(label, recordType string) dnsprovider.Key {
	return dnsprovider.Key{Name: b.name(label), Type: recordType}
}

// others has somebody else write records: lines of a label, a type, and rdata as in a zone file.
func (b *bench) others(lines ...string) {
	b.Helper()
	b.add(b, recordsOf(lines...)...)
}

func recordsOf(lines ...string) []record {
	var records []record
	for _, line := range lines {
		f := strings.SplitN(line, " ", 3)
		records = append(records, record{label: f[0], recordType: f[1], ttl: theirTTL, data: f[2]})
	}
	return records
}

func (b *bench) tryRead(ctx context.Context, key dnsprovider.Key) (dnsprovider.RRset, error) {
	r := b.zone.Read(ctx, key)[0]
	return r.RRset, r.Err
}

func (b *bench) read(key dnsprovider.Key) dnsprovider.RRset {
	b.Helper()
	set, err := b.tryRead(b.Context(), key)
	if err != nil {
		b.Fatal(err)
	}
	if set.Key != key {
		b.Fatalf("read %v, got %v", key, set.Key)
	}
	return set
}

func (b *bench) tryApply(ctx context.Context, change dnsprovider.Change) error {
	return b.zone.Apply(ctx, change)[0]
}

func (b *bench) apply(changes ...dnsprovider.Change) {
	b.Helper()
	for i, err := range b.zone.Apply(b.Context(), changes...) {
		if err != nil {
			b.Fatalf("%v: %v", changes[i].Seen.Key, err)
		}
	}
}

// adding is the change that adds values to what stands at a key.
func (b *bench) adding(key dnsprovider.Key, values ...string) dnsprovider.Change {
	b.Helper()
	return dnsprovider.Change{Seen: b.read(key), Add: values, TTL: ourTTL}
}

// replacing is the change of one value that stands into another.
func (b *bench) replacing(key dnsprovider.Key, old, value string) dnsprovider.Change {
	b.Helper()
	c := b.adding(key, value)
	c.Remove = b.picked(c.Seen, old)
	return c
}

// removing is the change that takes values away.
func (b *bench) removing(key dnsprovider.Key, values ...string) dnsprovider.Change {
	b.Helper()
	seen := b.read(key)
	return dnsprovider.Change{Seen: seen, Remove: b.picked(seen, values...)}
}

func (b *bench) picked(seen dnsprovider.RRset, values ...string) (picked []dnsprovider.Record) {
	b.Helper()
	for _, value := range values {
		at := slices.IndexFunc(seen.Records, func(r dnsprovider.Record) bool { return r.Value == value })
		if at < 0 {
			b.Fatalf("%q is not among %q", value, seen.Values())
		}
		picked = append(picked, seen.Records[at])
	}
	return picked
}

// wantValues checks what is read at a key.
func (b *bench) wantValues(key dnsprovider.Key, want ...string) {
	b.Helper()
	seen := b.read(key)
	slices.Sort(want)
	if !slices.Equal(seen.Values(), want) || seen.Alias != "" {
		b.Errorf("%v is %q, want %q; alias %q", key, seen.Values(), want, seen.Alias)
	}
}

// wantStored checks that records stand at the provider as they stood, and reports how many others do.
func (b *bench) wantStored(key dnsprovider.Key, want []string) (others int) {
	b.Helper()
	got := b.stored(b, key)
	for _, line := range want {
		at := slices.Index(got, line)
		if at < 0 {
			b.Errorf("%v: gone is %s; there is %q", key, line, got)
			continue
		}
		got = slices.Delete(got, at, at+1)
	}
	return len(got)
}

// wantKind checks the kind of an error, and that its text is fit for a status condition.
func (b *bench) wantKind(err error, want ...dnsprovider.Kind) {
	b.Helper()
	if !slices.Contains(want, dnsprovider.KindOf(err)) {
		b.Fatalf("kind %q, want %q: %v", dnsprovider.KindOf(err), want, err)
	}
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*dnsprovider.Error](err); !ok || e.Op == "" || e.Server == "" || len(err.Error()) > 500 {
		b.Errorf("does not say what was attempted and where, or says too much: %v", err)
	}
	for _, word := range append(foreignWords, b.secret()) {
		if strings.Contains(err.Error(), word) {
			b.Errorf("the text holds %q: %v", word, err)
		}
	}
}

// foreignWords are words of the other side, which do not belong into a condition.
var foreignWords = []string{"DOCTYPE", "<html", "HTTP/1", "Bad Gateway", "Ray ID", "goroutine"}

// decide says what to do at a key about a protocol whose values begin with prefix.
func (b *bench) decide(key dnsprovider.Key, prefix string, wish dnsprovider.Wish, owned ...string) dnsprovider.Decision {
	b.Helper()
	var entries []dnsprovider.Owned
	for _, value := range owned {
		entries = append(entries, dnsprovider.Owned{Value: value, Settled: true})
	}
	return dnsprovider.Decide(protocol(key, prefix), wish, b.read(key), entries)
}

func protocol(key dnsprovider.Key, prefix string) dnsprovider.Slot {
	return dnsprovider.Slot{
		Key:  key,
		Is:   func(value string) bool { return strings.HasPrefix(value, prefix) },
		Same: strings.EqualFold,
	}
}

func (b *bench) wantVerb(d dnsprovider.Decision, want dnsprovider.Verb) {
	b.Helper()
	if d.Verb != want {
		b.Errorf("decided %s, want %s: %+v", d.Verb, want, d)
	}
}

// wantWrites checks how many calls that write were made since resetCalls.
func (b *bench) wantWrites(want int) {
	b.Helper()
	if _, writes := b.traffic().calls(); writes != want {
		b.Errorf("%d writing calls, want %d", writes, want)
	}
}

func (b *bench) must(on call, f fault) {
	b.Helper()
	if !b.fail(on, f) {
		b.Fatalf("the backend cannot have a %s meet: %s", on, f)
	}
}

// texts returns the texts that the world sees at a key, sorted.
func (b *bench) texts(key dnsprovider.Key) []string {
	b.Helper()
	var texts []string
	for _, strs := range b.wire(key) {
		texts = append(texts, strings.Join(strs, ""))
	}
	slices.Sort(texts)
	return texts
}

// wire returns the character-strings of each record that is served at a key.
func (b *bench) wire(key dnsprovider.Key) [][]string {
	b.Helper()
	var all [][]string
	for _, rdata := range b.served(b, key) {
		var strs []string
		for len(rdata) > 0 {
			n := 1 + int(rdata[0])
			strs = append(strs, string(rdata[1:n]))
			rdata = rdata[n:]
		}
		all = append(all, strs)
	}
	return all
}

// wantServed checks that one record is served at a key, in strings of the lengths.
func (b *bench) wantServed(key dnsprovider.Key, value string, lengths ...int) {
	b.Helper()
	all := b.wire(key)
	if len(all) != 1 {
		b.Fatalf("%d records are served at %v, want 1", len(all), key)
	}
	var got []int
	for _, s := range all[0] {
		got = append(got, len(s))
	}
	if !slices.Equal(got, lengths) || strings.Join(all[0], "") != value {
		b.Errorf("%v is served in strings of %v, want %v; the text is right: %v", key, got, lengths, strings.Join(all[0], "") == value)
	}
}

func numbered(label string, i int) string { return fmt.Sprintf("%s%d", label, i) }
