package spf

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth"
	"github.com/maildomain/maildomain-operator/mailauth/internal/syntax"
)

// The mechanisms (RFC 7208 §5).
const (
	All     = "all"
	Include = "include"
	A       = "a"
	MX      = "mx"
	PTR     = "ptr"
	IP4     = "ip4"
	IP6     = "ip6"
	Exists  = "exists"
)

// Mechanism is one term that hosts can match.
type Mechanism struct {
	Result Result // of a host that matches: Pass, Fail, SoftFail or Neutral; "" is Pass
	Name   string // one of the mechanisms, in lower case
	// Value is the domain-spec (RFC 7208 §7.1) or, for ip4 and ip6, the address, as written;
	// "" is the domain itself.
	Value string
	// Bits4 and Bits6 are the lengths of the prefixes behind a slash, as written: "24". ip4 has
	// only Bits4, ip6 only Bits6. "" is the whole address.
	Bits4, Bits6 string
}

// Modifier is a term name=value that RFC 7208 does not define; receivers ignore it (§6), but for
// the few that know ra, rp and rr (RFC 6652).
type Modifier struct{ Name, Value string }

// asksForReports: the modifiers of RFC 6652 §3.
func (m Modifier) asksForReports() bool {
	name := strings.ToLower(m.Name)
	return name == "ra" || name == "rp" || name == "rr"
}

// Record is an SPF record (RFC 7208 §4.5, §4.6.1).
type Record struct {
	Mechanisms []Mechanism // in their order, which decides
	Redirect   string      // a domain-spec (§6.1), "" for none
	Exp        string      // a domain-spec (§6.2), "" for none
	Unknown    []Modifier
}

// SyntaxError says where a record is broken, what was expected, and which section wants it.
type SyntaxError = mailauth.SyntaxError

const version = "v=spf1"

// IsRecord reports whether txt is meant to be an SPF record, well-formed or not: the version,
// then a space or the end (RFC 7208 §4.5). All other TXT records at the name are none of SPF's.
func IsRecord(txt string) bool {
	head, _, _ := strings.Cut(txt, " ")
	return strings.EqualFold(head, version)
}

// Parse reads a record. The error is a *SyntaxError; a receiver would return permerror
// (RFC 7208 §4.6).
func Parse(txt string) (Record, error) {
	if !IsRecord(txt) {
		return Record{}, bad(0, txt, "v=spf1 first", "§4.5")
	}
	if len(txt) > syntax.MaxText {
		return Record{}, bad(syntax.MaxText, txt[syntax.MaxText:], "65535 octets at most, as in any TXT record", "§3.3")
	}
	var r Record
	for offset := len(version); offset < len(txt); {
		if txt[offset] == ' ' {
			offset++
			continue
		}
		term, _, _ := strings.Cut(txt[offset:], " ")
		if err := r.add(term, offset); err != nil {
			return Record{}, err
		}
		offset += len(term)
	}
	return r, nil
}

// ParseMechanism reads one mechanism, such as "~include:_spf.example.com". The error is a
// *SyntaxError.
func ParseMechanism(term string) (Mechanism, error) { return parseMechanism(term, 0) }

func (r *Record) add(term string, offset int) error {
	name, value, isModifier := modifier(term)
	if !isModifier {
		m, err := parseMechanism(term, offset)
		r.Mechanisms = append(r.Mechanisms, m)
		return err
	}
	at := offset + len(name) + 1
	if !isMacroString(value) {
		return bad(at, value, "visible ASCII characters, with % only in macros", "§7.1")
	}
	single := func(into *string, section string) error {
		if *into != "" {
			return bad(offset, term, name+" only once", "§6")
		}
		if !isDomainSpec(value) {
			return bad(at, value, "a domain name, which may hold macros", section)
		}
		*into = value
		return nil
	}
	switch strings.ToLower(name) {
	case "redirect":
		return single(&r.Redirect, "§6.1")
	case "exp":
		return single(&r.Exp, "§6.2")
	}
	r.Unknown = append(r.Unknown, Modifier{name, value})
	return nil
}

