package dmarc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth"
	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// Policy is what receivers are asked to do with mail that fails (RFC 9989 §4.7).
type Policy string

const (
	None       Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// Record is the record at _dmarc.<domain> (RFC 9989 §4.7). The zero value of a field means that
// its tag is absent.
type Record struct {
	Policy                     Policy // p; absent means none where rua is there
	SubdomainPolicy            Policy // sp; absent: p
	NonexistentSubdomainPolicy Policy // np; absent: sp
	Testing                    *bool  // t: apply the policy one step weaker; absent: n
	DKIMAlignment              string // adkim: "r" or "s"; absent: r
	SPFAlignment               string // aspf: "r" or "s"; absent: r
	RUA, RUF                   []string
	FailureOptions             []string // fo: 0, 1, d, s; absent: 0
	PSD                        string   // psd: "y", "n" or "u"; absent: u

	Pct *int   // RFC 7489 only
	RF  string // RFC 7489 only
	RI  *int   // RFC 7489 only

	// Extensions are tags that neither RFC defines, in their order; receivers ignore them.
	Extensions []Extension
}

// Extension is a tag that is not DMARC's.
type Extension struct{ Name, Value string }

// SyntaxError says where a record is broken, what was expected, and which section wants it.
type SyntaxError = mailauth.SyntaxError

var format = syntax.Format{Record: "DMARC record", Ref: "RFC 9989 §4.7", Version: "DMARC1", FoldNames: true}

// IsRecord reports whether txt is a DMARC record, well-formed or not: it begins with v=DMARC1, with
// no white space before (RFC 9989 §4.8).
func IsRecord(txt string) bool { return format.Is(txt) }

// Parse reads a record. The error is a *SyntaxError.
func Parse(txt string) (Record, error) {
	if !IsRecord(txt) {
		return Record{}, format.Fail(0, txt, "v=DMARC1 first")
	}
	tags, err := format.Parse(txt)
	if err != nil {
		return Record{}, err
	}
	var r Record
	for _, t := range tags[1:] {
		if err := r.set(t); err != nil {
			return Record{}, err
		}
	}
	if r.Policy == "" && len(r.RUA) == 0 {
		return Record{}, format.Fail(len(txt), "", "the tag p")
	}
	return r, nil
}

func (r *Record) set(t syntax.Tag) error {
	lower := strings.ToLower(t.Value)
	switch t.Name {
	case "p":
		return policy(t, &r.Policy)
	case "sp":
		return policy(t, &r.SubdomainPolicy)
	case "np":
		return policy(t, &r.NonexistentSubdomainPolicy)
	case "adkim":
		return oneOf(t, &r.DKIMAlignment, "r", "s")
	case "aspf":
		return oneOf(t, &r.SPFAlignment, "r", "s")
	case "psd":
		return oneOf(t, &r.PSD, "y", "n", "u")
	case "t":
		if lower != "y" && lower != "n" {
			return format.Bad(t, "y or n")
		}
		testing := lower == "y"
		r.Testing = &testing
	case "rua":
		return uris(t, &r.RUA)
	case "ruf":
		return uris(t, &r.RUF)
	case "fo":
		options := format.List(lower, ":")
		if !all(options, func(o string) bool { return o == "0" || o == "1" || o == "d" || o == "s" }) {
			return format.Bad(t, "0, 1, d and s, with colons between them")
		}
		r.FailureOptions = options
	case "pct":
		return number(t, &r.Pct, 100)
	case "ri":
		return number(t, &r.RI, 1<<32-1)
	case "rf":
		r.RF = lower
	default:
		if strings.ContainsFunc(t.Value, func(c rune) bool { return c < ' ' || c > '~' }) {
			return format.Bad(t, "printable ASCII characters")
		}
		r.Extensions = append(r.Extensions, Extension{t.Name, t.Value})
	}
	return nil
}

func policy(t syntax.Tag, into *Policy) error {
	return oneOf(t, (*string)(into), string(None), string(Quarantine), string(Reject))
}

// oneOf takes a value that is compared without regard to case (RFC 5234 §2.3).
func oneOf(t syntax.Tag, into *string, allowed ...string) error {
	value := strings.ToLower(t.Value)
	if !slices.Contains(allowed, value) {
		return format.Bad(t, strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1])
	}
	*into = value
	return nil
}

