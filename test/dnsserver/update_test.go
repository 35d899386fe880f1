package dnsserver

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func rrs(t *testing.T, lines ...string) []dns.RR {
	t.Helper()
	var records []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rr)
	}
	return records
}

// sendSigned signs with the key and verifies the answer, if it is signed.
func sendSigned(t *testing.T, s *Server, network string, msg *dns.Msg) *dns.Msg {
	t.Helper()
	msg.SetTsig("key.", dns.HmacSHA256, 300, 0)
	client := &dns.Client{Net: network, Timeout: 20 * time.Second, UDPSize: dns.MaxMsgSize, TsigSecret: map[string]string{"key.": secret}}
	reply, _, err := client.Exchange(msg, s.Addr())
	if reply == nil || err != nil && reply.Rcode != dns.RcodeNotAuth { // which miekg/dns does not verify
		t.Fatalf("%s: %v", network, err)
	}
	if reply.IsTsig() == nil {
		t.Fatalf("%s: the answer is not signed", network)
	}
	return reply
}

// update sends a signed UPDATE and returns the code of the answer.
func update(t *testing.T, s *Server, zone string, build func(*dns.Msg)) string {
	t.Helper()
	msg := new(dns.Msg)
	msg.SetUpdate(dns.Fqdn(zone))
	build(msg)
	return dns.RcodeToString[sendSigned(t, s, "tcp", msg).Rcode]
}

func serial(t *testing.T, s *Server) uint32 {
	t.Helper()
	return exchange(t, s, "udp", question("example.com", "SOA")).Answer[0].(*dns.SOA).Serial
}

