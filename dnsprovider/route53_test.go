package dnsprovider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	fake "github.com/maildomain/maildomain-operator/test/fakes/route53"
)

const (
	hostedZone      = "Z1"
	accessKeyID     = "AKIDEXAMPLE"
	secretAccessKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// awsZone is the hosted zone zone.example of a fake Route 53.
type awsZone struct {
	*fake.Server
	t *testing.T
}

func startRoute53(t *testing.T, change ...func(*fake.Config)) awsZone {
	t.Helper()
	cfg := fake.Config{Keys: map[string]string{accessKeyID: secretAccessKey}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := fake.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	a := awsZone{s, t}
	a.must(s.AddZone(hostedZone, "zone.example"))
	return a
}

func (a awsZone) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a awsZone) open(change ...func(*Route53Config)) Zone {
	a.t.Helper()
	cfg := Route53Config{Zone: "zone.example", ZoneID: hostedZone, AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey, Endpoint: a.URL(), Timeout: patience}
	for _, f := range change {
		f(&cfg)
	}
	z, err := NewRoute53(cfg)
	a.must(err)
	a.t.Cleanup(z.(*route53Zone).http.CloseIdleConnections)
	return z
}

func byName(cfg *Route53Config) { cfg.ZoneID = "" }

// key names a record below the apex, "@" the apex itself.
func (a awsZone) key(label, recordType string) Key {
	if label == "@" {
		return Key{"zone.example", recordType}
	}
	return Key{label + ".zone.example", recordType}
}

func (a awsZone) txt(label string) Key { return a.key(label, TypeTXT) }

// foreign writes a TXT RRset as somebody else does.
func (a awsZone) foreign(label string, ttl int64, values ...string) {
	a.t.Helper()
	a.must(a.PutValues(hostedZone, a.txt(label).Name, "TXT", ttl, values...))
}

func (a awsZone) read(z Zone, key Key) RRset {
	a.t.Helper()
	set, err := readOne(a.t.Context(), z, key)
	a.must(err)
	if set.Key != key {
		a.t.Fatalf("read %v, got %v", key, set.Key)
	}
	return set
}

func (a awsZone) apply(z Zone, change Change) {
	a.t.Helper()
	a.must(applyOne(a.t.Context(), z, change))
}

// stored compares what stands, as Route 53 stores it.
func (a awsZone) stored(key Key, want ...string) {
	a.t.Helper()
	slices.Sort(want)
	if got := a.Values(hostedZone, key.Name, key.Type); !slices.Equal(got, want) {
		a.t.Errorf("%v stands as\n%q, want\n%q", key, got, want)
	}
}

// calls compares how often each action was called since the last time.
func (a awsZone) calls(lookups, reads, writes int) {
	a.t.Helper()
	got := [3]int{a.Calls(fake.ListHostedZonesByName, fake.GetHostedZone), a.Calls(fake.ListResourceRecordSets), a.Calls(fake.ChangeResourceRecordSets)}
	if want := [3]int{lookups, reads, writes}; got != want {
		a.t.Errorf("%d lookups, %d reads, %d writes; want %v", got[0], got[1], got[2], want)
	}
	a.ResetCalls()
}

func TestRoute53Config(t *testing.T) {
	good := Route53Config{Zone: "Example.com.", ZoneID: "/hostedzone/Z1", AccessKeyID: "AKID", SecretAccessKey: "s3cret", SessionToken: "t0ken=="}
	if _, err := NewRoute53(good); err != nil {
		t.Fatal(err)
	}
	// Whatever the process's own identity is, a user's empty field does not reach it.
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOPERATOR")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the operator")
	t.Setenv("AWS_SESSION_TOKEN", "of the operator")
	for name, c := range map[string]struct {
		field string
		spoil func(*Route53Config)
	}{
		"no zone":             {"zone:", func(c *Route53Config) { c.Zone = "." }},
		"no domain name":      {"zone:", func(c *Route53Config) { c.Zone = `exam\112ple.com` }},
		"zone id":             {"zone id:", func(c *Route53Config) { c.ZoneID = "Z1/../Z2" }},
		"region":              {"region:", func(c *Route53Config) { c.Region = "us-east-1.evil.example/" }},
		"endpoint":            {"endpoint:", func(c *Route53Config) { c.Endpoint = "route53.amazonaws.com" }},
		"endpoint with user":  {"endpoint:", func(c *Route53Config) { c.Endpoint = "https://user:s3cret@host.example" }},
		"endpoint with query": {"endpoint:", func(c *Route53Config) { c.Endpoint = "https://host.example/?x" }},
		"timeout":             {"timeout:", func(c *Route53Config) { c.Timeout = -time.Second }},
		"role":                {"role:", func(c *Route53Config) { c.RoleARN = "arn:aws:iam::123456789012:user/dns" }},
		"role over two lines": {"role:", func(c *Route53Config) { c.RoleARN = roleARN + "\n" }},
		"external id":         {"external id:", func(c *Route53Config) { c.RoleARN, c.ExternalID = roleARN, "x" }},
		"external id, spaced": {"external id:", func(c *Route53Config) { c.RoleARN, c.ExternalID = roleARN, "x y" }},
		"external id, alone":  {"external id:", func(c *Route53Config) { c.ExternalID = externalID }},
		"no access key id":    {"access key id: empty", func(c *Route53Config) { c.AccessKeyID = "" }},
		"no secret":           {"secret access key: empty", func(c *Route53Config) { c.SecretAccessKey = "" }},
		"line end in id":      {"access key id:", func(c *Route53Config) { c.AccessKeyID += "\n" }},
		"line end in secret":  {"secret access key:", func(c *Route53Config) { c.SecretAccessKey += "\n" }},
		"line end in token":   {"session token:", func(c *Route53Config) { c.SessionToken += "\n" }},
		"ambient with keys":   {"ambient:", func(c *Route53Config) { c.Ambient = true }},
	} {
		bad := good
		c.spoil(&bad)
		_, err := NewRoute53(bad)
		wantKind(t, err, Invalid)
		if !strings.Contains(err.Error(), " "+c.field) || strings.Contains(err.Error(), "t0ken") ||
			strings.Contains(strings.ReplaceAll(err.Error(), bad.Endpoint, ""), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := Route53Config{Zone: "example.com", ZoneID: "Z1"}
	_, err := NewRoute53(empty)
	wantKind(t, err, Invalid)
}

// The keys of the configuration sign, and those of the environment never do, not even its endpoint
// and its profile are looked at.
func TestRoute53EnvironmentIsNotUsed(t *testing.T) {
	a := startRoute53(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOPERATOR")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of-the-operator")
	t.Setenv("AWS_ENDPOINT_URL_ROUTE_53", "http://127.0.0.1:1")
	t.Setenv("AWS_PROFILE", "there-is-none")
	t.Setenv("AWS_REGION", "eu-west-1")
	z := a.open()
	wantValues(t, a.read(z, a.txt("_dmarc")))
	a.calls(0, 1, 0)
	// A proxy would connect to what Dial keeps a user's endpoint from.
	if z.(*route53Zone).http.Transport.(*http.Transport).Proxy != nil {
		t.Error("uses a proxy")
	}
}

func TestRoute53Ambient(t *testing.T) {
	ambient := func(c *Route53Config) { c.Ambient, c.AccessKeyID, c.SecretAccessKey = true, "", "" }
	alone := func(t *testing.T) {
		for _, name := range []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
			t.Setenv(name, "")
		}
		t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	}
	t.Run("used where it is asked for", func(t *testing.T) {
		alone(t)
		a := startRoute53(t)
		t.Setenv("AWS_ACCESS_KEY_ID", accessKeyID)
		t.Setenv("AWS_SECRET_ACCESS_KEY", secretAccessKey)
		wantValues(t, a.read(a.open(ambient), a.txt("_dmarc")))
	})
	t.Run("there is none", func(t *testing.T) {
		alone(t)
		a := startRoute53(t)
		z := a.open(ambient)
		_, err := readOne(t.Context(), z, a.txt("_dmarc"))
		wantKind(t, err, Unauthorized)
		wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("_dmarc")}, Add: []string{"x"}}), Unauthorized)
		a.calls(0, 0, 0)
	})
	t.Run("a bad configuration is an error", func(t *testing.T) {
		alone(t)
		t.Setenv("AWS_PROFILE", "there-is-none")
		_, err := NewRoute53(Route53Config{Zone: "example.com", Ambient: true})
		wantKind(t, err, Invalid)
		if !strings.Contains(err.Error(), "AWS_") {
			t.Error(err)
		}
	})
}

