package dnsprovider_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
	"pgregory.net/rapid"
)

// TestForeignValuesStay lets random passes of a reconciler, with its ledger, meet somebody else who
// writes at any moment, faults of the network and of the provider, and its own death between the
// ledger, the write and the read-back. At no moment is a foreign value gone that nobody took away,
// do two of ours stand, or none where a replacement is made. What others wrote beside ours is
// reported by the next pass.
//
// It makes as many runs as -rapid.checks says, for each provider in memory and over sockets.
func TestForeignValuesStay(t *testing.T) {
	for where, memory := range map[string]bool{"memory": true, "sockets": false} {
		for name, of := range map[string]stage{
			"rfc2136": {open: func(t *testing.T) world {
				w := newInTreeWorld(t)
				w.memory = memory
				return w
			}},
			"cloudflare": {open: func(t *testing.T) world {
				w := newCloudflareWorld(t)
				w.memory = memory
				return w
			}},
			"route53": {open: func(t *testing.T) world {
				w := newRoute53World(t)
				w.memory = memory
				return w
			}},
			"desec": {unread: []string{"sib-3"}, unkept: []string{"foe-Y", "sib-2"}, blind: true, open: func(t *testing.T) world {
				w := newDesecWorld(t)
				w.memory = memory
				return w
			}},
		} {
			t.Run(where+"/"+name, func(t *testing.T) {
				w := of.open(t)
				rapid.Check(t, func(r *rapid.T) { newStory(t, r, of, w).run() })
			})
		}
	}
}

// stage is a provider, and what docs/providers.md says that it cannot do.
type stage struct {
	open func(t *testing.T) world
	// unread are the marks of records of which a single one in the zone stops all work. They come to no story.
	unread []string
	// unkept are those of records that cannot be written back: a change beside them may be refused.
	unkept []string
	// blind: it replaces RRsets whole, and compares nothing. Nobody else writes during the call.
	blind bool
}

var storyLabels = []string{"@", "_p", "_q"}

// What the two write. Each value is told from all others by a part of it, its mark.
var (
	ourValues     = []string{"p=our-A", "p=our-B"}
	foes          = map[string]string{"foe-X": `"p=foe-X"`, "foe-Y": `"p=" "foe-Y"`, "OUR-A": `"p=OUR-A"`} // of the protocol
	siblings      = map[string]string{"sib-1": `"sib-1"`, "sib-2": `"sib-2" "w"`, "sib-3": `"sib-3" "" "\255\"q\\;"`}
	protocolMarks = []string{"our-A", "our-B", "foe-X", "foe-Y", "OUR-A"}
	strangers     = slices.Sorted(func(yield func(string) bool) {
		for _, marks := range []map[string]string{foes, siblings} {
			for mark := range marks {
				if !yield(mark) {
					return
				}
			}
		}
	})
)

// story is one run.
type story struct {
	stage
	t    *testing.T
	r    *rapid.T
	w    world
	zone dnsprovider.Zone
	book *ledger.Ledger

	// foreign are the records that somebody else wrote and that nobody may touch, as they are stored, by
	// label and mark.
	foreign map[string]map[string]string
	// licensed are those that the decisions of the pass under way may touch.
	licensed map[string]map[string]string
	verbs    map[string]dnsprovider.Verb // of the last pass, by label
	refused  map[string]bool             // by label: the last pass's change was refused as Unsupported
	broken   string                      // what must not be, once it was
}

func newStory(t *testing.T, r *rapid.T, of stage, w world) *story {
	s := &story{stage: of, t: t, r: r, w: w, zone: w.open(t, access{}), book: ledger.New(w.apex()), foreign: map[string]map[string]string{}}
	for _, label := range storyLabels {
		w.remove(t, record{label: label, recordType: "TXT"})
		s.foreign[label] = map[string]string{}
	}
	return s
}

