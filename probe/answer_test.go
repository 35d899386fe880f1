package probe

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

func TestInterpret(t *testing.T) {
	const name = "mail._domainkey.example.com"
	tests := map[string]struct {
		rrtype uint16
		reply  scripted
		want   Answer
	}{
		"found, strings joined, order made stable": {
			dns.TypeTXT,
			scripted{aa: true, answer: []string{name + `. 600 TXT "v=DKIM1; " "k=rsa"`, name + `. 300 TXT "a"`}},
			Answer{Outcome: Found, Values: []string{"a", "v=DKIM1; k=rsa"}, TTL: 300 * time.Second},
		},
		"owner in other case": {
			dns.TypeTXT,
			scripted{aa: true, answer: []string{`MAIL._DomainKey.Example.COM. 600 TXT "x"`}},
			Answer{Outcome: Found, Values: []string{"x"}, TTL: 600 * time.Second},
		},
		"records of other names, types and classes are not ours": {
			dns.TypeTXT,
			scripted{aa: true, answer: []string{`other.example.com. 600 TXT "x"`, name + `. 600 A 192.0.2.1`, name + `. 600 CH TXT "x"`}},
			Answer{Outcome: NoData},
		},
		"no data, negative TTL from the SOA": {
			dns.TypeTXT,
			scripted{aa: true, ns: []string{soa("example.com", "900", "300")}},
			Answer{Outcome: NoData, TTL: 300 * time.Second},
		},
		"SOA TTL below its MINIMUM": {
			dns.TypeTXT,
			scripted{aa: true, code: dns.RcodeNameError, ns: []string{soa("example.com", "60", "300")}},
			Answer{Outcome: NXDomain, TTL: time.Minute},
		},
		"SOA of an unrelated zone says nothing": {
			dns.TypeTXT,
			scripted{aa: true, code: dns.RcodeNameError, ns: []string{soa("example.net", "60", "300")}},
			Answer{Outcome: NXDomain},
		},
		"absurd TTL counts as zero": {
			dns.TypeTXT,
			scripted{aa: true, answer: []string{name + `. 4294967295 TXT "x"`}},
			Answer{Outcome: Found, Values: []string{"x"}},
		},
		"alias: the target's records are not the name's": {
			dns.TypeTXT,
			scripted{aa: true, answer: []string{name + ". 60 CNAME Key.Example.NET.", `key.example.net. 60 TXT "x"`}},
			Answer{Outcome: Found, Alias: "key.example.net", TTL: time.Minute},
		},
		"alias whose target does not exist": {
			dns.TypeTXT,
			scripted{aa: true, code: dns.RcodeNameError, answer: []string{name + ". 60 CNAME gone.example.com."}},
			Answer{Outcome: Found, Alias: "gone.example.com", TTL: time.Minute},
		},
		"alias to the root": {
			dns.TypeTXT,
			scripted{aa: true, answer: []string{name + ". 60 CNAME ."}},
			Answer{Outcome: Found, Alias: ".", TTL: time.Minute},
		},
		"alias asked for": {
			dns.TypeCNAME,
			scripted{aa: true, answer: []string{name + ". 60 CNAME key.example.net."}},
			Answer{Outcome: Found, Values: []string{"key.example.net"}, Alias: "key.example.net", TTL: time.Minute},
		},
		"addresses": {
			dns.TypeAAAA,
			scripted{aa: true, answer: []string{name + ". 60 AAAA 2001:db8::2", name + ". 60 AAAA 2001:DB8:0::1"}},
			Answer{Outcome: Found, Values: []string{"2001:db8::1", "2001:db8::2"}, TTL: time.Minute},
		},
		"mail exchangers": {
			dns.TypeMX,
			scripted{aa: true, answer: []string{name + ". 60 MX 10 MX1.example.com."}},
			Answer{Outcome: Found, Values: []string{"10 mx1.example.com"}, TTL: time.Minute},
		},
		"other types in presentation form": {
			dns.TypeCAA,
			scripted{aa: true, answer: []string{name + `. 60 CAA 0 issue "ca.example"`}},
			Answer{Outcome: Found, Values: []string{`0 issue "ca.example"`}, TTL: time.Minute},
		},
		"data without authority is lame": {
			dns.TypeTXT,
			scripted{answer: []string{name + `. 600 TXT "x"`}},
			Answer{Outcome: Lame},
		},
		"referral is lame": {
			dns.TypeTXT,
			scripted{ns: []string{"_domainkey.example.com. 60 NS ns.example.net."}},
			Answer{Outcome: Lame},
		},
		"NXDOMAIN without authority is lame": {dns.TypeTXT, scripted{code: dns.RcodeNameError}, Answer{Outcome: Lame}},
		"SERVFAIL":                           {dns.TypeTXT, scripted{code: dns.RcodeServerFailure, aa: true}, Answer{Outcome: ServFail}},
		"REFUSED":                            {dns.TypeTXT, scripted{code: dns.RcodeRefused}, Answer{Outcome: Refused}},
		"NOTAUTH":                            {dns.TypeTXT, scripted{code: dns.RcodeNotAuth}, Answer{Outcome: ServFail, Detail: "NOTAUTH"}},
		"unassigned code":                    {dns.TypeTXT, scripted{code: 15}, Answer{Outcome: ServFail, Detail: "RCODE15"}},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			query := newQuery(name, tt.rrtype, false)
			msg, mine, err := parse(query, pack(tt.reply.message(query)))
			if !mine || err != nil {
				t.Fatalf("parse: mine %v, error %v", mine, err)
			}
			if diff := cmp.Diff(tt.want, interpret(query.Question[0], msg), addressesByValue); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// txtMessage builds, octet by octet, an authoritative answer with one TXT record.
func txtMessage(query *dns.Msg, octets []byte) []byte {
	m := new(dns.Msg)
	m.SetReply(query)
	m.Authoritative = true
	wire := pack(m)
	binary.BigEndian.PutUint16(wire[6:], 1) // ANCOUNT
	var rdata []byte
	for first := true; first || len(octets) > 0; first = false {
		n := min(len(octets), 255)
		rdata = append(append(rdata, byte(n)), octets[:n]...)
		octets = octets[n:]
	}
	wire = append(wire, 0xc0, headerSize) // the owner is the question's name
	wire = binary.BigEndian.AppendUint16(wire, dns.TypeTXT)
	wire = binary.BigEndian.AppendUint16(wire, dns.ClassINET)
	wire = binary.BigEndian.AppendUint32(wire, 60)
	wire = binary.BigEndian.AppendUint16(wire, uint16(len(rdata)))
	return append(wire, rdata...)
}

func TestTXTOctetsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		octets := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 700),
			// The characters that escapes are made of.
			rapid.SliceOfN(rapid.SampledFrom([]byte(`\"0129; `)), 0, 700),
		).Draw(t, "octets")
		query := newQuery("example.com", dns.TypeTXT, false)
		msg, mine, err := parse(query, txtMessage(query, octets))
		if !mine || err != nil {
			t.Fatalf("parse: mine %v, error %v", mine, err)
		}
		got := interpret(query.Question[0], msg)
		if got.Outcome != Found || got.Values[0] != string(octets) {
			t.Fatalf("got %+q, want %q", got, octets)
		}
	})
}

