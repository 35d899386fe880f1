package records

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Claim is the registry record: who manages the domain's records. It is not secret and tells
// nobody's name: Owner is the id of an installation, ID a hash of the object's name in it.
type Claim struct {
	Owner string
	ID    string
	// Released says that the holder has given the domain up and left its records: whoever proves
	// control of the zone may take the claim over.
	Released bool
}

const (
	claimVersion  = "v=maildomain1"
	claimReleased = "released" // the one value of state=
)

// NewClaim returns the claim of one MailDomain.
func NewClaim(owner, namespace, name string) Claim {
	sum := sha256.Sum256([]byte(namespace + "/" + name))
	return Claim{Owner: owner, ID: hex.EncodeToString(sum[:16])}
}

func (c Claim) String() string {
	text := claimVersion + "; owner=" + c.Owner + "; id=" + c.ID
	if c.Released {
		text += "; state=" + claimReleased
	}
	return text
}

// ParseClaim reads a registry record; ok is false for anything that is not exactly one.
func ParseClaim(text string) (c Claim, ok bool) {
	version, rest, _ := strings.Cut(text, ";")
	if strings.TrimSpace(version) != claimVersion {
		return Claim{}, false
	}
	for part := range strings.SplitSeq(rest, ";") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case found && name == "owner" && c.Owner == "":
			c.Owner = value
		case found && name == "id" && c.ID == "":
			c.ID = value
		case found && name == "state" && value == claimReleased && !c.Released:
			c.Released = true
		default:
			return Claim{}, false
		}
	}
	return c, c.Owner != "" && c.ID != ""
}

// IsClaim reports whether text is meant to be a registry record.
func IsClaim(text string) bool {
	version, _, _ := strings.Cut(text, ";")
	return strings.TrimSpace(version) == claimVersion
}

// SameClaim reports whether both say the same of the same owner.
func SameClaim(a, b string) bool {
	x, okX := ParseClaim(a)
	y, okY := ParseClaim(b)
	return a == b || okX && okY && x == y
}
