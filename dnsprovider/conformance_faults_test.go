package dnsprovider_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// ofFaults: whatever goes wrong, a read proves no absence that it has not seen, and of a write that
// may have been made nobody says that it was, or was not.
var ofFaults = []behaviour{
	{"a new record that is lost without a word shows at read-back", func(b *bench) {
		wish := dnsprovider.Wish{Value: "p=w", TTL: ourTTL}
		d := b.decide(b.txt("_p"), "p=", wish)
		b.must(aWrite, lost)
		b.apply(d.Change)
		b.wantVerb(b.decide(b.txt("_p"), "p=", wish), dnsprovider.Create)
		b.apply(b.decide(b.txt("_p"), "p=", wish).Change)
		b.wantValues(b.txt("_p"), "p=w")
	}},
	{"a replacement that is lost without a word shows at read-back", func(b *bench) {
		key, wish := b.txt("_p"), dnsprovider.Wish{Value: "p=w", TTL: ourTTL}
		b.apply(b.adding(key, "p=old"))
		d := b.decide(key, "p=", wish, "p=old")
		b.must(aWrite, lost)
		b.apply(d.Change)
		again := b.decide(key, "p=", wish, "p=old", "p=w")
		b.wantVerb(again, dnsprovider.Replace)
		b.apply(again.Change)
		b.wantValues(key, "p=w")
	}},
	{"a removal that is lost without a word shows at read-back", func(b *bench) {
		key := b.txt("_p")
		b.apply(b.adding(key, "p=old"))
		b.must(aWrite, lost)
		b.apply(b.decide(key, "p=", dnsprovider.Wish{}, "p=old").Change)
		b.wantVerb(b.decide(key, "p=", dnsprovider.Wish{}, "p=old"), dnsprovider.Remove)
	}},
	{"done and answered with an error is an unknown outcome, which reading resolves", func(b *bench) { b.unknown(doneThenError, true) }},
	{"done and not answered is an unknown outcome, which reading resolves", func(b *bench) { b.unknown(doneThenDropped, true) }},
	{"a connection that ends is no proof of absence, and an unknown outcome", func(b *bench) { b.unknown(dropped, false) }},
	{"a failure of the server is no proof of absence, and an unknown outcome", func(b *bench) { b.unknown(broken, false) }},
	{"a proxy's page is no proof of absence, and an unknown outcome", func(b *bench) { b.unknown(page, false) }},
	{"a server that never answers holds nobody up beyond the time-out", func(b *bench) {
		change := b.adding(b.txt("_p"), "p=w")
		b.zone = b.open(b, access{timeout: 200 * time.Millisecond})
		b.must(aRead, hangs)
		_, err := b.tryRead(b.Context(), b.txt("_p"))
		b.wantKind(err, dnsprovider.Unreachable)
		b.must(aWrite, hangs)
		unknown := b.tryApply(b.Context(), change)
		b.wantKind(unknown, dnsprovider.UnknownOutcome)
		for _, err := range []error{err, unknown} {
			if !errors.Is(err, context.DeadlineExceeded) {
				b.Errorf("%v does not wrap %v", err, context.DeadlineExceeded)
			}
		}
		b.zone = b.open(b, access{})
		b.apply(change)
	}},
	{"a caller that leaves is not held up, and what it began is an unknown outcome", func(b *bench) {
		for _, f := range []fault{hangs, doneThenHangs} {
			key := b.txt(fmt.Sprintf("n%d", len(f)))
			change := b.adding(key, "p=w")
			ctx, cancel := context.WithCancel(b.Context())
			b.must(aRead, hangs)
			readDone := make(chan error, 1)
			go func() {
				_, err := b.tryRead(ctx, key)
				readDone <- err
			}()
			time.AfterFunc(50*time.Millisecond, cancel)
			err := <-readDone
			b.wantKind(err, dnsprovider.Unreachable)

			ctx, cancel = context.WithCancel(b.Context())
			b.must(aWrite, f)
			time.AfterFunc(200*time.Millisecond, cancel)
			unknown := b.tryApply(ctx, change)
			b.wantKind(unknown, dnsprovider.UnknownOutcome)
			if !errors.Is(err, context.Canceled) || !errors.Is(unknown, context.Canceled) {
				b.Errorf("do not wrap %v: %v; %v", context.Canceled, err, unknown)
			}
			b.heal()
			b.again(change, f == doneThenHangs)
		}
	}},
	{"a caller that has left before costs no call", func(b *bench) {
		change := b.adding(b.txt("_p"), "p=w")
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		b.traffic().reset()
		_, err := b.tryRead(ctx, b.txt("_p"))
		b.wantKind(err, dnsprovider.Unreachable)
		b.wantKind(b.tryApply(ctx, change), dnsprovider.Unreachable)
		if reads, writes := b.traffic().calls(); reads+writes > 0 {
			b.Errorf("%d reads and %d writes", reads, writes)
		}
		b.wantValues(b.txt("_p"))
	}},
	{"a panic below the adapter is told, and the next call is well", func(b *bench) {
		change := b.adding(b.txt("_p"), "p=w")
		b.must(aRead, panics)
		_, err := b.tryRead(b.Context(), b.txt("_p"))
		b.wantKind(err, dnsprovider.Unreachable)
		b.must(aWrite, panics)
		unknown := b.tryApply(b.Context(), change)
		b.wantKind(unknown, dnsprovider.UnknownOutcome)
		for _, err := range []error{err, unknown} {
			if !strings.Contains(err.Error(), "bug") || strings.Contains(err.Error(), "dereference") {
				b.Errorf("does not ask for a report, or quotes the panic: %v", err)
			}
		}
		b.apply(change)
		b.wantValues(b.txt("_p"), "p=w")
	}},
	{"credentials that are not accepted are told, and nothing is changed with them", func(b *bench) {
		change := b.adding(b.txt("_p"), "p=w")
		b.zone = b.open(b, access{stranger: true})
		_, err := b.tryRead(b.Context(), b.txt("_p"))
		b.wantKind(err, dnsprovider.Unauthorized)
		b.wantKind(b.tryApply(b.Context(), change), dnsprovider.Unauthorized, dnsprovider.Refused)
		if got := b.stored(b, b.txt("_p")); len(got) > 0 {
			b.Errorf("%q", got)
		}
	}},
	{"a write tells credentials that are not accepted from rules", func(b *bench) {
		change := b.adding(b.txt("_p"), "p=w")
		b.zone = b.open(b, access{stranger: true})
		b.wantKind(b.tryApply(b.Context(), change), dnsprovider.Unauthorized)
	}},
	{"rights that were taken away are told, and nothing was changed", func(b *bench) { b.declined(denied, dnsprovider.Unauthorized) }},
	{"too many calls are told, with the time to come back", func(b *bench) {
		for _, err := range b.declined(limited, dnsprovider.RateLimited) {
			e, _ := errors.AsType[*dnsprovider.Error](err)
			if e.RetryAfter != 7*time.Second || strings.Contains(strings.ReplaceAll(e.Error(), e.Server, ""), " 7") {
				b.Errorf("come back after %v: %v", e.RetryAfter, e)
			}
		}
	}},
	{"after an unknown outcome each change, of this batch and the next, is told as far as is known", func(b *bench) {
		n := b.zone.Capabilities().MaxChanges + 2
		var keys []dnsprovider.Key
		for i := range n {
			keys = append(keys, b.txt(numbered("n", i)))
		}
		var changes []dnsprovider.Change
		for _, r := range b.zone.Read(b.Context(), keys...) {
			changes = append(changes, dnsprovider.Change{Seen: r.RRset, Add: []string{"v"}, TTL: ourTTL})
		}
		b.must(aWrite, doneThenDropped)
		errs := b.zone.Apply(b.Context(), changes...)
		b.wantKind(errs[0], dnsprovider.UnknownOutcome)
		for i, r := range b.zone.Read(b.Context(), keys...) {
			made := slices.Equal(r.RRset.Values(), []string{"v"})
			switch kind := dnsprovider.KindOf(errs[i]); {
			case kind == "" && !made, kind == dnsprovider.Unreachable && made:
				b.Errorf("%d: made %v, told %v", i, made, errs[i])
			case kind != "" && kind != dnsprovider.UnknownOutcome && kind != dnsprovider.Unreachable:
				b.Errorf("%d: %v", i, errs[i])
			}
		}
	}},
}