func TestParseMatchesTheQuestion(t *testing.T) {
	query := newQuery("example.com", dns.TypeTXT, false)
	good := func() *dns.Msg {
		return scripted{aa: true, answer: []string{`example.com. 60 TXT "one"`, `example.com. 60 TXT "two"`}}.message(query)
	}
	changed := func(change func(*dns.Msg)) []byte {
		m := good()
		change(m)
		return pack(m)
	}
	type verdict string
	const (
		ours, foreign, malformed verdict = "ours", "foreign", "malformed"
	)
	tests := map[string]struct {
		wire []byte
		want verdict
	}{
		"good":             {pack(good()), ours},
		"empty":            {nil, foreign},
		"shorter":          {pack(good())[:headerSize-1], foreign},
		"other id":         {changed(func(m *dns.Msg) { m.Id++ }), foreign},
		"a query":          {changed(func(m *dns.Msg) { m.Response = false }), foreign},
		"other opcode":     {changed(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), foreign},
		"other name":       {changed(func(m *dns.Msg) { m.Question[0].Name = "example.net." }), foreign},
		"other type":       {changed(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), foreign},
		"other class":      {changed(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), foreign},
		"other case":       {changed(func(m *dns.Msg) { m.Question[0].Name = "EXAMPLE.com." }), ours},
		"no question":      {changed(func(m *dns.Msg) { m.Question = nil }), foreign},
		"two questions":    {changed(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), malformed},
		"REFUSED, bare":    {changed(func(m *dns.Msg) { m.Question, m.Answer, m.Rcode = nil, nil, dns.RcodeRefused }), ours},
		"cut in a record":  {pack(good())[:len(pack(good()))-2], malformed},
		"cut at a border":  {pack(good())[:len(pack(good()))-27], malformed}, // without the second record: a name of 13 octets, 10 of header, 4 of data
		"cut and says so":  {changed(func(m *dns.Msg) { m.Truncated = true })[:len(pack(good()))-2], ours},
		"only its header":  {pack(good())[:headerSize], foreign},
		"header of REFUSE": {changed(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused })[:headerSize], ours},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			msg, mine, err := parse(query, tt.wire)
			got := foreign
			switch {
			case mine && err != nil:
				got = malformed
			case mine && msg != nil:
				got = ours
			}
			if got != tt.want {
				t.Errorf("got %s (error %v), want %s", got, err, tt.want)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	query := newQuery("example.com", dns.TypeTXT, false)
	query.Id = 0x1234
	f.Add(pack(scripted{aa: true, answer: []string{`example.com. 60 TXT "one" "two\\\"\255"`}}.message(query)))
	f.Add(pack(scripted{aa: true, answer: []string{"example.com. 60 CNAME a.example.net.", "a.example.net. 60 CNAME example.com."}}.message(query)))
	f.Add(pack(scripted{aa: true, code: dns.RcodeNameError, ns: []string{soa("example.com", "60", "300")}}.message(query)))
	f.Add(pack(scripted{ns: []string{"example.com. 60 NS ns.example.net."}}.message(query)))
	f.Add(txtMessage(query, nil))
	f.Add(txtMessage(query, []byte("\x00\xff\\\"")))
	f.Fuzz(func(t *testing.T, wire []byte) {
		msg, mine, err := parse(query, wire)
		if !mine || err != nil {
			return
		}
		for _, rrtype := range []uint16{dns.TypeTXT, dns.TypeCNAME, dns.TypeMX, dns.TypeSOA, dns.TypeAAAA, dns.TypeSVCB} {
			a := interpret(dns.Question{Name: "example.com.", Qtype: rrtype, Qclass: dns.ClassINET}, msg)
			if (a.Outcome == Found) != (len(a.Values) > 0 || a.Alias != "") {
				t.Errorf("outcome %s with %d values and alias %q", a.Outcome, len(a.Values), a.Alias)
			}
			if !slices.IsSorted(a.Values) || a.TTL < 0 {
				t.Errorf("unordered or negative: %+q", a)
			}
			_, _, _ = follow(msg, "example.com", rrtype)
			_ = conclusive(msg, "example.com")
			if next := nextZone(msg, "example.com"); len(next) >= len("example.com") {
				t.Errorf("the walk does not get shorter: %q", next)
			}
			_ = zoneOf(msg, "example.com")
		}
	})
}
