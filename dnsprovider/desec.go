package dnsprovider

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/libdns/desec"
)

// openDesec describes libdns/desec v1.1.1. It is experimental.
//
// SetRecords is one bulk PUT, which deSEC carries out as one transaction. AppendRecords takes
// any 404 to mean that no RRset is there, and would then overwrite it: it is not used.
// GetRecords fails where the zone has more than 500 RRsets, or a single TXT record, of anybody,
// with an octet that is not printable ASCII.
//
// The module's URL and HTTP client are fixed, but it makes each request with the caller's
// context: the time-out of the zone bounds it. On 429 it waits as long as deSEC says, or until
// then.
func openDesec(cfg LibdnsConfig) (libdnsModule, error) {
	token := strings.TrimSpace(cfg.Credentials["token"]) // files in Secrets like to end in a newline
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return libdnsModule{}, errors.New("credentials: token: not a token, as deSEC shows it once when it is made") // never the token itself
	}
	return libdnsModule{
		name:     "libdns/desec v1.1.1",
		server:   "desec.io",
		client:   &desec.Provider{Token: token},
		txt:      desecTXT,
		replaces: replacesRRset,
		bulk:     100,
		deletes:  true,
		showsNS:  true,
		minTTL:   time.Hour,
		maxTTL:   24 * time.Hour,
		judge:    desecJudge,
	}, nil
}

// desecBorder is what the module leaves of the quotes between two character-strings.
const desecBorder = `" "`

// desecTXT: deSEC cuts text into strings of 255 octets and shows them in presentation form. The
// module puts one pair of quotes around a text, takes the outermost away again, undoes escapes
// of quotes and backslashes, and leaves the borders of strings in the text. A quote of the text
// itself looks just like one of a border; but of a text that deSEC has cut, the first border can
// only be after 255 octets.
var desecTXT = libdnsText{
	parse: func(text string) (string, error) { return strings.ReplaceAll(text, desecBorder, ""), nil },
	write: func(value string) (string, bool) {
		printable := !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
		return value, printable && strings.ReplaceAll(desecShown(value), desecBorder, "") == value
	},
	keep: func(text string) (string, bool) {
		value := strings.ReplaceAll(text, desecBorder, "")
		return value, desecShown(value) == text
	},
	remove: func(text string) (string, bool) { return text, !strings.Contains(text, desecBorder) },
}

// desecShown returns how the module shows a text that it was given.
func desecShown(value string) string {
	var shown strings.Builder
	for ; len(value) > maxCharacterString; value = value[maxCharacterString:] {
		shown.WriteString(value[:maxCharacterString] + desecBorder)
	}
	return shown.String() + value
}

// The module has no types for its errors, only texts. What follows the status is deSEC's own.
var (
	desecStatus   = regexp.MustCompile(`^(?:(?:writing RRSets|retrieving RRSet): )?unexpected status code (\d{3}): `)
	desecCooling  = regexp.MustCompile(`^(?:(?:writing RRSets|retrieving RRSet): )?(?:waiting for cooldown to end|parsing Retry-After header)`)
	desecOddities = regexp.MustCompile(`^parsing RRSet: `)
	desecQueued   = regexp.MustCompile(`^waiting for inflight requests to finish: `)
)

func desecJudge(err error, writing bool) error {
	text := err.Error()
	retrieving := strings.HasPrefix(text, "retrieving RRSet: ") // DeleteRecords begins with a read
	writing = writing && !retrieving
	switch {
	case desecCooling.MatchString(text):
		return failure(RateLimited, err, "deSEC wants fewer calls (HTTP 429): all tools of the account share its limits, so have the others make fewer")
	case desecQueued.MatchString(text):
		return failure(RateLimited, err, "another change at deSEC is under way: nothing was sent")
	case desecOddities.MatchString(text):
		return failure(Unsupported, err, "libdns/desec v1.1.1 cannot read the zone, because of a record in it: look for TXT that is not printable ASCII, and for malformed SRV, SVCB and HTTPS records")
	}
	match := desecStatus.FindStringSubmatch(text)
	if match == nil {
		return nil
	}
	switch status, _ := strconv.Atoi(match[1]); {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return failure(Unauthorized, err, "deSEC does not accept the token (HTTP %d): check that it is valid, usable from here, and that its policies allow the change", status)
	case status == http.StatusNotFound:
		return failure(ZoneNotFound, err, "deSEC does not hold the zone in the token's account (HTTP 404): check the zone's name")
	case status == http.StatusBadRequest && !writing && !retrieving:
		return failure(Unsupported, err, "the zone has more than 500 RRsets, which libdns/desec v1.1.1 cannot read (HTTP 400)")
	case status/100 == 4 && status != http.StatusRequestTimeout && writing:
		return failure(Refused, err, "deSEC refuses the change (HTTP %d): check the record's length and TTL", status)
	case writing:
		return failure(UnknownOutcome, err, "the change was sent and may have been applied: deSEC's answer is of no use (HTTP %d)", status)
	default:
		return failure(Unreachable, err, "deSEC's answer is of no use (HTTP %d)", status)
	}
}
