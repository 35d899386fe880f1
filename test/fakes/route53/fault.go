package route53

import (
	"net/http"
	"strings"
)

// Fault is what the server does wrong with a request. Without Lose, the request is not carried
// out, unless Apply is set.
type Fault struct {
	Status int               // of the answer, default 200
	Header map[string]string // of the answer
	Body   string            // of the answer

	Drop bool // no answer, the connection is closed
	Hang bool // no answer, until the client goes
	Huge bool // an answer that does not end

	Apply bool // carried out before the answer
	Lose  bool // answered as if it had been carried out, but nothing is stored
}

// scheduled is a fault and how often it is still to happen.
type scheduled struct {
	action string
	times  int
	fault  Fault
}

// Fail has the next requests of an action, or of any with "", meet a fault. Several are met one
// after the other.
func (s *Server) Fail(action string, times int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &scheduled{action, times, fault})
}

// Heal forgets all faults that are still to happen.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Server) nextFault(action string) *Fault {
	for _, f := range s.faults {
		if f.times > 0 && (f.action == "" || f.action == action) {
			f.times--
			return &f.fault
		}
	}
	return nil
}

// Refuse is the fault of an answer with an error code of the API.
func Refuse(status int, code, message string) Fault {
	e := apiError{status: status, code: code, message: message}
	return Fault{Status: status, Body: string(e.body())}
}

// Throttle is Throttling, with a Retry-After header if seconds is not empty.
func Throttle(seconds string) Fault {
	f := Refuse(throttling.status, throttling.code, throttling.message)
	if seconds != "" {
		f.Header = map[string]string{"Retry-After": seconds}
	}
	return f
}

// BadGateway is the HTML page of a proxy.
func BadGateway() Fault {
	return Fault{
		Status: http.StatusBadGateway,
		Header: map[string]string{"Content-Type": "text/html"},
		Body:   "<!DOCTYPE html><html><head><title>502</title></head><body><center><h1>502 Bad Gateway</h1><hr></center></body></html>",
	}
}

// Malformed is XML that breaks off.
func Malformed() Fault {
	return Fault{Body: `<?xml version="1.0"?><ListResourceRecordSetsResponse xmlns="` + namespace + `"><ResourceRecordSets><ResourceRecordSet><Name>exa`}
}

// Hello is XML that has nothing to do with Route 53, and HTTP 200.
func Hello() Fault { return Fault{Body: "<html><body>Welcome to our network</body></html>"} }

func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f Fault) {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler) // net/http closes the connection
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closing.Done():
		}
		panic(http.ErrAbortHandler)
	}
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	if f.Status != 0 {
		w.WriteHeader(f.Status)
	}
	_, _ = w.Write([]byte(f.Body)) // the client is gone, or has it
	if f.Huge {
		block := []byte("<" + strings.Repeat("x", 1<<16))
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
}