func (s *story) run() {
	wishes := map[string]dnsprovider.Wish{}
	for range rapid.IntRange(1, 6).Draw(s.r, "passes") {
		for _, label := range storyLabels {
			value := rapid.SampledFrom(append(ourValues, ourValues[0], "")).Draw(s.r, "wish")
			wishes[label] = dnsprovider.Wish{Value: value, TTL: ourTTL, Adopt: rapid.IntRange(0, 9).Draw(s.r, "adopt") == 0}
		}
		s.somebody("before")()
		if rapid.Bool().Draw(s.r, "a fault") {
			on := rapid.SampledFrom([]call{aRead, aWrite, aWrite}).Draw(s.r, "on")
			s.w.fail(on, rapid.SampledFrom([]fault{lost, doneThenError, broken, page, dropped, doneThenDropped, denied, limited, panics}).Draw(s.r, "fault"))
		}
		s.pass(wishes, rapid.IntRange(0, 6).Draw(s.r, "the end comes"), s.somebody("between"), s.somebody("during"), s.somebody("after"))
		s.w.heal()
		s.w.traffic().calm()
		s.check("after a pass")
	}

	// Nothing goes wrong any more, and nobody else writes.
	nobody := func() {}
	for label, wish := range wishes {
		wish.Adopt = false
		wishes[label] = wish
	}
	both := map[string]bool{}
	for _, label := range storyLabels {
		both[label] = s.ours(label) > 0 && s.foesAt(label) > 0 && wishes[label].Value != ""
	}
	s.pass(wishes, never, nobody, nobody, nobody)
	for label, two := range both {
		if two && s.verbs[label] != dnsprovider.Conflict {
			s.r.Fatalf("%s: ours and somebody else's stand, and the next pass says %s", label, s.verbs[label])
		}
	}
	s.pass(wishes, never, nobody, nobody, nobody)
	s.pass(wishes, never, nobody, nobody, nobody)
	s.check("at last")
	for _, label := range storyLabels {
		want := dnsprovider.Keep
		if wishes[label].Value != "" && s.foesAt(label) > 0 {
			want = dnsprovider.Conflict
		}
		unkept := s.refused[label] && count(s.stands(label), s.unkept...) > 0
		if s.verbs[label] != want && !unkept {
			s.r.Fatalf("%s: at last it says %s, want %s; there is %q", label, s.verbs[label], want, s.stands(label))
		}
	}
}

// storyZone is the zone of all entries of the ledger, whatever its name.
const storyZone = "zone"

// The moments at which the process can end; from never on it does not.
const (
	beforeSaving = iota
	beforeWriting
	beforeReadingBack
	never
)

