package cli

import (
	"bytes"
	"encoding/json"
	"html"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/test/real"
)

// audited are three domains: one that passes after a rotation, one that fails with hostile texts, and one
// that is not judged yet.
func audited() []v1alpha1.MailDomain {
	of := func(name, domain string, status v1alpha1.MailDomainStatus, baselines ...v1alpha1.Baseline) v1alpha1.MailDomain {
		md := v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: name}, Spec: soundSpec(), Status: status}
		md.Spec.Domain = domain
		if len(baselines) > 0 {
			md.Spec.Compliance = &v1alpha1.ComplianceSpec{Baselines: baselines}
		}
		return md
	}
	judged := func(b v1alpha1.Baseline, verdict v1alpha1.Verdict, seen string) v1alpha1.ComplianceStatus {
		c := v1alpha1.ComplianceStatus{Baseline: b, Verdict: verdict, LastChecked: day(-1)}
		found, _ := compliance.Find(string(b))
		for i, control := range found.Controls {
			one := v1alpha1.ControlStatus{Name: control.Name, Verdict: v1alpha1.VerdictPass, Message: "as wanted"}
			if i == 0 {
				one.Verdict, one.Message = verdict, seen
			}
			c.Controls = append(c.Controls, one)
		}
		return c
	}
	bits := int32(2048)
	good := rotatedStatus(v1alpha1.KeyRevoked)
	good.DKIM.Keys = []v1alpha1.DKIMKeyStatus{
		{Selector: "mail-20260401a", Algorithm: v1alpha1.DKIMRSA, Bits: &bits, State: v1alpha1.KeyRevoked, Created: day(-240), Active: day(-239), Retired: day(-60), Revoked: day(-53)},
		{Selector: "mail-20260930a", Algorithm: v1alpha1.DKIMRSA, Bits: &bits, State: v1alpha1.KeyActive, Created: day(-61), Active: day(-60)},
		{Selector: "mail-20260930b", Algorithm: v1alpha1.DKIMEd25519, State: v1alpha1.KeyActive, Created: day(-61), Active: day(-60)},
	}
	good.Compliance = []v1alpha1.ComplianceStatus{
		judged(v1alpha1.BaselineGoogleYahooBulkSender, v1alpha1.VerdictPass, "v=spf1 mx -all"), judged(v1alpha1.BaselineNCSCUK, v1alpha1.VerdictUnknown, "no answer about mx1.example.test: time ran out"),
	}
	bad := soundStatus()
	bad.Conditions = conditionsOf([4]string{"Ready", "False", "SectionsNotReady", "not ready: Compliant"}, [4]string{"Compliant", "False", "NotCompliant", "GoogleYahooBulkSender: SPF (x)"})
	bad.Compliance = []v1alpha1.ComplianceStatus{judged(v1alpha1.BaselineGoogleYahooBulkSender, v1alpha1.VerdictFail, `v=spf1 <script>alert(1)</script> | x\u202e`)}
	bad.Findings = []v1alpha1.Finding{{Code: "SPF-PTR", Severity: v1alpha1.SeverityWarning, Name: "b.test", Message: "it is slow"}}
	none := soundStatus()
	none.Compliance = nil
	return []v1alpha1.MailDomain{
		of("b", "b.test", bad, v1alpha1.BaselineGoogleYahooBulkSender), of("a", "a.test", good, v1alpha1.BaselineGoogleYahooBulkSender, v1alpha1.BaselineNCSCUK),
		of("c", "c.test", none, v1alpha1.BaselinePCIDSS541), of("d", "d.test", none),
	}
}

