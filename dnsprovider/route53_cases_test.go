package dnsprovider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	fake "github.com/maildomain/maildomain-operator/test/fakes/route53"
)

var route53Cases = []struct {
	name string
	run  func(t *testing.T, a awsZone)
}{
	{"what is added is there already", func(t *testing.T, a awsZone) {
		a.foreign("@", 300, `"x"`)
		z := a.open()
		a.apply(z, Change{Seen: a.read(z, a.txt("@")), Add: []string{"x", "x"}, TTL: time.Hour})
		a.apply(z, Change{Seen: a.read(z, a.txt("@")), Add: []string{"x", "y", "y"}, TTL: time.Hour})
		a.stored(a.txt("@"), `"x"`, `"y"`)
	}},
	{"a wildcard is read as *, among others", func(t *testing.T, a awsZone) {
		a.foreign("*", 300, `"any"`)
		a.foreign("*.sub", 300, `"v=spf1 -all"`)
		z := a.open()
		a.apply(z, Change{Seen: a.read(z, a.txt("*")), Add: []string{"ours"}, TTL: time.Hour})
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
	{"an alias to a CNAME occupies the name", func(t *testing.T, a awsZone) {
		a.must(a.Put(hostedZone, fake.Set{Name: "to.zone.example", Type: "CNAME", Alias: &fake.Alias{HostedZoneID: hostedZone, DNSName: "x.zone.example."}}))
		if seen := a.read(a.open(), a.txt("to")); seen.Alias != "x.zone.example" || len(seen.Records) > 0 {
			t.Errorf("alias %q, records %q", seen.Alias, seen.Values())
		}
	}},
	{"a CNAME at the apex", func(t *testing.T, a awsZone) {
		z := a.open()
		wantKind(t, applyOne(t.Context(), z, Change{Seen: a.read(z, a.key("@", TypeCNAME)), Add: []string{"host.example"}, TTL: time.Hour}), Refused)
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
	{"a value that cannot be read matters at its own key only", func(t *testing.T, a awsZone) {
		a.must(a.PutValues(hostedZone, "b.zone.example", "TXT", 300, "not quoted"))
		readings := a.open().Read(t.Context(), a.txt("a"), a.txt("b"), a.txt("c"))
		wantKind(t, readings[0].Err, "")
		wantKind(t, readings[1].Err, Unsupported)
		wantKind(t, readings[2].Err, "")
	}},
	{"somebody else changes the TTL between read and write", func(t *testing.T, a awsZone) {
		a.foreign("_p", 300, `"p=1"`)
		z := a.open()
		seen := a.read(z, a.txt("_p"))
		a.foreign("_p", 301, `"p=1"`)
		wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records, Add: []string{"p=2"}, TTL: time.Hour}), Changed)
		a.stored(a.txt("_p"), `"p=1"`)
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
	{"requests without sense at this provider", func(t *testing.T, a awsZone) {
		z := a.open()
		for _, key := range []Key{{`a\052.zone.example`, TypeTXT}, {"a.*.zone.example", TypeTXT}} {
			_, err := readOne(t.Context(), z, key)
			wantKind(t, err, Invalid)
		}
		for what, change := range map[string]Change{
			"no handle":           {Seen: RRset{Key: a.txt("n"), Records: []Record{{Value: "x"}}}, Add: []string{"y"}},
			"long TTL":            {Seen: RRset{Key: a.txt("n")}, Add: []string{"x"}, TTL: 100 * 365 * 24 * time.Hour},
			"text too long":       {Seen: RRset{Key: a.txt("n")}, Add: []string{strings.Repeat("x", 4001)}, TTL: time.Hour},
			"escapes in a target": {Seen: RRset{Key: a.key("a", TypeCNAME)}, Add: []string{`a\052.example`}, TTL: time.Hour},
		} {
			if err := applyOne(t.Context(), z, change); KindOf(err) != Invalid {
				t.Errorf("%s: %v, want Invalid", what, err)
			}
		}
		a.calls(0, 0, 0)
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