// A configuration that cannot be used is told, and ends nothing.
func TestRoute53BadConfigurationDoesNotExit(t *testing.T) {
	const child = "MAILDOMAIN_ROUTE53_CHILD"
	if os.Getenv(child) != "" {
		_, err := NewRoute53(Route53Config{Zone: "example.com", Ambient: true, Region: "eu-west-1"})
		fmt.Println("still here:", KindOf(err))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1", "AWS_PROFILE=there-is-none", "AWS_CONFIG_FILE="+filepath.Join(t.TempDir(), "none"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "still here: Invalid") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Session tokens are sent along, and the keys are never sent.
func TestRoute53Credentials(t *testing.T) {
	a := startRoute53(t)
	z := a.open(func(c *Route53Config) { c.SessionToken = "token-of-a-role" })
	heard := &listener{}
	z.(*route53Zone).http.Transport = heard
	_, err := readOne(t.Context(), z, a.txt("_dmarc"))
	wantKind(t, err, Unreachable)
	if heard.header.Get("X-Amz-Security-Token") != "token-of-a-role" || strings.Contains(fmt.Sprint(heard.header), secretAccessKey) {
		t.Error(heard.header)
	}
}

func TestRoute53FindsTheZone(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		a := startRoute53(t)
		a.must(a.AddZone("Z2", "a.zone.example"))
		a.must(a.AddZone("Z0", "zone.exampl"))
		z := a.open(byName)
		seen := a.read(z, a.txt("_dmarc"))
		a.apply(z, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
		wantValues(t, a.read(z, a.txt("_dmarc")), "x")
		a.calls(1, 2, 1)
	})
	t.Run("by a write", func(t *testing.T) {
		a := startRoute53(t)
		z := a.open(byName)
		a.apply(z, Change{Seen: RRset{Key: a.txt("_dmarc")}, Add: []string{"x"}, TTL: time.Hour})
		a.calls(1, 0, 1)
	})
	t.Run("private zones of the name are not it", func(t *testing.T) {
		a := startRoute53(t)
		for i := range 120 { // more than a page of them
			a.must(a.AddPrivateZone(fmt.Sprintf("P%03d", i), "zone.example"))
		}
		a.must(a.PutValues("P000", "_dmarc.zone.example", "TXT", 300, `"private"`))
		a.foreign("_dmarc", 300, `"public"`)
		wantValues(t, a.read(a.open(byName), a.txt("_dmarc")), "public")
		a.calls(2, 1, 0)
	})
	for name, c := range map[string]struct {
		zones func(a awsZone)
		want  Kind
		says  string
	}{
		"none":         {func(a awsZone) { a.RemoveZone(hostedZone); a.must(a.AddZone("Z2", "zone.example.com")) }, ZoneNotFound, "no hosted zone zone.example"},
		"private only": {func(a awsZone) { a.RemoveZone(hostedZone); a.must(a.AddPrivateZone("P1", "zone.example")) }, ZoneNotFound, "private"},
		"several":      {func(a awsZone) { a.must(a.AddZone("Z2", "zone.example")) }, Invalid, "set the zone id"},
	} {
		t.Run(name, func(t *testing.T) {
			a := startRoute53(t)
			c.zones(a)
			z := a.open(byName)
			for range 2 { // a failure is not remembered
				_, err := readOne(t.Context(), z, a.txt("_dmarc"))
				wantKind(t, err, c.want)
				if !strings.Contains(err.Error(), c.says) {
					t.Error(err)
				}
			}
			a.calls(2, 0, 0)
			wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("_dmarc")}, Add: []string{"x"}}), c.want)
			a.calls(1, 0, 0)
		})
	}
	t.Run("anew, where it was made anew", func(t *testing.T) {
		a := startRoute53(t)
		z := a.open(byName)
		a.read(z, a.txt("_dmarc"))
		a.RemoveZone(hostedZone)
		a.must(a.AddZone("Z2", "zone.example"))
		_, err := readOne(t.Context(), z, a.txt("_dmarc"))
		wantKind(t, err, ZoneNotFound)
		wantValues(t, a.read(z, a.txt("_dmarc")))
	})
	t.Run("the given id is of another zone", func(t *testing.T) {
		a := startRoute53(t)
		a.must(a.AddZone("Z2", "example"))
		a.must(a.AddZone("Z3", "another.example"))
		a.must(a.PutValues("Z2", "zz.example", "A", 300, "192.0.2.1"))
		parent, other := a.open(func(c *Route53Config) { c.ZoneID = "Z2" }), a.open(func(c *Route53Config) { c.ZoneID = "Z3" })
		_, err := readOne(t.Context(), parent, a.txt("_dmarc"))
		wantKind(t, err, ZoneNotFound)
		wantKind(t, applyOne(t.Context(), other, Change{Seen: RRset{Key: a.txt("_dmarc")}, Add: []string{"x"}}), ZoneNotFound)
		_, err = readOne(t.Context(), a.open(func(c *Route53Config) { c.ZoneID = "Z9" }), a.txt("_dmarc"))
		wantKind(t, err, ZoneNotFound)
	})
}

