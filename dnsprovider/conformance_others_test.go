package dnsprovider_test

import (
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// ofOthers: what others wrote stays as it is, octet by octet, whatever we do beside it.
var ofOthers = []behaviour{
	{"siblings at the apex stay octet by octet when ours is added", func(b *bench) {
		theirs := b.siblings()
		b.apply(b.adding(b.txt("@"), "v=spf1 -all"))
		b.stillThere(theirs, 1)
	}},
	{"siblings at the apex stay octet by octet when ours is replaced", func(b *bench) {
		theirs := b.siblings()
		b.apply(b.adding(b.txt("@"), "v=spf1 -all"))
		b.apply(b.replacing(b.txt("@"), "v=spf1 -all", "v=spf1 mx -all"))
		b.stillThere(theirs, 1)
		if texts := b.texts(b.txt("@")); !slices.Contains(texts, "v=spf1 mx -all") || slices.Contains(texts, "v=spf1 -all") {
			b.Errorf("served: %q", texts)
		}
	}},
	{"siblings at the apex stay octet by octet when ours is removed", func(b *bench) {
		theirs := b.siblings()
		b.apply(b.adding(b.txt("@"), "v=spf1 -all"))
		b.apply(b.removing(b.txt("@"), "v=spf1 -all"))
		b.stillThere(theirs, 0)
	}},
	{"the TTL beside records of others is theirs", func(b *bench) {
		b.others(`@ TXT "site=1"`)
		b.apply(b.adding(b.txt("@"), "p=1"))
		for range 2 {
			if got := b.read(b.txt("@")).TTL; got != theirTTL {
				b.Errorf("TTL %v, and theirs is %v", got, theirTTL)
			}
			b.apply(b.replacing(b.txt("@"), b.read(b.txt("@")).Values()[0], "p=2"))
		}
	}},
	{"two records with one text are two records", func(b *bench) {
		b.others(`@ TXT "abcdef"`, `@ TXT "abc" "def"`)
		both := b.read(b.txt("@"))
		if !slices.Equal(both.Values(), []string{"abcdef", "abcdef"}) {
			b.Fatalf("%q", both.Values())
		}
		b.apply(dnsprovider.Change{Seen: both, Remove: both.Records[:1]})
		left := b.read(b.txt("@"))
		if !slices.Equal(left.Records, both.Records[1:]) {
			b.Errorf("removed %+v, and left is %+v", both.Records[0], left.Records)
		}
		if got := b.stored(b, b.txt("@")); len(got) != 1 {
			b.Errorf("stored: %q", got)
		}
	}},
	{"two SPF records of others are a conflict, and nothing is written", func(b *bench) {
		key := b.txt("@")
		b.others(`@ TXT "v=spf1 a -all"`, `@ TXT "v=spf1 mx " "-all"`, `@ TXT "site=1"`)
		theirs := b.stored(b, key)
		for _, adopt := range []bool{false, true} {
			d := b.decide(key, "v=spf1", dnsprovider.Wish{Value: "v=spf1 -all", TTL: ourTTL, Adopt: adopt})
			b.wantVerb(d, dnsprovider.Conflict)
			if !slices.Equal(d.Foreign, []string{"v=spf1 a -all", "v=spf1 mx -all"}) {
				b.Errorf("in the way: %q", d.Foreign)
			}
			b.traffic().reset()
			b.apply(d.Change)
			b.wantWrites(0)
		}
		if b.wantStored(key, theirs) > 0 {
			b.Error("something was written")
		}
	}},
	{"a CNAME that occupies the name blocks, and is not touched", func(b *bench) {
		b.others(`_dmarc CNAME DMARC.provider.example.`)
		cname := b.key("_dmarc", dnsprovider.TypeCNAME)
		theirs := b.stored(b, cname)
		for _, recordType := range []string{dnsprovider.TypeTXT, dnsprovider.TypeA} {
			key := b.key("_dmarc", recordType)
			seen := b.read(key)
			if seen.Alias != "dmarc.provider.example" || len(seen.Records) > 0 {
				b.Errorf("%v: alias %q, records %q", key, seen.Alias, seen.Values())
			}
			d := b.decide(key, "v=", dnsprovider.Wish{Value: "v=DMARC1; p=none", TTL: ourTTL, Adopt: true})
			b.wantVerb(d, dnsprovider.Blocked)
			b.traffic().reset()
			b.wantKind(b.tryApply(b.Context(), dnsprovider.Change{Seen: seen, Add: []string{"192.0.2.1"}, TTL: ourTTL}), dnsprovider.Invalid)
			b.wantWrites(0)
		}
		b.wantValues(cname, "dmarc.provider.example")
		if b.wantStored(cname, theirs) > 0 {
			b.Error("something was written")
		}
	}},
	{"a CNAME of ours does not stand beside records of others", func(b *bench) {
		b.others(`s1 TXT "v=DKIM1; p=theirs"`, `host A 192.0.2.1`)
		for label, recordType := range map[string]string{"s1": "TXT", "host": "A"} {
			theirs := b.stored(b, b.key(label, recordType))
			cname := b.key(label, dnsprovider.TypeCNAME)
			c := b.adding(cname, "x.example")
			if len(c.Seen.Records) > 0 {
				b.Errorf("%q", c.Seen.Values())
			}
			b.wantKind(b.tryApply(b.Context(), c), dnsprovider.Refused)
			b.wantStored(b.key(label, recordType), theirs)
			b.wantValues(cname)
		}
	}},
	{"odd records of others anywhere in the zone disturb nobody", func(b *bench) {
		theirs := map[dnsprovider.Key][]string{}
		for _, key := range b.oddities(b) {
			theirs[key] = b.stored(b, key)
		}
		b.others(`@ TXT "site=1"`)
		keys := []dnsprovider.Key{b.txt("@"), b.txt("_dmarc"), b.txt("s1._domainkey"), b.txt("_mta-sts"), b.key("mta-sts2", dnsprovider.TypeA)}
		values := []string{"v=spf1 -all", "v=DMARC1; p=none", "v=DKIM1; p=x", "v=STSv1; id=1", "192.0.2.1"}
		var changes []dnsprovider.Change
		for i, r := range b.zone.Read(b.Context(), keys...) {
			if r.Err != nil {
				b.Fatalf("%v: %v", keys[i], r.Err)
			}
			changes = append(changes, dnsprovider.Change{Seen: r.RRset, Add: values[i : i+1], TTL: ourTTL})
		}
		b.apply(changes...)
		for i, key := range keys[1:] {
			b.wantValues(key, values[i+1])
		}
		for key, lines := range theirs {
			if len(lines) > 0 && b.wantStored(key, lines) > 0 {
				b.Errorf("%v: something was added", key)
			}
		}
	}},
	{"a name that is delegated is told so, with the child zone", func(b *bench) {
		b.others(`_domainkey NS ns.elsewhere.example.`)
		for _, label := range []string{"_domainkey", "s1._domainkey", "a.b._domainkey"} {
			_, err := b.tryRead(b.Context(), b.txt(label))
			b.wantKind(err, dnsprovider.Delegated)
			if !strings.Contains(err.Error(), b.name("_domainkey")) {
				b.Errorf("does not name the child zone: %v", err)
			}
		}
		b.wantValues(b.txt("_dmarc"))
		b.wantValues(b.txt("x_domainkey"))
	}},

	// Somebody else writes between our read and our write.
	{"what comes beside ours between read and write stays, and is reported", func(b *bench) {
		b.others(`_p TXT "site=1"`)
		b.apply(b.adding(b.txt("_p"), "p=1"))
		b.raced(b.replacing(b.txt("_p"), "p=1", "p=2"), "p=1", "p=2", `_p TXT "p=theirs"`)
	}},
	{"what comes where nothing stood between read and write stays, and is reported", func(b *bench) {
		b.raced(b.adding(b.txt("_p"), "p=2"), "", "p=2", `_p TXT "p=theirs"`)
	}},
	{"what comes while ours goes stays", func(b *bench) {
		b.apply(b.adding(b.txt("_p"), "p=1"))
		b.raced(b.removing(b.txt("_p"), "p=1"), "p=1", "", `_p TXT "p=theirs"`)
	}},
	{"the same record written by somebody else between read and write is there once", func(b *bench) {
		c := b.adding(b.txt("_p"), "p=1")
		b.others(`_p TXT "p=1"`)
		theirs := b.stored(b, b.txt("_p"))
		b.wantKind(b.tryApply(b.Context(), c), dnsprovider.Changed)
		if b.wantStored(b.txt("_p"), theirs) > 0 {
			b.Error("it is there twice")
		}
	}},
	{"ours that somebody removes between read and write is not made anew", func(b *bench) {
		key := b.txt("_p")
		b.apply(b.adding(key, "p=1"))
		c := b.replacing(key, "p=1", "p=2")
		b.remove(b, recordsOf(`_p TXT "p=1"`)...)
		b.wantKind(b.tryApply(b.Context(), c), dnsprovider.Changed)
		b.wantValues(key)
		b.wantVerb(b.decide(key, "p=", dnsprovider.Wish{Value: "p=2"}, "p=1"), dnsprovider.Create)
	}},
	{"ours that somebody cuts into other strings between read and write is theirs", func(b *bench) {
		b.apply(b.adding(b.txt("_p"), "p=1"))
		c := b.replacing(b.txt("_p"), "p=1", "p=2")
		b.remove(b, recordsOf(`_p TXT "p=1"`)...)
		b.others(`_p TXT "p=" "1"`)
		theirs := b.stored(b, b.txt("_p"))
		b.wantKind(b.tryApply(b.Context(), c), dnsprovider.Changed)
		if b.wantStored(b.txt("_p"), theirs) > 0 {
			b.Error("something was written")
		}
	}},
	{"a CNAME that comes between read and write blocks, and stays", func(b *bench) {
		cname, txt := b.key("_p", dnsprovider.TypeCNAME), b.txt("_p")
		c := b.adding(txt, "p=1")
		b.others(`_p CNAME elsewhere.example.`)
		theirs := b.stored(b, cname)
		err := b.tryApply(b.Context(), c)
		b.wantStored(cname, theirs)
		if b.zone.Capabilities().CompareAndSwap {
			b.wantKind(err, dnsprovider.Changed)
		}
		b.wantVerb(b.decide(txt, "p=", dnsprovider.Wish{Value: "p=1"}, "p=1"), dnsprovider.Blocked)
	}},
	{"a CNAME of others that comes where ours shall be stays", func(b *bench) {
		key := b.key("_p", dnsprovider.TypeCNAME)
		c := b.adding(key, "ours.example")
		b.others(`_p CNAME elsewhere.example.`)
		theirs := b.stored(b, key)
		b.wantKind(b.tryApply(b.Context(), c), dnsprovider.Changed, dnsprovider.Refused)
		if b.wantStored(key, theirs) > 0 {
			b.Error("there are two")
		}
	}},
	{"two adapters at one record leave one record", func(b *bench) {
		key := b.txt("_p")
		b.apply(b.adding(key, "p=0"))
		one := b.replacing(key, "p=0", "p=1")
		two := b.replacing(key, "p=0", "p=2")
		other := b.open(b, access{})
		done := make(chan error, 1)
		go func() { done <- other.Apply(b.Context(), two)[0] }()
		errs := []error{b.tryApply(b.Context(), one), <-done}
		if b.zone.Capabilities().CompareAndSwap {
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else {
					b.wantKind(err, dnsprovider.Changed)
				}
			}
			if won != 1 {
				b.Errorf("%d won: %v", won, errs)
			}
		}
		if got := b.read(key).Values(); len(got) != 1 || got[0] == "p=0" {
			b.Errorf("%q", got)
		}
	}},
}

