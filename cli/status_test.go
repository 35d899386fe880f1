package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// chained runs status, and returns what it says.
func (n *namespaceIn) chained(p *place, name string) (c Chain, code int) {
	n.t.Helper()
	code, stdout, stderr := n.run(slices.Concat([]string{"status", name, "-o", "json"}, p.worldFlags())...)
	if err := json.Unmarshal([]byte(stdout), &c); err != nil {
		n.t.Fatalf("%v: exit code %d\n%s%s", err, code, stdout, stderr)
	}
	return c, code
}

// sights are what the servers and the resolver have of a record.
func (c Chain) sights(name string) (list []Sight) {
	for _, l := range c.Records {
		if l.Name == name {
			for _, w := range append(slices.Clone(l.Servers), l.Resolver) {
				list = append(list, w.Sight)
			}
		}
	}
	return list
}

// Each link of the chain shows by itself: what the operator says, each name server, and the resolver.
func TestStatus(t *testing.T) {
	n := newNamespace(t)
	p := newPlace(t)
	p.sound()
	p.delegated()
	p.txt("_maildomain", records.NewClaim("somebody", n.name, "example-test").String())
	md := n.apply("example-test", soundSpec(), soundStatus())

	c, code := n.chained(p, "example-test")
	if code != ExitOK || c.Outcome != compliance.Pass || len(c.Records) != 6 || len(c.Keys) != 1 || c.Policy == nil || len(c.WaitsFor) > 0 {
		t.Errorf("exit code %d: %+v", code, c)
	}
	for _, l := range c.Records {
		if got := c.sights(l.Name); !slices.Equal(got, []Sight{SightServes, SightServes}) || l.Wanted == "" || l.Operator.State != v1alpha1.RecordVerified {
			t.Errorf("%s: %v, %+v", l.Name, got, l)
		}
	}

	// The operator says Verified, and the world has moved.
	p.txt("_dmarc", "v=DMARC1; p=none")
	p.txt("s1._domainkey", keyRecord(t, 1024))
	p.txt("_smtp._tls")
	p.txt("_mta-sts", "v=STSv1; id=2")
	c, code = n.chained(p, "example-test")
	for name, want := range map[string]Sight{
		"_dmarc.example.test": SightDiffers, "s1._domainkey.example.test": SightDiffers, "_smtp._tls.example.test": SightNothing,
		"_mta-sts.example.test": SightDiffers, "example.test": SightServes,
	} {
		if got := c.sights(name); !slices.Equal(got, []Sight{want, want}) {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	if code != ExitFail {
		t.Errorf("exit code %d", code)
	}
	_, text, _ := n.run(slices.Concat([]string{"status", "example-test"}, p.worldFlags())...)
	for _, says := range []string{"Ready=True", `differs: "v=DMARC1; p=none"`, "has nothing of it", "serves it", "rsa 2048", "2026-10-22", "(39 days ago)", "next rotation begins on 2027-04-19", "mode enforce 1", "GoogleYahooBulkSender: Pass"} {
		if !strings.Contains(text, says) {
			t.Errorf("no %q in\n%s", says, text)
		}
	}

	// What is not ready says what it waits for.
	waiting := soundStatus()
	waiting.Conditions = conditionsOf([4]string{"Ready", "False", "SectionsNotReady", "not ready: DKIMReady"}, [4]string{"DKIMReady", "False", "Rotating", "waiting for ns2"})
	n.says(md, waiting)
	if c, code = n.chained(p, "example-test"); code != ExitFail || len(c.WaitsFor) != 1 || c.WaitsFor[0].Message != "waiting for ns2" {
		t.Errorf("exit code %d: %+v", code, c.WaitsFor)
	}
}

// A resolver that gives no answer leaves the chain unknown.
func TestStatusUnknown(t *testing.T) {
	n := newNamespace(t)
	p := newPlace(t)
	p.sound()
	p.delegated()
	p.txt("_maildomain", records.NewClaim("somebody", n.name, "example-test").String())
	n.apply("example-test", soundSpec(), soundStatus())
	p.asked = between(t, p.dns.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
		if req.Question[0].Name != "_dmarc.example.test." {
			return false
		}
		_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeServerFailure))
		return true
	}).Addr
	c, code := n.chained(p, "example-test")
	if code != ExitUnknown || c.Outcome != compliance.Unknown || !slices.Contains(c.sights("_dmarc.example.test"), SightUnknown) {
		t.Errorf("exit code %d: %v", code, c.sights("_dmarc.example.test"))
	}
	if code, _, stderr := n.run("status", "nobody"); code != ExitUsage || !strings.Contains(stderr, "there is no MailDomain nobody in namespace "+n.name) {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// Of a MailDomain in the cluster the records that its status says it wrote are its own: they change, and
// are no conflict.
func TestPlanOfTheCluster(t *testing.T) {
	n := newNamespace(t)
	p := newPlace(t)
	p.sound()
	p.delegated()
	p.txt("_maildomain", records.NewClaim("somebody", n.name, "example-test").String())
	spec, status := soundSpec(), soundStatus()
	spec.MTASTS = nil
	spec.DMARC.Policy = v1alpha1.DMARCQuarantine
	n.apply("example-test", spec, status)
	planned := func() (Plan, int) {
		code, stdout, stderr := n.run(slices.Concat([]string{"plan", "example-test", "-o", "json"}, p.worldFlags())...)
		var plans []Plan
		if err := json.Unmarshal([]byte(stdout), &plans); err != nil || len(plans) != 1 {
			t.Fatalf("%v: exit code %d\n%s%s", err, code, stdout, stderr)
		}
		return plans[0], code
	}
	plan, code := planned()
	want := []string{
		"Change TXT _dmarc.example.test v=DMARC1; p=reject; rua=mailto:dmarc@example.test > v=DMARC1; p=quarantine; rua=mailto:dmarc@example.test",
		"Remove TXT _mta-sts.example.test v=STSv1; id=1 >",
	}
	if got := plan.steps(); !slices.Equal(got, want) || code != ExitChanges {
		t.Errorf("exit code %d\ngot  %q\nwant %q\nunknown %q", code, got, want, plan.Unknown)
	}
	// The policy of spec is the one that is out, whatever its id; and another one gets another.
	md := &v1alpha1.MailDomain{}
	change := func(to *v1alpha1.MTASTSSpec) {
		n.must(n.Get(t.Context(), client.ObjectKey{Namespace: n.name, Name: "example-test"}, md))
		old := md.DeepCopy()
		md.Spec.MTASTS = to
		n.must(n.Patch(t.Context(), md, client.MergeFrom(old)))
	}
	change(soundSpec().MTASTS)
	if plan, _ := planned(); !slices.Equal(plan.steps(), want[:1]) || len(plan.Unknown) != 0 {
		t.Errorf("%q, unknown %q", plan.steps(), plan.Unknown)
	}
	other := soundSpec().MTASTS
	other.Mode = v1alpha1.MTASTSTesting
	change(other)
	if plan, _ := planned(); !slices.Equal(plan.steps(), append(want[:1:1], "Change TXT _mta-sts.example.test v=STSv1; id=1 >")) {
		t.Errorf("%q", plan.steps())
	}
	change(nil)
	_, text, _ := n.run(slices.Concat([]string{"plan", "example-test"}, p.worldFlags())...)
	if !strings.Contains(text, "2 differences") || !strings.Contains(text, `- "v=DMARC1; p=reject`) {
		t.Error(text)
	}
}

// A CNAME is an alias in the way of other records, and where one is wanted it is the record; and what a third party publishes
// is wanted as it is.
func TestWitnesses(t *testing.T) {
	sidecar := &v1alpha1.MailDomain{Spec: soundSpec()}
	sidecar.Spec.MTASTS.Address = &v1alpha1.MTASTSAddress{Type: v1alpha1.AddressCNAME, Values: []string{"mail.other.test"}}
	external := &v1alpha1.MailDomain{Spec: soundSpec()}
	external.Spec.MTASTS.Hosting = v1alpha1.HostingExternal
	text := func(values ...string) probe.Answer { return probe.Answer{Outcome: probe.Found, Values: values} }
	alias := probe.Answer{Outcome: probe.Found, Alias: "there.other.test"}
	cname := func(target string) probe.Answer {
		return probe.Answer{Outcome: probe.Found, Alias: target, Values: []string{target}}
	}
	host, policy := Link{Name: "mta-sts.example.test", Type: "CNAME", Purpose: v1alpha1.PurposeMTASTSAddress}, Link{Name: "_mta-sts.example.test", Type: "TXT", Purpose: v1alpha1.PurposeMTASTS}
	for name, c := range map[string]struct {
		md     *v1alpha1.MailDomain
		link   Link
		answer probe.Answer
		want   Sight
	}{
		"the CNAME of the host":      {sidecar, host, cname("mail.other.test"), SightServes},
		"another CNAME":              {sidecar, host, cname("else.other.test"), SightDiffers},
		"no CNAME":                   {sidecar, host, probe.Answer{Outcome: probe.NXDomain}, SightNothing},
		"an alias at another record": {sidecar, policy, alias, SightDiffers},
		"the third party's record":   {external, policy, text("v=STSv1; id=1", "else"), SightServes},
		"its alias":                  {external, policy, alias, SightServes},
		"two records":                {external, policy, text("v=STSv1; id=1", "v=STSv1; id=2"), SightDiffers},
		"none":                       {external, policy, text(), SightNothing},
	} {
		c.link.witnesses(answers{list: []probe.Answer{c.answer}}, judgeOf(nil, &c.link, c.md))
		if got := c.link.Servers[0].Sight; got != c.want {
			t.Errorf("%s: %s, want %s: %+v", name, got, c.want, c.link.Servers[0])
		}
	}
}
