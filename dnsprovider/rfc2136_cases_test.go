package dnsprovider

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// The cases of this file run against the in-tree server and against BIND.

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

// served asks the server as anybody would, and returns each record's TTL and octets.
func (e env) served(t *testing.T, key Key) []string {
	t.Helper()
	msg := new(dns.Msg)
	msg.SetQuestion(dns.Fqdn(key.Name), typeCodes[key.Type])
	client := &dns.Client{Net: "tcp", Timeout: patience}
	reply, _, err := client.Exchange(msg, e.server)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, rr := range reply.Answer {
		var generic dns.RFC3597
		if err := generic.ToRFC3597(rr); err != nil {
			t.Fatal(err)
		}
		if generic.Hdr.Rrtype == typeCodes[key.Type] {
			lines = append(lines, fmt.Sprintf("%d %s", generic.Hdr.Ttl, generic.Rdata))
		}
	}
	slices.Sort(lines)
	return lines
}

// strings returns the lengths of the character-strings of the one TXT record served at key.
func (e env) strings(t *testing.T, key Key) []int {
	t.Helper()
	lines := e.served(t, key)
	if len(lines) != 1 {
		t.Fatalf("%v: %d records served, want 1: %q", key, len(lines), lines)
	}
	_, rdata, _ := strings.Cut(lines[0], " ")
	var lengths []int
	for len(rdata) > 0 {
		var n int
		if _, err := fmt.Sscanf(rdata[:2], "%x", &n); err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, n)
		rdata = rdata[2+2*n:]
	}
	return lengths
}

