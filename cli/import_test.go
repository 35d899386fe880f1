package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
	"github.com/maildomain/maildomain-operator/records"
)

// imported runs import and returns the MailDomain, which lint must take.
func (p *place) imported(flags ...string) (md v1alpha1.MailDomain, text string, code int) {
	p.t.Helper()
	code, stdout, stderr := run(p.t, "", slices.Concat([]string{"import", domain}, p.flags(), flags)...)
	if err := yaml.UnmarshalStrict([]byte(stdout), &md); err != nil {
		p.t.Fatalf("%v: exit code %d\n%s%s", err, code, stdout, stderr)
	}
	if r, _ := linted(p.t, stdout); strings.Contains(r.codes(), "MANIFEST") {
		p.t.Errorf("%+v\n%s", r, stdout)
	}
	return md, stdout, code
}

func TestImport(t *testing.T) {
	p := newPlace(t)
	p.sound()
	p.set("s2._domainkey", "CNAME", "s2.other.test.")
	p.txt("s2.other.test", keyRecord(t, 2048))
	md, text, code := p.imported("--selector", "s1,s2", "--namespace", "mail")
	if code != ExitOK || md.Name != "example-test" || md.Namespace != "mail" || md.Spec.Mode != v1alpha1.ModeObserve || strings.Count(text, "#") != 1 {
		t.Errorf("exit code %d\n%s", code, text)
	}
	record, err := records.SPF(md.Spec.SPF)
	if err != nil || !spf.Same(record.String(), "v=spf1 mx -all") {
		t.Errorf("%q, %v", record, err)
	}
	if d := records.DMARC(md.Spec.DMARC).String(); !dmarc.Same(d, "v=DMARC1; p=reject; rua=mailto:dmarc@example.test") {
		t.Errorf("%q", d)
	}
	if r := records.TLSRPT(md.Spec.TLSRPT).String(); !tlsrpt.Same(r, "v=TLSRPTv1; rua=https://reports.example.test/") {
		t.Errorf("%q", r)
	}
	if s := md.Spec.MTASTS; s.Mode != v1alpha1.MTASTSEnforce || s.MaxAge.Duration != 14*24*time.Hour || s.Hosting != v1alpha1.HostingExternal || !slices.Equal(s.MX, []string{"mx1.example.test"}) {
		t.Errorf("%+v", s)
	}
	want := []v1alpha1.ExternalSelector{{Selector: "s1", VerifyOnly: new(true)}, {Selector: "s2", VerifyOnly: new(true)}}
	if s := md.Spec.DKIM; s.Keys == nil || len(s.Keys) > 0 || !reflect.DeepEqual(s.External, want) {
		t.Errorf("%+v", s)
	}
	// Of a domain without records there is nothing to say, but where selectors are not known.
	empty := newPlace(t)
	if md, text, code := empty.imported(); code != ExitOK || md.Spec.SPF != nil || md.Spec.DMARC != nil || md.Spec.MTASTS != nil || md.Spec.TLSRPT != nil || md.Spec.DKIM != nil {
		t.Errorf("exit code %d\n%s", code, text)
	}
	if _, text, code := p.imported(); code != ExitUnknown || !strings.Contains(text, "--selector") {
		t.Errorf("exit code %d\n%s", code, text)
	}
}

// A policy whose record is an alias, as a third party has it delegated, is said as any other.
func TestImportOfADelegatedPolicy(t *testing.T) {
	p := newPlace(t)
	p.sound()
	p.txt("_mta-sts")
	p.set("_mta-sts", "CNAME", "m.other.test.")
	p.txt("m.other.test", "v=STSv1; id=1")
	if md, text, code := p.imported("--selector", "s1"); code != ExitOK || md.Spec.MTASTS == nil || md.Spec.MTASTS.Hosting != v1alpha1.HostingExternal {
		t.Errorf("exit code %d\n%s", code, text)
	}
}

