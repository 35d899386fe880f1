package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/lease"
)

// Accounts opens zones, and keeps them: what they have found out (the id of a zone), their
// connections, and the pace that all calls with one credential keep together.
type Accounts struct {
	Clock   clock.PassiveClock
	Timeout time.Duration // of one call
	// Lease lets writes through only while this process leads; nil: it has no others beside it.
	Lease *lease.Guard
	// Ambient lets ClusterDNSProviders of Route 53 use the operator's own identity at AWS.
	Ambient bool
	// Called is told of each call to an API: of which type of provider, or callsSTS; nil: nobody is.
	Called func(api string)
	// Operated is told of each operation on a zone, by type of provider: read or apply, how long it took, and
	// its errors, one for each key or change; nil: nobody is.
	Operated func(provider, operation string, took time.Duration, errs []error)

	// Open opens the zone at apex in place of the adapter for the provider's type; nil: that does.
	Open func(apex string) (dnsprovider.Zone, error)

	around func(dnsprovider.Zone) dnsprovider.Zone // tests: what a zone is seen through

	mu       sync.Mutex
	accounts map[[sha256.Size]byte]*account
	swept    time.Time
}

// account is what is shared by the zones that are reached with one credential in one way.
type account struct {
	used      time.Time
	pace      *dnsprovider.Pace           // nil: none
	transport http.RoundTripper           // of all its zones; nil before the first
	role      dnsprovider.RoleSession     // of all its zones, where the spec names a role
	hosted    dnsprovider.HostedZones     // of Route 53
	zones     map[string]dnsprovider.Zone // by apex and how it is reached
}

const (
	// linger is how long a wish waits for others that can go with it.
	linger = 20 * time.Millisecond
	// patience is how long a worker waits for its turn; beyond, the MailDomain comes back later.
	patience = 2 * time.Second
	// idle is how long an account is kept that nobody uses.
	idle = time.Hour
)

