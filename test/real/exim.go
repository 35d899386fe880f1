package real

import (
	"fmt"
	"net"
	"os/exec"
	"testing"
)

// Exim starts the daemon of exim4, of Debian's exim4-daemon-light. It takes mail by SMTP and hands it at
// once to the server at next, by the smtp transport with the options given.
func Exim(t testing.TB, next, options string) *Daemon {
	t.Helper()
	exim := Program(t, "exim4")
	nextHost, nextPort, err := net.SplitHostPort(next)
	if err != nil {
		t.Fatal(err)
	}
	d := newDir(t)
	conf := d.write("exim.conf", fmt.Sprintf(`
exim_user = %[1]s
exim_group = %[2]s
spool_directory = %[3]s
log_file_path = %[3]s/%%slog
primary_hostname = mx.example.net
qualify_domain = example.net
hostlist relay_from_hosts = 127.0.0.1
daemon_smtp_ports = 0
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
keep_environment =
never_users =
acl_smtp_rcpt = accept
begin routers
next:
  driver = manualroute
  transport = remote_smtp
  route_list = * %[4]s
  self = send
begin transports
remote_smtp:
  driver = smtp
  port = %[5]s
  allow_localhost
  hosts_try_chunking =
%[6]s
begin retry
* * F,1h,1m
`, userName(t), groupName(t), d.path, nextHost, nextPort, options))
	d.handOver()
	return start(t, func(port int) *exec.Cmd {
		return unprivileged(t, exec.Command(exim, "-C", conf, "-bdf", "-oX", fmt.Sprintf("[127.0.0.1]:%d", port)))
	}, accepts)
}

// EximTLS starts the daemon of exim4 as the MX host of nobody, which offers STARTTLS with a certificate
// and its key, both as PEM.
func EximTLS(t testing.TB, certificate, key []byte) *Daemon {
	t.Helper()
	exim := Program(t, "exim4")
	d := newDir(t)
	conf := d.write("exim.conf", fmt.Sprintf(`
exim_user = %[1]s
exim_group = %[2]s
spool_directory = %[3]s
log_file_path = %[3]s/%%slog
primary_hostname = mx.example.net
daemon_smtp_ports = 0
tls_advertise_hosts = *
tls_certificate = %[4]s
tls_privatekey = %[5]s
host_lookup =
rfc1413_hosts =
keep_environment =
never_users =
`, userName(t), groupName(t), d.path, d.write("tls.crt", string(certificate)), d.write("tls.key", string(key))))
	d.handOver()
	return start(t, func(port int) *exec.Cmd {
		return unprivileged(t, exec.Command(exim, "-C", conf, "-bdf", "-oX", fmt.Sprintf("[127.0.0.1]:%d", port)))
	}, accepts)
}
