package desec

import (
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

type key struct{ name, recordType string }

// Serve has d serve what the domains hold, now and after every change. d must have the zones;
// their NS records are its own.
func (s *Server) Serve(d *dnsserver.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dns = d
	s.show()
}

// show brings the DNS server up to date.
func (s *Server) show() {
	if s.dns == nil {
		return
	}
	sets := map[key]rrset{}
	for _, d := range s.domains {
		for _, set := range d.rrsets {
			if set.Subname != "" || set.Type != "NS" {
				sets[key{d.absolute(set.Subname), set.Type}] = set
			}
		}
	}
	// What goes, goes first, so that an alias can take its place.
	for k := range s.shown {
		if _, stands := sets[k]; !stands {
			_ = s.dns.Set(k.name, k.recordType) // what it holds, it lets go
			delete(s.shown, k)
		}
	}
	for k, set := range sets {
		if old := s.shown[k]; old.TTL == set.TTL && slices.Equal(old.Records, set.Records) {
			continue
		}
		if s.dns.SetTTL(k.name, k.recordType, time.Duration(set.TTL)*time.Second, set.Records...) == nil {
			s.shown[k] = set
		}
	}
}
