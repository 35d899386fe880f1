package dnsprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maildomain/maildomain-operator/test/fakes/desec"
)

// desecEnv is a zone of its own on a server of its own.
type desecEnv struct {
	*desec.Server
	apex  string
	token string
}

var desecSerial atomic.Int64

func startDesec(t *testing.T, cfg desec.Config) desecEnv {
	t.Helper()
	n := desecSerial.Add(1)
	e := desecEnv{desec.Start(cfg), fmt.Sprintf("zone%d.example", n), fmt.Sprintf("token-%d", n)}
	t.Cleanup(e.Close)
	e.AddDomain(e.apex, 3600)
	e.AddToken(e.token, e.apex)
	LeadDesec(e.token, DesecAt(e.Server))
	return e
}

func (e desecEnv) open(t *testing.T, change ...func(*LibdnsConfig)) Zone {
	t.Helper()
	cfg := LibdnsConfig{Module: "desec", Zone: e.apex, Credentials: map[string]string{"token": e.token}, Timeout: patience}
	for _, f := range change {
		f(&cfg)
	}
	z, err := NewLibdns(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func desecWithin(timeout time.Duration) func(*LibdnsConfig) {
	return func(c *LibdnsConfig) { c.Timeout = timeout }
}

func (e desecEnv) key(label, recordType string) Key {
	if label == "@" {
		return Key{e.apex, recordType}
	}
	return Key{label + "." + e.apex, recordType}
}

func (e desecEnv) txt(label string) Key { return e.key(label, TypeTXT) }

// put writes as somebody else, in presentation form.
func (e desecEnv) put(t *testing.T, label, recordType string, ttl int, records ...string) {
	t.Helper()
	if err := e.Put(e.apex, strings.TrimPrefix(label, "@"), recordType, ttl, records...); err != nil {
		t.Fatal(err)
	}
}

func (e desecEnv) stored(label, recordType string) []string {
	return e.Records(e.apex, strings.TrimPrefix(label, "@"), recordType)
}

func (e desecEnv) wantStored(t *testing.T, label, recordType string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, e.stored(label, recordType)); diff != "" {
		t.Errorf("%s at %s (-want +got):\n%s", recordType, label, diff)
	}
}

func (e desecEnv) read(t *testing.T, key Key) RRset {
	t.Helper()
	set, err := readOne(t.Context(), e.open(t), key)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (e desecEnv) apply(t *testing.T, change Change) {
	t.Helper()
	if err := applyOne(t.Context(), e.open(t), change); err != nil {
		t.Fatal(err)
	}
}

// refused applies a change that must not be sent.
func (e desecEnv) refused(t *testing.T, kind Kind, change Change) {
	t.Helper()
	e.ResetCalls()
	wantKind(t, applyOne(t.Context(), e.open(t), change), kind)
	if e.Calls().Bulks != 0 {
		t.Errorf("%d writes", e.Calls().Bulks)
	}
}

// add is a new record at a key, whatever stands there.
func (e desecEnv) add(t *testing.T, label string, values ...string) Change {
	t.Helper()
	return Change{Seen: e.read(t, e.txt(label)), Add: values, TTL: time.Hour}
}

func TestDesec(t *testing.T) {
	for _, c := range desecCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, startDesec(t, desec.Config{}))
		})
	}
}

