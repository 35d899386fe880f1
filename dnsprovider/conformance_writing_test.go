package dnsprovider_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// ofWriting: never two of ours, never none, no call that need not be, and each change by itself.
var ofWriting = []behaviour{
	{"a replacement is never two and never none, at no step", func(b *bench) {
		key := b.txt("_p")
		b.others(`_p TXT "site=1"`)
		b.apply(b.adding(key, "p=0"))
		looks := b.watched(key, func() {
			for i := range 5 {
				b.apply(b.replacing(key, numbered("p=", i), numbered("p=", i+1)))
			}
		})
		b.wantAlways(looks, "p=", 1)
	}},
	{"a replacement where nothing else stands is never two and never none, at no step", func(b *bench) {
		key, old := b.txt("s1._domainkey"), "v=DKIM1; p="
		value := "v=DKIM1; p=" + strings.Repeat("A", 736)
		b.apply(b.adding(key, old))
		looks := b.watched(key, func() {
			b.apply(b.replacing(key, old, value))
			b.apply(b.replacing(key, value, old))
		})
		b.wantAlways(looks, "v=DKIM1", 1)
	}},
	{"several of ours become one without a moment of none", func(b *bench) {
		key := b.txt("_p")
		b.others(`_p TXT "site=1"`, `_p TXT "p=1"`, `_p TXT "p=2"`, `_p TXT "p=3"`)
		looks := b.watched(key, func() {
			c := b.adding(key, "p=4")
			c.Remove = b.picked(c.Seen, "p=1", "p=2", "p=3")
			b.apply(c)
		})
		for _, texts := range looks {
			if n := ofProtocol(texts, "p="); n != 3 && n != 1 {
				b.Errorf("%d stand: %q", n, texts)
			}
		}
		b.wantValues(key, "site=1", "p=4")
	}},
	{"decisions and changes converge, and what is as wanted costs no call", func(b *bench) {
		key := b.txt("@")
		b.others(`@ TXT "site=1"`, `@ TXT "p=theirs"`)
		var owned []string
		for _, step := range []struct {
			wish dnsprovider.Wish
			want dnsprovider.Verb
			then []string
		}{
			{dnsprovider.Wish{Value: "p=w"}, dnsprovider.Conflict, []string{"site=1", "p=theirs"}},
			{dnsprovider.Wish{Value: "p=w", Adopt: true}, dnsprovider.Replace, []string{"site=1", "p=w"}},
			{dnsprovider.Wish{Value: "p=w"}, dnsprovider.Keep, []string{"site=1", "p=w"}},
			{dnsprovider.Wish{Value: "P=W"}, dnsprovider.Keep, []string{"site=1", "p=w"}},
			{dnsprovider.Wish{Value: "p=x"}, dnsprovider.Replace, []string{"site=1", "p=x"}},
			{dnsprovider.Wish{}, dnsprovider.Remove, []string{"site=1"}},
			{dnsprovider.Wish{}, dnsprovider.Keep, []string{"site=1"}},
			{dnsprovider.Wish{Value: "p=w"}, dnsprovider.Create, []string{"site=1", "p=w"}},
		} {
			d := b.decide(key, "p=", step.wish, owned...)
			b.wantVerb(d, step.want)
			b.traffic().reset()
			b.apply(d.Change)
			if reads, writes := b.traffic().calls(); d.Change.Empty() && reads+writes > 0 {
				b.Errorf("%s: %d reads and %d writes", d.Verb, reads, writes)
			}
			b.wantValues(key, step.then...)
			owned = nil
			if d.Value != "" {
				owned = []string{d.Value}
			}
		}
	}},
	{"nothing to do costs no call", func(b *bench) {
		if n := len(b.zone.Read(b.Context())) + len(b.zone.Apply(b.Context())); n > 0 {
			b.Error("an answer to nothing")
		}
		b.apply(dnsprovider.Change{Seen: dnsprovider.RRset{Key: b.txt("_dmarc")}}, dnsprovider.Change{})
		if reads, writes := b.traffic().calls(); reads+writes > 0 {
			b.Errorf("%d reads and %d writes", reads, writes)
		}
	}},
	{"many changes go out in as few calls as the provider takes", func(b *bench) {
		const n = 25
		var keys []dnsprovider.Key
		for i := range n {
			keys = append(keys, b.txt(numbered("n", i)))
		}
		var changes []dnsprovider.Change
		for _, r := range b.zone.Read(b.Context(), keys...) {
			changes = append(changes, dnsprovider.Change{Seen: r.RRset, Add: []string{"v"}, TTL: ourTTL})
		}
		b.traffic().reset()
		b.apply(changes...)
		most := b.zone.Capabilities().MaxChanges
		b.wantWrites((n + most - 1) / most)
		for i, r := range b.zone.Read(b.Context(), keys...) {
			if r.Err != nil || !slices.Equal(r.RRset.Values(), []string{"v"}) {
				b.Errorf("%v: %q %v", keys[i], r.RRset.Values(), r.Err)
			}
		}
	}},
	{"one bad, one outrun and one refused change do not stop the others", func(b *bench) {
		b.others(`outrun TXT "theirs"`, `occupied TXT "theirs"`)
		b.apply(b.adding(b.txt("n2"), "old"))
		outrun := b.replacing(b.txt("outrun"), "theirs", "ours")
		refused := b.adding(b.key("occupied", dnsprovider.TypeCNAME), "x.example")
		replaced := b.replacing(b.txt("n2"), "old", "v")
		b.remove(b, recordsOf(`outrun TXT `)...)
		b.others(`outrun TXT "new"`)
		changes := []dnsprovider.Change{
			b.adding(b.txt("n0"), "v"),
			outrun,
			b.adding(b.txt("n1"), "v"),
			b.adding(b.txt("bad"), strings.Repeat("x", 65500)),
			replaced,
			refused,
			{},
			b.adding(b.txt("n3"), "v"),
		}
		errs := b.zone.Apply(b.Context(), changes...)
		for i, want := range map[int]dnsprovider.Kind{1: dnsprovider.Changed, 3: dnsprovider.Invalid, 5: dnsprovider.Refused} {
			b.wantKind(errs[i], want)
			if !strings.Contains(errs[i].Error(), changes[i].Seen.String()) {
				b.Errorf("does not say which change: %v", errs[i])
			}
		}
		for _, i := range []int{0, 2, 4, 6, 7} {
			b.wantKind(errs[i], "")
		}
		for i := range 4 {
			b.wantValues(b.txt(numbered("n", i)), "v")
		}
		b.wantValues(b.txt("outrun"), "new")
		b.wantValues(b.txt("occupied"), "theirs")
		b.wantValues(b.txt("bad"))
	}},
	{"a change of several records is made whole or not at all", func(b *bench) {
		key := b.txt("_p")
		b.others(`_p TXT "p=1"`, `_p TXT "p=2"`)
		c := b.adding(key, "p=3")
		c.Remove = c.Seen.Records
		b.remove(b, recordsOf(`_p TXT "p=2"`)...)
		left := b.stored(b, key)
		b.wantKind(b.tryApply(b.Context(), c), dnsprovider.Changed)
		if b.wantStored(key, left) > 0 {
			b.Error("a part was made")
		}
	}},
	{"one zone serves many callers at once", func(b *bench) {
		const n = 8
		ctx, errs := context.WithoutCancel(b.Context()), make(chan error, n)
		for i := range n {
			go func() {
				key := b.txt(numbered("t", i))
				seen, err := b.tryRead(ctx, key)
				if err == nil {
					err = b.tryApply(ctx, dnsprovider.Change{Seen: seen, Add: []string{"x"}, TTL: ourTTL})
				}
				errs <- err
			}()
		}
		for range n {
			b.wantKind(<-errs, "")
		}
		for i := range n {
			b.wantValues(b.txt(numbered("t", i)), "x")
		}
	}},
}

// watched looks at what is served at a key before and after each writing call, and all the time
// between them.
func (b *bench) watched(key dnsprovider.Key, work func()) (looks [][]string) {
	b.Helper()
	look := func() { looks = append(looks, b.texts(key)) }
	look()
	b.traffic().aroundWrites(func(carryOut func()) {
		look()
		ended := make(chan struct{})
		var watching sync.WaitGroup
		watching.Go(func() {
			for {
				look()
				select {
				case <-ended:
					return
				default:
				}
			}
		})
		carryOut()
		close(ended)
		watching.Wait()
		look()
	})
	defer b.traffic().aroundWrites(nil)
	work()
	look()
	return looks
}

func ofProtocol(texts []string, prefix string) (n int) {
	for _, text := range texts {
		if strings.HasPrefix(text, prefix) {
			n++
		}
	}
	return n
}

func (b *bench) wantAlways(looks [][]string, prefix string, want int) {
	b.Helper()
	for i, texts := range looks {
		if n := ofProtocol(texts, prefix); n != want {
			b.Fatalf("at look %d of %d there stand %d: %q", i+1, len(looks), n, texts)
		}
	}
}