// other writes as somebody else who has the key: with no prerequisite.
func (e env) other(t *testing.T, line string) {
	t.Helper()
	rr, err := dns.NewRR(line)
	if err != nil {
		t.Fatal(err)
	}
	msg := new(dns.Msg)
	msg.SetUpdate(dns.Fqdn(e.apex))
	msg.Insert([]dns.RR{rr})
	msg.SetTsig(keyName+".", dns.HmacSHA256, 300, 0)
	client := &dns.Client{Net: "tcp", Timeout: patience, TsigSecret: map[string]string{keyName + ".": keySecret}}
	reply, _, err := client.Exchange(msg, e.server)
	if err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%s: %v %v", line, reply, err)
	}
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
		name: "absence is proved",
		zone: "web A 192.0.2.1\na.b.tree TXT x\n",
		run: func(t *testing.T, e env) {
			for _, label := range []string{"_dmarc", "web", "b.tree", "@"} {
				wantValues(t, e.read(t, e.txt(label)))
			}
		},
	},
	{
		name: "create, replace, remove",
		run: func(t *testing.T, e env) {
			key := e.txt("_dmarc")
			seen := e.read(t, key)
			e.apply(t, Change{Seen: seen, Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour})
			seen = e.read(t, key)
			wantValues(t, seen, "v=DMARC1; p=none")
			if seen.TTL != time.Hour {
				t.Errorf("TTL %v, want 1h", seen.TTL)
			}
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Minute})
			seen = e.read(t, key)
			wantValues(t, seen, "v=DMARC1; p=reject")
			if seen.TTL != time.Minute {
				t.Errorf("TTL %v, want 1m as no other record stands", seen.TTL)
			}
			e.apply(t, Change{Seen: seen, Remove: seen.Records})
			wantValues(t, e.read(t, key))
			if lines := e.served(t, key); len(lines) > 0 {
				t.Errorf("still served: %q", lines)
			}
		},
	},
	{
		name: "sizes",
		run: func(t *testing.T, e env) {
			for n, want := range map[int][]int{
				1:    {1},
				254:  {254},
				255:  {255},
				256:  {255, 1},
				392:  {255, 137},      // p= of RSA 2048
				410:  {255, 155},      // with its tags
				510:  {255, 255},      // the end falls on a border
				511:  {255, 255, 1},   //
				754:  {255, 255, 244}, // RSA 4096
				4080: append(slices.Repeat([]int{255}, 16), nil...),
			} {
				key := e.txt(fmt.Sprintf("s%d", n))
				value := strings.Repeat("v=DKIM1;k=rsa; ", n/15+1)[:n]
				e.apply(t, Change{Seen: e.read(t, key), Add: []string{value}, TTL: time.Hour})
				wantValues(t, e.read(t, key), value)
				if diff := cmp.Diff(want, e.strings(t, key)); diff != "" {
					t.Errorf("%d octets: strings (-want +got):\n%s", n, diff)
				}
			}
		},
	},
	{
		name: "any octet",
		run: func(t *testing.T, e env) {
			var all []byte
			for b := range 256 {
				all = append(all, byte(b))
			}
			for i, value := range []string{
				`"quoted"`, `a"b`, `back\slash`, `\034 \"`, `\`, `semi;colon; (paren)`, "Grüße aus Köln", "\tline\nfeed\r\x00", " spaces ", "$ORIGIN @", string(all),
				strings.Repeat("ü", 200),         // a rune across the border at 255
				strings.Repeat("x", 254) + `\"x`, // an escape across it
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
		name: "an empty text",
		zone: `e TXT ""`,
		run: func(t *testing.T, e env) {
			seen := e.read(t, e.txt("e"))
			wantValues(t, seen, "")
			e.apply(t, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
			seen = e.read(t, e.txt("e"))
			wantValues(t, seen, "", "x")
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "x")})
			wantValues(t, e.read(t, e.txt("e")), "")
		},
	},
	{
		name: "siblings at the apex stay octet by octet",
		zone: `
@ 1234 TXT "v=spf1 -all"
@ 1234 TXT "google-site-verification=abc"
@ 1234 TXT "abc" "def"
@ 1234 TXT "abc" "" "def"
@ 1234 TXT "q\"uo\\te" "\000\255"
@ 1234 TXT ""
@ 1234 MX 10 mx
`,
		run: func(t *testing.T, e env) {
			key := e.txt("@")
			before := e.served(t, key)
			siblings := []string{"google-site-verification=abc", "abcdef", "abcdef", "q\"uo\\te\x00\xff", ""}

			seen := e.read(t, key)
			wantValues(t, seen, append(siblings, "v=spf1 -all")...)
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 -all"), Add: []string{"v=spf1 mx -all"}, TTL: time.Minute})
			seen = e.read(t, key)
			wantValues(t, seen, append(siblings, "v=spf1 mx -all")...)
			if seen.TTL != 1234*time.Second {
				t.Errorf("TTL %v: the siblings' own is 1234s", seen.TTL)
			}
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 mx -all")})
			seen = e.read(t, key)
			wantValues(t, seen, siblings...)
			e.apply(t, Change{Seen: seen, Add: []string{"v=spf1 -all"}, TTL: time.Minute})
			if diff := cmp.Diff(before, e.served(t, key)); diff != "" {
				t.Errorf("served (-before +after):\n%s", diff)
			}
		},
	},
	{
		name: "two records with one text are two records",
		zone: "@ 300 TXT \"abcdef\"\n@ 300 TXT \"abc\" \"def\"\n",
		run: func(t *testing.T, e env) {
			seen := e.read(t, e.txt("@"))
			wantValues(t, seen, "abcdef", "abcdef")
			whole := seen.Records[slices.IndexFunc(seen.Records, func(r Record) bool { return strings.HasPrefix(r.Handle, "06") })]
			e.apply(t, Change{Seen: seen, Remove: []Record{whole}})
			if diff := cmp.Diff([]string{"300 0361626303646566"}, e.served(t, e.txt("@"))); diff != "" {
				t.Error(diff)
			}
		},
	},
	{
		name: "case of names",
		zone: "_DMARC 300 TXT \"v=DMARC1; p=none\"\n_MTA-STS 300 CNAME Other.EXAMPLE.\n",
		run: func(t *testing.T, e env) {
			seen := e.read(t, e.txt("_dmarc"))
			wantValues(t, seen, "v=DMARC1; p=none")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"v=DMARC1; p=reject"}, TTL: time.Hour})
			wantValues(t, e.read(t, e.txt("_dmarc")), "v=DMARC1; p=reject")

			key := Key{e.name("_mta-sts"), TypeCNAME}
			seen = e.read(t, key)
			wantValues(t, seen, "other.example")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"Third.EXAMPLE."}, TTL: time.Hour})
			wantValues(t, e.read(t, key), "third.example")

			upper := e.open(t, func(c *RFC2136Config) {
				c.Zone, c.KeyName, c.KeyAlgorithm = strings.ToUpper(c.Zone)+".", strings.ToUpper(c.KeyName)+".", "HMAC-SHA256."
			})
			set, err := readOne(t.Context(), upper, e.txt("_dmarc"))
			if err != nil {
				t.Fatal(err)
			}
			wantValues(t, set, "v=DMARC1; p=reject")
		},
	},
	{
		name: "addresses and aliases",
		zone: "mta-sts 300 A 192.0.2.1\nmta-sts 300 A 192.0.2.2\nmta-sts 300 AAAA 2001:DB8:0::1\n",
		run: func(t *testing.T, e env) {
			v4, v6 := Key{e.name("mta-sts"), TypeA}, Key{e.name("mta-sts"), TypeAAAA}
			seen := e.read(t, v4)
			wantValues(t, seen, "192.0.2.1", "192.0.2.2")
			e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "192.0.2.1"), Add: []string{"192.0.2.3"}})
			wantValues(t, e.read(t, v4), "192.0.2.2", "192.0.2.3")
			seen = e.read(t, v6)
			wantValues(t, seen, "2001:db8::1")
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"2001:db8::2"}, TTL: time.Hour})
			wantValues(t, e.read(t, v6), "2001:db8::2")

			alias := Key{e.name("s1._domainkey"), TypeCNAME}
			e.apply(t, Change{Seen: e.read(t, alias), Add: []string{"s1.tenant.example"}, TTL: time.Hour})
			wantValues(t, e.read(t, alias), "s1.tenant.example")

			// Nothing stands as a CNAME, but other records do.
			beside := Change{Seen: e.read(t, Key{e.name("mta-sts"), TypeCNAME}), Add: []string{"host.example"}, TTL: time.Hour}
			wantValues(t, beside.Seen)
			wantKind(t, applyOne(t.Context(), e.open(t), beside), Refused)
			wantValues(t, e.read(t, v6), "2001:db8::2")
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
		name: "the name is delegated",
		zone: "_domainkey NS ns.elsewhere.example.\n",
		run: func(t *testing.T, e env) {
			for _, label := range []string{"_domainkey", "s1._domainkey", "a.b._domainkey"} {
				_, err := readOne(t.Context(), e.open(t), e.txt(label))
				wantKind(t, err, Delegated)
				if !strings.Contains(err.Error(), e.name("_domainkey")) {
					t.Errorf("does not name the child zone: %v", err)
				}
			}
			wantValues(t, e.read(t, e.txt("_dmarc")))
		},
	},
	{
		name:  "the server holds the child zone too",
		zone:  "child NS ns1\nother TXT x\n",
		child: "child",
		run: func(t *testing.T, e env) {
			child := env{e.server, e.name("child")}
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
					wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), ZoneNotFound)
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
			wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), ZoneNotFound)
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
				wantKind(t, err, Unauthorized)
				if !strings.Contains(err.Error(), what) {
					t.Errorf("does not say that the %s may be wrong: %v", what, err)
				}
			}
			wantValues(t, e.read(t, e.txt("_dmarc")))
		},
	},
	{
		name: "somebody else writes between read and write",
		zone: "ours TXT \"v=DMARC1; p=none\"\n",
		run: func(t *testing.T, e env) {
			for what, c := range map[string]struct {
				label, line string
				want        []string
			}{
				"beside ours":    {"ours", `%s 300 TXT theirs`, []string{"v=DMARC1; p=none", "theirs"}},
				"where was none": {"none", `%s 300 TXT theirs`, []string{"theirs"}},
				"the same value": {"same", `%s 300 TXT new`, []string{"new"}},
			} {
				key := e.txt(c.label)
				seen := e.read(t, key)
				e.other(t, fmt.Sprintf(c.line, dns.Fqdn(key.Name)))
				err := applyOne(t.Context(), e.open(t), Change{Seen: seen, Remove: seen.Records, Add: []string{"new"}, TTL: time.Hour})
				if KindOf(err) != Changed {
					t.Errorf("%s: %v, want Changed", what, err)
				}
				wantValues(t, e.read(t, key), c.want...)
			}

			key := e.txt("alias")
			seen := e.read(t, key)
			e.other(t, dns.Fqdn(key.Name)+" 300 CNAME elsewhere.example.")
			wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: seen, Add: []string{"new"}, TTL: time.Hour}), Changed)

			key = Key{e.name("cname"), TypeCNAME}
			seen = e.read(t, key)
			e.other(t, dns.Fqdn(key.Name)+" 300 CNAME elsewhere.example.")
			wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: seen, Add: []string{"new.example"}, TTL: time.Hour}), Changed)
			wantValues(t, e.read(t, key), "elsewhere.example")

			// Removed, and put back in other strings: the same text is not the same record.
			key = e.txt("ours")
			seen = e.read(t, key)
			e.apply(t, Change{Seen: seen, Remove: seen.Records})
			e.other(t, dns.Fqdn(key.Name)+` 300 TXT "theirs"`)
			e.other(t, dns.Fqdn(key.Name)+` 300 TXT "v=DMARC1;" " p=none"`)
			wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: seen, Remove: pickRecords(t, seen, "v=DMARC1; p=none")}), Changed)
		},
	},
	{
		name: "decide and apply converge",
		zone: "@ 300 TXT \"sibling\"\n@ 300 TXT \"p=theirs\"\n",
		run: func(t *testing.T, e env) {
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
				e.apply(t, d.Change)
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
		zone: "@ TXT x\n",
		run: func(t *testing.T, e env) {
			z := e.open(t)
			for _, key := range []Key{
				{"_dmarc.example.invalid", TypeTXT},
				{"x" + e.apex, TypeTXT},
				{e.name("_DMARC"), TypeTXT},
				{e.name("mx"), "MX"},
				{"", TypeTXT},
				{e.name("a..b"), TypeTXT},
				{e.name(strings.Repeat("a.", 120) + "a"), TypeTXT},
			} {
				_, err := readOne(t.Context(), z, key)
				if KindOf(err) != Invalid {
					t.Errorf("read %v: %v, want Invalid", key, err)
				}
				err = applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour})
				if KindOf(err) != Invalid {
					t.Errorf("update %v: %v, want Invalid", key, err)
				}
			}
			seen := e.read(t, e.txt("@"))
			address := RRset{Key: Key{e.name("a"), TypeA}}
			alias := RRset{Key: Key{e.name("a"), TypeCNAME}}
			for what, change := range map[string]Change{
				"not seen":         {Seen: seen, Remove: []Record{{Value: "x", Handle: "0179"}}},
				"negative TTL":     {Seen: RRset{Key: e.txt("n")}, Add: []string{"x"}, TTL: -1},
				"long TTL":         {Seen: RRset{Key: e.txt("n")}, Add: []string{"x"}, TTL: 100 * 365 * 24 * time.Hour},
				"text too long":    {Seen: RRset{Key: e.txt("n")}, Add: []string{strings.Repeat("x", 65500)}, TTL: time.Hour},
				"texts too long":   {Seen: RRset{Key: e.txt("n")}, Add: []string{strings.Repeat("x", 40000), strings.Repeat("y", 40000)}, TTL: time.Hour},
				"no address":       {Seen: address, Add: []string{"x"}, TTL: time.Hour},
				"IPv6 in A":        {Seen: address, Add: []string{"2001:db8::1"}, TTL: time.Hour},
				"zone in address":  {Seen: RRset{Key: Key{e.name("a"), TypeAAAA}}, Add: []string{"fe80::1%eth0"}, TTL: time.Hour},
				"no target":        {Seen: alias, Add: []string{""}, TTL: time.Hour},
				"no domain name":   {Seen: alias, Add: []string{"a..b"}, TTL: time.Hour},
				"bad handle":       {Seen: RRset{Key: e.txt("n"), Records: []Record{{Value: "x", Handle: "zz"}}}, Add: []string{"x"}},
				"two CNAME values": {Seen: alias, Add: []string{"a.example", "b.example"}, TTL: time.Hour},
			} {
				if err := applyOne(t.Context(), z, change); KindOf(err) != Invalid {
					t.Errorf("%s: %v, want Invalid", what, err)
				}
			}
			wantValues(t, e.read(t, e.txt("@")), "x")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			wantKind(t, applyOne(ctx, z, Change{Seen: seen, Add: []string{"y"}}), Unreachable)
		},
	},
}
