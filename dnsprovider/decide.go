package dnsprovider

import (
	"cmp"
	"slices"
	"time"
)

// Slot is the place of one protocol's record: an RRset that it may share with others, and
// the protocol's own eyes.
type Slot struct {
	Key
	Is   func(value string) bool // value is meant to be this protocol, well-formed or not
	Same func(a, b string) bool  // both mean the same
}

// Owned is a ledger entry: a value that we wrote at the slot, or meant to.
type Owned struct {
	Value   string
	Settled bool // false: entered before the write; true: read back after it
}

// Wish is what should stand at the slot.
type Wish struct {
	Value string        // "" = nothing of ours
	TTL   time.Duration // for a new RRset
	Adopt bool          // take over the one record of this protocol that somebody else wrote
}

// Verb says what Decide decided.
type Verb string

const (
	Keep     Verb = "Keep"     // all is as wanted
	Create   Verb = "Create"   // no record of this protocol stands: write ours
	Replace  Verb = "Replace"  // change what stands into the wish
	Remove   Verb = "Remove"   // take ours away
	TakeUp   Verb = "TakeUp"   // somebody else's record is what is wanted: enter it in the ledger, no write
	Conflict Verb = "Conflict" // somebody else's records stand in the way; they are left alone
	Blocked  Verb = "Blocked"  // an alias occupies the name
)

// Decision is the answer of Decide.
type Decision struct {
	Verb    Verb
	Change  Change   // what to write; Empty with Keep, TakeUp, Blocked and most Conflicts
	Value   string   // what stands or will stand as ours, in the words that stand
	Foreign []string // Conflict: the values in the way, sorted
}

// Decide says what to do at a slot. It is a pure function: the same arguments give the same
// decision, in whatever order the server lists its records.
//
// The values at the slot that are meant to be this protocol are ours if the ledger holds
// them and foreign if not; all other values are nobody's business here. With w the wish:
//
//	at the slot          wish   ledger, policy            decision
//	-------------------  -----  ------------------------  -------------------------------------
//	an alias             w      any                       Blocked
//	an alias             none   something owned           Blocked
//	an alias             none   nothing owned             Keep
//	any                  none   ours stand                Remove all ours
//	any                  none   ours do not stand         Keep
//	nothing              w      any                       Create w (also: ours was deleted)
//	ours, one Same w     w      any                       Keep
//	ours, several        w      any                       Replace: one that is Same w stays
//	ours, none Same w    w      any                       Replace all ours by w
//	one foreign          w      it is Same w              TakeUp
//	one foreign          w      Adopt                     Replace it by w
//	one foreign          w      something settled (drift) Replace it by w
//	one foreign          w      else                      Conflict
//	foreign and ours     w      something settled         Conflict, nothing touched: ours was first
//	foreign and ours     w      only intents              Conflict, Remove ours: theirs was first
//	several foreign      w      any                       Conflict
//
// So a foreign value is removed only where it is the single one of this protocol, ours is
// gone, and either the user asked to adopt it or ours is proved to have stood there. And a
// withdrawn intent is never the way to that proof: any settled entry of the slot, standing
// or not, keeps a conflict untouched.
func Decide(slot Slot, wish Wish, seen RRset, owned []Owned) Decision {
	settled := slices.ContainsFunc(owned, func(o Owned) bool { return o.Settled })

	if seen.Alias != "" {
		if wish.Value == "" && len(owned) == 0 {
			return Decision{Verb: Keep}
		}
		return Decision{Verb: Blocked}
	}

	mine, foreign := split(slot, seen, owned)
	change := func(remove []Record, add ...string) Change {
		return Change{Seen: seen, Remove: remove, Add: add, TTL: wish.TTL}
	}

	switch {
	case wish.Value == "" && len(mine) == 0:
		return Decision{Verb: Keep}

	case wish.Value == "":
		return Decision{Verb: Remove, Change: change(mine)}

	case len(foreign) == 0 && len(mine) == 0:
		return Decision{Verb: Create, Change: change(nil, wish.Value), Value: wish.Value}

	case len(foreign) == 0:
		standing, others := pick(mine, func(value string) bool { return slot.Same(value, wish.Value) }, wish.Value)
		if standing == nil {
			return Decision{Verb: Replace, Change: change(mine, wish.Value), Value: wish.Value}
		}
		if len(others) == 0 {
			return Decision{Verb: Keep, Value: standing.Value}
		}
		return Decision{Verb: Replace, Change: change(others), Value: standing.Value}

	case len(foreign) == 1 && len(mine) == 0 && slot.Same(foreign[0].Value, wish.Value):
		return Decision{Verb: TakeUp, Value: foreign[0].Value}

	case len(foreign) == 1 && len(mine) == 0 && (wish.Adopt || settled):
		return Decision{Verb: Replace, Change: change(foreign, wish.Value), Value: wish.Value}

	case len(mine) == 0:
		return Decision{Verb: Conflict, Foreign: values(foreign)}

	case settled:
		return Decision{Verb: Conflict, Foreign: values(foreign), Value: mine[0].Value}

	default:
		return Decision{Verb: Conflict, Foreign: values(foreign), Change: change(mine)}
	}
}

// split divides the records of this protocol into ours and foreign ones, each sorted.
func split(slot Slot, seen RRset, owned []Owned) (mine, foreign []Record) {
	for _, r := range slices.SortedFunc(slices.Values(seen.Records), compareRecords) {
		switch {
		case !slot.Is(r.Value):
		case slices.ContainsFunc(owned, func(o Owned) bool { return o.Value == r.Value }):
			mine = append(mine, r)
		default:
			foreign = append(foreign, r)
		}
	}
	return mine, foreign
}

// pick chooses one record that fits, if possible the one that says exactly text, and
// returns it apart from the others. Without one that fits it returns nil.
func pick(records []Record, fits func(value string) bool, text string) (chosen *Record, others []Record) {
	at := slices.IndexFunc(records, func(r Record) bool { return r.Value == text })
	if at < 0 {
		at = slices.IndexFunc(records, func(r Record) bool { return fits(r.Value) })
	}
	if at < 0 {
		return nil, records
	}
	return &records[at], slices.Delete(slices.Clone(records), at, at+1)
}

func values(records []Record) []string { return RRset{Records: records}.Values() }

func compareRecords(a, b Record) int {
	return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Handle, b.Handle))
}