var desecCases = []struct {
	name string
	run  func(t *testing.T, e desecEnv)
}{
	{"odd characters", func(t *testing.T, e desecEnv) {
		for i, value := range []string{`a"b`, `"`, `""`, `"quoted"`, `a\b`, `\`, `\"`, `a;b`, `\097`, ` a `, strings.Repeat("x", 254) + `"` + "y", strings.Repeat("x", 255) + ` "y`} {
			label := fmt.Sprintf("t%d", i)
			e.apply(t, e.add(t, label, value))
			wantValues(t, e.read(t, e.txt(label)), value)
		}
		// What would look like a border of strings, and what the module could never read again.
		for _, value := range []string{`a" "b`, "ü", "a\tb", "a\nb", "\x7f", "\xff", ""} {
			e.refused(t, Unsupported, e.add(t, "bad", value))
		}
		e.wantStored(t, "bad", TypeTXT)
	}},
	{"siblings stay octet by octet", func(t *testing.T, e desecEnv) {
		siblings := []string{`"google-site-verification=abc"`, `"MS=ms1; \"x\" \\"`, `""`, `" "`, `"` + strings.Repeat("s", 255) + `" "` + strings.Repeat("t", 45) + `"`}
		e.put(t, "@", TypeTXT, 7200, append([]string{`"v=spf1 -all"`}, siblings...)...)
		e.put(t, "@", "MX", 3600, "10 mx.example.com.")
		seen := e.read(t, e.txt("@"))
		e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 -all"), Add: []string{"v=spf1 mx -all"}, TTL: time.Hour})
		e.wantStored(t, "@", TypeTXT, append([]string{`"v=spf1 mx -all"`}, siblings...)...)
		seen = e.read(t, e.txt("@"))
		e.apply(t, Change{Seen: seen, Add: []string{"new"}, TTL: time.Hour})
		seen = e.read(t, e.txt("@"))
		e.apply(t, Change{Seen: seen, Remove: pickRecords(t, seen, "new", "v=spf1 mx -all")})
		e.wantStored(t, "@", TypeTXT, siblings...)
		e.wantStored(t, "@", "MX", "10 mx.example.com.")
		if ttl := e.TTL(e.apex, "", TypeTXT); ttl != 7200 {
			t.Errorf("the TTL that others chose is now %d", ttl)
		}
	}},
	{"a record of others that cannot be written back", func(t *testing.T, e desecEnv) {
		for i, odd := range []string{`"v=DKIM1; " "p=abc"`, `"a" "b" "c"`, `"" "a"`, `"x\" \"y"`, `"` + strings.Repeat("s", 254) + `" "t"`} {
			label := fmt.Sprintf("t%d", i)
			e.put(t, label, TypeTXT, 3600, odd)
			e.refused(t, Unsupported, e.add(t, label, "ours"))

			e.put(t, label, TypeTXT, 3600, odd, `"ours"`)
			seen := e.read(t, e.txt(label))
			ours := pickRecords(t, seen, "ours")
			e.refused(t, Unsupported, Change{Seen: seen, Remove: ours, Add: []string{"new"}})
			// To take ours away, the other need not be written.
			e.apply(t, Change{Seen: seen, Remove: ours})
			e.wantStored(t, label, TypeTXT, odd)
			// And to replace the odd one itself, neither.
			seen = e.read(t, e.txt(label))
			e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"adopted"}, TTL: time.Hour})
			e.wantStored(t, label, TypeTXT, `"adopted"`)
		}
		e.put(t, "split", TypeTXT, 3600, `"v=DKIM1; " "p=abc"`)
		wantValues(t, e.read(t, e.txt("split")), "v=DKIM1; p=abc")
	}},
	{"an alias beside other records is refused without asking", func(t *testing.T, e desecEnv) {
		e.put(t, "shared", TypeTXT, 3600, `"x"`)
		set := e.read(t, e.key("shared", TypeCNAME))
		e.refused(t, Refused, Change{Seen: set, Add: []string{"mta-sts.example"}, TTL: time.Hour})
		free := e.read(t, e.key("free", TypeCNAME))
		e.put(t, "free", TypeTXT, 3600, `"x"`)
		e.refused(t, Changed, Change{Seen: free, Add: []string{"mta-sts.example"}, TTL: time.Hour})
	}},
	{"a record to remove that is named twice", func(t *testing.T, e desecEnv) {
		e.put(t, "@", TypeTXT, 3600, `"x"`, `"y"`)
		seen := e.read(t, e.txt("@"))
		e.refused(t, Invalid, Change{Seen: seen, Remove: []Record{seen.Records[0], seen.Records[0]}})
	}},
	{"foreign records that the module cannot read", func(t *testing.T, e desecEnv) {
		for _, odd := range []struct{ label, recordType, record string }{
			{"sip", "SRV", "0 5 5060 sip.example.com."},
			{"umlaut", TypeTXT, `"\195\188"`},
		} {
			seen := e.read(t, e.txt("_dmarc"))
			e.put(t, odd.label, odd.recordType, 3600, odd.record)
			_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
			wantKind(t, err, Unsupported)
			if strings.Contains(err.Error(), "5060") || strings.Contains(err.Error(), "195") {
				t.Errorf("the text quotes the record: %v", err)
			}
			e.refused(t, Unsupported, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
			e.put(t, odd.label, odd.recordType, 3600)
		}
	}},
	{"foreign records that are only odd", func(t *testing.T, e desecEnv) {
		e.put(t, "_sip._tcp", "SRV", 3600, "0 5 5060 sip.example.com.")
		e.put(t, "*", TypeTXT, 3600, `"wild"`)
		e.put(t, "@", "CAA", 3600, `0 issue "letsencrypt.org"`)
		e.put(t, "cert", "TLSA", 3600, "3 1 1 aabb")
		e.put(t, "odd", TypeTXT, 3600, `"a" "b"`)
		wantValues(t, e.read(t, e.txt("_dmarc"))) // not the wildcard's
		wantValues(t, e.read(t, e.txt("*")), "wild")
		e.apply(t, e.add(t, "_dmarc", "v=DMARC1; p=none"))
		wantValues(t, e.read(t, e.txt("_dmarc")), "v=DMARC1; p=none")
	}},
	{"700 RRsets", func(t *testing.T, e desecEnv) {
		seen := e.read(t, e.txt("_dmarc"))
		for i := range 499 { // and NS
			e.put(t, fmt.Sprintf("h%d", i), TypeTXT, 3600, `"x"`)
		}
		wantValues(t, e.read(t, e.txt("h0")), "x")
		for i := range 201 {
			e.put(t, fmt.Sprintf("i%d", i), TypeTXT, 3600, `"x"`)
		}
		_, err := readOne(t.Context(), e.open(t), e.txt("h0"))
		wantKind(t, err, Unsupported)
		e.refused(t, Unsupported, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
	}},
	{"TTLs", func(t *testing.T, e desecEnv) {
		for label, c := range map[string]struct {
			ttl  time.Duration
			want int
		}{"none": {0, 3600}, "short": {time.Minute, 3600}, "hour": {time.Hour, 3600}, "two": {2 * time.Hour, 7200}, "long": {1000 * time.Hour, 86400}} {
			change := e.add(t, label, "x")
			change.TTL = c.ttl
			e.apply(t, change)
			if got := e.TTL(e.apex, label, TypeTXT); got != c.want {
				t.Errorf("%v: %d, want %d", c.ttl, got, c.want)
			}
		}
		if got := e.open(t).Capabilities(); got != (Capabilities{MinTTL: time.Hour, MaxChanges: 100}) {
			t.Errorf("%+v", got)
		}

		// deSEC lets some accounts go lower. The module would raise what others chose.
		e.AddDomain(e.apex, 60)
		e.put(t, "low", TypeTXT, 300, `"theirs"`)
		seen := e.read(t, e.txt("low"))
		e.refused(t, Unsupported, Change{Seen: seen, Add: []string{"ours"}})
		e.apply(t, Change{Seen: seen, Remove: seen.Records, Add: []string{"ours"}, TTL: time.Hour})
		e.wantStored(t, "low", TypeTXT, `"ours"`)
	}},
	{"a zone in upper case", func(t *testing.T, e desecEnv) {
		e.put(t, "x", TypeTXT, 3600, `"x"`)
		z := e.open(t, func(c *LibdnsConfig) { c.Zone = strings.ToUpper(e.apex) + "." })
		set, err := readOne(t.Context(), z, e.txt("x"))
		wantKind(t, err, "")
		wantValues(t, set, "x")
	}},
	{"several writers of this process at one name", func(t *testing.T, e desecEnv) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				value := fmt.Sprintf("value %d", i)
				for {
					set, err := readOne(t.Context(), e.open(t), e.txt("@"))
					if err == nil {
						err = applyOne(t.Context(), e.open(t), Change{Seen: set, Add: []string{value}, TTL: time.Hour})
					}
					switch KindOf(err) {
					case "":
						return
					case Changed:
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if got := e.stored("@", TypeTXT); len(got) != 8 {
			t.Errorf("%q", got)
		}
	}},
	{"answers of no use", func(t *testing.T, e desecEnv) {
		for name, c := range map[string]struct {
			fault       desec.Fault
			read, write Kind
		}{
			"401":        {desec.Fault{Status: 401, Body: `{"detail":"Invalid token."}`}, Unauthorized, Unauthorized},
			"403":        {desec.Fault{Status: 403, Body: `{"detail":"secret"}`}, Unauthorized, Unauthorized},
			"404":        {desec.Fault{Status: 404, Body: `{"detail":"Not found."}`}, ZoneNotFound, ZoneNotFound},
			"400":        {desec.Fault{Status: 400, Body: `[{"records":["secret"]}]`}, Unsupported, Refused},
			"409":        {desec.Fault{Status: 409}, Unreachable, Refused},
			"408":        {desec.Fault{Status: 408}, Unreachable, UnknownOutcome},
			"500":        {desec.Fault{Status: 500, Body: "Traceback"}, Unreachable, UnknownOutcome},
			"HTML 502":   {desec.Fault{Status: 502, Body: "<html>waiting for cooldown to end"}, Unreachable, UnknownOutcome},
			"201":        {desec.Fault{Status: 201, Body: "[]"}, Unreachable, UnknownOutcome},
			"dropped":    {desec.Fault{Drop: true, Times: 3}, Unreachable, UnknownOutcome},
			"429 silent": {desec.Fault{Status: 429}, RateLimited, RateLimited},
			// The module does not look at what comes back of a write.
			"HTML 200": {desec.Fault{Status: 200, Body: "<html>log in"}, Unreachable, ""},
			"empty":    {desec.Fault{Status: 200, Body: "[]"}, Unreachable, ""},
			"null":     {desec.Fault{Status: 200, Body: "null"}, Unreachable, ""},
		} {
			change := e.add(t, "_dmarc", "x")
			var texts []string
			for range 2 {
				e.Heal()
				fault := c.fault
				fault.Method = http.MethodGet
				e.Fail(fault)
				_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
				if KindOf(err) != c.read {
					t.Errorf("%s: read: %q, want %q: %v", name, KindOf(err), c.read, err)
				}
				fault.Method = http.MethodPut
				e.Heal()
				e.Fail(fault)
				werr := applyOne(t.Context(), e.open(t), change)
				if KindOf(werr) != c.write {
					t.Errorf("%s: write: %q, want %q: %v", name, KindOf(werr), c.write, werr)
				}
				texts = append(texts, fmt.Sprint(err, werr))
			}
			if texts[0] != texts[1] {
				t.Errorf("%s: the text changes:\n%s\n%s", name, texts[0], texts[1])
			}
			for _, word := range []string{"html", "Traceback", "secret", "detail", e.token} {
				if strings.Contains(texts[0], word) {
					t.Errorf("%s: the text quotes the server: %s", name, texts[0])
				}
			}
			e.Heal()
			wantValues(t, e.read(t, e.txt("_dmarc")))
		}
		e.Fail(desec.Fault{Method: http.MethodGet, Cut: true})
		_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
		wantKind(t, err, Unreachable)
	}},
	{"another zone", func(t *testing.T, e desecEnv) {
		elsewhere := e.open(t, func(c *LibdnsConfig) { c.Zone = "other.example" })
		_, err := readOne(t.Context(), elsewhere, Key{"_dmarc.other.example", TypeTXT})
		wantKind(t, err, ZoneNotFound)
		want := "read TXT _dmarc.other.example at desec.io: deSEC does not hold the zone in the token's account (HTTP 404): check the zone's name"
		if err.Error() != want {
			t.Errorf("%v", err)
		}
	}},
	{"fewer calls are wanted", func(t *testing.T, e desecEnv) {
		change := e.add(t, "_dmarc", "x")
		wait := func(seconds string) desec.Fault {
			return desec.Fault{Method: http.MethodPut, Status: 429, Header: http.Header{"Retry-After": {seconds}}}
		}
		e.Fail(wait("3600"))
		start := time.Now()
		err := applyOne(t.Context(), e.open(t, desecWithin(300*time.Millisecond)), change)
		wantKind(t, err, RateLimited)
		if took := time.Since(start); took > patience/2 {
			t.Errorf("took %v", took)
		}
		e.wantStored(t, "_dmarc", TypeTXT)
		e.Fail(wait("soon"))
		wantKind(t, applyOne(t.Context(), e.open(t), change), RateLimited)
		e.Fail(wait("0"))
		wantKind(t, applyOne(t.Context(), e.open(t), change), "")
		e.wantStored(t, "_dmarc", TypeTXT, `"x"`)
	}},
	{"nobody listens", func(t *testing.T, e desecEnv) {
		change := e.add(t, "_dmarc", "x")
		gone := desec.Start(desec.Config{})
		gone.Close()
		LeadDesec(e.token, DesecAt(gone))
		_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
		wantKind(t, err, Unreachable)
		wantKind(t, applyOne(t.Context(), e.open(t), change), Unreachable)
		want := "read TXT _dmarc." + e.apex + " at desec.io: cannot connect: check the network policy and the name resolution"
		if err.Error() != want {
			t.Errorf("%v", err)
		}
	}},
	{"several changes in one call", func(t *testing.T, e desecEnv) {
		labels := []string{"@", "_dmarc", "_mta-sts", "_smtp._tls", "a._domainkey", "b._domainkey"}
		var changes []Change
		for _, label := range labels {
			changes = append(changes, e.add(t, label, "v="+label))
		}
		changes = append(changes, Change{Seen: e.read(t, e.txt("empty"))})
		e.ResetCalls()
		for _, err := range e.open(t).Apply(t.Context(), changes...) {
			wantKind(t, err, "")
		}
		if got := e.Calls(); got != (desec.Calls{Lists: 1, Bulks: 1}) {
			t.Errorf("%+v", got)
		}
		e.ResetCalls()
		var keys []Key
		for _, c := range changes {
			keys = append(keys, c.Seen.Key)
		}
		for i, r := range e.open(t).Read(t.Context(), keys...)[:len(labels)] {
			wantKind(t, r.Err, "")
			wantValues(t, r.RRset, "v="+labels[i])
		}
		if got := e.Calls(); got != (desec.Calls{Lists: 1}) {
			t.Errorf("%+v", got)
		}
	}},
	{"a bad record among good ones", func(t *testing.T, e desecEnv) {
		e.put(t, "moved", TypeTXT, 3600, `"old"`)
		moved := e.read(t, e.txt("moved"))
		e.put(t, "moved", TypeTXT, 3600, `"theirs"`)
		// A long name is a name to us, and too long to deSEC.
		bad := Change{Seen: e.read(t, e.txt(strings.Repeat("a.", 90)+"a")), Add: []string{"x"}, TTL: time.Hour}
		changes := []Change{
			e.add(t, "one", "x"), bad, e.add(t, "two", "x"),
			{Seen: moved, Remove: moved.Records, Add: []string{"new"}},
			e.add(t, "three", "x"), e.add(t, "utf", "ü"),
		}
		var kinds []Kind
		for _, err := range e.open(t).Apply(t.Context(), changes...) {
			kinds = append(kinds, KindOf(err))
		}
		if want := []Kind{"", Refused, "", Changed, "", Unsupported}; !slices.Equal(kinds, want) {
			t.Errorf("%q, want %q", kinds, want)
		}
		for _, label := range []string{"one", "two", "three"} {
			e.wantStored(t, label, TypeTXT, `"x"`)
		}
		e.wantStored(t, "moved", TypeTXT, `"theirs"`)
	}},
	{"the last record of an RRset", func(t *testing.T, e desecEnv) {
		e.put(t, "short", TypeTXT, 3600, `"v=DKIM1; p="`)
		seen := e.read(t, e.txt("short"))
		e.apply(t, Change{Seen: seen, Remove: seen.Records})
		e.wantStored(t, "short", TypeTXT)
		// The module looks for one string, deSEC holds two. An empty text would be a wildcard.
		for label, record := range map[string]string{"long": `"` + strings.Repeat("x", 300) + `"`, "void": `""`, "odd": `"a" "b"`} {
			e.put(t, label, TypeTXT, 3600, record)
			seen := e.read(t, e.txt(label))
			e.refused(t, Unsupported, Change{Seen: seen, Remove: seen.Records})
			if len(e.stored(label, TypeTXT)) != 1 {
				t.Errorf("%s: gone", label)
			}
		}
	}},
	{"a sibling that comes while the last of ours is deleted", func(t *testing.T, e desecEnv) {
		e.put(t, "@", TypeTXT, 3600, `"ours"`)
		seen := e.read(t, e.txt("@"))
		e.Fail(desec.Fault{Method: http.MethodGet, Path: "/@/TXT", Before: func() { e.put(t, "@", TypeTXT, 3600, `"ours"`, `"theirs"`) }})
		e.apply(t, Change{Seen: seen, Remove: seen.Records})
		e.wantStored(t, "@", TypeTXT, `"theirs"`)
	}},
	{"the read before a deletion fails", func(t *testing.T, e desecEnv) {
		e.put(t, "x", TypeTXT, 3600, `"ours"`)
		seen := e.read(t, e.txt("x"))
		e.Fail(desec.Fault{Method: http.MethodGet, Path: "/x/TXT", Status: 500})
		wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: seen, Remove: seen.Records}), Unreachable)
		e.wantStored(t, "x", TypeTXT, `"ours"`)
	}},
}

