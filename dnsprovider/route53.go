package dnsprovider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/route53"
)

// Route53Config is how to reach a public hosted zone of Amazon Route 53.
type Route53Config struct {
	Zone   string // apex of the zone
	ZoneID string // of the hosted zone; "": the one public zone with this apex, found once

	// The keys of the identity that changes the zone. They are taken as they are: an empty field is
	// an error, and is never made up for from the process's own environment.
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // with temporary keys only

	// Ambient, instead of keys, uses the identity that the process itself has: environment, shared
	// files, a web identity, the container's or the machine's role, in the order of the AWS SDKs.
	Ambient bool

	// RoleARN is the role that this identity assumes and that changes the zone; "": none, the identity
	// changes it itself. ExternalID is what the role's trust policy may demand to be told; "": nothing.
	RoleARN    string
	ExternalID string
	// Session is shared by zones that are reached with one identity, role, external id and endpoint, so
	// that the role is assumed once for all of them; nil: the zone has its own.
	Session *RoleSession

	// Hosted is shared by zones that are reached with one identity, role and endpoint, so that a search
	// for one serves others; nil: the zone looks for itself.
	Hosted *HostedZones

	Region string // signs the requests; default us-east-1, where Route 53 is
	// Endpoint is the URL of the API, and, for a role, of AWS STS too: with it, nothing else is called.
	// "": AWS's own for the region.
	Endpoint string

	// Timeout bounds one Read or Apply, all its calls included. Default 10 s.
	Timeout time.Duration

	// Dial connects to the API; nil is a plain net.Dialer. The place to keep a user's
	// configuration from reaching addresses that it should not.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Wrap returns what the calls go through, given what makes them; nil adds nothing. The place to
	// pace and count calls. An *Error that it returns is taken for one that nothing was sent with.
	Wrap func(http.RoundTripper) http.RoundTripper
	// WrapSTS is the same for calls of AWS STS, which has limits of its own.
	WrapSTS func(http.RoundTripper) http.RoundTripper
}

const (
	defaultRoute53Timeout = 10 * time.Second
	defaultRoute53Region  = "us-east-1"

	// route53Changes: with more, a batch that is refused takes too many calls to bisect. Each is a
	// DELETE and a CREATE, and 1000 records is the limit of a request.
	route53Changes = 100
)

// NewRoute53 returns a hosted zone of Route 53. It connects to nothing yet. The identity needs
// route53:ListResourceRecordSets and route53:ChangeResourceRecordSets on the zone, and, without
// a ZoneID, route53:ListHostedZonesByName. With a RoleARN it needs sts:AssumeRole on the role, and the
// role needs the others.
//
// It uses the API itself and not libdns/route53 (v1.6.2), which reads whole zones, replaces an
// RRset whatever it holds by now (UPSERT), an alias included, takes empty keys for a wish to use
// the process's own identity, and ends the process when the AWS configuration is bad.
func NewRoute53(cfg Route53Config) (Zone, error) {
	z, err := newRoute53(cfg)
	if err != nil {
		return nil, &Error{Kind: Invalid, Op: "configure route53", Server: cmp.Or(cfg.Endpoint, route53Server), Err: err}
	}
	return z, nil
}

// route53Server stands in errors for AWS's own endpoint.
const route53Server = "Route 53"

type route53Zone struct {
	api     *route53.Client
	http    *http.Client
	server  string
	apex    string
	timeout time.Duration
	role    *RoleSession // nil: the identity changes the zone itself

	// turn is held by the one Apply that is writing: of two changes of one zone at the same time
	// Route 53 refuses one (PriorRequestNotComplete).
	turn chan struct{}

	hosted *HostedZones

	given bool // id is the configuration's
	mu    sync.Mutex
	id    string // of the hosted zone; "": not found yet
}

func newRoute53(cfg Route53Config) (*route53Zone, error) {
	cfg.Region = cmp.Or(cfg.Region, defaultRoute53Region)
	cfg.ZoneID = strings.TrimPrefix(cfg.ZoneID, hostedZonePrefix)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	identity, err := cfg.identity()
	if err != nil {
		return nil, err
	}
	z := &route53Zone{
		http:    route53HTTP(cfg.Dial),
		server:  cmp.Or(cfg.Endpoint, route53Server),
		apex:    Canonical(cfg.Zone),
		timeout: cmp.Or(cfg.Timeout, defaultRoute53Timeout),
		turn:    make(chan struct{}, 1),
		hosted:  cmp.Or(cfg.Hosted, &HostedZones{}),
		given:   cfg.ZoneID != "",
		id:      cfg.ZoneID,
	}
	if cfg.Wrap != nil {
		z.http.Transport = cfg.Wrap(z.http.Transport)
	}
	if cfg.RoleARN != "" {
		z.role = cmp.Or(cfg.Session, &RoleSession{})
		identity = z.role.of(func() aws.CredentialsProvider { return newAWSRole(cfg, identity, z.timeout) })
	}
	options := route53.Options{
		Region:      cfg.Region,
		Credentials: identity,
		HTTPClient:  bounded{z.http},
		Retryer:     aws.NopRetryer{}, // a change must not be sent twice, and who waits is the caller's choice
	}
	if cfg.Endpoint != "" {
		options.BaseEndpoint = &cfg.Endpoint
	}
	z.api = route53.New(options)
	return z, nil
}

