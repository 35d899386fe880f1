package cli

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// now is the time of all tests.
var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// place is the world of one domain, example.test: a name server, and a policy host. All zones that a
// walk up the tree comes to are there: test too.
type place struct {
	t      *testing.T
	dns    *dnsserver.Server
	policy netip.AddrPort
	roots  string
	asked  string   // the resolver to ask, if it is not dns
	more   []string // flags

	mu          sync.Mutex
	body        string
	contentType string
	status      int
}

const domain = "example.test"

// The key with which an operator may write the zones.
const (
	placeKey    = "maildomain."
	placeSecret = "YSBzZWNyZXQgb2YgdGhlIHRlc3Rz"
)

func newPlace(t *testing.T) *place {
	t.Helper()
	server, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Zones: []string{"test", domain, "other.test"}, Keys: map[string]string{placeKey: placeSecret}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return &place{t: t, dns: server, contentType: "text/plain", status: 200}
}

// txt sets the texts at a name below the domain; "" is the domain itself.
func (p *place) txt(name string, texts ...string) {
	p.t.Helper()
	if err := p.dns.SetTXT(below(name), texts...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) set(name, rrtype string, rdata ...string) {
	p.t.Helper()
	if err := p.dns.Set(below(name), rrtype, rdata...); err != nil {
		p.t.Fatal(err)
	}
}

func below(name string) string {
	switch {
	case name == "":
		return domain
	case strings.HasSuffix(name, ".test"):
		return name
	}
	return name + "." + domain
}

// serve has mta-sts.example.test serve a policy.
func (p *place) serve(body string) {
	p.t.Helper()
	p.mu.Lock()
	p.body = body
	p.mu.Unlock()
	if p.policy.IsValid() {
		return
	}
	cert, key, err := certificate.SelfSigned("mta-sts." + domain)
	if err != nil {
		p.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.roots = filepath.Join(p.t.TempDir(), "roots.pem")
	if err := os.WriteFile(p.roots, cert, 0o600); err != nil {
		p.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		w.Header().Set("Content-Type", p.contentType)
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, p.body)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	p.t.Cleanup(server.Close)
	p.policy = netip.MustParseAddrPort(server.Listener.Addr().String())
	p.set("mta-sts", "A", "127.0.0.1")
}

// answer has the policy host answer so.
func (p *place) answer(status int, contentType string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.contentType = status, contentType
}

// sound publishes a domain that has nothing wrong.
func (p *place) sound() {
	p.set("", "MX", "10 mx1.example.test.")
	p.set("mx1", "A", "192.0.2.1")
	p.set("mx1", "AAAA", "2001:db8::1")
	p.txt("", "v=spf1 mx -all")
	p.txt("s1._domainkey", keyRecord(p.t, 2048))
	p.txt("_dmarc", "v=DMARC1; p=reject; rua=mailto:dmarc@example.test")
	p.txt("_mta-sts", "v=STSv1; id=1")
	p.txt("_smtp._tls", "v=TLSRPTv1; rua=https://reports.example.test/")
	p.serve("version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmax_age: 1209600\r\n")
}

// flags lead to the place instead of to the world.
func (p *place) flags() []string {
	flags := []string{"--timeout", "1m", "--resolver", cmp.Or(p.asked, p.dns.Addr()), "--allow-private-targets", "127.0.0.0/8"}
	if p.policy.IsValid() {
		flags = append(flags, "--mta-sts-port", strconv.Itoa(int(p.policy.Port())), "--mta-sts-roots", p.roots)
	}
	return append(flags, p.more...)
}

// run runs the command line.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	env := Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &complaints, Now: func() time.Time { return now }}
	code = Run(t.Context(), env, args)
	return code, out.String(), complaints.String()
}

// check runs check on the domain and returns what it reports.
func (p *place) check(flags ...string) (Report, int) {
	p.t.Helper()
	return reported(p.t, slices.Concat([]string{"check", domain, "-o", "json"}, p.flags(), flags))
}

func reported(t *testing.T, args []string) (r Report, code int) {
	t.Helper()
	code, stdout, stderr := run(t, "", args...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: exit code %d, %v\n%s%s", args, code, err, stdout, stderr)
	}
	return r, code
}

// codes are the codes of findings, with spaces between.
func (r Report) codes() string {
	var codes []string
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	return strings.Join(codes, " ")
}

// keys are private keys that tests share, by their bits.
var testKeys = struct {
	sync.Mutex
	records map[int]string
}{records: map[int]string{}}

// keyRecord is the record of an rsa key of so many bits; those below 1024 a key of ours can't have.
func keyRecord(t *testing.T, bits int) string {
	t.Helper()
	testKeys.Lock()
	defer testKeys.Unlock()
	if testKeys.records[bits] == "" {
		testKeys.records[bits] = rsaText(bits)
	}
	if _, err := dkim.Parse(testKeys.records[bits]); err != nil {
		t.Fatal(err)
	}
	return testKeys.records[bits]
}

// asked counts questions, by name and type, and passes them on to a name server. A question that a
// client repeats, with the same id, for want of an answer counts once.
type asked struct {
	Addr string

	mu    sync.Mutex
	ids   map[string]map[uint16]bool
	alter func(w dns.ResponseWriter, req *dns.Msg) (done bool)
}

// bothAt listens at one port that is free for UDP and for TCP.
func bothAt(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 50 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close() // somebody has the port of TCP
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// between starts a server that counts and passes on. alter, if not nil, may answer by itself.
func between(t *testing.T, upstream string, alter func(w dns.ResponseWriter, req *dns.Msg) bool) *asked {
	t.Helper()
	a := &asked{ids: map[string]map[uint16]bool{}, alter: alter}
	packets, listener := bothAt(t)
	a.Addr = packets.LocalAddr().String()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		q := req.Question[0]
		key := strings.ToLower(q.Name) + " " + dns.TypeToString[q.Qtype]
		a.mu.Lock()
		if a.ids[key] == nil {
			a.ids[key] = map[uint16]bool{}
		}
		a.ids[key][req.Id] = true
		a.mu.Unlock()
		if a.alter != nil && a.alter(w, req) {
			return
		}
		client := &dns.Client{Net: w.LocalAddr().Network(), Timeout: 5 * time.Second, UDPSize: 4096}
		if reply, _, err := client.Exchange(req, upstream); err == nil {
			_ = w.WriteMsg(reply)
		}
	})
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			_ = server.Shutdown()
			<-ended
		})
	}
	return a
}

// questions are all that were asked, sorted.
func (a *asked) questions() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.ids))
}

// twice are the questions that were asked more than once.
func (a *asked) twice() (list []string, total int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for question, ids := range a.ids {
		if total++; len(ids) > 1 {
			list = append(list, question)
		}
	}
	slices.Sort(list)
	return list, total
}
