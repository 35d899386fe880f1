package dnsprovider_test

import (
	"net/netip"
	"slices"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// ofHosts: records of which several stand together, and kinds of records that exclude each other.
var ofHosts = []behaviour{
	{"a set of addresses changes in place, also where others stand", func(b *bench) {
		b.others(`mta-sts A 192.0.2.99`)
		key := b.key("mta-sts", dnsprovider.TypeA)
		theirs := b.stored(b, key)
		b.apply(b.adding(key, "192.0.2.1", "192.0.2.2", "192.0.2.3"))
		b.wantValues(key, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.99")
		looks := b.leading("mta-sts", func() {
			c := b.adding(key, "192.0.2.4", "192.0.2.5")
			c.Remove = b.picked(c.Seen, "192.0.2.1", "192.0.2.2", "192.0.2.3")
			b.apply(c)
		})
		for _, look := range looks {
			if was, is := slices.Contains(look, "A 192.0.2.1"), slices.Contains(look, "A 192.0.2.4"); was == is || !slices.Contains(look, "A 192.0.2.99") {
				b.Fatalf("on the way stands %q", look)
			}
		}
		b.apply(b.removing(key, "192.0.2.4", "192.0.2.5"))
		if b.wantStored(key, theirs) > 0 {
			b.Error("something of ours is left")
		}
	}},
	{"a whole set of addresses changes in place", func(b *bench) {
		b.lead(dnsprovider.Targets{"A": {"192.0.2.1", "192.0.2.2"}, "AAAA": {"2001:db8::1"}})
		looks := b.leading("mta-sts", func() {
			b.lead(dnsprovider.Targets{"A": {"192.0.2.2", "192.0.2.3"}, "AAAA": {"2001:db8::2", "2001:db8::3"}})
			b.lead(dnsprovider.Targets{"A": {"192.0.2.4"}})
			b.lead(dnsprovider.Targets{"AAAA": {"2001:db8::4"}})
		})
		b.wantSomewhere(looks)
	}},
	{"a CNAME takes the place of addresses, and they of it", func(b *bench) {
		b.lead(dnsprovider.Targets{"A": {"192.0.2.1", "192.0.2.2"}, "AAAA": {"2001:db8::1"}})
		b.lead(dnsprovider.Targets{"CNAME": {"lb.example"}})
		b.lead(dnsprovider.Targets{"CNAME": {"lb2.example"}})
		b.lead(dnsprovider.Targets{"A": {"192.0.2.3"}, "AAAA": {"2001:db8::1"}})
		b.lead(dnsprovider.Targets{})
	}},
	{"a change of kind that somebody outruns changes nothing", func(b *bench) {
		b.lead(dnsprovider.Targets{"A": {"192.0.2.1"}, "AAAA": {"2001:db8::1"}})
		d := b.decideHost(dnsprovider.Targets{"CNAME": {"lb.example"}})
		b.others(`mta-sts A 192.0.2.99`)
		failed := 0
		for _, err := range b.zone.Apply(b.Context(), d.Changes...) {
			if err != nil {
				failed++
			}
		}
		if failed == 0 {
			b.Error("nobody is told")
		}
		b.wantValues(b.key("mta-sts", dnsprovider.TypeA), "192.0.2.1", "192.0.2.99")
		b.wantValues(b.key("mta-sts", dnsprovider.TypeAAAA), "2001:db8::1")
	}},
	{aMomentOfNone, func(b *bench) {
		b.lead(dnsprovider.Targets{"A": {"192.0.2.1"}, "AAAA": {"2001:db8::1"}})
		looks := b.leading("mta-sts", func() {
			b.lead(dnsprovider.Targets{"CNAME": {"lb.example"}})
			b.lead(dnsprovider.Targets{"A": {"192.0.2.3"}, "AAAA": {"2001:db8::1"}})
		})
		b.wantSomewhere(looks)
	}},
}

// decideHost decides for mta-sts, where all that stands is ours.
func (b *bench) decideHost(targets dnsprovider.Targets) dnsprovider.HostDecision {
	b.Helper()
	var seen []dnsprovider.RRset
	var owned [][]dnsprovider.Owned
	for _, key := range dnsprovider.HostKeys(b.name("mta-sts")) {
		set := b.read(key)
		var ours []dnsprovider.Owned
		for _, value := range set.Values() {
			ours = append(ours, dnsprovider.Owned{Value: value, Settled: true})
		}
		seen, owned = append(seen, set), append(owned, ours)
	}
	return dnsprovider.DecideHost(dnsprovider.HostWish{Targets: targets, TTL: ourTTL}, seen, owned)
}

// lead has mta-sts lead to the targets, in as few passes as it takes.
func (b *bench) lead(targets dnsprovider.Targets) {
	b.Helper()
	var errs []error
	for range 3 {
		d := b.decideHost(targets)
		if len(d.Changes) == 0 {
			return
		}
		errs = b.zone.Apply(b.Context(), d.Changes...)
		for _, err := range errs {
			if err != nil {
				b.wantKind(err, dnsprovider.Changed) // by the change before it
			}
		}
	}
	if d := b.decideHost(targets); len(d.Changes) > 0 {
		b.Fatalf("it never leads to %v: %v", targets, errs)
	}
}

// leading looks where the label leads before and after each writing call.
func (b *bench) leading(label string, work func()) (looks [][]string) {
	b.Helper()
	look := func() {
		var found []string
		for _, key := range dnsprovider.HostKeys(b.name(label)) {
			for _, rdata := range b.served(b, key) {
				addr, _ := netip.AddrFromSlice([]byte(rdata)) // of a CNAME it is enough that there is one
				found = append(found, key.Type+" "+addr.String())
			}
		}
		looks = append(looks, found)
	}
	look()
	b.traffic().aroundWrites(func(carryOut func()) { look(); carryOut(); look() })
	defer b.traffic().aroundWrites(nil)
	work()
	look()
	return looks
}

func (b *bench) wantSomewhere(looks [][]string) {
	b.Helper()
	for i, look := range looks {
		if len(look) == 0 {
			b.Fatalf("at look %d of %d the name leads nowhere", i+1, len(looks))
		}
	}
}
