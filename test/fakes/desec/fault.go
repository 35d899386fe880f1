package desec

import (
	"net/http"
	"strings"
)

// Fault is what happens to the next calls that match. The first Fault that matches is used up
// first.
type Fault struct {
	Method string // "" for any
	Path   string // a part of the URL's path; "" for any
	Skip   int    // how many calls that match go well before
	Times  int    // how many calls; default 1

	Before func() // called before the call is carried out: somebody else acts
	After  func() // called after it

	Apply bool // carry the call out, and then fail all the same
	Lose  bool // answer as if it were carried out, and change nothing

	Status int         // answer with this status
	Header http.Header // and with these header fields
	Body   string      // and this body, as it is
	Drop   bool        // close the connection without an answer
	Hang   bool        // no answer until the client has gone
	Cut    bool        // cut the answer in the middle of its JSON
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

// fails reports whether the call is not answered as the API would.
func (f Fault) fails() bool { return f.Status != 0 || f.Drop || f.Hang }
