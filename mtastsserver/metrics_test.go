package mtastsserver

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func (r *running) metrics(t *testing.T) string {
	t.Helper()
	response, err := http.Get("http://" + r.health + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response.Status, err)
	}
	return string(text)
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	for _, line := range []string{"maildomain_mta_sts_snapshot_domains 0", "maildomain_mta_sts_snapshot_timestamp_seconds 0", "maildomain_mta_sts_certificate_expiry_timestamp_seconds 0"} {
		if text := r.metrics(t); !strings.Contains(text, line+"\n") {
			t.Errorf("before the first snapshot %q is missing:\n%s", line, text)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, manifestName), []byte("torn"), fileMode))
	eventually(t, "the torn one is counted", func() bool { return strings.Contains(r.metrics(t), "maildomain_mta_sts_snapshots_refused_total 1\n") })
	secure := secureSite(t, "example.com", "x")
	write(t, dir, []Site{secure, {Domain: "plain.example", Policy: "x"}})
	r.waitOpen(t)
	if got := r.fetch(t, "example.com") + r.fetch(t, "example.com"); got != "xx" {
		t.Errorf("got %q", got)
	}
	_, _ = r.fetch(t, "plain.example"), r.fetch(t, "unknown.example")
	response, err := client(t, r.policy, floodHost).Get("https://" + floodHost + "/another")
	must(t, err)
	response.Body.Close()
	info, err := os.Stat(filepath.Join(dir, manifestName))
	must(t, err)
	text := r.metrics(t)
	for _, line := range []string{
		`maildomain_mta_sts_requests_total{code="2xx"} 2`,
		`maildomain_mta_sts_requests_total{code="4xx"} 1`,
		`maildomain_mta_sts_handshakes_refused_total 2`,
		`maildomain_mta_sts_snapshot_domains 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is missing:\n%s", line, text)
		}
	}
	for name, want := range map[string]time.Time{"snapshot_timestamp_seconds": info.ModTime(), "certificate_expiry_timestamp_seconds": notAfterOf(secure.Certificate)} {
		if got := r.value(t, "maildomain_mta_sts_"+name); got != unix(want) || got == 0 {
			t.Errorf("%s is %v, want %v", name, got, unix(want))
		}
	}
	if strings.Contains(text, "example") {
		t.Error("a metric names a domain")
	}
	if strings.Contains(r.logs.String(), "request") {
		t.Error("requests are logged although nobody asked for it")
	}
}

// docs/metrics.md lists every metric of the policy server.
func TestMetricsAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../docs/metrics.md")
	must(t, err)
	families, err := NewServer(nil).metrics.registry.Gather()
	must(t, err)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "maildomain_") {
			continue
		}
		label := ""
		for _, pair := range family.Metric[0].Label {
			label = "`" + pair.GetName() + "`"
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", family.GetName(), label, strings.ToLower(family.GetType().String()), family.GetHelp())
		if !strings.Contains(string(content), row) {
			t.Errorf("docs/metrics.md lacks %s", row)
		}
	}
}

func TestAccessLog(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []Site{secureSite(t, "example.com", "x")})
	r := start(t, Options{Dir: dir, AccessLog: true})
	r.waitOpen(t)
	conn, err := tls.Dial("tcp", r.policy, &tls.Config{ServerName: floodHost, InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	must(t, says(conn, "GET /"+strings.Repeat("x", 3000)+"%0Alevel=ERROR HTTP/1.1\r\nHost: "+floodHost+"\r\n\r\n"))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	response.Body.Close()
	if !response.Close {
		t.Error("a TLS connection is kept after the answer")
	}
	eventually(t, "the request is logged", func() bool { return strings.Contains(r.logs.String(), "status=404") })
	for line := range strings.Lines(r.logs.String()) {
		if strings.Contains(line, "status=") && (len(line) > 500 || !strings.Contains(line, floodHost)) {
			t.Errorf("%d octets: %s", len(line), line)
		}
	}
}

// Parsed certificates are bounded, and one that gave way is served all the same.
func TestParsedCertificatesAreBounded(t *testing.T) {
	cert, key := pair(t, floodHost)
	var pairs parsedPairs
	sites := make([]*site, maxParsed+10)
	for i := range sites {
		sites[i] = &site{entry: entry{Certificate: "x"}, certificatePEM: cert, privateKeyPEM: key}
		if p, first := pairs.of(sites[i]); p.err != nil || p.certificate == nil || !first {
			t.Fatal(p.err, first)
		}
	}
	held := 0
	for _, s := range sites {
		if s.parsed.Load() != nil {
			held++
		}
	}
	if held != maxParsed || sites[0].parsed.Load() != nil {
		t.Errorf("%d are held, want the last %d", held, maxParsed)
	}
	if p, first := pairs.of(sites[len(sites)-1]); !first && p.certificate != nil {
		if p, first := pairs.of(sites[0]); !first || p.certificate == nil {
			t.Error("one that gave way is not parsed again")
		}
	} else {
		t.Error("the last one is parsed again")
	}
}

// value is that of a metric without labels.
func (r *running) value(t *testing.T, name string) float64 {
	t.Helper()
	for line := range strings.Lines(r.metrics(t)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			must(t, err)
			return v
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}