// What the API can't say, or what is not known, stands in the comments.
func TestImportLeft(t *testing.T) {
	key := keyRecord(t, 2048)
	for name, c := range map[string]struct {
		make func(p *place)
		says string
	}{
		"two SPF records":         {func(p *place) { p.txt("", "v=spf1 -all", "v=spf1 ~all") }, "# - example.test: 2 SPF records"},
		"an SPF record that none": {func(p *place) { p.txt("", "v=spf1 x -all") }, "want one of all"},
		"SPF without end":         {func(p *place) { p.txt("", "v=spf1 mx") }, "exactly one of all and redirect"},
		"SPF behind all":          {func(p *place) { p.txt("", "v=spf1 -all mx") }, "behind all"},
		"a modifier":              {func(p *place) { p.txt("", "v=spf1 x=y -all") }, "no modifier x"},
		"lines in a text":         {func(p *place) { p.txt("", "v=spf1 x\n---\nkind:\u2028Secret -all") }, `x\n---`},
		"psd":                     {func(p *place) { p.txt("_dmarc", "v=DMARC1; p=none; psd=y") }, "no psd"},
		"a tag of DMARC":          {func(p *place) { p.txt("_dmarc", "v=DMARC1; p=none; x=y") }, "no x"},
		"no policy":               {func(p *place) { p.txt("_dmarc", "v=DMARC1; rua=mailto:a@example.test") }, "policy"},
		"an alias": {func(p *place) {
			p.txt("_dmarc")
			p.set("_dmarc", "CNAME", "d.other.test.")
			p.txt("d.other.test", "v=DMARC1; p=none")
		}, "alias of d.other.test"},
		"an alias of nothing": {func(p *place) {
			p.txt("_dmarc")
			p.set("_dmarc", "CNAME", "d.other.test.")
		}, "alias of d.other.test"},
		"a tag of TLS-RPT":      {func(p *place) { p.txt("_smtp._tls", "v=TLSRPTv1; rua=https://a.test/; x=1") }, "no x"},
		"no policy file":        {func(p *place) { p.answer(404, "text/plain") }, "404"},
		"a policy that is none": {func(p *place) { p.serve("x") }, "_mta-sts"},
		"a revoked key":         {func(p *place) { p.txt("s1._domainkey", "v=DKIM1; p=") }, "revoked"},
		"two keys":              {func(p *place) { p.txt("s1._domainkey", key, "v=DKIM1; p=") }, "2 texts"},
		"no key":                {func(p *place) { p.txt("s1._domainkey") }, "no key stands there"},
		"no answer": {func(p *place) {
			p.asked = between(p.t, p.dns.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
				if req.Question[0].Name != "_smtp._tls.example.test." {
					return false
				}
				_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeServerFailure))
				return true
			}).Addr
		}, "SERVFAIL"},
	} {
		p := newPlace(t)
		p.sound()
		c.make(p)
		if _, text, code := p.imported("--selector", "s1"); code != ExitUnknown || !strings.Contains(text, "# Not in here") || !strings.Contains(text, c.says) {
			t.Errorf("%s: exit code %d, no %q in\n%s", name, code, c.says, text)
		}
	}
}

