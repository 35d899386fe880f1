package desec

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
)

// request is one part of a bulk operation.
type request struct {
	Subname string    `json:"subname"`
	Type    string    `json:"type"`
	TTL     *int      `json:"ttl"`
	Records *[]string `json:"records"`
}

// refusal is why a request is refused, in the API's own words or words like them.
type refusal string

func (r refusal) Error() string { return string(r) }

// The type must be in upper case, and the subname in lower case; "@" is none.
var (
	typeForm    = regexp.MustCompile(`^[A-Z][A-Z0-9]*$`)
	subnameForm = regexp.MustCompile(`^(\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*)?$`)
)

// Types that cannot be written.
var managed = []string{"SOA", "DNSKEY", "NSEC3PARAM", "RRSIG", "ALIAS", "DNAME"}

// change carries out a bulk operation, all of it or nothing. It returns the RRsets that stand
// afterwards.
func (d *domain) change(method string, requests []request) ([]rrset, error) {
	next := slices.Clone(d.rrsets)
	after := &domain{name: d.name, minimumTTL: d.minimumTTL, rrsets: next}
	var results []rrset
	seen := map[string]bool{}
	for _, r := range requests {
		id := r.Subname + " " + r.Type
		if seen[id] {
			return nil, refusal("Same subname and type as in another part of the request.")
		}
		seen[id] = true
		set, err := after.put(method, r)
		if err != nil {
			return nil, err
		}
		if len(set.Records) > 0 {
			results = append(results, set)
		}
	}
	if err := after.exclusive(); err != nil {
		return nil, err
	}
	d.rrsets = after.rrsets
	return results, nil
}

func (d *domain) put(method string, r request) (rrset, error) {
	if !typeForm.MatchString(r.Type) || slices.Contains(managed, r.Type) {
		return rrset{}, refusal("You cannot tinker with this type, or it is not in uppercase.")
	}
	if !subnameForm.MatchString(r.Subname) || len(r.Subname) > 178 {
		return rrset{}, refusal("Subname can only use (lowercase) a-z, 0-9, ., -, and _, may start with a '*.', or just be '*'.")
	}
	set, at := d.find(r.Subname, r.Type)
	if method == http.MethodPost && at >= 0 {
		return rrset{}, refusal("Another RRset with the same subdomain and type exists for this domain.")
	}
	partial := method == http.MethodPatch && at >= 0
	if r.Records == nil && !partial || r.TTL == nil && !partial && len(*r.Records) > 0 {
		return rrset{}, refusal("This field is required.")
	}
	set.Subname, set.Type = r.Subname, r.Type
	if r.TTL != nil {
		set.TTL = *r.TTL
		if set.TTL < d.minimumTTL || set.TTL > maximumTTL {
			return rrset{}, refusal(fmt.Sprintf("Ensure this value is at least %d and at most %d.", d.minimumTTL, maximumTTL))
		}
	}
	if r.Records != nil {
		set.Records = nil
		for _, record := range *r.Records {
			content, err := canonical(r.Type, record)
			if err != nil {
				return rrset{}, err
			}
			if slices.Contains(set.Records, content) {
				return rrset{}, refusal("Duplicate record contents.")
			}
			set.Records = append(set.Records, content)
		}
	}
	switch {
	case len(set.Records) == 0 && at >= 0:
		d.rrsets = slices.Delete(d.rrsets, at, at+1)
	case len(set.Records) == 0:
	case at >= 0:
		d.rrsets[at] = set
	default:
		d.rrsets = append(d.rrsets, set)
	}
	return set, nil
}

// exclusive refuses what cannot stand beside a CNAME.
func (d *domain) exclusive() error {
	for _, set := range d.rrsets {
		if set.Type != "CNAME" {
			continue
		}
		if set.Subname == "" || len(set.Records) > 1 {
			return refusal("CNAME RRset cannot have empty subname, or more than one record.")
		}
		for _, other := range d.rrsets {
			if other.Subname == set.Subname && other.Type != "CNAME" {
				return refusal("RRset with conflicting type present: " + other.Type)
			}
		}
	}
	return nil
}
