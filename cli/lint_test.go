package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/compliance"
)

// linted runs lint on a text from standard input.
func linted(t *testing.T, text string, flags ...string) (LintReport, int) {
	t.Helper()
	code, stdout, stderr := run(t, text, append([]string{"lint", "-f", "-", "-o", "json"}, flags...)...)
	var r LintReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: exit code %d\n%s%s", err, code, stdout, stderr)
	}
	return r, code
}

func (r LintReport) codes() string {
	var codes []string
	for _, d := range r.Documents {
		for _, f := range d.Findings {
			codes = append(codes, f.Code)
		}
	}
	return strings.Join(codes, " ")
}

// spec is a MailDomain with a spec, in the lines of which two spaces are left out.
func spec(lines string) string {
	return "apiVersion: maildomain.dev/v1alpha1\nkind: MailDomain\nmetadata: {name: example, namespace: mail}\nspec:\n  domain: example.test\n" +
		"  " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n  ") + "\n"
}

// The samples are sound.
func TestLintSamples(t *testing.T) {
	files, err := filepath.Glob("../config/samples/maildomain_*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if r, code := linted(t, string(content)); code != ExitOK || len(r.Documents) == 0 {
			t.Errorf("%s: exit code %d, %+v", file, code, r)
		}
	}
	// As a whole, as kubectl kustomize prints them.
	code, stdout, stderr := run(t, "", slices.Concat([]string{"lint"}, []string{"-f", strings.Join(files, ",")})...)
	if code != ExitOK || stderr != "" || !strings.Contains(stdout, "MailDomain mail/") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// What the API server refuses is refused without one, in its own words.
func TestLintInvalid(t *testing.T) {
	for name, c := range map[string]struct{ text, code, message string }{
		"no YAML":                 {"a: [", "MANIFEST-SYNTAX", "yaml"},
		"a key twice":             {"a: 1\na: 2", "MANIFEST-SYNTAX", "already set"},
		"no object":               {"- a", "MANIFEST-SYNTAX", "no object"},
		"no such kind":            {"apiVersion: maildomain.dev/v1alpha1\nkind: MailDomains", "MANIFEST-INVALID", "MailDomains"},
		"no such version":         {"apiVersion: maildomain.dev/v1\nkind: MailDomain", "MANIFEST-INVALID", "v1"},
		"a field too many":        {spec("dmark: {policy: none}"), "MANIFEST-UNKNOWN-FIELD", "spec.dmark"},
		"a wrong type":            {spec("spf: {all: [fail]}"), "MANIFEST-INVALID", "spec.spf.all"},
		"a wrong value":           {spec("dmarc: {policy: rejct}"), "MANIFEST-INVALID", "spec.dmarc.policy"},
		"a missing field":         {spec("dmarc: {}"), "MANIFEST-INVALID", "spec.dmarc.policy"},
		"two ends":                {spec("spf: {all: fail, redirect: other.test}"), "MANIFEST-INVALID", "exactly one of all and redirect"},
		"no mechanism":            {spec("spf: {all: fail, mechanisms: [\"ipv4:192.0.2.1\"]}"), "MANIFEST-INVALID", "one SPF mechanism"},
		"an address of IPv6":      {spec("spf: {all: fail, mechanisms: [\"ip4:2001:db8::1\"]}"), "MANIFEST-INVALID", "IPv4 address"},
		"a report twice":          {spec("dmarc: {policy: none, rua: [\"mailto:a@example.test\", \"mailto:a@example.test\"]}"), "MANIFEST-INVALID", "spec.dmarc.rua"},
		"a zone elsewhere":        {spec("dns: {zone: other.test}"), "MANIFEST-INVALID", "spec.dns.zone"},
		"no name":                 {"apiVersion: maildomain.dev/v1alpha1\nkind: MailDomain\nspec: {domain: example.test}", "MANIFEST-INVALID", "metadata.name"},
		"a name that is none":     {strings.Replace(spec("suspend: false"), "name: example,", "name: Example_com,", 1), "MANIFEST-INVALID", "metadata.name"},
		"a label":                 {strings.Replace(spec("suspend: false"), "name: example,", "name: example, labels: {a b: c},", 1), "MANIFEST-INVALID", "metadata.labels"},
		"a label of a wrong type": {strings.Replace(spec("suspend: false"), "name: example,", "name: example, labels: {a: [b]},", 1), "MANIFEST-INVALID", "metadata"},
		"in a list":               {"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(spec("dmarc: {policy: rejct}"), "\n", "\n  "), "MANIFEST-INVALID", "spec.dmarc.policy"},
		"in a list of its own":    {"apiVersion: maildomain.dev/v1alpha1\nkind: MailDomainList\nitems:\n- " + strings.ReplaceAll(spec("dmark: {}"), "\n", "\n  "), "MANIFEST-UNKNOWN-FIELD", "spec.dmark"},
		"no object in a list":     {"apiVersion: v1\nkind: List\nitems: [a]", "MANIFEST-SYNTAX", "no object"},
		"aliases of aliases":      {bomb(), "MANIFEST-SYNTAX", "aliasing"},
		"a provider":              {"apiVersion: maildomain.dev/v1alpha1\nkind: DNSProvider\nmetadata: {name: a}\nspec: {domains: [example.test]}", "MANIFEST-INVALID", "spec"},
	} {
		r, code := linted(t, c.text)
		found := slices.ContainsFunc(r.Documents, func(d Document) bool {
			return slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Code == c.code && strings.Contains(f.Message, c.message) })
		})
		if code != ExitFail || !found {
			t.Errorf("%s: exit code %d, %+v", name, code, r)
		}
	}
}