// Each case starts from loaded and says the code and what then stands at a name.
func TestUpdate(t *testing.T) {
	type steps struct {
		prereq, update func(*dns.Msg)
	}
	used := func(lines ...string) func(*dns.Msg) { return func(m *dns.Msg) { m.Used(rrs(t, lines...)) } }
	insert := func(lines ...string) func(*dns.Msg) { return func(m *dns.Msg) { m.Insert(rrs(t, lines...)) } }
	remove := func(lines ...string) func(*dns.Msg) { return func(m *dns.Msg) { m.Remove(rrs(t, lines...)) } }
	add := insert(`example.com. 300 IN TXT "new"`)
	nothing := func(*dns.Msg) {}
	const spf = `example.com. 300 IN TXT "v=spf1 -all"`
	raw := func(rr dns.RR) func(*dns.Msg) { return func(m *dns.Msg) { m.Ns = append(m.Ns, rr) } }
	header := func(name string, rrtype, class uint16, ttl uint32) dns.RR {
		return &dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: rrtype, Class: class, Ttl: ttl}}
	}
	both, was := []string{`"new"`, `"v=spf1 -all"`}, []string{`"v=spf1 -all"`}

	for name, c := range map[string]struct {
		zone      string
		steps     steps
		rcode     string
		at        string // "TXT example.com" if empty
		want      []string
		unchanged bool // the serial stays
	}{
		"add":                            {"", steps{nothing, add}, "NOERROR", "", both, false},
		"add what stands":                {"", steps{nothing, insert(spf)}, "NOERROR", "", was, true},
		"add with another TTL":           {"", steps{nothing, insert(`example.com. 60 IN TXT "v=spf1 -all"`)}, "NOERROR", "", was, false},
		"nothing":                        {"", steps{nothing, nothing}, "NOERROR", "", was, true},
		"remove one":                     {"", steps{nothing, remove(spf)}, "NOERROR", "", nil, false},
		"remove what is not there":       {"", steps{nothing, remove(`example.com. 300 IN TXT "v=spf1" " -all"`)}, "NOERROR", "", was, true},
		"replace in order":               {"", steps{nothing, func(m *dns.Msg) { remove(spf)(m); add(m) }}, "NOERROR", "", []string{`"new"`}, false},
		"remove RRset":                   {"", steps{nothing, func(m *dns.Msg) { m.RemoveRRset(rrs(t, spf)) }}, "NOERROR", "", nil, false},
		"remove name keeps the apex":     {"", steps{nothing, func(m *dns.Msg) { m.RemoveName(rrs(t, spf)) }}, "NOERROR", "NS example.com", []string{"ns1.example.com."}, false},
		"last NS stays":                  {"", steps{nothing, remove("example.com. 300 IN NS ns1.example.com.")}, "NOERROR", "NS example.com", []string{"ns1.example.com."}, true},
		"TXT beside an alias is ignored": {"", steps{nothing, insert(`www.example.com. 300 IN TXT "x"`)}, "NOERROR", "TXT www.example.com", nil, true},
		"alias beside data is ignored":   {"", steps{nothing, insert(`mx.example.com. 300 IN CNAME example.com.`)}, "NOERROR", "CNAME mx.example.com", nil, true},
		"alias replaces alias":           {"", steps{nothing, insert(`www.example.com. 300 IN CNAME example.com.`)}, "NOERROR", "CNAME www.example.com", []string{"example.com."}, false},
		"old SOA is ignored":             {"", steps{nothing, insert(`example.com. 300 IN SOA ns1.example.com. x.example.com. 1 1 1 1 1`)}, "NOERROR", "", was, true},
		"case of names":                  {"EXAMPLE.com", steps{used(`Example.COM. 0 IN TXT "v=spf1 -all"`), add}, "NOERROR", "", both, false},

		"exact holds":               {"", steps{used(spf), add}, "NOERROR", "", both, false},
		"exact, order is free":      {"", steps{used("mx.example.com. 0 IN AAAA 2001:db8::1", spf, "mx.example.com. 0 IN A 192.0.2.1"), add}, "NOERROR", "", both, false},
		"exact, other text":         {"", steps{used(`example.com. 0 IN TXT "other"`), add}, "NXRRSET", "", was, true},
		"exact, other chunks":       {"", steps{used(`example.com. 0 IN TXT "v=spf1" " -all"`), add}, "NXRRSET", "", was, true},
		"exact, one too many":       {"", steps{used(spf, `example.com. 0 IN TXT "other"`), add}, "NXRRSET", "", was, true},
		"exact, wildcard does not":  {"", steps{used(`any.w.example.com. 0 IN TXT "made up"`), add}, "NXRRSET", "", was, true},
		"exact, TTL not 0":          {"", steps{func(m *dns.Msg) { m.Answer = rrs(t, spf) }, add}, "FORMERR", "", was, true},
		"RRset exists holds":        {"", steps{func(m *dns.Msg) { m.RRsetUsed(rrs(t, spf)) }, add}, "NOERROR", "", both, false},
		"RRset exists not":          {"", steps{func(m *dns.Msg) { m.RRsetUsed(rrs(t, "example.com. 0 IN A 192.0.2.1")) }, add}, "NXRRSET", "", was, true},
		"RRset absent holds":        {"", steps{func(m *dns.Msg) { m.RRsetNotUsed(rrs(t, "example.com. 0 IN A 192.0.2.1")) }, add}, "NOERROR", "", both, false},
		"RRset absent not":          {"", steps{func(m *dns.Msg) { m.RRsetNotUsed(rrs(t, spf)) }, add}, "YXRRSET", "", was, true},
		"RRset absent, wildcard":    {"", steps{func(m *dns.Msg) { m.RRsetNotUsed(rrs(t, `any.w.example.com. 0 IN TXT "x"`)) }, add}, "NOERROR", "", both, false},
		"name used holds":           {"", steps{func(m *dns.Msg) { m.NameUsed(rrs(t, spf)) }, add}, "NOERROR", "", both, false},
		"name used not":             {"", steps{func(m *dns.Msg) { m.NameUsed(rrs(t, "no.example.com. 0 IN A 192.0.2.1")) }, add}, "NXDOMAIN", "", was, true},
		"name used, non-terminal":   {"", steps{func(m *dns.Msg) { m.NameUsed(rrs(t, "b.c.example.com. 0 IN A 192.0.2.1")) }, add}, "NXDOMAIN", "", was, true},
		"name free holds":           {"", steps{func(m *dns.Msg) { m.NameNotUsed(rrs(t, "no.example.com. 0 IN A 192.0.2.1")) }, add}, "NOERROR", "", both, false},
		"name free not":             {"", steps{func(m *dns.Msg) { m.NameNotUsed(rrs(t, spf)) }, add}, "YXDOMAIN", "", was, true},
		"second prerequisite fails": {"", steps{func(m *dns.Msg) { used(spf)(m); m.RRsetNotUsed(rrs(t, spf)) }, add}, "YXRRSET", "", was, true},

		"zone not held":                {"example.org", steps{nothing, insert(`example.org. 60 IN TXT "x"`)}, "NOTAUTH", "", was, true},
		"zone is a name in ours":       {"mx.example.com", steps{nothing, nothing}, "NOTAUTH", "", was, true},
		"name of another zone":         {"", steps{nothing, func(m *dns.Msg) { add(m); insert(`example.net. 60 IN TXT "x"`)(m) }}, "NOTZONE", "", was, true},
		"name of a held child":         {"", steps{nothing, func(m *dns.Msg) { add(m); insert(`x.held.example.com. 60 IN TXT "x"`)(m) }}, "NOTZONE", "", was, true},
		"prerequisite of another zone": {"", steps{used(`example.net. 0 IN TXT "x"`), add}, "NOTZONE", "", was, true},
		"meta type is an error":        {"", steps{nothing, func(m *dns.Msg) { add(m); raw(header("example.com.", dns.TypeAXFR, dns.ClassANY, 0))(m) }}, "FORMERR", "", was, true},
		"TTL in a removal":             {"", steps{nothing, func(m *dns.Msg) { add(m); raw(header("example.com.", dns.TypeTXT, dns.ClassANY, 1))(m) }}, "FORMERR", "", was, true},
		"other class":                  {"", steps{nothing, func(m *dns.Msg) { add(m); raw(header("example.com.", dns.TypeTXT, dns.ClassCHAOS, 0))(m) }}, "FORMERR", "", was, true},
		"record without rdata":         {"", steps{nothing, func(m *dns.Msg) { add(m); raw(header("example.com.", dns.TypeTXT, dns.ClassINET, 0))(m) }}, "FORMERR", "", was, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := loaded(t)
			before := serial(t, s)
			zone, at := c.zone, c.at
			if zone == "" {
				zone = "example.com"
			}
			if at == "" {
				at = "TXT example.com"
			}
			rcode := update(t, s, zone, func(m *dns.Msg) { c.steps.prereq(m); c.steps.update(m) })
			if rcode != c.rcode {
				t.Errorf("code %s, want %s", rcode, c.rcode)
			}
			rrtype, owner, _ := strings.Cut(at, " ")
			if diff := cmp.Diff(c.want, s.Records(owner, rrtype)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", at, diff)
			}
			if after := serial(t, s); (after == before) != c.unchanged {
				t.Errorf("serial %d, before %d; want unchanged = %v", after, before, c.unchanged)
			}
		})
	}
}