func reportIn(t *testing.T, format string) string {
	t.Helper()
	var out bytes.Buffer
	if err := evidenceOf(audited(), now).print(&out, format); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEvidence(t *testing.T) {
	e := evidenceOf(audited(), now)
	if e.Outcome != compliance.Fail || len(e.Domains) != 4 || e.Domains[0].Domain != "a.test" {
		t.Fatalf("%s, %d domains", e.Outcome, len(e.Domains))
	}
	if c := e.Domains[2].Baselines[0]; c.Verdict != v1alpha1.VerdictUnknown || c.LastChecked != nil {
		t.Errorf("what was not judged yet is %+v", c)
	}
	if e.count(v1alpha1.VerdictPass) != 0 || e.count(v1alpha1.VerdictFail) != 1 || e.count(v1alpha1.VerdictUnknown) != 2 || e.count("") != 1 {
		t.Error("a domain is counted by the worst of its baselines")
	}
	for _, c := range e.Domains[1].Baselines[0].Controls {
		if c.Title == "" || c.Source == "" {
			t.Errorf("%s lacks what was wanted, and by whom", c.Control)
		}
	}
	if len(e.Domains[0].Rotations) != 8 || e.Domains[0].Keys[0].AgeDays != 240 {
		t.Errorf("%+v", e.Domains[0].Rotations)
	}
	if got := evidenceOf(nil, now); got.Outcome != compliance.Pass || got.Domains == nil {
		t.Errorf("%+v", got)
	}
	if got := evidenceOf(audited()[2:3], now).Outcome; got != compliance.Unknown {
		t.Errorf("a domain that was not judged yet: %s", got)
	}
}

// The texts of strangers are texts in every format.
func TestReportFormats(t *testing.T) {
	for format, says := range map[string][]string{
		"table":    {"a.test", "mail-20260930a (rsa 2048, 61 days)", "b.test, GoogleYahooBulkSender SPF: Fail", "second-hand"},
		"json":     {`"verdict": "Fail"`},
		"yaml":     {"verdict: Fail"},
		"markdown": {"| b.test | False | GoogleYahooBulkSender | Fail | 2026-11-29 |", "&lt;script&gt;", `\| x`, "| mail-20260401a | rsa 2048 | Revoked | 240 | 2026-04-05 | 2026-10-01 |", "Not judged:", "SPF-PTR"},
		"html":     {"&lt;script&gt;alert(1)&lt;/script&gt;", `<span class="v pass">✓ pass</span>`, `<span class="v fail">✗ fail</span>`, `<span class="v unknown">? unknown</span>`, "default-src"},
	} {
		text := reportIn(t, format)
		for _, one := range says {
			if !strings.Contains(text, one) {
				t.Errorf("%s: no %q in\n%s", format, one, text)
			}
		}
		if (format == "html" || format == "markdown") && strings.Contains(text, "<script") || strings.Contains(text, "\u202e") {
			t.Errorf("%s: a stranger's markup", format)
		}
	}
	if links := regexp.MustCompile(`(?i)(src|href)="[^#]|url\(|@import|<script|<link`).FindAllString(reportIn(t, "html"), -1); len(links) > 0 {
		t.Errorf("the page needs others: %q", links)
	}
	var e Evidence
	if err := json.Unmarshal([]byte(reportIn(t, "json")), &e); err != nil || len(e.Domains) != 4 {
		t.Errorf("%v, %d", err, len(e.Domains))
	}
}

// Wherever a stranger's text may be, it is a text: the page escapes each by itself.
func TestMarkupInAnyTextOfThePage(t *testing.T) {
	const markup = `"'><script>alert(1)</script>`
	e := Evidence{At: now}
	fill(reflect.ValueOf(&e.Domains).Elem(), markup)
	e.Domains[0].Keys[0].key = v1alpha1.DKIMKeyStatus{Created: day(-3), Active: day(-2)}
	var out bytes.Buffer
	if err := e.html(&out); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	if strings.Contains(page, "<script") || strings.Contains(page, `"'>`) {
		t.Errorf("markup in the page:\n%s", page)
	}
	if n := strings.Count(page, "&lt;script&gt;"); n < 20 {
		t.Errorf("%d texts are in the page", n)
	}
}

// fill sets all texts, and has one of everything.
func fill(v reflect.Value, text string) {
	if !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	}
}

// A timeline has every key on it, wherever its times are.
func TestTimeline(t *testing.T) {
	for name, c := range map[string]struct {
		keys []v1alpha1.DKIMKeyStatus
		next *metav1.Time
		bars []string
	}{
		"made now":         {[]v1alpha1.DKIMKeyStatus{{Selector: "a", State: v1alpha1.KeyGenerated, Created: day(0)}}, nil, []string{"published"}},
		"years old":        {[]v1alpha1.DKIMKeyStatus{{Selector: "a", State: v1alpha1.KeyActive, Created: day(-2000), Active: day(-1999)}}, day(30), []string{"signs"}},
		"a whole life":     {[]v1alpha1.DKIMKeyStatus{{Selector: "a", State: v1alpha1.KeyRevoked, Created: day(-30), Active: day(-20), Retired: day(-10), Revoked: day(-3)}}, day(100), []string{"published", "signs", "retired"}},
		"in the future":    {[]v1alpha1.DKIMKeyStatus{{Selector: "a", State: v1alpha1.KeyActive, Created: day(5), Active: day(6)}}, nil, []string{"published", "signs"}},
		"without any time": {[]v1alpha1.DKIMKeyStatus{{Selector: "a", State: v1alpha1.KeyActive}}, nil, nil},
	} {
		md := v1alpha1.MailDomain{Spec: soundSpec(), Status: v1alpha1.MailDomainStatus{DKIM: &v1alpha1.DKIMStatus{Keys: c.keys, NextRotation: c.next}}}
		line := timelineOf(domainEvidence(&md, now), now)
		var bars []string
		for _, b := range line.Rows[0].Bars {
			bars = append(bars, b.Class)
			if b.Left < 0 || b.Left > 100 || b.Width <= 0 || b.Left+b.Width > 101 {
				t.Errorf("%s: %+v", name, b)
			}
		}
		if !slices.Equal(bars, c.bars) || line.Now < 0 || line.Now > 100 || len(line.Ticks) > 16 {
			t.Errorf("%s: %v, now at %v, %d ticks", name, bars, line.Now, len(line.Ticks))
		}
	}
}

