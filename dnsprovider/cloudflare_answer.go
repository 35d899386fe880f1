package dnsprovider

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// The numbers of the API's errors. Cloudflare documents few of them; the others are from reports
// of its users.
var (
	// 6003 and 6111: the token is malformed; 9103, 9106, 9107: no credentials that can be used;
	// 9109: no right to the resource, or not from this address; 10000, 10001: authentication.
	cloudflareAuthCodes = []int{6003, 6111, 9103, 9106, 9107, 9109, 10000, 10001}
	// 1001: invalid zone identifier; 7000, 7003: no route to the object.
	cloudflareZoneCodes = []int{1001, 7000, 7003}
	// 81044: the record does not exist; 81057, 81058: it exists already.
	cloudflareChangedCodes = []int{81044, 81057, 81058}
	// 81053, 81054: a CNAME and addresses exclude each other; 81055, 81056: NS and others do.
	cloudflareBesideCodes = []int{81053, 81054, 81055, 81056}
)

// codes returns the numbers of the answer's errors, the causes of an error in place of itself.
func (a *cloudflareAnswer) codes() []int {
	var codes []int
	for _, e := range a.Errors {
		for len(e.Chain) > 0 {
			codes = append(codes, e.Code)
			e = e.Chain[0]
		}
		codes = append(codes, e.Code)
	}
	return codes
}

func (a *cloudflareAnswer) has(codes []int) bool {
	return slices.ContainsFunc(a.codes(), func(code int) bool { return slices.Contains(codes, code) })
}

// String names the answer by its numbers.
func (a *cloudflareAnswer) String() string {
	codes := a.codes()
	if len(codes) == 0 {
		return fmt.Sprintf("HTTP %d", a.status)
	}
	return fmt.Sprintf("HTTP %d, error %d", a.status, codes[len(codes)-1])
}

// declined says what an answer means with which Cloudflare certainly changed nothing; nil if it
// is not one. key is the one that the call was about, if it was about one.
func (z *cloudflareZone) declined(a *cloudflareAnswer, key Key) error {
	switch {
	case a.status == http.StatusTooManyRequests:
		const text = "Cloudflare wants fewer calls (HTTP 429): all tools of the token's user share 1200 calls in 5 minutes, so have the others make fewer"
		return &Error{Kind: RateLimited, RetryAfter: cloudflareRetryAfter(a.header), Err: explained{text, nil}}
	case a.status/100 != 4 || a.status == http.StatusRequestTimeout:
		return nil
	case a.has(cloudflareAuthCodes), a.status == http.StatusUnauthorized, a.status == http.StatusForbidden && len(a.codes()) == 0:
		return failure(Unauthorized, nil, "Cloudflare does not accept the token for zone %s (%v): check that it is active, usable from here, and has the right DNS Edit on the zone", z.apex, a)
	case a.has(cloudflareZoneCodes), a.status == http.StatusNotFound && len(a.codes()) == 0:
		return failure(ZoneNotFound, nil, "Cloudflare does not hold zone %s, or not at this endpoint (%v): check the zone's name and id, and the endpoint", z.apex, a)
	case a.has(cloudflareBesideCodes) && key.Type == TypeCNAME:
		return notBeside()
	case a.has(cloudflareBesideCodes), a.has(cloudflareChangedCodes):
		return failure(Changed, nil, "somebody else changed the records since they were read (%v)", a)
	default:
		return failure(Refused, nil, "Cloudflare refuses it (%v): look the error up in Cloudflare's documentation, and check the record's length and TTL", a)
	}
}

func notBeside() error {
	return failure(Refused, nil, "other records stand at the name, and a CNAME cannot stand beside them (RFC 1034 §3.6.2): remove them, or do without the CNAME")
}

// unread says what came of a call that was to read something.
func (z *cloudflareZone) unread(a *cloudflareAnswer, err error) error {
	if no, ok := errors.AsType[unanswered](err); ok {
		return failure(Unreachable, err, "%v: check the endpoint and the network policy", no)
	}
	if err != nil {
		return err
	}
	if err := z.declined(a, Key{}); err != nil {
		return err
	}
	if a.status/100 == 3 {
		return failure(Unreachable, nil, "the answer leads elsewhere (%v), where the token is not sent: check the endpoint", a)
	}
	return failure(Unreachable, nil, "Cloudflare's answer is of no use (%v): check the endpoint, and see www.cloudflarestatus.com", a)
}

// unwritten says what came of a call that was to change something. From the first octet sent,
// no answer and no clear answer are no knowledge.
func (z *cloudflareZone) unwritten(a *cloudflareAnswer, err error, key Key) error {
	if no, ok := errors.AsType[unanswered](err); ok {
		return failure(UnknownOutcome, err, "the change was sent and may have been applied: %v", no)
	}
	if err != nil {
		return err
	}
	if err := z.declined(a, key); err != nil {
		return err
	}
	return failure(UnknownOutcome, nil, "the change was sent and may have been applied: Cloudflare's answer is of no use (%v): see www.cloudflarestatus.com", a)
}

const (
	// defaultCloudflarePause is for how long Cloudflare blocks who went over the limit
	// (https://developers.cloudflare.com/fundamentals/api/reference/limits).
	defaultCloudflarePause = 5 * time.Minute
	minCloudflarePause     = time.Second
	maxCloudflarePause     = time.Hour
)

// cloudflareUsedUp is the item of a Ratelimit field of which nothing remains, and the seconds until more
// does: "default";r=0;t=30.
var cloudflareUsedUp = regexp.MustCompile(`;\s*r=0\s*;\s*t=([0-9]{1,6})`)

// cloudflareRetryAfter returns how long the other side wants no call. A date is compared with the answer's
// own (RFC 9110 §10.2.3), so that nobody's clock matters.
func cloudflareRetryAfter(header http.Header) time.Duration {
	after := defaultCloudflarePause
	value := header.Get("Retry-After")
	at, atErr := http.ParseTime(value)
	now, nowErr := http.ParseTime(header.Get("Date"))
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if atErr == nil && nowErr == nil {
		after = at.Sub(now)
	} else if match := cloudflareUsedUp.FindStringSubmatch(header.Get("Ratelimit")); match != nil {
		seconds, _ := strconv.Atoi(match[1])
		after = time.Duration(seconds) * time.Second
	}
	return min(max(after, minCloudflarePause), maxCloudflarePause)
}