// pass is one pass of the reconciler. Somebody else acts between read and write, during the first
// write, and before it is read back.
func (s *story) pass(wishes map[string]dnsprovider.Wish, end int, between, during, after func()) {
	saved := *s.book
	saved.Entries = slices.Clone(s.book.Entries)
	ended := func(at int) bool {
		if end != at {
			return false
		}
		s.book = &saved
		s.zone = s.w.open(s.t, access{})
		return true
	}

	type job struct {
		label    string
		decision dnsprovider.Decision
	}
	var keys []dnsprovider.Key
	for _, label := range storyLabels {
		keys = append(keys, s.key(label))
	}
	s.verbs, s.refused = map[string]dnsprovider.Verb{}, map[string]bool{}
	s.licensed = map[string]map[string]string{}
	defer s.protect()
	var jobs []job
	var changes []dnsprovider.Change
	for i, seen := range s.zone.Read(s.t.Context(), keys...) {
		if seen.Err != nil {
			continue
		}
		label, key := storyLabels[i], keys[i]
		d := dnsprovider.Decide(protocol(key, "p="), wishes[label], seen.RRset, s.book.Owned(storyZone, seen.RRset))
		s.licensed[label] = s.license(label, wishes[label], d, seen.RRset)
		s.verbs[label] = d.Verb
		for _, value := range d.Change.Add {
			s.book.Intend(storyZone, key, "P", value)
		}
		if d.Verb == dnsprovider.Keep || d.Verb == dnsprovider.TakeUp {
			s.book.Settle(storyZone, key, "P", d.Value)
		}
		if !d.Change.Empty() {
			jobs, changes = append(jobs, job{label, d}), append(changes, d.Change)
		}
	}
	if ended(beforeSaving) {
		return
	}
	saved.Entries = slices.Clone(s.book.Entries)
	if ended(beforeWriting) {
		return
	}

	between()
	if s.blind {
		during = func() {}
	}
	s.w.traffic().aroundWrites(func(carryOut func()) {
		during()
		during = func() {}
		before := map[string]int{}
		for _, j := range jobs {
			before[j.label] = s.ours(j.label) + s.foesAt(j.label)
		}
		carryOut()
		for _, j := range jobs {
			if j.decision.Verb == dnsprovider.Replace && before[j.label] > 0 && s.ours(j.label)+s.foesAt(j.label) == 0 {
				s.broken = fmt.Sprintf("%s: none stands in the middle of a replacement", j.label)
			}
		}
		s.observe("after a call")
	})
	errs := s.zone.Apply(s.t.Context(), changes...)
	s.w.traffic().aroundWrites(nil)
	if ended(beforeReadingBack) {
		return
	}
	after()
	for i, j := range jobs {
		s.refused[j.label] = dnsprovider.KindOf(errs[i]) == dnsprovider.Unsupported
		if errs[i] != nil && dnsprovider.KindOf(errs[i]) != dnsprovider.UnknownOutcome {
			continue
		}
		key := s.key(j.label)
		seen := s.zone.Read(s.t.Context(), key)[0]
		if seen.Err != nil {
			continue
		}
		owned := s.book.Owned(storyZone, seen.RRset)
		again := dnsprovider.Decide(protocol(key, "p="), dnsprovider.Wish{Value: wishes[j.label].Value}, seen.RRset, owned)
		gone := !slices.ContainsFunc(owned, func(o dnsprovider.Owned) bool { return slices.Contains(seen.RRset.Values(), o.Value) })
		switch {
		case j.decision.Verb == dnsprovider.Conflict && gone:
			s.book.Settle(storyZone, key, "P", "")
		case j.decision.Verb != dnsprovider.Conflict && again.Verb == dnsprovider.Keep:
			s.book.Settle(storyZone, key, "P", again.Value)
		}
	}
}

// license returns the record of somebody else that a decision may touch, and takes it out of those
// that nobody may: the one that says the same and becomes ours, and the only one of the protocol
// where ours is gone, if the user asked for it or ours is proved to have stood there.
func (s *story) license(label string, wish dnsprovider.Wish, d dnsprovider.Decision, seen dnsprovider.RRset) map[string]string {
	licensed := map[string]string{}
	owned := s.book.Owned(storyZone, seen)
	settled := slices.ContainsFunc(owned, func(o dnsprovider.Owned) bool { return o.Settled })
	var ours, theirs []string
	for _, value := range seen.Values() {
		switch {
		case !strings.HasPrefix(value, "p="):
		case slices.ContainsFunc(owned, func(o dnsprovider.Owned) bool { return o.Value == value }):
			ours = append(ours, value)
		default:
			theirs = append(theirs, value)
		}
	}
	for mark := range foes {
		only := len(ours) == 0 && len(theirs) == 1 && strings.Contains(theirs[0], mark)
		if only && (d.Verb == dnsprovider.TakeUp || d.Verb == dnsprovider.Replace && (wish.Adopt || settled)) {
			if line, there := s.foreign[label][mark]; there {
				licensed[mark] = line
				delete(s.foreign[label], mark)
			}
		}
	}
	return licensed
}

