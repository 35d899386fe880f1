package dnsprovider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	fake "github.com/maildomain/maildomain-operator/test/fakes/route53"
)

const (
	roleARN    = "arn:aws:iam::123456789012:role/dns"
	externalID = "of-zone.example"
)

// startRole starts an account in which the keys may do nothing but assume the role.
func startRole(t *testing.T) awsZone {
	t.Helper()
	a := startRoute53(t, func(c *fake.Config) { c.RolesOnly = true })
	a.SetRole(roleARN, fake.Role{Trusts: []string{accessKeyID}, ExternalID: externalID})
	return a
}

func throughRole(c *Route53Config) { c.RoleARN, c.ExternalID = roleARN, externalID }

func (a awsZone) assumed(want int) {
	a.t.Helper()
	if got := a.Calls(fake.AssumeRole); got != want {
		a.t.Errorf("AssumeRole was called %d times, want %d", got, want)
	}
}

// A role is assumed once, for as long as every role allows, and tells who we are.
func TestRoute53Role(t *testing.T) {
	a := startRole(t)
	session := &RoleSession{}
	shared := func(c *Route53Config) { c.Session = session }
	var zones sync.WaitGroup
	for i := range 4 {
		z := a.open(throughRole, shared)
		zones.Go(func() {
			key := a.txt(fmt.Sprintf("t%d", i))
			seen, err := readOne(t.Context(), z, key)
			if err == nil {
				err = applyOne(t.Context(), z, Change{Seen: seen, Add: []string{"x"}, TTL: time.Hour})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	zones.Wait()
	a.stored(a.txt("t3"), `"x"`)
	want := []fake.Assumption{{AccessKeyID: accessKeyID, RoleARN: roleARN, SessionName: "maildomain-operator", ExternalID: externalID, Duration: time.Hour}}
	if got := a.Assumptions(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	a.read(a.open(throughRole), a.txt("t0"))
	a.assumed(2) // a session of its own

	a.SetRole(roleARN, fake.Role{Trusts: []string{accessKeyID}})
	a.read(a.open(func(c *Route53Config) { c.RoleARN = roleARN }), a.txt("t0"))
	if got := a.Assumptions()[2]; got.ExternalID != "" {
		t.Errorf("%+v", got)
	}
}

// A session that is about to end is renewed before, and one that was ended is by the next try.
func TestRoute53RoleRenewal(t *testing.T) {
	a := startRole(t)
	z := a.open(throughRole)
	a.LastFor(roleRenewal + time.Minute)
	a.read(z, a.txt("x"))
	a.read(z, a.txt("x"))
	a.assumed(1)

	a.EndSessions()
	_, err := readOne(t.Context(), z, a.txt("x"))
	wantKind(t, err, Unauthorized)
	if !strings.Contains(err.Error(), "spec.route53.roleARN") {
		t.Error(err)
	}
	a.LastFor(roleRenewal - time.Minute)
	a.read(z, a.txt("x"))
	a.assumed(2)
	a.LastFor(0)
	a.read(z, a.txt("x")) // it would have gone on for minutes
	a.assumed(3)
	a.read(z, a.txt("x"))
	a.assumed(3)

	// Where the new one is not given any more, that is told.
	a.SetRole(roleARN, fake.Role{})
	a.EndSessions()
	for range 2 {
		_, err = readOne(t.Context(), z, a.txt("x"))
		wantKind(t, err, Unauthorized)
	}
	if !strings.Contains(err.Error(), "trust policy") {
		t.Error(err)
	}
}

// Whatever STS answers, nothing was changed, and Route 53 is not asked.
func TestRoute53RoleFaults(t *testing.T) {
	const no = "the other side's own words"
	for name, c := range map[string]struct {
		fault fake.Fault
		want  Kind
		says  string
	}{
		"AccessDenied":             {fake.Refuse(403, "AccessDenied", no), Unauthorized, "spec.route53.roleARN"},
		"InvalidClientTokenId":     {fake.Refuse(403, "InvalidClientTokenId", no), Unauthorized, "access key"},
		"SignatureDoesNotMatch":    {fake.Refuse(403, "SignatureDoesNotMatch", no), Unauthorized, "secret access key"},
		"ExpiredToken":             {fake.Refuse(403, "ExpiredTokenException", no), Unauthorized, "temporary keys"},
		"RegionDisabledException":  {fake.Refuse(403, "RegionDisabledException", no), Refused, "spec.route53.region"},
		"ValidationError":          {fake.Refuse(400, "ValidationError", no), Refused, "spec.route53.roleARN"},
		"Throttling":               {fake.Throttle("7"), RateLimited, "spec.route53.roleARN"},
		"HTTP 429":                 {fake.Fault{Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: no}, RateLimited, "AWS STS"},
		"Throttling said with 503": {fake.Refuse(503, "Throttling", no), Unreachable, "AWS STS"},
		"AccessDenied with 500":    {fake.Refuse(500, "AccessDenied", no), Unreachable, "AWS STS"},
		"InvalidClient… with 500":  {fake.Refuse(500, "InvalidClientTokenId", no), Unreachable, "AWS STS"},
		"InternalFailure":          {fake.Refuse(500, "InternalFailure", no), Unreachable, "AWS STS"},
		"HTML 502":                 {fake.BadGateway(), Unreachable, "AWS STS"},
		"HTML 403":                 {fake.Fault{Status: 403, Body: "<html>" + no + "</html>"}, Unreachable, "AWS STS"},
		"HTML 200":                 {fake.Hello(), Unreachable, "AWS STS"},
		"HTTP 200 and nothing":     {fake.Fault{}, Unreachable, "AWS STS"},
		"half a session":           {fake.Fault{Body: "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"}, Unreachable, "AWS STS"},
		"a redirect":               {fake.Fault{Status: 307, Header: map[string]string{"Location": "/elsewhere"}}, Unreachable, "AWS STS"},
		"malformed":                {fake.Malformed(), Unreachable, "AWS STS"},
		"an endless answer":        {fake.Fault{Huge: true, Body: "<a>"}, Unreachable, "AWS STS"},
		"dropped":                  {fake.Fault{Drop: true}, Unreachable, "AWS STS"},
		"no answer":                {fake.Fault{Hang: true}, Unreachable, "AWS STS"},
	} {
		t.Run(name, func(t *testing.T) {
			a := startRole(t)
			timeout := patience
			if c.fault.Hang {
				timeout = 400 * time.Millisecond
			}
			z := a.open(throughRole, func(cfg *Route53Config) { cfg.Timeout = timeout })
			a.Fail(fake.AssumeRole, 99, c.fault)
			var texts []string
			for range 2 {
				_, err := readOne(t.Context(), z, a.txt("x"))
				wantKind(t, err, c.want)
				werr := applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("x")}, Add: []string{"ours"}, TTL: time.Hour})
				wantKind(t, werr, c.want)
				texts = append(texts, err.Error()+werr.Error())
				e, _ := errors.AsType[*Error](err)
				if wanted := c.want == RateLimited; (e.RetryAfter == 7*time.Second) != wanted {
					t.Errorf("come back after %v", e.RetryAfter)
				}
			}
			if texts[0] != texts[1] && !c.fault.Huge {
				t.Errorf("the text changes:\n%s\n%s", texts[0], texts[1])
			}
			if strings.Contains(texts[0], no) || strings.Contains(texts[0], "html") || !strings.Contains(texts[0], c.says) || len(texts[0]) > 1000 {
				t.Error(texts[0])
			}
			a.calls(0, 0, 0)
			a.Heal()
			a.read(z, a.txt("x"))
		})
	}
}

func TestRoute53RoleDenied(t *testing.T) {
	a := startRole(t)
	for name, change := range map[string]func(*Route53Config){
		"no such role":           func(c *Route53Config) { c.RoleARN += "s" },
		"another external id":    func(c *Route53Config) { c.ExternalID += "s" },
		"no external id":         func(c *Route53Config) { c.ExternalID = "" },
		"a key nobody knows":     func(c *Route53Config) { c.AccessKeyID = "AKIDNOBODY" },
		"another secret":         func(c *Route53Config) { c.SecretAccessKey = "another" },
		"another account's role": func(c *Route53Config) { c.RoleARN = "arn:aws:iam::999999999999:role/dns" },
	} {
		_, err := readOne(t.Context(), a.open(throughRole, change), a.txt("x"))
		if KindOf(err) != Unauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.calls(0, 0, 0)
	_, err := readOne(t.Context(), a.open(), a.txt("x"))
	wantKind(t, err, Unauthorized) // the keys themselves may do nothing

	a.Deny(hostedZone, true)
	_, err = readOne(t.Context(), a.open(throughRole), a.txt("x"))
	wantKind(t, err, Unauthorized)
	if !strings.Contains(err.Error(), "spec.route53.roleARN") || !strings.Contains(err.Error(), "route53:ListResourceRecordSets") {
		t.Error(err)
	}
}

// STS is reached through the same guard, and beside an endpoint nothing else is.
func TestRoute53RoleConnections(t *testing.T) {
	forbidden := errors.New("forbidden")
	var dialled []string
	guarded := func(c *Route53Config) {
		c.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, forbidden
		}
	}
	a := startRole(t)
	for endpoint, want := range map[string]string{"": "sts.eu-west-1.amazonaws.com:443", a.URL(): strings.TrimPrefix(a.URL(), "http://")} {
		dialled = nil
		z := a.open(throughRole, guarded, func(c *Route53Config) { c.Endpoint, c.Region = endpoint, "eu-west-1" })
		for _, err := range []error{
			applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("x")}, Add: []string{"x"}, TTL: time.Hour}),
			z.Read(t.Context(), a.txt("x"))[0].Err,
		} {
			wantKind(t, err, Unreachable)
			if !errors.Is(err, forbidden) {
				t.Errorf("does not wrap the guard's error: %v", err)
			}
		}
		if len(slices.Compact(dialled)) != 1 || dialled[0] != want {
			t.Errorf("dialled %q, want %q", dialled, want)
		}
	}

	// With a session, a change that finds no connection was not sent.
	connections := 0
	z := a.open(throughRole, func(c *Route53Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if connections++; connections > 1 {
				return nil, forbidden
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("x")}, Add: []string{"x"}, TTL: time.Hour}), Unreachable)
	a.assumed(1)
}

