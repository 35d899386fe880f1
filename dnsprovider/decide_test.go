package dnsprovider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The protocol of these tests: "p=" and a meaning, of which case does not matter.
var slot = Slot{
	Key:  Key{Name: "_p.example.com", Type: TypeTXT},
	Is:   func(value string) bool { return strings.HasPrefix(value, "p=") },
	Same: func(a, b string) bool { return strings.EqualFold(a, b) },
}

// at returns an RRset with the values; a handle follows each "#".
func at(values ...string) RRset {
	set := RRset{Key: slot.Key, TTL: time.Hour}
	for i, value := range values {
		value, handle, found := strings.Cut(value, "#")
		if !found {
			handle = fmt.Sprint(i)
		}
		set.Records = append(set.Records, Record{Value: value, Handle: handle})
	}
	return set
}

func alias(target string) RRset { return RRset{Key: slot.Key, Alias: target} }

func settled(values ...string) []Owned { return ledger(true, values) }
func intents(values ...string) []Owned { return ledger(false, values) }

func ledger(settled bool, values []string) []Owned {
	var owned []Owned
	for _, value := range values {
		owned = append(owned, Owned{Value: value, Settled: settled})
	}
	return owned
}

func TestDecide(t *testing.T) {
	adopt := Wish{Value: "p=w", TTL: time.Minute, Adopt: true}
	w := Wish{Value: "p=w", TTL: time.Minute}
	none := Wish{}

	for name, c := range map[string]struct {
		wish   Wish
		seen   RRset
		owned  []Owned
		verb   Verb
		remove string // values, joined by a space
		add    string
		value  string
		others string // Foreign
	}{
		"alias, wish":               {w, alias("x.example"), nil, Blocked, "", "", "", ""},
		"alias, something owned":    {none, alias("x.example"), intents("p=a"), Blocked, "", "", "", ""},
		"alias, nobody's business":  {none, alias("x.example"), nil, Keep, "", "", "", ""},
		"alias, adopt":              {adopt, alias("x.example"), settled("p=w"), Blocked, "", "", "", ""},
		"no wish, ours":             {none, at("p=a", "sibling", "p=b"), settled("p=a", "p=b"), Remove, "p=a p=b", "", "", ""},
		"no wish, ours and foreign": {none, at("p=a", "p=x"), settled("p=a"), Remove, "p=a", "", "", ""},
		"no wish, an intent":        {none, at("p=a"), intents("p=a"), Remove, "p=a", "", "", ""},
		"no wish, foreign":          {none, at("p=x"), settled("p=a"), Keep, "", "", "", ""},
		"no wish, nothing":          {none, at(), settled("p=a"), Keep, "", "", "", ""},
		"no wish, adopt, foreign":   {Wish{Adopt: true}, at("p=x"), nil, Keep, "", "", "", ""},

		"nothing stands":         {w, at(), nil, Create, "", "p=w", "p=w", ""},
		"only siblings stand":    {w, at("a", "b"), nil, Create, "", "p=w", "p=w", ""},
		"ours was deleted":       {w, at("a"), settled("p=w"), Create, "", "p=w", "p=w", ""},
		"an intent not written":  {w, at(), intents("p=w"), Create, "", "p=w", "p=w", ""},
		"owned but another type": {w, at("a"), settled("a"), Create, "", "p=w", "p=w", ""},

		"stands":                    {w, at("a", "p=w"), settled("p=w"), Keep, "", "", "p=w", ""},
		"an intent arrived":         {w, at("p=w"), intents("p=w"), Keep, "", "", "p=w", ""},
		"stands in other words":     {w, at("p=W"), settled("p=W"), Keep, "", "", "p=W", ""},
		"stands with an old one":    {w, at("p=old", "p=w"), settled("p=old", "p=w"), Replace, "p=old", "", "p=w", ""},
		"stands twice":              {w, at("p=w#1", "p=w#2"), settled("p=w"), Replace, "p=w", "", "p=w", ""},
		"exact words win":           {w, at("p=W", "p=w"), settled("p=W", "p=w"), Replace, "p=W", "", "p=w", ""},
		"another of ours":           {w, at("p=old", "a"), settled("p=old"), Replace, "p=old", "p=w", "p=w", ""},
		"several others of ours":    {w, at("p=1", "p=2"), settled("p=1", "p=2"), Replace, "p=1 p=2", "p=w", "p=w", ""},
		"foreign is what we want":   {w, at("p=W"), nil, TakeUp, "", "", "p=W", ""},
		"foreign, adopt, same":      {adopt, at("p=W"), nil, TakeUp, "", "", "p=W", ""},
		"foreign, drift, same":      {w, at("p=w"), settled("p=old"), TakeUp, "", "", "p=w", ""},
		"foreign, adopt":            {adopt, at("p=x", "a"), nil, Replace, "p=x", "p=w", "p=w", ""},
		"foreign, drift":            {w, at("p=x", "a"), settled("p=w"), Replace, "p=x", "p=w", "p=w", ""},
		"foreign, only an intent":   {w, at("p=x"), intents("p=w"), Conflict, "", "", "", "p=x"},
		"foreign":                   {w, at("p=x", "a"), nil, Conflict, "", "", "", "p=x"},
		"foreign twice, adopt":      {adopt, at("p=x#1", "p=x#2"), nil, Conflict, "", "", "", "p=x p=x"},
		"several foreign":           {w, at("p=y", "p=x"), nil, Conflict, "", "", "", "p=x p=y"},
		"several foreign, adopt":    {adopt, at("p=y", "p=x"), nil, Conflict, "", "", "", "p=x p=y"},
		"several foreign, drift":    {w, at("p=y", "p=x"), settled("p=w"), Conflict, "", "", "", "p=x p=y"},
		"several foreign, one same": {w, at("p=w", "p=x"), nil, Conflict, "", "", "", "p=w p=x"},

		"theirs came later":                 {w, at("p=w", "p=x"), settled("p=w"), Conflict, "", "", "p=w", "p=x"},
		"theirs came later, adopt":          {adopt, at("p=w", "p=x"), settled("p=w"), Conflict, "", "", "p=w", "p=x"},
		"theirs was there first":            {w, at("p=w", "p=x"), intents("p=w"), Conflict, "p=w", "", "", "p=x"},
		"theirs was there first, several":   {w, at("p=w", "p=x", "p=y"), intents("p=w"), Conflict, "p=w", "", "", "p=x p=y"},
		"theirs came amid our replacement":  {w, at("p=w", "p=x"), append(settled("p=old"), intents("p=w")...), Conflict, "", "", "p=w", "p=x"},
		"theirs says the same as ours does": {w, at("p=w", "p=W"), settled("p=w"), Conflict, "", "", "p=w", "p=W"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Decide(slot, c.wish, c.seen, c.owned)
			if got.Verb != c.verb || got.Value != c.value {
				t.Errorf("%s %q, want %s %q", got.Verb, got.Value, c.verb, c.value)
			}
			if remove := strings.Join(values(got.Change.Remove), " "); remove != c.remove {
				t.Errorf("Remove %q, want %q", remove, c.remove)
			}
			if add := strings.Join(got.Change.Add, " "); add != c.add {
				t.Errorf("Add %q, want %q", add, c.add)
			}
			if foreign := strings.Join(got.Foreign, " "); foreign != c.others {
				t.Errorf("Foreign %q, want %q", foreign, c.others)
			}
			if got.Change.Empty() {
				if diff := cmp.Diff(Change{}, got.Change); diff != "" {
					t.Errorf("a change that changes nothing:\n%s", diff)
				}
			} else if diff := cmp.Diff(Change{Seen: c.seen, Remove: got.Change.Remove, Add: got.Change.Add, TTL: c.wish.TTL}, got.Change); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// applied is what stands after a change.
func applied(seen RRset, change Change) RRset {
	next := seen
	next.Records = nil
	for _, r := range seen.Records {
		if !slices.Contains(change.Remove, r) {
			next.Records = append(next.Records, r)
		}
	}
	for i, value := range change.Add {
		next.Records = append(next.Records, Record{Value: value, Handle: fmt.Sprint("new", i)})
	}
	return next
}

type situation struct {
	wish  Wish
	seen  RRset
	owned []Owned
}

func drawSituation(t *rapid.T) situation {
	value := rapid.SampledFrom([]string{"p=a", "p=A", "p=b", "p=c", "p=w", "p=W", "sibling", "v=spf1 -all"})
	s := situation{
		wish: Wish{Value: rapid.SampledFrom([]string{"", "p=w", "p=a"}).Draw(t, "wish"), Adopt: rapid.Bool().Draw(t, "adopt")},
		seen: at(rapid.SliceOfN(value, 0, 5).Draw(t, "seen")...),
	}
	for _, v := range rapid.SliceOfN(value, 0, 4).Draw(t, "owned") {
		s.owned = append(s.owned, Owned{Value: v, Settled: rapid.Bool().Draw(t, "settled")})
	}
	if rapid.IntRange(0, 9).Draw(t, "alias") == 0 {
		s.seen = alias("x.example")
	}
	return s
}

func (s situation) owns(value string) bool {
	return slices.ContainsFunc(s.owned, func(o Owned) bool { return o.Value == value })
}

// after returns the situation once the change is made and the ledger says so.
func (s situation) after(d Decision) situation {
	next := situation{wish: s.wish, seen: applied(s.seen, d.Change)}
	for _, o := range s.owned {
		if !slices.ContainsFunc(d.Change.Remove, func(r Record) bool { return r.Value == o.Value }) {
			next.owned = append(next.owned, o)
		}
	}
	if d.Value != "" {
		next.owned = append(next.owned, Owned{Value: d.Value, Settled: true})
	}
	return next
}

// Foreign values stay, apart from the one that may be taken over.
func TestDecideLeavesForeignValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		d := Decide(slot, s.wish, s.seen, s.owned)
		var protocol, foreign, ours int
		for _, r := range s.seen.Records {
			if slot.Is(r.Value) {
				protocol++
				if s.owns(r.Value) {
					ours++
				}
			}
		}
		for _, r := range d.Change.Remove {
			if !slices.Contains(s.seen.Records, r) {
				t.Fatalf("removes %v, which does not stand", r)
			}
			if !slot.Is(r.Value) {
				t.Fatalf("removes %q of another protocol", r.Value)
			}
			if !s.owns(r.Value) {
				foreign++
			}
		}
		if foreign == 0 {
			return
		}
		drift := slices.ContainsFunc(s.owned, func(o Owned) bool { return o.Settled })
		if foreign > 1 || protocol != 1 || ours != 0 || s.wish.Value == "" || !(s.wish.Adopt || drift) {
			t.Fatalf("removes a foreign value: %+v", d)
		}
	})
}

