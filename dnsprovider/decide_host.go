package dnsprovider

import (
	"slices"
	"time"
)

// Targets are what the records of a host say, by type: one CNAME, or addresses in A and AAAA.
type Targets map[string][]string

// HostKeys returns the places at which a name leads to servers. A name with a CNAME has none of the
// others (RFC 1034 §3.6.2).
func HostKeys(name string) []Key {
	return []Key{{Name: name, Type: TypeCNAME}, {Name: name, Type: TypeA}, {Name: name, Type: TypeAAAA}}
}

// HostWish is where a name should lead.
type HostWish struct {
	Targets Targets       // in canonical form; empty = nowhere by our hand
	TTL     time.Duration // for a new RRset
	Adopt   bool          // take over the records that somebody else wrote
}

// HostDecision is the answer of DecideHost.
type HostDecision struct {
	Verb    Verb
	Changes []Change // at most one for each key, to be made in this order by one Apply
	Ours    Targets  // what stands or will stand as ours
	Foreign []string // Conflict: the records in the way, such as "A 192.0.2.1", sorted
	Alias   string   // Blocked: what the provider's own kind of alias leads to; "": other kinds of records block
}

// DecideHost says what to do at a host: it is Decide for records of which several are meant to stand
// together. It is a pure function of what stands at HostKeys, seen and owned, in their order.
//
// All records at these keys are of the host: ours if the ledger holds them, else foreign. With w the wish:
//
//	at the host            wish   ledger, policy            decision
//	---------------------  -----  ------------------------  -------------------------------------
//	a provider's alias     w      any                       Blocked
//	other kinds of records a      any                       Blocked: it could not stand beside them, and
//	                       CNAME                            what stands would have gone for nothing
//	any                    none   ours stand                Remove all ours
//	any                    none   ours do not stand         Keep
//	nothing                w      any                       Create w (also: ours were deleted)
//	ours, foreign in w     w      any                       foreign in w are taken up; what of w is
//	                                                        missing is added, ours not in w go
//	foreign not in w       w      Adopt                     Replace all by w
//	one foreign not in w   w      something settled (drift) Replace it by w
//	  and nothing else
//	foreign not in w       w      else                      Conflict
//	  and ours             w      something settled         Conflict, nothing touched: ours was first
//	  and ours             w      only intents              Conflict, Remove ours: theirs was first
//
// So that the name never leads nowhere, new addresses come before old ones of the other family go.
// Only where a CNAME takes the place of addresses, or they of it, must what stands go first: providers
// that make several changes in one step show nobody the moment between.
func DecideHost(wish HostWish, seen []RRset, owned [][]Owned) HostDecision {
	var mine, taken, others [][]Record
	settled := false
	for i, set := range seen {
		m, foreign := split(Slot{Key: set.Key, Is: func(string) bool { return true }}, set, owned[i])
		t, o := divide(foreign, wish.Targets[set.Type])
		mine, taken, others = append(mine, m), append(taken, t), append(others, o)
		settled = settled || slices.ContainsFunc(owned[i], func(o Owned) bool { return o.Settled })
	}
	ours, wanted := count(mine), len(wish.Targets) > 0
	switch alias := hostAlias(seen); {
	case !wanted && ours == 0:
		return HostDecision{Verb: Keep}
	case !wanted:
		return HostDecision{Verb: Remove, Changes: changesOf(HostWish{}, seen, mine)}
	case alias != "", len(wish.Targets[TypeCNAME]) > 0 && seen[0].Shared:
		return HostDecision{Verb: Blocked, Alias: alias}
	}

	foreign := count(others)
	drift := settled && ours == 0 && count(taken) == 0 && foreign == 1
	d := HostDecision{Verb: Conflict, Ours: Targets{}}
	switch {
	case foreign == 0 || wish.Adopt || drift:
		old := make([][]Record, len(seen))
		for i, set := range seen {
			_, old[i] = divide(mine[i], wish.Targets[set.Type])
			old[i] = append(old[i], others[i]...)
		}
		d.Ours, d.Changes = wish.Targets, changesOf(wish, seen, old)
		switch {
		case len(d.Changes) > 0 && ours+count(taken)+foreign == 0:
			d.Verb = Create
		case len(d.Changes) > 0:
			d.Verb = Replace
		case count(taken) > 0:
			d.Verb = TakeUp
		default:
			d.Verb = Keep
		}
		return d
	case ours > 0 && !settled:
		d.Changes = changesOf(HostWish{}, seen, mine)
	default:
		for i, set := range seen {
			if len(mine[i]) > 0 {
				d.Ours[set.Type] = values(mine[i])
			}
		}
	}
	for i, set := range seen {
		for _, value := range values(others[i]) {
			d.Foreign = append(d.Foreign, set.Type+" "+value)
		}
	}
	slices.Sort(d.Foreign)
	return d
}

// changesOf takes records away and puts in place what is missing of the wish, in the order of HostDecision.
func changesOf(wish HostWish, seen []RRset, remove [][]Record) []Change {
	leads := len(wish.Targets[TypeCNAME]) > 0
	unaliased := len(remove[0]) > 0 && len(remove[0]) == len(seen[0].Records)
	var steps [3][]Change
	for i, set := range seen {
		c := Change{Seen: set, Remove: remove[i], TTL: wish.TTL}
		for _, value := range wish.Targets[set.Type] {
			if !slices.Contains(values(set.Records), value) {
				c.Add = append(c.Add, value)
			}
		}
		if set.Type != TypeCNAME && unaliased {
			c.Seen.Alias = "" // by then
		}
		step := 1
		switch {
		case c.Empty():
			continue
		case leads != (set.Type == TypeCNAME):
			step = 0
		case len(c.Add) == 0:
			step = 2
		}
		steps[step] = append(steps[step], c)
	}
	return slices.Concat(steps[0], steps[1], steps[2])
}

// divide parts the records whose value is among those wanted from the others.
func divide(records []Record, wanted []string) (in, out []Record) {
	for _, r := range records {
		if slices.Contains(wanted, r.Value) {
			in = append(in, r)
		} else {
			out = append(out, r)
		}
	}
	return in, out
}

func count(sets [][]Record) (n int) {
	for _, records := range sets {
		n += len(records)
	}
	return n
}

// hostAlias is what occupies the name and is no CNAME: some providers have aliases of their own.
func hostAlias(seen []RRset) string {
	for _, set := range seen[1:] {
		if set.Alias != "" && len(seen[0].Records) == 0 {
			return set.Alias
		}
	}
	return ""
}
