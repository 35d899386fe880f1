package dnsprovider

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const hostName = "mta-sts.example.com"

// host is what stands at the name, from words such as "A=192.0.2.1". A CNAME shows as the others' alias.
func host(records ...string) []RRset {
	sets := make([]RRset, 3)
	for i, key := range HostKeys(hostName) {
		sets[i] = RRset{Key: key, TTL: time.Hour}
		for _, value := range targets(records...)[key.Type] {
			sets[i].Records = append(sets[i].Records, Record{Value: value, Handle: "#" + value})
		}
	}
	if len(sets[0].Records) > 0 {
		sets[1].Alias, sets[2].Alias = sets[0].Records[0].Value, sets[0].Records[0].Value
	}
	return sets
}

func targets(records ...string) Targets {
	t := Targets{}
	for _, word := range records {
		kind, value, _ := strings.Cut(word, "=")
		t[kind] = append(t[kind], value)
	}
	return t
}

// hostLedger is the ledger's part of the words; those with a question mark are intents.
func hostLedger(records string) [][]Owned {
	owned := make([][]Owned, 3)
	for _, word := range strings.Fields(records) {
		kind, value, _ := strings.Cut(strings.TrimSuffix(word, "?"), "=")
		i := slices.IndexFunc(HostKeys(hostName), func(k Key) bool { return k.Type == kind })
		owned[i] = append(owned[i], Owned{Value: value, Settled: !strings.HasSuffix(word, "?")})
	}
	return owned
}

// steps puts changes into words: "-A=1 +A=2 | +AAAA=::1".
func hostSteps(changes []Change) string {
	var steps []string
	for _, c := range changes {
		var words []string
		for _, r := range c.Remove {
			words = append(words, "-"+c.Seen.Type+"="+r.Value)
		}
		for _, value := range c.Add {
			words = append(words, "+"+c.Seen.Type+"="+value)
		}
		steps = append(steps, strings.Join(words, " "))
	}
	return strings.Join(steps, " | ")
}

func words(t Targets) string {
	var all []string
	for _, kind := range []string{TypeCNAME, TypeA, TypeAAAA} {
		for _, value := range t[kind] {
			all = append(all, kind+"="+value)
		}
	}
	return strings.Join(all, " ")
}

