package keys

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A domain's part in a shared Secret is what it put there, under plain names.
func TestPartOf(t *testing.T) {
	p := policyFor("rsa", "ed")
	one := Keyring{activeKey("ed", "e"), activeKey("rsa", "r"), activeKey("rsa", "old")}
	one[2].Retired = start
	one[0].Algorithm, one[1].Algorithm = "ed25519", "rsa"
	privates := map[string][]byte{"e": []byte("E"), "r": []byte("R"), "old": []byte("O")}
	data := Combine(nil, "a.example", SharedData("a.example", one, p, privates))
	alone := SizeOf(data)
	data = Combine(data, "a.example.net", SharedData("a.example.net", one[:1], p, privates))
	want := SignerData("a.example", one, p, privates)
	for _, name := range append([]string{DomainFile, SelectorFile}, tableFiles...) {
		delete(want, name)
	}
	if diff := cmp.Diff(want, PartOf(data, "a.example")); diff != "" {
		t.Error(diff)
	}
	if got := string(PartOf(data, "a.example.net")[SelectorsFile]); got != "e\n" {
		t.Errorf("the other domain signs with %q", got)
	}
	if got := PartOf(data, "example"); len(got) > 0 {
		t.Errorf("a domain that is not in it has %v", got)
	}
	back := Combine(data, "a.example.net", nil)
	if SizeOf(back) != alone || SizeOf(data) <= alone {
		t.Errorf("%d octets, then %d and %d", alone, SizeOf(data), SizeOf(back))
	}
	if !Shared(back) || Shared(Combine(back, "a.example", nil)) || Shared(nil) {
		t.Error("it is not told whether any domain is left")
	}
	if got := SizeOf(map[string][]byte{"ab": []byte("cde")}); got != 5 {
		t.Errorf("%d octets", got)
	}
}