type seenBy func(*http.Request) (*http.Response, error)

func (f seenBy) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The calls of STS go their own way, where they are counted apart; a panic there is told.
func TestRoute53RoleTransport(t *testing.T) {
	a := startRole(t)
	var sts, route53 int
	counting := func(n *int) func(http.RoundTripper) http.RoundTripper {
		return func(next http.RoundTripper) http.RoundTripper {
			return seenBy(func(r *http.Request) (*http.Response, error) { *n++; return next.RoundTrip(r) })
		}
	}
	z := a.open(throughRole, func(c *Route53Config) { c.Wrap, c.WrapSTS = counting(&route53), counting(&sts) })
	a.read(z, a.txt("x"))
	a.read(z, a.txt("x"))
	if sts != 1 || route53 != 2 {
		t.Errorf("%d calls of STS, %d of Route 53", sts, route53)
	}
	for name, c := range map[string]struct {
		way  func(*http.Request) (*http.Response, error)
		want Kind
	}{
		"a panic":   {func(*http.Request) (*http.Response, error) { panic("nil dereference, say") }, Unreachable},
		"held back": {func(*http.Request) (*http.Response, error) { return nil, &Error{Kind: RateLimited, Err: errHeldBack} }, RateLimited},
		"an error":  {func(*http.Request) (*http.Response, error) { return nil, errors.New("heard") }, Unreachable},
	} {
		z := a.open(throughRole, func(cfg *Route53Config) {
			cfg.WrapSTS = func(http.RoundTripper) http.RoundTripper { return seenBy(c.way) }
		})
		err := applyOne(t.Context(), z, Change{Seen: RRset{Key: a.txt("x")}, Add: []string{"x"}, TTL: time.Hour})
		if KindOf(err) != c.want || strings.Contains(err.Error(), "dereference") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A caller that leaves while STS is silent is not held up.
func TestRoute53RoleCallerLeaves(t *testing.T) {
	a := startRole(t)
	z := a.open(throughRole)
	a.Fail(fake.AssumeRole, 1, fake.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err := applyOne(ctx, z, Change{Seen: RRset{Key: a.txt("x")}, Add: []string{"x"}, TTL: time.Hour})
	wantKind(t, err, Unreachable)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.calls(0, 0, 0)
}

// The role is assumed by the identity that is meant, and by no other.
func TestRoute53RoleIdentity(t *testing.T) {
	a := startRole(t)
	t.Setenv("AWS_ACCESS_KEY_ID", accessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
	_, err := readOne(t.Context(), a.open(throughRole, func(c *Route53Config) { c.AccessKeyID = "AKIDTENANT" }), a.txt("x"))
	wantKind(t, err, Unauthorized)
	if got := a.Assumptions(); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	_, err = NewRoute53(Route53Config{Zone: "zone.example", RoleARN: roleARN, Endpoint: a.URL()})
	wantKind(t, err, Invalid)

	a.read(a.open(throughRole, func(c *Route53Config) { c.Ambient, c.AccessKeyID, c.SecretAccessKey = true, "", "" }), a.txt("x"))
	if got := a.Assumptions(); len(got) != 1 || got[0].AccessKeyID != accessKeyID {
		t.Errorf("%+v", got)
	}
}
