package real

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
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

// dir is the directory of a program's files.
type dir struct {
	t    testing.TB
	path string
}

func newDir(t testing.TB) dir { return dir{t, t.TempDir()} }

func (d dir) write(name, text string) (path string) {
	d.t.Helper()
	path = filepath.Join(d.path, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d dir) run(program string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// nobody is who programs that handle mail run as if root runs the test: they refuse to be root, or
// change to a user of their own that cannot read the test's files.
const nobody = "nobody"

// unprivileged has the command run by an ordinary user.
func unprivileged(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() == 0 {
		uid, gid := idsOf(t, nobody)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

// User returns the name of the user that runs the programs that handle mail.
func User(t testing.TB) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return nobody
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.Username
}

// handOver gives everything in the directory to that user, and lets it pass on the way there.
func (d dir) handOver() {
	d.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	uid, gid := idsOf(d.t, nobody)
	if err := os.Chmod(filepath.Dir(d.path), 0o711); err != nil {
		d.t.Fatal(err)
	}
	if err := filepath.WalkDir(d.path, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	}); err != nil {
		d.t.Fatal(err)
	}
}

func idsOf(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	if uidErr != nil || gidErr != nil {
		t.Fatalf("user %s: uid %s, gid %s", name, found.Uid, found.Gid)
	}
	return uid, gid
}

// group returns the name of the user's group.
func group(t testing.TB) string {
	t.Helper()
	found, err := user.Lookup(User(t))
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(found.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return g.Name
}
