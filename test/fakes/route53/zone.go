package route53

import (
	"cmp"
	"fmt"
	"slices"
)

type zone struct {
	id       string
	name     string // normal form
	private  bool
	sets     []Set // sorted
	changing int   // changes under way
}

// AddZone adds a public hosted zone with its SOA and NS records.
func (s *Server) AddZone(id, name string) error { return s.addZone(id, name, false) }

// AddPrivateZone adds a private hosted zone.
func (s *Server) AddPrivateZone(id, name string) error { return s.addZone(id, name, true) }

func (s *Server) addZone(id, name string, private bool) error {
	name, err := normal(name)
	if err != nil {
		return fmt.Errorf("route53: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zones[id] != nil {
		return fmt.Errorf("route53: zone %s is there already", id)
	}
	z := &zone{id: id, name: name, private: private}
	z.put(Set{Name: name, Type: "NS", TTL: new(int64(172800)), Values: []string{"ns-1.awsdns-00.com.", "ns-2.awsdns-00.net."}})
	z.put(Set{Name: name, Type: "SOA", TTL: new(int64(900)), Values: []string{"ns-1.awsdns-00.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}})
	s.zones[id] = z
	return nil
}

// RemoveZone removes a hosted zone and all that is in it.
func (s *Server) RemoveZone(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.zones, id)
}

// Put writes a record set as somebody else does, in place of the one of its name, type and
// identifier. Only its name is looked at: what Route 53 would refuse can stand there too.
func (s *Server) Put(zoneID string, set Set) error {
	return s.edit(zoneID, set.Name, func(z *zone, name string) {
		set.Name, set.Values = name, slices.Clone(set.Values)
		z.put(set)
	})
}

// PutValues writes an RRset as somebody else does.
func (s *Server) PutValues(zoneID, name, rrtype string, ttl int64, values ...string) error {
	return s.Put(zoneID, Set{Name: name, Type: rrtype, TTL: &ttl, Values: values})
}

// Remove removes all record sets of a name and type as somebody else does.
func (s *Server) Remove(zoneID, name, rrtype string) error {
	return s.edit(zoneID, name, func(z *zone, name string) {
		z.sets = slices.DeleteFunc(z.sets, func(set Set) bool { return set.Name == name && set.Type == rrtype })
	})
}

func (s *Server) edit(zoneID, name string, do func(z *zone, name string)) error {
	name, err := normal(name)
	if err != nil {
		return fmt.Errorf("route53: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[zoneID]
	if z == nil {
		return fmt.Errorf("route53: no zone %s", zoneID)
	}
	do(z, name)
	return s.show(z)
}

// Sets returns all record sets of a zone, in order.
func (s *Server) Sets(zoneID string) []Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	if z := s.zones[zoneID]; z != nil {
		return slices.Clone(z.sets)
	}
	return nil
}

// Values returns the values of the RRset at a name, sorted, as they are stored.
func (s *Server) Values(zoneID, name, rrtype string) []string {
	var values []string
	for _, set := range s.at(zoneID, name, rrtype) {
		values = append(values, set.Values...)
	}
	slices.Sort(values)
	return values
}

// TTL returns the TTL of the RRset at a name in seconds, -1 if there is none.
func (s *Server) TTL(zoneID, name, rrtype string) int64 {
	for _, set := range s.at(zoneID, name, rrtype) {
		if set.TTL != nil {
			return *set.TTL
		}
	}
	return -1
}

func (s *Server) at(zoneID, name, rrtype string) []Set {
	name, err := normal(name)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(s.Sets(zoneID), func(set Set) bool { return set.Name != name || set.Type != rrtype })
}

func compare(a, b Set) int {
	return cmp.Or(cmp.Compare(order(a.Name), order(b.Name)), cmp.Compare(a.Type, b.Type), cmp.Compare(a.SetIdentifier, b.SetIdentifier))
}

// put adds a set, in place of the one that has its name, type and identifier.
func (z *zone) put(set Set) {
	at, there := z.find(set)
	if there {
		z.sets[at] = set
	} else {
		z.sets = slices.Insert(z.sets, at, set)
	}
}

func (z *zone) find(set Set) (at int, there bool) {
	return slices.BinarySearchFunc(z.sets, set, compare)
}

func (z *zone) wire() hostedZone {
	h := hostedZone{ID: "/hostedzone/" + z.id, Name: z.name, CallerReference: "fake", Count: len(z.sets)}
	h.Config.PrivateZone = z.private
	return h
}