// zone returns the zone at apex. dial is how a user's configuration may reach its target; nil:
// anywhere.
func (a *Accounts) zone(spec *v1alpha1.DNSProviderSpec, secrets []string, apex string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (dnsprovider.Zone, error) {
	if a.Open != nil {
		return a.Open(apex)
	}
	// Who we are at the provider: of two objects that name one credential in two Secrets, it is one. A
	// role is somebody else than those who assume it.
	var role, externalID string
	if spec.Route53 != nil {
		role, externalID = spec.Route53.RoleARN, spec.Route53.ExternalID
	}
	who, err := json.Marshal(struct {
		Type             v1alpha1.ProviderType
		Endpoint         string
		Secrets          []string
		Role, ExternalID string
		RateLimit        *v1alpha1.RateLimit
		Anywhere         bool
	}{spec.Type(), spec.Endpoint, secrets, role, externalID, spec.RateLimit, dial == nil})
	if err != nil {
		return nil, err
	}
	where, err := json.Marshal(reach(spec))
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Clock.Now()
	a.sweep(now)
	if a.accounts == nil {
		a.accounts = map[[sha256.Size]byte]*account{}
	}
	key := sha256.Sum256(who) // and not the credentials themselves
	known, ok := a.accounts[key]
	if !ok {
		known = &account{pace: a.pace(spec), hosted: dnsprovider.HostedZones{Now: a.Clock.Now}, zones: map[string]dnsprovider.Zone{}}
		a.accounts[key] = known
	}
	known.used = now
	at := apex + " " + string(where)
	if zone, ok := known.zones[at]; ok {
		return zone, nil
	}
	zone, err := backends[spec.Type()].open(opening{
		spec: spec, secrets: secrets, zone: apex, timeout: a.Timeout, begin: a.Lease.Begin, dial: dial,
		wrap:    func(next http.RoundTripper) http.RoundTripper { return a.wrap(known, spec.Type(), next) },
		session: &known.role,
		hosted:  &known.hosted,
		wrapSTS: func(next http.RoundTripper) http.RoundTripper { return a.counted(callsSTS, next) },
	})
	if err != nil {
		return nil, err
	}
	if a.Operated != nil {
		zone = timed{zone, a, string(spec.Type())}
	}
	if known.pace != nil {
		zone = known.pace.Zone(zone)
	}
	if zone.Capabilities().MaxChanges > 1 {
		zone = dnsprovider.Coalesce(zone, linger)
	}
	if a.around != nil {
		zone = a.around(zone)
	}
	known.zones[at] = zone
	return zone, nil
}

// reach leaves of a spec what says how a zone is reached.
func reach(spec *v1alpha1.DNSProviderSpec) v1alpha1.DNSProviderSpec {
	return v1alpha1.DNSProviderSpec{Cloudflare: spec.Cloudflare, Route53: spec.Route53, RFC2136: spec.RFC2136, Desec: spec.Desec}
}

func (a *Accounts) pace(spec *v1alpha1.DNSProviderSpec) *dnsprovider.Pace {
	b := backends[spec.Type()]
	if b.perMinute == 0 {
		return nil
	}
	perMinute, burst := b.perMinute, b.burst
	if limit := spec.RateLimit; limit != nil {
		perMinute, burst = float64(limit.RequestsPerMinute), int(limit.BurstOrDefault())
	}
	return dnsprovider.NewPace(perMinute/60, burst, patience, a.Clock.Now)
}

// wrap has all zones of an account share one transport, which keeps the pace and is counted.
func (a *Accounts) wrap(of *account, kind v1alpha1.ProviderType, next http.RoundTripper) http.RoundTripper {
	if of.transport == nil {
		of.transport = leased{a.Lease.Transport(a.counted(string(kind), next), a.Timeout)}
		if of.pace != nil {
			of.transport = of.pace.Transport(of.transport)
		}
	}
	return of.transport
}

// callsSTS are the calls of AWS STS, in which a role is assumed. They keep no pace of Route 53's, being
// one an hour for each account.
const callsSTS = "sts"

func (a *Accounts) counted(api string, next http.RoundTripper) http.RoundTripper {
	return counted{next, func() {
		if a.Called != nil {
			a.Called(api)
		}
	}}
}

// counted tells of each call.
type counted struct {
	next   http.RoundTripper
	called func()
}

// RoundTrip implements http.RoundTripper.
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.called()
	return c.next.RoundTrip(r)
}

// leased says of a write that was not made for want of the lease that nothing was changed.
type leased struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l leased) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if errors.Is(err, lease.ErrNotHeld) {
		err = &dnsprovider.Error{Kind: dnsprovider.Unreachable, Err: err}
	}
	return response, err
}

// timed tells of each operation.
type timed struct {
	dnsprovider.Zone
	accounts *Accounts
	provider string
}

// Read implements dnsprovider.Zone.
func (t timed) Read(ctx context.Context, keys ...dnsprovider.Key) []dnsprovider.Reading {
	began := t.accounts.Clock.Now()
	readings := t.Zone.Read(ctx, keys...)
	errs := make([]error, len(readings))
	for i, r := range readings {
		errs[i] = r.Err
	}
	t.accounts.Operated(t.provider, "read", t.accounts.Clock.Since(began), errs)
	return readings
}

// Apply implements dnsprovider.Zone.
func (t timed) Apply(ctx context.Context, changes ...dnsprovider.Change) []error {
	began := t.accounts.Clock.Now()
	errs := t.Zone.Apply(ctx, changes...)
	t.accounts.Operated(t.provider, "apply", t.accounts.Clock.Since(began), errs)
	return errs
}

// sweep forgets what nobody has used for long: credentials change, and MailDomains go.
func (a *Accounts) sweep(now time.Time) {
	if now.Sub(a.swept) < idle {
		return
	}
	a.swept = now
	maps.DeleteFunc(a.accounts, func(_ [sha256.Size]byte, known *account) bool { return now.Sub(known.used) >= idle })
}