// siblings puts TXT and other records of all kinds at the apex, and returns the TXT ones.
func (b *bench) siblings() []string {
	b.Helper()
	b.others(`@ TXT "google-site-verification=abc"`, `@ TXT "abc" "def"`, `@ TXT "abc" "" "def"`, `@ TXT "q\"uo\\te\;" "\000\255"`, `@ TXT ""`, `@ MX 10 mx.example.`)
	b.spellings(b, "@")
	return b.stored(b, b.txt("@"))
}

func (b *bench) stillThere(theirs []string, ours int) {
	b.Helper()
	if n := b.wantStored(b.txt("@"), theirs); n != ours {
		b.Errorf("%d records beside theirs, want %d", n, ours)
	}
	if mx := b.stored(b, b.key("@", "MX")); len(mx) != 1 {
		b.Errorf("MX: %q", mx)
	}
}

// raced makes a change of ours, from old to value, while somebody else writes a value of the same
// protocol beside it. A provider that can compare says that it changed, and nothing is written.
// So does an adapter that looks again and sees it; else both stand. The next look reports it.
func (b *bench) raced(c dnsprovider.Change, old, value, line string) {
	b.Helper()
	key := c.Seen.Key
	before := b.stored(b, key)
	b.others(line)
	var theirs []string
	for _, l := range b.stored(b, key) {
		if i := slices.Index(before, l); i >= 0 {
			before = slices.Delete(before, i, i+1)
		} else {
			theirs = append(theirs, l)
		}
	}
	err := b.tryApply(b.Context(), c)
	ours := value
	if b.zone.Capabilities().CompareAndSwap || err != nil {
		b.wantKind(err, dnsprovider.Changed)
		ours = old
	}
	b.wantStored(key, theirs)
	for _, mine := range []string{old, value} {
		if stands := slices.Contains(b.read(key).Values(), mine); mine != "" && stands != (mine == ours) {
			b.Errorf("%q stands: %v", mine, stands)
		}
	}
	if value == "" {
		return
	}
	var owned []string
	if ours != "" {
		owned = []string{ours}
	}
	d := b.decide(key, "p=", dnsprovider.Wish{Value: value}, owned...)
	b.wantVerb(d, dnsprovider.Conflict)
	if !slices.Equal(d.Foreign, []string{"p=theirs"}) {
		b.Errorf("in the way: %q", d.Foreign)
	}
}
