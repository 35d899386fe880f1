package cloudflare

import (
	"net/http"
	"strings"
)

// Fault is what happens to the next calls that match. The first Fault that matches is used up
// first.
type Fault struct {
	Method string // "" for any
	Path   string // a part of the URL's path, such as "/batch"; "" for any
	Skip   int    // how many calls that match go well before
	Times  int    // how many calls; default 1

	Before func() // called before the call is carried out: somebody else acts
	After  func() // called after it

	Apply bool // carry the call out, and then fail all the same
	Lose  bool // answer as if it were carried out, and change nothing

	Status       int         // answer with this status
	Code         int         // and with this error in JSON; 0: with HTML, as a proxy does
	Header       http.Header // and with these header fields
	Drop         bool        // close the connection without an answer
	Hang         bool        // no answer until the client has gone
	Malformed    bool        // cut the answer in the middle of its JSON
	Huge         bool        // begin the answer with 64 MiB of spaces, which JSON allows
	NoResultInfo bool        // leave out result_info
	PerPage      int         // give pages of this size, whatever was asked for
}

// Fail has the next calls that match f fail.
func (s *Server) Fail(f Fault) {
	f.Times = max(f.Times, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal forgets all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns what is to go wrong with a call.
func (s *Server) fault(r *http.Request) Fault {
	for _, f := range s.faults {
		if f.Times == 0 || f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Times--
		return *f
	}
	return Fault{}
}

// replaces reports whether the call is answered by the fault and not carried out.
func (f Fault) replaces() bool {
	return !f.Apply && (f.Status != 0 || f.Drop || f.Hang)
}
