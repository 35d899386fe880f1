package dnsprovider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	fake "github.com/maildomain/maildomain-operator/test/fakes/route53"
)

// listener is a transport that hears a request and fails.
type listener struct {
	host   string
	header http.Header
	panics bool
}

func (l *listener) RoundTrip(req *http.Request) (*http.Response, error) {
	l.host, l.header = req.URL.Host, req.Header
	if l.panics {
		panic("nil dereference, say")
	}
	return nil, errors.New("heard")
}

// Whatever comes back, a read never proves absence, and a write is never thought made or not made
// when nobody can know.
func TestRoute53Faults(t *testing.T) {
	const no = "the other side's own words"
	for name, c := range map[string]struct {
		fault   fake.Fault
		read    Kind
		write   Kind
		applied bool
	}{
		"AccessDenied":              {fake.Refuse(403, "AccessDenied", no), Unauthorized, Unauthorized, false},
		"InvalidClientTokenId":      {fake.Refuse(403, "InvalidClientTokenId", no), Unauthorized, Unauthorized, false},
		"SignatureDoesNotMatch":     {fake.Refuse(403, "SignatureDoesNotMatch", no), Unauthorized, Unauthorized, false},
		"ExpiredToken":              {fake.Refuse(403, "ExpiredToken", no), Unauthorized, Unauthorized, false},
		"NoSuchHostedZone":          {fake.Refuse(404, "NoSuchHostedZone", no), ZoneNotFound, ZoneNotFound, false},
		"Throttling":                {fake.Throttle(""), RateLimited, RateLimited, false},
		"PriorRequestNotComplete":   {fake.Refuse(400, "PriorRequestNotComplete", no), RateLimited, RateLimited, false},
		"HTTP 429":                  {fake.Fault{Status: 429, Body: no}, RateLimited, RateLimited, false},
		"an unknown error":          {fake.Refuse(400, "SomethingNew", no), Refused, Refused, false},
		"InternalFailure":           {fake.Refuse(500, "InternalFailure", no), Unreachable, UnknownOutcome, false},
		"InternalFailure, made":     {fake.Fault{Status: 500, Body: fake.Refuse(500, "InternalFailure", no).Body, Apply: true}, Unreachable, UnknownOutcome, true},
		"Throttling said with 503":  {fake.Refuse(503, "Throttling", no), Unreachable, UnknownOutcome, false},
		"HTML 502":                  {fake.BadGateway(), Unreachable, UnknownOutcome, false},
		"HTML 403":                  {fake.Fault{Status: 403, Body: "<html>" + no + "</html>"}, Unreachable, UnknownOutcome, false},
		"HTML 200":                  {fake.Hello(), Unreachable, UnknownOutcome, false},
		"HTTP 200 and nothing":      {fake.Fault{}, Unreachable, UnknownOutcome, false},
		"a redirect":                {fake.Fault{Status: 307, Header: map[string]string{"Location": "/elsewhere"}}, Unreachable, UnknownOutcome, false},
		"malformed":                 {fake.Malformed(), Unreachable, UnknownOutcome, false},
		"an endless answer":         {fake.Fault{Huge: true, Body: "<a>"}, Unreachable, UnknownOutcome, false},
		"an endless error":          {fake.Fault{Huge: true, Status: 400, Body: "<a>"}, Unreachable, UnknownOutcome, false},
		"not found, but HTML again": {fake.Fault{Status: 404, Body: no}, Unreachable, UnknownOutcome, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := startRoute53(t)
			a.foreign("_dmarc", 300, `"theirs"`)
			z, key := a.open(), a.txt("_dmarc")
			seen := a.read(z, key)
			a.ResetCalls()

			z.(*route53Zone).http.CloseIdleConnections() // on a used one that drops, net/http asks once more
			a.Fail(fake.ListResourceRecordSets, 1, c.fault)
			set, err := readOne(t.Context(), z, key)
			wantKind(t, err, c.read)
			if err != nil && len(set.Records) > 0 || err == nil && len(set.Records) != 1 {
				t.Errorf("records %q beside %v", set.Values(), err)
			}
			a.calls(0, 1, 0)

			var texts [2]string
			for i := range texts {
				a.foreign("_dmarc", 300, `"theirs"`)
				a.Heal()
				a.ResetCalls()
				a.Fail(fake.ChangeResourceRecordSets, 1, c.fault)
				err = applyOne(t.Context(), z, Change{Seen: seen, Add: []string{"ours"}, TTL: time.Hour})
				wantKind(t, err, c.write)
				a.calls(0, 0, 1)
				want := []string{`"theirs"`}
				if c.applied {
					want = append(want, `"ours"`)
				}
				a.stored(key, want...)
				texts[i] = fmt.Sprint(err)
			}
			if texts[0] != texts[1] && !c.fault.Huge { // there the bound and the end of the connection race
				t.Errorf("the text changes:\n%s\n%s", texts[0], texts[1])
			}
			if strings.Contains(texts[0], no) || strings.Contains(texts[0], "html") || strings.Contains(texts[0], "b25f48e8") {
				t.Errorf("the text quotes the server: %s", texts[0])
			}
			if len(set.Records) > 0 {
				wantValues(t, a.read(z, key), "theirs") // what was lost shows in the read back
			}
		})
	}
}

