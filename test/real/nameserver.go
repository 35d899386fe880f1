package real

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Key is the TSIG key (hmac-sha256) that may update the zones of a name server.
type Key struct {
	Name   string
	Secret string // base64
}

// Zone is a zone of which a name server is the primary. It takes updates signed with the key, and
// transfers to nobody.
type Zone struct {
	Apex    string
	Records string // as in a zone file below the apex; SOA, NS and the address of ns1 are there already
	Closed  bool   // takes no updates at all
}

// file returns the zone as a zone file.
func (z Zone) file() string {
	return fmt.Sprintf("$ORIGIN %s.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 300\n@ NS ns1\nns1 A 127.0.0.1\n%s\n", z.Apex, z.Records)
}

// NameServers are the real name servers that there are, by name: each starts on a loopback port that
// the system chooses, as the user that runs the test, and ends with the test.
var NameServers = map[string]func(t testing.TB, key Key, zones ...Zone) (addr string){
	"BIND":     BIND,
	"Knot":     Knot,
	"PowerDNS": PowerDNS,
}

// patience is far longer than a server takes to start.
const patience = time.Minute

// serve starts a name server as command says for a port and waits until it answers for the zone.
func serve(t testing.TB, apex string, command func(port int) *exec.Cmd) (addr string) {
	t.Helper()
	const attempts = 5 // another process can take the port between its choice and the start
	for i := 1; ; i++ {
		port := freePort(t)
		addr = fmt.Sprintf("127.0.0.1:%d", port)
		cmd := command(port)
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan struct{})
		go func() { _ = cmd.Wait(); close(exited) }()
		stop := func() { cmd.Process.Kill(); <-exited }
		if answers(addr, apex, exited) {
			t.Cleanup(stop)
			return addr
		}
		stop()
		if i == attempts {
			t.Fatalf("%s does not start:\n%s", cmd.Path, &log)
		}
	}
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

// answers waits until the server answers with authority, and reports false if it ends or never does.
func answers(addr, apex string, exited <-chan struct{}) bool {
	client := &dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(apex), dns.TypeSOA)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-exited:
			return false
		default:
		}
		if reply, _, err := client.Exchange(question, addr); err == nil && reply.Authoritative {
			return true
		}
	}
	return false
}

// dir is the directory of a server's files.
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
