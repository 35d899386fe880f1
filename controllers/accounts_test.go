package controllers

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/lease"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
	"github.com/maildomain/maildomain-operator/test/fakes/route53"
)

// An account that the provider throttles is left alone for as long as the provider wants, for all
// its zones; another one goes on at full speed. Zones are opened once, and forgotten when nobody
// has used them for long.
func TestAccounts(t *testing.T) {
	fake := cloudflare.Start(cloudflare.Config{})
	t.Cleanup(fake.Close)
	for _, token := range []string{"busy", "calm"} {
		fake.AddToken(token, fake.AddZone(token+".example"), fake.AddZone("second-"+token+".example"))
	}
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	calls := 0
	accounts := &Accounts{Clock: clock, Timeout: 10 * time.Second, Called: func(string) { calls++ }}
	open := func(token, apex string) dnsprovider.Zone {
		t.Helper()
		spec := &v1alpha1.DNSProviderSpec{Domains: []string{"example"}, Endpoint: fake.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{}}
		zone, err := accounts.zone(spec, []string{token}, apex, nil)
		if err != nil {
			t.Fatal(err)
		}
		return zone
	}
	read := func(token, apex string) error {
		t.Helper()
		return open(token, apex).Read(t.Context(), dnsprovider.Key{Name: "_dmarc." + apex, Type: dnsprovider.TypeTXT})[0].Err
	}
	for _, token := range []string{"busy", "calm"} {
		if err := read(token, token+".example"); err != nil {
			t.Fatal(err)
		}
	}
	fake.Fail(cloudflare.Fault{Path: "/dns_records", Times: 1, Status: http.StatusTooManyRequests, Code: 10429, Header: http.Header{"Retry-After": {"300"}}})
	if err := read("busy", "busy.example"); dnsprovider.KindOf(err) != dnsprovider.RateLimited {
		t.Fatalf("got %v", err)
	}
	before := calls
	for _, apex := range []string{"busy.example", "second-busy.example"} {
		if err := read("busy", apex); dnsprovider.KindOf(err) != dnsprovider.RateLimited || strings.Contains(err.Error(), "300") {
			t.Errorf("%s during the pause: %v", apex, err)
		}
	}
	again := &v1alpha1.DNSProviderSpec{Domains: []string{"example"}, Endpoint: fake.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{
		APITokenSecretRef: &v1alpha1.SecretKeyRef{Name: "another", Key: "token"}, ZoneID: strings.Repeat("a", 32),
	}}
	zone, err := accounts.zone(again, []string{"busy"}, "busy.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := zone.Read(t.Context(), dnsprovider.Key{Name: "_dmarc.busy.example", Type: dnsprovider.TypeTXT})[0].Err; dnsprovider.KindOf(err) != dnsprovider.RateLimited {
		t.Errorf("the same token out of another Secret: %v", err)
	}
	if zone == open("busy", "busy.example") {
		t.Error("another zone id is another zone")
	}
	if calls != before {
		t.Errorf("%d calls during the pause", calls-before)
	}
	if err := read("calm", "second-calm.example"); err != nil {
		t.Errorf("another account: %v", err)
	}
	clock.SetTime(clock.Now().Add(300 * time.Second))
	if err := read("busy", "second-busy.example"); err != nil {
		t.Errorf("after the pause: %v", err)
	}

	if open("calm", "calm.example") != open("calm", "calm.example") {
		t.Error("a zone is opened twice")
	}
	old := open("calm", "calm.example")
	clock.SetTime(clock.Now().Add(2 * idle))
	if open("busy", "busy.example"); open("calm", "calm.example") == old {
		t.Error("what nobody uses is kept for ever")
	}
}

