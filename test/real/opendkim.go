package real

import (
	"fmt"
	"os/exec"
	"testing"
)

// OpenDKIM starts opendkim, of Debian's opendkim, as a milter. The configuration is that of
// opendkim.conf; where it listens and as whom it runs is added.
func OpenDKIM(t testing.TB, config string) *Daemon {
	t.Helper()
	opendkim := Program(t, "opendkim")
	d := newDir(t)
	conf := d.write("opendkim.conf", config+"\nSyslog no\n")
	d.handOver()
	return start(t, func(port int) *exec.Cmd {
		return unprivileged(t, exec.Command(opendkim, "-f", "-x", conf, "-p", fmt.Sprintf("inet:%d@127.0.0.1", port)))
	}, accepts)
}
