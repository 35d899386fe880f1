package dnsprovider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
)

const cloudflareToken = "cf-token-0123456789"

// cloudflareEnv is a zone on a server of its own.
type cloudflareEnv struct {
	s    *cloudflare.Server
	id   string
	apex string
	zone Zone
}

func startCloudflare(t *testing.T, cfg cloudflare.Config) cloudflareEnv {
	t.Helper()
	s := cloudflare.Start(cfg)
	t.Cleanup(s.Close)
	e := cloudflareEnv{s: s, apex: "zone.example"}
	e.id = s.AddZone(e.apex)
	s.AddToken(cloudflareToken, e.id)
	e.zone = e.open(t)
	return e
}

func (e cloudflareEnv) config() CloudflareConfig {
	return CloudflareConfig{Token: cloudflareToken, Zone: e.apex, Endpoint: e.s.Endpoint(), Timeout: patience}
}

func (e cloudflareEnv) open(t *testing.T, change ...func(*CloudflareConfig)) Zone {
	t.Helper()
	cfg := e.config()
	for _, f := range change {
		f(&cfg)
	}
	z, err := NewCloudflare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (e cloudflareEnv) name(label string) string { return env{apex: e.apex}.name(label) }
func (e cloudflareEnv) txt(label string) Key     { return Key{e.name(label), TypeTXT} }

func (e cloudflareEnv) read(t *testing.T, key Key) RRset {
	t.Helper()
	set, err := readOne(t.Context(), e.zone, key)
	if err != nil {
		t.Fatal(err)
	}
	if set.Key != key {
		t.Fatalf("read %v, got %v", key, set.Key)
	}
	return set
}

func (e cloudflareEnv) apply(t *testing.T, changes ...Change) {
	t.Helper()
	for i, err := range e.zone.Apply(t.Context(), changes...) {
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
}

// put writes as somebody else.
func (e cloudflareEnv) put(recordType, label, content string, ttl int) (id string) {
	return e.s.Put(e.id, cloudflare.Record{Type: recordType, Name: e.name(label), Content: content, TTL: ttl})
}

func (e cloudflareEnv) records(label, recordType string) []cloudflare.Record {
	return e.s.Records(e.id, e.name(label), recordType)
}

// everything returns all records of the zone, by id.
func (e cloudflareEnv) everything() map[string]cloudflare.Record {
	all := map[string]cloudflare.Record{}
	for _, r := range e.s.Records(e.id, "", "") {
		all[r.ID] = r
	}
	return all
}

// wantStill checks that all records are still there, octet by octet and down to their comments.
func (e cloudflareEnv) wantStill(t *testing.T, records map[string]cloudflare.Record) {
	t.Helper()
	now := e.everything()
	for id, before := range records {
		if now[id] != before {
			t.Errorf("was %+v\n is %+v", before, now[id])
		}
	}
}

// wantCalls checks what was called since the last look at it.
func (e cloudflareEnv) wantCalls(t *testing.T, want cloudflare.Calls) {
	t.Helper()
	if got := e.s.Calls(); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
	e.s.ResetCalls()
}

// wantSound checks that an error's text says nothing of the token or in the other side's words.
func wantSound(t *testing.T, err error) {
	t.Helper()
	for _, word := range []string{cloudflareToken, "DOCTYPE", "Ray", "a fault", "Authentication error", "success", "127.0.0.1:0"} {
		if err != nil && strings.Contains(err.Error(), word) {
			t.Errorf("the text holds %q: %v", word, err)
		}
	}
}

func TestCloudflare(t *testing.T) {
	for _, c := range cloudflareCases {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, startCloudflare(t, c.config))
		})
	}
}

