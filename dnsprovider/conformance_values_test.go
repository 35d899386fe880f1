package dnsprovider_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// ofValues: what is written is what is read, and what the world sees.
var ofValues = []behaviour{
	{"absence is proved", func(b *bench) {
		b.others(`web A 192.0.2.1`, `a.b.tree TXT "x"`, `x_dmarc TXT "the same end"`)
		for _, label := range []string{"_dmarc", "web", "b.tree", "@", "dmarc", "zzz"} {
			b.wantValues(b.txt(label))
		}
		b.wantValues(b.key("_dmarc", dnsprovider.TypeCNAME))
	}},
	{"a record is created, replaced and removed, and is served meanwhile", func(b *bench) {
		key := b.txt("_dmarc")
		b.apply(b.adding(key, "v=DMARC1; p=none"))
		b.wantValues(key, "v=DMARC1; p=none")
		b.wantServed(key, "v=DMARC1; p=none", 16)
		b.apply(b.replacing(key, "v=DMARC1; p=none", "v=DMARC1; p=reject"))
		b.wantValues(key, "v=DMARC1; p=reject")
		b.wantServed(key, "v=DMARC1; p=reject", 18)
		b.apply(b.removing(key, "v=DMARC1; p=reject"))
		b.wantValues(key)
		if texts, stored := b.texts(key), b.stored(b, key); len(texts)+len(stored) > 0 {
			b.Errorf("still served: %q, stored: %q", texts, stored)
		}
	}},
	{"a DKIM key of 2048 bits is one record on the wire, and is read back", func(b *bench) { b.dkim(2048, 255, 155) }},
	{"a DKIM key of 4096 bits is one record on the wire, and is read back", func(b *bench) { b.dkim(4096, 255, 255, 244) }},
	{"texts are cut at 255 octets and nowhere else", func(b *bench) {
		for n, want := range map[int][]int{
			1: {1}, 254: {254}, 255: {255}, 256: {255, 1}, 509: {255, 254}, 510: {255, 255}, 511: {255, 255, 1},
			3900: append(slices.Repeat([]int{255}, 15), 75),
		} {
			key, value := b.txt(numbered("s", n)), strings.Repeat("v=DKIM1;k=rsa; ", n/15+1)[:n]
			b.apply(b.adding(key, value))
			b.wantValues(key, value)
			b.wantServed(key, value, want...)
			b.apply(b.replacing(key, value, value[:n-1]+"!"))
			b.wantValues(key, value[:n-1]+"!")
		}
	}},
	{"quotes, backslashes and semicolons come back as they are", func(b *bench) {
		b.roundTrip(`"quoted"`, `a"b`, `back\slash`, `\034 \"`, `\`, `semi;colon; (paren)`, " spaces ", "$ORIGIN @", `ends in \`, `" "`,
			strings.Repeat("x", 254)+`\"x`, strings.Repeat("x", 254)+`" "x`)
	}},
	{"UTF-8 comes back as it is, also across the border of two strings", func(b *bench) {
		b.roundTrip("Grüße aus Köln", "x"+strings.Repeat("ü", 200), "日本語", "\u00a0")
	}},
	{"any octet comes back as it is", func(b *bench) {
		var all []byte
		for octet := range 256 {
			all = append(all, byte(octet))
		}
		b.roundTrip(string(all), "\tline\nfeed\r\x00", "\xff\xfe", "<&>]]>")
	}},
	{"an empty text of somebody else stays beside ours", func(b *bench) {
		key := b.txt("e")
		b.others(`e TXT ""`)
		theirs := b.stored(b, key)
		b.wantValues(key, "")
		b.apply(b.adding(key, "x"))
		b.wantValues(key, "", "x")
		b.apply(b.removing(key, "x"))
		b.wantStored(key, theirs)
	}},
	{"texts of others are read in whatever strings they are", func(b *bench) {
		b.others(`_dmarc TXT "v=DMARC1;" " p=none"`, `_dmarc TXT "a" "" "b"`, `_dmarc TXT "q\"uo\\te" "\000\255;"`)
		b.wantValues(b.txt("_dmarc"), append(b.spellings(b, "_dmarc"), "v=DMARC1; p=none", "ab", "q\"uo\\te\x00\xff;")...)
	}},
	{"a CNAME is created, replaced and removed", func(b *bench) {
		key := b.key("s1._domainkey", dnsprovider.TypeCNAME)
		b.apply(b.adding(key, "s1.tenant.example"))
		b.wantValues(key, "s1.tenant.example")
		b.apply(b.replacing(key, "s1.tenant.example", "S2.Tenant.EXAMPLE."))
		b.wantValues(key, "s2.tenant.example")
		if alias := b.read(b.txt("s1._domainkey")).Alias; alias != "s2.tenant.example" {
			b.Errorf("alias %q", alias)
		}
		b.apply(b.removing(key, "s2.tenant.example"))
		b.wantValues(key)
	}},
	{"addresses are created, replaced and removed beside those of others", func(b *bench) {
		b.others(`mta-sts A 192.0.2.1`, `mta-sts AAAA 2001:db8::1`)
		v4, v6 := b.key("mta-sts", dnsprovider.TypeA), b.key("mta-sts", dnsprovider.TypeAAAA)
		theirs4, theirs6 := b.stored(b, v4), b.stored(b, v6)
		b.apply(b.adding(v4, "192.0.2.2"), b.adding(v6, "2001:DB8:0::2"))
		b.wantValues(v4, "192.0.2.1", "192.0.2.2")
		b.wantValues(v6, "2001:db8::1", "2001:db8::2")
		b.apply(b.replacing(v4, "192.0.2.2", "192.0.2.3"))
		b.wantValues(v4, "192.0.2.1", "192.0.2.3")
		b.apply(b.removing(v4, "192.0.2.3"), b.removing(v6, "2001:db8::2"))
		if b.wantStored(v4, theirs4)+b.wantStored(v6, theirs6) > 0 {
			b.Error("something of ours is left")
		}
	}},
	{"a TTL below the provider's least is raised, and then costs nothing", func(b *bench) {
		key, least := b.txt("t"), max(time.Second, b.zone.Capabilities().MinTTL)
		wish := dnsprovider.Wish{Value: "p=w", TTL: time.Second}
		b.apply(b.decide(key, "p=", wish).Change)
		if got := b.read(key).TTL; got != least {
			b.Errorf("TTL %v, want %v", got, least)
		}
		b.wantVerb(b.decide(key, "p=", wish, "p=w"), dnsprovider.Keep)
		c := b.replacing(key, "p=w", "p=x")
		c.TTL = time.Second
		b.apply(c)
		if got := b.read(key).TTL; got != least {
			b.Errorf("TTL %v after a replacement, want %v", got, least)
		}
	}},
	{"without a TTL the provider's own is taken, and then costs nothing", func(b *bench) {
		key := b.txt("t")
		b.apply(b.decide(key, "p=", dnsprovider.Wish{Value: "p=w"}).Change)
		b.wantValues(key, "p=w")
		b.wantVerb(b.decide(key, "p=", dnsprovider.Wish{Value: "p=w"}, "p=w"), dnsprovider.Keep)
	}},
	{"a TTL is ours to choose where ours stands alone", func(b *bench) {
		key := b.txt("t")
		for i, ttl := range []time.Duration{ourTTL, 2 * ourTTL, ourTTL} {
			c := b.adding(key, numbered("p=", i))
			c.Remove, c.TTL = c.Seen.Records, ttl
			b.apply(c)
			if got := b.read(key).TTL; got != ttl {
				b.Errorf("TTL %v, want %v", got, ttl)
			}
		}
	}},
	{"names are found in whatever case they are written", func(b *bench) {
		b.others(`_DMARC TXT "v=DMARC1; p=none"`, `_MTA-STS CNAME Other.EXAMPLE.`)
		key := b.txt("_dmarc")
		b.wantValues(key, "v=DMARC1; p=none")
		b.apply(b.replacing(key, "v=DMARC1; p=none", "v=DMARC1; p=reject"))
		b.wantValues(key, "v=DMARC1; p=reject")
		if texts := b.texts(key); !slices.Equal(texts, []string{"v=DMARC1; p=reject"}) {
			b.Errorf("served: %q", texts)
		}
		b.wantValues(b.key("_mta-sts", dnsprovider.TypeCNAME), "other.example")
	}},
	{"a wildcard, by whatever name the provider calls it, is no other name's record", func(b *bench) {
		b.others(`* TXT "any"`, `*.sub TXT "v=spf1 -all"`)
		any, sub := b.stored(b, b.txt("*")), b.stored(b, b.txt("*.sub"))
		for _, label := range []string{"_dmarc", "a", "0", "x.sub", "@"} {
			b.wantValues(b.txt(label))
		}
		b.apply(b.adding(b.txt("x.sub"), "ours"), b.adding(b.txt("_dmarc"), "any"))
		b.wantValues(b.txt("x.sub"), "ours")
		b.apply(b.removing(b.txt("x.sub"), "ours"), b.removing(b.txt("_dmarc"), "any"))
		b.wantValues(b.txt("*"), "any")
		b.wantStored(b.txt("*"), any)
		b.wantStored(b.txt("*.sub"), sub)
	}},
	{"names in a zone of more than 700 records are read wherever they are", func(b *bench) {
		var hosts []record
		for i := range 750 {
			hosts = append(hosts, recordsOf(fmt.Sprintf(`host%03d TXT "value %d"`, i, i))...)
		}
		b.add(b, hosts...)
		b.others(`0 TXT "first"`, `zz TXT "last"`, `@ TXT "apex"`, `host000.sub TXT "below"`)
		keys := []dnsprovider.Key{b.txt("zz"), b.txt("host749"), b.txt("0"), b.txt("@"), b.txt("none"), b.txt("host000.sub"), b.txt("host400"), b.txt("zzz"), b.txt("zz")}
		for i, want := range []string{"last", "value 749", "first", "apex", "", "below", "value 400", "", "last"} {
			r := b.zone.Read(b.Context(), keys...)[i]
			if r.Err != nil || strings.Join(r.RRset.Values(), "|") != want || r.RRset.Key != keys[i] {
				b.Errorf("%v: %q %v, want %q", keys[i], r.RRset.Values(), r.Err, want)
			}
		}
		b.apply(b.replacing(b.txt("host400"), "value 400", "ours"))
		b.wantValues(b.txt("host400"), "ours")
	}},
	{"requests without sense are told so, and not sent", func(b *bench) {
		b.others(`@ TXT "x"`)
		seen := b.read(b.txt("@"))
		b.traffic().reset()
		for _, key := range []dnsprovider.Key{
			{Name: "_dmarc.example.invalid", Type: "TXT"}, {Name: "x" + b.apex(), Type: "TXT"}, b.txt("_DMARC"), b.key("mx", "MX"),
			{Type: "TXT"}, b.txt("a..b"), b.txt(strings.Repeat("a.", 130) + "a"), b.txt(strings.Repeat("a", 64)),
		} {
			_, err := b.tryRead(b.Context(), key)
			b.wantKind(err, dnsprovider.Invalid)
			b.wantKind(b.tryApply(b.Context(), dnsprovider.Change{Seen: dnsprovider.RRset{Key: key}, Add: []string{"x"}, TTL: ourTTL}), dnsprovider.Invalid)
		}
		none := func(label, recordType string) dnsprovider.RRset {
			return dnsprovider.RRset{Key: b.key(label, recordType)}
		}
		for what, c := range map[string]dnsprovider.Change{
			"not seen":        {Seen: seen, Remove: []dnsprovider.Record{{Value: "x", Handle: "0179 x"}}},
			"negative TTL":    {Seen: none("n", "TXT"), Add: []string{"x"}, TTL: -1},
			"text too long":   {Seen: none("n", "TXT"), Add: []string{strings.Repeat("x", 65500)}, TTL: ourTTL},
			"no address":      {Seen: none("a", "A"), Add: []string{"x"}, TTL: ourTTL},
			"IPv6 in A":       {Seen: none("a", "A"), Add: []string{"2001:db8::1"}, TTL: ourTTL},
			"IPv4 in AAAA":    {Seen: none("a", "AAAA"), Add: []string{"192.0.2.1"}, TTL: ourTTL},
			"zone in address": {Seen: none("a", "AAAA"), Add: []string{"fe80::1%eth0"}, TTL: ourTTL},
			"no target":       {Seen: none("c", "CNAME"), Add: []string{""}, TTL: ourTTL},
			"no domain name":  {Seen: none("c", "CNAME"), Add: []string{"a..b"}, TTL: ourTTL},
			"two CNAMEs":      {Seen: none("c", "CNAME"), Add: []string{"a.example", "b.example"}, TTL: ourTTL},
		} {
			if err := b.tryApply(b.Context(), c); dnsprovider.KindOf(err) != dnsprovider.Invalid {
				b.Errorf("%s: %v, want Invalid", what, err)
			}
		}
		if reads, writes := b.traffic().calls(); reads+writes > 0 {
			b.Errorf("%d reads and %d writes", reads, writes)
		}
		// They stop nobody else.
		errs := b.zone.Apply(b.Context(), dnsprovider.Change{Seen: none("a", "A"), Add: []string{"x"}}, dnsprovider.Change{Seen: none("good", "TXT"), Add: []string{"x"}, TTL: ourTTL})
		b.wantKind(errs[0], dnsprovider.Invalid)
		b.wantKind(errs[1], "")
		readings := b.zone.Read(b.Context(), b.txt("a..b"), b.txt("good"))
		b.wantKind(readings[0].Err, dnsprovider.Invalid)
		if !slices.Equal(readings[1].RRset.Values(), []string{"x"}) {
			b.Errorf("%+v", readings[1])
		}
	}},
}

// dkim publishes a real key.
func (b *bench) dkim(bits int, lengths ...int) {
	b.Helper()
	value, err := dkimRecords[bits]()
	if err != nil {
		b.Fatal(err)
	}
	key := b.txt("mail-20261124a._domainkey")
	b.apply(b.adding(key, value))
	b.wantValues(key, value)
	b.wantServed(key, value, lengths...)
	b.wantVerb(b.decide(key, "v=DKIM1", dnsprovider.Wish{Value: value, TTL: ourTTL}, value), dnsprovider.Keep)
	b.apply(b.replacing(key, value, "v=DKIM1; p="))
	b.wantValues(key, "v=DKIM1; p=")
}

// roundTrip writes values beside one of somebody else, reads them, has them served, and takes them
// away again.
func (b *bench) roundTrip(values ...string) {
	b.Helper()
	for i, value := range values {
		key := b.txt(numbered("o", i))
		b.others(numbered("o", i) + ` TXT "theirs\;" "\\ \"\255"`)
		theirs := b.stored(b, key)
		b.apply(b.adding(key, value))
		b.wantValues(key, "theirs;\\ \"\xff", value)
		if texts := b.texts(key); !slices.Contains(texts, value) {
			b.Errorf("%q is served as %q", value, texts)
		}
		b.apply(b.removing(key, value))
		if others := b.wantStored(key, theirs); others > 0 {
			b.Errorf("%q is still there", value)
		}
	}
}

// dkimRecords makes the record of a key of so many bits, once.
var dkimRecords = map[int]func() (string, error){
	2048: sync.OnceValues(func() (string, error) { return dkimRecord(2048) }),
	4096: sync.OnceValues(func() (string, error) { return dkimRecord(4096) }),
}

func dkimRecord(bits int) (string, error) {
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public), err
}