func TestRoute53RetryAfter(t *testing.T) {
	a := startRoute53(t)
	z := a.open(byName)
	for header, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999": time.Hour, "Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		for _, action := range []string{fake.ListHostedZonesByName, fake.ListResourceRecordSets, fake.ChangeResourceRecordSets} {
			a.Heal()
			a.Fail(action, 1, fake.Throttle(header))
			_, err := readOne(t.Context(), z, a.txt("_dmarc"))
			if action == fake.ChangeResourceRecordSets {
				err = applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("n")}, Add: []string{"x"}, TTL: time.Hour})
			}
			if action == fake.ListHostedZonesByName && err == nil {
				continue // found by now
			}
			wantKind(t, err, RateLimited)
			e, _ := errors.AsType[*Error](err)
			if e.RetryAfter != want || header != "" && strings.Contains(strings.ReplaceAll(err.Error(), a.URL(), ""), header) {
				t.Errorf("%s %q: %v, %v", action, header, e.RetryAfter, err)
			}
		}
	}
}

// The limit of the account is told, with no call more.
func TestRoute53Limited(t *testing.T) {
	a := startRoute53(t, func(c *fake.Config) { c.Limited, c.Rate, c.Burst = true, 1e-9, 1 })
	z := a.open()
	seen := a.read(z, a.txt("_dmarc"))
	for i, err := range z.Apply(t.Context(), Change{Seen: seen, Add: []string{"x"}}, Change{Seen: RRset{Key: a.txt("n")}, Add: []string{"x"}}) {
		if KindOf(err) != RateLimited {
			t.Errorf("%d: %v", i, err)
		}
	}
	a.calls(0, 1, 1)
}

func TestRoute53Panics(t *testing.T) {
	for name, spoil := range map[string]func(cfg *Route53Config, z Zone){
		"in the transport": func(cfg *Route53Config, z Zone) {
			if z != nil {
				z.(*route53Zone).http.Transport = &listener{panics: true}
			}
		},
		"in dial": func(cfg *Route53Config, z Zone) {
			if cfg != nil {
				cfg.Dial = func(context.Context, string, string) (net.Conn, error) { panic("nil dereference, say") }
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := startRoute53(t)
			z := a.open(func(cfg *Route53Config) { spoil(cfg, nil) })
			spoil(nil, z)
			_, err := readOne(t.Context(), z, a.txt("_dmarc"))
			wantKind(t, err, Unreachable)
			if !strings.Contains(err.Error(), "bug") || strings.Contains(err.Error(), "dereference") {
				t.Error(err)
			}
			err = applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("_dmarc")}, Add: []string{"x"}})
			if k := KindOf(err); k != UnknownOutcome && k != Unreachable {
				t.Error(err)
			}
		})
	}
}

// changes makes n changes of names of their own.
func (a awsZone) changes(n int) (changes []Change) {
	for i := range n {
		changes = append(changes, Change{Seen: RRset{Key: a.txt(fmt.Sprintf("n%03d", i))}, Add: []string{fmt.Sprintf("value %d", i)}, TTL: time.Hour})
	}
	return changes
}

func kinds(errs []error) (got []Kind) {
	for _, err := range errs {
		got = append(got, KindOf(err))
	}
	return got
}

