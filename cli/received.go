package cli

import (
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"

	"github.com/maildomain/maildomain-operator/probe"
)

// Source is who delivered a message.
type Source struct {
	IP       string `json:"ip,omitempty"`
	HELO     string `json:"helo,omitempty"`
	MailFrom string `json:"mailFrom"`
	// From says where the address was found.
	From string `json:"from"`

	mailFromKnown bool
}

var (
	// An address literal (RFC 5321 §4.1.3), which most servers write, or one in parentheses, as qmail does.
	literal = regexp.MustCompile(`\[(?i:IPv6:)?([0-9A-Fa-f:.]{2,45})\]|\(([0-9A-Fa-f:.]{2,45})\)`)
	by      = regexp.MustCompile(`(?i)(^|\s)by\s`)
	from    = regexp.MustCompile(`(?i)^\s*from\s+([^\s()\[\];]+)`)
	// Exim and qmail write the name of HELO apart, since before it stands the one that DNS has.
	helo = regexp.MustCompile(`(?i)[(\s](?:helo|ehlo)[=\s]([^\s()\[\];]+)`)
)

// hop reads the part of a Received header that says from whom (RFC 5321 §4.4).
func hop(value string) (ip netip.Addr, name string) {
	if at := by.FindStringIndex(value); at != nil {
		value = value[:at[0]]
	}
	if len(value) > 2000 { // none that a server writes
		value = value[:2000]
	}
	for _, match := range literal.FindAllStringSubmatch(value, -1) {
		if addr, err := netip.ParseAddr(match[1] + match[2]); err == nil {
			ip = addr.Unmap()
			break
		}
	}
	if match := helo.FindStringSubmatch(value); match != nil {
		name = match[1]
	} else if match := from.FindStringSubmatch(value); match != nil {
		name = match[1]
	}
	return ip, name
}

// source puts together what flags and headers say.
func (m *messenger) source(header mail.Header) (s Source, err error) {
	received := header["Received"]
	if m.received < 0 || m.received > len(received) {
		return s, fmt.Errorf("--received is %d, and the message has %d Received headers", m.received, len(received))
	}
	at := m.received - 1
	if at < 0 {
		at = topmost(received)
	}
	if at >= 0 {
		ip, name := hop(received[at])
		if ip.IsValid() {
			s.IP, s.From = ip.String(), fmt.Sprintf("Received header %d of %d", at+1, len(received))
		}
		s.HELO = name
	}
	if m.ip != "" {
		ip, err := netip.ParseAddr(m.ip)
		if err != nil {
			return s, fmt.Errorf("--ip: %q is not an address, such as 192.0.2.1", m.ip)
		}
		s.IP, s.From = ip.String(), "--ip"
	}
	if m.helo != "" {
		s.HELO = m.helo
	}
	if path := header.Get("Return-Path"); path != "" {
		s.MailFrom, s.mailFromKnown = strings.Trim(strings.TrimSpace(path), "<>"), true
	}
	if m.fromSet {
		s.MailFrom, s.mailFromKnown = strings.Trim(m.mailFrom, "<>"), true
	}
	return s, nil
}

// topmost is the first header, from above, that names a public address: those above it are of the
// receiver's own network, and those below it anybody can have written. Without any it is the first one
// with an address; -1 if there is none.
func topmost(received []string) int {
	first := -1
	for i, value := range received {
		ip, _ := hop(value)
		switch {
		case ip.IsValid() && probe.Public(ip):
			return i
		case ip.IsValid() && first < 0:
			first = i
		}
	}
	return first
}
