package dnsprovider

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const (
	// roleSessionName is who we are in the AWS account's logs.
	roleSessionName = "maildomain-operator"
	// roleDuration is the longest that every role allows, also one that is assumed by another role.
	roleDuration = time.Hour
	// roleRenewal is how long before its end a session is not used any more.
	roleRenewal = 5 * time.Minute
)

// What STS takes (AWS STS API Reference, AssumeRole).
var (
	roleForm       = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$`)
	externalIDForm = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
)

func (cfg Route53Config) validateRole() error {
	switch {
	case cfg.RoleARN != "" && (!roleForm.MatchString(cfg.RoleARN) || len(cfg.RoleARN) > 2048):
		return errors.New("role: not the ARN of a role, such as arn:aws:iam::123456789012:role/dns")
	case cfg.ExternalID != "" && cfg.RoleARN == "":
		return errors.New("external id: set without a role to tell it to")
	case cfg.ExternalID != "" && (!externalIDForm.MatchString(cfg.ExternalID) || len(cfg.ExternalID) < 2 || len(cfg.ExternalID) > 1224):
		return errors.New("external id: not 2 to 1224 letters, digits and characters of _+=,.@:/-")
	}
	return nil
}

// RoleSession holds the temporary keys of an assumed role. They are asked for when they are first
// needed, and anew before they expire. The zero value is ready for use.
type RoleSession struct {
	mu   sync.Mutex
	keys *aws.CredentialsCache
}

// of returns the session's keys, got from the first role that it is of.
func (s *RoleSession) of(role func() aws.CredentialsProvider) aws.CredentialsProvider {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = aws.NewCredentialsCache(role(), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = roleRenewal })
	}
	return s.keys
}

// forget has the next call ask for new keys.
func (s *RoleSession) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.Invalidate()
}

// newAWSRole returns the role's temporary keys, got by the identity. STS is reached the same guarded
// way as Route 53. Errors of it are of kinds after which nothing was changed.
func newAWSRole(cfg Route53Config, identity aws.CredentialsProvider, timeout time.Duration) aws.CredentialsProvider {
	client := route53HTTP(cfg.Dial)
	if cfg.WrapSTS != nil {
		client.Transport = cfg.WrapSTS(client.Transport)
	}
	options := sts.Options{
		Region:      cfg.Region,
		Credentials: identity,
		HTTPClient:  bounded{client},
		Retryer:     aws.NopRetryer{}, // who waits is the caller's choice
	}
	if cfg.Endpoint != "" {
		options.BaseEndpoint = &cfg.Endpoint
	}
	return stscreds.NewAssumeRoleProvider(roleClient{sts.New(options), timeout}, cfg.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = roleSessionName, roleDuration
		if cfg.ExternalID != "" {
			o.ExternalID = &cfg.ExternalID
		}
	})
}

// roleClient makes the one call of STS.
type roleClient struct {
	api     *sts.Client
	timeout time.Duration // of a zone's Read or Apply
}

// AssumeRole implements stscreds.AssumeRoleAPIClient. All that wait for the session wait for this
// call, so it heeds none of their contexts; and a connection to STS is none that a change was sent
// on, which their contexts listen for. It takes half of their time, so that they hear why it fails.
func (c roleClient) AssumeRole(_ context.Context, in *sts.AssumeRoleInput, options ...func(*sts.Options)) (out *sts.AssumeRoleOutput, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout/2)
	defer cancel()
	err = call(ctx, func(ctx context.Context) (err error) {
		out, err = c.api.AssumeRole(ctx, in, options...)
		if err == nil && !complete(out.Credentials) {
			return errNotTheAPI
		}
		return err
	})
	if err != nil {
		return nil, roleError(err)
	}
	return out, nil
}

func complete(keys *types.Credentials) bool {
	return keys != nil && aws.ToString(keys.AccessKeyId) != "" && aws.ToString(keys.SecretAccessKey) != "" && aws.ToString(keys.SessionToken) != "" && keys.Expiration != nil
}

// roleError says what it means that a role was not assumed.
func roleError(err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	m, ok := errors.AsType[mishap](err)
	if !ok {
		m = mishap{cause: err, sent: true, panicked: true}
	}
	denied := notAccepted(m)
	switch {
	case denied != nil:
		return denied
	case m.status == http.StatusTooManyRequests || m.status < 500 && throttles(m.code):
		const text = "AWS STS, which gives the session of the role of spec.route53.roleARN, wants fewer requests (Throttling): nothing to do but wait; other users of the AWS account count too"
		return &Error{Kind: RateLimited, Err: explained{text, m}, RetryAfter: m.retryAfter}
	case m.status == 0 && !m.sent:
		return failure(Unreachable, err, "cannot connect to AWS STS for the role of spec.route53.roleARN: %s: check the endpoint, the region and the network policy", m.reason())
	case m.code == "" || m.status >= 500 || m.panicked:
		return failure(Unreachable, err, "no answer of AWS STS for the role of spec.route53.roleARN: %s", m.reason())
	}
	switch m.code {
	case "AccessDenied", "AccessDeniedException", "NotAuthorizedException":
		return failure(Unauthorized, err, "AWS does not let the identity assume the role of spec.route53.roleARN: check that the role exists, that its trust policy names the identity and no other external id than spec.route53.externalID, and that the identity is allowed sts:AssumeRole on it")
	case "RegionDisabledException":
		return failure(Refused, err, "AWS STS is not active in the region for the account: activate it there, or set spec.route53.region")
	default:
		return failure(Refused, err, "AWS STS declined to give a session of the role (HTTP %d): check spec.route53.roleARN and spec.route53.externalID", m.status)
	}
}

// throttles reports whether an error code wants fewer calls.
func throttles(code string) bool {
	switch code {
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "TooManyRequestsException":
		return true
	}
	return false
}
