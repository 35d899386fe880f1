package cloudflare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/test/dnsserver"
	"github.com/miekg/dns"
)

// autoSeconds is the TTL that an automatic one is served with:
// https://developers.cloudflare.com/dns/manage-dns-records/reference/ttl
const autoSeconds = 300

type rrset struct{ name, recordType string }

// Serve has d serve what the zones hold, now and after every change. d must have the zones;
// their SOA and NS records are its own. As at Cloudflare, the RRsets of one batch change one
// after another. What does not fit into DNS is not served: malformed records, a CNAME at the
// apex, and records beside a CNAME.
func (s *Server) Serve(d *dnsserver.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dns = d
	for _, z := range s.zones {
		s.show(z)
	}
}

// show brings the DNS server up to date with a zone.
func (s *Server) show(z *zone) {
	if s.dns == nil {
		return
	}
	sets := map[rrset][]Record{}
	aliases := map[string]bool{}
	for _, r := range z.records {
		if r.Name == z.name && (r.Type == "NS" || r.Type == "CNAME") || !servable(r) {
			continue
		}
		key := rrset{r.Name, r.Type}
		sets[key] = append(sets[key], r)
		aliases[r.Name] = aliases[r.Name] || r.Type == "CNAME"
	}
	maps.DeleteFunc(sets, func(key rrset, _ []Record) bool { return aliases[key.name] && key.recordType != "CNAME" })

	// What goes, goes first, so that an alias can take its place.
	for key := range z.shown {
		if sets[key] == nil {
			_ = s.dns.Set(key.name, key.recordType)
			delete(z.shown, key)
		}
	}
	for key, records := range sets {
		var rdata []string
		ttl := time.Duration(1<<31-1) * time.Second
		for _, r := range records {
			ttl = min(ttl, time.Duration(servedTTL(r))*time.Second)
			rdata = append(rdata, servedRdata(r))
		}
		slices.Sort(rdata)
		if text := fmt.Sprint(ttl, rdata); z.shown[key] != text && s.dns.SetTTL(key.name, key.recordType, ttl, rdata...) == nil {
			z.shown[key] = text
		}
	}
}

// servable reports whether the record can be in a zone file.
func servable(r Record) bool {
	_, err := dns.NewRR(fmt.Sprintf("%s. %s %s", r.Name, r.Type, servedRdata(r)))
	return err == nil
}

func servedTTL(r Record) int {
	if r.TTL == autoTTL {
		return autoSeconds
	}
	return r.TTL
}

// servedRdata returns what a zone file has for the record.
func servedRdata(r Record) string {
	switch r.Type {
	case "CNAME", "NS":
		return r.Content + "."
	case "MX", "SRV":
		priority := 0
		if r.Priority != nil {
			priority = *r.Priority
		}
		return fmt.Sprintf("%d %s.", priority, strings.TrimSuffix(r.Content, "."))
	case "TXT":
		return servedTXT(r.Content)
	default:
		return r.Content
	}
}

// servedTXT quotes what is stored without quotes, as one text.
func servedTXT(content string) string {
	if strings.HasPrefix(content, `"`) {
		return content
	}
	var strs []string
	for chunk := range slices.Chunk([]byte(content), 255) {
		strs = append(strs, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(chunk))+`"`)
	}
	return strings.Join(strs, " ")
}