func TestUpdateTTL(t *testing.T) {
	s := loaded(t)
	update(t, s, "example.com", func(m *dns.Msg) { m.Insert(rrs(t, `example.com. 77 IN TXT "new"`)) })
	for _, rr := range exchange(t, s, "udp", question("example.com", "TXT")).Answer {
		if rr.Header().Ttl != 77 {
			t.Errorf("%v: one RRset has one TTL, want 77", rr)
		}
	}
}

func TestUpdateFormat(t *testing.T) {
	s := loaded(t)
	for name, spoil := range map[string]func(*dns.Msg){
		"zone section of type A": func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA },
		"two zones":              func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
	} {
		if got := update(t, s, "example.com", spoil); got != "FORMERR" {
			t.Errorf("%s: %s, want FORMERR", name, got)
		}
	}
}

func TestUpdateSignature(t *testing.T) {
	for name, c := range map[string]struct {
		key, algorithm, secret string
		clock                  time.Duration
		rcode, tsig            int
	}{
		"right":             {"key.", dns.HmacSHA256, secret, 0, dns.RcodeSuccess, 0},
		"other spelling":    {"KEY.", dns.HmacSHA256, secret, 0, dns.RcodeSuccess, 0},
		"other algorithm":   {"key.", dns.HmacSHA512, secret, 0, dns.RcodeSuccess, 0},
		"wrong secret":      {"key.", dns.HmacSHA256, base64.StdEncoding.EncodeToString([]byte("wrong")), 0, dns.RcodeNotAuth, dns.RcodeBadSig},
		"unknown key":       {"other.", dns.HmacSHA256, secret, 0, dns.RcodeNotAuth, dns.RcodeBadKey},
		"wrong clock":       {"key.", dns.HmacSHA256, secret, time.Hour, dns.RcodeNotAuth, dns.RcodeBadTime},
		"no signature":      {"", "", "", 0, dns.RcodeRefused, 0},
		"clock a bit wrong": {"key.", dns.HmacSHA256, secret, time.Minute, dns.RcodeSuccess, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := loaded(t)
			msg := new(dns.Msg)
			msg.SetUpdate("example.com.")
			msg.Insert(rrs(t, `example.com. 300 IN TXT "new"`))
			client := &dns.Client{Net: "tcp", Timeout: 20 * time.Second}
			if c.key != "" {
				msg.SetTsig(c.key, c.algorithm, 300, time.Now().Add(c.clock).Unix())
				client.TsigSecret = map[string]string{c.key: c.secret}
			}
			reply, _, err := client.Exchange(msg, s.Addr())
			if reply == nil || err != nil && reply.Rcode != dns.RcodeNotAuth {
				t.Fatal(err)
			}
			if reply.Rcode != c.rcode {
				t.Errorf("code %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode])
			}
			signature := reply.IsTsig()
			if (signature != nil) != (c.key != "") {
				t.Fatalf("signature of the answer: %v", signature)
			}
			if signature != nil && int(signature.Error) != c.tsig {
				t.Errorf("TSIG error %d, want %d", signature.Error, c.tsig)
			}
			if applied := len(s.TXT("example.com")) == 2; applied != (c.rcode == dns.RcodeSuccess) {
				t.Errorf("applied = %v", applied)
			}
		})
	}
}

func TestUpdateFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault    Fault
		answered bool
		rcode    int
		applied  bool
	}{
		"sane":          {Fault{}, true, dns.RcodeSuccess, true},
		"RefuseUpdates": {Fault{RefuseUpdates: true}, true, dns.RcodeRefused, false},
		"DropUpdates":   {Fault{DropUpdates: true}, false, 0, false},
		"LoseUpdates":   {Fault{LoseUpdates: true}, true, dns.RcodeSuccess, false},
		"MuteUpdates":   {Fault{MuteUpdates: true}, false, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := loaded(t)
			s.Fault(c.fault)
			msg := new(dns.Msg)
			msg.SetUpdate("example.com.")
			msg.Insert(rrs(t, `example.com. 300 IN TXT "new"`))
			msg.SetTsig("key.", dns.HmacSHA256, 300, 0)
			timeout := 20 * time.Second
			if !c.answered {
				timeout = time.Second
			}
			client := &dns.Client{Net: "tcp", Timeout: timeout, TsigSecret: map[string]string{"key.": secret}}
			reply, _, err := client.Exchange(msg, s.Addr())
			if (err == nil) != c.answered {
				t.Fatalf("answer %v, error %v", reply, err)
			}
			if c.answered && reply.Rcode != c.rcode {
				t.Errorf("code %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode])
			}
			if applied := len(s.TXT("example.com")) == 2; applied != c.applied {
				t.Errorf("applied = %v, want %v", applied, c.applied)
			}
			if s.Updates() != 1 {
				t.Errorf("Updates() = %d, want 1", s.Updates())
			}
		})
	}
}