// Whatever the grammars of the RFCs allow: what import says means the same as the record, or it says
// why not. The texts are drawn from the grammars, not printed by our own packages.
func TestImportProperty(t *testing.T) {
	var drawn, left [4]int
	names := [4]string{"SPF", "DMARC", "TLS-RPT", "MTA-STS"}
	// count notes what became of a record: same says that the section means the record.
	count := func(rt *rapid.T, i int, text string, section bool, reason string, same func() bool) {
		drawn[i]++
		switch {
		case section == (reason != ""):
			rt.Fatalf("%s %q: a section: %v, and a reason: %q", names[i], text, section, reason)
		case !section:
			left[i]++
		case !same():
			rt.Fatalf("%s %q is said in other words", names[i], text)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := drawSPF(rt)
		if _, err := spf.Parse(text); err != nil {
			rt.Fatalf("the grammar does not give %q: %v", text, err)
		}
		s, reason := expressSPF(domain, []string{"other", text})
		count(rt, 0, text, s != nil, reason, func() bool {
			r, err := records.SPF(through(rt, v1alpha1.MailDomainSpec{SPF: s}).SPF)
			return err == nil && spf.Same(r.String(), text)
		})
		text = drawDMARC(rt)
		if _, err := dmarc.Interpret(text); err != nil {
			rt.Fatalf("the grammar does not give %q: %v", text, err)
		}
		d, reason := expressDMARC(domain, []string{text})
		count(rt, 1, text, d != nil, reason, func() bool {
			return dmarc.Same(records.DMARC(through(rt, v1alpha1.MailDomainSpec{DMARC: d}).DMARC).String(), text)
		})
		text = drawTLSRPT(rt)
		r, reason := expressTLSRPT(domain, []string{text})
		count(rt, 2, text, r != nil, reason, func() bool {
			return tlsrpt.Same(records.TLSRPT(through(rt, v1alpha1.MailDomainSpec{TLSRPT: r}).TLSRPT).String(), text)
		})
		body := drawPolicy(rt)
		want, err := mtasts.ParsePolicy(body)
		if err != nil {
			rt.Fatalf("the grammar does not give %q: %v", body, err)
		}
		m, reason := expressMTASTS(domain, []string{"v=STSv1; id=1;"}, body)
		count(rt, 3, body, m != nil, reason, func() bool {
			made := records.MTASTSPolicy(through(rt, v1alpha1.MailDomainSpec{MTASTS: m}).MTASTS, nil)
			return made.Mode == want.Mode && made.MaxAge == want.MaxAge && made.CoversAll(want.MX) && want.CoversAll(made.MX)
		})
	})
	for i, name := range names {
		t.Logf("%s: %d of %d records can't be said by the API, %.0f %%", name, left[i], drawn[i], 100*float64(left[i])/float64(drawn[i]))
		if left[i] == drawn[i] {
			t.Errorf("%s: no record can be said", name)
		}
	}
}

// through returns the spec as it is read from the text that import prints.
func through(rt *rapid.T, spec v1alpha1.MailDomainSpec) v1alpha1.MailDomainSpec {
	spec.Domain = domain
	text, err := yaml.Marshal(maildomain("a", "", spec))
	if err != nil {
		rt.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		rt.Fatal(err)
	}
	var md v1alpha1.MailDomain
	if err := json.Unmarshal(asJSON, &md); err != nil {
		rt.Fatal(err)
	}
	return md.Spec
}

// mixed draws the case of letters, which most keywords do not mind.
func mixed(rt *rapid.T, text string) string {
	if rapid.IntRange(0, 4).Draw(rt, "upper") == 0 {
		return strings.ToUpper(text)
	}
	return text
}

func pick(rt *rapid.T, list ...string) string { return rapid.SampledFrom(list).Draw(rt, "one") }

func name(rt *rapid.T) string {
	return pick(rt, "example.net", "a.b.example.org", "_spf.example.net", "x-1.example", "EXAMPLE.Org", "example.com.", "xn--bcher-kva.example")
}

// domainSpec is the domain-spec of RFC 7208 §7.1.
func domainSpec(rt *rapid.T) string {
	return pick(rt, "", "%{i}.", "%{ir}.%{v}.", "%{d2}.", "%{L1R-}.x.", "%%.", "a%_b.") + name(rt)
}