// modifier splits a term name=value. In a mechanism no "=" stands before ":" or "/".
func modifier(term string) (name, value string, ok bool) {
	i := strings.IndexAny(term, "=:/")
	if i <= 0 || term[i] != '=' || !isLetter(term[0]) {
		return "", "", false
	}
	for j := range i {
		if c := term[j]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return term[:i], term[i+1:], true
}

func parseMechanism(term string, offset int) (Mechanism, error) {
	m := Mechanism{Result: Pass}
	rest := term
	if rest != "" {
		if result, ok := qualified(rest[0]); ok {
			m.Result, rest = result, rest[1:]
		}
	}
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	m.Name = strings.ToLower(rest[:end])
	value, hasValue := strings.CutPrefix(rest[end:], ":")
	at := offset + len(term) - len(value)

	switch m.Name {
	case All:
		if rest[end:] != "" {
			return m, bad(at, value, "nothing behind all", "§5.1")
		}
	case Include, Exists, PTR:
		if m.Name == PTR && value == "" && !hasValue {
			break
		}
		if !hasValue || !isDomainSpec(value) {
			return m, bad(at, value, m.Name+": and a domain name, which may hold macros", map[string]string{Include: "§5.2", Exists: "§5.7", PTR: "§5.5"}[m.Name])
		}
		m.Value = value
	case A, MX:
		domain, bits4, bits6, ok := cutDualCIDR(value)
		if !ok || hasValue && !isDomainSpec(domain) || !hasValue && domain != "" {
			return m, bad(at, value, "a domain name, which may hold macros, then /0 to /32 and //0 to //128 if wanted", map[string]string{A: "§5.3", MX: "§5.4"}[m.Name])
		}
		m.Value, m.Bits4, m.Bits6 = domain, bits4, bits6
	case IP4:
		address, bits, slash := strings.Cut(value, "/")
		addr, err := netip.ParseAddr(address)
		if err != nil || !addr.Is4() || slash && !isBits(bits, 32) {
			return m, bad(at, value, "an IPv4 address, then /0 to /32 if wanted, such as 192.0.2.0/24", "§5.6")
		}
		m.Value, m.Bits4 = address, bits
	case IP6:
		address, bits, slash := strings.Cut(value, "/")
		addr, err := netip.ParseAddr(address)
		if err != nil || !addr.Is6() || addr.Zone() != "" || slash && !isBits(bits, 128) {
			return m, bad(at, value, "an IPv6 address, then /0 to /128 if wanted, such as 2001:db8::/32", "§5.6")
		}
		m.Value, m.Bits6 = address, bits
	default:
		return m, bad(offset, term, "one of all, include, a, mx, ptr, ip4, ip6 and exists", "§4.6.1")
	}
	return m, nil
}

// qualified is what a qualifier stands for (§4.6.2).
func qualified(c byte) (Result, bool) {
	switch c {
	case '+':
		return Pass, true
	case '-':
		return Fail, true
	case '~':
		return SoftFail, true
	case '?':
		return Neutral, true
	}
	return "", false
}

func (m Mechanism) result() Result {
	if m.Result == "" {
		return Pass
	}
	return m.Result
}

// Network returns the network of an ip4 or ip6 mechanism, without the bits behind the prefix.
// ok is false for other mechanisms and for a value that is no address.
func (m Mechanism) Network() (network netip.Prefix, ok bool) {
	if m.Name != IP4 && m.Name != IP6 {
		return netip.Prefix{}, false
	}
	addr, err := netip.ParseAddr(m.Value)
	if err != nil {
		return netip.Prefix{}, false
	}
	network, err = addr.Prefix(prefixLen(m.Bits4+m.Bits6, addr.BitLen()))
	return network, err == nil
}

// prefixLen reads the text behind a slash; "" is the whole address.
func prefixLen(bits string, whole int) int {
	if n, err := strconv.Atoi(bits); err == nil {
		return n
	}
	return whole
}

func bad(offset int, text, want, section string) error {
	return &SyntaxError{Record: "SPF record", Offset: offset, Text: text, Want: want, Ref: "RFC 7208 " + section}
}

// cutDualCIDR splits "example.com/24//64" (RFC 7208 §5.3). A slash before anything but digits
// belongs to the domain, as does one in a macro, where it is a delimiter (§7.1).
func cutDualCIDR(s string) (domain, bits4, bits6 string, ok bool) {
	domain = s
	if head, tail, found := cutBits(domain, "//"); found {
		if !isBits(tail, 128) {
			return "", "", "", false
		}
		domain, bits6 = head, tail
	}
	if head, tail, found := cutBits(domain, "/"); found {
		if !isBits(tail, 32) {
			return "", "", "", false
		}
		domain, bits4 = head, tail
	}
	return domain, bits4, bits6, true
}

// cutBits cuts at a separator with only digits behind it.
func cutBits(s, separator string) (head, digits string, found bool) {
	head = strings.TrimRight(s, "0123456789")
	if len(head) == len(s) || !strings.HasSuffix(head, separator) {
		return s, "", false
	}
	return strings.TrimSuffix(head, separator), s[len(head):], true
}

// isBits: a number without leading zeros, at most highest.
func isBits(s string, highest int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= highest && s == strconv.Itoa(n)
}

// String returns the record's text: mechanisms first, then redirect, exp and what is unknown.
func (r Record) String() string {
	terms := []string{version}
	for _, m := range r.Mechanisms {
		terms = append(terms, m.String())
	}
	if r.Redirect != "" {
		terms = append(terms, "redirect="+r.Redirect)
	}
	if r.Exp != "" {
		terms = append(terms, "exp="+r.Exp)
	}
	for _, m := range r.Unknown {
		terms = append(terms, m.Name+"="+m.Value)
	}
	return strings.Join(terms, " ")
}

// String returns the mechanism's text.
func (m Mechanism) String() string {
	var b strings.Builder
	switch m.Result {
	case Fail:
		b.WriteByte('-')
	case SoftFail:
		b.WriteByte('~')
	case Neutral:
		b.WriteByte('?')
	}
	b.WriteString(m.Name)
	if m.Value != "" {
		b.WriteString(":" + m.Value)
	}
	switch {
	case m.Name == IP6 && m.Bits6 != "":
		b.WriteString("/" + m.Bits6)
	default:
		if m.Bits4 != "" {
			b.WriteString("/" + m.Bits4)
		}
		if m.Bits6 != "" {
			b.WriteString("//" + m.Bits6)
		}
	}
	return b.String()
}

// Same reports whether both texts mean the same: the same terms in the same order, whatever
// the spelling of names and networks. Unknown modifiers, which receivers ignore, do not count,
// but those that ask for reports (RFC 6652) do.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := Parse(a)
	y, errY := Parse(b)
	return errX == nil && errY == nil && x.canonical() == y.canonical()
}