// A domain's first publication: look, write all at once, look again. Then nothing more.
func TestCloudflareFirstPublication(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{})
	for i := range 30 {
		e.put("A", fmt.Sprintf("host%d", i), "192.0.2.1", 1)
	}
	e.put("TXT", "@", "google-site-verification=abc", 3600)
	foreign := e.everything()

	values := map[Key]string{
		e.txt("@"):                        "v=spf1 mx -all",
		e.txt("mail-1._domainkey"):        "v=DKIM1; k=rsa; p=" + strings.Repeat("A", 736),
		e.txt("_dmarc"):                   "v=DMARC1; p=none",
		e.txt("_mta-sts"):                 "v=STSv1; id=1",
		e.txt("_smtp._tls"):               "v=TLSRPTv1; rua=mailto:tls@zone.example",
		{e.name("mta-sts"), TypeCNAME}:    "mta-sts.host.example",
		{e.name("mta-sts.sub"), TypeA}:    "192.0.2.7",
		{e.name("mta-sts.sub"), TypeAAAA}: "2001:db8::7",
	}
	keys := slices.Collect(maps.Keys(values))
	var owned []Owned
	publish := func() (verbs []Verb) {
		t.Helper()
		var changes []Change
		for i, reading := range e.zone.Read(t.Context(), keys...) {
			if reading.Err != nil {
				t.Fatal(reading.Err)
			}
			at := slot
			at.Key = keys[i]
			at.Is = func(value string) bool { return value == values[keys[i]] }
			d := Decide(at, Wish{Value: values[keys[i]], TTL: time.Hour}, reading.RRset, owned)
			verbs = append(verbs, d.Verb)
			changes = append(changes, d.Change)
		}
		e.apply(t, changes...)
		return verbs
	}
	for _, verb := range publish() {
		if verb != Create {
			t.Errorf("%s, want Create", verb)
		}
	}
	e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 1, Batches: 1})

	for i, reading := range e.zone.Read(t.Context(), keys...) {
		if reading.Err != nil {
			t.Fatal(reading.Err)
		}
		if got := reading.RRset.Values(); !slices.Contains(got, values[keys[i]]) || reading.RRset.TTL != time.Hour {
			t.Errorf("%v: %q, %v", keys[i], got, reading.RRset.TTL)
		}
		owned = append(owned, Owned{Value: values[keys[i]], Settled: true})
	}
	e.wantCalls(t, cloudflare.Calls{Lists: 1})

	for _, verb := range publish() {
		if verb != Keep {
			t.Errorf("%s, want Keep", verb)
		}
	}
	e.wantCalls(t, cloudflare.Calls{Lists: 1})
	e.wantStill(t, foreign)
}

func TestCloudflareCapabilities(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{})
	if got, want := e.zone.Capabilities(), (Capabilities{MinTTL: time.Minute, MaxChanges: 200}); got != want {
		t.Errorf("%+v", got)
	}
}

// One bad change is found, and does not stop the others.
func TestCloudflareBisection(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{})
	const n = 64
	changes := func(bad ...int) (changes []Change) {
		for i := range n {
			change := Change{Seen: RRset{Key: e.txt(fmt.Sprintf("t%d", i))}, Add: []string{"x"}, TTL: time.Hour}
			if slices.Contains(bad, i) {
				change.Add = []string{strings.Repeat("x", 5000)}
			}
			changes = append(changes, change)
		}
		return changes
	}
	stored := func() int { return len(e.s.Records(e.id, "", "TXT")) }
	empty := func() {
		for id := range e.everything() {
			e.s.Delete(e.id, id)
		}
	}

	for i, err := range e.zone.Apply(t.Context(), changes(17)...) {
		want := Kind("")
		if i == 17 {
			want = Refused
		}
		wantKind(t, err, want)
		wantSound(t, err)
	}
	if stored() != n-1 {
		t.Errorf("%d records, want %d", stored(), n-1)
	}
	e.wantCalls(t, cloudflare.Calls{Zones: 1, Batches: 1 + 2*6})

	// If all are bad, the search ends. What was not tried alone says so.
	empty()
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for _, err := range e.zone.Apply(t.Context(), changes(all...)...) {
		wantKind(t, err, Refused)
	}
	e.wantCalls(t, cloudflare.Calls{Batches: 1 + 2*maxSplits})

	// A failure of another kind ends it at once.
	for name, c := range map[string]struct {
		fault      cloudflare.Fault
		hit, after Kind
	}{
		"rate":      {cloudflare.Fault{Status: 429, Code: 10100}, RateLimited, RateLimited},
		"authority": {cloudflare.Fault{Status: 403, Code: 9109}, Unauthorized, Unauthorized},
		"outcome":   {cloudflare.Fault{Status: 502}, UnknownOutcome, Unreachable},
		"applied":   {cloudflare.Fault{Status: 502, Apply: true}, UnknownOutcome, Unreachable},
	} {
		empty()
		e.s.ResetCalls()
		c.fault.Path, c.fault.Skip = "/batch", 1 // the whole is refused; the first half fails
		e.s.Fail(c.fault)
		for i, err := range e.zone.Apply(t.Context(), changes(n-1)...) {
			want := c.hit
			if i >= n/2 {
				want = c.after
			}
			if KindOf(err) != want {
				t.Fatalf("%s: change %d: %v, want %s", name, i, err, want)
			}
		}
		e.wantCalls(t, cloudflare.Calls{Batches: 2})
	}
}

