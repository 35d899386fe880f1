package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// planned runs plan on a manifest.
func (p *place) planned(t *testing.T, manifest string) (Plan, int) {
	t.Helper()
	code, stdout, stderr := run(t, manifest, slices.Concat([]string{"plan", "-f", "-", "-o", "json", "--authoritative-port", port(p.dns.Addr())}, p.flags())...)
	var plans []Plan
	if err := json.Unmarshal([]byte(stdout), &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%v: exit code %d\n%s%s", err, code, stdout, stderr)
	}
	return plans[0], code
}

func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// steps are the steps of a plan, in a line each.
func (p Plan) steps() (list []string) {
	for _, s := range p.Steps {
		list = append(list, strings.TrimSpace(string(s.Action)+" "+s.Type+" "+s.Name+" "+s.Old+" > "+s.New))
	}
	return list
}

// delegated gives the zone a name server that it names, as plan asks those.
func (p *place) delegated() {
	p.t.Helper()
	p.set("", "NS", "ns.example.test.")
	p.set("ns", "A", "127.0.0.1")
}

const planManifest = `apiVersion: maildomain.dev/v1alpha1
kind: MailDomain
metadata: {name: example-test, namespace: mail}
spec:
  domain: example.test
  dns: {providerRef: {kind: DNSProvider, name: dns}}
  spf: {mechanisms: [mx], all: fail}
  dmarc: {policy: reject, rua: ["mailto:dmarc@example.test"]}
  tlsRPT: {rua: ["https://reports.example.test/"]}
`

func TestPlan(t *testing.T) {
	claim := "Create TXT _maildomain.example.test  >"
	for name, c := range map[string]struct {
		spec  string // behind manifest
		make  func(p *place)
		want  []string
		notes string
		code  int
	}{
		"all stands but the claim": {make: func(*place) {}, want: []string{claim}, code: ExitChanges},
		"nothing is to be done": {make: func(p *place) {
			p.txt("_maildomain", records.NewClaim("somebody", "mail", "example-test").String())
		}, code: ExitOK},
		"a record is missing": {make: func(p *place) { p.txt("_smtp._tls") },
			want: []string{claim, "Create TXT _smtp._tls.example.test  > v=TLSRPTv1; rua=https://reports.example.test/"}, code: ExitChanges},
		"another's stays": {make: func(p *place) { p.txt("_dmarc", "v=DMARC1; p=none") },
			want: []string{claim, "Conflict TXT _dmarc.example.test v=DMARC1; p=none > v=DMARC1; p=reject; rua=mailto:dmarc@example.test"}, notes: "conflictPolicy: Adopt", code: ExitChanges},
		"another's is adopted": {spec: "  mode: Enforce\n", make: func(p *place) { p.txt("_dmarc", "v=DMARC1; p=none") },
			want: []string{claim, "Change TXT _dmarc.example.test v=DMARC1; p=none > v=DMARC1; p=reject; rua=mailto:dmarc@example.test"}, notes: "held until", code: ExitChanges},
		"an alias": {make: func(p *place) { p.txt("_dmarc"); p.set("_dmarc", "CNAME", "d.other.test.") },
			want: []string{claim, "Conflict TXT _dmarc.example.test CNAME d.other.test > v=DMARC1; p=reject; rua=mailto:dmarc@example.test"}, code: ExitChanges},
		"a claim of another": {make: func(p *place) { p.txt("_maildomain", "v=maildomain1; owner=o; id=1") },
			want: []string{"Conflict TXT _maildomain.example.test v=maildomain1; owner=o; id=1 >"}, code: ExitChanges},
		"SPF that can't be evaluated is held": {make: func(p *place) { p.txt(""); p.set("", "MX"); p.set("mx1", "A") },
			want: []string{claim, "Create TXT example.test  > v=spf1 mx -all"}, code: ExitChanges},
		"keys": {spec: "  dkim: {selector: mail, keys: [{name: rsa}, {name: ed, algorithm: ed25519}], external: [{selector: s2, cname: s2.other.test}, {selector: s3, verifyOnly: true}]}\n", make: func(*place) {},
			want: []string{claim, "Create CNAME s2._domainkey.example.test  > s2.other.test", "Generate TXT mail-20261130a._domainkey.example.test  >", "Generate TXT mail-20261130b._domainkey.example.test  >"}, code: ExitChanges},
		"a policy host": {spec: "  mtaSTS: {mode: testing, mx: [mx1.example.test], address: {type: A, values: [192.0.2.7]}}\n", make: func(p *place) { p.set("mta-sts", "A", "192.0.2.8") },
			want: []string{claim, "Change TXT _mta-sts.example.test", "Conflict A mta-sts.example.test 192.0.2.8 >"}, code: ExitChanges},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.sound()
			p.delegated()
			c.make(p)
			text := planManifest + c.spec
			if strings.Contains(name, "adopted") {
				text = strings.Replace(text, "name: dns}", "name: dns}, conflictPolicy: Adopt", 1)
			}
			if strings.Contains(name, "policy host") {
				p.txt("_mta-sts")
				c.want[1] = "Create TXT _mta-sts.example.test"
			}
			plan, code := p.planned(t, text)
			got := plan.steps()
			same := slices.EqualFunc(got, c.want, func(got, want string) bool { return strings.HasPrefix(got, want) })
			if !same || code != c.code || len(plan.Unknown) > 0 {
				t.Errorf("exit code %d, want %d\ngot  %q\nwant %q\nunknown %q", code, c.code, got, c.want, plan.Unknown)
			}
			notes := ""
			for _, s := range plan.Steps {
				notes += s.Note + "\n"
			}
			if !strings.Contains(notes, c.notes) {
				t.Errorf("no %q in %s", c.notes, notes)
			}
		})
	}
}

