package dnsprovider

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// cloudflareRecord is a record as the API shows it, as far as it matters here.
type cloudflareRecord struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"` // seconds; 1 = automatic
}

// handle identifies a record as it was read: the id, and the content octet by octet.
func (r cloudflareRecord) handle() string { return r.ID + " " + r.Content }

// cloudflareID returns the id in a handle.
func cloudflareID(handle string) (string, error) {
	id, _, ok := strings.Cut(handle, " ")
	if !ok || !isCloudflareID(id) {
		return "", failure(Invalid, nil, "the record to remove was not read at Cloudflare")
	}
	return id, nil
}

func (r cloudflareRecord) ttl() time.Duration {
	if r.TTL == 1 {
		return cloudflareAutoTTL
	}
	return time.Duration(r.TTL) * time.Second
}

// cloudflareRRset returns what stands at key among the records. Only those at the name are looked
// at, however odd the others are, and those that delegate it.
//
// Cloudflare lets other records than A and AAAA stand beside a CNAME, whatever becomes of them
// at resolvers. Only at the apex is that as it should be, because there a CNAME is never served
// as such (https://developers.cloudflare.com/dns/cname-flattening).
func cloudflareRRset(key Key, apex string, records []cloudflareRecord) (RRset, error) {
	set, name := RRset{Key: key}, cloudflareName(key.Name)
	for _, r := range records {
		owner := cloudflareName(r.Name)
		if r.Type == "NS" && owner != apex && Within(name, owner) {
			return RRset{}, delegated(owner)
		}
		if owner != name {
			continue
		}
		switch {
		case r.Type == key.Type:
			value, err := r.value()
			if err != nil {
				return RRset{}, failure(Unreachable, err, "the content of a record there cannot be read (%v): mend or remove it at Cloudflare", err)
			}
			if len(set.Records) == 0 || r.ttl() < set.TTL {
				set.TTL = r.ttl()
			}
			set.Records = append(set.Records, Record{Value: value, Handle: r.handle()})
		case r.Type == TypeCNAME && (name != apex || key.Type != TypeTXT):
			set.Alias = cmp.Or(cloudflareName(r.Content), ".")
		case key.Type == TypeCNAME && name != apex && r.Type != TypeA && r.Type != TypeAAAA:
			set.Shared = true // beside addresses no provider takes a CNAME
		}
	}
	slices.SortFunc(set.Records, compareRecords)
	return set, nil
}

// value says what the record says.
func (r cloudflareRecord) value() (string, error) {
	switch r.Type {
	case TypeTXT:
		return unquoteTXT(r.Content)
	case TypeCNAME:
		return cloudflareName(r.Content), nil
	default:
		addr, err := netip.ParseAddr(r.Content)
		return addr.String(), err
	}
}

// cloudflareContent is the inverse of value, for a record that we write.
func cloudflareContent(recordType, value string) (string, error) {
	if _, err := rdataOf(recordType, value); err != nil {
		return "", err
	}
	switch recordType {
	case TypeTXT:
		return quoteTXT(value), nil
	case TypeCNAME:
		return Canonical(value), nil
	default:
		addr, err := netip.ParseAddr(value)
		return addr.String(), err
	}
}

// cloudflareTTL returns the number of a TTL: 1, automatic, for none, and the nearest that
// Cloudflare takes for others.
func cloudflareTTL(ttl time.Duration) (int, error) {
	if ttl < 0 {
		return 0, failure(Invalid, nil, "the TTL %v is negative", ttl)
	}
	if ttl == 0 {
		return 1, nil
	}
	return int(min(max(ttl, cloudflareMinTTL), cloudflareMaxTTL) / time.Second), nil
}

// cloudflareName returns a name in canonical form and without needless escapes: the star of a
// wildcard can be written * and \042 (RFC 1035 §5.1; the \052 of Route 53 is octal).
func cloudflareName(name string) string {
	if strings.Contains(name, `\`) {
		wire := make([]byte, 255) // RFC 1035 §2.3.4
		if _, err := dns.PackDomainName(dns.Fqdn(name), wire, 0, nil, false); err == nil {
			plain, _, err := dns.UnpackDomainName(wire, 0)
			if err == nil {
				name = cmp.Or(plain, name)
			}
		}
	}
	return Canonical(name)
}
