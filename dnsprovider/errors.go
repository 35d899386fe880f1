package dnsprovider

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Kind says what an error means for the caller.
type Kind string

const (
	// Unauthorized: the provider does not accept the credentials, or its answer does not
	// prove to come from one who knows them. Nothing was changed.
	Unauthorized Kind = "Unauthorized"
	// Unreachable: no usable answer to a question, or no connection. Nothing was changed.
	Unreachable Kind = "Unreachable"
	// ZoneNotFound: the provider does not hold the zone. Nothing was changed.
	ZoneNotFound Kind = "ZoneNotFound"
	// Changed: the RRset is not what was seen. Nothing was changed; read again.
	Changed Kind = "Changed"
	// Delegated: the name belongs to a child zone. Nothing was changed.
	Delegated Kind = "Delegated"
	// Refused: the provider understood and declined. Nothing was changed.
	Refused Kind = "Refused"
	// UnknownOutcome: the change was sent and may or may not have happened; read again.
	UnknownOutcome Kind = "UnknownOutcome"
	// Invalid: the request or the configuration makes no sense. Nothing was sent.
	Invalid Kind = "Invalid"
	// RateLimited: the provider wants fewer calls. Nothing was changed; Error.RetryAfter says when
	// to come back.
	RateLimited Kind = "RateLimited"
	// Unsupported: what stands there, or is wanted there, cannot be changed without harm. Nothing
	// was changed.
	Unsupported Kind = "Unsupported"
)

// Error is an error of a Zone. Its text can go into a status condition: it says what was
// attempted, what was seen and what to do, the same text each time, with nothing in it
// that changes from one attempt to the next and nothing that the other side wrote.
type Error struct {
	Kind   Kind
	Op     string // what was attempted: "read TXT _dmarc.example.com"
	Server string // as configured
	Err    error

	// RetryAfter is how long the provider wants no call, with Kind RateLimited. It is not in the text.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s at %s: %v", e.Op, e.Server, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, "" if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// explained is a stable sentence with the raw cause behind it. The cause stays open to
// errors.Is, but out of the text: it may hold port numbers and message ids.
type explained struct {
	text  string
	cause error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.cause }

// failure makes an *Error that the adapter's outermost function completes with Op and Server.
func failure(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Err: explained{fmt.Sprintf(format, args...), cause}}
}

// completed says what was attempted and where. The error is a copy: one cause can stop many
// changes, each of which has an Op of its own.
func completed(err error, op, server string) error {
	e := Error{Kind: Invalid, Err: err}
	if known, ok := errors.AsType[*Error](err); ok {
		e = *known
	}
	e.Op, e.Server = op, server
	return &e
}

// networkReason puts a network error into stable words: without the local port that
// net.OpError prints and without the resolver's address that net.DNSError prints.
func networkReason(err error) string {
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		if dnsErr.IsNotFound {
			return "the host name does not exist"
		}
		return "the host name cannot be resolved now"
	}
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return "no answer in time"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the server closed the connection"
	}
	if sysErr, ok := errors.AsType[*os.SyscallError](err); ok {
		return sysErr.Err.Error()
	}
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		return opErr.Err.Error()
	}
	return err.Error()
}
