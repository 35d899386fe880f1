package dnsprovider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
)

// cloudflareCase is one case with a server of its own.
type cloudflareCase struct {
	name   string
	config cloudflare.Config
	run    func(t *testing.T, e cloudflareEnv)
}

// storedLengths returns the lengths of the strings of a stored TXT record, none of which has escapes.
func storedLengths(content string) []int {
	var all []int
	for _, s := range strings.Split(strings.Trim(content, `"`), `" "`) {
		all = append(all, len(s))
	}
	return all
}

var cloudflareCases = []cloudflareCase{
	{
		name: "absence is proved",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("A", "web", "192.0.2.1", 1)
			e.put("TXT", "x_dmarc", "the same end", 1)
			e.put("TXT", "a.b.tree", "x", 1)
			e.put("TXT", "*", "x", 1)
			for _, label := range []string{"_dmarc", "web", "b.tree", "@"} {
				wantValues(t, e.read(t, e.txt(label)))
			}
		},
	},
	{
		name: "create, replace, remove",
		run: func(t *testing.T, e cloudflareEnv) {
			key := e.txt("_dmarc")
			e.apply(t, Change{Seen: e.read(t, key), Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour})
			seen := e.read(t, key)
			wantValues(t, seen, "v=DMARC1; p=none")
			before := e.records("_dmarc", "")[0]
			if seen.TTL != time.Hour || before.Content != `"v=DMARC1; p=none"` || before.Type != "TXT" || before.Proxied {
				t.Errorf("%v, %+v", seen.TTL, before)
			}

			before.Comment = "ask Jo before you touch this" // a human's, at our record
			e.s.Put(e.id, before)
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Minute})
			seen = e.read(t, key)
			wantValues(t, seen, "v=DMARC1; p=reject")
			after := e.records("_dmarc", "")
			if len(after) != 1 || after[0].ID != before.ID || after[0].Comment != before.Comment || seen.TTL != time.Minute {
				t.Errorf("not edited in place: %+v", after)
			}

			e.apply(t, Change{Seen: seen, Remove: seen.Records})
			wantValues(t, e.read(t, key))
			if len(e.everything()) > 0 {
				t.Errorf("%v", e.everything())
			}
		},
	},
	{
		name: "sizes",
		run: func(t *testing.T, e cloudflareEnv) {
			for n, want := range map[int][]int{
				1:    {1},
				254:  {254},
				255:  {255},
				256:  {255, 1},
				392:  {255, 137}, // p= of RSA 2048
				410:  {255, 155},
				510:  {255, 255},
				511:  {255, 255, 1},
				754:  {255, 255, 244}, // RSA 4096
				4080: slices.Repeat([]int{255}, 16),
			} {
				label := fmt.Sprintf("s%d", n)
				value := strings.Repeat("v=DKIM1;k=rsa; ", n/15+1)[:n]
				e.apply(t, Change{Seen: e.read(t, e.txt(label)), Add: []string{value}, TTL: time.Hour})
				seen := e.read(t, e.txt(label))
				wantValues(t, seen, value)
				if diff := cmp.Diff(want, storedLengths(e.records(label, "TXT")[0].Content)); diff != "" {
					t.Errorf("%d octets: strings (-want +got):\n%s", n, diff)
				}
				e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{value[:n-1] + "!"}, TTL: time.Hour})
				wantValues(t, e.read(t, e.txt(label)), value[:n-1]+"!")
			}
			err := applyOne(t.Context(), e.zone, Change{Seen: RRset{Key: e.txt("long")}, Add: []string{strings.Repeat("x", 4081)}, TTL: time.Hour})
			wantKind(t, err, Refused)
			if !strings.Contains(err.Error(), "error 9603") {
				t.Error(err)
			}
		},
	},
	{
		name: "a record that somebody else wrote in one long string",
		run: func(t *testing.T, e cloudflareEnv) {
			value := "v=DKIM1; k=rsa; p=" + strings.Repeat("A", 736)
			for label, content := range map[string]string{"raw": value, "one": `"` + value + `"`, "cut": `"` + value[:100] + `"   "` + value[100:] + `"`} {
				e.put("TXT", label, content, 1)
				wantValues(t, e.read(t, e.txt(label)), value)
			}
		},
	},
	{
		name: "any octet",
		run: func(t *testing.T, e cloudflareEnv) {
			var all []byte
			for b := range 256 {
				all = append(all, byte(b))
			}
			for i, value := range []string{
				`"quoted"`, `a"b`, `back\slash`, `\034 \"`, `\`, `semi;colon; (paren)`, "Grüße aus Köln", "\tline\nfeed\r\x00", " spaces ", "$ORIGIN @ <&>", string(all),
				strings.Repeat("ü", 200), strings.Repeat("x", 254) + `\"x`, "",
			} {
				key := e.txt(fmt.Sprintf("o%d", i))
				e.apply(t, Change{Seen: e.read(t, key), Add: []string{value}, TTL: time.Hour})
				seen := e.read(t, key)
				wantValues(t, seen, value)
				e.apply(t, Change{Seen: seen, Remove: seen.Records})
				wantValues(t, e.read(t, key))
			}
		},
	},
	{
		name: "siblings at the apex stay octet by octet",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "@", "google-site-verification=abc", 1234)
			e.put("TXT", "@", `"abc" "def"`, 1234)
			e.put("TXT", "@", `"abc"  "" "def"`, 1234)
			e.put("TXT", "@", `"q\"uo\\te" "\000\255"`, 1234)
			e.put("TXT", "@", `v=DMARC1\; p=none`, 1234)
			e.put("TXT", "@", `""`, 1234)
			ten := 10
			e.s.Put(e.id, cloudflare.Record{Type: "MX", Name: e.apex, Content: "mx.zone.example", TTL: 1234, Priority: &ten, Comment: "mail"})
			siblings := e.everything()
			spf := e.put("TXT", "@", `"v=spf1 -all"`, 1234)
			values := []string{"google-site-verification=abc", "abcdef", "abcdef", "q\"uo\\te\x00\xff", `v=DMARC1\; p=none`, ""}

			key := e.txt("@")
			seen := e.read(t, key)
			wantValues(t, seen, append(values, "v=spf1 -all")...)
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 -all"), Add: []string{"v=spf1 mx -all"}, TTL: time.Minute})
			e.wantStill(t, siblings)
			if got := e.everything()[spf]; got.Content != `"v=spf1 mx -all"` || got.TTL != 1234 {
				t.Errorf("edited to %+v", got)
			}
			seen = e.read(t, key)
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 mx -all")})
			e.wantStill(t, siblings)
			seen = e.read(t, key)
			wantValues(t, seen, values...)
			e.apply(t, Change{Seen: seen, Add: []string{"v=spf1 -all"}, TTL: time.Minute})
			e.wantStill(t, siblings)
			if all := e.everything(); len(all) != len(siblings)+1 {
				t.Errorf("%d records, want %d", len(all), len(siblings)+1)
			}
			if seen = e.read(t, key); seen.TTL != 1234*time.Second {
				t.Errorf("TTL %v: the siblings' own is 1234s", seen.TTL)
			}
		},
	},
	{
		name: "two records with one text are two records",
		run: func(t *testing.T, e cloudflareEnv) {
			whole := e.put("TXT", "@", `"abcdef"`, 300)
			cut := e.put("TXT", "@", `"abc" "def"`, 300)
			seen := e.read(t, e.txt("@"))
			wantValues(t, seen, "abcdef", "abcdef")
			at := slices.IndexFunc(seen.Records, func(r Record) bool { return r.Handle == whole+` "abcdef"` })
			e.apply(t, Change{Seen: seen, Remove: seen.Records[at : at+1]})
			if all := e.everything(); len(all) != 1 || all[cut].ID == "" {
				t.Errorf("%v", all)
			}
		},
	},
	{
		name: "two foreign SPF",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "@", `"v=spf1 a -all"`, 300)
			e.put("TXT", "@", `v=spf1 mx -all`, 300)
			foreign := e.everything()
			at := Slot{e.txt("@"), func(value string) bool { return strings.HasPrefix(value, "v=spf1") }, func(a, b string) bool { return a == b }}
			d := Decide(at, Wish{Value: "v=spf1 -all", Adopt: true}, e.read(t, at.Key), nil)
			if d.Verb != Conflict || !slices.Equal(d.Foreign, []string{"v=spf1 a -all", "v=spf1 mx -all"}) {
				t.Errorf("%+v", d)
			}
			e.apply(t, d.Change)
			e.wantStill(t, foreign)
			e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 1})
		},
	},
	{
		name: "several replaced by one, one by several",
		run: func(t *testing.T, e cloudflareEnv) {
			key := e.txt("_p")
			first := e.put("TXT", "_p", `"p=1"`, 300)
			e.put("TXT", "_p", `"p=2"`, 300)
			e.put("TXT", "_p", `"p=3"`, 300)
			sibling := e.put("TXT", "_p", `"sibling"`, 300)
			seen := e.read(t, key)
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "p=1", "p=2", "p=3"), Add: []string{"p=3"}, TTL: time.Hour})
			seen = e.read(t, key)
			wantValues(t, seen, "p=3", "sibling")
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "p=3"), Add: []string{"p=4", "p=5"}, TTL: time.Hour})
			seen = e.read(t, key)
			wantValues(t, seen, "p=4", "p=5", "sibling")
			if all := e.everything(); all[first].Content != `"p=4"` || all[sibling].Content != `"sibling"` || seen.TTL != 5*time.Minute {
				t.Errorf("%v, %v", all, seen.TTL)
			}
		},
	},
	{
		name: "case of names, and what a wildcard is called",
		run: func(t *testing.T, e cloudflareEnv) {
			e.s.Put(e.id, cloudflare.Record{Type: "TXT", Name: "_DMARC.Zone.Example", Content: `"v=DMARC1; p=none"`, TTL: 300})
			e.s.Put(e.id, cloudflare.Record{Type: "CNAME", Name: "_MTA-STS.zone.example", Content: "Other.EXAMPLE.", TTL: 300})
			e.put("TXT", "*", "theirs", 300)
			seen := e.read(t, e.txt("_dmarc"))
			wantValues(t, seen, "v=DMARC1; p=none")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Hour})
			wantValues(t, e.read(t, e.txt("_dmarc")), "v=DMARC1; p=reject")

			key := Key{e.name("_mta-sts"), TypeCNAME}
			seen = e.read(t, key)
			wantValues(t, seen, "other.example")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"Third.EXAMPLE."}, TTL: time.Hour})
			wantValues(t, e.read(t, key), "third.example")

			for _, label := range []string{"*", `\042`} {
				wantValues(t, e.read(t, e.txt(label)), "theirs")
			}
			e.apply(t, Change{Seen: e.read(t, e.txt(`\042`)), Add: []string{"ours"}, TTL: time.Hour})
			wantValues(t, e.read(t, e.txt("*")), "ours", "theirs")
			if got := e.records("*", "TXT"); len(got) != 2 {
				t.Errorf("%v", e.everything())
			}

			e.zone = e.open(t, func(c *CloudflareConfig) { c.Zone = "ZONE.example." })
			wantValues(t, e.read(t, e.txt("_dmarc")), "v=DMARC1; p=reject")
		},
	},
	{
		name: "addresses and aliases",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("A", "mta-sts", "192.0.2.1", 300)
			theirs := e.put("A", "mta-sts", "192.0.2.2", 300)
			e.put("AAAA", "mta-sts", "2001:DB8:0::1", 300)
			v4, v6 := Key{e.name("mta-sts"), TypeA}, Key{e.name("mta-sts"), TypeAAAA}
			seen := e.read(t, v4)
			wantValues(t, seen, "192.0.2.1", "192.0.2.2")
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "192.0.2.1"), Add: []string{"192.0.2.3"}})
			wantValues(t, e.read(t, v4), "192.0.2.2", "192.0.2.3")
			if e.everything()[theirs].Content != "192.0.2.2" {
				t.Error("another address was edited")
			}
			seen = e.read(t, v6)
			wantValues(t, seen, "2001:db8::1")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"2001:DB8::2"}, TTL: time.Hour})
			wantValues(t, e.read(t, v6), "2001:db8::2")

			alias := Key{e.name("s1._domainkey"), TypeCNAME}
			e.apply(t, Change{Seen: e.read(t, alias), Add: []string{"s1.tenant.example"}, TTL: time.Hour})
			seen = e.read(t, alias)
			wantValues(t, seen, "s1.tenant.example")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"s2.tenant.example"}, TTL: time.Hour})
			wantValues(t, e.read(t, alias), "s2.tenant.example")
		},
	},
	{
		name: "what we edit answers with our address, not with Cloudflare's",
		run: func(t *testing.T, e cloudflareEnv) {
			id := e.s.Put(e.id, cloudflare.Record{Type: "A", Name: e.name("mta-sts"), Content: "192.0.2.1", TTL: 1, Proxied: true})
			key := Key{e.name("mta-sts"), TypeA}
			seen := e.read(t, key)
			wantValues(t, seen, "192.0.2.1")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"192.0.2.2"}, TTL: time.Hour})
			if got := e.everything()[id]; got.Proxied || got.TTL != 3600 {
				t.Errorf("%+v", got)
			}
		},
	},
	{
		name: "an alias occupies the name",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("CNAME", "_dmarc", "dmarc.provider.example", 300)
			e.put("CNAME", "both", "b.example", 300)
			e.put("TXT", "both", "x", 300)
			for label, want := range map[string]string{"_dmarc": "dmarc.provider.example", "both": "b.example"} {
				seen := e.read(t, e.txt(label))
				if seen.Alias != want {
					t.Errorf("%s: alias %q, want %q", label, seen.Alias, want)
				}
				e.s.ResetCalls()
				wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{"y"}, TTL: time.Hour}), Invalid)
				e.wantCalls(t, cloudflare.Calls{})
				wantValues(t, e.read(t, Key{e.name(label), TypeCNAME}), want)
			}
		},
	},
	{
		name: "a CNAME at the apex is flattened and in nobody's way",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("CNAME", "@", "site.pages.example", 1)
			seen := e.read(t, e.txt("@"))
			wantValues(t, seen)
			e.apply(t, Change{Seen: seen, Add: []string{"v=spf1 -all"}, TTL: time.Hour})
			wantValues(t, e.read(t, e.txt("@")), "v=spf1 -all")
			if seen := e.read(t, Key{e.apex, TypeA}); seen.Alias != "site.pages.example" {
				t.Errorf("alias %q", seen.Alias)
			}
		},
	},
	{
		name: "a CNAME beside other records",
		run: func(t *testing.T, e cloudflareEnv) {
			// Cloudflare would take a CNAME beside TXT, and the TXT would be lost to resolvers.
			e.put("TXT", "s1._domainkey", "v=DKIM1; p=theirs", 300)
			e.put("A", "host", "192.0.2.1", 300)
			for _, label := range []string{"s1._domainkey", "host"} {
				key := Key{e.name(label), TypeCNAME}
				seen := e.read(t, key)
				wantValues(t, seen)
				e.s.ResetCalls()
				wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{"x.example"}, TTL: time.Hour}), Refused)
				e.wantCalls(t, cloudflare.Calls{})
			}

			key := Key{e.name("late"), TypeCNAME}
			seen := e.read(t, key)
			e.put("A", "late", "192.0.2.1", 300)
			wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{"x.example"}, TTL: time.Hour}), Refused)
			wantValues(t, e.read(t, Key{e.name("late"), TypeA}), "192.0.2.1")
		},
	},
	{
		name:   "an alias came between read and write",
		config: cloudflare.Config{AliasStandsAlone: true},
		run: func(t *testing.T, e cloudflareEnv) {
			for _, key := range []Key{e.txt("t"), {e.name("a"), TypeA}} {
				seen := e.read(t, key)
				e.s.Put(e.id, cloudflare.Record{Type: "CNAME", Name: key.Name, Content: "x.example", TTL: 300})
				value := map[string]string{TypeTXT: "x", TypeA: "192.0.2.1"}[key.Type]
				wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{value}, TTL: time.Hour}), Changed)
				if got := e.read(t, key); got.Alias != "x.example" || len(got.Records) > 0 {
					t.Errorf("%+v", got)
				}
			}
		},
	},
	{
		name: "odd records of others",
		run: func(t *testing.T, e cloudflareEnv) {
			one := 1
			for _, r := range []cloudflare.Record{
				{Type: "SRV", Name: "short", Content: "1 443", TTL: 300, Priority: &one},
				{Type: "SRV", Name: "zone.example", Content: "", TTL: 300},
				{Type: "SVCB", Name: "svc.zone.example", Content: "mandatory=oops", TTL: 300},
				{Type: "HTTPS", Name: "zone.example", Content: "1 . alpn=", TTL: 1},
				{Type: "MX", Name: "zone.example", Content: ".", TTL: 300},
				{Type: "TXT", Name: "two.zone.example", Content: `"v=DKIM1; "  "p=abc"`, TTL: 300},
				{Type: "TXT", Name: "open.zone.example", Content: `"v=DKIM1; p=abc`, TTL: 300},
				{Type: "TXT", Name: `a\..zone.example`, Content: `x`, TTL: -7},
				{Type: "A", Name: "bad.zone.example", Content: "not an address", TTL: 300},
				{Type: "TYPE65534", Name: "_dmarc.zone.example", Content: `\# 1 00`, TTL: 300},
				{Type: "CNAME", Name: "..", Content: "", TTL: 300},
				{Type: "NS", Name: "elsewhere.example", Content: "", TTL: 300},
			} {
				e.s.Put(e.id, r)
			}
			foreign := e.everything()
			keys := []Key{e.txt("@"), e.txt("_dmarc"), e.txt("two"), {e.name("mta-sts"), TypeA}}
			var changes []Change
			for i, reading := range e.zone.Read(t.Context(), keys...) {
				if reading.Err != nil {
					t.Errorf("%v: %v", keys[i], reading.Err)
				}
				changes = append(changes, Change{Seen: reading.RRset, Add: []string{"192.0.2.1"}, TTL: time.Hour})
			}
			wantValues(t, changes[2].Seen, "v=DKIM1; p=abc")
			e.apply(t, changes...)
			e.wantStill(t, foreign)

			// At a key they matter, and only there.
			readings := e.zone.Read(t.Context(), e.txt("open"), e.txt("_dmarc"), Key{e.name("bad"), TypeA})
			wantKind(t, readings[0].Err, Unreachable)
			wantKind(t, readings[1].Err, "")
			wantKind(t, readings[2].Err, Unreachable)
			if text := readings[0].Err.Error(); !strings.Contains(text, "TXT open.zone.example") || !strings.Contains(text, "a quote is not closed") || len(readings[0].RRset.Records) > 0 {
				t.Errorf("%s", text)
			}
		},
	},
	{
		name: "the name is delegated",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("NS", "_domainkey", "ns.elsewhere.example", 300)
			e.put("NS", "@", "ns.cloudflare.example", 300)
			e.put("TXT", "s1._domainkey", "shadowed", 300)
			for _, label := range []string{"_domainkey", "s1._domainkey", "a.b._domainkey"} {
				_, err := readOne(t.Context(), e.zone, e.txt(label))
				wantKind(t, err, Delegated)
				if !strings.Contains(err.Error(), e.name("_domainkey")) {
					t.Errorf("does not name the child zone: %v", err)
				}
			}
			wantValues(t, e.read(t, e.txt("_dmarc")))
			wantValues(t, e.read(t, e.txt("@")))
			wantValues(t, e.read(t, e.txt("x_domainkey")))
		},
	},
	{
		name: "TTLs",
		run: func(t *testing.T, e cloudflareEnv) {
			for i, c := range []struct {
				ttl    time.Duration
				stored int
				read   time.Duration
			}{
				{0, 1, 5 * time.Minute},
				{time.Second, 60, time.Minute},
				{59 * time.Second, 60, time.Minute},
				{time.Minute, 60, time.Minute},
				{time.Hour, 3600, time.Hour},
				{24 * time.Hour, 86400, 24 * time.Hour},
				{7 * 24 * time.Hour, 86400, 24 * time.Hour},
			} {
				label := fmt.Sprintf("t%d", i)
				seen := e.read(t, e.txt(label))
				e.apply(t, Change{Seen: seen, Add: []string{"x"}, TTL: c.ttl})
				for range 2 {
					seen = e.read(t, e.txt(label))
					if stored := e.records(label, "TXT")[0].TTL; stored != c.stored || seen.TTL != c.read {
						t.Errorf("%v: stored %d, read %v", c.ttl, stored, seen.TTL)
					}
					e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"y"}, TTL: c.ttl})
				}
			}
			wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: RRset{Key: e.txt("n")}, Add: []string{"x"}, TTL: -1}), Invalid)

			// Several TTLs in one RRset, as Cloudflare lets them be: the shortest counts. Nobody's is touched.
			e.put("TXT", "mixed", "auto", 1)
			e.put("TXT", "mixed", "short", 30)
			e.put("TXT", "mixed", "long", 86400)
			others := e.everything()
			seen := e.read(t, e.txt("mixed"))
			if seen.TTL != 30*time.Second {
				t.Errorf("%v", seen.TTL)
			}
			e.apply(t, Change{Seen: seen, Add: []string{"ours"}, TTL: time.Hour})
			e.wantStill(t, others)
			ours := e.records("mixed", "TXT")[0]
			if ours.Content != `"ours"` || ours.TTL != 60 {
				t.Errorf("%+v", ours)
			}
			ours.TTL = 120
			e.s.Put(e.id, ours)
			seen = e.read(t, e.txt("mixed"))
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "ours"), Add: []string{"ours again"}, TTL: time.Hour})
			e.wantStill(t, others)
			if got := e.everything()[ours.ID]; got.TTL != 120 || got.Content != `"ours again"` {
				t.Errorf("%+v", got)
			}
		},
	},
	{
		name: "more than 700 records",
		run: func(t *testing.T, e cloudflareEnv) {
			for i := range 750 {
				e.put("TXT", fmt.Sprintf("n%03d", i), fmt.Sprintf("value %d", i), 1)
			}
			keys := []Key{e.txt("n749"), e.txt("n000"), e.txt("@"), e.txt("none")}
			check := func() {
				t.Helper()
				for i, want := range [][]string{{"value 749"}, {"value 0"}, nil, nil} {
					reading := e.zone.Read(t.Context(), keys...)[i]
					if reading.Err != nil {
						t.Fatal(reading.Err)
					}
					wantValues(t, reading.RRset, want...)
				}
			}
			check()
			e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 4}) // one for each Read

			// Where a page holds less than was asked for, all of them are read.
			e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 200, Times: 1000})
			check()
			e.wantCalls(t, cloudflare.Calls{Lists: 4 * 4})

			// If they are more than the names, each name is asked for.
			e.s.Heal()
			e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 100, Times: 1000})
			check()
			e.wantCalls(t, cloudflare.Calls{Lists: 4 * (1 + 4)})
		},
	},
	{
		name: "names are read with as few calls as can be",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "_dmarc.mail", "v=DMARC1; p=none", 1)
			e.put("CNAME", "mta-sts.mail", "x.example", 1)
			for _, keys := range [][]Key{
				{e.txt("@")},
				{e.txt("_dmarc")},
				{e.txt("mail"), e.txt("_dmarc.mail"), e.txt("s1._domainkey.mail"), {e.name("mta-sts.mail"), TypeA}},
				{e.txt("@"), e.txt("_dmarc"), e.txt("_dmarc.mail"), e.txt("_dmarc")},
			} {
				for i, reading := range e.zone.Read(t.Context(), keys...) {
					if reading.Err != nil || reading.RRset.Key != keys[i] {
						t.Errorf("%v: %+v", keys[i], reading)
					}
				}
			}
			e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 4})
		},
	},
	{
		name: "one name ends like another",
		run: func(t *testing.T, e cloudflareEnv) {
			for i := range 10 {
				e.put("TXT", fmt.Sprintf("n%d", i), "x", 1)
			}
			e.put("TXT", "x_dmarc", "theirs", 1)
			e.put("TXT", "_dmarc", "ours", 1)
			e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 2, Times: 1000})
			readings := e.zone.Read(t.Context(), e.txt("x_dmarc"), e.txt("_dmarc"))
			for i, want := range []string{"theirs", "ours"} {
				if readings[i].Err != nil {
					t.Fatal(readings[i].Err)
				}
				wantValues(t, readings[i].RRset, want)
			}
		},
	},
	{
		name:   "totals are of the whole zone",
		config: cloudflare.Config{WholeTotal: true},
		run: func(t *testing.T, e cloudflareEnv) {
			for i := range 10 {
				e.put("TXT", "many", fmt.Sprint(i), 1)
			}
			e.put("TXT", "@", "x", 1)
			wantValues(t, e.read(t, e.txt("@")), "x")
			wantValues(t, e.read(t, e.txt("none")))
			e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 4, Times: 3})
			if got := len(e.read(t, e.txt("many")).Records); got != 10 {
				t.Errorf("%d records, want 10", got)
			}
			e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 5, Times: 3}) // both pages are full
			if got := len(e.read(t, e.txt("many")).Records); got != 10 {
				t.Errorf("%d records, want 10", got)
			}
		},
	},
	{
		name: "the zone changes between two pages",
		run: func(t *testing.T, e cloudflareEnv) {
			ids := make([]string, 6)
			for i := range ids {
				ids[i] = e.put("TXT", fmt.Sprintf("n%d", i), "x", 1)
			}
			read := func(between func()) error {
				e.s.Heal()
				e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 3})
				e.s.Fail(cloudflare.Fault{Path: "/dns_records", PerPage: 3, Before: between})
				readings := e.zone.Read(t.Context(), e.txt("n3"), e.txt("@"))
				return readings[0].Err
			}
			wantKind(t, read(func() {}), "")
			wantKind(t, read(func() { e.s.Delete(e.id, ids[0]) }), Unreachable) // n3 is on neither page now
			wantKind(t, read(func() { e.put("TXT", "n9", "x", 1) }), Unreachable)
			wantKind(t, read(func() {
				for _, id := range ids {
					e.s.Delete(e.id, id)
				}
			}), Unreachable)
		},
	},
	{
		name: "somebody else writes between read and write",
		run: func(t *testing.T, e cloudflareEnv) {
			ours := e.put("TXT", "ours", `"v=DMARC1; p=none"`, 300)
			e.put("TXT", "gone", `"old"`, 300)
			seen := map[string]RRset{}
			for _, label := range []string{"ours", "gone", "same", "none"} {
				seen[label] = e.read(t, e.txt(label))
			}
			theirs := e.put("TXT", "ours", `"theirs"`, 300)
			other := e.put("TXT", "none", `"theirs"`, 300)
			e.put("TXT", "same", `"new"`, 300)
			e.s.Delete(e.id, e.records("gone", "")[0].ID)
			foreign := map[string]cloudflare.Record{theirs: e.everything()[theirs], other: e.everything()[other]}

			change := func(label string) Change {
				return Change{Seen: seen[label], Remove: seen[label].Records, Add: []string{"new"}, TTL: time.Hour}
			}
			// Without compare-and-swap what is beside ours stays, and is seen in the next read.
			errs := e.zone.Apply(t.Context(), change("ours"), change("gone"), change("same"), change("none"))
			for i, want := range []Kind{"", Changed, Changed, ""} {
				if KindOf(errs[i]) != want {
					t.Errorf("change %d: %v, want %q", i, errs[i], want)
				}
			}
			e.wantStill(t, foreign)
			wantValues(t, e.read(t, e.txt("ours")), "new", "theirs")
			wantValues(t, e.read(t, e.txt("none")), "new", "theirs")
			wantValues(t, e.read(t, e.txt("same")), "new")
			wantValues(t, e.read(t, e.txt("gone"))) // not made anew: somebody took it away
			if e.everything()[ours].Content != `"new"` {
				t.Error("ours was not edited in place")
			}
			if text := errs[1].Error(); !strings.Contains(text, "error 81044") || !strings.Contains(text, "update TXT gone.zone.example") {
				t.Error(text)
			}
		},
	},
	{
		name: "a change is whole or not at all",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "_p", `"p=1"`, 300)
			gone := e.put("TXT", "_p", `"p=2"`, 300)
			seen := e.read(t, e.txt("_p"))
			e.s.Delete(e.id, gone)
			before := e.everything()
			err := applyOne(t.Context(), e.zone, Change{Seen: seen, Remove: seen.Records, Add: []string{"p=3"}, TTL: time.Hour})
			wantKind(t, err, Changed)
			e.wantStill(t, before)
			if len(e.everything()) != len(before) {
				t.Errorf("%v", e.everything())
			}
		},
	},
	{
		name: "decide and apply converge",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "@", "sibling", 300)
			e.put("TXT", "@", "p=theirs", 300)
			at := slot
			at.Key = e.txt("@")
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
				d := Decide(at, step.wish, e.read(t, at.Key), owned)
				if d.Verb != step.want {
					t.Fatalf("%+v: %s, want %s", step.wish, d.Verb, step.want)
				}
				e.s.ResetCalls()
				e.apply(t, d.Change)
				if calls := e.s.Calls(); d.Change.Empty() && calls.All() > 0 {
					t.Errorf("%s: %+v", d.Verb, calls)
				}
				wantValues(t, e.read(t, at.Key), step.then...)
				owned = nil
				if d.Value != "" {
					owned = settled(d.Value)
				}
			}
		},
	},
	{
		name: "requests without sense",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "@", "x", 300)
			seen := e.read(t, e.txt("@"))
			address, alias := RRset{Key: Key{e.name("a"), TypeA}}, RRset{Key: Key{e.name("a"), TypeCNAME}}
			odd := RRset{Key: e.txt("n"), Records: []Record{{Value: "x", Handle: "zz/ x"}}}
			e.s.ResetCalls()
			for _, key := range []Key{
				{"_dmarc.example.invalid", TypeTXT}, {"x" + e.apex, TypeTXT}, {e.name("_DMARC"), TypeTXT}, {e.name("mx"), "MX"},
				{"", TypeTXT}, {e.name("a..b"), TypeTXT}, {e.name(strings.Repeat("a.", 125) + "a"), TypeTXT},
			} {
				_, err := readOne(t.Context(), e.zone, key)
				wantKind(t, err, Invalid)
				wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), Invalid)
			}
			for what, change := range map[string]Change{
				"not seen":         {Seen: seen, Remove: []Record{{Value: "x", Handle: "0 x"}}},
				"text too long":    {Seen: RRset{Key: e.txt("n")}, Add: []string{strings.Repeat("x", 65500)}, TTL: time.Hour},
				"no address":       {Seen: address, Add: []string{"x"}, TTL: time.Hour},
				"IPv6 in A":        {Seen: address, Add: []string{"2001:db8::1"}, TTL: time.Hour},
				"no target":        {Seen: alias, Add: []string{""}, TTL: time.Hour},
				"no domain name":   {Seen: alias, Add: []string{"a..b"}, TTL: time.Hour},
				"two CNAME values": {Seen: alias, Add: []string{"a.example", "b.example"}, TTL: time.Hour},
				"bad handle":       {Seen: odd, Remove: odd.Records},
				"bad handle, edit": {Seen: odd, Remove: odd.Records, Add: []string{"y"}},
			} {
				if err := applyOne(t.Context(), e.zone, change); KindOf(err) != Invalid {
					t.Errorf("%s: %v, want Invalid", what, err)
				}
			}
			e.wantCalls(t, cloudflare.Calls{})

			// They stop nobody else.
			good := Change{Seen: RRset{Key: e.txt("good")}, Add: []string{"x"}, TTL: time.Hour}
			errs := e.zone.Apply(t.Context(), Change{Seen: address, Add: []string{"x"}}, good)
			wantKind(t, errs[0], Invalid)
			wantKind(t, errs[1], "")
			readings := e.zone.Read(t.Context(), Key{"x.example", TypeTXT}, e.txt("good"))
			wantKind(t, readings[0].Err, Invalid)
			wantValues(t, readings[1].RRset, "x")
		},
	},
	{
		name: "what is written is served",
		run: func(t *testing.T, e cloudflareEnv) {
			d, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{e.apex}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			e.s.Serve(d)
			on := env{server: d.Addr(), apex: e.apex}
			value := "v=DKIM1; k=rsa; p=" + strings.Repeat("A", 736)
			e.put("TXT", "@", "site=1", 300)
			e.apply(t,
				Change{Seen: e.read(t, e.txt("s1._domainkey")), Add: []string{value}, TTL: time.Hour},
				Change{Seen: e.read(t, e.txt("@")), Add: []string{`v=spf1 "odd" \ ü -all`}, TTL: time.Hour},
			)
			if got := d.TXT(e.name("s1._domainkey")); !slices.Equal(got, []string{value}) {
				t.Errorf("%q", got)
			}
			if diff := cmp.Diff([]int{255, 255, 244}, on.strings(t, e.txt("s1._domainkey"))); diff != "" {
				t.Errorf("strings on the wire (-want +got):\n%s", diff)
			}
			if got := d.TXT(e.apex); !slices.Equal(got, []string{"site=1", `v=spf1 "odd" \ ü -all`}) {
				t.Errorf("%q", got)
			}
		},
	},
}
