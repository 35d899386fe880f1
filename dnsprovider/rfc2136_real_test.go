package dnsprovider

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/real"
)

// TestRFC2136OnRealServers runs the cases against the real name servers, each in a zone of its own.
func TestRFC2136OnRealServers(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(real.NameServers)) {
		t.Run(name, func(t *testing.T) {
			var zones []real.Zone
			apexOf := func(i int) string { return fmt.Sprintf("case%d.example", i) }
			for i, c := range rfc2136Cases {
				zones = append(zones, real.Zone{Apex: apexOf(i), Records: c.zone})
				if c.child != "" {
					zones = append(zones, real.Zone{Apex: c.child + "." + apexOf(i)})
				}
			}
			server := real.NameServers[name](t, real.Key{Name: keyName, Secret: keySecret}, zones...)
			for i, c := range rfc2136Cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, env{server, apexOf(i), name == "PowerDNS"}) })
			}
		})
	}
}

func TestRFC2136OnBIND(t *testing.T) {
	server := real.BIND(t, real.Key{Name: keyName, Secret: keySecret},
		real.Zone{Apex: "dname.example", Records: "d DNAME elsewhere.example.\nd TXT x"},
		real.Zone{Apex: "closed.example", Records: "_dmarc TXT x", Closed: true})

	t.Run("the server forbids it", func(t *testing.T) {
		e := env{server: server, apex: "closed.example"}
		_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
		wantKind(t, err, Refused)
		wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: RRset{Key: e.txt("new")}, Add: []string{"x"}, TTL: time.Hour}), Refused)
	})
	t.Run("names below a DNAME are aliases", func(t *testing.T) {
		e := env{server: server, apex: "dname.example"}
		if seen := e.read(t, e.txt("a.d")); seen.Alias != "a.elsewhere.example" {
			t.Errorf("alias %q, records %q", seen.Alias, seen.Values())
		}
		wantValues(t, e.read(t, e.txt("d")), "x")
	})
}
