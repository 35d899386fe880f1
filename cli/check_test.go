package cli

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/maildomain/maildomain-operator/compliance"
)

func TestCheckSound(t *testing.T) {
	p := newPlace(t)
	p.sound()
	between := between(t, p.dns.Addr(), nil)
	p.asked = between.Addr
	r, code := p.check("--selector", "s1", "--baseline", "all")
	outcomes := map[string]compliance.Outcome{}
	for _, b := range r.Baselines {
		outcomes[b.Baseline] = b.Outcome
	}
	for name, want := range map[string]compliance.Outcome{
		"GoogleYahooBulkSender": compliance.Pass, "MicrosoftHighVolumeSender": compliance.Pass, "PCI-DSS-5.4.1": compliance.Pass,
		"NCSC-UK": compliance.Unknown, // MX hosts are not asked
		"NZ-SGE":  compliance.Unknown, "Internet.nl": compliance.Unknown,
		"CISA-BOD-18-01": compliance.Fail, "M3AAWG-Parked": compliance.Fail,
	} {
		if outcomes[name] != want {
			t.Errorf("%s: %s, want %s: %+v", name, outcomes[name], want, r.Baselines)
		}
	}
	if code != ExitFail || len(r.Findings) > 0 || len(r.Unknown) > 0 {
		t.Errorf("exit code %d, findings %v, unknown %v", code, r.Findings, r.Unknown)
	}
	if twice, total := between.twice(); len(twice) > 0 || total < 12 {
		t.Errorf("%d questions, asked more than once: %q", total, twice)
	}
	p.asked = ""

	if r, code := p.check("--selector", "s1"); code != ExitOK || r.Outcome != compliance.Pass {
		t.Errorf("exit code %d: %+v", code, r)
	}
	// Without a selector nothing is known of DKIM, and that is no pass.
	if r, code := p.check(); code != ExitUnknown || r.Outcome != compliance.Unknown {
		t.Errorf("exit code %d: %+v", code, r)
	}
	if r, code := p.check("--selector", "s1", "--baseline", "NCSC-UK"); code != ExitUnknown || r.Outcome != compliance.Unknown {
		t.Errorf("exit code %d: %+v", code, r)
	}
}

// A terminal is not moved by what a stranger publishes.
func TestCheckTable(t *testing.T) {
	p := newPlace(t)
	p.sound()
	p.txt("_smtp._tls", "v=TLSRPTv1; rua=mailto:\x1b[2J\x9b@example.test")
	p.txt("", "v=spf1 x\x1b[31m -all")
	p.txt("s1._domainkey", "v=DKIM1; p=; n=\u009b2J\x7f\u202e\U000e0001")
	for _, format := range []string{"table", "yaml", "json"} {
		code, stdout, stderr := run(t, "", slices.Concat([]string{"check", domain, "--selector", "s1", "--baseline", "NZ-SGE", "-o", format}, p.flags())...)
		if code != ExitFail || stderr != "" || strings.ContainsAny(stdout, "\x1b\u009b\x7f") || !utf8.ValidString(stdout) || format != "yaml" && strings.Contains(stdout, "\u202e") {
			t.Errorf("%s: exit code %d, %q, %q", format, code, stdout, stderr)
		}
		for _, want := range []string{"NZ-SGE", "SPF-SYNTAX", "TLSRPT-SYNTAX", "not judged"} {
			if want == "not judged" && format != "table" {
				want = "notJudged"
			}
			if !strings.Contains(stdout, want) {
				t.Errorf("%s does not show %s:\n%s", format, want, stdout)
			}
		}
	}
}

func TestCheckUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no domain":         {"check"},
		"two domains":       {"check", "a.test", "b.test"},
		"no domain name":    {"check", "example"},
		"U-labels":          {"check", "bücher.test"},
		"no baseline":       {"check", domain, "--baseline", "x"},
		"none beside all":   {"check", domain, "--baseline", "all,x"},
		"no selector":       {"check", domain, "--selector", "a b"},
		"no format":         {"check", domain, "-o", "xml"},
		"no severity":       {"check", domain, "--fail-on", "x"},
		"no time":           {"check", domain, "--timeout", "0s", "--resolver", "127.0.0.1:1"},
		"no resolver":       {"check", domain, "--resolver", "localhost"},
		"no network":        {"check", domain, "--resolver", "127.0.0.1:1", "--allow-private-targets", "x"},
		"no roots":          {"check", domain, "--resolver", "127.0.0.1:1", "--mta-sts-roots", "/nowhere"},
		"no such flag":      {"check", domain, "--x"},
		"no key file":       {"check", domain, "--private-key", "s1"},
		"no key selector":   {"check", domain, "--private-key", "a b=/nowhere"},
		"no key to ask for": {"check", domain, "--resolver", "127.0.0.1:1", "--every-server"},
		"no file":           {"check", domain, "--previous", "/nowhere"},
		"no command":        {"chekc"},
	} {
		if code, stdout, stderr := run(t, "", args...); code != ExitUsage || stdout != "" || !strings.HasPrefix(stderr, "maildomain: ") {
			t.Errorf("%s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
	}
	if code, stdout, _ := run(t, "", "completion", "bash"); code != ExitOK || !strings.Contains(stdout, "maildomain") {
		t.Errorf("completion: exit code %d", code)
	}
	if _, stdout, _ := run(t, "", "__complete", "check", "example.com", "--baseline", ""); !strings.Contains(stdout, "NCSC-UK") {
		t.Errorf("completion of --baseline: %q", stdout)
	}
}

// A selector that is named twice is one, and the key of --private-key is compared whether or not
// --selector names it.
func TestCheckSelectors(t *testing.T) {
	p := newPlace(t)
	p.sound()
	if r, code := p.check("--selector", "s1,S1", "--selector", "s1"); code != ExitOK || len(r.Findings) > 0 {
		t.Errorf("exit code %d, %s", code, r.codes())
	}
	if r, code := p.check("--private-key", "S1="+privateKey(t)); code != ExitFail || r.codes() != "DKIM-KEY-DIFFERS" {
		t.Errorf("exit code %d, %s", code, r.codes())
	}
}
