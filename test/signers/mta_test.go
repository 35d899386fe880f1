package signers

import (
	"bufio"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// patience is far longer than a program takes to handle a message.
const patience = time.Minute

// sink is the server that an MTA sends its mail to.
type sink struct {
	addr     string
	messages chan []byte
}

func newSink(t *testing.T) *sink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &sink{addr: listener.Addr().String(), messages: make(chan []byte, 1)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

// serve takes every message of a connection, as a server of RFC 5321 without extensions.
func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	c := textproto.NewConn(conn)
	say := func(line string) error { return c.PrintfLine("%s", line) }
	for err := say("220 sink"); err == nil; {
		var line string
		if line, err = c.ReadLine(); err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "DATA":
			if err = say("354 go on"); err != nil {
				return
			}
			message, readErr := readDots(c.R)
			if readErr != nil {
				return
			}
			s.messages <- message
			err = say("250 taken")
		case "QUIT":
			_ = say("221 bye")
			return
		default:
			err = say("250 fine")
		}
	}
}

// readDots reads a message until the line with the single dot, and keeps its line ends.
func readDots(r *bufio.Reader) ([]byte, error) {
	var message []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == ".\r\n" {
			return message, nil
		}
		message = append(message, strings.TrimPrefix(line, ".")...)
	}
}

// throughMTA gives the message to the MTA and returns it as it arrives at the next one.
func throughMTA(addr string, next *sink, from string, message []byte) ([]byte, error) {
	client, err := smtp.Dial(addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := errors.Join(client.Mail(from), client.Rcpt("someone@example.org")); err != nil {
		return nil, err
	}
	w, err := client.Data()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(message); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	select {
	case arrived := <-next.messages:
		return arrived, nil
	case <-time.After(patience):
		return nil, errors.New("the MTA takes the message and does not send it")
	}
}
