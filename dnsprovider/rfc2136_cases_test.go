package dnsprovider

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
)

// The cases of this file are of name servers alone; they run against the in-tree server and the real ones.

const keyName = "maildomain-key"

var keySecret = base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two octets..."))

// rfc2136Case is one case with a zone of its own.
type rfc2136Case struct {
	name  string
	zone  string // records below the zone's $ORIGIN; SOA and NS are there already
	child string // label of a child zone that the same server holds
	run   func(t *testing.T, e env)
}

// env is a zone on a server.
type env struct {
	server string
	apex   string
	vague  bool // REFUSED is the server's answer to every update that it does not take
}

// patience is far longer than any answer takes.
const patience = time.Minute

func (e env) config() RFC2136Config {
	return RFC2136Config{Server: e.server, Zone: e.apex, KeyName: keyName, KeyAlgorithm: "hmac-sha256", KeySecret: keySecret, Timeout: patience}
}

func (e env) open(t *testing.T, change ...func(*RFC2136Config)) Zone {
	t.Helper()
	cfg := e.config()
	for _, f := range change {
		f(&cfg)
	}
	z, err := NewRFC2136(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// name returns the name below the apex, "@" for the apex.
func (e env) name(label string) string {
	if label == "@" {
		return e.apex
	}
	return label + "." + e.apex
}

func (e env) txt(label string) Key { return Key{e.name(label), TypeTXT} }

func (e env) read(t *testing.T, key Key) RRset {
	t.Helper()
	set, err := readOne(t.Context(), e.open(t), key)
	if err != nil {
		t.Fatal(err)
	}
	if set.Key != key {
		t.Fatalf("read %v, got %v", key, set.Key)
	}
	return set
}

func (e env) apply(t *testing.T, change Change) {
	t.Helper()
	if err := applyOne(t.Context(), e.open(t), change); err != nil {
		t.Fatal(err)
	}
}

func readOne(ctx context.Context, z Zone, key Key) (RRset, error) {
	r := z.Read(ctx, key)[0]
	return r.RRset, r.Err
}

func applyOne(ctx context.Context, z Zone, change Change) error { return z.Apply(ctx, change)[0] }

// records picks the records with the values.
func pickRecords(t *testing.T, set RRset, values ...string) []Record {
	t.Helper()
	var picked []Record
	for _, value := range values {
		at := slices.IndexFunc(set.Records, func(r Record) bool { return r.Value == value })
		if at < 0 {
			t.Fatalf("%q is not among %q", value, set.Values())
		}
		picked = append(picked, set.Records[at])
	}
	return picked
}

// wantDeclined checks what an update comes to that is not for this server, zone or key.
func (e env) wantDeclined(t *testing.T, err error, want Kind) {
	t.Helper()
	if e.vague {
		want = Refused
	}
	wantKind(t, err, want)
}

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if got := KindOf(err); got != want {
		t.Fatalf("kind %q, want %q: %v", got, want, err)
	}
}

func wantValues(t *testing.T, set RRset, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(set.Values(), want) {
		t.Fatalf("%v is %q, want %q", set.Key, set.Values(), want)
	}
	if set.Alias != "" {
		t.Fatalf("%v is an alias of %s", set.Key, set.Alias)
	}
}

var rfc2136Cases = []rfc2136Case{
	{
		name: "case of the configuration",
		zone: "_dmarc TXT x\n",
		run: func(t *testing.T, e env) {
			upper := e.open(t, func(c *RFC2136Config) {
				c.Zone, c.KeyName, c.KeyAlgorithm = strings.ToUpper(c.Zone)+".", strings.ToUpper(c.KeyName)+".", "HMAC-SHA256."
			})
			set, err := readOne(t.Context(), upper, e.txt("_dmarc"))
			wantKind(t, err, "")
			wantValues(t, set, "x")
		},
	},
	{
		name: "an alias occupies the name",
		zone: "_dmarc CNAME dmarc.provider.example.\nlocal CNAME target\ntarget TXT \"v=DMARC1; p=none\"\ngone CNAME nowhere\n",
		run: func(t *testing.T, e env) {
			for label, want := range map[string]string{"_dmarc": "dmarc.provider.example", "local": e.name("target"), "gone": e.name("nowhere")} {
				seen := e.read(t, e.txt(label))
				if seen.Alias != want || len(seen.Records) > 0 {
					t.Errorf("%s: alias %q, records %q; want alias %q", label, seen.Alias, seen.Values(), want)
				}
				wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour}), Invalid)
				wantValues(t, e.read(t, Key{e.name(label), TypeCNAME}), want)
			}
		},
	},
	{
		name: "a wildcard's answer is not a record",
		zone: `
* 300 TXT "v=spf1 -all"
same TXT "v=spf1 -all"
other TXT "v=DMARC1; p=none"
own TXT "x"
*.own TXT "x"
own2 TXT "v=spf1 -all"
*.own2 TXT "x"
web A 192.0.2.1
*.cname CNAME other
*.cname2 CNAME other
real.cname2 CNAME other
`,
		run: func(t *testing.T, e env) {
			for _, label := range []string{"_dmarc", "a.b.c", "sub.cname", "a.sub.cname", "web", "cname"} {
				wantValues(t, e.read(t, e.txt(label)))
			}
			wantValues(t, e.read(t, Key{e.name("sub.cname"), TypeCNAME}))
			wantValues(t, e.read(t, e.txt("same")), "v=spf1 -all") // a record that says what the wildcard says
			wantValues(t, e.read(t, e.txt("other")), "v=DMARC1; p=none")
			wantValues(t, e.read(t, e.txt("own")), "x") // a record with a wildcard of its own below
			wantValues(t, e.read(t, e.txt("own2")), "v=spf1 -all")
			wantValues(t, e.read(t, e.txt("*")), "v=spf1 -all")
			wantValues(t, e.read(t, e.txt("@")))
			if seen := e.read(t, e.txt("real.cname2")); seen.Alias != e.name("other") {
				t.Errorf("alias %q", seen.Alias)
			}

			for _, label := range []string{"_dmarc", "sub.cname"} {
				e.apply(t, Change{Seen: e.read(t, e.txt(label)), Add: []string{"v=spf1 -all"}, TTL: time.Hour})
				seen := e.read(t, e.txt(label))
				wantValues(t, seen, "v=spf1 -all")
				e.apply(t, Change{Seen: seen, Remove: seen.Records})
				wantValues(t, e.read(t, e.txt(label)))
			}
			wantValues(t, e.read(t, e.txt("*")), "v=spf1 -all")
		},
	},
	{
		name: "a wildcard at the apex does not stand in for the apex",
		zone: "@ TXT \"v=spf1 -all\"\n* TXT \"v=spf1 -all\"\n",
		run: func(t *testing.T, e env) {
			seen := e.read(t, e.txt("@"))
			wantValues(t, seen, "v=spf1 -all")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=spf1 mx -all"}, TTL: time.Hour})
			wantValues(t, e.read(t, e.txt("@")), "v=spf1 mx -all")
			wantValues(t, e.read(t, e.txt("*")), "v=spf1 -all")
		},
	},
	{
		name:  "the server holds the child zone too",
		zone:  "child NS ns1\nother TXT x\n",
		child: "child",
		run: func(t *testing.T, e env) {
			child := env{server: e.server, apex: e.name("child")}
			child.apply(t, Change{Seen: child.read(t, child.txt("there")), Add: []string{"x"}, TTL: time.Hour})
			for _, label := range []string{"child", "there.child", "not-there.child"} {
				_, err := readOne(t.Context(), e.open(t), e.txt(label))
				wantKind(t, err, Delegated)
				child.read(t, e.txt(label))
			}
			wantValues(t, e.read(t, e.txt("other")), "x")
		},
	},
	{
		name: "the zone is a name in a zone",
		zone: "sub TXT x\n*.wild TXT y\n",
		run: func(t *testing.T, e env) {
			for _, zone := range []string{"sub", "_none", "a.wild"} {
				z := e.open(t, func(c *RFC2136Config) { c.Zone = e.name(zone) })
				for _, name := range []string{e.name(zone), "_dmarc." + e.name(zone)} {
					key := Key{name, TypeTXT}
					_, err := readOne(t.Context(), z, key)
					wantKind(t, err, ZoneNotFound)
					e.wantDeclined(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), ZoneNotFound)
				}
			}
		},
	},
	{
		name: "the zone is not held",
		run: func(t *testing.T, e env) {
			z := e.open(t, func(c *RFC2136Config) { c.Zone = "not-held.example" })
			key := Key{"_dmarc.not-held.example", TypeTXT}
			_, err := readOne(t.Context(), z, key)
			wantKind(t, err, ZoneNotFound)
			e.wantDeclined(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), ZoneNotFound)
		},
	},
	{
		name: "the key is wrong",
		run: func(t *testing.T, e env) {
			for what, spoil := range map[string]func(*RFC2136Config){
				"secret": func(c *RFC2136Config) { c.KeySecret = base64.StdEncoding.EncodeToString([]byte("wrong")) },
				"name":   func(c *RFC2136Config) { c.KeyName = "other-key" },
			} {
				z := e.open(t, spoil)
				_, err := readOne(t.Context(), z, e.txt("_dmarc"))
				wantKind(t, err, Unauthorized)
				err = applyOne(t.Context(), z, Change{Seen: RRset{Key: e.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour})
				e.wantDeclined(t, err, Unauthorized)
				if !e.vague && !strings.Contains(err.Error(), what) {
					t.Errorf("does not say that the %s may be wrong: %v", what, err)
				}
			}
			wantValues(t, e.read(t, e.txt("_dmarc")))
		},
	},
	{
		name: "requests without sense to a name server",
		run: func(t *testing.T, e env) {
			none := RRset{Key: e.txt("n")}
			for what, change := range map[string]Change{
				"long TTL":          {Seen: none, Add: []string{"x"}, TTL: 100 * 365 * 24 * time.Hour},
				"texts too long":    {Seen: none, Add: []string{strings.Repeat("x", 40000), strings.Repeat("y", 40000)}, TTL: time.Hour},
				"bad handle":        {Seen: RRset{Key: e.txt("n"), Records: []Record{{Value: "x", Handle: "zz"}}}, Add: []string{"x"}},
				"no room to look":   {Seen: RRset{Key: e.txt(strings.Repeat("a.", 117) + "a")}, Add: []string{"x"}, TTL: time.Hour},
				"no such type here": {Seen: RRset{Key: Key{e.name("mx"), "MX"}}, Add: []string{"10 x"}, TTL: time.Hour},
			} {
				if err := applyOne(t.Context(), e.open(t), change); KindOf(err) != Invalid {
					t.Errorf("%s: %v, want Invalid", what, err)
				}
			}
		},
	},
}
