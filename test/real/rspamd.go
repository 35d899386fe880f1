package real

import (
	"fmt"
	"os/exec"
	"testing"
)

// Rspamd starts rspamd, of Debian's rspamd, as a milter that runs the module dkim_signing alone.
// The configuration is that of local.d/dkim_signing.conf. Maps are looked at every second, not every
// minutes.
func Rspamd(t testing.TB, config string) *Daemon {
	t.Helper()
	rspamd := Program(t, "rspamd")
	d := newDir(t)
	signing := d.write("dkim_signing.conf", config)
	tlds := d.write("tlds", "example\n") // the list of the package takes it long to compile
	conf := func(port int) string {
		return d.write("rspamd.conf", fmt.Sprintf(`
lua = "$RULESDIR/rspamd.lua"
options {
	filters = "dkim";
	map_watch_interval = 1s;
	url_tld = %[4]q;
	dns { nameserver = ["127.0.0.1"]; }
	tempdir = %[1]q;
	hs_cache_dir = %[1]q;
}
logging { type = "console"; level = "info"; }
worker "rspamd_proxy" {
	count = 1;
	bind_socket = "127.0.0.1:%[2]d";
	milter = yes;
	timeout = 60s;
	upstream "local" { default = yes; self_scan = yes; }
}
modules { path = "$PLUGINSDIR/dkim_signing.lua"; }
dkim_signing { .include %[3]q }
`, d.path, port, signing, tlds))
	}
	return start(t, func(port int) *exec.Cmd {
		path := conf(port)
		d.handOver()
		return unprivileged(t, exec.Command(rspamd, "--no-fork", "--config", path, "--var=DBDIR="+d.path, "--var=RUNDIR="+d.path, "--var=LOGDIR="+d.path, "--var=LOCAL_CONFDIR="+d.path))
	}, accepts)
}