// unknown has a read and a write of a record that stands meet a fault after which nobody can know.
func (b *bench) unknown(f fault, done bool) {
	b.Helper()
	key := b.txt("_p")
	b.others(`_p TXT "site=1"`)
	b.apply(b.adding(key, "p=old"))
	change := b.replacing(key, "p=old", "p=new")

	var texts []string
	for range 2 {
		b.must(aRead, f)
		set, err := b.tryRead(b.Context(), key)
		b.wantKind(err, dnsprovider.Unreachable)
		if len(set.Records) > 0 {
			b.Errorf("records %q beside %v", set.Values(), err)
		}
		b.heal()
		texts = append(texts, err.Error())
	}
	b.traffic().reset()
	b.must(aWrite, f)
	err := b.tryApply(b.Context(), change)
	b.wantKind(err, dnsprovider.UnknownOutcome)
	b.wantWrites(1)
	b.heal()
	if texts[0] != texts[1] {
		b.Errorf("the text changes:\n%s\n%s", texts[0], texts[1])
	}
	want := "p=old"
	if done {
		want = "p=new"
	}
	b.wantValues(key, "site=1", want)
	b.again(change, done)
}

// again sends a change once more in ignorance. It cannot write twice.
func (b *bench) again(change dnsprovider.Change, done bool) {
	b.Helper()
	err := b.tryApply(b.Context(), change)
	if !done {
		b.wantKind(err, "")
	} else if b.zone.Capabilities().CompareAndSwap {
		b.wantKind(err, dnsprovider.Changed)
	}
	values := b.read(change.Seen.Key).Values()
	for _, value := range change.Add {
		if n := len(slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v != value })); n != 1 {
			b.Errorf("%q is there %d times: %q", value, n, values)
		}
	}
}

// declined has a read and a write meet a fault that is a clear no.
func (b *bench) declined(f fault, want dnsprovider.Kind) []error {
	b.Helper()
	change := b.adding(b.txt("_p"), "p=w")
	b.must(aRead, f)
	_, err := b.tryRead(b.Context(), b.txt("_p"))
	b.wantKind(err, want)
	b.must(aWrite, f)
	declined := b.tryApply(b.Context(), change)
	b.wantKind(declined, want)
	b.heal()
	b.wantValues(b.txt("_p"))
	b.apply(change)
	return []error{err, declined}
}
