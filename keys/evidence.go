package keys

import (
	"fmt"
	"strings"
	"time"
)

// Sight is what one address of one name server gave for a selector's record.
type Sight string

const (
	Serves  Sight = "Serves"  // exactly the record that belongs to the private key
	Differs Sight = "Differs" // an answer that is not that: another record, several, none
	Silence Sight = "Silence" // no usable answer
	NoRoute Sight = "NoRoute" // no route to this address family from here: not asked
)

// Witness is one address of one authoritative server of the zone that holds the name.
type Witness struct {
	Server string
	Addr   string
	Sight  Sight
}

// Evidence is what was seen of one selector.
type Evidence struct {
	Standing    bool          // the record was written and read back
	Mounted     bool          // the signer's Secret has the private key
	Witnesses   []Witness     // empty: nobody was asked
	NegativeTTL time.Duration // how long a resolver may believe that the name does not exist
}

// SilenceLimit is how long a server without an answer is waited for.
const SilenceLimit = time.Hour

// judge says whether the evidence proves that the key is served everywhere. why is what it waits
// for, naming the servers in the way, else it is empty; ignored names those no longer waited for.
// silent is since when which address is silent.
//
// An answer without the key blocks. No answer blocks for an hour. An address without a route
// is no witness. Each server needs one address that serves the key, unless all of it has been
// silent for the hour or cannot be reached from here; and one server at least must serve it.
func judge(selector string, e Evidence, before map[string]time.Time, now time.Time) (silent map[string]time.Time, why string, ignored []string) {
	type tally struct{ serves, differs, silent int }
	servers := map[string]*tally{}
	var order, lacking, mute []string
	served := 0
	for _, w := range e.Witnesses {
		t := servers[w.Server]
		if t == nil {
			t = &tally{}
			servers[w.Server] = t
			order = append(order, w.Server)
		}
		switch w.Sight {
		case Serves:
			t.serves++
			served++
		case Differs:
			t.differs++
			lacking = append(lacking, w.Server)
		case Silence:
			since, known := before[w.Addr]
			if !known || since.After(now) {
				since = now
			}
			if silent == nil {
				silent = map[string]time.Time{}
			}
			silent[w.Addr] = since
			if now.Sub(since) < SilenceLimit {
				mute = append(mute, w.Server)
			} else {
				t.silent++
			}
		}
	}
	have := 0
	for _, name := range order {
		t := servers[name]
		if t.serves == 0 && t.silent > 0 {
			ignored = append(ignored, name)
		}
		if t.serves > 0 && t.differs == 0 {
			have++
		}
	}
	var waits []string
	if len(lacking) > 0 {
		waits = append(waits, strings.Join(compact(lacking), " and ")+" to serve "+selector)
	}
	if len(mute) > 0 {
		waits = append(waits, strings.Join(compact(mute), " and ")+" to answer for "+selector)
	}
	switch {
	case len(waits) > 0:
		why = fmt.Sprintf("%s, %d of %d servers have it", strings.Join(waits, " and for "), have, len(order))
	case served == 0 && len(order) > 0:
		why = fmt.Sprintf("a server to answer for %s: none of %s could be asked", selector, strings.Join(order, ", "))
	case served == 0:
		why = fmt.Sprintf("a server to answer for %s: no name server could be asked", selector)
	}
	return silent, why, ignored
}

// compact drops repetitions and keeps the order.
func compact(texts []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
	}
	return out
}
