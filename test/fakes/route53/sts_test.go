package route53

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const roleARN = "arn:aws:iam::123456789012:role/dns"

func assume(t *testing.T, s *Server, change func(*sts.AssumeRoleInput, *sts.Options)) (aws.Credentials, error) {
	t.Helper()
	url := s.URL()
	in := &sts.AssumeRoleInput{RoleArn: aws.String(roleARN), RoleSessionName: aws.String("me"), ExternalId: aws.String("told"), DurationSeconds: aws.Int32(900)}
	options := sts.Options{Region: "us-east-1", BaseEndpoint: &url, Retryer: aws.NopRetryer{}, Credentials: fixed(aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"})}
	change(in, &options)
	out, err := sts.New(options).AssumeRole(t.Context(), in)
	if err != nil {
		return aws.Credentials{}, err
	}
	keys := out.Credentials
	return aws.Credentials{AccessKeyID: *keys.AccessKeyId, SecretAccessKey: *keys.SecretAccessKey, SessionToken: *keys.SessionToken, Expires: *keys.Expiration}, nil
}

func fixed(keys aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil })
}

func TestAssumeRole(t *testing.T) {
	s := start(t, func(c *Config) { c.Keys["AKIDOTHER"] = "secret" })
	s.SetRole(roleARN, Role{Trusts: []string{"AKIDEXAMPLE"}, ExternalID: "told"})
	for name, c := range map[string]struct {
		change func(*sts.AssumeRoleInput, *sts.Options)
		want   string
	}{
		"as trusted":          {func(*sts.AssumeRoleInput, *sts.Options) {}, ""},
		"another role":        {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.RoleArn = aws.String(roleARN + "s") }, "AccessDenied"},
		"another external id": {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.ExternalId = aws.String("untold") }, "AccessDenied"},
		"no external id":      {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.ExternalId = nil }, "AccessDenied"},
		"another identity": {func(_ *sts.AssumeRoleInput, o *sts.Options) {
			o.Credentials = fixed(aws.Credentials{AccessKeyID: "AKIDOTHER", SecretAccessKey: "secret"})
		}, "AccessDenied"},
		"another secret": {func(_ *sts.AssumeRoleInput, o *sts.Options) {
			o.Credentials = fixed(aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "s"})
		}, "SignatureDoesNotMatch"},
		"for another region":   {func(_ *sts.AssumeRoleInput, o *sts.Options) { o.Region = "eu-west-1" }, "SignatureDoesNotMatch"},
		"no ARN":               {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.RoleArn = aws.String("arn:aws:iam::1:role/dns") }, "ValidationError"},
		"a bad session name":   {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		"a bad external id":    {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.ExternalId = aws.String("a b") }, "ValidationError"},
		"too short":            {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.DurationSeconds = aws.Int32(899) }, "ValidationError"},
		"too long":             {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError"},
		"what is not expected": {func(in *sts.AssumeRoleInput, _ *sts.Options) { in.SourceIdentity = aws.String("me") }, "ValidationError"},
	} {
		if _, err := assume(t, s, c.change); code(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if n := len(s.Assumptions()); n != 7 {
		t.Errorf("%d were signed and made sense", n)
	}
}

// A session's keys are good for as long as it lasts, with its own token, and for Route 53.
func TestSessions(t *testing.T) {
	s := start(t, func(c *Config) { c.RolesOnly = true })
	s.SetRole(roleARN, Role{Trusts: []string{"AKIDEXAMPLE"}})
	list := func(keys aws.Credentials) string {
		_, err := client(s, func(o *sdk.Options) { o.Credentials = fixed(keys) }).ListHostedZonesByName(t.Context(), &sdk.ListHostedZonesByNameInput{})
		return code(err)
	}
	as := func(*sts.AssumeRoleInput, *sts.Options) {}
	keys, err := assume(t, s, as)
	must(t, err)
	if until := time.Until(keys.Expires); until < 14*time.Minute || until > 15*time.Minute {
		t.Errorf("lasts %v", until)
	}
	noToken, otherToken, otherSecret := keys, keys, keys
	noToken.SessionToken, otherToken.SessionToken, otherSecret.SecretAccessKey = "", "x", "x"
	longTerm := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	var got []string
	for _, k := range []aws.Credentials{keys, noToken, otherToken, otherSecret, longTerm} {
		got = append(got, list(k))
	}
	if want := []string{"", "InvalidClientTokenId", "InvalidClientTokenId", "SignatureDoesNotMatch", "AccessDenied"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	s.EndSessions()
	if got := list(keys); got != "ExpiredToken" {
		t.Errorf("after its end: %q", got)
	}
	s.LastFor(time.Minute)
	if keys, err = assume(t, s, as); err != nil || time.Until(keys.Expires) > time.Minute {
		t.Errorf("%v %v", keys.Expires, err)
	}
}
