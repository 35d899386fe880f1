package real

import (
	"fmt"
	"os/exec"
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

// serve starts a name server as command says for a port and waits until it answers for the zone.
func serve(t testing.TB, apex string, command func(port int) *exec.Cmd) (addr string) {
	t.Helper()
	return start(t, command, func(addr string) bool { return answers(addr, apex) }).Addr
}

// answers reports whether the server answers for the zone with authority.
func answers(addr, apex string) bool {
	client := &dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(apex), dns.TypeSOA)
	reply, _, err := client.Exchange(question, addr)
	return err == nil && reply.Authoritative
}