func TestRoute53ErrorText(t *testing.T) {
	a := startRoute53(t)
	a.Close()
	z := a.open()
	_, err := readOne(t.Context(), z, a.txt("_dmarc"))
	wantKind(t, err, Unreachable)
	want := "read TXT _dmarc.zone.example at " + a.URL() + ": cannot connect: connection refused: check the endpoint and the network policy"
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
	wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("_dmarc")}, Add: []string{"x"}}), Unreachable)

	refused := errors.New("address not allowed")
	guarded := a.open(func(c *Route53Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, refused }
	})
	_, err = readOne(t.Context(), guarded, a.txt("_dmarc"))
	wantKind(t, err, Unreachable)
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), "address not allowed") {
		t.Error(err)
	}

	aws := a.open(func(c *Route53Config) { c.Endpoint = "" })
	aws.(*route53Zone).http.Transport = &listener{}
	_, err = readOne(t.Context(), aws, a.txt("_dmarc"))
	if !strings.HasPrefix(err.Error(), "read TXT _dmarc.zone.example at Route 53: ") {
		t.Error(err)
	}
}

// Route 53 is one service for all regions, at one place in each partition of AWS.
func TestRoute53Endpoint(t *testing.T) {
	for region, want := range map[string]string{
		"":           "route53.amazonaws.com us-east-1",
		"eu-north-1": "route53.amazonaws.com us-east-1",
		"cn-north-1": "route53.amazonaws.com.cn cn-northwest-1",
	} {
		z, err := NewRoute53(Route53Config{Zone: "zone.example", ZoneID: hostedZone, AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey, Region: region})
		if err != nil {
			t.Fatal(err)
		}
		heard := &listener{}
		z.(*route53Zone).http.Transport = heard
		_, err = readOne(t.Context(), z, Key{"_dmarc.zone.example", TypeTXT})
		wantKind(t, err, Unreachable)
		_, scope, _ := strings.Cut(heard.header.Get("Authorization"), "Credential="+accessKeyID+"/")
		parts := strings.Split(scope, "/")
		if got := heard.host + " " + parts[min(1, len(parts)-1)]; got != want {
			t.Errorf("%q: %s, want %s", region, got, want)
		}
	}
}

