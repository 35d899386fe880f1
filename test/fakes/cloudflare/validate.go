package cloudflare

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Limits of https://developers.cloudflare.com/dns/manage-dns-records/reference/dns-record-types
const (
	maxRdata    = 4096 // octets of one record on the wire
	maxContents = 8192 // characters of all records with one name and type
	maxTTL      = 86400
	minTTL      = 60
	autoTTL     = 1
)

var proxiable = []string{"A", "AAAA", "CNAME"}

// validate checks a record and gives it the form in which it is stored.
func (s *Server) validate(z *zone, r *Record) *apiError {
	r.Name = z.canonical(r.Name)
	if _, ok := dns.IsDomainName(r.Name); !ok || len(r.Name) > 253 {
		return invalid(9000, "DNS name is invalid.")
	}
	r.Proxiable = slices.Contains(proxiable, r.Type)
	if r.Proxied && !r.Proxiable {
		return invalid(9004, "This record type cannot be proxied.")
	}
	if r.Proxied {
		r.TTL = autoTTL
	}
	if r.TTL != autoTTL && (r.TTL < minTTL || r.TTL > maxTTL) {
		return invalid(9021, "TTL must be between 60 and 86400 seconds, or 1 for Automatic.")
	}
	return r.validateContent()
}

func (r *Record) validateContent() *apiError {
	addr, addrErr := netip.ParseAddr(r.Content)
	switch r.Type {
	case "A":
		if addrErr != nil || !addr.Is4() {
			return invalid(9005, "Content for A record must be a valid IPv4 address.")
		}
	case "AAAA":
		if addrErr != nil || !addr.Is6() || addr.Zone() != "" {
			return invalid(9006, "Content for AAAA record must be a valid IPv6 address.")
		}
		r.Content = addr.String()
	case "CNAME", "NS":
		r.Content = strings.ToLower(strings.TrimSuffix(r.Content, "."))
		if _, ok := dns.IsDomainName(r.Content); !ok || r.Content == "" {
			return invalid(9007, "Content for CNAME record is invalid.")
		}
	case "TXT":
		return r.validateTXT()
	case "MX", "SRV", "CAA", "HTTPS", "SVCB", "TLSA":
	default:
		return invalid(9019, "DNS record type is invalid.")
	}
	return nil
}

// validateTXT splits quoted strings that are longer than DNS allows. Content without quotes is
// kept as it is (cloudflare-docs #30039).
func (r *Record) validateTXT() *apiError {
	if r.Content == "" {
		return invalid(9601, "Content for TXT record must not be empty.")
	}
	size := len(r.Content) + len(r.Content)/255 + 1
	if strings.HasPrefix(r.Content, `"`) {
		strs, ok := parseStrings(r.Content)
		if !ok {
			return invalid(9602, "Content for TXT record must be properly quoted.")
		}
		size = 0
		var split []string
		for _, str := range strs {
			for first := true; first || len(str) > 0; first = false {
				n := min(len(str), 255)
				split = append(split, renderString(str[:n]))
				size += 1 + n
				str = str[n:]
			}
		}
		if len(split) != len(strs) {
			r.Content = strings.Join(split, " ")
		}
	}
	if size > maxRdata {
		return invalid(9603, "The record exceeds the maximum wire format size of 4096 bytes.")
	}
	return nil
}

// parseStrings reads quoted strings (RFC 1035 §5.1) into units: an octet as it stands or an
// escape, which counts as one octet and must not be cut.
func parseStrings(content string) (strs [][]string, ok bool) {
	for content != "" {
		if content[0] == ' ' || content[0] == '\t' {
			content = content[1:]
			continue
		}
		if content[0] != '"' {
			return nil, false
		}
		var str []string
		i := 1
		for ; i < len(content) && content[i] != '"'; i++ {
			unit := content[i : i+1]
			if unit == `\` {
				n := 2
				if i+3 < len(content) && '0' <= content[i+1] && content[i+1] <= '9' {
					n = 4
				}
				if i+n > len(content) {
					return nil, false
				}
				unit = content[i : i+n]
				i += n - 1
			}
			str = append(str, unit)
		}
		if i >= len(content) {
			return nil, false
		}
		strs, content = append(strs, str), content[i+1:]
	}
	return strs, true
}

func renderString(units []string) string { return `"` + strings.Join(units, "") + `"` }

// canStand checks a record against the others of the zone.
func (s *Server) canStand(z *zone, r Record) *apiError {
	contents := len(r.Content)
	for _, other := range z.records {
		if other.ID == r.ID || other.Name != r.Name {
			continue
		}
		if other.Type == r.Type {
			contents += len(other.Content)
		}
		switch {
		case other.Type == r.Type && other.Content == r.Content:
			return &apiError{400, 81058, "An identical record already exists.", 0}
		case r.Type == "CNAME" && (slices.Contains(proxiable, other.Type) || s.cfg.AliasStandsAlone):
			return &apiError{400, 81053, "An A, AAAA, or CNAME record with that host already exists.", 0}
		case other.Type == "CNAME" && (slices.Contains(proxiable, r.Type) || s.cfg.AliasStandsAlone):
			return &apiError{400, 81054, "A CNAME record with that host already exists.", 0}
		case other.Type == "NS" && r.Type != "NS" || r.Type == "NS" && other.Type != "NS":
			return &apiError{400, 81056, "NS records with that host already exist.", 0}
		}
	}
	if contents > maxContents {
		return invalid(9604, "The combined content of all records with this name and type exceeds 8192 characters.")
	}
	return nil
}
