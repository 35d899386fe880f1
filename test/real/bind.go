package real

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// BIND starts named, of Debian's bind9. Zones that are Closed refuse questions too.
func BIND(t testing.TB, key Key, zones ...Zone) (addr string) {
	t.Helper()
	named := Program(t, "named")
	d := newDir(t)
	var statements strings.Builder
	for _, z := range zones {
		options := fmt.Sprintf("allow-update { key %q; };", key.Name)
		if z.Closed {
			options = "allow-query { none; }; allow-update { none; };"
		}
		fmt.Fprintf(&statements, "zone %q { type primary; file %q; %s };\n", z.Apex, d.write(z.Apex+".zone", z.file()), options)
	}
	return serve(t, zones[0].Apex, func(port int) *exec.Cmd {
		conf := d.write("named.conf", fmt.Sprintf(`
key %q { algorithm hmac-sha256; secret %q; };
controls { };
options {
	directory %q;
	pid-file none;
	session-keyfile none;
	listen-on port %d { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	allow-transfer { none; };
	dnssec-validation no;
};
%s`, key.Name, key.Secret, d.path, port, &statements))
		return exec.Command(named, "-g", "-4", "-n", "1", "-c", conf)
	})
}