// From the cluster: of one namespace or of all, with the exit code of the verdicts.
func TestReport(t *testing.T) {
	n := newNamespace(t)
	status := soundStatus()
	spec := soundSpec()
	spec.Compliance = &v1alpha1.ComplianceSpec{Baselines: []v1alpha1.Baseline{v1alpha1.BaselineGoogleYahooBulkSender}}
	md := n.apply("example-test", spec, status)
	code, stdout, stderr := n.run("report")
	if code != ExitOK || !strings.Contains(stdout, "example.test") || !strings.Contains(stdout, "Pass") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	status.Compliance[0].Verdict = v1alpha1.VerdictFail
	n.says(md, status)
	if code, stdout, _ := n.run("report", "-o", "html"); code != ExitFail || !strings.Contains(stdout, "✗ fail") {
		t.Errorf("exit code %d", code)
	}
	if code, stdout, stderr := n.run("report", "-A", "-o", "json"); code != ExitFail || !strings.Contains(stdout, n.name+"/example-test") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, _ := n.run("report", "-A", "-n", "x"); code != ExitUsage {
		t.Errorf("exit code %d", code)
	}
	if code, _, stderr := n.run("report", "-o", "pdf"); code != ExitUsage || !strings.Contains(stderr, "markdown") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A real browser shows the page: the verdicts are read there, in their colours, and nothing is loaded.
func TestReportInABrowser(t *testing.T) {
	chromium := real.Program(t, "chromium")
	dir := t.TempDir()
	file, shot := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.png")
	if err := os.WriteFile(file, []byte(reportIn(t, "html")), 0o600); err != nil {
		t.Fatal(err)
	}
	browse := func(flags ...string) string {
		t.Helper()
		// Without a sandbox, since CI runs as root; the page runs nothing.
		args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--window-size=1200,1900", "--user-data-dir=" + filepath.Join(dir, "profile")}, flags...)
		cmd := exec.CommandContext(t.Context(), chromium, append(args, "file://"+file)...)
		cmd.WaitDelay = time.Minute
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		if strings.Contains(stderr.String(), "Content Security Policy") {
			t.Errorf("the page asks for what its own policy refuses:\n%s", stderr.String())
		}
		return stdout.String()
	}
	body := regexp.MustCompile(`(?s)<body.*</body>`).FindString(browse("--dump-dom"))
	shown := html.UnescapeString(strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " ")), " "))
	for _, says := range []string{
		"E-mail security of 4 domains", "0 compliant 1 not compliant 2 unknown 1 not judged",
		"GoogleYahooBulkSender ✓ pass checked 2026-11-29", "NCSC-UK ? unknown", "GoogleYahooBulkSender ✗ fail", "<script>alert(1)</script>",
		"mail-20260401a rsa 2048 Revoked 240 days", "next rotation: 2027-04-19", "not judged yet",
	} {
		if !strings.Contains(shown, says) {
			t.Errorf("the browser does not show %q:\n%s", says, shown)
		}
	}
	browse("--screenshot=" + shot)
	f, err := os.Open(shot)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]color.RGBA{"a pass": {0x1a, 0x7f, 0x4b, 255}, "a fail": {0xb3, 0x26, 0x1e, 255}, "a key that signs": {0x2f, 0x6f, 0xb5, 255}, "a retired key": {0xc9, 0xce, 0xd6, 255}} {
		if n := pixels(picture, c); n < 50 {
			t.Errorf("%s is not seen: %d pixels of its colour", what, n)
		}
	}
	if to := os.Getenv("MAILDOMAIN_SCREENSHOT"); to != "" { // for who wants to look
		content, err := os.ReadFile(shot)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func pixels(p image.Image, c color.RGBA) (n int) {
	for y := p.Bounds().Min.Y; y < p.Bounds().Max.Y; y++ {
		for x := p.Bounds().Min.X; x < p.Bounds().Max.X; x++ {
			if color.RGBAModel.Convert(p.At(x, y)) == color.Color(c) {
				n++
			}
		}
	}
	return n
}
