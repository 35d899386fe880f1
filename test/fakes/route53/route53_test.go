package route53

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	smithy "github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

const zoneID = "Z1"

func start(t *testing.T, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{Keys: map[string]string{"AKIDEXAMPLE": "secret"}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	must(t, s.AddZone(zoneID, "example.com"))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func client(s *Server, change ...func(*sdk.Options)) *sdk.Client {
	url := s.URL()
	keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	return sdk.New(sdk.Options{
		Region:       "us-east-1",
		BaseEndpoint: &url,
		Retryer:      aws.NopRetryer{},
		Credentials:  aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil }),
	}, change...)
}

// txt is a change of a simple record set.
func txt(action types.ChangeAction, name string, ttl int64, values ...string) types.Change {
	return record(action, name, types.RRTypeTxt, ttl, values...)
}

func record(action types.ChangeAction, name string, rrtype types.RRType, ttl int64, values ...string) types.Change {
	set := &types.ResourceRecordSet{Name: &name, Type: rrtype, TTL: &ttl}
	for _, value := range values {
		set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: &value})
	}
	return types.Change{Action: action, ResourceRecordSet: set}
}

func send(t *testing.T, s *Server, changes ...types.Change) error {
	t.Helper()
	_, err := client(s).ChangeResourceRecordSets(t.Context(), &sdk.ChangeResourceRecordSetsInput{
		HostedZoneId: aws.String(zoneID), ChangeBatch: &types.ChangeBatch{Changes: changes},
	})
	return err
}

func code(err error) string {
	if apiErr, ok := errors.AsType[smithy.APIError](err); ok {
		return apiErr.ErrorCode()
	}
	return ""
}

const (
	create = types.ChangeActionCreate
	remove = types.ChangeActionDelete
	upsert = types.ChangeActionUpsert
)

