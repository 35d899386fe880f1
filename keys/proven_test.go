package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
)

// What was proven of one pair says nothing of any other, whatever was asked before.
func TestProvenSpeaksOfThesePairsOnly(t *testing.T) {
	one, another := generated(t), generated(t)
	changed := slices.Clone(one.Private)
	changed[len(changed)/2] ^= 1
	var p Proven
	for range 3 {
		for name, test := range map[string]struct {
			private []byte
			record  string
			want    bool
		}{
			"its own":            {one.Private, one.Record, true},
			"in other words":     {one.Private, "v=DKIM1; t=s; " + one.Record[len("v=DKIM1; "):], true},
			"another's record":   {one.Private, another.Record, false},
			"another's key":      {another.Private, one.Record, false},
			"one octet changed":  {changed, one.Record, false},
			"nothing":            {nil, one.Record, false},
			"no record":          {one.Private, "", false},
			"moved between them": {append(slices.Clone(one.Private), one.Record[0]), one.Record[1:], false},
		} {
			if got := p.Belongs(test.private, test.record); got != test.want {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	if len(p.young) != 2 {
		t.Errorf("%d pairs are remembered, want the two that belong together", len(p.young))
	}
}

// However many there are, it stays within its bounds, and what is in use is remembered.
func TestProvenIsBounded(t *testing.T) {
	var p Proven
	id := func(i int) (id [sha256.Size]byte) {
		binary.BigEndian.PutUint64(id[:], uint64(i))
		return id
	}
	p.add(id(0))
	for i := 1; i < 5*provenPairs; i++ {
		p.add(id(i))
		if i%1000 == 0 && !p.has(id(0)) {
			t.Fatalf("what is asked for all the time is forgotten after %d others", i)
		}
	}
	if n := len(p.young) + len(p.old); n > 2*provenPairs {
		t.Errorf("%d pairs are remembered", n)
	}
	if p.has(id(1)) {
		t.Error("what nobody has asked for since is remembered")
	}
}

func generated(t *testing.T) Pair {
	t.Helper()
	pair, err := Generate(ed25519Algorithm, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func BenchmarkBelongs(b *testing.B) {
	pair, err := Generate(rsaAlgorithm, MinBits)
	if err != nil {
		b.Fatal(err)
	}
	var p Proven
	for name, belongs := range map[string]func([]byte, string) bool{"read": Belongs, "remembered": p.Belongs} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !belongs(pair.Private, pair.Record) {
					b.Fatal("it does not belong")
				}
			}
		})
	}
}
