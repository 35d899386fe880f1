package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/probe"
)

// Which hosts senders take for those of a domain, by all who may tell them.

// typeMX is that of records which are read only.
const typeMX = "MX"

// mxHosts are the hosts that any sender may take for live: those of every authoritative name server, and of the resolver, since
// they don't say the same while the zone changes. A name server that gives no answer makes no host vanish: one that was
// live before stays so while the server is waited for, which is an hour. From then on it is one that has left.
func (r *Reconciler) mxHosts(ctx context.Context, s *scope) ([]mxHost, error) {
	resolved, err := s.resolvedMX(ctx)
	if err != nil {
		return nil, err
	}
	seen := lookMX(ctx, s)
	said := []mxSaid{resolved}
	for _, a := range seen.answers {
		if one, ok := mxSaidBy(a, s.md.Spec.Domain); ok {
			said = append(said, one)
		}
	}
	hosts, err := liveMX(said)
	if err != nil {
		return nil, err
	}
	s.unclear = s.unclear || slices.ContainsFunc(hosts, func(h mxHost) bool { return h.implicit }) // goes by addresses
	if hosts, err = s.deliverable(ctx, hosts); err != nil {
		return nil, err
	}
	return s.keepMX(hosts, seen), nil
}

// mxSaid is what a name server, or the resolver, says of the live MX records.
type mxSaid struct {
	by    string   // the name server; "" is the resolver
	hosts []string // none for the null MX (RFC 7505)
	// implicit: there are no MX records, so it is the domain itself (RFC 5321 §5.1).
	implicit bool
}

// mxSaidBy is what one answer says of the domain's MX records. It is not ok where that is nothing, as of an alias: where that
// leads is said by others.
func mxSaidBy(a probe.Answer, domain string) (said mxSaid, ok bool) {
	switch {
	case !proves(a) || a.Alias != "":
		return mxSaid{}, false
	case a.Outcome != probe.Found:
		return mxSaid{by: a.Server, hosts: []string{domain}, implicit: true}, true
	}
	said.by = a.Server
	for _, value := range a.Values {
		_, host, _ := strings.Cut(value, " ") // after the preference
		said.add(host)
	}
	return said, true
}

// add adds the host of a record, unless it is the null MX.
func (m *mxSaid) add(host string) {
	if host = strings.ToLower(strings.TrimSuffix(host, ".")); host != "" {
		m.hosts = append(m.hosts, host)
	}
}

// resolvedMX is what the resolver says of the domain's MX records.
func (s *scope) resolvedMX(ctx context.Context) (said mxSaid, err error) {
	domain := s.md.Spec.Domain
	mx, err := s.resolver.LookupMX(ctx, domain)
	if err != nil && !isNotFound(err) {
		return mxSaid{}, err
	}
	if len(mx) == 0 {
		return mxSaid{hosts: []string{domain}, implicit: true}, nil
	}
	for _, m := range mx {
		said.add(m.Host)
	}
	return said, nil
}

// lookMX asks every authoritative name server for the MX records, and those of the names that aliases lead to. The servers are
// those of the delegation, whatever spec.nameservers of a provider says: senders go by that.
func lookMX(ctx context.Context, s *scope) sight {
	var seen sight
	names := []string{s.md.Spec.Domain}
	for i := 0; i < min(len(names), maxMXNames); i++ {
		authority, err := s.prober.Authority(ctx, names[i], nil)
		if err != nil { // nobody knows who is silent: it is waited for as one server
			seen.answers = append(seen.answers, probe.Answer{Server: "the zone of " + names[i], Outcome: probe.Timeout})
			s.unclear = true
			continue
		}
		answers := s.prober.Ask(ctx, authority, names[i], typeMX)
		s.sights[asked{names[i], typeMX, false}] = sight{authority: authority, answers: answers}
		for _, a := range answers {
			if a.Alias != "" && !slices.Contains(names, a.Alias) {
				names = append(names, a.Alias)
			}
			seen.answers = append(seen.answers, a)
		}
	}
	return seen
}

// liveMX puts together what was said: each host once, by name.
func liveMX(said []mxSaid) ([]mxHost, error) {
	live := map[string]mxHost{}
	for _, one := range said {
		for _, name := range one.hosts {
			if !probe.IsHostname(name) {
				return nil, unusableMX(fmt.Sprintf("%q is not a host name: correct that MX record", cutTo(name, 64)))
			}
			host, known := live[name]
			host.name, host.implicit = name, one.implicit && (host.implicit || !known)
			live[name] = host
		}
	}
	if len(live) > maxMX {
		return nil, unusableMX(fmt.Sprintf("they name %d hosts, and at most %d are looked at: remove some", len(live), maxMX))
	}
	var hosts []mxHost
	for _, name := range slices.Sorted(maps.Keys(live)) {
		host := live[name]
		host.where = whereMX(name, said)
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// whereMX says who has the host among the live ones, where the name servers don't agree on it; else "".
func whereMX(name string, said []mxSaid) string {
	with, without := "", false
	for _, one := range said {
		switch {
		case one.by == "": // the resolver may have what was
		case !slices.Contains(one.hosts, name):
			without = true
		case with == "":
			with = one.by
		}
	}
	switch {
	case !without:
		return ""
	case with == "":
		return "as a cache has it"
	}
	return fmt.Sprintf("as %s has it", with)
}

// deliverable takes out the domain itself, where it is there for want of MX records and has no address.
func (s *scope) deliverable(ctx context.Context, hosts []mxHost) ([]mxHost, error) {
	at := slices.IndexFunc(hosts, func(h mxHost) bool { return h.implicit })
	if at < 0 {
		return hosts, nil
	}
	for _, network := range []string{"ip4", "ip6"} {
		addrs, err := s.resolver.LookupNetIP(ctx, network, hosts[at].name)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if len(addrs) > 0 {
			return hosts, nil
		}
	}
	return slices.Delete(hosts, at, at+1), nil
}

// keepMX adds the hosts that were live at the last look, and that a silent name server may have still.
func (s *scope) keepMX(hosts []mxHost, seen sight) []mxHost {
	missing := slices.DeleteFunc(slices.Clone(s.book.MX.Hosts), func(name string) bool {
		return slices.ContainsFunc(hosts, func(h mxHost) bool { return h.name == name })
	})
	if len(missing) == 0 {
		return hosts
	}
	silent := s.silence(seen)
	if len(silent) == 0 {
		return hosts
	}
	server, _, _ := strings.Cut(silent[0], " (") // how it is silent may change all the time
	for _, name := range missing[:min(len(missing), maxMX-len(hosts))] {
		hosts = append(hosts, mxHost{name: name, where: fmt.Sprintf("as %s may have it", server)})
	}
	slices.SortFunc(hosts, func(a, b mxHost) int { return strings.Compare(a.name, b.name) })
	return hosts
}
