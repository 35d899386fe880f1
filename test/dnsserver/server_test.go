package dnsserver

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

var secret = base64.StdEncoding.EncodeToString([]byte("not much of a secret, but long enough"))

const zoneFile = `
$ORIGIN example.com.
@        300 IN MX    10 mx
@        300 IN TXT   "v=spf1 -all"
mx       300 IN A     192.0.2.1
mx       300 IN AAAA  2001:db8::1
www      300 IN CNAME mx
out      300 IN CNAME www.elsewhere.example.
cross    300 IN CNAME www.example.net.
loop     300 IN CNAME pool
pool     300 IN CNAME loop
dangling 300 IN CNAME nowhere.sub
a.b.c    300 IN TXT   "deep"
*.w      300 IN TXT   "made up"
real.w   300 IN TXT   "real"
x.ent.w  300 IN TXT   "below"
*.alias  300 IN CNAME mx
child    300 IN NS    ns.child
child    300 IN NS    ns.elsewhere.example.
ns.child 300 IN A     192.0.2.53
child    300 IN DS    1 13 2 aabb
$ORIGIN example.net.
www      300 IN A     192.0.2.2
`

func start(t *testing.T, zones ...string) *Server {
	t.Helper()
	s, err := Start(Config{Addr: "127.0.0.1:0", Keys: map[string]string{"key": secret}, Zones: zones, Minimum: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func loaded(t *testing.T) *Server {
	t.Helper()
	s := start(t, "example.com", "example.net", "held.example.com")
	if err := s.Load(zoneFile); err != nil {
		t.Fatal(err)
	}
	return s
}

func exchange(t *testing.T, s *Server, network string, msg *dns.Msg) *dns.Msg {
	t.Helper()
	client := &dns.Client{Net: network, Timeout: 20 * time.Second, UDPSize: dns.MaxMsgSize}
	reply, _, err := client.Exchange(msg, s.Addr())
	if err != nil {
		t.Fatalf("%s: %v", network, err)
	}
	return reply
}

func question(name, rrtype string) *dns.Msg {
	msg := new(dns.Msg)
	return msg.SetQuestion(dns.Fqdn(name), dns.StringToType[rrtype])
}

// summary writes an answer in one line: code, flags, and the records of each section.
func summary(m *dns.Msg) string {
	parts := []string{dns.RcodeToString[m.Rcode]}
	if m.Authoritative {
		parts = append(parts, "aa")
	}
	if m.Truncated {
		parts = append(parts, "tc")
	}
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype == dns.TypeOPT {
				continue
			}
			text := strings.TrimPrefix(rr.String(), rr.Header().String())
			if soa, ok := rr.(*dns.SOA); ok {
				text = fmt.Sprintf("SOA ttl=%d", soa.Hdr.Ttl)
			}
			parts = append(parts, fmt.Sprintf("%s[%s %s %s]", []string{"an", "ns", "ar"}[i], rr.Header().Name, dns.TypeToString[rr.Header().Rrtype], text))
		}
	}
	return strings.Join(parts, " ")
}

func TestAnswers(t *testing.T) {
	s := loaded(t)
	const soa = "ns[example.com. SOA SOA ttl=60]"
	for _, c := range []struct{ name, rrtype, want string }{
		{"example.com", "TXT", `NOERROR aa an[example.com. TXT "v=spf1 -all"]`},
		{"eXample.COM", "TXT", `NOERROR aa an[eXample.COM. TXT "v=spf1 -all"]`},
		{"example.com", "SOA", `NOERROR aa an[example.com. SOA SOA ttl=3600]`},
		{"example.com", "NS", `NOERROR aa an[example.com. NS ns1.example.com.] ar[ns1.example.com. A 127.0.0.1]`},
		{"mx.example.com", "TXT", "NOERROR aa " + soa},
		{"mx.example.com", "ANY", "NOERROR aa an[mx.example.com. A 192.0.2.1] an[mx.example.com. AAAA 2001:db8::1]"},
		{"nowhere.example.com", "A", "NXDOMAIN aa " + soa},
		{"b.c.example.com", "A", "NOERROR aa " + soa},
		{"x.b.c.example.com", "A", "NXDOMAIN aa " + soa},

		{"www.example.com", "A", "NOERROR aa an[www.example.com. CNAME mx.example.com.] an[mx.example.com. A 192.0.2.1]"},
		{"www.example.com", "CNAME", "NOERROR aa an[www.example.com. CNAME mx.example.com.]"},
		{"www.example.com", "TXT", "NOERROR aa an[www.example.com. CNAME mx.example.com.] " + soa},
		{"out.example.com", "A", "NOERROR aa an[out.example.com. CNAME www.elsewhere.example.]"},
		{"cross.example.com", "A", "NOERROR aa an[cross.example.com. CNAME www.example.net.] an[www.example.net. A 192.0.2.2]"},
		{"loop.example.com", "A", "NOERROR aa an[loop.example.com. CNAME pool.example.com.] an[pool.example.com. CNAME loop.example.com.]"},
		{"dangling.example.com", "A", "NXDOMAIN aa an[dangling.example.com. CNAME nowhere.sub.example.com.] " + soa},

		{"any.w.example.com", "TXT", `NOERROR aa an[any.w.example.com. TXT "made up"]`},
		{"a.b.w.example.com", "TXT", `NOERROR aa an[a.b.w.example.com. TXT "made up"]`},
		{"any.w.example.com", "A", "NOERROR aa " + soa},
		{"*.w.example.com", "TXT", `NOERROR aa an[*.w.example.com. TXT "made up"]`},
		{"w.example.com", "TXT", "NOERROR aa " + soa},
		{"real.w.example.com", "TXT", `NOERROR aa an[real.w.example.com. TXT "real"]`},
		{"below.real.w.example.com", "TXT", "NXDOMAIN aa " + soa},
		{"ent.w.example.com", "TXT", "NOERROR aa " + soa},
		{"y.ent.w.example.com", "TXT", "NXDOMAIN aa " + soa},
		{"some.alias.example.com", "AAAA", "NOERROR aa an[some.alias.example.com. CNAME mx.example.com.] an[mx.example.com. AAAA 2001:db8::1]"},

		{"child.example.com", "TXT", "NOERROR ns[child.example.com. NS ns.child.example.com.] ns[child.example.com. NS ns.elsewhere.example.] ar[ns.child.example.com. A 192.0.2.53]"},
		{"a.b.child.example.com", "NS", "NOERROR ns[child.example.com. NS ns.child.example.com.] ns[child.example.com. NS ns.elsewhere.example.] ar[ns.child.example.com. A 192.0.2.53]"},
		{"child.example.com", "DS", "NOERROR aa an[child.example.com. DS 1 13 2 AABB]"},
		{"held.example.com", "SOA", "NOERROR aa an[held.example.com. SOA SOA ttl=3600]"},
		{"x.held.example.com", "TXT", "NXDOMAIN aa ns[held.example.com. SOA SOA ttl=60]"},

		{"example.org", "A", "REFUSED"},
		{"notexample.com", "A", "REFUSED"},
		{"com", "SOA", "REFUSED"},
		{"example.com", "AXFR", "REFUSED"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := summary(exchange(t, s, network, question(c.name, c.rrtype))); got != c.want {
				t.Errorf("%s %s over %s:\ngot  %s\nwant %s", c.name, c.rrtype, network, got, c.want)
			}
		}
	}
	if s.Transfers() != 2 {
		t.Errorf("Transfers() = %d, want 2", s.Transfers())
	}
	if s.Updates() != 0 {
		t.Errorf("Updates() = %d, want 0", s.Updates())
	}
}

func TestOddQuestions(t *testing.T) {
	s := loaded(t)
	chaos := question("example.com", "TXT")
	chaos.Question[0].Qclass = dns.ClassCHAOS
	notify := new(dns.Msg)
	notify.SetNotify("example.com.")
	version := question("example.com", "TXT")
	version.SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	for name, c := range map[string]struct {
		msg  *dns.Msg
		want string
	}{
		"class CHAOS":    {chaos, "REFUSED"},
		"NOTIFY":         {notify, "NOTIMP"},
		"EDNS version 1": {version, "BADSIG"}, // as miekg/dns calls 16, which is BADVERS here
	} {
		if got := summary(exchange(t, s, "udp", c.msg)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestTruncation(t *testing.T) {
	s := loaded(t)
	long := strings.Repeat("0123456789", 90) // fits into 1232 octets, not into 512
	if err := s.SetTXT("long.example.com", long); err != nil {
		t.Fatal(err)
	}
	if err := s.SetTXT("longer.example.com", long, long+"2"); err != nil {
		t.Fatal(err)
	}
	ask := func(network, name string, edns uint16, signed bool) *dns.Msg {
		msg := question(name, "TXT")
		if edns > 0 {
			msg.SetEdns0(edns, false)
		}
		if !signed {
			return exchange(t, s, network, msg)
		}
		return sendSigned(t, s, network, msg)
	}
	for _, c := range []struct {
		network, name string
		edns          uint16
		signed        bool
		truncated     bool
	}{
		{"udp", "long.example.com", 0, false, true},
		{"udp", "long.example.com", 1232, false, false},
		{"udp", "long.example.com", 700, false, true},
		{"udp", "longer.example.com", 4096, false, true},
		{"tcp", "longer.example.com", 0, false, false},
		{"udp", "long.example.com", 0, true, true},
		{"udp", "long.example.com", 950, true, true},
		{"udp", "long.example.com", 1232, true, false},
		{"tcp", "longer.example.com", 0, true, false},
	} {
		reply := ask(c.network, c.name, c.edns, c.signed)
		if reply.Truncated != c.truncated {
			t.Errorf("%+v: TC = %v", c, reply.Truncated)
		}
		if !c.truncated && len(reply.Answer) == 0 {
			t.Errorf("%+v: no answer", c)
		}
	}

	s.Fault(Fault{TruncateUDP: true})
	if got := summary(exchange(t, s, "udp", question("mx.example.com", "A"))); got != "NOERROR aa tc" {
		t.Errorf("TruncateUDP over UDP: %s", got)
	}
	if got := exchange(t, s, "tcp", question("mx.example.com", "A")); got.Truncated {
		t.Errorf("TruncateUDP over TCP: %s", summary(got))
	}
}

func TestSeeding(t *testing.T) {
	s := start(t, "example.com")
	texts := []string{"", `a"b\c;d`, "Grüße\t\x00\xff", strings.Repeat("x", 255), strings.Repeat("y", 256)}
	if err := s.SetTXT("TXT.example.com.", texts...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(texts)
	if diff := cmp.Diff(texts, s.TXT("txt.example.com")); diff != "" {
		t.Error(diff)
	}
	if err := s.Set("example.com", "MX", "10 mx.example.com.", "20 mx2.example.com."); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10 mx.example.com.", "20 mx2.example.com."}, s.Records("Example.com", "mx")); diff != "" {
		t.Error(diff)
	}
	if err := s.Set("example.com", "MX"); err != nil || s.Records("example.com", "MX") != nil {
		t.Errorf("Set without rdata: %v, left %q", err, s.Records("example.com", "MX"))
	}
	for what, err := range map[string]error{
		"foreign name":      s.SetTXT("example.org", "x"),
		"unknown type":      s.Set("example.com", "NONSENSE", "x"),
		"bad rdata":         s.Set("example.com", "A", "192.0.2"),
		"no rdata at all":   s.Set("example.com", "A", ""),
		"DNAME":             s.Set("x.example.com", "DNAME", "example.net."),
		"alias beside data": s.Set("txt.example.com", "CNAME", "example.com."),
		"no SOA":            s.Set("example.com", "SOA"),
		"zone twice":        s.AddZone("Example.com."),
		"bad zone file":     s.Load("example.com. 300 IN A x"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := Start(Config{Addr: "127.0.0.1:0", Keys: map[string]string{"k": "%"}}); err == nil {
		t.Error("bad key: no error")
	}
	if _, err := Start(Config{Addr: s.Addr()}); err == nil {
		t.Error("port in use: no error")
	}
	s.RemoveZone("example.com")
	if got := summary(exchange(t, s, "udp", question("example.com", "SOA"))); got != "REFUSED" {
		t.Errorf("removed zone: %s", got)
	}
}

func TestSecondary(t *testing.T) {
	s := start(t, "example.com")
	second, err := s.Secondary("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	shows := func(server *Server, want string) {
		t.Helper()
		if got := summary(exchange(t, server, "udp", question("example.com", "TXT"))); got != "NOERROR aa an[example.com. TXT \""+want+"\"]" {
			t.Errorf("%s: got %s, want %s", server.Addr(), got, want)
		}
	}
	set := func(text string) {
		t.Helper()
		if err := s.SetTXT("example.com", text); err != nil {
			t.Fatal(err)
		}
	}
	set("one")
	shows(second, "one")
	second.Freeze()
	set("two")
	shows(s, "two")
	shows(second, "one")
	second.Thaw()
	shows(second, "two")

	if got := update(t, second, "example.com", func(m *dns.Msg) { m.Insert(rrs(t, "example.com. 60 IN TXT three")) }); got != "REFUSED" {
		t.Errorf("update of a secondary: %s, want REFUSED", got)
	}
	shows(s, "two")
}

func TestQueryFaults(t *testing.T) {
	s := loaded(t)
	for name, c := range map[string]struct {
		fault Fault
		want  string
	}{
		"sane":     {Fault{}, "NOERROR aa an[mx.example.com. A 192.0.2.1]"},
		"ServFail": {Fault{ServFail: true}, "SERVFAIL"},
		"Lame":     {Fault{Lame: true}, "NOERROR an[mx.example.com. A 192.0.2.1]"},
	} {
		s.Fault(c.fault)
		if got := summary(exchange(t, s, "udp", question("mx.example.com", "A"))); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	s.Fault(Fault{DropQueries: true})
	client := &dns.Client{Timeout: 200 * time.Millisecond}
	if reply, _, err := client.Exchange(question("mx.example.com", "A"), s.Addr()); err == nil {
		t.Errorf("DropQueries: %s", summary(reply))
	}
	if s.Queries() != 4 {
		t.Errorf("Queries() = %d, want 4", s.Queries())
	}
}

// The tree of names never disagrees with the records in it.
func TestZoneTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := newZone("example.com.")
		names := rapid.SliceOfN(rapid.StringMatching(`([ab*]\.){0,4}example\.com\.`), 1, 30).Draw(t, "names")
		for _, name := range names {
			var set []dns.RR
			if rapid.Bool().Draw(t, "add") {
				set = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"x"}}}
			}
			z.set(name, dns.TypeTXT, set)
		}
		for _, name := range names {
			want := false
			for owner := range z.names {
				want = want || owner == name || strings.HasSuffix(owner, "."+name)
			}
			if got := z.exists(name); got != want {
				t.Errorf("exists(%s) = %v with %v", name, got, z.names)
			}
		}
	})
}