// Never two by our hand, and a second look finds nothing more to do.
func TestDecideConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		d := Decide(slot, s.wish, s.seen, s.owned)
		next := s.after(d)

		var ours int
		for _, r := range next.seen.Records {
			if slot.Is(r.Value) && next.owns(r.Value) {
				ours++
			}
		}
		if d.Verb != Conflict && d.Verb != Blocked {
			if ours > 1 {
				t.Fatalf("%s leaves %d of ours: %v", d.Verb, ours, next.seen.Values())
			}
			if wanted := s.wish.Value != ""; wanted != (ours == 1) {
				t.Fatalf("%s leaves %d of ours with wish %q: %v", d.Verb, ours, s.wish.Value, next.seen.Values())
			}
		}

		again := Decide(slot, next.wish, next.seen, next.owned)
		if d.Verb == Conflict && !d.Change.Empty() && s.wish.Adopt && again.Verb == Replace {
			next = next.after(again) // ours is withdrawn, and now theirs can be adopted
			again = Decide(slot, next.wish, next.seen, next.owned)
		}
		if !again.Change.Empty() {
			t.Fatalf("after %s: %+v", d.Verb, again)
		}
		switch d.Verb {
		case Conflict, Blocked:
		default:
			if again.Verb != Keep {
				t.Fatalf("after %s: %s, want Keep", d.Verb, again.Verb)
			}
		}
	})
}

// The order in which a server lists its records does not matter.
func TestDecideIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		shuffled := s
		shuffled.seen.Records = rapid.Permutation(s.seen.Records).Draw(t, "records")
		shuffled.owned = rapid.Permutation(s.owned).Draw(t, "ledger")
		want, got := Decide(slot, s.wish, s.seen, s.owned), Decide(slot, shuffled.wish, shuffled.seen, shuffled.owned)
		want.Change.Seen, got.Change.Seen = RRset{}, RRset{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
