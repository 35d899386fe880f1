package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	day      = 24 * time.Hour
	interval = 180 * day
	keep     = 7 * day
	negative = 5 * time.Minute
)

func policyFor(names ...string) Policy {
	p := Policy{Interval: interval, Retention: keep, Spread: "mail/example-com"}
	for _, name := range names {
		p.Keys = append(p.Keys, Spec{Name: name, Algorithm: "ed25519"})
	}
	return p
}

// served is evidence that every server serves the record.
func served() Evidence {
	return Evidence{Standing: true, NegativeTTL: negative, Witnesses: []Witness{{"ns1", "192.0.2.1", Serves}, {"ns2", "192.0.2.2", Serves}}}
}

func newKey(name, selector string, created time.Time) Key {
	return Key{Name: name, Selector: selector, Algorithm: "ed25519", Record: "v=DKIM1; k=ed25519; p=" + selector, Created: created}
}

func states(ring Keyring) string {
	var list []string
	for _, k := range ring {
		list = append(list, k.Selector+" "+string(k.State()))
	}
	return strings.Join(list, ", ")
}

// One whole rotation, from nothing to the removal of the old key, by the clock alone.
func TestWholeRotation(t *testing.T) {
	p := policyFor("ed")
	now := start
	var ring Keyring
	evidence := func() map[string]Evidence {
		all := map[string]Evidence{}
		for _, k := range ring {
			all[k.Selector] = served()
		}
		return all
	}
	step := func(after time.Duration, want string) {
		t.Helper()
		now = now.Add(after)
		ring = Advance(ring, p, evidence(), now).Ring
		if got := states(ring); got != want {
			t.Fatalf("at %s: got %s, want %s", now.Sub(start), got, want)
		}
	}
	if due := Due(ring, p, now); len(due) != 1 {
		t.Fatalf("got %v, want the first key", due)
	}
	ring = append(ring, newKey("ed", "a", now))
	step(0, "a Published")
	step(negative-time.Second, "a Published")
	step(time.Second, "a Active")
	if due := Due(ring, p, now); len(due) != 0 {
		t.Fatalf("got %v, want none", due)
	}
	at, ok := NextRotation(ring, p)
	if !ok || at.Before(now.Add(interval*9/10)) || at.After(now.Add(interval)) {
		t.Fatalf("got %v, want within the last tenth of the interval", at.Sub(now))
	}
	now = at
	if due := Due(ring, p, now); len(due) != 1 {
		t.Fatalf("got %v, want the second key", due)
	}
	ring = append(ring, newKey("ed", "b", now))
	if due := Due(ring, p, now); len(due) != 0 {
		t.Fatalf("got %v, want none: its successor is under way", due)
	}
	step(0, "a Active, b Published")
	step(negative, "a Retired, b Active")
	step(keep/2, "a Retired, b Active") // its file leaves the signer's Secret
	step(keep-time.Second, "a Retired, b Active")
	step(time.Second, "a Revoked, b Active")
	step(keep, "a Removed, b Active")
}

