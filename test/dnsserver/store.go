package dnsserver

import (
	"maps"
	"sync"

	"github.com/miekg/dns"
)

// store holds zones. RRsets in it are replaced, never changed.
type store struct {
	mu    sync.RWMutex
	zones map[string]*zone // by apex
}

// zone holds the records of one zone. Names are in lower case and end in a dot.
type zone struct {
	apex  string
	names map[string]map[uint16][]dns.RR // no name without a type, no type without a record
	below map[string]int                 // how many names with records are below a name
}

func newStore() *store { return &store{zones: map[string]*zone{}} }

func newZone(apex string) *zone {
	return &zone{apex: apex, names: map[string]map[uint16][]dns.RR{}, below: map[string]int{}}
}

func (d *store) clone() *store {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c := newStore()
	for apex, z := range d.zones {
		zc := &zone{apex: apex, names: make(map[string]map[uint16][]dns.RR, len(z.names)), below: maps.Clone(z.below)}
		for name, types := range z.names {
			zc.names[name] = maps.Clone(types)
		}
		c.zones[apex] = zc
	}
	return c
}

// zoneOf returns the zone that name belongs to, the one with the longest apex, or nil.
func (d *store) zoneOf(name string) *zone {
	for {
		if z := d.zones[name]; z != nil {
			return z
		}
		if name == "." {
			return nil
		}
		name = parent(name)
	}
}

// parent returns name without its first label.
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

// set replaces an RRset; without records it removes it.
func (z *zone) set(name string, rrtype uint16, records []dns.RR) {
	had := len(z.names[name]) > 0
	switch {
	case len(records) == 0:
		delete(z.names[name], rrtype)
		if len(z.names[name]) == 0 {
			delete(z.names, name)
		}
	case !had:
		z.names[name] = map[uint16][]dns.RR{rrtype: records}
	default:
		z.names[name][rrtype] = records
	}
	if has := len(z.names[name]) > 0; has != had {
		for up := name; up != z.apex; {
			up = parent(up)
			if has {
				z.below[up]++
			} else {
				z.below[up]--
			}
		}
	}
}

// exists reports whether name is in the zone's tree: it has records or is an empty
// non-terminal, with records below it only.
func (z *zone) exists(name string) bool {
	return len(z.names[name]) > 0 || z.below[name] > 0
}

func (z *zone) soa() *dns.SOA {
	return z.names[z.apex][dns.TypeSOA][0].(*dns.SOA)
}

// bump raises the serial number (RFC 1982).
func (z *zone) bump() {
	soa := *z.soa()
	if soa.Serial++; soa.Serial == 0 {
		soa.Serial = 1
	}
	z.set(z.apex, dns.TypeSOA, []dns.RR{&soa})
}
