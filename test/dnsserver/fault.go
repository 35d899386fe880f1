package dnsserver

// Fault is what a server does wrong. The zero Fault is a sane server.
type Fault struct {
	DropQueries bool // no answer: the client runs into its time-out
	ServFail    bool // SERVFAIL to every question
	Lame        bool // answers without authority
	TruncateUDP bool // every answer over UDP is cut off
	Unsigned    bool // no answer is signed

	RefuseUpdates bool // REFUSED
	DropUpdates   bool // neither applied nor answered
	LoseUpdates   bool // answered NOERROR, not applied
	MuteUpdates   bool // applied, not answered
}

// Fault sets what the server does wrong from now on; Fault{} heals it.
func (s *Server) Fault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *Server) currentFault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}