// bomb is a text whose aliases stand for a billion values.
func bomb() string {
	text := "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		text += fmt.Sprintf("l%d: &l%d [%s*l%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*l%d, ", i), 9), i)
	}
	return text
}

// No document is dropped without a word, however documents are kept apart.
func TestLintDocuments(t *testing.T) {
	bad := spec("dmarc: {policy: rejct}")
	for _, between := range []string{"---\n", "--- # next\n", "...\n", "...\n---\n", "... # end\n--- # next\n", "---\r\n", "--- \n"} {
		if r, code := linted(t, spec("suspend: false")+between+bad); code != ExitFail {
			t.Errorf("%q: exit code %d, %+v", between, code, r)
		}
	}
	if r, code := linted(t, "--- # first\n"+spec("spf: {all: fail}")+"...\n# end\n"); code != ExitOK || len(r.Documents) != 1 {
		t.Errorf("exit code %d, %+v", code, r)
	}
	// The length of the last line does not matter, nor whether it has an end.
	line := `{"apiVersion": "maildomain.dev/v1alpha1", "kind": "MailDomain", "metadata": {"name": "a"}, "spec": {"domain": "x"}}`
	for _, end := range []string{"", "\n"} {
		if r, code := linted(t, line+strings.Repeat(" ", 4096-len(line))+end); code != ExitFail || len(r.Documents) != 1 {
			t.Errorf("exit code %d, %+v", code, r)
		}
	}
	if code, _, stderr := run(t, "\xff\xfea\x00", "lint", "-f", "-"); code != ExitUsage || !strings.Contains(stderr, "UTF-8") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// Objects of a list stand in the document that the list is.
func TestLintList(t *testing.T) {
	item := strings.ReplaceAll(spec("spf: {all: fail}"), "\n", "\n  ")
	r, code := linted(t, "a: b\n---\napiVersion: v1\nkind: List\nitems:\n- "+item+"\n- "+item+"\n---\n"+spec("spf: {all: fail}"))
	var numbers []int
	for _, d := range r.Documents {
		numbers = append(numbers, d.Document)
	}
	if code != ExitOK || !slices.Equal(numbers, []int{2, 2, 3}) {
		t.Errorf("exit code %d, documents %v", code, numbers)
	}
}

// The records that a MailDomain stands for are judged without a network.
func TestLintRecords(t *testing.T) {
	key := keyRecord(t, 2048)
	for text, want := range map[string]string{
		"spf: {all: pass}":                                                                             "SPF-PASS-ALL",
		"spf: {all: fail, mechanisms: [ptr]}":                                                          "SPF-PTR",
		"spf: {all: fail, mechanisms: [mx]}":                                                           "",
		"dmarc: {policy: none, rua: [\"mailto:a@example.test\"]}":                                      "DMARC-NONE",
		"dmarc: {policy: reject}":                                                                      "DMARC-NO-REPORTS",
		"dmarc: {policy: reject, testing: true, legacy: {pct: 50}}":                                    "DMARC-TESTING DMARC-NO-REPORTS DMARC-HISTORIC-TAG",
		"mtaSTS: {mode: enforce, mx: [mx1.example.test], maxAge: 24h}":                                 "MTASTS-MAX-AGE-SHORT MTASTS-NO-REPORTS",
		"mtaSTS: {mode: testing}\ntlsRPT: {rua: [\"https://a.test/\"]}":                                "",
		"mtaSTS: {mode: enforce, mx: [mx1.example.test]}\ntlsRPT: {rua: [\"mailto:a@example.test\"]}":  "TLSRPT-OWN-DOMAIN",
		"dkim: {keys: [], external: [{selector: a, txt: \"" + key + "; t=y\"}]}":                       "DKIM-TESTING",
		"dkim: {external: [{selector: a, txt: \"" + key + "\"}, {selector: b, txt: \"" + key + "\"}]}": "DKIM-KEY-SHARED",
	} {
		r, code := linted(t, spec(text))
		got := strings.Fields(r.codes())
		wanted := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%s: exit code %d, %q, want %q: %+v", text, code, got, wanted, r)
		}
		if _, strict := linted(t, spec(text), "--fail-on", "warning"); (strict == ExitFail) != (want != "") {
			t.Errorf("%s: exit code %d with --fail-on warning", text, strict)
		}
	}
	// Others' objects are nobody's business, and an empty document is none.
	if r, code := linted(t, "---\n---\napiVersion: v1\nkind: Secret\n---\n"+spec("spf: {all: fail}")); code != ExitOK || len(r.Documents) != 1 {
		t.Errorf("exit code %d, %+v", code, r)
	}
}

