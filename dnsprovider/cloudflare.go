package dnsprovider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// CloudflareConfig is how to reach a zone at Cloudflare.
type CloudflareConfig struct {
	Token string // API token with the right DNS Edit on the zone
	Zone  string // apex of the zone

	// ZoneID is the zone's identifier. Empty: found by name, once. Needed where the token sees
	// several zones of one name.
	ZoneID string

	// Endpoint is the base URL of the API. Default https://api.cloudflare.com/client/v4. As the
	// token goes there, it must be https, except for a loopback address.
	Endpoint string

	// Timeout bounds one call of the API, connection included. Default 10 s.
	Timeout time.Duration

	// BatchSize is how many records one call may change. Default 200, which every plan allows;
	// paid plans allow 3,500.
	BatchSize int

	// Dial connects to the endpoint; nil is a plain net.Dialer. The place to keep a user's
	// configuration from reaching addresses that it should not. No proxy is used.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Wrap returns what the calls go through, given what makes them; nil adds nothing. The place to
	// pace and count calls. An *Error that it returns is taken for one that nothing was sent with.
	Wrap func(http.RoundTripper) http.RoundTripper
}

const (
	cloudflareEndpoint         = "https://api.cloudflare.com/client/v4"
	defaultCloudflareTimeout   = 10 * time.Second
	defaultCloudflareBatchSize = 200
)

// The TTLs of https://developers.cloudflare.com/dns/manage-dns-records/reference/ttl
const (
	cloudflareMinTTL  = time.Minute
	cloudflareMaxTTL  = 24 * time.Hour
	cloudflareAutoTTL = 5 * time.Minute // with which an automatic one is served
)

// NewCloudflare returns a zone at Cloudflare. It connects to nothing yet.
//
// libdns/cloudflare v0.2.2 is not used: it swallows errors when it deletes TXT records,
// SetRecords overwrites whatever single record it finds and fails where there are several, it
// reads whole zones 100 records at a time, one malformed record fails the read, and neither
// batches nor changes by a record's id are to be had.
//
// Cloudflare has no compare-and-swap: what somebody else writes to one of our records between
// Read and Apply is overwritten. A record that is gone by then is not made anew, and what
// stands beside ours is never touched.
func NewCloudflare(cfg CloudflareConfig) (Zone, error) {
	z := &cloudflareZone{
		token:     strings.TrimSpace(cfg.Token), // files in Secrets like to end in a newline
		apex:      cloudflareName(cfg.Zone),
		givenID:   cfg.ZoneID,
		timeout:   cmp.Or(cfg.Timeout, defaultCloudflareTimeout),
		batchSize: cmp.Or(cfg.BatchSize, defaultCloudflareBatchSize),
	}
	z.transport = cloudflareTransport(cfg.Dial, z.timeout)
	if cfg.Wrap != nil {
		z.transport = cfg.Wrap(z.transport)
	}
	endpoint, err := url.Parse(strings.TrimSuffix(cmp.Or(cfg.Endpoint, cloudflareEndpoint), "/"))
	if err == nil {
		z.endpoint, z.server = endpoint.String(), endpoint.Host
		err = z.validate(endpoint)
	} else {
		err = errors.New("endpoint: not a URL") // its text could hold a password
	}
	if err != nil {
		return nil, &Error{Kind: Invalid, Op: "configure cloudflare", Server: z.server, Err: err}
	}
	return z, nil
}

func (z *cloudflareZone) validate(endpoint *url.URL) error {
	host, _ := netip.ParseAddr(endpoint.Hostname())
	switch {
	case endpoint.Host == "" || endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "":
		return errors.New("endpoint: not a plain base URL, such as " + cloudflareEndpoint)
	case endpoint.Scheme != "https" && !(endpoint.Scheme == "http" && host.IsLoopback()):
		return errors.New("endpoint: not https, which keeps the token secret on its way")
	}
	if _, ok := dns.IsDomainName(z.apex); !ok || z.apex == "" {
		return fmt.Errorf("zone: %q is not a domain name, such as example.com", z.apex)
	}
	if z.givenID != "" && !isCloudflareID(z.givenID) {
		return fmt.Errorf("zone id: %q is not an identifier as the zone's overview shows it", z.givenID)
	}
	if z.token == "" || strings.ContainsFunc(z.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("token: not an API token, as Cloudflare shows it once when it is made") // never the token itself
	}
	if z.timeout < 0 {
		return fmt.Errorf("timeout: %v is negative", z.timeout)
	}
	if z.batchSize < 0 {
		return fmt.Errorf("batch size: %d is negative", z.batchSize)
	}
	return nil
}

// isCloudflareID reports whether an identifier can stand in a URL and in a handle. Cloudflare says
// of them only that they have at most 32 characters.
func isCloudflareID(id string) bool {
	return id != "" && len(id) <= 32 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

type cloudflareZone struct {
	token     string
	apex      string
	givenID   string
	endpoint  string
	server    string
	timeout   time.Duration
	batchSize int
	transport http.RoundTripper

	mu sync.Mutex // guards id, and is held for no call
	id string     // "" until the zone is found
}

// Read asks for the records of all keys in one call wherever the answer fits into one, see list.
func (z *cloudflareZone) Read(ctx context.Context, keys ...Key) []Reading {
	readings := make([]Reading, len(keys))
	var names []string
	for i, key := range keys {
		if err := key.check(z.apex); err != nil {
			readings[i].Err = z.complete(err, "read", key)
			continue
		}
		names = append(names, cloudflareName(key.Name))
	}
	if len(names) == 0 {
		return readings
	}
	records, err := z.records(ctx, names)
	for i, key := range keys {
		if readings[i].Err != nil {
			continue
		}
		set, err := RRset{}, err
		if err == nil {
			set, err = cloudflareRRset(key, z.apex, records)
		}
		if err != nil {
			set, err = RRset{}, z.complete(err, "read", key)
		}
		readings[i] = Reading{set, err}
	}
	return readings
}

// Apply sends all changes as one batch, which Cloudflare carries out as one transaction, and
// makes it smaller only where Cloudflare refuses it for what it holds, see delivery.
func (z *cloudflareZone) Apply(ctx context.Context, changes ...Change) []error {
	d := delivery{zone: z, ctx: ctx, errs: make([]error, len(changes)), splits: maxSplits}
	var orders []order
	for _, unit := range units(changes) {
		o, err := z.orderOf(unit, changes)
		if err != nil {
			for _, i := range unit {
				d.errs[i] = err
			}
			continue
		}
		orders = append(orders, o)
	}
	if len(orders) > 0 {
		d.deliver(orders)
	}
	for i, err := range d.errs {
		if err != nil {
			d.errs[i] = z.complete(err, "update", changes[i].Seen.Key)
		}
	}
	return d.errs
}

// Capabilities counts changes as one record each, the least that they can be.
func (z *cloudflareZone) Capabilities() Capabilities {
	return Capabilities{MinTTL: cloudflareMinTTL, MaxChanges: z.batchSize}
}

// complete fills in what was attempted and where.
func (z *cloudflareZone) complete(err error, verb string, key Key) error {
	return completed(err, verb+" "+key.String(), z.server)
}