// One change that is refused, or that somebody else was faster than, does not stop the others.
func TestRoute53Bisection(t *testing.T) {
	for _, short := range []bool{false, true} {
		a := startRoute53(t, func(c *fake.Config) { c.ShortErrors = short })
		z, changes := a.open(), a.changes(16)
		a.foreign("n003", 300, `"theirs"`)                                                // outrun
		changes[9].Add = []string{strings.Repeat("x", 3995)}                              // too long by its quotes
		changes[10].Seen.Key, changes[10].Add = a.key("n003", TypeCNAME), []string{"a.b"} // a CNAME beside others
		changes[12] = Change{}                                                            // nothing
		changes[13].Add = []string{strings.Repeat("x", 4001)}                             // not even sent
		errs := z.Apply(t.Context(), changes...)
		want := map[int]Kind{3: Changed, 9: Refused, 10: Refused, 13: Invalid}
		for i, kind := range kinds(errs) {
			if kind != want[i] {
				t.Errorf("%d: %v, want %q", i, errs[i], want[i])
			}
		}
		for i := range 16 {
			key := a.txt(fmt.Sprintf("n%03d", i))
			switch {
			case i == 3:
				a.stored(key, `"theirs"`)
			case i == 12 || want[i] != "" || i == 10:
				a.stored(key)
			default:
				a.stored(key, fmt.Sprintf(`"value %d"`, i))
			}
		}
		if writes := a.Calls(fake.ChangeResourceRecordSets); writes > 20 {
			t.Errorf("%d writes", writes)
		}
		if e, _ := errors.AsType[*Error](errs[3]); e.Op != "update TXT n003.zone.example" {
			t.Errorf("%v", errs[3])
		}
	}
}

// After an answer that says nothing about the batch itself, nothing more is sent.
func TestRoute53StopsWhereBisectionHelpsNobody(t *testing.T) {
	for name, c := range map[string]struct {
		fault       fake.Fault
		first, rest Kind
	}{
		"unknown outcome": {fake.Fault{Drop: true, Apply: true}, UnknownOutcome, Unreachable},
		"throttling":      {fake.Throttle("3"), RateLimited, RateLimited},
		"prior request":   {fake.Refuse(400, "PriorRequestNotComplete", ""), RateLimited, RateLimited},
		"keys":            {fake.Refuse(403, "AccessDenied", ""), Unauthorized, Unauthorized},
		"zone":            {fake.Refuse(404, "NoSuchHostedZone", ""), ZoneNotFound, ZoneNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			a := startRoute53(t)
			z, changes := a.open(), a.changes(8)
			a.foreign("n007", 300, `"theirs"`)
			// Refused, then the first half meets the fault.
			a.Fail(fake.ChangeResourceRecordSets, 1, fake.Refuse(400, "InvalidChangeBatch", "[no]"))
			a.Fail(fake.ChangeResourceRecordSets, 1, c.fault)
			errs := z.Apply(t.Context(), changes...)
			for i, kind := range kinds(errs) {
				if want := map[bool]Kind{true: c.first, false: c.rest}[i < 4]; kind != want {
					t.Errorf("%d: %v, want %s", i, errs[i], want)
				}
				if e, _ := errors.AsType[*Error](errs[i]); !strings.Contains(e.Op, fmt.Sprintf("n%03d", i)) {
					t.Errorf("%d: %v", i, errs[i])
				}
			}
			a.calls(0, 0, 2)
		})
	}
}

// Batches keep the limits of a request, in characters and in records.
func TestRoute53Batches(t *testing.T) {
	a := startRoute53(t)
	z := a.open()
	changes := a.changes(100)
	for i := range changes {
		changes[i].Add = []string{fmt.Sprintf("%d %s", i, strings.Repeat("x", 700))}
	}
	for i, err := range z.Apply(t.Context(), changes...) {
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	a.calls(0, 0, 3) // 71,000 characters

	changes = a.changes(4)
	for i := range changes {
		changes[i].Seen.Name = "r" + changes[i].Seen.Name
		for n := range 300 {
			changes[i].Add = append(changes[i].Add, fmt.Sprint(n))
		}
	}
	for i, err := range z.Apply(t.Context(), changes...) {
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	a.calls(0, 0, 2)
}

// One zone's changes go one after the other, as Route 53 wants them.
func TestRoute53OneChangeAtATime(t *testing.T) {
	a := startRoute53(t, func(c *fake.Config) {
		c.OneAtATime = true
		c.Before = func(action string) {
			if action == fake.Applying {
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	z := a.open(byName)
	done := make(chan error)
	for _, change := range a.changes(8) {
		go func() { done <- applyOne(t.Context(), z, change) }()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	// Who waits for the turn does not wait beyond the time-out.
	z.(*route53Zone).turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	wantKind(t, applyOne(ctx, z, Change{Seen: RRset{Key: a.txt("late")}, Add: []string{"x"}}), Unreachable)
}