// A process that does not lead asks any provider, and changes nothing there (Law 9).
func TestAccountsWithoutTheLease(t *testing.T) {
	cloud := cloudflare.Start(cloudflare.Config{})
	t.Cleanup(cloud.Close)
	cloud.AddToken("token", cloud.AddZone("example.com"))
	aws, err := route53.Start(route53.Config{Keys: map[string]string{"AKIATEST": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close() })
	if err := aws.AddZone("Z1", "example.com"); err != nil {
		t.Fatal(err)
	}
	server, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	accounts := &Accounts{Clock: clock, Timeout: 10 * time.Second, Lease: lease.NewGuard(14*time.Second, clock.Now)}
	key := dnsprovider.Key{Name: "_dmarc.example.com", Type: dnsprovider.TypeTXT}
	for name, test := range map[string]struct {
		spec    v1alpha1.DNSProviderSpec
		secrets []string
	}{
		"cloudflare": {v1alpha1.DNSProviderSpec{Endpoint: cloud.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{}}, []string{"token"}},
		"route53":    {v1alpha1.DNSProviderSpec{Endpoint: aws.URL(), Route53: &v1alpha1.Route53Provider{}}, []string{"AKIATEST", "secret"}},
		"rfc2136":    {v1alpha1.DNSProviderSpec{RFC2136: &v1alpha1.RFC2136Provider{Server: server.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain."}}}, []string{tsigSecret}},
	} {
		zone, err := accounts.zone(&test.spec, test.secrets, "example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		read := func() dnsprovider.RRset {
			t.Helper()
			seen := zone.Read(t.Context(), key)[0]
			if seen.Err != nil {
				t.Fatalf("%s: %v", name, seen.Err)
			}
			return seen.RRset
		}
		err = zone.Apply(t.Context(), dnsprovider.Change{Seen: read(), Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour})[0]
		if !errors.Is(err, lease.ErrNotHeld) || dnsprovider.KindOf(err) != dnsprovider.Unreachable {
			t.Errorf("%s: %v", name, err)
		}
		if set := read(); len(set.Records) > 0 {
			t.Errorf("%s: written: %q", name, set.Values())
		}
	}
}

// Of all zones of an account the role is assumed once, apart from the calls and the pace of Route 53.
// Another role, or another external id, is another account.
func TestAccountsWithRoles(t *testing.T) {
	fake, err := route53.Start(route53.Config{Keys: map[string]string{"AKIATEST": "secret"}, RolesOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fake.Close() })
	apexes := []string{"one.example", "two.example"}
	for i, apex := range apexes {
		if err := fake.AddZone([]string{"Z1", "Z2"}[i], apex); err != nil {
			t.Fatal(err)
		}
	}
	const role = "arn:aws:iam::123456789012:role/"
	for _, name := range []string{"dns", "other"} {
		fake.SetRole(role+name, route53.Role{Trusts: []string{"AKIATEST"}})
	}
	calls := map[string]int{}
	accounts := &Accounts{Clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)), Timeout: 10 * time.Second, Called: func(api string) { calls[api]++ }}
	read := func(name, externalID, apex string) {
		t.Helper()
		spec := &v1alpha1.DNSProviderSpec{Domains: []string{"example"}, Endpoint: fake.URL(), Route53: &v1alpha1.Route53Provider{RoleARN: role + name, ExternalID: externalID}}
		zone, err := accounts.zone(spec, []string{"AKIATEST", "secret"}, apex, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := zone.Read(t.Context(), dnsprovider.Key{Name: "_dmarc." + apex, Type: dnsprovider.TypeTXT})[0].Err; err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for _, apex := range apexes {
			read("dns", "", apex)
		}
	}
	// Each zone is read three times; one search finds both.
	if want := map[string]int{"sts": 1, "route53": 7}; !maps.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	read("other", "", "one.example")
	read("other", "told", "one.example")
	var assumed []string
	for _, a := range fake.Assumptions() {
		assumed = append(assumed, strings.TrimPrefix(a.RoleARN, role)+" "+a.ExternalID)
	}
	if want := []string{"dns ", "other ", "other told"}; !slices.Equal(assumed, want) {
		t.Errorf("assumed %q, want %q", assumed, want)
	}
}
