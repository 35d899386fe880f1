package real

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// Internet is what postfix-mta-sts-resolver, of Debian's package of that name, takes for the world: it
// has no options for any of it. Everything is on loopback.
type Internet struct {
	Resolver string // a recursive resolver, host:port; in place of those of /etc/resolv.conf
	Proxy    string // an HTTP proxy, host:port, that CONNECTs to the port 443 of policy hosts
	Roots    string // a PEM file of the authorities
}

// environment is how the program gets to know: the resolver is set as the interpreter starts, the rest
// by variables that the program knows anyway.
func (i Internet) environment(t testing.TB) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(i.Resolver)
	if err != nil {
		t.Fatal(err)
	}
	d := newDir(t)
	d.write("sitecustomize.py", fmt.Sprintf(`
import functools, aiodns
aiodns.DNSResolver.__init__ = functools.partialmethod(aiodns.DNSResolver.__init__, nameservers=[%q], udp_port=%s, tcp_port=%[2]s)
`, host, port))
	return append(os.Environ(), "PYTHONPATH="+d.path, "PYTHONDONTWRITEBYTECODE=1", "https_proxy=http://"+i.Proxy, "no_proxy=", "SSL_CERT_FILE="+i.Roots)
}

// MTASTSQuery asks for a domain's policy with mta-sts-query, and returns what it prints.
func MTASTSQuery(t testing.TB, world Internet, domain string) string {
	t.Helper()
	query := exec.CommandContext(t.Context(), Program(t, "mta-sts-query"), domain)
	query.Env = world.environment(t)
	out, err := query.Output()
	if err != nil {
		t.Fatalf("mta-sts-query %s: %v", domain, err)
	}
	return string(out)
}

// MTASTSDaemon starts mta-sts-daemon, which answers Postfix's socketmap lookups (socketmap_table(5)).
// It looks at the TXT record at each, and keeps a policy for as long as its max_age says.
func MTASTSDaemon(t testing.TB, world Internet) *Daemon {
	t.Helper()
	program, env := Program(t, "mta-sts-daemon"), world.environment(t)
	return start(t, func(port int) *exec.Cmd {
		conf := newDir(t).write("mta-sts-daemon.yml", fmt.Sprintf("{host: 127.0.0.1, port: %d, cache: {type: internal}, cache_grace: 0}\n", port))
		daemon := exec.Command(program, "-c", conf)
		daemon.Env = env
		return daemon
	}, accepts)
}