func TestProof(t *testing.T) {
	hour := start.Add(SilenceLimit)
	tests := map[string]struct {
		sights  []Witness
		at      []time.Time // one look at each; the last one counts
		want    State
		waits   string
		ignored []string
	}{
		"all serve it":        {[]Witness{{"ns1", "1", Serves}, {"ns2", "2", Serves}}, []time.Time{start, start.Add(negative)}, Active, "", nil},
		"too early":           {[]Witness{{"ns1", "1", Serves}}, []time.Time{start, start.Add(negative - time.Second)}, Published, "forget", nil},
		"a part of a second":  {[]Witness{{"ns1", "1", Serves}}, []time.Time{start.Add(time.Second / 2), start.Add(negative + time.Second/4)}, Published, "forget", nil},
		"its whole second":    {[]Witness{{"ns1", "1", Serves}}, []time.Time{start.Add(time.Second / 2), start.Add(negative + time.Second)}, Active, "", nil},
		"one lacks it":        {[]Witness{{"ns1", "1", Serves}, {"ns2", "2", Differs}}, []time.Time{start, start.Add(30 * day)}, Published, "ns2 to serve a, 1 of 2 servers have it", nil},
		"one address lacks":   {[]Witness{{"ns1", "1", Serves}, {"ns1", "2", Differs}}, []time.Time{start, start.Add(30 * day)}, Published, "ns1 to serve a, 0 of 1 servers have it", nil},
		"both kinds":          {[]Witness{{"ns1", "1", Serves}, {"ns2", "2", Silence}, {"ns3", "3", Differs}, {"ns4", "4", Differs}, {"ns5", "5", Serves}}, []time.Time{start}, Published, "ns3 and ns4 to serve a and for ns2 to answer for a, 2 of 5 servers have it", nil},
		"one is silent":       {[]Witness{{"ns1", "1", Serves}, {"ns2", "2", Silence}}, []time.Time{start, hour.Add(-time.Second)}, Published, "ns2 to answer for a, 1 of 2 servers have it", nil},
		"silent for an hour":  {[]Witness{{"ns1", "1", Serves}, {"ns2", "2", Silence}}, []time.Time{start, hour, hour.Add(negative)}, Active, "", []string{"ns2"}},
		"all are silent":      {[]Witness{{"ns1", "1", Silence}}, []time.Time{start, hour, hour.Add(day)}, Published, "none of ns1", []string{"ns1"}},
		"IPv6 has no route":   {[]Witness{{"ns1", "1", Serves}, {"ns1", "::1", NoRoute}}, []time.Time{start, start.Add(negative)}, Active, "", nil},
		"nothing has a route": {[]Witness{{"ns1", "::1", NoRoute}}, []time.Time{start, start.Add(day)}, Published, "none of ns1", nil},
		"nobody was asked":    {nil, []time.Time{start, start.Add(day)}, Published, "no name server could be asked", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out := Outcome{Ring: Keyring{newKey("ed", "a", start)}}
			for _, now := range test.at {
				e := Evidence{Standing: true, NegativeTTL: negative, Witnesses: test.sights}
				out = Advance(out.Ring, policyFor("ed"), map[string]Evidence{"a": e}, now)
			}
			if got := out.Ring[0].State(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			why := ""
			for _, w := range out.Waits {
				why += w.For
			}
			if !strings.Contains(why, test.waits) || test.waits == "" && why != "" {
				t.Errorf("waits for %q, want %q", why, test.waits)
			}
			if diff := cmp.Diff(test.ignored, out.Ignored); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARecordThatVanishedIsProvenAgain(t *testing.T) {
	p := policyFor("ed")
	ring := Keyring{newKey("ed", "a", start)}
	look := func(e Evidence, now time.Time) {
		ring = Advance(ring, p, map[string]Evidence{"a": e}, now).Ring
	}
	look(served(), start)
	look(Evidence{NegativeTTL: negative}, start.Add(time.Minute))
	if got := ring[0].State(); got != Generated {
		t.Fatalf("got %s", got)
	}
	look(served(), start.Add(2*time.Minute))
	look(served(), start.Add(negative+time.Minute))
	if got := ring[0].State(); got != Published {
		t.Errorf("got %s: the wait began before the record came back", got)
	}
	look(served(), start.Add(negative+2*time.Minute))
	if got := ring[0].State(); got != Active {
		t.Errorf("got %s", got)
	}
}

func activeKey(name, selector string) Key {
	k := newKey(name, selector, start)
	k.Published, k.Propagated, k.Active = start, start, start
	return k
}

func TestWhatTheUserWants(t *testing.T) {
	rsa := func(k Key) Key { k.Algorithm, k.Bits = "rsa", 2048; return k }
	later := start.Add(day)
	for name, test := range map[string]struct {
		ring   Keyring
		policy func(*Policy)
		due    int
		want   string
	}{
		"frozen":                      {Keyring{activeKey("ed", "a")}, func(p *Policy) { p.Keys, p.Frozen = nil, true }, 0, "a Active"},
		"all keys dropped":            {Keyring{activeKey("ed", "a")}, func(p *Policy) { p.Keys = nil }, 0, "a Retired"},
		"kept":                        {Keyring{activeKey("old", "a"), activeKey("ed", "b")}, func(p *Policy) { p.Kept = []string{"old"} }, 0, "a Active, b Active"},
		"nothing but kept":            {Keyring{activeKey("old", "a")}, func(p *Policy) { p.Keys, p.Kept = nil, []string{"old"} }, 0, "a Active"},
		"a name replaced by another":  {Keyring{activeKey("old", "a")}, func(*Policy) {}, 1, "a Active"},
		"the other signs":             {Keyring{activeKey("old", "a"), activeKey("ed", "b")}, func(*Policy) {}, 0, "a Retired, b Active"},
		"another algorithm":           {Keyring{rsa(activeKey("ed", "a"))}, func(*Policy) {}, 1, "a Active"},
		"asked to rotate":             {Keyring{activeKey("ed", "a")}, func(p *Policy) { p.RotateNow = true }, 1, "a Active"},
		"paused":                      {Keyring{activeKey("ed", "a")}, func(p *Policy) { p.Paused, p.Interval = true, time.Second }, 0, "a Active"},
		"compromised":                 {Keyring{activeKey("ed", "a")}, func(p *Policy) { p.Compromised = []string{"a"} }, 1, "a Active"},
		"compromised, with successor": {Keyring{activeKey("ed", "a"), activeKey("ed", "b")}, func(p *Policy) { p.Compromised = []string{"a"} }, 0, "a Revoked, b Active"},
		"lost":                        {Keyring{activeKey("ed", "a")}, func(p *Policy) { p.Lost = []string{"a"} }, 1, "a Active"},
		"lost, with successor":        {Keyring{activeKey("ed", "a"), newKey("ed", "b", start)}, func(p *Policy) { p.Lost = []string{"a"} }, 0, "a Active, b Published"},
		"lost before it signed":       {Keyring{activeKey("ed", "a"), newKey("ed", "b", start)}, func(p *Policy) { p.Lost = []string{"a", "b"} }, 1, "a Active, b Removed"},
		"imported, and short":         {Keyring{imported(1024)}, func(p *Policy) { p.Keys = []Spec{imported(1024).Succeeds()} }, 0, "a Active"},
		"no longer imported":          {Keyring{imported(1024)}, func(p *Policy) { p.Keys = []Spec{{"ed", "rsa", 2048, ""}} }, 1, "a Active"},
		"imported, and as wished":     {Keyring{imported(2048)}, func(p *Policy) { p.Keys = []Spec{{"ed", "rsa", 2048, ""}} }, 0, "a Active"},
		"imported, and asked":         {Keyring{imported(1024)}, func(p *Policy) { p.Keys, p.RotateNow = []Spec{imported(1024).Succeeds()}, true }, 1, "a Active"},
		"imported, and compromised":   {Keyring{imported(1024)}, func(p *Policy) { p.Keys, p.Compromised = []Spec{imported(1024).Succeeds()}, []string{"a"} }, 1, "a Active"},
		"dropped before it signed":    {Keyring{newKey("old", "a", start), activeKey("ed", "b")}, func(*Policy) {}, 0, "a Removed, b Active"},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyFor("ed")
			test.policy(&p)
			if due := Due(test.ring, p, later); len(due) != test.due {
				t.Errorf("got %v due, want %d", due, test.due)
			}
			evidence := map[string]Evidence{}
			for _, k := range test.ring {
				evidence[k.Selector] = served()
			}
			if got := states(Advance(test.ring, p, evidence, later).Ring); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func imported(bits int) Key {
	k := activeKey("ed", "a")
	k.Algorithm, k.Bits, k.Imported = "rsa", bits, true
	return k
}

// What follows an imported key is of a size that is made.
func TestSucceeds(t *testing.T) {
	for bits, want := range map[int]int{1024: 2048, 2047: 2048, 2048: 2048, 2049: 3072, 3072: 3072, 4096: 4096, 8192: 4096} {
		if got := imported(bits).Succeeds(); got.Bits != want || got.Algorithm != "rsa" || got.Name != "ed" {
			t.Errorf("%d bits: %+v", bits, got)
		}
	}
	if got := (Key{Name: "x", Selector: "s", Algorithm: "ed25519"}).Succeeds(); got != (Spec{"x", "ed25519", 0, "s"}) {
		t.Errorf("%+v", got)
	}
}

func TestRevocationWaitsForAPerson(t *testing.T) {
	p := policyFor("ed")
	p.Confirm = &Confirmation{}
	ring := Keyring{activeKey("ed", "a"), newKey("ed", "b", start)}
	evidence := map[string]Evidence{"a": served(), "b": {Mounted: true}}
	ring = Advance(ring, p, evidence, start).Ring
	out := Advance(ring, p, evidence, start.Add(2*keep))
	if got := states(out.Ring); got != "a Retired, b Active" || len(out.Waits) != 1 || !out.Waits[0].Person || out.Waits[0].Confirm != "b" {
		t.Errorf("got %s, waits %v", got, out.Waits)
	}
	if SignerData("example.com", out.Ring, p, map[string][]byte{"a": []byte("A")})["a.pem"] == nil {
		t.Error("a signer that has not switched has lost the file")
	}
	p.Confirm = &Confirmation{Selector: "b"}
	for after, want := range map[time.Duration]string{2*keep - time.Second: "a Retired, b Active", 2 * keep: "a Revoked, b Active"} {
		ring := Advance(out.Ring, p, evidence, start.Add(keep)).Ring
		if SignerData("example.com", ring, p, map[string][]byte{"a": []byte("A")})["a.pem"] != nil {
			t.Error("the file stays after the confirmation")
		}
		if got := states(Advance(ring, p, evidence, start.Add(after)).Ring); got != want {
			t.Errorf("%s after the confirmation: got %s, want %s", after-keep, got, want)
		}
	}
}

// A signer that notices the switch late signs with the old key until the key's file is gone. That is when
// retention begins, however long the operator was away or did not know what the signer does.
func TestRetentionCountsFromTheLastSignature(t *testing.T) {
	p := policyFor("ed")
	retired := activeKey("ed", "a")
	retired.Retired = start
	look := func(ring Keyring, after time.Duration) (Keyring, bool) {
		ring = Advance(ring, p, nil, start.Add(after)).Ring
		return ring, SignerData("example.com", ring, p, map[string][]byte{"a": []byte("A")})["a.pem"] != nil
	}
	for _, withdrawn := range []time.Duration{keep / 2, 2 * keep, 100 * day} {
		ring, signs := look(Keyring{retired, activeKey("ed", "b")}, keep/2-time.Second)
		if !signs {
			t.Error("the file is gone before half of the retention has passed")
		}
		if ring, signs = look(ring, withdrawn); signs {
			t.Errorf("the file is still there after %s", withdrawn)
		}
		if ring, _ = look(ring, withdrawn+keep-time.Second); ring[0].State() != Retired {
			t.Errorf("withdrawn after %s, it is %s before retention has passed since", withdrawn, ring[0].State())
		}
		if ring, _ = look(ring, withdrawn+keep); ring[0].State() != Revoked {
			t.Errorf("withdrawn after %s, it is %s after the retention", withdrawn, ring[0].State())
		}
	}
}

// The process died after the signer's Secret was written, and before the ledger was: the key may have
// signed, so it does not just go when it is not wanted any more, or its record is not to be seen.
func TestAMountedKeyIsActive(t *testing.T) {
	ring := Keyring{activeKey("ed", "a"), newKey("other", "b", start)}
	mounted := map[string]Evidence{"b": {Mounted: true}}
	p := policyFor("ed", "other")
	if got := states(Advance(ring, p, mounted, start).Ring); got != "a Active, b Active" {
		t.Errorf("wanted: got %s", got)
	}
	p = policyFor("ed")
	if got := states(Advance(ring, p, mounted, start).Ring); got != "a Active, b Retired" {
		t.Errorf("not wanted: got %s", got)
	}
	p.Compromised = []string{"b"}
	if got := states(Advance(ring, p, mounted, start).Ring); got != "a Active, b Removed" {
		t.Errorf("compromised: got %s", got)
	}
}

// While it is not known what the signer does, a key that may have signed is not revoked; one that
// is compromised is.
func TestNothingIsRevokedWhileFrozen(t *testing.T) {
	retired := activeKey("ed", "a")
	retired.Retired = start
	ring := Keyring{retired, activeKey("ed", "b")}
	p := policyFor("ed")
	p.Frozen = true
	if got := states(Advance(ring, p, nil, start.Add(2*keep)).Ring); got != "a Retired, b Active" {
		t.Errorf("got %s", got)
	}
	p.Compromised = []string{"a"}
	if got := states(Advance(ring, p, nil, start).Ring); got != "a Revoked, b Active" {
		t.Errorf("compromised: got %s", got)
	}
	p.Frozen, p.Compromised = false, nil
	ring = Advance(ring, p, nil, start.Add(2*keep)).Ring
	if got := states(ring); got != "a Retired, b Active" {
		t.Errorf("no longer frozen: got %s", got)
	}
	if got := states(Advance(ring, p, nil, start.Add(3*keep)).Ring); got != "a Revoked, b Active" {
		t.Errorf("no longer frozen, and the retention has passed: got %s", got)
	}
}

// A server that an active key did not wait for is named until it answers; no other joins it.
func TestASilentServerIsNamedUntilItAnswers(t *testing.T) {
	p := policyFor("ed")
	ring := Keyring{newKey("ed", "a", start)}
	look := func(at time.Duration, second, third Sight) []string {
		e := Evidence{Standing: true, Witnesses: []Witness{{"ns1", "1", Serves}, {"ns2", "2", second}, {"ns3", "3", third}}}
		out := Advance(ring, p, map[string]Evidence{"a": e}, start.Add(at))
		ring = out.Ring
		return out.Ignored
	}
	look(0, Silence, Serves)
	for _, test := range []struct {
		at            time.Duration
		second, third Sight
		want          []string
	}{
		{SilenceLimit, Silence, Serves, []string{"ns2"}},
		{SilenceLimit + time.Minute, Silence, Serves, []string{"ns2"}},
		{2 * SilenceLimit, Silence, Silence, []string{"ns2"}},
		{4 * SilenceLimit, Silence, Silence, []string{"ns2"}},
		{5 * SilenceLimit, Serves, Silence, nil},
		{8 * SilenceLimit, Silence, Silence, nil},
	} {
		if diff := cmp.Diff(test.want, look(test.at, test.second, test.third)); diff != "" || ring[0].State() != Active {
			t.Errorf("after %s: %s %s", test.at, ring[0].State(), diff)
		}
	}
}

func TestNewSelector(t *testing.T) {
	taken := map[string]bool{}
	for n := range 30 {
		taken[NewSelector("001", start, func(s string) bool { return taken[s] })] = true
		_ = n
	}
	all := slices.Sorted(maps.Keys(taken))
	for _, selector := range append(slices.Clone(all), "a-b-20261123zz") {
		if !IsSelector(selector) {
			t.Errorf("%s is not known as its own", selector)
		}
	}
	for _, selector := range []string{"", "s1", "google", "20261123a", "-20261123a", "x-2026112a", "x-20261123", "x-20261123a2", "x-20261123a.y"} {
		if IsSelector(selector) {
			t.Errorf("%q is taken for its own", selector)
		}
	}
	if len(all) != 30 || !taken["001-20261123a"] || !taken["001-20261123z"] || !taken["001-20261123ad"] {
		t.Errorf("got %v", all)
	}
}

func TestGenerate(t *testing.T) {
	for _, spec := range []Spec{{Algorithm: "rsa", Bits: 2048}, {Algorithm: "ed25519"}} {
		pair, err := Generate(spec.Algorithm, spec.Bits)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := RecordOf(pair.Private); err != nil || again != pair.Record || !strings.HasPrefix(pair.Record, "v=DKIM1; k="+spec.Algorithm+"; p=") {
			t.Errorf("%v: got %q and %q, %v", spec, pair.Record, again, err)
		}
	}
	for _, spec := range []Spec{{Algorithm: "rsa", Bits: 1024}, {Algorithm: "rsa", Bits: 8192}, {Algorithm: "dsa"}} {
		if _, err := Generate(spec.Algorithm, spec.Bits); err == nil {
			t.Errorf("%v was made", spec)
		}
	}
}

func FuzzRecordOf(f *testing.F) {
	pair, err := Generate("ed25519", 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pair.Private)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, private []byte) {
		record, err := RecordOf(private)
		if (err == nil) == (record == "") {
			t.Fatalf("got %q and %v", record, err)
		}
	})
}

// After the clock went forward all waits begin anew, and none of them has moved anything; a clock that
// was set back moves nothing either.
func TestTheClockJumps(t *testing.T) {
	retired, revoked := activeKey("ed", "old"), activeKey("ed", "older")
	retired.Retired = start
	revoked.Retired, revoked.Revoked = start, start
	pending := newKey("ed", "next", start)
	ring := Keyring{revoked, retired, activeKey("ed", "now"), pending}
	p := policyFor("ed")
	evidence := map[string]Evidence{"next": {Standing: true, NegativeTTL: negative, Witnesses: []Witness{{"ns1", "1", Serves}, {"ns2", "2", Silence}}}}
	const before = "older Revoked, old Retired, now Active, next Published"
	step := func(now time.Time, want string) {
		t.Helper()
		ring = Advance(ring, p, evidence, now).Ring
		if got := states(ring); got != want {
			t.Fatalf("at %s: got %s, want %s", now.Sub(start), got, want)
		}
	}
	step(start, before)
	for _, months := range []time.Duration{-1, -6} {
		step(start.Add(months*30*day), before)
	}
	if len(Due(ring, p, start.Add(-6*30*day))) != 0 {
		t.Error("a key is due before its time")
	}
	jumped := start.Add(5 * 30 * day)
	ring.Restart(jumped)
	step(jumped, before)
	step(jumped.Add(SilenceLimit-time.Second), before)
	evidence["next"] = served()
	step(jumped.Add(SilenceLimit), before)
	step(jumped.Add(SilenceLimit+negative-time.Second), before)
	step(jumped.Add(SilenceLimit+negative), "older Revoked, old Retired, now Retired, next Active")
	step(jumped.Add(keep-time.Second), "older Revoked, old Retired, now Retired, next Active")
	step(jumped.Add(keep), "older Removed, old Retired, now Retired, next Active")
	jumped = jumped.Add(12 * keep)
	ring.Restart(jumped)
	step(jumped.Add(keep-time.Second), "older Removed, old Retired, now Retired, next Active")
	step(jumped.Add(keep), "older Removed, old Revoked, now Revoked, next Active")
}

// What is recalled signs, or has just stopped to; times that are known stay.
func TestRecall(t *testing.T) {
	later := start.Add(day)
	k := newKey("ed", "a", start)
	k.Published, k.Silent = start, map[string]time.Time{"1": start}
	ring := Keyring{k, {Selector: "b", Entered: 4}}
	ring.Recall(0, true, later)
	want := Key{Name: "ed", Selector: "a", Algorithm: k.Algorithm, Record: k.Record, Created: start, Published: start, Served: later, Propagated: later, Active: later}
	if diff := cmp.Diff(want, ring[0]); diff != "" {
		t.Error(diff)
	}
	ring.Recall(0, false, later.Add(day))
	want.Retired, want.Left = later.Add(day), 5 // no word that is known yet speaks of it
	if diff := cmp.Diff(want, ring[0]); diff != "" {
		t.Error(diff)
	}
}

// Whatever happens, in whatever order: no key signs that was not proven; from the first active
// key on one always signs; a retired key's record outlives its retention unless compromised;
// states only move forward, except that an unproven record can be lost.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policyFor("ed", "rsa")
		now := start
		var ring Keyring
		signed := false
		for n := range rapid.IntRange(5, 60).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, negative, time.Hour, day, keep, interval}).Draw(t, "pass"))
			p.RotateNow = rapid.IntRange(0, 9).Draw(t, "rotate") == 0
			for i, spec := range Due(ring, p, now) {
				ring = append(ring, newKey(spec.Name, fmt.Sprintf("k%d-%d", n, i), now))
			}
			evidence := map[string]Evidence{}
			for _, k := range ring {
				e := Evidence{Standing: rapid.IntRange(0, 5).Draw(t, "standing") > 0, NegativeTTL: negative}
				for s := range 2 {
					sight := rapid.SampledFrom([]Sight{Serves, Serves, Serves, Serves, Differs, Silence, NoRoute}).Draw(t, "sight")
					e.Witnesses = append(e.Witnesses, Witness{fmt.Sprintf("ns%d", s), fmt.Sprintf("192.0.2.%d", s), sight})
				}
				evidence[k.Selector] = e
			}
			before := ring
			ring = Advance(ring, p, evidence, now).Ring
			for i, k := range ring {
				was := before[i]
				if k.State() == Active && was.State() != Active {
					_, why, _ := judge(k.Selector, evidence[k.Selector], was.Silent, now)
					if why != "" || !evidence[k.Selector].Standing || now.Sub(k.Served) < negative {
						t.Fatalf("%s signs without proof: %s", k.Selector, why)
					}
				}
				if k.State() == Revoked && was.State() == Retired && (now.Sub(k.Withdrawn) < keep || k.Withdrawn.Sub(k.Retired) < keep/2) {
					t.Fatalf("%s was revoked %s after it signed last", k.Selector, now.Sub(k.Withdrawn))
				}
				if was.State() == Active && k.State() != Active && k.State() != Retired {
					t.Fatalf("%s went from Active to %s", k.Selector, k.State())
				}
			}
			active := len(ring.With(Active)) > 0
			if signed && !active {
				t.Fatalf("nothing signs any more: %s", states(ring))
			}
			signed = signed || active
		}
	})
}