// drawSPF draws a record of RFC 7208 §12.
func drawSPF(rt *rapid.T) string {
	var terms []string
	for range rapid.IntRange(0, 6).Draw(rt, "terms") {
		cidr := pick(rt, "", "/24", "/0", "//64", "/32//128")
		m := pick(rt, "a", "mx", "ptr", "ip4", "ip6", "exists", "include", "all")
		switch m {
		case "a", "mx":
			m = mixed(rt, m) + pick(rt, "", ":"+domainSpec(rt)) + cidr
		case "ptr":
			m = mixed(rt, m) + pick(rt, "", ":"+name(rt))
		case "exists", "include":
			m = mixed(rt, m) + ":" + domainSpec(rt)
		case "ip4":
			m = mixed(rt, m) + ":" + pick(rt, "192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "198.51.100.7/32")
		case "ip6":
			m = mixed(rt, m) + ":" + pick(rt, "2001:db8::1", "2001:DB8::/32", "::/0", "::ffff:192.0.2.1")
		}
		terms = append(terms, pick(rt, "", "", "+", "-", "~", "?")+m)
	}
	if rapid.Bool().Draw(rt, "all") {
		terms = append(terms, pick(rt, "-all", "~all", "?all", "all", "-ALL"))
	}
	for _, modifier := range []string{"redirect=" + domainSpec(rt), "exp=" + domainSpec(rt), "x-1=%{d}/" + name(rt)} {
		if rapid.IntRange(0, 3).Draw(rt, "modifier") == 0 {
			terms = append(terms, modifier)
		}
	}
	text := mixed(rt, "v=spf1")
	for _, term := range terms {
		text += strings.Repeat(" ", rapid.IntRange(1, 2).Draw(rt, "spaces")) + term
	}
	return text + pick(rt, "", " ")
}

// drawDMARC draws a record of RFC 9989 §4.8.
func drawDMARC(rt *rapid.T) string {
	uris := func() string {
		var list []string
		for range rapid.IntRange(1, 3).Draw(rt, "uris") {
			list = append(list, pick(rt, "mailto:a@example.test", "mailto:b@example.net", "MAILTO:c@example.net", "mailto:d%2c@example.net", "https://example.net/x", "mailto:e@example.net?subject=x")+pick(rt, "", "", "!10m"))
		}
		return strings.Join(list, ",")
	}
	policy := func() string { return mixed(rt, pick(rt, "none", "quarantine", "reject")) }
	tags := []string{"p=" + policy()}
	for _, tag := range []string{
		"sp=" + policy(), "np=" + policy(), "t=" + pick(rt, "y", "n"), "adkim=" + pick(rt, "r", "s"), "aspf=" + pick(rt, "r", "S"),
		"rua=" + uris(), "ruf=" + uris(), "fo=" + pick(rt, "0", "1", "1:d:s", "d"), "psd=" + pick(rt, "y", "n", "u"),
		"pct=" + pick(rt, "0", "50", "100"), "rf=afrf", "ri=" + pick(rt, "0", "86400", "4294967295"), "x=y",
	} {
		if rapid.IntRange(0, 4).Draw(rt, "tag") == 0 {
			tags = append(tags, strings.Replace(tag, "=", pick(rt, "=", "=", " = "), 1))
		}
	}
	if rapid.IntRange(0, 4).Draw(rt, "order") == 0 {
		slices.Reverse(tags)
	}
	return "v=DMARC1" + pick(rt, ";", " ; ") + strings.Join(tags, pick(rt, ";", "; ", " ;\t")) + pick(rt, "", ";")
}

// drawTLSRPT draws a record of RFC 8460 §3.
func drawTLSRPT(rt *rapid.T) string {
	text := "v=TLSRPTv1" + pick(rt, ";", " ; ") + "rua=" + pick(rt, "mailto:a@example.test", "https://example.net/v1?x=y", "mailto:a@example.test,https://example.net/", "mailto:a%21b@example.net")
	return text + pick(rt, "", ";", "; x=1", ";x-2=a:b")
}

// drawPolicy draws a policy of RFC 8461 §3.2.
func drawPolicy(rt *rapid.T) string {
	lines := []string{"version: STSv1", "mode: " + pick(rt, "enforce", "testing", "none"), "max_age: " + fmt.Sprint(rapid.IntRange(0, 31557600).Draw(rt, "max_age"))}
	for range rapid.IntRange(1, 3).Draw(rt, "mx") {
		lines = append(lines, "mx: "+pick(rt, "mx1.example.test", "*.example.net", "mx.xn--bcher-kva.example", "MX2.example.test"))
	}
	if rapid.IntRange(0, 5).Draw(rt, "extension") == 0 {
		lines = append(lines, "x-1: y")
	}
	end := pick(rt, "\r\n", "\n")
	return strings.Join(lines, end) + end
}
