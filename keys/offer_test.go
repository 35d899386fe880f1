package keys

import "testing"

// A key whose file may be in the signer's Secret has signed, for all that is known: when it is not wanted
// any more its record stays for as long as that of a key that did.
func TestAnOfferedKeyMaySign(t *testing.T) {
	p := policyFor("ed")
	before := Keyring{activeKey("ed", "a"), newKey("ed", "b", start)}
	next := Advance(before, p, map[string]Evidence{"b": {Standing: true, Witnesses: served().Witnesses}}, start).Ring
	offered, news := before.Offer(next, start)
	if got := states(offered); !news || got != "a Active, b Generated" || !before[1].Offered.IsZero() || !offered[1].Offered.Equal(start) {
		t.Fatalf("offered are %s, %+v", got, offered[1])
	}
	if _, news := offered.Offer(next, start.Add(day)); news {
		t.Error("it is news twice")
	}
	if _, news := next.Offer(next, start); news {
		t.Error("a key that signs already is news")
	}
	if _, news := before.Offer(before, start); news {
		t.Error("a key that begins nothing is news")
	}
	later := start.Add(day)
	for what, change := range map[string]func(*Policy){
		"it left spec": func(p *Policy) { p.Keys = nil },
		"it is lost":   func(p *Policy) { p.Lost = []string{"b"} },
	} {
		p := policyFor("ed")
		change(&p)
		for ring, want := range map[*Keyring]State{&before: Removed, &offered: Retired} {
			out := Advance(*ring, p, nil, later)
			if k := out.Ring[1]; k.State() != want || want == Retired && (!k.Retired.Equal(later) || k.Left != ring.Turn()+1) {
				t.Errorf("%s: it is %s, want %s: %+v", what, k.State(), want, k)
			}
		}
	}
	p.Compromised = []string{"b"}
	if k := Advance(offered, p, nil, later).Ring[1]; k.State() != Revoked {
		t.Errorf("it is known to others, and %s", k.State())
	}
	if k := Advance(offered, policyFor("ed"), nil, later).Ring[1]; !k.Pending() || k.Offered.IsZero() {
		t.Errorf("while it is not proven again: %+v", k)
	}
}