// More than fits into one batch is sent in several.
func TestCloudflareBatchSize(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{MaxBatch: 4})
	z := e.open(t, func(c *CloudflareConfig) { c.BatchSize = 4 })
	var changes []Change
	for i := range 5 {
		changes = append(changes, Change{Seen: RRset{Key: e.txt(fmt.Sprintf("t%d", i))}, Add: []string{"x", "y", "z"}[:1+i%3], TTL: time.Hour})
	}
	changes = append(changes, Change{Seen: RRset{Key: e.txt("many")}, Add: []string{"1", "2", "3", "4", "5"}, TTL: time.Hour})
	for i, err := range z.Apply(t.Context(), changes...) {
		want := Kind("")
		if i == 5 {
			want = Invalid
		}
		wantKind(t, err, want)
	}
	if got := len(e.everything()); got != 1+2+3+1+2 {
		t.Errorf("%d records", got)
	}
	e.wantCalls(t, cloudflare.Calls{Zones: 1, Batches: 3}) // 1+2, 3+1, 2
	if got := z.Capabilities().MaxChanges; got != 4 {
		t.Error(got)
	}
}

func TestCloudflareZoneID(t *testing.T) {
	txt := func(e cloudflareEnv) Key { return e.txt("_dmarc") }
	t.Run("found once", func(t *testing.T) {
		e := startCloudflare(t, cloudflare.Config{})
		e.s.AddToken(cloudflareToken, e.id, e.s.AddZone("other.example"))
		for range 3 {
			e.read(t, txt(e))
		}
		e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 3})
	})
	t.Run("given", func(t *testing.T) {
		e := startCloudflare(t, cloudflare.Config{})
		e.s.AddToken(cloudflareToken, e.id, e.s.AddZone(e.apex)) // the same name in another account
		wantZoneError(t, e, e.zone, ZoneNotFound, "2 zones")
		e.s.ResetCalls()
		e.zone = e.open(t, func(c *CloudflareConfig) { c.ZoneID = e.id })
		for range 3 {
			e.read(t, txt(e))
		}
		e.wantCalls(t, cloudflare.Calls{Zones: 1, Lists: 3})
	})
	t.Run("given is another zone's", func(t *testing.T) {
		e := startCloudflare(t, cloudflare.Config{})
		other := e.s.AddZone("other.example")
		e.s.AddToken(cloudflareToken, e.id, other)
		wantZoneError(t, e, e.open(t, func(c *CloudflareConfig) { c.ZoneID = other }), ZoneNotFound, "not that of zone zone.example")
		if got := e.s.Records(other, "", ""); len(got) > 0 {
			t.Errorf("wrote into the other zone: %v", got)
		}
	})
	t.Run("given does not exist", func(t *testing.T) {
		e := startCloudflare(t, cloudflare.Config{})
		wantZoneError(t, e, e.open(t, func(c *CloudflareConfig) { c.ZoneID = strings.Repeat("f", 32) }), ZoneNotFound, "HTTP 404")
	})
	t.Run("none", func(t *testing.T) {
		e := startCloudflare(t, cloudflare.Config{})
		e.s.AddToken(cloudflareToken)
		wantZoneError(t, e, e.zone, ZoneNotFound, "sees no zone")
	})
	t.Run("removed and made again", func(t *testing.T) {
		e := startCloudflare(t, cloudflare.Config{})
		seen := e.read(t, txt(e))
		e.s.RemoveZone(e.id)
		wantKind(t, applyOne(t.Context(), e.zone, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour}), ZoneNotFound)
		e.id = e.s.AddZone(e.apex)
		e.s.AddToken(cloudflareToken, e.id)
		e.apply(t, Change{Seen: e.read(t, txt(e)), Add: []string{"x"}, TTL: time.Hour})
		e.s.RemoveZone(e.id)
		_, err := readOne(t.Context(), e.zone, txt(e))
		wantKind(t, err, ZoneNotFound)
		e.id = e.s.AddZone(e.apex)
		e.s.AddToken(cloudflareToken, e.id)
		wantValues(t, e.read(t, txt(e)))
	})
}

