package real

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const powerDNSSchema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"

// PowerDNS starts pdns_server, of Debian's pdns-server and pdns-backend-sqlite3, and makes its
// database with sqlite3.
func PowerDNS(t testing.TB, key Key, zones ...Zone) (addr string) {
	t.Helper()
	server, util, sqlite := Program(t, "pdns_server"), Program(t, "pdnsutil"), Program(t, "sqlite3")
	d := newDir(t)
	db := filepath.Join(d.path, "db")
	script := d.write("fill.sql", fmt.Sprintf(".bail on\n.read %s\nBEGIN;\n%sCOMMIT;\n", powerDNSSchema, powerDNSRows(t, key, zones)))
	d.run(sqlite, db, ".read "+script)

	settings := fmt.Sprintf(`
launch=gsqlite3
gsqlite3-database=%s
gsqlite3-pragma-synchronous=0
dnsupdate=yes
allow-dnsupdate-from=
disable-axfr=yes
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
receiver-threads=1
distributor-threads=1
socket-dir=%s
local-address=127.0.0.1
`, db, d.path)
	d.write("pdns.conf", settings)
	d.run(util, "--config-dir="+d.path, "rectify-all-zones", "quiet")
	return serve(t, zones[0].Apex, func(port int) *exec.Cmd {
		d.write("pdns.conf", fmt.Sprintf("%slocal-port=%d\n", settings, port))
		return exec.Command(server, "--config-dir="+d.path, "--guardian=no", "--daemon=no", "--disable-syslog", "--write-pid=no")
	})
}

// powerDNSRows fills the tables.
func powerDNSRows(t testing.TB, key Key, zones []Zone) string {
	t.Helper()
	var rows strings.Builder
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
	name := func(name string) string { return quote(strings.TrimSuffix(strings.ToLower(name), ".")) }
	fmt.Fprintf(&rows, "INSERT INTO tsigkeys (name, algorithm, secret) VALUES (%s, 'hmac-sha256', %s);\n", name(key.Name), quote(key.Secret))
	for i, z := range zones {
		fmt.Fprintf(&rows, "INSERT INTO domains (id, name, type) VALUES (%d, %s, 'NATIVE');\n", i+1, name(z.Apex))
		if !z.Closed {
			fmt.Fprintf(&rows, "INSERT INTO domainmetadata (domain_id, kind, content) VALUES (%d, 'ALLOW-DNSUPDATE-FROM', '127.0.0.0/8'), (%d, 'TSIG-ALLOW-DNSUPDATE', %s);\n", i+1, i+1, name(key.Name))
		}
		parser := dns.NewZoneParser(strings.NewReader(z.file()), "", "")
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			h := rr.Header()
			content := strings.TrimPrefix(rr.String(), h.String())
			fmt.Fprintf(&rows, "INSERT INTO records (domain_id, name, type, content, ttl, prio) VALUES (%d, %s, %s, %s, %d, 0);\n",
				i+1, name(h.Name), quote(dns.TypeToString[h.Rrtype]), quote(content), h.Ttl)
		}
		if err := parser.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return rows.String()
}