// A world that gives no answer gives no plan that says that nothing is to be done.
func TestPlanUnknown(t *testing.T) {
	p := newPlace(t)
	p.sound()
	p.delegated()
	p.txt("_maildomain", records.NewClaim("somebody", "mail", "example-test").String())
	if plan, code := p.planned(t, planManifest); code != ExitOK {
		t.Fatalf("exit code %d: %q %q", code, plan.steps(), plan.Unknown)
	}
	p.asked = between(t, p.dns.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
		if !strings.HasPrefix(req.Question[0].Name, "_smtp") {
			return false
		}
		_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeServerFailure))
		return true
	}).Addr
	plan, code := p.planned(t, planManifest)
	if code != ExitUnknown || len(plan.Steps) > 0 || len(plan.Unknown) != 1 || !strings.Contains(plan.Unknown[0], "_smtp._tls.example.test") {
		t.Errorf("exit code %d: %q %q", code, plan.steps(), plan.Unknown)
	}
}

// What import says of a domain, applied in mode Observe, has nothing to change in DNS, whatever records the
// RFCs allow, but to publish who manages the domain: each record of the plan is one that import says it
// can't express.
func TestImportThenPlan(t *testing.T) {
	p := newPlace(t)
	p.sound()
	p.delegated()
	said, drawn := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		texts := map[string]string{"": drawSPF(rt), "_dmarc": drawDMARC(rt), "_smtp._tls": drawTLSRPT(rt), "s1._domainkey": keyRecord(t, 2048)}
		for name, text := range texts {
			p.txt(name, text)
		}
		p.serve(drawPolicy(rt))
		code, stdout, stderr := run(t, "", slices.Concat([]string{"import", domain, "--selector", "s1"}, p.flags())...)
		if code != ExitOK && code != ExitUnknown {
			rt.Fatalf("exit code %d: %s", code, stderr)
		}
		var md v1alpha1.MailDomain
		if err := yaml.Unmarshal([]byte(stdout), &md); err != nil {
			rt.Fatal(err)
		}
		drawn += 4
		for _, there := range []bool{md.Spec.SPF != nil, md.Spec.DMARC != nil, md.Spec.TLSRPT != nil, md.Spec.MTASTS != nil} {
			if there {
				said++
			}
		}
		plan, code := p.planned(t, stdout)
		for _, s := range plan.Steps {
			if s.Purpose != v1alpha1.PurposeClaim {
				rt.Fatalf("import of %q gives a plan with %q\n%s", texts, plan.steps(), stdout)
			}
		}
		if code != ExitChanges || len(plan.Unknown) > 0 {
			rt.Fatalf("exit code %d, unknown %q", code, plan.Unknown)
		}
	})
	if said == 0 {
		t.Error("no record was said")
	}
	t.Logf("%d of %d records were said by the API, and none of them was in a plan", said, drawn)
}

func TestPlanUsage(t *testing.T) {
	for _, args := range [][]string{{"plan"}, {"plan", "a", "-f", "-"}, {"plan", "-f", "-"}, {"plan", "-f", "-", "-o", "xml"}} {
		if code, _, stderr := run(t, "kind: List\n", args...); code != ExitUsage || stderr == "" {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
	code, _, stderr := run(t, strings.Replace(planManifest, "policy: reject", "policy: refuse", 1), "plan", "-f", "-")
	if code != ExitUsage || !strings.Contains(stderr, "would refuse") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// Keys are made for what spec has and status has not, also of another size, and end when spec names them no more.
func TestPlannedKeys(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(*v1alpha1.MailDomain)
		makes, ends int
	}{
		"as it is":     {func(*v1alpha1.MailDomain) {}, 0, 0},
		"another size": {func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys[0].Bits = new(int32(4096)) }, 1, 0},
		"another kind": {func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys[0].Algorithm = v1alpha1.DKIMEd25519 }, 1, 0},
		"an imported one": {func(md *v1alpha1.MailDomain) {
			md.Spec.DKIM.Keys[0].Import = &v1alpha1.DKIMImport{Selector: "s1"}
			*md.Status.DKIM.Keys[0].Bits = 1024
		}, 0, 0},
		"under way":        {func(md *v1alpha1.MailDomain) { md.Status.DKIM.Keys[0].State = v1alpha1.KeyPublished }, 0, 0},
		"retired":          {func(md *v1alpha1.MailDomain) { md.Status.DKIM.Keys[0].State = v1alpha1.KeyRetired }, 1, 0},
		"another name":     {func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys[0].Name = "other" }, 1, 1},
		"no key any more":  {func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys = []v1alpha1.DKIMKey{} }, 0, 1},
		"no section":       {func(md *v1alpha1.MailDomain) { md.Spec.DKIM = nil }, 0, 1},
		"its end has come": {func(md *v1alpha1.MailDomain) { md.Spec.DKIM = nil; md.Status.DKIM.Keys[0].State = v1alpha1.KeyRetired }, 0, 0},
	} {
		md := &v1alpha1.MailDomain{Spec: soundSpec(), Status: soundStatus()}
		c.change(md)
		if makes, ends := len(missingKeys(md)), len(droppedKeys(md)); makes != c.makes || ends != c.ends {
			t.Errorf("%s: %d are made and %d end, want %d and %d", name, makes, ends, c.makes, c.ends)
		}
	}
}

