package probe

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"time"
)

// MXOutcome is what one address of an MX host had to say when asked for TLS as RFC 8461 §4.2
// demands it. Only the first four are facts about its TLS; with the others it is unknown.
type MXOutcome string

const (
	MXValid          MXOutcome = "Valid"          // STARTTLS, TLS 1.2 or later, a certificate that is valid for the host
	MXNoSTARTTLS     MXOutcome = "NoSTARTTLS"     // not offered, or refused for good
	MXTLSFailed      MXOutcome = "TLSFailed"      // the handshake failed before a certificate could be judged
	MXBadCertificate MXOutcome = "BadCertificate" // not valid for the host, not trusted, or not valid now
	MXNoAnswer       MXOutcome = "NoAnswer"       // no connection, no whole conversation in time, not welcome now or from here, not SMTP
	MXUnroutable     MXOutcome = "Unroutable"     // no route to this address from here, or the address is not allowed
)

// failure holds for what makes a sender with the policy not deliver to the address.
func (o MXOutcome) failure() bool {
	return o == MXNoSTARTTLS || o == MXTLSFailed || o == MXBadCertificate
}

// MXResult is what was seen at one address of an MX host.
type MXResult struct {
	Addr    netip.AddrPort
	Outcome MXOutcome
	Detail  string // why it is not Valid, in stable words that quote nothing remote; else empty
	// Version is the TLS version of a Valid address, as in crypto/tls; else 0.
	Version uint16
	// NotAfter is the end of the certificate of a Valid address; else the zero time.
	NotAfter time.Time
}

// MXAnswer is what the world gets from one MX host.
type MXAnswer struct {
	Host string
	// Unresolved says, in stable words, why there are no Results; else empty.
	Unresolved string
	Results    []MXResult // one per address, sorted by address
}

// MXVerdict sums up an MX host.
type MXVerdict string

const (
	MXPass    MXVerdict = "Pass"    // addresses were reached, and all of them are Valid
	MXFail    MXVerdict = "Fail"    // a sender that gets to one of its addresses would not deliver
	MXUnknown MXVerdict = "Unknown" // none of its addresses said anything about TLS; not a failure
)

// Verdict sums up the addresses, with a message in stable words: for MXPass the lowest TLS version
// and the first end of a certificate, as in "TLSv1.3, valid until 2027-02-01"; else what is wrong
// at the first address that is to blame.
func (a MXAnswer) Verdict() (MXVerdict, string) {
	if a.Unresolved != "" {
		return MXUnknown, a.Unresolved
	}
	var worst, pass *MXResult
	for i := range a.Results {
		r := &a.Results[i]
		switch {
		case r.Outcome == MXValid && pass == nil:
			first := *r
			pass = &first
		case r.Outcome == MXValid:
			pass.Version = min(pass.Version, r.Version)
			if r.NotAfter.Before(pass.NotAfter) {
				pass.NotAfter = r.NotAfter
			}
		case worst == nil, blame(r.Outcome) > blame(worst.Outcome):
			worst = r
		}
	}
	switch {
	case worst != nil && worst.Outcome.failure():
		return MXFail, worst.message()
	case pass != nil:
		return MXPass, strings.Replace(tls.VersionName(pass.Version), " ", "v", 1) + ", valid until " + pass.NotAfter.Format(time.DateOnly)
	case worst != nil:
		return MXUnknown, worst.message()
	}
	return MXUnknown, "the host was not probed"
}

// blame orders outcomes by how much they say about why a host does not pass.
func blame(o MXOutcome) int {
	switch {
	case o.failure():
		return 2
	case o == MXNoAnswer:
		return 1
	}
	return 0
}

func (r MXResult) message() string { return r.Addr.Addr().String() + ": " + r.Detail }
