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

// judge says whether the evidence proves that the key is served everywhere. why names the
// servers in the way, else it is empty; ignored names those no longer waited for. silent is
// since when which address is silent.
//
// An answer without the key blocks. No answer blocks for an hour. An address without a route
// is no witness. Each server needs one address that serves the key, unless all of it has been
// silent for the hour or cannot be reached from here; and one server at least must serve it.
func judge(e Evidence, before map[string]time.Time, now time.Time) (silent map[string]time.Time, why string, ignored []string) {
	type tally struct{ serves, silent int }
	servers := map[string]*tally{}
	var order, blocking []string
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
			blocking = append(blocking, w.Server+" does not serve it")
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
				blocking = append(blocking, w.Server+" gives no answer")
			} else {
				t.silent++
			}
		}
	}
	for _, name := range order {
		if t := servers[name]; t.serves == 0 && t.silent > 0 {
			ignored = append(ignored, name)
		}
	}
	switch {
	case len(blocking) > 0:
		return silent, strings.Join(compact(blocking), ", "), ignored
	case served == 0 && len(order) > 0:
		return silent, fmt.Sprintf("none of %s could be asked", strings.Join(order, ", ")), ignored
	case served == 0:
		return silent, "no name server could be asked", ignored
	}
	return silent, "", ignored
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
