package dnsprovider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
)

// cloudflareCase is one case with a server of its own.
type cloudflareCase struct {
	name   string
	config cloudflare.Config
	run    func(t *testing.T, e cloudflareEnv)
}

var cloudflareCases = []cloudflareCase{
	{
		name: "what a human noted at our record stays",
		run: func(t *testing.T, e cloudflareEnv) {
			key := e.txt("_dmarc")
			e.apply(t, Change{Seen: e.read(t, key), Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour})
			before := e.records("_dmarc", "")[0]
			before.Comment = "ask Jo before you touch this"
			e.s.Put(e.id, before)
			seen := e.read(t, key)
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Hour})
			after := e.records("_dmarc", "")
			if len(after) != 1 || after[0].ID != before.ID || after[0].Comment != before.Comment || after[0].Content != `"v=DMARC1; p=reject"` {
				t.Errorf("not edited in place: %+v", after)
			}
		},
	},
	{
		name: "the longest text",
		run: func(t *testing.T, e cloudflareEnv) {
			longest := strings.Repeat("x", 4080)
			e.apply(t, Change{Seen: e.read(t, e.txt("long")), Add: []string{longest}, TTL: time.Hour})
			wantValues(t, e.read(t, e.txt("long")), longest)
			err := applyOne(t.Context(), e.zone, Change{Seen: RRset{Key: e.txt("longer")}, Add: []string{longest + "x"}, TTL: time.Hour})
			wantKind(t, err, Refused)
			if !strings.Contains(err.Error(), "error 9603") {
				t.Error(err)
			}
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
		name: "what a wildcard is called, and the zone",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "*", "theirs", 300)
			for _, label := range []string{"*", `\042`} {
				wantValues(t, e.read(t, e.txt(label)), "theirs")
			}
			e.apply(t, Change{Seen: e.read(t, e.txt(`\042`)), Add: []string{"ours"}, TTL: time.Hour})
			e.zone = e.open(t, func(c *CloudflareConfig) { c.Zone = "ZONE.example." })
			wantValues(t, e.read(t, e.txt("*")), "ours", "theirs")
			if got := e.records("*", "TXT"); len(got) != 2 {
				t.Errorf("%v", e.everything())
			}
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
		name: "an alias occupies the name, with others beside it",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("CNAME", "both", "b.example", 300)
			e.put("TXT", "both", "x", 300)
			seen := e.read(t, e.txt("both"))
			if seen.Alias != "b.example" {
				t.Errorf("alias %q", seen.Alias)
			}
			wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{"y"}, TTL: time.Hour}), Invalid)
			wantValues(t, e.read(t, Key{e.name("both"), TypeCNAME}), "b.example")
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
		name: "an address came where a CNAME shall be",
		run: func(t *testing.T, e cloudflareEnv) {
			seen := e.read(t, Key{e.name("late"), TypeCNAME})
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
		name: "records that cannot be read matter at their own key only",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("TXT", "open", `"v=DKIM1; p=abc`, 300)
			e.put("A", "bad", "not an address", 300)
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
		name: "the zone's own NS records delegate nothing, and a delegation shadows",
		run: func(t *testing.T, e cloudflareEnv) {
			e.put("NS", "@", "ns.cloudflare.example", 300)
			e.put("NS", "_domainkey", "ns.elsewhere.example", 300)
			e.put("TXT", "s1._domainkey", "shadowed", 300)
			wantValues(t, e.read(t, e.txt("@")))
			_, err := readOne(t.Context(), e.zone, e.txt("s1._domainkey"))
			wantKind(t, err, Delegated)
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
		name: "handles of another provider",
		run: func(t *testing.T, e cloudflareEnv) {
			odd := RRset{Key: e.txt("n"), Records: []Record{{Value: "x", Handle: "zz/ x"}}}
			wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: odd, Remove: odd.Records}), Invalid)
			wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: odd, Remove: odd.Records, Add: []string{"y"}}), Invalid)
			e.wantCalls(t, cloudflare.Calls{})
		},
	},
}