// At the documented rates, a third change within a second waits.
func TestDesecLimits(t *testing.T) {
	t.Parallel()
	e := startDesec(t, desec.Config{Limits: true})
	z := e.open(t)
	for i := range 3 {
		key := e.txt(fmt.Sprintf("t%d", i))
		wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour}), "")
	}
	if got := e.Calls(); got.Bulks != 4 {
		t.Errorf("%+v", got)
	}
}

func TestLibdnsConfig(t *testing.T) {
	good := LibdnsConfig{Module: "desec", Zone: "example.com", Credentials: map[string]string{"token": "t0ken\n"}}
	if _, err := NewLibdns(good); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*LibdnsConfig){
		"module":             func(c *LibdnsConfig) { c.Module = "azure" },
		"zone":               func(c *LibdnsConfig) { c.Zone = "." },
		"timeout":            func(c *LibdnsConfig) { c.Timeout = -1 },
		"credentials":        func(c *LibdnsConfig) { c.Credentials = nil },
		"credentials: token": func(c *LibdnsConfig) { c.Credentials = map[string]string{"token": "s3c ret"} },
	} {
		bad := good
		spoil(&bad)
		_, err := NewLibdns(bad)
		wantKind(t, err, Invalid)
		if !strings.Contains(fmt.Sprint(err), ": "+field+":") || strings.Contains(fmt.Sprint(err), "s3c") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