// What Route 53 refuses, it refuses whole, and says why.
func TestRefusedChanges(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	many := func(n int) (values []string) {
		for i := range n {
			values = append(values, fmt.Sprintf(`"%d"`, i))
		}
		return values
	}
	for name, c := range map[string]struct {
		changes []types.Change
		says    string
	}{
		"delete of nothing":         {[]types.Change{txt(remove, "no.example.com", 300, `"x"`)}, "was not found"},
		"delete with another TTL":   {[]types.Change{txt(remove, "there.example.com", 301, `"a"`, `"b"`)}, "do not match the current values"},
		"delete with another value": {[]types.Change{txt(remove, "there.example.com", 300, `"a"`, `"c"`)}, "do not match the current values"},
		"delete with fewer values":  {[]types.Change{txt(remove, "there.example.com", 300, `"a"`)}, "do not match the current values"},
		"delete of a plain of text": {[]types.Change{txt(remove, "chunks.example.com", 300, `"ab"`)}, "do not match the current values"},
		"create of what is there":   {[]types.Change{txt(create, "THERE.example.com.", 300, `"x"`)}, "already exists"},
		"create before delete":      {[]types.Change{txt(create, "there.example.com", 300, `"x"`), txt(remove, "there.example.com", 300, `"a"`, `"b"`)}, "already exists"},
		"not quoted":                {[]types.Change{txt(create, "n.example.com", 300, `v=spf1 -all`)}, "quotation marks"},
		"not closed":                {[]types.Change{txt(create, "n.example.com", 300, `"x`)}, "quotation marks"},
		"no space between":          {[]types.Change{txt(create, "n.example.com", 300, `"x""y"`)}, "white space"},
		"256 octets":                {[]types.Change{txt(create, "n.example.com", 300, long(256))}, "CharacterStringTooLong"},
		"4001 characters":           {[]types.Change{txt(create, "n.example.com", 300, strings.Repeat(long(248)+" ", 16)+`"12345678901234567890123456789012"`)}, "TXTRDATATooLong"},
		"UTF-8":                     {[]types.Change{txt(create, "n.example.com", 300, `"ü"`)}, "must be escaped"},
		"a decimal escape":          {[]types.Change{txt(create, "n.example.com", 300, `"\195"`)}, "octal"},
		"twice the same":            {[]types.Change{txt(create, "n.example.com", 300, `"x"`, `"x"`)}, "Duplicate"},
		"no TTL":                    {[]types.Change{{Action: create, ResourceRecordSet: &types.ResourceRecordSet{Name: aws.String("n.example.com"), Type: types.RRTypeTxt, ResourceRecords: []types.ResourceRecord{{Value: aws.String(`"x"`)}}}}}, "TTL"},
		"no values":                 {[]types.Change{txt(create, "n.example.com", 300)}, "ResourceRecords"},
		"another zone":              {[]types.Change{txt(create, "n.example.org", 300, `"x"`)}, "not permitted in zone"},
		"a bad name":                {[]types.Change{txt(create, "a..example.com", 300, `"x"`)}, "DomainLabelInvalid"},
		"beside a CNAME":            {[]types.Change{txt(create, "alias.example.com", 300, `"x"`)}, "conflicting RRSet of type CNAME"},
		"a CNAME beside others":     {[]types.Change{record(create, "there.example.com", types.RRTypeCname, 300, "x.example.")}, "conflicts with other records"},
		"a CNAME at the apex":       {[]types.Change{record(create, "example.com", types.RRTypeCname, 300, "x.example.")}, "not permitted at apex"},
		"two CNAMEs":                {[]types.Change{record(create, "n.example.com", types.RRTypeCname, 300, "x.example.", "y.example.")}, "more than one record"},
		"no address":                {[]types.Change{record(create, "n.example.com", types.RRTypeA, 300, "2001:db8::1")}, "IPv4"},
		"beside weighted":           {[]types.Change{txt(create, "w.example.com", 300, `"x"`)}, "cannot be created"},
		"without the apex's NS":     {[]types.Change{record(remove, "example.com", types.RRTypeNs, 172800, "ns-1.awsdns-00.com.", "ns-2.awsdns-00.net.")}, "at least one NS"},
		"401 records":               {[]types.Change{txt(create, "n.example.com", 300, many(401)...)}, "more than 400"},
		"1001 records": {[]types.Change{txt(create, "n.example.com", 300, many(400)...), txt(create, "m.example.com", 300, many(400)...),
			txt(create, "o.example.com", 300, many(201)...)}, "Number of records limit"},
		"502 records, counted twice": {[]types.Change{txt(upsert, "n.example.com", 300, many(251)...), txt(upsert, "m.example.com", 300, many(251)...)}, "Number of records limit"},
		"32,001 characters": {slices.Collect(func(yield func(types.Change) bool) {
			for i := range 8 {
				if !yield(txt(create, fmt.Sprintf("n%d.example.com", i), 300, strings.Repeat(long(251)+" ", 15)+long(204))) {
					return
				}
			}
		}), "character limit of 32000"},
	} {
		for _, short := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, short), func(t *testing.T) {
				s := start(t, func(cfg *Config) { cfg.ShortErrors = short })
				must(t, s.PutValues(zoneID, "there.example.com", "TXT", 300, `"b"`, `"a"`))
				must(t, s.PutValues(zoneID, "chunks.example.com", "TXT", 300, `"a" "b"`))
				must(t, s.PutValues(zoneID, "alias.example.com", "CNAME", 300, "x.example."))
				must(t, s.Put(zoneID, Set{Name: "w.example.com", Type: "TXT", SetIdentifier: "one", Weight: new(int64(1)), TTL: new(int64(60)), Values: []string{`"w"`}}))
				before := s.Sets(zoneID)
				err := send(t, s, append([]types.Change{txt(create, "good.example.com", 300, `"x"`)}, c.changes...)...)
				if code(err) != "InvalidChangeBatch" || !strings.Contains(said(err), c.says) {
					t.Errorf("%v, want InvalidChangeBatch with %q", err, c.says)
				}
				if diff := cmp.Diff(before, s.Sets(zoneID)); diff != "" {
					t.Errorf("changed (-before +after):\n%s", diff)
				}
			})
		}
	}
}

func said(err error) string {
	if batch, ok := errors.AsType[*types.InvalidChangeBatch](err); ok {
		return batch.ErrorMessage() + strings.Join(batch.Messages, " ")
	}
	return ""
}

