package dnsprovider

import (
	"slices"
	"testing"
	"time"

	fake "github.com/maildomain/maildomain-operator/test/fakes/route53"
	"pgregory.net/rapid"
)

// Whatever goes wrong, and whoever writes in between: each value that others wrote stands as they
// wrote it until they take it away, and of ours there is never more than one.
func TestRoute53ForeignValuesStay(t *testing.T) {
	a := startRoute53(t)
	z := a.open()
	faults := []fake.Fault{{Drop: true}, {Drop: true, Apply: true}, {Status: 500, Apply: true}, {Lose: true}, fake.BadGateway(), fake.Throttle("1"), fake.Refuse(400, "InvalidChangeBatch", "[no]")}
	others := []string{`"site=1"`, `"part1"  "part2"`, `"k=v" "w"`, `"\303\274 \"q\" \\"`, `""`, `"ab" "c"`, `"abc"`, `"p"`}

	rapid.Check(t, func(r *rapid.T) {
		a.Heal()
		at := slot
		at.Key = a.txt("@")
		a.must(a.Remove(hostedZone, at.Name, TypeTXT))
		var owned []Owned

		// ours and theirs are what stands by whom; only they differ in the protocol.
		stand := func() (ours, theirs []string) {
			for _, raw := range a.Values(hostedZone, at.Name, TypeTXT) {
				if text, _ := unquoteRoute53(raw); at.Is(text) {
					ours = append(ours, raw)
				} else {
					theirs = append(theirs, raw)
				}
			}
			return ours, theirs
		}
		somebodyElse := func() {
			ours, theirs := stand()
			value := rapid.SampledFrom(others).Draw(r, "other")
			if i := slices.Index(theirs, value); i >= 0 {
				theirs = slices.Delete(theirs, i, i+1)
			} else {
				theirs = append(theirs, value)
			}
			a.must(a.Remove(hostedZone, at.Name, TypeTXT))
			if all := append(ours, theirs...); len(all) > 0 {
				a.foreign("@", int64(rapid.IntRange(0, 2).Draw(r, "ttl")), all...)
			}
		}

		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			if rapid.Bool().Draw(r, "before") {
				somebodyElse()
			}
			if rapid.Bool().Draw(r, "fault") {
				action := rapid.SampledFrom([]string{fake.ListResourceRecordSets, fake.ChangeResourceRecordSets}).Draw(r, "action")
				a.Fail(action, 1, rapid.SampledFrom(faults).Draw(r, "what"))
			}
			seen, err := readOne(t.Context(), z, at.Key)
			if err != nil {
				continue
			}
			wish := Wish{Value: rapid.SampledFrom([]string{"p=a", "p=b", ""}).Draw(r, "wish"), TTL: time.Hour}
			d := Decide(at, wish, seen, owned)
			if wish.Value != "" {
				owned = append(owned, Owned{Value: wish.Value})
			}
			if rapid.Bool().Draw(r, "between") {
				somebodyElse()
			}
			oursBefore, theirsBefore := stand()
			err = applyOne(t.Context(), z, d.Change)
			ours, theirs := stand()
			if !slices.Equal(theirs, theirsBefore) {
				r.Fatalf("theirs were %q and are %q", theirsBefore, theirs)
			}
			if len(ours) > 1 {
				r.Fatalf("two of ours: %q", ours)
			}
			if k := KindOf(err); k != "" && k != UnknownOutcome && !slices.Equal(ours, oursBefore) {
				r.Fatalf("%s: ours were %q and are %q", k, oursBefore, ours)
			}
		}
	})
}
