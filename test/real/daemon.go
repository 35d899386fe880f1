package real

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is far longer than a program takes to start.
const patience = time.Minute

// Daemon is a program that listens on a loopback port which the system chose, and ends with the test.
type Daemon struct {
	Addr string // host:port

	cmd    *exec.Cmd
	log    *log
	exited chan struct{}
}

// Signal sends a signal, such as the one that makes the program read its configuration again.
func (d *Daemon) Signal(signal os.Signal) error { return d.cmd.Process.Signal(signal) }

// Log returns what the program has written to its standard output and error.
func (d *Daemon) Log() string { return d.log.String() }

// start starts the program as command says for a port, and waits until it is ready.
func start(t testing.TB, command func(port int) *exec.Cmd, ready func(addr string) bool) *Daemon {
	t.Helper()
	const attempts = 5 // another process can take the port between its choice and the start
	for i := 1; ; i++ {
		port := freePort(t)
		d := &Daemon{Addr: fmt.Sprintf("127.0.0.1:%d", port), cmd: command(port), log: &log{}, exited: make(chan struct{})}
		d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
		if d.cmd.SysProcAttr == nil {
			d.cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		d.cmd.SysProcAttr.Setpgid = true
		if err := d.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = d.cmd.Wait(); close(d.exited) }()
		if d.becomes(ready) {
			t.Cleanup(d.stop)
			return d
		}
		d.stop()
		if i == attempts {
			t.Fatalf("%s does not start:\n%s", d.cmd.Path, d.log)
		}
	}
}

// stop ends the program, and then what it has started and left.
func (d *Daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(2 * time.Second):
	}
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.exited
}

// becomes waits until the program is ready, and reports false if it ends or never is.
func (d *Daemon) becomes(ready func(addr string) bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-d.exited:
			return false
		default:
		}
		if ready(d.Addr) {
			return true
		}
	}
	return false
}

// accepts reports whether somebody listens at the address.
func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// freePort returns a port that is free for TCP and UDP at this moment.
func freePort(t testing.TB) int {
	t.Helper()
	for {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		tcp.Close()
		if err == nil {
			udp.Close()
			return tcp.Addr().(*net.TCPAddr).Port
		}
	}
}

// log is what a program writes, to be read while it runs.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// CPU is the time that the program and what it has started have had of all CPUs until now.
func (d *Daemon) CPU(t testing.TB) time.Duration { return CPU(t, d.cmd.Process.Pid) }