// uris takes all addresses of a list, or none.
func uris(t syntax.Tag, into *[]string) error {
	list := format.List(t.Value, ",")
	if !all(list, syntax.IsURI) {
		return format.Bad(t, "URIs such as mailto:dmarc@example.com, with commas between them")
	}
	*into = list
	return nil
}

func all(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !is(s) })
}

func number(t syntax.Tag, into **int, highest uint64) error {
	n, err := strconv.ParseUint(t.Value, 10, 32)
	if err != nil || n > highest {
		return format.Bad(t, "a number from 0 to "+strconv.FormatUint(highest, 10))
	}
	value := int(n)
	*into = &value
	return nil
}

// String returns the record's text: v and p first, as old receivers want it, and of the rest
// what is set.
func (r Record) String() string {
	tags := []syntax.Tag{{Name: "v", Value: format.Version}}
	add := func(name, value string) {
		if value != "" {
			tags = append(tags, syntax.Tag{Name: name, Value: value})
		}
	}
	add("p", string(r.Policy))
	add("sp", string(r.SubdomainPolicy))
	add("np", string(r.NonexistentSubdomainPolicy))
	if r.Testing != nil {
		add("t", map[bool]string{true: "y", false: "n"}[*r.Testing])
	}
	add("adkim", r.DKIMAlignment)
	add("aspf", r.SPFAlignment)
	add("psd", r.PSD)
	add("rua", strings.Join(r.RUA, ","))
	add("ruf", strings.Join(r.RUF, ","))
	add("fo", strings.Join(r.FailureOptions, ":"))
	if r.Pct != nil {
		add("pct", strconv.Itoa(*r.Pct))
	}
	add("rf", r.RF)
	if r.RI != nil {
		add("ri", strconv.Itoa(*r.RI))
	}
	for _, e := range r.Extensions {
		add(e.Name, e.Value)
	}
	return syntax.Join(tags)
}

// Same reports whether both texts mean the same to every receiver: each tag has the same value,
// whether it is written or the default. Those that follow RFC 7489 ignore a record in which p does
// not stand behind v (§6.3), and may send reports to the first two addresses only (§6.2), so that
// the place of p counts, and the order of more than two addresses.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := Parse(a)
	y, errY := Parse(b)
	return errX == nil && errY == nil && x.explicit().String() == y.explicit().String() && pIsSecond(a) == pIsSecond(b)
}

func pIsSecond(text string) bool {
	tags := format.Tolerate(text)
	return len(tags) > 1 && tags[1].Name == "p"
}

// explicit returns the record with every default written out.
func (r Record) explicit() Record {
	p, sp, np := r.policies()
	r.Policy, r.SubdomainPolicy, r.NonexistentSubdomainPolicy = p, sp, np
	testing := r.Testing != nil && *r.Testing
	r.Testing = &testing
	r.DKIMAlignment = or(r.DKIMAlignment, "r")
	r.SPFAlignment = or(r.SPFAlignment, "r")
	r.PSD = or(r.PSD, "u")
	r.RUA, r.RUF = addresses(r.RUA), addresses(r.RUF)
	if len(r.FailureOptions) == 0 {
		r.FailureOptions = []string{"0"}
	}
	r.FailureOptions = set(r.FailureOptions)
	return r
}

// addresses are the report addresses without their order, where that makes no difference.
func addresses(uris []string) []string {
	if len(uris) > 2 {
		return uris
	}
	return set(uris)
}

func set(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// policies are those of the domain, of its subdomains and of names below it that do not exist.
func (r Record) policies() (p, sp, np Policy) {
	p = Policy(or(string(r.Policy), string(None)))
	sp = Policy(or(string(r.SubdomainPolicy), string(p)))
	np = Policy(or(string(r.NonexistentSubdomainPolicy), string(sp)))
	return p, sp, np
}
