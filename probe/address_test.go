package probe

import (
	"net/netip"
	"testing"
)

func TestPublic(t *testing.T) {
	tests := map[string]bool{
		"1.1.1.1":                   true,
		"9.255.255.255":             true,
		"172.32.0.1":                true,
		"2606:4700:4700::1111":      true,
		"::ffff:1.1.1.1":            true,
		"64:ff9b::1.1.1.1":          true,
		"0.0.0.0":                   false,
		"10.96.0.1":                 false,
		"100.64.0.1":                false,
		"127.0.0.53":                false,
		"169.254.169.254":           false,
		"172.16.0.1":                false,
		"172.31.255.255":            false,
		"192.0.2.1":                 false,
		"192.168.1.1":               false,
		"198.19.0.1":                false,
		"224.0.0.251":               false,
		"255.255.255.255":           false,
		"::":                        false,
		"::1":                       false,
		"::ffff:127.0.0.1":          false,
		"::127.0.0.1":               false,
		"64:ff9b::10.0.0.1":         false,
		"64:ff9b:1::10.0.0.1":       false,
		"2002:7f00:1::":             false,
		"2001:0:7f00:1::":           false,
		"2001:db8::1":               false,
		"3fff::1":                   false,
		"fc00::1":                   false,
		"fd00::2":                   false,
		"fe80::1":                   false,
		"fe80::1%eth0":              false,
		"2606:4700:4700::1111%eth0": false,
		"ff02::1":                   false,
	}
	for text, want := range tests {
		if got := Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("Public(%s) = %v, want %v", text, got, want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}

func TestGuard(t *testing.T) {
	allowTen := func(addr netip.Addr) bool { return netip.MustParsePrefix("10.0.0.0/8").Contains(addr) }
	tests := map[string]struct {
		allow   func(netip.Addr) bool
		address string
		allowed bool
	}{
		"public":                       {nil, "1.1.1.1:53", true},
		"private":                      {nil, "10.0.0.1:53", false},
		"private and allowed":          {allowTen, "10.0.0.1:53", true},
		"private and allowed, mapped":  {allowTen, "[::ffff:10.0.0.1]:53", true},
		"other private":                {allowTen, "127.0.0.1:53", false},
		"public is not asked for":      {func(netip.Addr) bool { return false }, "[2606:4700::1111]:443", true},
		"link-local with its zone":     {nil, "[fe80::1%eth0]:53", false},
		"something that is no address": {allowTen, "socket", false},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			if err := guard(tt.allow)("tcp", tt.address, nil); (err == nil) != tt.allowed {
				t.Errorf("guard(%s) = %v, want allowed %v", tt.address, err, tt.allowed)
			}
		})
	}
}
