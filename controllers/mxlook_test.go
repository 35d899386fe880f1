package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// answered is what a name server says of the MX records of example.com: an outcome that is a failure, an alias after "-> ", or
// records with commas between them; "" is none.
func answered(server, what string) probe.Answer {
	a := probe.Answer{Server: server, Outcome: probe.Found, Addr: netip.MustParseAddrPort("192.0.2.1:53")}
	alias, aliased := strings.CutPrefix(what, "-> ")
	switch {
	case what == "":
		a.Outcome = probe.NoData
	case aliased:
		a.Alias = alias
	case slices.Contains([]probe.Outcome{probe.Timeout, probe.ServFail, probe.Lame, probe.Refused, probe.Unroutable, probe.NXDomain}, probe.Outcome(what)):
		a.Outcome = probe.Outcome(what)
	default:
		a.Values = strings.Split(what, ",")
	}
	return a
}

func TestLiveMXHostsAreThoseOfAll(t *testing.T) {
	resolved := func(hosts ...string) mxSaid { return mxSaid{hosts: hosts} }
	none := mxSaid{hosts: []string{"example.com"}, implicit: true}
	const alone, implicit = "as ns2 has it", "which is where mail goes without an MX record"
	var many []string
	for i := range maxMX {
		many = append(many, fmt.Sprintf("10 mx%02d.example.com", i))
	}
	for name, c := range map[string]struct {
		resolver mxSaid
		ns1, ns2 string
		want     []string
		wrong    string
	}{
		"all agree":                    {resolved("a.example"), "10 a.example", "20 a.example", []string{"a.example"}, ""},
		"one has another host":         {resolved("a.example"), "10 a.example", "10 b.example", []string{"a.example (as ns1 has it)", "b.example (as ns2 has it)"}, ""},
		"one has a host more":          {resolved("a.example"), "10 a.example", "10 a.example,20 b.example", []string{"a.example", "b.example (" + alone + ")"}, ""},
		"a cache has what was":         {resolved("old.example"), "10 a.example", "10 a.example", []string{"a.example", "old.example (as a cache has it)"}, ""},
		"a cache lacks what is new":    {resolved("a.example"), "10 a.example,20 b.example", "10 a.example,20 b.example", []string{"a.example", "b.example"}, ""},
		"nobody but the resolver":      {resolved("a.example"), "Timeout", "ServFail", []string{"a.example"}, ""},
		"a silent one, a lame one":     {resolved("a.example"), "Lame", "10 b.example", []string{"a.example (as a cache has it)", "b.example"}, ""},
		"a null MX at one":             {resolved(), "0 .", "10 b.example", []string{"b.example (" + alone + ")"}, ""},
		"a null MX at all":             {resolved(), "0 .", "0 .", nil, ""},
		"a null MX beside a host":      {resolved("a.example"), "0 .,10 a.example", "0 .,10 a.example", []string{"a.example"}, ""},
		"none at one":                  {resolved("a.example"), "10 a.example", "", []string{"a.example (as ns1 has it)", "example.com (" + implicit + ", " + alone + ")"}, ""},
		"no such name at one":          {resolved("a.example"), "10 a.example", "NXDomain", []string{"a.example (as ns1 has it)", "example.com (" + implicit + ", " + alone + ")"}, ""},
		"none at all":                  {none, "", "", []string{"example.com (" + implicit + ")"}, ""},
		"none, of a cache":             {none, "10 a.example", "10 a.example", []string{"a.example", "example.com (" + implicit + ", as a cache has it)"}, ""},
		"the domain itself, in two":    {none, "", "10 example.com", []string{"example.com"}, ""},
		"an alias at all":              {resolved("a.example"), "-> b.example", "-> b.example", []string{"a.example"}, ""},
		"an alias at one":              {resolved("a.example"), "10 b.example", "-> c.example", []string{"a.example (as a cache has it)", "b.example"}, ""},
		"as many as are looked at":     {resolved(), strings.Join(many, ","), strings.Join(many, ","), slices.Collect(trimmed(many)), ""},
		"too many, together":           {resolved(), strings.Join(many, ","), "10 b.example", nil, "they name 33 hosts, and at most 32 are looked at"},
		"no host name at one":          {resolved("a.example"), "10 a.example", `10 b\ c.example`, nil, `"b\\ c.example" is not a host name`},
		"no preference, as of no type": {resolved("a.example"), "10 a.example", "nonsense", []string{"a.example (as ns1 has it)"}, ""},
	} {
		said := []mxSaid{c.resolver}
		for _, a := range []probe.Answer{answered("ns1", c.ns1), answered("ns2", c.ns2)} {
			if one, ok := mxSaidBy(a, "example.com"); ok {
				said = append(said, one)
			}
		}
		live, err := liveMX(said)
		var got []string
		for _, host := range live {
			got = append(got, host.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if unusable, _ := errors.AsType[unusableMX](err); !strings.HasPrefix(string(unusable), c.wrong) || (err != nil) != (c.wrong != "") {
			t.Errorf("%s: %v, want %q", name, err, c.wrong)
		}
	}
}

// trimmed are the hosts of MX records.
func trimmed(records []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, record := range records {
			if !yield(strings.TrimPrefix(record, "10 ")) {
				return
			}
		}
	}
}

// A name server that gives no answer takes no host from the live ones for an hour, and for no longer.
func TestSilenceTakesNoMXHost(t *testing.T) {
	var many []string
	for i := range maxMX {
		many = append(many, fmt.Sprintf("mx%02d.example", i))
	}
	for name, c := range map[string]struct {
		before []string
		ns2    string
		silent time.Duration // since when it is noted
		live   []mxHost
		want   string
	}{
		"it answers":                 {[]string{"a.example", "b.example"}, "10 a.example", 0, hosts("a.example"), "a.example"},
		"it is silent":               {[]string{"a.example", "b.example"}, "Timeout", 0, hosts("a.example"), "a.example, b.example (as ns2 may have it)"},
		"it is lame":                 {[]string{"a.example", "b.example"}, "Lame", time.Minute, hosts("c.example"), "a.example (as ns2 may have it), b.example (as ns2 may have it), c.example"},
		"for nearly an hour":         {[]string{"a.example", "b.example"}, "Timeout", time.Hour - time.Second, hosts("a.example"), "a.example, b.example (as ns2 may have it)"},
		"for an hour":                {[]string{"a.example", "b.example"}, "Timeout", time.Hour, hosts("a.example"), "a.example"},
		"it can't be asked":          {[]string{"a.example", "b.example"}, "Unroutable", 0, hosts("a.example"), "a.example"},
		"nothing is missing":         {[]string{"a.example"}, "Timeout", 0, hosts("a.example", "b.example"), "a.example, b.example"},
		"no more than are looked at": {many, "Timeout", 0, hosts(many[1:]...), strings.Join(many[1:], ", ") + ", mx00.example (as ns2 may have it)"},
		"none beyond":                {[]string{"z.example"}, "Timeout", 0, hosts(many...), strings.Join(many, ", ")},
	} {
		seen := sight{answers: []probe.Answer{answered("ns1", "10 a.example"), answered("ns2", c.ns2)}}
		s := &scope{now: noon, book: &book{Ledger: &ledger.Ledger{MX: ledger.MX{Hosts: c.before}}}}
		if c.silent > 0 {
			s.book.Silent = map[string]time.Time{place(seen.answers[1]): noon.Add(-c.silent)}
		}
		var got []string
		for _, host := range s.keepMX(c.live, seen) {
			got = append(got, host.String())
		}
		slices.Sort(got)
		want := strings.Split(c.want, ", ")
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// zoneProber has name servers that say what the test says; a zone that it lacks can't be found.
type zoneProber struct {
	zones map[string][]probe.Answer
	asked []string
}

func (p *zoneProber) Authority(_ context.Context, name string, nameservers []string) (probe.Authority, error) {
	if _, known := p.zones[name]; !known || len(nameservers) > 0 {
		return probe.Authority{}, probe.ErrCouldNotAsk
	}
	return probe.Authority{Apex: name}, nil
}

func (p *zoneProber) Ask(_ context.Context, _ probe.Authority, name, rrtype string) []probe.Answer {
	p.asked = append(p.asked, name+" "+rrtype)
	return p.zones[name]
}

// Each name is asked for once, aliases are followed as far as the bound goes, and a zone whose servers are not found is silent.
func TestWhoIsAskedForMXRecords(t *testing.T) {
	endless := map[string][]probe.Answer{"example.com": {answered("ns1", "-> n1.example")}}
	for i := 1; i < 10; i++ {
		endless[fmt.Sprintf("n%d.example", i)] = []probe.Answer{answered("ns1", fmt.Sprintf("-> n%d.example", i+1))}
	}
	for name, c := range map[string]struct {
		zones   map[string][]probe.Answer
		asked   string
		answers int
		silent  string
	}{
		"no alias":            {map[string][]probe.Answer{"example.com": {answered("ns1", "10 a.example"), answered("ns2", "")}}, "example.com", 2, ""},
		"an alias":            {map[string][]probe.Answer{"example.com": {answered("ns1", "-> b.example"), answered("ns2", "-> b.example")}, "b.example": {answered("ns3", "10 a.example")}}, "example.com b.example", 3, ""},
		"two aliases":         {map[string][]probe.Answer{"example.com": {answered("ns1", "-> b.example"), answered("ns2", "-> c.example")}, "b.example": {answered("ns3", "")}, "c.example": {answered("ns3", "")}}, "example.com b.example c.example", 4, ""},
		"in a circle":         {map[string][]probe.Answer{"example.com": {answered("ns1", "-> b.example")}, "b.example": {answered("ns3", "-> example.com")}}, "example.com b.example", 2, ""},
		"without end":         {endless, "example.com n1.example n2.example n3.example", 4, ""},
		"an alias to nowhere": {map[string][]probe.Answer{"example.com": {answered("ns1", "-> b.example")}}, "example.com", 2, "the zone of b.example (Timeout)"},
		"no servers known":    {nil, "", 1, "the zone of example.com (Timeout)"},
	} {
		p := &zoneProber{zones: c.zones}
		md := &v1alpha1.MailDomain{Spec: v1alpha1.MailDomainSpec{Domain: "example.com"}}
		seen := lookMX(t.Context(), &scope{md: md, prober: p, sights: map[asked]sight{}})
		if want := strings.ReplaceAll(c.asked, " ", " MX ") + strings.Repeat(" MX", min(1, len(c.asked))); strings.Join(p.asked, " ") != want || len(seen.answers) != c.answers {
			t.Errorf("%s: asked %q, want %q; %d answers", name, p.asked, want, len(seen.answers))
		}
		if silent, _ := seen.waiting(nil, noon); strings.Join(silent, " ") != c.silent {
			t.Errorf("%s: silent: %q", name, silent)
		}
	}
}

// delegated is a prober of a world whose zone is delegated to several servers.
type delegated struct {
	Prober
	to []string
}

func (d delegated) Authority(ctx context.Context, name string, nameservers []string) (probe.Authority, error) {
	if len(nameservers) == 0 {
		nameservers = d.to
	}
	return d.Prober.Authority(ctx, name, nameservers)
}

// A host that one of two name servers alone has is in nobody's answer but that one's, and senders may have it: the policy keeps it,
// also while that server gives no answer, and for a day from when no server has it.
func TestAnMXHostOfOneNameServerStaysInThePolicy(t *testing.T) {
	w := newWorld(t)
	behind, err := w.dns.Secondary("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { behind.Close() })
	w.r.Prober = delegated{w.r.Prober, []string{w.dns.Addr(), behind.Addr()}}
	w.nameservers(w.dns.Addr()) // senders know nothing of what a provider says
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx2.example.com."))
	s := onlyMTASTS()
	s.MTASTS.MX = []string{"mx1.example.com", "mx2.example.com"}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)

	behind.Freeze()
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.")) // which is all that the resolver and one server say
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MX = []string{"mx1.example.com"} })
	keeps := func(why string) {
		t.Helper()
		w.until("example-com", "the policy keeps the host "+why, func(md *v1alpha1.MailDomain) bool {
			return md.Status.ObservedGeneration == md.Generation && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), "mx2.example.com stays in the policy "+why)
		})
		if got := w.policyOf(); got.Mode != mtasts.Enforce || !slices.Equal(got.MX, []string{"mx1.example.com", "mx2.example.com"}) || !w.isAnnounced(nil) {
			t.Fatalf("%s the policy is %q", why, got)
		}
	}
	keeps("while mx2.example.com (as ")
	w.forward(2 * recordCaches) // however long ago it left the other server
	keeps("while mx2.example.com (as ")
	w.settles("example-com")

	behind.Fault(dnsserver.Fault{ServFail: true})
	keeps("while mx2.example.com (as ")
	w.settles("example-com")
	w.forward(time.Hour)
	keeps("until") // it has left, as far as anybody can know
	behind.Fault(dnsserver.Fault{})
	keeps("while mx2.example.com (as ")

	behind.Thaw()
	keeps("until")
	w.forward(recordCaches)
	w.until("example-com", "narrowed", func(md *v1alpha1.MailDomain) bool {
		return slices.Equal(w.policyOf().MX, []string{"mx1.example.com"}) && w.isAnnounced(md) && isReady(md)
	})
	w.settles("example-com")

	// The other way round, a host that one server alone has is mail at risk, and it is said where.
	behind.Freeze()
	w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx9.example.com."))
	w.until("example-com", "at risk", func(md *v1alpha1.MailDomain) bool {
		return hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonMailAtRisk)(md) && strings.Contains(message(md, v1alpha1.ConditionReady), "mx9.example.com (as "+w.dns.Addr()+" has it)")
	})
	w.settles("example-com")
}