// protect ends a license at the end of a pass, where the record still stands and did not become ours.
func (s *story) protect() {
	for label, marks := range s.licensed {
		for mark, line := range marks {
			_, again := s.foreign[label][mark]
			taken := slices.ContainsFunc(s.book.At(s.key(label)), func(e ledger.Entry) bool { return strings.Contains(e.Value, mark) })
			if !again && !taken && slices.Contains(s.stands(label), line) {
				s.foreign[label][mark] = line
			}
		}
	}
	s.licensed = nil
}

func (s *story) key(label string) dnsprovider.Key {
	return dnsprovider.Key{Name: absolute(label, s.w.apex()), Type: dnsprovider.TypeTXT}
}

func (s *story) stands(label string) []string { return s.w.stored(s.t, s.key(label)) }

// has reports whether a stored record holds a mark, whatever form it has there.
func has(line, mark string) bool {
	return strings.Contains(line, mark) || strings.Contains(line, hex.EncodeToString([]byte(mark)))
}

// count returns how many records hold one of the marks.
func count(lines []string, marks ...string) (n int) {
	for _, line := range lines {
		if slices.ContainsFunc(marks, func(mark string) bool { return has(line, mark) }) {
			n++
		}
	}
	return n
}

// ours counts the records of the protocol at a label that are ours: all that are not somebody else's.
func (s *story) ours(label string) (n int) {
	for _, line := range s.stands(label) {
		if count([]string{line}, protocolMarks...) == 0 {
			continue
		}
		theirs := false
		for _, foreign := range s.foreign[label] {
			theirs = theirs || foreign == line
		}
		if !theirs {
			n++
		}
	}
	return n
}

// foesAt counts the records of the protocol at a label that somebody else wrote and that we may not
// touch.
func (s *story) foesAt(label string) (n int) {
	for mark := range foes {
		if _, there := s.foreign[label][mark]; there {
			n++
		}
	}
	return n
}

// observe notes what must not be at any moment.
func (s *story) observe(when string) {
	for _, label := range storyLabels {
		lines := s.stands(label)
		if n := s.ours(label); n > 1 {
			s.broken = fmt.Sprintf("%s, %s: %d of ours stand: %q", when, label, n, lines)
		}
		for mark, line := range s.foreign[label] {
			if !slices.Contains(lines, line) {
				s.broken = fmt.Sprintf("%s, %s: %s is not as it was, %s: %q", when, label, mark, line, lines)
			}
		}
	}
}

func (s *story) check(when string) {
	s.observe(when)
	if s.broken != "" {
		s.r.Fatal(s.broken)
	}
}

// somebody returns something that somebody else does.
func (s *story) somebody(when string) func() {
	label := rapid.SampledFrom(storyLabels).Draw(s.r, when+" at")
	what := rapid.SampledFrom(append(strangers, "nothing", "nothing", "ours goes")).Draw(s.r, when)
	put := func(mark, data string) {
		r := record{label, "TXT", theirTTL, data}
		before := s.stands(label)
		if count(before, mark) > 0 {
			s.w.remove(s.t, r)
			delete(s.foreign[label], mark)
			return
		}
		if slices.ContainsFunc(s.book.At(s.key(label)), func(e ledger.Entry) bool { return strings.Contains(e.Value, mark) }) {
			return // it was taken up, and is ours whoever writes it again
		}
		s.w.add(s.t, r)
		for _, line := range s.stands(label) {
			if _, licensed := s.licensed[label][mark]; licensed && has(line, mark) {
				s.licensed[label][mark] = line
			} else if has(line, mark) {
				s.foreign[label][mark] = line
			}
		}
	}
	return func() {
		switch {
		case slices.Contains(s.unread, what):
		case what == "ours goes":
			for _, value := range ourValues {
				s.w.remove(s.t, record{label, "TXT", theirTTL, fmt.Sprintf("%q", value)})
			}
		case foes[what] != "":
			put(what, foes[what])
		case siblings[what] != "":
			put(what, siblings[what])
		}
	}
}