// drafting is a draft for a MailDomain of the cluster, by what its name servers serve.
func drafting(change func(*v1alpha1.MailDomain), seen map[dnsprovider.Key][]string) *draft {
	d := &draft{md: &v1alpha1.MailDomain{Spec: soundSpec(), Status: soundStatus()}, seen: map[dnsprovider.Key]answers{}}
	change(d.md)
	for _, key := range d.keys(nil) {
		answer := probe.Answer{Outcome: probe.NoData}
		if values := seen[key]; len(values) > 0 {
			answer = probe.Answer{Outcome: probe.Found, Values: values}
		}
		d.seen[key] = answers{list: []probe.Answer{answer}}
	}
	return d
}

// What a third party publishes is not removed.
func TestPlanOfAThirdParty(t *testing.T) {
	record := map[dnsprovider.Key][]string{records.MTASTSSlot(domain).Key: {"v=STSv1; id=1"}}
	for hosting, steps := range map[v1alpha1.MTASTSHosting]int{v1alpha1.HostingExternal: 0, "": 1} {
		d := drafting(func(md *v1alpha1.MailDomain) {
			if md.Spec.MTASTS.Hosting = hosting; hosting == "" {
				md.Spec.MTASTS = nil
			}
		}, record)
		if d.withdrawals(keysOf(d.md)); len(d.Steps) != steps {
			t.Errorf("hosting %q: %q", hosting, d.steps())
		}
	}
}

// Where the operator's Service is, only the operator knows: what may lead elsewhere is not taken for no difference.
func TestPlanOfAnAddress(t *testing.T) {
	address := map[dnsprovider.Key][]string{{Name: "mta-sts.example.test", Type: "A"}: {"192.0.2.8"}}
	for name, c := range map[string]struct {
		change  func(*v1alpha1.MailDomain)
		unknown bool
	}{
		"a policy is out":        {func(*v1alpha1.MailDomain) {}, false},
		"nothing is announced":   {func(md *v1alpha1.MailDomain) { md.Status.MTASTS = nil }, true},
		"what stands is adopted": {func(md *v1alpha1.MailDomain) { md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt }, true},
		"it is proven": {func(md *v1alpha1.MailDomain) {
			md.Status.MTASTS = nil
			md.Status.Records = append(md.Status.Records, v1alpha1.RecordStatus{Name: "mta-sts.example.test", Type: "A", Purpose: v1alpha1.PurposeMTASTSAddress, State: v1alpha1.RecordVerified})
		}, false},
	} {
		d := drafting(c.change, address)
		if d.host(); len(d.Steps) > 0 || len(d.Unknown) > 0 != c.unknown {
			t.Errorf("%s: %q, unknown %q", name, d.steps(), d.Unknown)
		}
	}
}

// What stands while the operator holds the next record back may be its own: nobody is told to remove it.
func TestPlanOfAHeldRecord(t *testing.T) {
	slot := records.DMARCSlot(domain)
	d := drafting(func(md *v1alpha1.MailDomain) { md.Status.Records[0].State = v1alpha1.RecordHeld }, map[dnsprovider.Key][]string{slot.Key: {"v=DMARC1; p=none"}})
	d.record(valued(slot, "v=DMARC1; p=reject", ""))
	if len(d.Steps) != 1 || d.Steps[0].Action != planConflict || strings.Contains(d.Steps[0].Note, "remove") || !strings.Contains(d.Steps[0].Note, "Held") {
		t.Errorf("%+v", d.Steps)
	}
}

// A policy host that gives no policy says nothing about the next id.
func TestPlanOfAPolicyThatIsNotServed(t *testing.T) {
	d := drafting(func(*v1alpha1.MailDomain) {}, nil)
	d.policy(compliance.Seen(compliance.Policy{Failure: "127.0.0.1: the status is 500"}), nil)
	if len(d.Steps) > 0 || len(d.Unknown) != 1 || !strings.Contains(d.Unknown[0], "500") {
		t.Errorf("%q, unknown %q", d.steps(), d.Unknown)
	}
}