func (r Record) canonical() string {
	c := Record{Redirect: foldDomain(r.Redirect), Exp: foldDomain(r.Exp)}
	for _, m := range r.Mechanisms {
		switch m.Name {
		case IP4, IP6:
			if network, ok := m.Network(); ok {
				m.Value, m.Bits4, m.Bits6 = network.Addr().String(), strconv.Itoa(network.Bits()), ""
			}
		default:
			m.Value = foldDomain(m.Value)
			if m.Bits4 == "32" {
				m.Bits4 = ""
			}
			if m.Bits6 == "128" {
				m.Bits6 = ""
			}
		}
		c.Mechanisms = append(c.Mechanisms, m)
	}
	for _, m := range r.Unknown {
		if m.asksForReports() {
			c.Unknown = append(c.Unknown, Modifier{strings.ToLower(m.Name), m.Value})
		}
	}
	return c.String()
}

// foldDomain lower-cases a domain-spec, but not a macro in it: an upper-case macro letter asks
// for URL encoding (RFC 7208 §7.3).
func foldDomain(s string) string {
	var b strings.Builder
	for {
		before, macro, found := strings.Cut(s, "%")
		b.WriteString(strings.ToLower(before))
		if !found {
			return strings.TrimSuffix(b.String(), ".")
		}
		end := strings.IndexByte(macro, '}') + 1
		if macro != "" && macro[0] != '{' || end == 0 {
			end = min(1, len(macro))
		}
		b.WriteString("%" + macro[:end])
		s = macro[end:]
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
