package compliance

import (
	"slices"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

// The sound domain passes every baseline but that of parked domains, which the parked one passes.
func TestBaselines(t *testing.T) {
	for _, b := range Baselines() {
		want := sound(t)
		if b.Name == "M3AAWG-Parked" {
			want = parked(t)
		}
		if r := Judge(b, want); r.Outcome != Pass {
			t.Errorf("%s: %s, want pass: %+v", b.Name, r.Outcome, r.Verdicts)
		}
		if r := Judge(b, Facts{Domain: "example.com"}); r.Outcome != Unknown || slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Outcome != Unknown }) {
			t.Errorf("%s: of a domain of which nothing is known: %+v", b.Name, r)
		}
	}
	if r := Judge(baseline(t, "M3AAWG-Parked"), sound(t)); !slices.Equal(r.Failing(), []string{"MX", "SPF", "DKIM"}) {
		t.Errorf("a domain with mail, judged as parked: fails %v", r.Failing())
	}
}

func baseline(t *testing.T, name string) Baseline {
	t.Helper()
	b, ok := Find(name)
	if !ok {
		t.Fatal("no baseline", name)
	}
	return b
}

// Every test of the vocabulary, with what makes the difference.
func TestControls(t *testing.T) {
	spfOf := func(records ...string) Fact[SPF] { return Seen(SPF{Records: records}) }
	hosts := func(hosts ...Host) Fact[MX] { return Seen(MX{Hosts: hosts}) }
	keys := func(texts ...string) Fact[[]Selector] { return Seen([]Selector{{"s1", Seen(texts)}}) }
	noAnswer := "SERVFAIL"
	good := Host{Name: "mx1.example.com", IPv6: Seen(true), TLS: Seen(TLS{OK: true, Offered: true})}

	ran := map[string]map[Outcome]bool{}
	for _, c := range []struct {
		test   string
		want   Want
		change func(f *Facts)
		is     Outcome
		shows  string
	}{
		{"spf", Want{}, func(*Facts) {}, Pass, "1 of 10 lookups"},
		{"spf", Want{}, func(f *Facts) { f.SPF = Unseen[SPF](noAnswer) }, Unknown, noAnswer},
		{"spf", Want{}, func(f *Facts) { f.SPF = spfOf() }, Fail, "no SPF record"},
		{"spf", Want{}, func(f *Facts) { f.SPF = spfOf("v=spf1 -all", "v=spf1 ~all") }, Fail, "2 SPF records"},
		{"spf", Want{}, func(f *Facts) { f.SPF = spfOf("v=spf1 ipv4:192.0.2.1 -all") }, Fail, "ipv4"},
		{"spf", Want{}, func(f *Facts) {
			f.SPF = Seen(SPF{Records: []string{"v=spf1 mx -all"}, Analysis: spf.Analysis{Unanswered: []string{"mx: no answer"}}})
		}, Unknown, "mx: no answer"},
		{"spf", Want{}, func(f *Facts) {
			f.SPF = Seen(SPF{Records: []string{"v=spf1 mx -all"}, Analysis: spf.Analysis{
				Unanswered: []string{"mx: no answer"},
				Findings:   []lint.Finding{{Rule: lint.Rule{Code: spf.LookupsExceeded, Severity: lint.Error}, Message: "11 of 10 lookups"}},
			}})
		}, Fail, "11 of 10 lookups"},

		{"spf-end", Want{All: "fail"}, func(*Facts) {}, Pass, "-all"},
		{"spf-end", Want{All: "fail"}, func(f *Facts) { f.SPF = spfOf("v=spf1 mx ~all") }, Fail, "want fail (-all)"},
		{"spf-end", Want{All: "softfail"}, func(f *Facts) { f.SPF = spfOf("v=spf1 mx ~all") }, Pass, "softfail"},
		{"spf-end", Want{All: "softfail"}, func(f *Facts) { f.SPF = spfOf("v=spf1 mx ?all") }, Fail, "neutral"},
		{"spf-end", Want{All: "softfail"}, func(f *Facts) { f.SPF = spfOf("v=spf1 mx all") }, Fail, "pass"},
		{"spf-end", Want{All: "softfail"}, func(f *Facts) { f.SPF = spfOf("v=spf1 mx") }, Fail, "neutral"},
		{"spf-end", Want{All: "softfail"}, func(f *Facts) { f.SPF = spfOf("v=spf1 redirect=a.example") }, Unknown, "redirect=a.example"},
		{"spf-end", Want{All: "fail"}, func(f *Facts) {
			f.SPF = Seen(SPF{Records: []string{"v=spf1 redirect=a.example"}, RedirectEnd: Seen(spf.Fail)})
		}, Pass, "redirect=a.example"},
		{"spf-end", Want{All: "fail"}, func(f *Facts) {
			f.SPF = Seen(SPF{Records: []string{"v=spf1 redirect=a.example"}, RedirectEnd: Seen(spf.SoftFail)})
		}, Fail, "softfail"},
		{"spf-end", Want{All: "fail"}, func(f *Facts) { f.SPF = Unseen[SPF](noAnswer) }, Unknown, noAnswer},
		{"spf-end", Want{All: "fail"}, func(f *Facts) { f.SPF = spfOf() }, Fail, "no SPF record"},

		{"spf-nobody", Want{}, func(*Facts) {}, Fail, "want v=spf1 -all"},
		{"spf-nobody", Want{}, func(f *Facts) { f.SPF = spfOf("V=SPF1  -ALL") }, Pass, "-all"},
		{"spf-nobody", Want{}, func(f *Facts) { f.SPF = spfOf() }, Fail, "no SPF record"},
		{"spf-nobody", Want{}, func(f *Facts) { f.SPF = Unseen[SPF](noAnswer) }, Unknown, noAnswer},

		{"dkim-keys", Want{Bits: 2048}, func(*Facts) {}, Pass, "s1: rsa with 2048 bits; s2: ed25519"},
		{"dkim-keys", Want{Bits: 2048}, func(f *Facts) { f.Selectors = Unseen[[]Selector]("none is named") }, Unknown, "none is named"},
		{"dkim-keys", Want{Bits: 2048}, func(f *Facts) { f.Selectors = Seen([]Selector{}) }, Fail, "nothing signs"},
		{"dkim-keys", Want{Bits: 2048}, func(f *Facts) { f.Selectors = keys(rsaRecord(1024)) }, Fail, "want 2048"},
		{"dkim-keys", Want{Bits: 1024}, func(f *Facts) { f.Selectors = keys(rsaRecord(1024)) }, Pass, "1024"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys(rsaRecord(1024)) }, Pass, "1024"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys() }, Fail, "no key record"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys(edRecord(), edRecord()) }, Fail, "2 texts"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys("v=DKIM1; p=") }, Fail, "revoked"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys(edRecord() + "; t=y") }, Fail, "t=y"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys(edRecord() + "; h=sha1") }, Fail, "sha256"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys(edRecord() + "; s=tlsrpt") }, Fail, "e-mail"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys("v=DKIM1; k=rsa; p=AAAA") }, Fail, "s1: "},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys("nothing of the kind") }, Fail, "s1: "},
		{"dkim-keys", Want{}, func(f *Facts) {
			f.Selectors = Seen([]Selector{{"s1", Seen([]string{edRecord()})}, {"s2", Unseen[[]string](noAnswer)}})
		}, Unknown, "s2: " + noAnswer},
		{"dkim-keys", Want{}, func(f *Facts) {
			f.Selectors = Seen([]Selector{{"s1", Seen([]string{})}, {"s2", Unseen[[]string](noAnswer)}})
		}, Fail, "s1: no key record"},

		{"dkim-keys", Want{RSA: true}, func(*Facts) {}, Pass, "s1: rsa with 2048 bits; s2: ed25519"},
		{"dkim-keys", Want{RSA: true}, func(f *Facts) { f.Selectors = keys(edRecord()) }, Fail, "no rsa key"},
		{"dkim-keys", Want{}, func(f *Facts) { f.Selectors = keys(edRecord()) }, Pass, "ed25519"},
		{"dkim-keys", Want{RSA: true}, func(f *Facts) {
			f.Selectors = Seen([]Selector{{"s1", Seen([]string{edRecord()})}, {"s2", Unseen[[]string](noAnswer)}})
		}, Unknown, "s2: " + noAnswer},

		{"dkim-parent", Want{}, func(*Facts) {}, Pass, "_domainkey"},
		{"dkim-parent", Want{}, func(f *Facts) { f.KeysBelow = Seen(false) }, Fail, "NXDOMAIN"},
		{"dkim-parent", Want{}, func(f *Facts) { f.KeysBelow = Unseen[bool](noAnswer) }, Unknown, noAnswer},

		{"dkim-null", Want{}, func(*Facts) {}, Fail, "0 texts"},
		{"dkim-null", Want{}, func(f *Facts) { f.NullKey = Seen([]string{"v=DKIM1; p="}) }, Pass, "revokes"},
		{"dkim-null", Want{}, func(f *Facts) { f.NullKey = Seen([]string{edRecord()}) }, Fail, "holds a key"},
		{"dkim-null", Want{}, func(f *Facts) { f.NullKey = Seen([]string{"hello"}) }, Fail, "*._domainkey"},
		{"dkim-null", Want{}, func(f *Facts) { f.NullKey = Unseen[[]string](noAnswer) }, Unknown, noAnswer},

		{"dmarc-policy", Want{Policy: dmarc.Reject, Subdomains: true}, func(*Facts) {}, Pass, "reject"},
		{"dmarc-policy", Want{Policy: dmarc.None}, func(f *Facts) { f.DMARC = Seen(dmarc.Discovery{Domain: "example.com"}) }, Fail, "no DMARC record"},
		{"dmarc-policy", Want{Policy: dmarc.None}, func(f *Facts) {
			f.DMARC = Seen(dmarc.Discovery{Domain: "example.com", Ambiguous: []string{"example.com"}})
		}, Fail, "more than one record at _dmarc.example.com"},
		{"dmarc-policy", Want{Policy: dmarc.None}, func(f *Facts) { f.DMARC = Unseen[dmarc.Discovery](noAnswer) }, Unknown, noAnswer},
		{"dmarc-policy", Want{Policy: dmarc.Quarantine}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=none")
		}, Fail, "want quarantine or stricter"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) { // t=y: a step less
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; t=y")
		}, Fail, "quarantine is in force"},
		{"dmarc-policy", Want{Policy: dmarc.Quarantine}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; t=y")
		}, Pass, "quarantine"},
		{"dmarc-policy", Want{Policy: dmarc.Reject, Subdomains: true}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; sp=none")
		}, Fail, "none is in force for subdomains"},
		{"dmarc-policy", Want{Policy: dmarc.Reject, Subdomains: true}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; np=none")
		}, Fail, "subdomains that do not exist"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) { // inherited
			f.DMARC = discovery(t, "example.com", "com", "v=DMARC1; p=none; sp=reject")
		}, Pass, "_dmarc.com"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "com", "v=DMARC1; p=reject; sp=none")
		}, Fail, "none is in force for the domain"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) {
			f.Exists, f.DMARC = Seen(false), discovery(t, "example.com", "com", "v=DMARC1; p=reject; sp=reject; np=none")
		}, Fail, "does not exist"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) {
			f.Exists, f.DMARC = Unseen[bool](noAnswer), discovery(t, "example.com", "com", "v=DMARC1; p=reject; sp=reject; np=none")
		}, Unknown, noAnswer},

		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) { // RFC 7489: the rest gets a step less
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; pct=0")
		}, Fail, "by pct=0 only quarantine"},
		{"dmarc-policy", Want{Policy: dmarc.Quarantine}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=quarantine; pct=99")
		}, Fail, "by pct=99 only none"},
		{"dmarc-policy", Want{Policy: dmarc.Quarantine}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; pct=1")
		}, Pass, "by pct=1 only quarantine"},
		{"dmarc-policy", Want{Policy: dmarc.Quarantine}, func(f *Facts) { // each receiver knows one of both tags
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; pct=1; t=y")
		}, Pass, "quarantine is in force"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; pct=100")
		}, Pass, "reject"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) { // two records above change nothing
			d, _ := f.DMARC.Get()
			d.Ambiguous = []string{"com"}
			f.DMARC = Seen(d)
		}, Pass, "reject"},
		{"dmarc-policy", Want{Policy: dmarc.Reject}, func(f *Facts) { // but those below it do
			d, _ := discovery(t, "example.com", "com", "v=DMARC1; p=reject").Get()
			d.Ambiguous = []string{"example.com"}
			f.DMARC = Seen(d)
		}, Fail, "more than one record at _dmarc.example.com"},

		{"dmarc-testing", Want{}, func(*Facts) {}, Pass, "not only tested"},
		{"dmarc-testing", Want{}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; t=y")
		}, Fail, "t=y"},
		{"dmarc-testing", Want{}, func(f *Facts) { f.DMARC = Unseen[dmarc.Discovery](noAnswer) }, Unknown, noAnswer},

		{"dmarc-reports", Want{}, func(*Facts) {}, Pass, "d@example.com"},
		{"dmarc-reports", Want{Address: "mailto:reports@dmarc.cyber.dhs.gov"}, func(*Facts) {}, Pass, "dhs.gov"},
		{"dmarc-reports", Want{Address: "mailto:x@example.net"}, func(*Facts) {}, Fail, "want mailto:x@example.net"},
		{"dmarc-reports", Want{}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject")
		}, Fail, "no rua"},
		{"dmarc-reports", Want{}, func(f *Facts) { f.DMARC = Unseen[dmarc.Discovery](noAnswer) }, Unknown, noAnswer},

		{"dmarc-reports", Want{}, func(f *Facts) { // who has not agreed gets none
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; rua=mailto:d@example.net,mailto:e@example.org")
			f.Destinations = Seen([]dmarc.Destination{{Host: "example.net", External: true}, {Host: "example.org", External: true}})
		}, Fail, "mailto:d@example.net,mailto:e@example.org has not agreed"},
		{"dmarc-reports", Want{}, func(f *Facts) {
			f.DMARC = discovery(t, "example.com", "example.com", "v=DMARC1; p=reject; rua=mailto:d@example.net,mailto:e@example.org")
			f.Destinations = Seen([]dmarc.Destination{{Host: "example.net", External: true}, {Host: "example.org", External: true, Agrees: true}})
		}, Pass, "example.org"},
		{"dmarc-reports", Want{Address: "mailto:reports@dmarc.cyber.dhs.gov"}, func(f *Facts) {
			f.Destinations = Seen([]dmarc.Destination{{Host: "example.com"}, {Host: "dmarc.cyber.dhs.gov", External: true}})
		}, Fail, "has not agreed"},
		{"dmarc-reports", Want{}, func(f *Facts) { f.Destinations = Unseen[[]dmarc.Destination](noAnswer) }, Unknown, noAnswer},
		{"dmarc-reports", Want{}, func(f *Facts) { f.Destinations = Seen([]dmarc.Destination{}) }, Unknown, "not asked"},

		{"dmarc-consent", Want{}, func(*Facts) {}, Pass, "agree"},
		{"dmarc-consent", Want{}, func(f *Facts) {
			f.Destinations = Seen([]dmarc.Destination{{Host: "example.net", External: true}})
		}, Fail, "example.net has not agreed"},
		{"dmarc-consent", Want{}, func(f *Facts) { f.Destinations = Seen([]dmarc.Destination{}) }, NotApplicable, "no report address"},
		{"dmarc-consent", Want{}, func(f *Facts) { f.Destinations = Unseen[[]dmarc.Destination](noAnswer) }, Unknown, noAnswer},

		{"mx-null", Want{}, func(*Facts) {}, Fail, "mx1.example.com"},
		{"mx-null", Want{}, func(f *Facts) { f.MX = Seen(MX{Null: true}) }, Pass, "null MX"},
		{"mx-null", Want{}, func(f *Facts) { f.MX = Seen(MX{}) }, Fail, "no null MX"},
		{"mx-null", Want{}, func(f *Facts) { f.MX = Unseen[MX](noAnswer) }, Unknown, noAnswer},

		{"mx-starttls", Want{Certificate: true}, func(*Facts) {}, Pass, "mx1.example.com"},
		{"mx-starttls", Want{}, func(f *Facts) {
			f.MX = hosts(good, Host{Name: "mx2.example.com", TLS: Seen(TLS{Failure: "STARTTLS is not offered"})})
		}, Fail, "mx2.example.com: STARTTLS is not offered"},
		{"mx-starttls", Want{Certificate: true}, func(f *Facts) {
			f.MX = hosts(Host{Name: "mx2.example.com", TLS: Seen(TLS{Offered: true, Failure: "the certificate has expired"})})
		}, Fail, "expired"},
		{"mx-starttls", Want{}, func(f *Facts) {
			f.MX = hosts(Host{Name: "mx2.example.com", TLS: Seen(TLS{Offered: true, Failure: "the certificate has expired"})})
		}, Pass, "expired"},
		{"mx-starttls", Want{}, func(f *Facts) { f.MX = hosts(good, Host{Name: "mx2.example.com", TLS: Unseen[TLS](noAnswer)}) }, Unknown, "mx2.example.com: " + noAnswer},
		{"mx-starttls", Want{}, func(f *Facts) { f.MX = Seen(MX{Null: true}) }, NotApplicable, "null MX"},
		{"mx-starttls", Want{}, func(f *Facts) { f.MX = Seen(MX{}) }, NotApplicable, "takes no mail"},
		{"mx-starttls", Want{}, func(f *Facts) { f.MX = Unseen[MX](noAnswer) }, Unknown, noAnswer},

		{"mx-ipv6", Want{}, func(*Facts) {}, Pass, "IPv6"},
		{"mx-ipv6", Want{}, func(f *Facts) { f.MX = hosts(good, Host{Name: "mx2.example.com", IPv6: Seen(false)}) }, Fail, "mx2.example.com: no IPv6"},
		{"mx-ipv6", Want{}, func(f *Facts) { f.MX = hosts(Host{Name: "mx2.example.com", IPv6: Unseen[bool](noAnswer)}) }, Unknown, noAnswer},

		{"mta-sts", Want{Modes: []string{"enforce"}}, func(*Facts) {}, Pass, "mode enforce"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.Policy = policyOf(mtasts.Testing, "*.example.com") }, Fail, "mode testing, want enforce"},
		{"mta-sts", Want{Modes: []string{"testing", "enforce"}}, func(f *Facts) { f.Policy = policyOf(mtasts.Testing, "*.example.com") }, Pass, "mode testing"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.Policy = policyOf(mtasts.Enforce, "mx1.example.com") }, Fail, "does not name mx2.example.com"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.Policy = Seen(Policy{Failure: "status 404 instead of 200"}) }, Fail, "404"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.Policy = Seen(Policy{Body: "mode: enforce"}) }, Fail, "can't be read"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) {
			f.Policy = Seen(Policy{Body: mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"*.example.com"}}.String()})
		}, Fail, "max_age 0"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.Policy = Unseen[Policy](noAnswer) }, Unknown, noAnswer},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.MTASTS = Seen([]string{}) }, Fail, "0 MTA-STS records"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.MTASTS = Seen([]string{"v=STSv1; id=1", "v=STSv1; id=2"}) }, Fail, "2 MTA-STS records"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.MTASTS = Seen([]string{"v=STSv1; id=-"}) }, Fail, "id"},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.MTASTS = Unseen[[]string](noAnswer) }, Unknown, noAnswer},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.MX = Unseen[MX](noAnswer) }, Unknown, noAnswer},
		{"mta-sts", Want{Modes: []string{"enforce"}}, func(f *Facts) { f.MX = Seen(MX{Null: true}) }, NotApplicable, "no mail"},

		{"tls-rpt", Want{}, func(*Facts) {}, Pass, "t@example.net"},
		{"tls-rpt", Want{}, func(f *Facts) { f.TLSRPT = Seen([]string{"v=spf1 -all"}) }, Fail, "0 TLS-RPT records"},
		{"tls-rpt", Want{}, func(f *Facts) { f.TLSRPT = Seen([]string{"v=TLSRPTv1; rua=ftp:x"}) }, Fail, "ftp"},
		{"tls-rpt", Want{}, func(f *Facts) { f.TLSRPT = Unseen[[]string](noAnswer) }, Unknown, noAnswer},
	} {
		f := sound(t)
		c.change(&f)
		got := tests[c.test](f, c.want)
		if got.outcome != c.is || !strings.Contains(got.seen, c.shows) {
			t.Errorf("%s %+v: got %s %q, want %s that shows %q", c.test, c.want, got.outcome, got.seen, c.is, c.shows)
		}
		if ran[c.test] == nil {
			ran[c.test] = map[Outcome]bool{}
		}
		ran[c.test][c.is] = true
	}
	for name := range tests {
		for _, outcome := range []Outcome{Pass, Fail, Unknown} {
			if !ran[name][outcome] {
				t.Errorf("%s: no case ends in %s", name, outcome)
			}
		}
	}
}
