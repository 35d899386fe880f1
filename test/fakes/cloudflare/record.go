package cloudflare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Record is a DNS record as the API shows it.
type Record struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Name     string `json:"name"` // absolute, lower case, no trailing dot
	Content  string `json:"content"`
	TTL      int    `json:"ttl"` // seconds; 1 = automatic
	Proxied  bool   `json:"proxied"`
	Priority *int   `json:"priority,omitempty"` // MX and SRV
	Comment  string `json:"comment,omitempty"`

	Proxiable  bool      `json:"proxiable"`
	CreatedOn  time.Time `json:"created_on"`
	ModifiedOn time.Time `json:"modified_on"`
}

// Put writes a record as somebody else does: with another tool, long ago, under older rules. So
// it is stored as it is, unchecked. With the ID of a record it replaces that one; without an ID
// it is new. It returns the ID.
func (s *Server) Put(zoneID string, r Record) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zone(zoneID)
	if z == nil {
		return ""
	}
	if at := slices.IndexFunc(z.records, func(old Record) bool { return r.ID != "" && old.ID == r.ID }); at >= 0 {
		z.records[at] = r
	} else {
		r.ID = cmp.Or(r.ID, s.newID())
		z.records = append(z.records, r)
	}
	s.show(z)
	return r.ID
}

// Delete removes a record as somebody else does, and reports whether it was there.
func (s *Server) Delete(zoneID, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zone(zoneID)
	if z == nil {
		return false
	}
	before := len(z.records)
	z.records = slices.DeleteFunc(z.records, func(r Record) bool { return r.ID == id })
	s.show(z)
	return len(z.records) < before
}

// Records returns the records of a zone with the name and type, "" for any, sorted by name, type
// and content.
func (s *Server) Records(zoneID, name, recordType string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zone(zoneID)
	if z == nil {
		return nil
	}
	var found []Record
	for _, r := range z.records {
		if (name == "" || r.Name == name) && (recordType == "" || r.Type == recordType) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Content, b.Content), cmp.Compare(a.ID, b.ID))
	})
	return found
}

// Contents returns the contents of Records.
func (s *Server) Contents(zoneID, name, recordType string) []string {
	var contents []string
	for _, r := range s.Records(zoneID, name, recordType) {
		contents = append(contents, r.Content)
	}
	return contents
}

// newID makes an identifier of 32 hexadecimal digits.
func (s *Server) newID() string {
	s.serials++
	return fmt.Sprintf("%032x", s.serials)
}

// canonical completes a name as the API does: a name that is not below the zone is taken as
// relative to it.
func (z *zone) canonical(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case name == "@" || name == z.name:
		return z.name
	case strings.HasSuffix(name, "."+z.name):
		return name
	default:
		return name + "." + z.name
	}
}