func TestChanges(t *testing.T) {
	s := start(t)
	must(t, s.PutValues(zoneID, "there.example.com", "TXT", 300, `"b"`, `"a"`))
	must(t, send(t, s,
		txt(remove, "There.example.com.", 300, `"a"`, `"b"`), // in any order
		txt(create, "there.example.com", 60, `"c"`, `"x\"y\\z;\303\274"  "two"`),
		txt(create, `*.Example.com`, 60, `""`),
		txt(upsert, "up.example.com", 60, `"1"`),
		txt(upsert, "up.example.com", 61, `"2"`)))
	if got, want := s.Values(zoneID, "there.example.com", "TXT"), []string{`"c"`, `"x\"y\\z;\303\274"  "two"`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if s.TTL(zoneID, "up.example.com", "TXT") != 61 || s.TTL(zoneID, `\052.example.com`, "TXT") != 60 || s.TTL(zoneID, "no.example.com", "TXT") != -1 {
		t.Error("TTL")
	}
	if s.Calls(ChangeResourceRecordSets) != 1 || s.Calls() != 1 {
		t.Errorf("%d calls", s.Calls())
	}
}

func TestListRecordSets(t *testing.T) {
	s := start(t)
	for _, name := range []string{"b.example.com", "a.b.example.com", "a-b.example.com", "B-a.example.com", "*.example.com", "_dmarc.example.com", "z.example.com"} {
		must(t, s.PutValues(zoneID, name, "TXT", 300, `"x"`))
	}
	must(t, s.PutValues(zoneID, "b.example.com", "A", 300, "192.0.2.2", "192.0.2.1"))
	for i := range 3 {
		must(t, s.Put(zoneID, Set{Name: "w.example.com", Type: "A", SetIdentifier: fmt.Sprint(i), Weight: new(int64(1)), TTL: new(int64(60)), Values: []string{"192.0.2.1"}}))
	}
	list := func(in sdk.ListResourceRecordSetsInput) (got []string, out *sdk.ListResourceRecordSetsOutput) {
		t.Helper()
		in.HostedZoneId = aws.String(zoneID)
		out, err := client(s).ListResourceRecordSets(t.Context(), &in)
		must(t, err)
		for _, set := range out.ResourceRecordSets {
			got = append(got, strings.TrimSuffix(*set.Name, "example.com.")+" "+string(set.Type)+aws.ToString(set.SetIdentifier))
		}
		return got, out
	}
	all := []string{" NS", " SOA", `\052. TXT`, "_dmarc. TXT", "a-b. TXT", "b-a. TXT", "b. A", "b. TXT", "a.b. TXT", "w. A0", "w. A1", "w. A2", "z. TXT"}
	got, out := list(sdk.ListResourceRecordSetsInput{MaxItems: aws.Int32(1000)})
	if diff := cmp.Diff(all, got); diff != "" || out.IsTruncated || *out.MaxItems != 300 {
		t.Errorf("%v %v\n%s", out.IsTruncated, *out.MaxItems, diff)
	}

	var paged []string
	in := sdk.ListResourceRecordSetsInput{MaxItems: aws.Int32(2)}
	for {
		got, out := list(in)
		paged = append(paged, got...)
		if !out.IsTruncated {
			break
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Errorf("in pages:\n%s", diff)
	}
	if set := out.ResourceRecordSets[6]; len(set.ResourceRecords) != 2 || *set.ResourceRecords[0].Value != "192.0.2.2" || *set.TTL != 300 || set.AliasTarget != nil {
		t.Errorf("%+v", set)
	}
	if got, _ := list(sdk.ListResourceRecordSetsInput{StartRecordName: aws.String("B.example.com"), StartRecordType: "SOA"}); got[0] != "b. TXT" {
		t.Errorf("from b SOA: %q", got)
	}
	for what, in := range map[string]sdk.ListResourceRecordSetsInput{
		"type without name":       {StartRecordType: "A"},
		"identifier without type": {StartRecordName: aws.String("w.example.com"), StartRecordIdentifier: aws.String("1")},
		"no items":                {MaxItems: aws.Int32(0)},
		"unknown type":            {StartRecordName: aws.String("w.example.com"), StartRecordType: "X"},
	} {
		in.HostedZoneId = aws.String(zoneID)
		if _, err := client(s).ListResourceRecordSets(t.Context(), &in); code(err) != "InvalidInput" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := client(s).ListResourceRecordSets(t.Context(), &sdk.ListResourceRecordSetsInput{HostedZoneId: aws.String("Z9")}); code(err) != "NoSuchHostedZone" {
		t.Error(err)
	}
}

func TestZones(t *testing.T) {
	s := start(t)
	must(t, s.AddPrivateZone("Z0", "example.com"))
	must(t, s.AddZone("Z2", "example.net"))
	must(t, s.AddZone("Z3", "sub.example.com"))
	if s.AddZone("Z3", "x.example") == nil {
		t.Error("two zones with one id")
	}
	list := func(in *sdk.ListHostedZonesByNameInput) (got []string, out *sdk.ListHostedZonesByNameOutput) {
		t.Helper()
		out, err := client(s).ListHostedZonesByName(t.Context(), in)
		must(t, err)
		for _, z := range out.HostedZones {
			got = append(got, fmt.Sprint(strings.TrimPrefix(*z.Id, "/hostedzone/"), " ", *z.Name, " ", z.Config.PrivateZone))
		}
		return got, out
	}
	got, _ := list(&sdk.ListHostedZonesByNameInput{})
	if diff := cmp.Diff([]string{"Z0 example.com. true", "Z1 example.com. false", "Z3 sub.example.com. false", "Z2 example.net. false"}, got); diff != "" {
		t.Error(diff)
	}
	got, out := list(&sdk.ListHostedZonesByNameInput{DNSName: aws.String("EXAMPLE.com"), MaxItems: aws.Int32(1)})
	if !slices.Equal(got, []string{"Z0 example.com. true"}) || !out.IsTruncated || *out.NextHostedZoneId != "Z1" {
		t.Errorf("%q %v", got, out.IsTruncated)
	}
	got, _ = list(&sdk.ListHostedZonesByNameInput{DNSName: out.NextDNSName, HostedZoneId: out.NextHostedZoneId, MaxItems: aws.Int32(2)})
	if !slices.Equal(got, []string{"Z1 example.com. false", "Z3 sub.example.com. false"}) {
		t.Errorf("%q", got)
	}
	zone, err := client(s).GetHostedZone(t.Context(), &sdk.GetHostedZoneInput{Id: aws.String("/hostedzone/Z0")})
	must(t, err)
	if !zone.HostedZone.Config.PrivateZone || *zone.HostedZone.ResourceRecordSetCount != 2 {
		t.Errorf("%+v", zone.HostedZone)
	}
	s.RemoveZone("Z0")
	if _, err := client(s).GetHostedZone(t.Context(), &sdk.GetHostedZoneInput{Id: aws.String("Z0")}); code(err) != "NoSuchHostedZone" {
		t.Error(err)
	}
}

func TestGetChange(t *testing.T) {
	s := start(t)
	out, err := client(s).ChangeResourceRecordSets(t.Context(), &sdk.ChangeResourceRecordSetsInput{
		HostedZoneId: aws.String(zoneID), ChangeBatch: &types.ChangeBatch{Changes: []types.Change{txt(create, "n.example.com", 1, `"x"`)}},
	})
	must(t, err)
	change, err := client(s).GetChange(t.Context(), &sdk.GetChangeInput{Id: out.ChangeInfo.Id})
	must(t, err)
	if change.ChangeInfo.Status != types.ChangeStatusInsync {
		t.Errorf("%+v", change.ChangeInfo)
	}
	if _, err := client(s).GetChange(t.Context(), &sdk.GetChangeInput{Id: aws.String("C9")}); code(err) != "NoSuchChange" {
		t.Error(err)
	}
}

func TestAuthentication(t *testing.T) {
	s := start(t)
	keys := func(id, secret string) func(*sdk.Options) {
		return func(o *sdk.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
			})
		}
	}
	for what, c := range map[string]struct {
		change func(*sdk.Options)
		want   string
	}{
		"unknown key":    {keys("OTHER", "secret"), "InvalidClientTokenId"},
		"wrong secret":   {keys("AKIDEXAMPLE", "other"), "SignatureDoesNotMatch"},
		"another region": {func(o *sdk.Options) { o.Region = "eu-west-1" }, "SignatureDoesNotMatch"},
	} {
		_, err := client(s, c.change).ListHostedZonesByName(t.Context(), &sdk.ListHostedZonesByNameInput{DNSName: aws.String("example.com."), MaxItems: aws.Int32(7)})
		if code(err) != c.want {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	resp, err := http.Get(s.URL() + "/2013-04-01/hostedzone/" + zoneID)
	must(t, err)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "MissingAuthenticationToken") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	s.Deny(zoneID, true)
	if err := send(t, s, txt(create, "n.example.com", 1, `"x"`)); code(err) != "AccessDenied" {
		t.Error(err)
	}
	s.Deny(zoneID, false)
	must(t, send(t, s, txt(create, "n.example.com", 1, `"x"`)))
}

func TestFaults(t *testing.T) {
	s := start(t)
	n := 0
	change := func() error {
		n++
		return send(t, s, txt(create, fmt.Sprintf("n%d.example.com", n), 1, `"x"`))
	}
	stored := func() bool { return len(s.Values(zoneID, fmt.Sprintf("n%d.example.com", n), "TXT")) == 1 }
	for what, c := range map[string]struct {
		fault  Fault
		ok     bool
		code   string
		stored bool
	}{
		"refused":            {Refuse(403, "AccessDenied", "no"), false, "AccessDenied", false},
		"throttled":          {Throttle("7"), false, "Throttling", false},
		"HTML":               {BadGateway(), false, "", false},
		"malformed":          {Malformed(), false, "", false},
		"dropped":            {Fault{Drop: true}, false, "", false},
		"dropped, but made":  {Fault{Drop: true, Apply: true}, false, "", true},
		"an error, but made": {Fault{Status: 500, Apply: true}, false, "", true},
		"lost":               {Fault{Lose: true}, true, "", false},
	} {
		s.Fail(ChangeResourceRecordSets, 1, c.fault)
		err := change()
		if (err == nil) != c.ok || c.code != "" && code(err) != c.code || stored() != c.stored {
			t.Errorf("%s: %v, stored: %v", what, err, stored())
		}
	}
	s.Heal()
	s.Fail(ListResourceRecordSets, 9, Fault{Drop: true})
	must(t, change())

	s.Fail("", 1, Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(s).GetChange(ctx, &sdk.GetChangeInput{Id: aws.String("C1")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	s := start(t, func(cfg *Config) { cfg.Limited, cfg.Rate, cfg.Burst = true, 1e-9, 2 })
	for i, want := range []string{"", "", "Throttling"} {
		if err := send(t, s, txt(create, fmt.Sprintf("n%d.example.com", i), 1, `"x"`)); code(err) != want {
			t.Errorf("%d: %v", i, err)
		}
	}

	under, end := make(chan struct{}, 9), make(chan struct{})
	s = start(t, func(cfg *Config) {
		cfg.OneAtATime = true
		cfg.Before = func(action string) {
			if action == Applying {
				under <- struct{}{}
				<-end
			}
		}
	})
	first := make(chan error)
	go func() { first <- send(t, s, txt(create, "n.example.com", 1, `"x"`)) }()
	<-under
	if err := send(t, s, txt(create, "m.example.com", 1, `"x"`)); code(err) != "PriorRequestNotComplete" {
		t.Error(err)
	}
	close(end)
	must(t, <-first)
	must(t, send(t, s, txt(create, "m.example.com", 1, `"x"`)))
}

// What the fake holds is served over DNS, and follows each change.
func TestServe(t *testing.T) {
	server, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{"example.com"}})
	must(t, err)
	defer server.Close()
	s := start(t)
	must(t, s.PutValues(zoneID, "*.example.com", "TXT", 300, `"x\"y\\z;\303\274"  "two"`))
	must(t, s.PutValues(zoneID, "odd.example.com", "SVCB", 300, "nonsense"))
	must(t, s.Put(zoneID, Set{Name: "example.com", Type: "A", Alias: &Alias{HostedZoneID: "Z9", DNSName: "lb.example."}}))
	must(t, s.Serve(zoneID, server))
	if got, want := server.TXT("*.example.com"), []string{`x"y\z;ütwo`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	must(t, send(t, s, txt(create, "n.example.com", 1, `"1"`)))
	must(t, send(t, s, txt(remove, "n.example.com", 1, `"1"`), record(create, "n.example.com", types.RRTypeCname, 1, "x.example.")))
	if len(server.TXT("n.example.com")) != 0 || len(server.Records("n.example.com", "CNAME")) != 1 {
		t.Errorf("%q %q", server.TXT("n.example.com"), server.Records("n.example.com", "CNAME"))
	}
	must(t, s.Remove(zoneID, "*.example.com", "TXT"))
	if len(server.TXT("*.example.com")) != 0 {
		t.Errorf("%q", server.TXT("*.example.com"))
	}
}
