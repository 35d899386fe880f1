package dnsprovider

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/real"
	"github.com/miekg/dns"
)

// TestRFC2136OnBIND runs the cases against named, each in a zone of its own, which takes signed
// updates and no transfers.
func TestRFC2136OnBIND(t *testing.T) {
	named := real.Program(t, "named")
	zones := map[string]string{}
	options := map[string]string{
		"closed.example": "allow-query { none; }; allow-update { none; };",
	}
	apexOf := func(i int) string { return fmt.Sprintf("case%d.example", i) }
	for i, c := range rfc2136Cases {
		zones[apexOf(i)] = c.zone
		if c.child != "" {
			zones[c.child+"."+apexOf(i)] = ""
		}
	}
	zones["closed.example"] = "_dmarc TXT x\n"
	zones["dname.example"] = "d DNAME elsewhere.example.\nd TXT x\n"
	server := startBIND(t, named, zones, options)

	for i, c := range rfc2136Cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, env{server, apexOf(i)}) })
	}

	t.Run("the server forbids it", func(t *testing.T) {
		e := env{server, "closed.example"}
		_, err := readOne(t.Context(), e.open(t), e.txt("_dmarc"))
		wantKind(t, err, Refused)
		wantKind(t, applyOne(t.Context(), e.open(t), Change{Seen: RRset{Key: e.txt("new")}, Add: []string{"x"}, TTL: time.Hour}), Refused)
	})

	t.Run("names below a DNAME are aliases", func(t *testing.T) {
		e := env{server, "dname.example"}
		if seen := e.read(t, e.txt("a.d")); seen.Alias != "a.elsewhere.example" {
			t.Errorf("alias %q, records %q", seen.Alias, seen.Values())
		}
		wantValues(t, e.read(t, e.txt("d")), "x")
	})

	t.Run("no zone transfer is needed", func(t *testing.T) {
		msg := new(dns.Msg)
		msg.SetAxfr(apexOf(0) + ".")
		msg.SetTsig(keyName+".", dns.HmacSHA256, 300, 0)
		transfer := &dns.Transfer{TsigSecret: map[string]string{keyName + ".": keySecret}}
		answers, err := transfer.In(msg, server)
		if err != nil {
			t.Fatal(err)
		}
		for answer := range answers {
			if answer.Error == nil {
				t.Error("the server lets the key transfer the zone: the other cases prove nothing")
			}
		}
	})
}

// startBIND starts named on a loopback port that the system chooses, and stops it with the test.
func startBIND(t *testing.T, named string, zones, options map[string]string) (server string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var statements strings.Builder
	for apex, records := range zones {
		file := apex + ".zone"
		write(file, "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 300\n@ NS ns1\nns1 A 127.0.0.1\n"+records+"\n")
		option := options[apex]
		if option == "" {
			option = fmt.Sprintf("allow-update { key %q; };", keyName)
		}
		fmt.Fprintf(&statements, "zone %q { type primary; file %q; %s };\n", apex, file, option)
	}

	const attempts = 5 // another process can take the port between its choice and named's start
	for i := 1; ; i++ {
		port := freePort(t)
		write("named.conf", fmt.Sprintf(`
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
%s`, keyName, keySecret, dir, port, &statements))
		server = fmt.Sprintf("127.0.0.1:%d", port)

		var log bytes.Buffer
		cmd := exec.Command(named, "-g", "-4", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan struct{})
		go func() { _ = cmd.Wait(); close(exited) }()
		stop := func() { cmd.Process.Kill(); <-exited }
		if answers(server, exited) {
			t.Cleanup(stop)
			return server
		}
		stop()
		if i == attempts {
			t.Fatalf("named does not start:\n%s", &log)
		}
	}
}

// freePort returns a port that is free for TCP and UDP at this moment.
func freePort(t *testing.T) int {
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
func answers(server string, exited <-chan struct{}) bool {
	client := &dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	question := new(dns.Msg)
	question.SetQuestion("case0.example.", dns.TypeSOA)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-exited:
			return false
		default:
		}
		if reply, _, err := client.Exchange(question, server); err == nil && reply.Authoritative {
			return true
		}
	}
	return false
}
