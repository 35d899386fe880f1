package real

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nginx starts nginx with as many workers as there are CPUs. It serves one text over HTTPS at a path of a
// host, with a certificate and its key, both as PEM, and resumes no sessions.
func Nginx(t testing.TB, host, path, text string, certificate, key []byte) *Daemon {
	t.Helper()
	nginx := Program(t, "nginx")
	d := newDir(t)
	d.write("cert.pem", string(certificate))
	d.write("key.pem", string(key))
	d.write(filepath.Base(path), text)
	return start(t, func(port int) *exec.Cmd {
		conf := d.write("nginx.conf", fmt.Sprintf(`
daemon off;
pid %[1]s/pid;
worker_processes auto;
events { worker_connections 1024; }
http {
	access_log off;
	default_type text/plain;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen 127.0.0.1:%[2]d ssl http2 reuseport;
		server_name %[3]s;
		ssl_certificate %[1]s/cert.pem;
		ssl_certificate_key %[1]s/key.pem;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_session_tickets off;
		ssl_session_cache off;
		keepalive_timeout 0;
		location = %[4]s { alias %[1]s/%[5]s; add_header Cache-Control no-store; }
	}
}
`, d.path, port, host, path, filepath.Base(path)))
		d.handOver()
		return exec.Command(nginx, "-e", "stderr", "-c", conf, "-g", strings.TrimSpace("user "+userName(t)+" "+groupName(t)+";"))
	}, accepts)
}
