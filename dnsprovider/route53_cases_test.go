package dnsprovider

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	fake "github.com/maildomain/maildomain-operator/test/fakes/route53"
)

// lengths returns the lengths of the quoted strings of a value without escapes.
func lengths(value string) []int {
	var n []int
	for _, quoted := range regexp.MustCompile(`"[^"]*"`).FindAllString(value, -1) {
		n = append(n, len(quoted)-2)
	}
	return n
}

var route53Cases = []struct {
	name string
	run  func(t *testing.T, a awsZone)
}{
	{"absence is proved", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "web.zone.example", "A", 300, "192.0.2.1"))
		a.foreign("a.b.tree", 300, `"x"`)
		for _, label := range []string{"_dmarc", "web", "b.tree", "@", "zzz"} {
			wantValues(t, a.read(a.open(), a.txt(label)))
		}
	}},
	{"create, replace, remove", func(t *testing.T, a awsZone) {
		z, key := a.open(), a.txt("_dmarc")
		a.apply(z, Change{Seen: a.read(z, key), Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour})
		seen := a.read(z, key)
		wantValues(t, seen, "v=DMARC1; p=none")
		if seen.TTL != time.Hour {
			t.Errorf("TTL %v, want 1h", seen.TTL)
		}
		a.apply(z, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Minute})
		seen = a.read(z, key)
		wantValues(t, seen, "v=DMARC1; p=reject")
		if seen.TTL != time.Minute {
			t.Errorf("TTL %v, want 1m as no other record stands", seen.TTL)
		}
		a.apply(z, Change{Seen: seen, Remove: seen.Records})
		wantValues(t, a.read(z, key))
		a.stored(key)
		a.calls(0, 4, 3)
	}},
	{"sizes", func(t *testing.T, a awsZone) {
		z := a.open()
		for n, want := range map[int][]int{1: {1}, 254: {254}, 255: {255}, 256: {255, 1}, 510: {255, 255}, 511: {255, 255, 1}, 3900: append(slices.Repeat([]int{255}, 15), 75)} {
			key, value := a.txt(fmt.Sprintf("s%d", n)), strings.Repeat("v=DKIM1;k=rsa; ", n/15+1)[:n]
			a.apply(z, Change{Seen: a.read(z, key), Add: []string{value}, TTL: time.Hour})
			wantValues(t, a.read(z, key), value)
			if got := lengths(a.Values(hostedZone, key.Name, "TXT")[0]); !slices.Equal(got, want) {
				t.Errorf("%d octets: strings of %v, want %v", n, got, want)
			}
		}
	}},
	{"real DKIM keys", func(t *testing.T, a awsZone) {
		server, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{"zone.example"}})
		a.must(err)
		defer server.Close()
		a.must(a.Serve(hostedZone, server))
		z := a.open()
		for bits, want := range map[int][]int{2048: {255, 155}, 4096: {255, 255, 244}} {
			private, err := rsa.GenerateKey(rand.Reader, bits)
			a.must(err)
			public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
			a.must(err)
			value := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
			key := a.txt(fmt.Sprintf("s%d._domainkey", bits))
			a.apply(z, Change{Seen: a.read(z, key), Add: []string{value}, TTL: time.Hour})
			seen := a.read(z, key)
			wantValues(t, seen, value)
			if got := lengths(seen.Records[0].Handle); !slices.Equal(got, want) {
				t.Errorf("%d bits: strings of %v, want %v", bits, got, want)
			}
			if got := server.TXT(key.Name); !slices.Equal(got, []string{value}) {
				t.Errorf("%d bits: served as %q", bits, got)
			}
		}
	}},
	{"any octet", func(t *testing.T, a awsZone) {
		var all []byte
		for b := range 256 {
			all = append(all, byte(b))
		}
		z := a.open()
		for i, value := range []string{
			`"quoted"`, `a"b`, `back\slash`, `\034 \"`, `\`, `semi;colon; (paren)`, "Grüße aus Köln", "\tline\nfeed\r\x00", " spaces ", "$ORIGIN @", "<&>]]>", string(all),
			strings.Repeat("ü", 200),         // a rune across the border at 255
			strings.Repeat("x", 254) + `\"x`, // an escape across it
		} {
			key := a.txt(fmt.Sprintf("o%d", i))
			a.apply(z, Change{Seen: a.read(z, key), Add: []string{value}, TTL: time.Hour})
			seen := a.read(z, key)
			wantValues(t, seen, value)
			a.apply(z, Change{Seen: seen, Remove: seen.Records})
			wantValues(t, a.read(z, key))
		}
	}},
	{"an empty text", func(t *testing.T, a awsZone) {
		a.foreign("e", 300, `""`)
		z, key := a.open(), a.txt("e")
		seen := a.read(z, key)
		wantValues(t, seen, "")
		a.apply(z, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
		seen = a.read(z, key)
		a.apply(z, Change{Seen: seen, Remove: pickRecords(t, seen, "x")})
		a.stored(key, `""`)
	}},
	{"siblings at the apex stay character by character", func(t *testing.T, a awsZone) {
		siblings := []string{`"google-site-verification=abc"`, `"part1"  "part2"`, `"k=v" "w"`, `"abc" "" "def"`, `"q\"uo\\te" "\000\377"`, `""`, `"\141\142\143"`}
		a.foreign("@", 1234, append([]string{`"v=spf1 -all"`}, siblings...)...)
		a.must(a.PutValues(hostedZone, "zone.example", "MX", 300, "10 mx"))
		z, key := a.open(), a.txt("@")
		texts := []string{"google-site-verification=abc", "part1part2", "k=vw", "abcdef", "q\"uo\\te\x00\xff", "", "abc"}

		seen := a.read(z, key)
		wantValues(t, seen, append(slices.Clone(texts), "v=spf1 -all")...)
		a.apply(z, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 -all"), Add: []string{"v=spf1 mx -all"}, TTL: time.Minute})
		a.stored(key, append(slices.Clone(siblings), `"v=spf1 mx -all"`)...)
		if ttl := a.TTL(hostedZone, key.Name, "TXT"); ttl != 1234 {
			t.Errorf("TTL %d: the siblings' own is 1234", ttl)
		}
		seen = a.read(z, key)
		a.apply(z, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 mx -all")})
		a.stored(key, siblings...)
		a.apply(z, Change{Seen: a.read(z, key), Add: []string{"v=spf1 -all"}, TTL: time.Minute})
		a.stored(key, append(slices.Clone(siblings), `"v=spf1 -all"`)...)
		wantValues(t, a.read(z, key), append(texts, "v=spf1 -all")...)
	}},
	{"two records with one text are two records", func(t *testing.T, a awsZone) {
		a.foreign("@", 300, `"abcdef"`, `"abc" "def"`)
		z := a.open()
		seen := a.read(z, a.txt("@"))
		wantValues(t, seen, "abcdef", "abcdef")
		whole := seen.Records[slices.IndexFunc(seen.Records, func(r Record) bool { return r.Handle == `"abcdef"` })]
		a.apply(z, Change{Seen: seen, Remove: []Record{whole}})
		a.stored(a.txt("@"), `"abc" "def"`)
	}},
	{"two foreign SPF records are left alone", func(t *testing.T, a awsZone) {
		a.foreign("@", 300, `"v=spf1 -all"`, `"v=spf1 mx ~all"`)
		z, spf := a.open(), Slot{Key: a.txt("@"), Is: func(v string) bool { return strings.HasPrefix(v, "v=spf1") }, Same: func(a, b string) bool { return a == b }}
		d := Decide(spf, Wish{Value: "v=spf1 a -all"}, a.read(z, spf.Key), nil)
		if d.Verb != Conflict || len(d.Foreign) != 2 {
			t.Errorf("%+v", d)
		}
		a.apply(z, d.Change)
		a.calls(0, 1, 0)
		a.stored(spf.Key, `"v=spf1 -all"`, `"v=spf1 mx ~all"`)
	}},
	{"what is added is there already", func(t *testing.T, a awsZone) {
		a.foreign("@", 300, `"x"`)
		z := a.open()
		a.apply(z, Change{Seen: a.read(z, a.txt("@")), Add: []string{"x", "x"}, TTL: time.Hour})
		a.apply(z, Change{Seen: a.read(z, a.txt("@")), Add: []string{"x", "y", "y"}, TTL: time.Hour})
		a.stored(a.txt("@"), `"x"`, `"y"`)
	}},
	{"case of names, and of targets", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "_DMARC.Zone.EXAMPLE", "TXT", 300, `"v=DMARC1; p=none"`))
		a.must(a.PutValues(hostedZone, "_MTA-STS.zone.example", "CNAME", 300, "Other.EXAMPLE."))
		z := a.open(func(c *Route53Config) { c.Zone = "ZONE.example." })
		seen := a.read(z, a.txt("_dmarc"))
		a.apply(z, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Hour})
		a.stored(a.txt("_dmarc"), `"v=DMARC1; p=reject"`)

		key := a.key("_mta-sts", TypeCNAME)
		seen = a.read(z, key)
		wantValues(t, seen, "other.example")
		a.apply(z, Change{Seen: seen, Remove: seen.Records, Add: []string{"Third.EXAMPLE."}, TTL: time.Hour})
		a.stored(key, "third.example.")
	}},
	{"a wildcard is read as *, and is nobody else's", func(t *testing.T, a awsZone) {
		a.foreign("*", 300, `"any"`)
		a.foreign("*.sub", 300, `"v=spf1 -all"`)
		z := a.open()
		for _, label := range []string{"_dmarc", "a", "0", "x.sub"} {
			wantValues(t, a.read(z, a.txt(label)))
		}
		seen := a.read(z, a.txt("*"))
		wantValues(t, seen, "any")
		a.apply(z, Change{Seen: seen, Add: []string{"ours"}, TTL: time.Hour})
		a.stored(a.txt("*"), `"any"`, `"ours"`)
		readings := z.Read(t.Context(), a.txt("*.sub"), a.txt("0"), a.txt("*"), a.txt("zz"))
		for i, want := range []int{1, 0, 2, 0} {
			if readings[i].Err != nil || len(readings[i].RRset.Records) != want {
				t.Errorf("%d: %+v", i, readings[i])
			}
		}
	}},
	{"a dot within a label is none between two", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, `x\056a.zone.example`, "TXT", 300, `"theirs"`))
		wantValues(t, a.read(a.open(), a.txt("x.a")))
	}},
	{"addresses and CNAMEs", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "mta-sts.zone.example", "A", 300, "192.0.2.1", "192.0.2.2"))
		a.must(a.PutValues(hostedZone, "mta-sts.zone.example", "AAAA", 300, "2001:DB8:0:0:0:0:0:1"))
		z, v4, v6 := a.open(), a.key("mta-sts", TypeA), a.key("mta-sts", TypeAAAA)
		seen := a.read(z, v4)
		wantValues(t, seen, "192.0.2.1", "192.0.2.2")
		a.apply(z, Change{Seen: seen, Remove: pickRecords(t, seen, "192.0.2.1"), Add: []string{"192.0.2.3"}})
		a.stored(v4, "192.0.2.2", "192.0.2.3")
		seen = a.read(z, v6)
		wantValues(t, seen, "2001:db8::1")
		a.apply(z, Change{Seen: seen, Add: []string{"2001:db8::2"}, TTL: time.Hour})
		a.stored(v6, "2001:DB8:0:0:0:0:0:1", "2001:db8::2")

		alias := a.key("s1._domainkey", TypeCNAME)
		a.apply(z, Change{Seen: a.read(z, alias), Add: []string{"s1.tenant.example"}, TTL: time.Hour})
		wantValues(t, a.read(z, alias), "s1.tenant.example")

		// Nothing stands as a CNAME, but other records do.
		beside := Change{Seen: a.read(z, a.key("mta-sts", TypeCNAME)), Add: []string{"host.example"}, TTL: time.Hour}
		wantValues(t, beside.Seen)
		wantKind(t, applyOne(t.Context(), z, beside), Refused)
		apex := Change{Seen: a.read(z, a.key("@", TypeCNAME)), Add: []string{"host.example"}, TTL: time.Hour}
		wantKind(t, applyOne(t.Context(), z, apex), Refused)
	}},
	{"a CNAME occupies the name", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "_dmarc.zone.example", "CNAME", 300, "DMARC.provider.example"))
		a.must(a.Put(hostedZone, fake.Set{Name: "to.zone.example", Type: "CNAME", Alias: &fake.Alias{HostedZoneID: hostedZone, DNSName: "x.zone.example."}}))
		z := a.open()
		for label, want := range map[string]string{"_dmarc": "dmarc.provider.example", "to": "x.zone.example"} {
			seen := a.read(z, a.txt(label))
			if seen.Alias != want || len(seen.Records) > 0 {
				t.Errorf("alias %q, records %q", seen.Alias, seen.Values())
			}
			wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour}), Invalid)
		}
		a.calls(0, 2, 0)
	}},
	{"aliases to AWS resources and routing policies are shown and left alone", func(t *testing.T, a awsZone) {
		a.must(a.Put(hostedZone, fake.Set{Name: "mta-sts.zone.example", Type: "A", Alias: &fake.Alias{HostedZoneID: "ZELB", DNSName: "lb.amazonaws.example."}}))
		for _, id := range []string{"one", "two"} {
			a.must(a.Put(hostedZone, fake.Set{Name: "w.zone.example", Type: "TXT", SetIdentifier: id, Weight: new(int64(1)), TTL: new(int64(60)), Values: []string{`"` + id + `"`}}))
		}
		a.must(a.Put(hostedZone, fake.Set{Name: "m.zone.example", Type: "TXT", SetIdentifier: "x", MultiValue: new(true), TTL: new(int64(60)), Values: []string{`"x"`}}))
		before, z := a.Sets(hostedZone), a.open()
		for key, says := range map[Key]string{
			a.key("mta-sts", TypeA): "alias", a.txt("w"): "routing policy", a.txt("m"): "routing policy",
		} {
			_, err := readOne(t.Context(), z, key)
			wantKind(t, err, Unsupported)
			if !strings.Contains(err.Error(), says) {
				t.Error(err)
			}
			add := map[string]string{TypeA: "192.0.2.1", TypeTXT: "x"}[key.Type]
			err = applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{add}, TTL: time.Hour})
			if k := KindOf(err); k != Changed && k != Refused {
				t.Errorf("%v: %v", key, err)
			}
		}
		wantValues(t, a.read(z, a.txt("mta-sts")))
		if diff := cmp.Diff(before, a.Sets(hostedZone)); diff != "" {
			t.Errorf("changed (-before +after):\n%s", diff)
		}
	}},
	{"odd foreign records anywhere", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "zone.example", "SRV", 300, "not a service"))
		a.must(a.PutValues(hostedZone, "a.zone.example", "SVCB", 300, "1 . nonsense="))
		a.must(a.PutValues(hostedZone, "b.zone.example", "TXT", 300, "not quoted"))
		a.must(a.PutValues(hostedZone, `c\000\042\134.zone.example`, "X-NEW", 300, `"`))
		a.must(a.Put(hostedZone, fake.Set{Name: "_dmarc.zone.example", Type: "A"})) // neither values nor alias
		a.foreign("@", 300, `"v=spf1 -all"`)
		z := a.open()
		wantValues(t, a.read(z, a.txt("@")), "v=spf1 -all")
		wantValues(t, a.read(z, a.txt("_dmarc")))
		wantValues(t, a.read(z, a.txt("c")))
		readings := z.Read(t.Context(), a.txt("a"), a.txt("b"), a.txt("@"))
		wantKind(t, readings[1].Err, Unsupported)
		wantValues(t, readings[2].RRset, "v=spf1 -all")
		if readings[0].Err != nil || readings[2].Err != nil {
			t.Error("one odd value ends the whole read")
		}
		a.apply(z, Change{Seen: a.read(z, a.txt("_dmarc")), Add: []string{"x"}, TTL: time.Hour})
	}},
	{"the name is delegated", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "_domainkey.zone.example", "NS", 300, "ns.elsewhere.example."))
		z := a.open()
		for _, label := range []string{"_domainkey", "s1._domainkey", "a.b._domainkey"} {
			_, err := readOne(t.Context(), z, a.txt(label))
			wantKind(t, err, Delegated)
			if !strings.Contains(err.Error(), "_domainkey.zone.example") {
				t.Errorf("does not name the child zone: %v", err)
			}
		}
		wantValues(t, a.read(z, a.txt("@")))
	}},
	{"somebody else writes between read and write", func(t *testing.T, a awsZone) {
		a.foreign("ours", 300, `"v=DMARC1; p=none"`)
		a.foreign("ttl", 300, `"v=DMARC1; p=none"`)
		a.foreign("gone", 300, `"v=DMARC1; p=none"`)
		a.foreign("cut", 300, `"v=DMARC1; p=none"`)
		z := a.open()
		for what, c := range map[string]struct {
			label string
			ttl   int64
			then  []string
		}{
			"beside ours":     {"ours", 300, []string{`"v=DMARC1; p=none"`, `"theirs"`}},
			"in its place":    {"ours", 300, []string{`"theirs"`}},
			"where was none":  {"none", 300, []string{`"theirs"`}},
			"the same value":  {"same", 300, []string{`"new"`}},
			"another TTL":     {"ttl", 301, []string{`"v=DMARC1; p=none"`}},
			"nothing is left": {"gone", 300, nil},
			"in other cuts":   {"cut", 300, []string{`"v=DMARC1;" " p=none"`}},
		} {
			key := a.txt(c.label)
			seen := a.read(z, key)
			a.must(a.Remove(hostedZone, key.Name, "TXT"))
			if c.then != nil {
				a.foreign(c.label, c.ttl, c.then...)
			}
			err := applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records, Add: []string{"new"}, TTL: time.Hour})
			if KindOf(err) != Changed {
				t.Errorf("%s: %v, want Changed", what, err)
			}
			a.stored(key, c.then...)
		}
		for _, key := range []Key{a.txt("alias"), a.key("cname", TypeCNAME)} {
			seen := a.read(z, key)
			a.must(a.PutValues(hostedZone, key.Name, "CNAME", 300, "elsewhere.example."))
			wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Add: []string{"new.example"}, TTL: time.Hour}), Changed)
			a.stored(Key{key.Name, TypeCNAME}, "elsewhere.example.")
		}
	}},
	{"decide and apply converge, and then cost nothing", func(t *testing.T, a awsZone) {
		a.foreign("@", 300, `"sibling"`, `"p=theirs"`)
		z, at := a.open(), slot
		at.Key = a.txt("@")
		var owned []Owned
		for _, step := range []struct {
			wish Wish
			want Verb
			then []string
		}{
			{Wish{Value: "p=w"}, Conflict, []string{"sibling", "p=theirs"}},
			{Wish{Value: "p=w", Adopt: true}, Replace, []string{"sibling", "p=w"}},
			{Wish{Value: "p=w"}, Keep, []string{"sibling", "p=w"}},
			{Wish{Value: "p=x"}, Replace, []string{"sibling", "p=x"}},
			{Wish{}, Remove, []string{"sibling"}},
			{Wish{}, Keep, []string{"sibling"}},
			{Wish{Value: "p=w"}, Create, []string{"sibling", "p=w"}},
		} {
			d := Decide(at, step.wish, a.read(z, at.Key), owned)
			if d.Verb != step.want {
				t.Fatalf("%+v: %s, want %s", step.wish, d.Verb, step.want)
			}
			a.ResetCalls()
			a.apply(z, d.Change)
			if writes := a.Calls(); (writes != 0) == d.Change.Empty() {
				t.Errorf("%+v: %d calls", step.wish, writes)
			}
			wantValues(t, a.read(z, at.Key), step.then...)
			owned = nil
			if d.Value != "" {
				owned = settled(d.Value)
			}
		}
	}},
	{"a first publication is a read, a write and a read back", func(t *testing.T, a awsZone) {
		for _, name := range []string{"www", "mail", "autodiscover", "m1", "m2"} {
			a.must(a.PutValues(hostedZone, name+".zone.example", "A", 300, "192.0.2.1"))
		}
		a.foreign("@", 300, `"google-site-verification=abc"`)
		z := a.open(byName)
		keys := []Key{a.txt("@"), a.txt("_dmarc"), a.txt("_mta-sts"), a.txt("_smtp._tls"), a.txt("mail-20261123a._domainkey"), a.key("mta-sts", TypeCNAME)}
		var changes []Change
		for _, r := range z.Read(t.Context(), keys...) {
			a.must(r.Err)
			changes = append(changes, Change{Seen: r.RRset, Add: []string{"value.example"}, TTL: time.Hour})
		}
		for _, err := range z.Apply(t.Context(), changes...) {
			a.must(err)
		}
		for i, r := range z.Read(t.Context(), keys...) {
			a.must(r.Err)
			if r.RRset.Key != keys[i] || !slices.Contains(r.RRset.Values(), "value.example") {
				t.Errorf("%+v", r.RRset)
			}
		}
		a.calls(1, 2, 1)
		for i, err := range z.Apply(t.Context(), make([]Change, 3)...) {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if len(z.Read(t.Context())) != 0 || len(z.Apply(t.Context())) != 0 {
			t.Error("an answer to nothing")
		}
		a.calls(0, 0, 0)
	}},
	{"a zone of many pages", func(t *testing.T, a awsZone) {
		for i := range 900 {
			a.must(a.PutValues(hostedZone, fmt.Sprintf("host%03d.zone.example", i), "A", 300, "192.0.2.1"))
		}
		for i := range 700 { // one name that no page can hold
			a.must(a.Put(hostedZone, fake.Set{Name: "host500.zone.example", Type: "AAAA", SetIdentifier: fmt.Sprintf("%03d", i), Weight: new(int64(1)), TTL: new(int64(60)), Values: []string{"2001:db8::1"}}))
		}
		a.foreign("host500", 300, `"behind them"`)
		a.foreign("host000", 300, `"first"`)
		a.foreign("zz", 300, `"last"`)
		z := a.open()
		keys := []Key{a.txt("zz"), a.txt("host000"), a.txt("@"), a.txt("host500"), a.txt("host299x"), a.txt("_dmarc"), a.key("host899", TypeA)}
		for i, want := range [][]string{{"last"}, {"first"}, nil, {"behind them"}, nil, nil, {"192.0.2.1"}} {
			r := z.Read(t.Context(), keys...)[i]
			a.must(r.Err)
			wantValues(t, r.RRset, want...)
		}
		a.ResetCalls()
		z.Read(t.Context(), a.txt("@"), a.txt("_dmarc"), a.txt("zz"))
		a.calls(0, 2, 0) // jumps over what lies between
		z.Read(t.Context(), a.txt("zz"))
		a.calls(0, 1, 0)
	}},
	{"order of names", func(t *testing.T, a awsZone) {
		// With and without a hyphen, whose place before the dot is easily got wrong.
		var keys []Key
		for i := range 250 {
			for _, name := range []string{"n%03d", "n%03d-x", "x.n%03d", "x.n%03d-x", "_n%03d"} {
				a.foreign(fmt.Sprintf(name, i), 300, `"x"`)
				keys = append(keys, a.txt(fmt.Sprintf(name, i)))
			}
		}
		for i, r := range a.open().Read(t.Context(), keys...) {
			if r.Err != nil || len(r.RRset.Records) != 1 {
				t.Fatalf("%v: %+v", keys[i], r)
			}
		}
	}},
	{"requests without sense", func(t *testing.T, a awsZone) {
		a.foreign("@", 300, `"x"`)
		z := a.open()
		for _, key := range []Key{
			{"_dmarc.example.invalid", TypeTXT}, {"xzone.example", TypeTXT}, {"_DMARC.zone.example", TypeTXT}, {"mx.zone.example", "MX"}, {"", TypeTXT},
			{"a..b.zone.example", TypeTXT}, {strings.Repeat("a.", 130) + "zone.example", TypeTXT}, {`a\052.zone.example`, TypeTXT}, {"a.*.zone.example", TypeTXT},
		} {
			readings := z.Read(t.Context(), key, a.txt("@"))
			wantKind(t, readings[0].Err, Invalid)
			a.must(readings[1].Err) // the other keys are read all the same
			wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), Invalid)
		}
		seen := a.read(z, a.txt("@"))
		a.ResetCalls()
		address, cname, none := RRset{Key: a.key("a", TypeA)}, RRset{Key: a.key("a", TypeCNAME)}, RRset{Key: a.txt("n")}
		for what, change := range map[string]Change{
			"not seen":            {Seen: seen, Remove: []Record{{Value: "x", Handle: `"X"`}}},
			"of another provider": {Seen: RRset{Key: a.txt("n"), Records: []Record{{Value: "x"}}}, Add: []string{"y"}},
			"negative TTL":        {Seen: none, Add: []string{"x"}, TTL: -1},
			"long TTL":            {Seen: none, Add: []string{"x"}, TTL: 100 * 365 * 24 * time.Hour},
			"text too long":       {Seen: none, Add: []string{strings.Repeat("x", 4001)}, TTL: time.Hour},
			"no address":          {Seen: address, Add: []string{"x"}, TTL: time.Hour},
			"IPv6 in A":           {Seen: address, Add: []string{"2001:db8::1"}, TTL: time.Hour},
			"zone in address":     {Seen: RRset{Key: a.key("a", TypeAAAA)}, Add: []string{"fe80::1%eth0"}, TTL: time.Hour},
			"no target":           {Seen: cname, Add: []string{""}, TTL: time.Hour},
			"no domain name":      {Seen: cname, Add: []string{"a..b"}, TTL: time.Hour},
			"escapes in a target": {Seen: cname, Add: []string{`a\052.example`}, TTL: time.Hour},
			"two CNAME values":    {Seen: cname, Add: []string{"a.example", "b.example"}, TTL: time.Hour},
		} {
			if err := applyOne(t.Context(), z, change); KindOf(err) != Invalid {
				t.Errorf("%s: %v, want Invalid", what, err)
			}
		}
		a.calls(0, 0, 0)
		a.stored(a.txt("@"), `"x"`)
	}},
	{"a sibling that Route 53 would not take any more", func(t *testing.T, a awsZone) {
		old := `"` + strings.Repeat("x", 300) + `"`
		a.foreign("@", 300, old)
		z := a.open()
		wantKind(t, applyOne(t.Context(), z, Change{Seen: a.read(z, a.txt("@")), Add: []string{"ours"}, TTL: time.Hour}), Refused)
		a.stored(a.txt("@"), old)
	}},
	{"a set too large to swap", func(t *testing.T, a awsZone) {
		var values []string
		for i := range 80 {
			values = append(values, fmt.Sprintf(`"%s %02d"`, strings.Repeat("x", 250), i))
		}
		a.foreign("@", 300, values...)
		z := a.open()
		wantKind(t, applyOne(t.Context(), z, Change{Seen: a.read(z, a.txt("@")), Add: []string{"ours"}, TTL: time.Hour}), Unsupported)
		a.stored(a.txt("@"), values...)
	}},
}

func TestRoute53(t *testing.T) {
	for _, c := range route53Cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, startRoute53(t)) })
	}
}
