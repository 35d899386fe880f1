package signers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-message/textproto"
	"github.com/emersion/go-milter"
)

// errDeferred is a message that is to be tried again later.
var errDeferred = errors.New("the milter defers the message")

func notTaken(action *milter.Action) error {
	if action.Code == milter.ActTempFail || action.SMTPCode/100 == 4 {
		return errDeferred
	}
	return fmt.Errorf("the milter answers %c %d %s", action.Code, action.SMTPCode, action.SMTPText)
}

// throughMilter has a milter look at the message, as an MTA on this host does, and returns the
// message as the MTA would then send it. An answer other than "go on" is an error.
func throughMilter(t *testing.T, addr, from string, message []byte) ([]byte, error) {
	t.Helper()
	session, err := milter.NewDefaultClient("tcp", addr).Session()
	if err != nil {
		return nil, err
	}
	defer session.Close()

	reader := bufio.NewReader(bytes.NewReader(message))
	header, err := textproto.ReadHeader(reader)
	if err != nil {
		t.Fatal(err)
	}
	steps := []func() (*milter.Action, error){
		func() (*milter.Action, error) { return session.Conn("localhost", milter.FamilyInet, 25, "127.0.0.1") },
		func() (*milter.Action, error) { return session.Helo("localhost") },
		func() (*milter.Action, error) { return session.Mail(from, nil) },
		func() (*milter.Action, error) { return session.Rcpt("someone@example.org", nil) },
		func() (*milter.Action, error) { return session.Header(header) },
	}
	for _, step := range steps {
		if action, err := step(); err != nil {
			return nil, err
		} else if action.Code == milter.ActAccept {
			return message, nil // as it is
		} else if action.Code != milter.ActContinue {
			return nil, notTaken(action)
		}
	}
	changes, action, err := session.BodyReadFrom(reader)
	if err != nil {
		return nil, err
	}
	if action.Code != milter.ActAccept && action.Code != milter.ActContinue {
		return nil, notTaken(action)
	}
	var added strings.Builder
	for _, change := range changes {
		switch change.Code {
		case milter.ActInsertHeader, milter.ActAddHeader:
			value := strings.ReplaceAll(strings.ReplaceAll(change.HeaderValue, "\r\n", "\n"), "\n", "\r\n")
			fmt.Fprintf(&added, "%s: %s\r\n", change.HeaderName, strings.TrimLeft(value, " "))
		default:
			return nil, fmt.Errorf("the milter changes the message: %c", change.Code)
		}
	}
	return append([]byte(added.String()), message...), nil
}