func (cfg Route53Config) validate() error {
	if apex := Canonical(cfg.Zone); !plainName(apex) {
		return fmt.Errorf("zone: %q is not a domain name, such as example.com", apex)
	}
	if !every(cfg.ZoneID, isUpperOrDigit) || len(cfg.ZoneID) > 32 {
		return fmt.Errorf("zone id: %q is not the id of a hosted zone, such as Z1D633PJN98FT9", cfg.ZoneID)
	}
	if !every(cfg.Region, isRegion) || len(cfg.Region) > 63 {
		return fmt.Errorf("region: %q is not the name of a region, such as %s", cfg.Region, defaultRoute53Region)
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
			return errors.New("endpoint: not a URL such as https://route53.amazonaws.com")
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("endpoint: has more than scheme, host, port and path")
		}
	}
	if cfg.Timeout < 0 {
		return fmt.Errorf("timeout: %v is negative", cfg.Timeout)
	}
	return cfg.validateRole()
}

// identity returns who signs the requests. Errors never hold a key.
func (cfg Route53Config) identity() (aws.CredentialsProvider, error) {
	if cfg.Ambient {
		if cfg.AccessKeyID != "" || cfg.SecretAccessKey != "" || cfg.SessionToken != "" {
			return nil, errors.New("ambient: keys are set too, and only one of both can be meant")
		}
		// It reads the environment and files, and connects to nothing.
		found, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(cfg.Region))
		if err != nil {
			return nil, explained{"ambient: the process's own AWS configuration cannot be used: check its AWS_ environment variables and shared files", err}
		}
		return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			keys, err := found.Credentials.Retrieve(ctx)
			if err != nil {
				return keys, noIdentity{err}
			}
			return keys, nil
		}), nil
	}
	for field, value := range map[string]string{"access key id": cfg.AccessKeyID, "secret access key": cfg.SecretAccessKey} {
		if value == "" {
			return nil, fmt.Errorf("%s: empty", field)
		}
	}
	if !every(cfg.AccessKeyID, isWord) || len(cfg.AccessKeyID) > 128 {
		return nil, errors.New("access key id: holds something else than letters and digits, such as a line end")
	}
	if !every(cfg.SecretAccessKey, isGraphic) {
		return nil, errors.New("secret access key: holds white space or a control character, such as a line end")
	}
	if !every(cfg.SessionToken, isGraphic) {
		return nil, errors.New("session token: holds white space or a control character, such as a line end")
	}
	keys := aws.Credentials{AccessKeyID: cfg.AccessKeyID, SecretAccessKey: cfg.SecretAccessKey, SessionToken: cfg.SessionToken}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil }), nil
}

// noIdentity is the failure to get keys for the process's own identity.
type noIdentity struct{ cause error }

func (n noIdentity) Error() string { return "no identity: " + n.cause.Error() }
func (n noIdentity) Unwrap() error { return n.cause }

func every(text string, ok func(b byte) bool) bool {
	for i := range len(text) {
		if !ok(text[i]) {
			return false
		}
	}
	return true
}

func isUpperOrDigit(b byte) bool { return 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' }
func isLowerOrDigit(b byte) bool { return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' }
func isRegion(b byte) bool       { return isLowerOrDigit(b) || b == '-' }
func isWord(b byte) bool         { return isLowerOrDigit(b) || isUpperOrDigit(b) || b == '_' }
func isGraphic(b byte) bool      { return '!' <= b && b <= '~' }

// Capabilities says that there is a compare-and-swap: DELETE of what was seen and CREATE of what
// is wanted, in one batch.
func (z *route53Zone) Capabilities() Capabilities {
	return Capabilities{CompareAndSwap: true, MaxChanges: route53Changes}
}

func (z *route53Zone) check(key Key) error {
	if err := key.check(z.apex); err != nil {
		return err
	}
	// An escape means one thing in a zone file (RFC 1035 §5.1, decimal) and another at Route 53 (octal).
	if !plainName(strings.TrimPrefix(key.Name, "*.")) {
		return failure(Invalid, nil, "the name has other characters than letters, digits, hyphen and underscore")
	}
	return nil
}

func (z *route53Zone) complete(err error, verb string, key Key) error {
	return completed(err, verb+" "+key.String(), z.server)
}
