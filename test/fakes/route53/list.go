package route53

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// maxItems reads a page size: more than the limit is the limit.
func maxItems(text string, limit int) (int, bool) {
	if text == "" {
		return limit, true
	}
	n, err := strconv.Atoi(text)
	return min(n, limit), err == nil && n >= 1
}

func (s *Server) listZones(req request) any {
	n, ok := maxItems(req.query("maxitems"), 100)
	if !ok {
		return invalidInput("maxitems is not a number of items")
	}
	from, id := req.query("dnsname"), strings.TrimPrefix(req.query("hostedzoneid"), "/hostedzone/")
	if from == "" && id != "" {
		return invalidInput("hostedzoneid is given without dnsname")
	}
	out := zonesAnswer{DNSName: from, ZoneID: id, MaxItems: n}
	start := ""
	if from != "" {
		name, err := normal(from)
		if err != nil {
			return apiError{status: 400, code: "InvalidDomainName", message: err.Error()}
		}
		start = order(name)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var zones []*zone
	for _, z := range s.zones {
		if o := order(z.name); o > start || o == start && z.id >= id {
			zones = append(zones, z)
		}
	}
	slices.SortFunc(zones, func(a, b *zone) int {
		return cmp.Or(cmp.Compare(order(a.name), order(b.name)), cmp.Compare(a.id, b.id))
	})
	if len(zones) > n {
		out.IsTruncated, out.NextDNSName, out.NextZoneID = true, zones[n].name, zones[n].id
		zones = zones[:n]
	}
	for _, z := range zones {
		out.Zones = append(out.Zones, z.wire())
	}
	return out
}

func (s *Server) getZone(req request) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[req.id]
	if z == nil {
		return noSuchZone(req.id)
	}
	return zoneAnswer{Zone: z.wire()}
}

func (s *Server) listSets(req request) any {
	n, ok := maxItems(req.query("maxitems"), 300)
	if !ok {
		return invalidInput("maxitems is not a number of items")
	}
	start := Set{Name: req.query("name"), Type: req.query("type"), SetIdentifier: req.query("identifier")}
	if start.Name == "" && start.Type != "" || start.Type == "" && start.SetIdentifier != "" {
		return invalidInput("type is given without name, or identifier without type")
	}
	if start.Type != "" && !known(start.Type) {
		return invalidInput("type is not a record type")
	}
	if start.Name != "" {
		name, err := normal(start.Name)
		if err != nil {
			return invalidInput(err.Error())
		}
		start.Name = name
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[req.id]
	if z == nil {
		return noSuchZone(req.id)
	}
	list := z.sets
	if start.Name != "" {
		at, _ := z.find(start)
		list = list[at:]
	}
	out := setsAnswer{MaxItems: n}
	if len(list) > n {
		next := list[n]
		out.IsTruncated, out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier = true, next.Name, next.Type, next.SetIdentifier
		list = list[:n]
	}
	out.Sets.Sets = slices.Clone(list)
	return out
}
