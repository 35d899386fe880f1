package dnsprovider

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

// errorOf says what a mishap means, but for a refused batch. What has an error code of the API and a
// status below 500 was declined, and nothing was changed. Of everything else only a read can be sure.
func (z *route53Zone) errorOf(err error, writing bool) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	m, ok := errors.AsType[mishap](err)
	if !ok {
		m = mishap{cause: err, sent: true, panicked: true}
	}
	if denied := notAccepted(m); denied != nil {
		if z.role == nil {
			return denied
		}
		// The session is AWS's own making: it was ended before its time.
		z.role.forget()
		return failure(Unauthorized, err, "AWS does not take the session of the role of spec.route53.roleARN any more: the next try asks for a new one; if it stays, check the operator's clock")
	}
	switch {
	case m.status == http.StatusTooManyRequests, m.status < 500 && (throttles(m.code) || m.code == "PriorRequestNotComplete"):
		return z.limited(m)
	case m.status == 0 && !m.sent:
		return failure(Unreachable, err, "cannot connect: %s: check the endpoint and the network policy", m.reason())
	case m.code == "" || m.status >= 500 || m.panicked:
		if writing {
			return failure(UnknownOutcome, err, "the change was sent and may have been made: %s", m.reason())
		}
		return failure(Unreachable, err, "no answer: %s", m.reason())
	}

	switch m.code {
	case "AccessDenied", "AccessDeniedException", "NotAuthorizedException", "OptInRequired":
		if z.role != nil {
			return failure(Unauthorized, err, "the role of spec.route53.roleARN does not allow it: grant it %s", z.grants())
		}
		return failure(Unauthorized, err, "the keys do not allow it: grant %s", z.grants())
	case "NoSuchHostedZone", "HostedZoneNotFound", "NoSuchDelegationSet":
		return failure(ZoneNotFound, err, "the hosted zone does not exist in the account of the keys: check the zone id")
	default:
		return failure(Refused, err, "Route 53 declined the request (HTTP %d): check zone id, region and endpoint", m.status)
	}
}

// notAccepted says why AWS does not know who signed; nil: it does, or that is not known.
func notAccepted(m mishap) error {
	if _, nobody := errors.AsType[noIdentity](m.cause); nobody {
		return failure(Unauthorized, m, "the process has no AWS identity: give its service account a role, or set keys")
	}
	if m.status == 0 || m.status >= 500 {
		return nil
	}
	switch m.code {
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId":
		return failure(Unauthorized, m, "AWS does not know the access key: check its id, and that it is active")
	case "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken":
		return failure(Unauthorized, m, "AWS does not accept the signature: check the secret access key and the operator's clock")
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return failure(Unauthorized, m, "the session token, or the request, has expired: renew the temporary keys, and check the operator's clock")
	default:
		return nil
	}
}

func (z *route53Zone) limited(m mishap) error {
	text := "Route 53 wants fewer requests (Throttling): nothing to do but wait; other users of the AWS account count too"
	if m.code == "PriorRequestNotComplete" {
		text = "another change of the zone is not complete (PriorRequestNotComplete): nothing to do but wait"
	}
	return &Error{Kind: RateLimited, Err: explained{text, m}, RetryAfter: m.retryAfter}
}

func (z *route53Zone) grants() string {
	grants := "route53:ListResourceRecordSets and route53:ChangeResourceRecordSets on the hosted zone"
	if !z.given {
		grants += ", and route53:ListHostedZonesByName or set the zone id"
	}
	return grants
}

// declined reports whether Route 53 looked at the batch and refused it for what is in it.
func declined(err error) bool {
	m, ok := errors.AsType[mishap](err)
	return ok && m.status < 500 && (m.code == "InvalidChangeBatch" || m.code == "InvalidInput")
}

// declinedChange says why Route 53 refused the batch of one change. It tells in English only;
// what none of these phrases fits was refused for its values.
func (z *route53Zone) declinedChange(err error, key Key) error {
	messages := []string{""}
	if batch, ok := errors.AsType[*types.InvalidChangeBatch](err); ok {
		messages = append(batch.Messages, batch.ErrorMessage())
	}
	says := func(phrases ...string) bool {
		for _, message := range messages {
			all := true
			for _, phrase := range phrases {
				all = all && strings.Contains(message, phrase)
			}
			if all {
				return true
			}
		}
		return false
	}
	switch {
	case says("RRSet of type", "is not permitted", "conflict") && key.Type == TypeCNAME:
		return failure(Refused, err, "other records stand at the name, and a CNAME cannot stand beside them (RFC 1034 §3.6.2): remove them, or do without the CNAME")
	case says("RRSet of type", "is not permitted", "conflict"),
		says("Tried to delete resource record set ["), says("Tried to create resource record set ["):
		return failure(Changed, err, "somebody else changed the records since they were read")
	case says("is not permitted in zone"):
		return failure(ZoneNotFound, err, "the hosted zone does not take the name: check that the zone id is the one of zone %s", z.apex)
	case says("is not permitted at apex"):
		return failure(Refused, err, "a CNAME cannot stand at the apex of a zone (RFC 1034 §3.6.2)")
	default:
		return failure(Refused, err, "Route 53 refuses the record set: it has too many records, or one of the values, of others' records too, or the TTL is not one that it takes")
	}
}
