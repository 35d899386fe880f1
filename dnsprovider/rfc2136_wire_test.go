package dnsprovider

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestRdata(t *testing.T) {
	for _, c := range []struct{ recordType, value, want, back string }{
		{TypeTXT, "", "00", ""},
		{TypeTXT, "abc", "03616263", "abc"},
		{TypeTXT, `"\;`, "03225c3b", `"\;`},
		{TypeTXT, strings.Repeat("a", 255), "ff" + strings.Repeat("61", 255), strings.Repeat("a", 255)},
		{TypeTXT, strings.Repeat("a", 256), "ff" + strings.Repeat("61", 255) + "0161", strings.Repeat("a", 256)},
		{TypeA, "192.0.2.1", "c0000201", "192.0.2.1"},
		{TypeAAAA, "2001:DB8:0::1", "20010db8000000000000000000000001", "2001:db8::1"},
		{TypeCNAME, "Ab.example", "02616207" + hex.EncodeToString([]byte("example")) + "00", "ab.example"},
		{TypeCNAME, "ab.example.", "02616207" + hex.EncodeToString([]byte("example")) + "00", "ab.example"},
	} {
		rdata, err := rdataOf(c.recordType, c.value)
		if err != nil || rdata != c.want {
			t.Errorf("%s %q: %q, %v; want %q", c.recordType, c.value, rdata, err, c.want)
			continue
		}
		if back := readBack(t, c.recordType, rdata); back != c.back {
			t.Errorf("%s %q: read back %q, want %q", c.recordType, c.value, back, c.back)
		}
	}
}

// readBack sends rdata through a message, as a server would return it.
func readBack(t *testing.T, recordType, rdata string) string {
	t.Helper()
	m := new(dns.Msg)
	m.Answer = []dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{Name: "a.example.", Rrtype: typeCodes[recordType], Class: dns.ClassINET}, Rdata: rdata}}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	in := new(dns.Msg)
	if err := in.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	set, err := rrsetOf(Key{"a.example", recordType}, answer{records: in.Answer})
	if err != nil {
		t.Fatal(err)
	}
	if set.Records[0].Handle != rdata {
		t.Fatalf("handle %q, want %q", set.Records[0].Handle, rdata)
	}
	return set.Records[0].Value
}

// Any text of any octets survives the way to the wire and back.
func FuzzTXT(f *testing.F) {
	for _, text := range []string{"", "v=spf1 -all", `"a\b";`, "\x00\xff\\034", strings.Repeat("ü", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 60000 {
			return
		}
		rdata, err := rdataOf(TypeTXT, text)
		if err != nil {
			t.Fatal(err)
		}
		if back := readBack(t, TypeTXT, rdata); back != text {
			t.Fatalf("%q came back as %q", text, back)
		}
	})
}

// Rdata of any octets, well-formed or not, never panics.
func FuzzJoinCharacterStrings(f *testing.F) {
	f.Add([]byte("\x03abc\x00\x01d"))
	f.Add([]byte("\xffshort"))
	f.Fuzz(func(t *testing.T, rdata []byte) {
		if text := joinCharacterStrings(rdata); len(text) > len(rdata) {
			t.Fatalf("%d octets out of %d", len(text), len(rdata))
		}
	})
}