// What a search shows of other zones spares them theirs, and is not believed for long, nor when it was wrong.
func TestRoute53ZonesAreFoundTogether(t *testing.T) {
	a := startRoute53(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	shared := &HostedZones{Now: func() time.Time { return now }}
	open := func(apex string) Zone {
		return a.open(func(cfg *Route53Config) { cfg.Zone, cfg.ZoneID, cfg.Hosted = apex, "", shared })
	}
	for i := range 150 { // behind zone.example
		a.must(a.AddZone(fmt.Sprintf("ZN%03d", i), fmt.Sprintf("n%03d.zone.example", i)))
	}
	a.must(a.AddZone("ZSECOND", "n007.zone.example"))
	look := func(i int) error {
		apex := fmt.Sprintf("n%03d.zone.example", i)
		_, err := readOne(t.Context(), open(apex), Key{"_dmarc." + apex, TypeTXT})
		return err
	}
	a.read(open("zone.example"), a.txt("_dmarc"))
	for i := range 150 {
		if err := look(i); i == 7 {
			wantKind(t, err, Invalid)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	a.calls(3, 150, 0) // each answer lists 100; of a name with several a search of its own says so

	a.must(a.AddZone("ZNEW", "zz.zone.example"))
	a.RemoveZone("ZN149")
	a.must(a.AddZone("ZAGAIN", "n149.zone.example"))
	if err := errors.Join(look(140), look(148)); err != nil { // the first of them shows the other, and what follows
		t.Fatal(err)
	}
	a.RemoveZone("ZAGAIN")
	a.must(a.AddZone("ZTHIRD", "n149.zone.example"))
	a.ResetCalls()
	apex := "n149.zone.example"
	z := open(apex)
	_, err := readOne(t.Context(), z, Key{"_dmarc." + apex, TypeTXT})
	wantKind(t, err, ZoneNotFound) // by what was shown
	if _, err := readOne(t.Context(), z, Key{"_dmarc." + apex, TypeTXT}); err != nil {
		t.Error(err)
	}
	a.calls(1, 2, 0)

	now = now.Add(hostedZonesKept)
	_, err = readOne(t.Context(), open("zz.zone.example"), Key{"_dmarc.zz.zone.example", TypeTXT})
	if err != nil {
		t.Error(err)
	}
	a.calls(1, 1, 0)
}