// With --online DNS has its say; without an answer it is unknown.
func TestLintOnline(t *testing.T) {
	p := newPlace(t)
	p.sound()
	online := append([]string{"--online"}, p.flags()...)
	for text, want := range map[string]string{
		"spf: {all: fail, mechanisms: [\"include:gone.other.test\"]}":        "SPF-INCLUDE-NONE",
		"dmarc: {policy: reject, rua: [\"mailto:a@other.test\"]}":            "DMARC-REPORT-REFUSED",
		"dmarc: {policy: reject, rua: [\"mailto:a@gone.example.test\"]}":     "DMARC-REPORT-NO-MX",
		"mtaSTS: {mode: enforce, mx: [mx2.example.test]}":                    "MTASTS-MX-NOT-COVERED",
		"dkim: {keys: [], external: [{selector: s9, verifyOnly: true}]}":     "DKIM-MISSING",
		"dkim: {keys: [], external: [{selector: s9, cname: s8.other.test}]}": "DKIM-MISSING",
	} {
		if r, code := linted(t, spec(text), online...); code != ExitFail || !strings.Contains(r.codes(), want) {
			t.Errorf("%s: exit code %d, %s", text, code, r.codes())
		}
	}
	if r, code := linted(t, spec("spf: {all: fail, mechanisms: [mx]}\ndkim: {keys: [], external: [{selector: s1, verifyOnly: true}]}"), online...); code != ExitOK {
		t.Errorf("exit code %d, %+v", code, r)
	}
	p.set("", "MX") // that there is none is an answer
	if r, code := linted(t, spec("mtaSTS: {mode: enforce, mx: [mx2.example.test]}\ntlsRPT: {rua: [\"https://a.test/\"]}"), online...); code != ExitOK {
		t.Errorf("without MX records: exit code %d, %+v", code, r)
	}
	dark := []string{"--online", "--resolver", "127.0.0.1:1"}
	for _, text := range []string{
		"spf: {all: fail, mechanisms: [mx]}", "dmarc: {policy: reject, rua: [\"mailto:a@example.test\"]}",
		"mtaSTS: {mode: enforce, mx: [mx2.example.test]}\ntlsRPT: {rua: [\"https://a.test/\"]}", "dkim: {keys: [], external: [{selector: s9, verifyOnly: true}]}",
	} {
		if r, code := linted(t, spec(text), dark...); code != ExitUnknown || r.Outcome != compliance.Unknown {
			t.Errorf("%s: exit code %d, %+v", text, code, r)
		}
	}
}

func TestLintUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no file": {"lint"}, "no such file": {"lint", "-f", "/nowhere"}, "an argument": {"lint", "-f", "-", "x"},
		"no severity": {"lint", "-f", "-", "--fail-on", "x"}, "no format": {"lint", "-f", "-", "-o", "x"},
	} {
		if code, stdout, stderr := run(t, "", args...); code != ExitUsage || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
	}
	if code, _, stderr := run(t, strings.Repeat("# x\n", maxManifest/4+1), "lint", "-f", "-"); code != ExitUsage || !strings.Contains(stderr, "MiB") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// A file with more objects than anybody applies at once is refused before each is judged.
func TestLintTooMany(t *testing.T) {
	one := "---\nkind: ConfigMap\n"
	if list, err := readManifests(strings.NewReader(strings.Repeat(one, maxObjects))); err != nil || len(list) != maxObjects {
		t.Errorf("%d objects, %v", len(list), err)
	}
	if _, err := readManifests(strings.NewReader(strings.Repeat(one, maxObjects+1))); err == nil || !strings.Contains(err.Error(), "divide it") {
		t.Error(err)
	}
}