// wantZoneError checks that neither a read nor a change gets further than the zone.
func wantZoneError(t *testing.T, e cloudflareEnv, z Zone, kind Kind, text string) {
	t.Helper()
	_, err := readOne(t.Context(), z, e.txt("_dmarc"))
	wantKind(t, err, kind)
	wantSound(t, err)
	if !strings.Contains(err.Error(), text) {
		t.Errorf("%v: want %q", err, text)
	}
	wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: e.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour}), kind)
}

func TestCloudflareToken(t *testing.T) {
	e := startCloudflare(t, cloudflare.Config{})
	other := e.s.AddZone("other.example")
	e.s.AddToken("elsewhere", other)
	e.s.AddToken("removed", e.id)
	for name, c := range map[string]struct {
		token, zoneID string
		kind          Kind
	}{
		"unknown":               {"unknown", "", Unauthorized},
		"of another zone":       {"elsewhere", e.id, Unauthorized},
		"sees another zone":     {"elsewhere", "", ZoneNotFound},
		"newline from the file": {cloudflareToken + "\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			z := e.open(t, func(c2 *CloudflareConfig) { c2.Token, c2.ZoneID = c.token, c.zoneID })
			_, err := readOne(t.Context(), z, e.txt("_dmarc"))
			wantKind(t, err, c.kind)
			wantSound(t, err)
			if c.kind != "" {
				wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: e.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour}), c.kind)
			}
		})
	}
	z := e.open(t, func(c *CloudflareConfig) { c.Token = "removed" })
	seen, err := readOne(t.Context(), z, e.txt("_dmarc"))
	wantKind(t, err, "")
	e.s.AddToken("removed")
	err = applyOne(t.Context(), z, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
	wantKind(t, err, Unauthorized)
	if !strings.Contains(err.Error(), "error 9109") || !strings.Contains(err.Error(), "DNS Edit") {
		t.Error(err)
	}
	if len(e.everything()) > 0 {
		t.Error("something was written")
	}
}

func TestCloudflareConfig(t *testing.T) {
	good := CloudflareConfig{Token: "s3cret", Zone: "example.com"}
	for _, endpoint := range []string{"", "https://cf.internal.example/client/v4/", "http://127.0.0.1:8080", "http://[::1]/x"} {
		cfg := good
		cfg.Endpoint = endpoint
		if _, err := NewCloudflare(cfg); err != nil {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	for field, spoils := range map[string][]func(*CloudflareConfig){
		"token": {
			func(c *CloudflareConfig) { c.Token = " \n" },
			func(c *CloudflareConfig) { c.Token = "s3cret\r\nX-Other: x" },
			func(c *CloudflareConfig) { c.Token = "s3cret ü" },
		},
		"zone":    {func(c *CloudflareConfig) { c.Zone = "." }, func(c *CloudflareConfig) { c.Zone = "a..b" }},
		"zone id": {func(c *CloudflareConfig) { c.ZoneID = "../user/tokens" }, func(c *CloudflareConfig) { c.ZoneID = strings.Repeat("0", 33) }},
		"endpoint": {
			func(c *CloudflareConfig) { c.Endpoint = "http://api.cloudflare.com/client/v4" },
			func(c *CloudflareConfig) { c.Endpoint = "http://localhost/" },
			func(c *CloudflareConfig) { c.Endpoint = "https://user:s3cret@api.cloudflare.com/" },
			func(c *CloudflareConfig) { c.Endpoint = "https://api.cloudflare.com/?x" },
			func(c *CloudflareConfig) { c.Endpoint = "ftp://127.0.0.1/" },
			func(c *CloudflareConfig) { c.Endpoint = "api.cloudflare.com" },
			func(c *CloudflareConfig) { c.Endpoint = "https://s3cret%zz/" },
		},
		"timeout":    {func(c *CloudflareConfig) { c.Timeout = -time.Second }},
		"batch size": {func(c *CloudflareConfig) { c.BatchSize = -1 }},
	} {
		for i, spoil := range spoils {
			bad := good
			spoil(&bad)
			_, err := NewCloudflare(bad)
			wantKind(t, err, Invalid)
			if !strings.Contains(err.Error(), field+":") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s %d: %v", field, i, err)
			}
		}
	}
}
