package dnsprovider

import (
	"testing"

	"github.com/miekg/dns"
)

// message builds an answer from its flags and from records, "an:", "ns:" or "ar:" first.
func message(t *testing.T, rcode int, authoritative bool, records ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.Response, m.Rcode, m.Authoritative = true, rcode, authoritative
	for _, line := range records {
		rr, err := dns.NewRR(line[3:])
		if err != nil {
			t.Fatal(err)
		}
		switch line[:3] {
		case "an:":
			m.Answer = append(m.Answer, rr)
		case "ns:":
			m.Ns = append(m.Ns, rr)
		}
	}
	return m
}

func TestInterpret(t *testing.T) {
	const (
		txt   = `an:_dmarc.example.com. 300 IN TXT "x"`
		cname = "an:_dmarc.example.com. 300 IN CNAME Elsewhere.Example."
		soa   = "ns:example.com. 300 IN SOA ns1.example.com. h.example.com. 1 1 1 1 1"
	)
	truncated := message(t, dns.RcodeSuccess, true, txt)
	truncated.Truncated = true
	prohibited := message(t, dns.RcodeRefused, false)
	prohibited.SetEdns0(1232, false)
	prohibited.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeProhibited, ExtraText: "hostile text"}}

	for name, c := range map[string]struct {
		in     *dns.Msg
		kind   Kind
		count  int
		alias  string
		holder string
	}{
		"record":                      {message(t, dns.RcodeSuccess, true, txt), "", 1, "", ""},
		"record of another name":      {message(t, dns.RcodeSuccess, true, `an:other.example.com. 300 IN TXT "x"`, soa), Unreachable, 0, "", ""},
		"record of another type":      {message(t, dns.RcodeSuccess, true, `an:_dmarc.example.com. 300 IN A 192.0.2.1`, soa), Unreachable, 0, "", ""},
		"record of another class":     {message(t, dns.RcodeSuccess, true, `an:_dmarc.example.com. 300 CH TXT "x"`), Unreachable, 0, "", ""},
		"upper case":                  {message(t, dns.RcodeSuccess, true, `an:_DMARC.Example.COM. 300 IN TXT "x"`), "", 1, "", ""},
		"alias":                       {message(t, dns.RcodeSuccess, true, cname), "", 0, "elsewhere.example", ""},
		"alias with its target":       {message(t, dns.RcodeSuccess, true, cname, `an:elsewhere.example. 300 IN TXT "y"`), "", 0, "elsewhere.example", ""},
		"alias to nowhere":            {message(t, dns.RcodeNameError, true, cname, "ns:example. 300 IN SOA a. b. 1 1 1 1 1"), "", 0, "elsewhere.example", ""},
		"NXDOMAIN":                    {message(t, dns.RcodeNameError, true, soa), "", 0, "", "example.com"},
		"NODATA":                      {message(t, dns.RcodeSuccess, true, soa), "", 0, "", "example.com"},
		"NODATA of a child zone":      {message(t, dns.RcodeSuccess, true, "ns:_dmarc.example.com. 300 IN SOA a. b. 1 1 1 1 1"), "", 0, "", "_dmarc.example.com"},
		"NXDOMAIN without SOA":        {message(t, dns.RcodeNameError, true), Unreachable, 0, "", ""},
		"NODATA without SOA":          {message(t, dns.RcodeSuccess, true), Unreachable, 0, "", ""},
		"SOA of somewhere else":       {message(t, dns.RcodeNameError, true, "ns:example.net. 300 IN SOA a. b. 1 1 1 1 1"), Unreachable, 0, "", ""},
		"NXDOMAIN without authority":  {message(t, dns.RcodeNameError, false, soa), ZoneNotFound, 0, "", ""},
		"record without authority":    {message(t, dns.RcodeSuccess, false, txt), ZoneNotFound, 0, "", ""},
		"referral to a child":         {message(t, dns.RcodeSuccess, false, "ns:_DMARC.example.com. 300 IN NS ns.example."), Delegated, 0, "", ""},
		"referral to the zone itself": {message(t, dns.RcodeSuccess, false, "ns:example.com. 300 IN NS ns.example."), ZoneNotFound, 0, "", ""},
		"referral upwards":            {message(t, dns.RcodeSuccess, false, "ns:. 300 IN NS ns.example."), ZoneNotFound, 0, "", ""},
		"referral sideways":           {message(t, dns.RcodeSuccess, false, "ns:other.example.com. 300 IN NS ns.example."), ZoneNotFound, 0, "", ""},
		"SERVFAIL":                    {message(t, dns.RcodeServerFailure, true, soa), Unreachable, 0, "", ""},
		"REFUSED":                     {message(t, dns.RcodeRefused, false), ZoneNotFound, 0, "", ""},
		"REFUSED by rule":             {prohibited, Refused, 0, "", ""},
		"NOTAUTH":                     {message(t, dns.RcodeNotAuth, false).SetTsig("key.", dns.HmacSHA256, 300, 0), ZoneNotFound, 0, "", ""},
		"NOTAUTH, not signed":         {message(t, dns.RcodeNotAuth, false), Unauthorized, 0, "", ""},
		"FORMERR":                     {message(t, dns.RcodeFormatError, false), Refused, 0, "", ""},
		"unheard-of code":             {message(t, 3841, false), Refused, 0, "", ""},
		"truncated":                   {truncated, Unreachable, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := interpret(c.in, "_dmarc.example.com", dns.TypeTXT, "example.com")
			wantKind(t, err, c.kind)
			if len(got.records) != c.count || got.alias != c.alias || got.holder != c.holder {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Answers come from the network: none may panic, and one without SOA never proves absence.
func FuzzInterpret(f *testing.F) {
	seed := func(m *dns.Msg) {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	soa, _ := dns.NewRR("example.com. 300 IN SOA ns1.example.com. h.example.com. 1 1 1 1 1")
	txt, _ := dns.NewRR(`_dmarc.example.com. 300 IN TXT "abc" "d\"e\\f" ""`)
	cname, _ := dns.NewRR("_dmarc.example.com. 300 IN CNAME x.example.")
	for _, m := range []*dns.Msg{
		{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Answer: []dns.RR{txt}},
		{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Answer: []dns.RR{cname}, Ns: []dns.RR{soa}},
		{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true, Rcode: dns.RcodeNameError}, Ns: []dns.RR{soa}},
		{MsgHdr: dns.MsgHdr{Response: true}},
	} {
		seed(m)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := new(dns.Msg)
		if in.Unpack(wire) != nil {
			return
		}
		for recordType, code := range typeCodes {
			found, err := interpret(in, "_dmarc.example.com", code, "example.com")
			if err != nil {
				if KindOf(err) == "" {
					t.Fatalf("an error without a kind: %v", err)
				}
				continue
			}
			if !found.positive() && (found.holder == "" || !in.Authoritative) {
				t.Fatalf("absence without proof: %v", in)
			}
			set, err := rrsetOf(Key{"_dmarc.example.com", recordType}, found)
			if err == nil && len(set.Records) != len(found.records) {
				t.Fatalf("%d records of %d", len(set.Records), len(found.records))
			}
		}
	})
}
