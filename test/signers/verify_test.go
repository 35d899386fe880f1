package signers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"github.com/maildomain/maildomain-operator/cli"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/test/real"
)

// python is Debian's, which has python3-dkim.
const python = "/usr/bin/python3"

// verifyScript prints for each file whether each of its signatures is valid, by the keys that the name
// server at the port gives.
const verifyScript = `
import json, sys
import dkim, dns.resolver
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], int(sys.argv[1])
def txt(name, timeout=5):
    try:
        return b"".join(resolver.resolve(name.decode(), "TXT")[0].strings)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
def valid(d, i):
    try:
        return d.verify(idx=i, dnsfunc=txt)
    except dkim.DKIMException:
        return False
results = []
for path in sys.argv[2:]:
    d = dkim.DKIM(open(path, "rb").read())
    n = sum(1 for name, _ in d.headers if name.lower() == b"dkim-signature")
    results.append([valid(d, i) for i in range(n)])
print(json.dumps(results))
`

// signature is what a message's signature says, and whether all verifiers find it valid.
type signature struct {
	domain, selector, algorithm string
	valid                       bool
}

// verifier judges messages by the keys that a name server gives.
type verifier struct {
	t      *testing.T
	server string
}

func newVerifier(t *testing.T, server string) verifier {
	t.Helper()
	real.Program(t, "dkimverify") // python3-dkim is there
	return verifier{t, server}
}

// signatures returns the signatures of each message. go-msgauth, python3-dkim and `maildomain message` must agree
// on every one.
func (v verifier) signatures(messages ...[]byte) [][]signature {
	v.t.Helper()
	dir := v.t.TempDir()
	var files []string
	for i, message := range messages {
		files = append(files, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(files[i], message, 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	_, port, err := net.SplitHostPort(v.server)
	if err != nil {
		v.t.Fatal(err)
	}
	cmd := exec.Command(python, append([]string{"-c", verifyScript, port}, files...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		v.t.Fatalf("python3-dkim: %v\n%s", err, &complaints)
	}
	var byPython [][]bool
	if err := json.Unmarshal(out, &byPython); err != nil || len(byPython) != len(messages) {
		v.t.Fatalf("python3-dkim: %v\n%s", err, out)
	}

	all := make([][]signature, len(messages))
	for i, message := range messages {
		parsed, err := mail.ReadMessage(bytes.NewReader(message))
		if err != nil {
			v.t.Fatalf("%v\n%s", err, message)
		}
		byGo, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{LookupTXT: v.lookupTXT})
		if err != nil {
			v.t.Fatalf("go-msgauth: %v\n%s", err, message)
		}
		headers := parsed.Header["Dkim-Signature"]
		byUs := v.told(files[i])
		if len(byUs) != len(headers) {
			v.t.Fatalf("%d signatures, maildomain message has judged %d\n%s", len(headers), len(byUs), message)
		}
		if len(byGo) != len(headers) || len(byPython[i]) != len(headers) {
			v.t.Fatalf("%d signatures, go-msgauth has judged %d, python3-dkim %d\n%s", len(headers), len(byGo), len(byPython[i]), message)
		}
		for j, header := range headers {
			if valid := byGo[j].Err == nil; valid != byPython[i][j] {
				v.t.Errorf("go-msgauth: %v; python3-dkim: valid is %v\n%s", byGo[j].Err, byPython[i][j], message)
			}
			if got := byUs[j]; got.Selector != tag(header, "s") || (got.Outcome == compliance.Pass) != byPython[i][j] || got.Outcome == compliance.Unknown {
				v.t.Errorf("maildomain message: %+v; python3-dkim: valid is %v\n%s", got, byPython[i][j], message)
			}
			all[i] = append(all[i], signature{tag(header, "d"), tag(header, "s"), tag(header, "a"), byGo[j].Err == nil && byPython[i][j]})
		}
		slices.SortFunc(all[i], func(a, b signature) int { return bytes.Compare([]byte(a.selector), []byte(b.selector)) })
	}
	return all
}

// told is what `maildomain message` says of the signatures of a message.
func (v verifier) told(file string) []cli.Signature {
	v.t.Helper()
	var out, complaints bytes.Buffer
	code := cli.Run(v.t.Context(), cli.Env{Stdout: &out, Stderr: &complaints, Now: time.Now}, []string{"message", file, "-o", "json", "--resolver", v.server})
	var report cli.MessageReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		v.t.Fatalf("maildomain message: %v, exit code %d\n%s", err, code, &complaints)
	}
	return report.DKIM
}

func (v verifier) lookupTXT(name string) ([]string, error) {
	reply, err := ask(v.server, name)
	if err != nil {
		return nil, err
	}
	return texts(reply), nil
}

// tag returns the value of a signature's tag (RFC 6376 §3.5).
func tag(header, name string) string {
	match := regexp.MustCompile(`(?:^|;)\s*` + name + `=([^;\s]+)`).FindStringSubmatch(header)
	if match == nil {
		return ""
	}
	return match[1]
}

// ask asks the name server for TXT records.
func ask(server, name string) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	reply, _, err := (&dns.Client{Net: "tcp"}).Exchange(question, server)
	return reply, err
}

func texts(reply *dns.Msg) []string {
	var all []string
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			var joined string
			for _, part := range txt.Txt {
				joined += part
			}
			all = append(all, joined)
		}
	}
	return all
}