func TestDecideHost(t *testing.T) {
	const adopt = "adopt "
	for name, c := range map[string]struct {
		wish, seen, owned string
		verb              Verb
		steps, ours       string
		foreign           string
	}{
		"no wish, nothing":            {"", "", "A=1", Keep, "", "", ""},
		"no wish, foreign":            {"", "A=9 AAAA=::9", "A=1", Keep, "", "", ""},
		"no wish, a foreign CNAME":    {"", "CNAME=x", "A=1", Keep, "", "", ""},
		"no wish, ours":               {"", "A=1 A=9 AAAA=::1", "A=1 AAAA=::1", Remove, "-A=1 | -AAAA=::1", "", ""},
		"no wish, an intent":          {"", "CNAME=a", "CNAME=a?", Remove, "-CNAME=a", "", ""},
		"no wish, adopt":              {adopt, "A=9", "", Keep, "", "", ""},
		"nothing stands":              {"A=1 A=2 AAAA=::1", "", "", Create, "+A=1 +A=2 | +AAAA=::1", "A=1 A=2 AAAA=::1", ""},
		"nothing stands, CNAME":       {"CNAME=a", "", "", Create, "+CNAME=a", "CNAME=a", ""},
		"ours were deleted":           {"A=1", "", "A=1", Create, "+A=1", "A=1", ""},
		"all stands":                  {"A=1 A=2", "A=1 A=2", "A=1 A=2", Keep, "", "A=1 A=2", ""},
		"an intent arrived":           {"A=1", "A=1", "A=1?", Keep, "", "A=1", ""},
		"one is missing":              {"A=1 A=2", "A=2", "A=1 A=2", Replace, "+A=1", "A=1 A=2", ""},
		"an address changes":          {"A=2", "A=1", "A=1", Replace, "-A=1 +A=2", "A=2", ""},
		"the family changes":          {"AAAA=::1", "A=1", "A=1", Replace, "+AAAA=::1 | -A=1", "AAAA=::1", ""},
		"the other family changes":    {"A=1", "AAAA=::1", "AAAA=::1", Replace, "+A=1 | -AAAA=::1", "A=1", ""},
		"addresses to CNAME":          {"CNAME=a", "A=1 AAAA=::1", "A=1 AAAA=::1", Replace, "-A=1 | -AAAA=::1 | +CNAME=a", "CNAME=a", ""},
		"CNAME to addresses":          {"A=1 AAAA=::1", "CNAME=a", "CNAME=a", Replace, "-CNAME=a | +A=1 | +AAAA=::1", "A=1 AAAA=::1", ""},
		"another CNAME":               {"CNAME=b", "CNAME=a", "CNAME=a", Replace, "-CNAME=a +CNAME=b", "CNAME=b", ""},
		"foreign is what we want":     {"A=1 A=2", "A=1 A=2", "", TakeUp, "", "A=1 A=2", ""},
		"foreign is a part":           {"A=1 A=2", "A=1", "", Replace, "+A=2", "A=1 A=2", ""},
		"foreign CNAME, the same":     {"CNAME=a", "CNAME=a", "", TakeUp, "", "CNAME=a", ""},
		"foreign":                     {"A=1", "A=9", "", Conflict, "", "", "A 9"},
		"foreign of another family":   {"A=1", "AAAA=::9", "", Conflict, "", "", "AAAA ::9"},
		"a foreign CNAME":             {"A=1", "CNAME=x", "", Conflict, "", "", "CNAME x"},
		"foreign before a CNAME":      {"CNAME=a", "A=9", "", Conflict, "", "", "A 9"},
		"foreign, adopt":              {adopt + "A=1", "A=9 A=8 AAAA=::9", "", Replace, "-A=8 -A=9 +A=1 | -AAAA=::9", "A=1", ""},
		"a foreign CNAME, adopt":      {adopt + "A=1", "CNAME=x", "", Replace, "-CNAME=x | +A=1", "A=1", ""},
		"adopting went half":          {adopt + "A=1", "A=1 AAAA=::9", "A=1?", Replace, "-AAAA=::9", "A=1", ""},
		"drift":                       {"A=1", "A=9", "A=1", Replace, "-A=9 +A=1", "A=1", ""},
		"drift to a CNAME":            {"A=1", "CNAME=x", "A=1", Replace, "-CNAME=x | +A=1", "A=1", ""},
		"drift to several":            {"A=1", "A=8 A=9", "A=1", Conflict, "", "", "A 8, A 9"},
		"no drift beside a good one":  {"A=1 A=2", "A=2 A=9", "A=1", Conflict, "", "", "A 9"},
		"no drift by an intent":       {"A=1", "A=9", "A=1?", Conflict, "", "", "A 9"},
		"theirs came later":           {"A=1", "A=1 A=9", "A=1", Conflict, "", "A=1", "A 9"},
		"theirs came later, new wish": {"A=2", "A=1 AAAA=::9", "A=1", Conflict, "", "A=1", "AAAA ::9"},
		"theirs was there first":      {"A=1", "A=1 A=9", "A=1?", Conflict, "-A=1", "", "A 9"},
		"an alias of the provider's":  {adopt + "A=1", "alias", "", Blocked, "", "", ""},
		"a CNAME beside a text":       {"CNAME=a", "A=1 text", "A=1", Blocked, "", "", ""},
		"an address beside a text":    {"A=2", "A=1 text", "A=1", Replace, "-A=1 +A=2", "A=2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			wish, adopts := strings.CutPrefix(c.wish, adopt)
			seen := host(strings.Fields(c.seen)...)
			if c.seen == "alias" {
				seen = host()
				seen[1].Alias = "lb.example"
			}
			seen[0].Shared = strings.Contains(c.seen, "text")
			got := DecideHost(HostWish{Targets: targets(strings.Fields(wish)...), Adopt: adopts}, seen, hostLedger(c.owned))
			if got.Verb != c.verb || hostSteps(got.Changes) != c.steps || words(got.Ours) != c.ours || strings.Join(got.Foreign, ", ") != c.foreign {
				t.Errorf("%s %q ours %q foreign %q", got.Verb, hostSteps(got.Changes), words(got.Ours), got.Foreign)
			}
			for _, change := range got.Changes {
				if err := change.check(); err != nil {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// The world of a host: what stands there, and what the ledger says.
var hostWords = []string{"A=1", "A=2", "A=8", "A=9", "AAAA=::1", "AAAA=::2", "AAAA=::9", "CNAME=a", "CNAME=x"}

// standing draws either one CNAME or addresses.
func drawHost(t *rapid.T, label string) []string {
	if rapid.Bool().Draw(t, label+" is a CNAME") {
		return []string{rapid.SampledFrom([]string{"CNAME=a", "CNAME=x"}).Draw(t, label)}
	}
	return slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom(hostWords[:7]), 0, 4, rapid.ID).Draw(t, label)))
}

func TestDecideHostProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wish := HostWish{Targets: targets(drawHost(t, "wish")...), Adopt: rapid.Bool().Draw(t, "adopt")}
		stood := drawHost(t, "standing")
		var entries []string
		for _, word := range rapid.SliceOfNDistinct(rapid.SampledFrom(hostWords), 0, 5, rapid.ID).Draw(t, "ledger") {
			entries = append(entries, word+rapid.SampledFrom([]string{"", "?"}).Draw(t, "settled"))
		}
		owned := hostLedger(strings.Join(entries, " "))
		isOurs := func(word string) bool { return slices.Contains(entries, word) || slices.Contains(entries, word+"?") }
		seen := host(stood...)
		for i := range seen {
			seen[i].Records = rapid.Permutation(seen[i].Records).Draw(t, "order")
		}
		d := DecideHost(wish, seen, owned)
		if again := DecideHost(wish, host(stood...), owned); !cmpEqualSteps(d, again) {
			t.Fatalf("the order counts: %v, %v", d, again)
		}

		// The changes are made one after another: no step fails or leaves nothing, unless the kind changes.
		now := stood
		switches := len(wish.Targets[TypeCNAME]) > 0 != slices.ContainsFunc(stood, func(w string) bool { return strings.HasPrefix(w, "CNAME") })
		for i, change := range d.Changes {
			for _, r := range change.Remove {
				word := change.Seen.Type + "=" + r.Value
				at := slices.Index(now, word)
				if at < 0 {
					t.Fatalf("%s does not stand there", word)
				}
				now = slices.Delete(slices.Clone(now), at, at+1)
				foreign := slices.ContainsFunc(stood, func(w string) bool { return !isOurs(w) && !slices.Contains(strings.Fields(words(wish.Targets)), w) })
				drift := foreign && len(stood) == 1 && slices.ContainsFunc(entries, func(e string) bool { return !strings.HasSuffix(e, "?") })
				if !isOurs(word) && !wish.Adopt && !drift {
					t.Fatalf("a foreign %s is removed", word)
				}
				if slices.Contains(change.Add, r.Value) || len(wish.Targets) == 0 && !isOurs(word) {
					t.Fatalf("%s is removed for nothing", word)
				}
			}
			for _, value := range change.Add {
				now = append(slices.Clone(now), change.Seen.Type+"="+value)
			}
			cnames := 0
			for _, word := range now {
				if strings.HasPrefix(word, "CNAME") {
					cnames++
				}
			}
			if cnames > 1 || cnames == 1 && len(now) > 1 {
				t.Fatalf("after step %d: %q", i, now)
			}
			if len(now) == 0 && len(stood) > 0 && len(wish.Targets) > 0 && !switches {
				t.Fatalf("step %d of %q leads nowhere", i, hostSteps(d.Changes))
			}
		}
		slices.SortFunc(now, func(a, b string) int { return cmp.Compare(a, b) })

		switch d.Verb {
		case Create, Replace, TakeUp, Keep:
			if len(wish.Targets) > 0 && !slices.Equal(strings.Fields(words(d.Ours)), strings.Fields(words(wish.Targets))) {
				t.Fatalf("%s of %q", d.Verb, words(d.Ours))
			}
			if len(wish.Targets) > 0 && !slices.Equal(now, sortedWords(wish.Targets)) {
				t.Fatalf("%s leaves %q", d.Verb, now)
			}
		case Conflict:
			if len(d.Foreign) == 0 {
				t.Fatal("a conflict with nobody")
			}
			for _, word := range stood {
				if !isOurs(word) && !slices.Contains(now, word) {
					t.Fatalf("%s is gone", word)
				}
			}
		case Remove:
			if slices.ContainsFunc(now, isOurs) {
				t.Fatalf("left %q", now)
			}
		}
		// What was decided and made is left alone from then on.
		if d.Verb != Conflict {
			after := DecideHost(wish, host(now...), hostLedger(words(d.Ours)))
			if len(after.Changes) > 0 || after.Verb != Keep {
				t.Fatalf("after %s: %s %q", d.Verb, after.Verb, hostSteps(after.Changes))
			}
		}
	})
}

func sortedWords(t Targets) []string { return slices.Sorted(slices.Values(strings.Fields(words(t)))) }

func cmpEqualSteps(a, b HostDecision) bool {
	return fmt.Sprint(a.Verb, hostSteps(a.Changes), a.Foreign) == fmt.Sprint(b.Verb, hostSteps(b.Changes), b.Foreign)
}
