package controllers

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// sentinel stands for whatever a remote side may put into a policy: it must not be told.
const sentinel = "sentinel.attacker.example"

func TestWhatAThirdPartyServes(t *testing.T) {
	theirs, own := policy(mtasts.Testing, "mx1.example.com").String(), policy(mtasts.Enforce, "mx1.example.com").String()
	at := func(addr string, outcome probe.PolicyOutcome, body string) probe.PolicyResult {
		r := probe.PolicyResult{Addr: netip.MustParseAddrPort(addr + ":443"), Outcome: outcome, Body: body}
		if outcome != probe.PolicyServed {
			r.Detail = "as the test says"
		}
		return r
	}
	served := func(addr, body string) probe.PolicyResult { return at(addr, probe.PolicyServed, body) }
	nowhere := func(netip.Addr) (bool, bool) { return false, false }
	here := func(a netip.Addr) (bool, bool) { return a == netip.MustParseAddr("192.0.2.1"), true }
	gone := &net.DNSError{IsNotFound: true}
	for name, tt := range map[string]struct {
		results []probe.PolicyResult
		err     error
		own     ownPolicy
		reason  string
		says    string
		mode    mtasts.Mode
		ours    int
	}{
		"one":                       {results: []probe.PolicyResult{served("192.0.2.9", theirs)}, mode: mtasts.Testing},
		"two alike":                 {results: []probe.PolicyResult{served("192.0.2.8", theirs), served("192.0.2.9", theirs)}, mode: mtasts.Testing},
		"two unlike":                {results: []probe.PolicyResult{served("192.0.2.8", theirs), served("192.0.2.9", own)}, reason: v1alpha1.ReasonThirdPartyMismatch, says: "different policies"},
		"one without a route":       {results: []probe.PolicyResult{at("192.0.2.8", probe.PolicyUnroutable, ""), served("192.0.2.9", theirs)}, mode: mtasts.Testing},
		"none with a route":         {results: []probe.PolicyResult{at("192.0.2.8", probe.PolicyUnroutable, "")}, reason: v1alpha1.ReasonNotReachableFromHere},
		"one silent":                {results: []probe.PolicyResult{served("192.0.2.8", theirs), at("192.0.2.9", probe.PolicyNoAnswer, "")}, reason: v1alpha1.ReasonPolicyNotServed, says: "192.0.2.9: as the test says", mode: mtasts.Testing},
		"a bad certificate":         {results: []probe.PolicyResult{at("192.0.2.9", probe.PolicyBadCertificate, sentinel)}, reason: v1alpha1.ReasonPolicyNotServed, says: "as the test says"},
		"no address":                {err: gone, reason: v1alpha1.ReasonPolicyNotServed, says: "has no address"},
		"no answer of the resolver": {err: errors.New("time-out"), reason: v1alpha1.ReasonPolicyNotServed, says: "can't be found out"},
		"rubbish":                   {results: []probe.PolicyResult{served("192.0.2.9", sentinel)}, reason: v1alpha1.ReasonThirdPartyMismatch, says: "octet 0: want key: value"},
		"a bad mode":                {results: []probe.PolicyResult{served("192.0.2.9", "version: STSv1\r\nmode: "+sentinel+"\r\n")}, reason: v1alpha1.ReasonThirdPartyMismatch, says: "octet 16: want mode: enforce, testing or none"},

		"the operator's own":             {results: []probe.PolicyResult{served("192.0.2.1", own)}, own: ownPolicy{body: own, at: here}, reason: v1alpha1.ReasonPolicyNotServed, says: "192.0.2.1 still leads to the operator", ours: 1},
		"the same text elsewhere":        {results: []probe.PolicyResult{served("192.0.2.9", own)}, own: ownPolicy{body: own, at: here}, mode: mtasts.Enforce},
		"the same text, who knows where": {results: []probe.PolicyResult{served("192.0.2.9", own)}, own: ownPolicy{body: own, at: nowhere}, reason: v1alpha1.ReasonPolicyNotServed, ours: 1},
		"another text, at our address":   {results: []probe.PolicyResult{served("192.0.2.1", theirs)}, own: ownPolicy{body: own, at: here}, mode: mtasts.Testing},
		"theirs beside the operator's":   {results: []probe.PolicyResult{served("192.0.2.1", own), served("192.0.2.9", theirs)}, own: ownPolicy{body: own, at: here}, reason: v1alpha1.ReasonPolicyNotServed, says: "192.0.2.1 still", mode: mtasts.Testing, ours: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := servedBy("example.com", probe.PolicyAnswer{Results: tt.results}, tt.err, tt.own)
			if got.why.reason != tt.reason || !strings.Contains(got.why.message, tt.says) || got.policy.Mode != tt.mode || len(got.own) != tt.ours {
				t.Errorf("%+v", got)
			}
			if strings.Contains(got.why.message, sentinel) {
				t.Errorf("the remote text is told: %s", got.why.message)
			}
		})
	}
}

func TestWhatAThirdPartyAnnounces(t *testing.T) {
	const own, theirs, other = "v=STSv1; id=1", "v=STSv1; id=20261123", "v=STSv1; id=2"
	has := func(server string, texts ...string) probe.Answer {
		return probe.Answer{Server: server, Outcome: probe.Found, Values: texts}
	}
	is := func(server string, outcome probe.Outcome) probe.Answer {
		return probe.Answer{Server: server, Outcome: outcome}
	}
	alias := func(server string) probe.Answer {
		a := has(server)
		a.Alias = "_mta-sts.provider.example"
		return a
	}
	for name, tt := range map[string]struct {
		answers []probe.Answer
		target  []string
		reason  string
		says    string
		own     int
		beside  bool
	}{
		"theirs":                {answers: []probe.Answer{has("ns1", theirs, "hello"), has("ns2", theirs)}},
		"by an alias":           {answers: []probe.Answer{alias("ns1"), alias("ns2")}, target: []string{theirs}},
		"by an alias to none":   {answers: []probe.Answer{alias("ns1")}, reason: v1alpha1.ReasonNotServed, says: "nobody asks"},
		"an alias at one":       {answers: []probe.Answer{alias("ns1"), has("ns2", other)}, target: []string{theirs}, reason: v1alpha1.ReasonWaitingForPropagation, says: "different"},
		"one is silent":         {answers: []probe.Answer{has("ns1", theirs), is("ns2", probe.ServFail)}},
		"all are silent":        {answers: []probe.Answer{is("ns1", probe.ServFail)}, reason: v1alpha1.ReasonServersUnreachable},
		"none":                  {answers: []probe.Answer{is("ns1", probe.NXDomain), has("ns2", "hello")}, reason: v1alpha1.ReasonNotServed},
		"at one of two":         {answers: []probe.Answer{has("ns1", theirs), is("ns2", probe.NXDomain)}, reason: v1alpha1.ReasonWaitingForPropagation, says: "ns2"},
		"two of theirs":         {answers: []probe.Answer{has("ns1", theirs, other)}, reason: v1alpha1.ReasonVerificationFailed, says: "several for none"},
		"ids that differ":       {answers: []probe.Answer{has("ns1", theirs), has("ns2", other)}, reason: v1alpha1.ReasonWaitingForPropagation, says: "different"},
		"unreadable":            {answers: []probe.Answer{has("ns1", "v=STSv1; id=a-b")}, reason: v1alpha1.ReasonVerificationFailed, says: "letters and digits"},
		"the operator's alone":  {answers: []probe.Answer{has("ns1", own), has("ns2", own)}, reason: v1alpha1.ReasonNotServed, says: "ns1, ns2 still has the operator's own", own: 2},
		"both":                  {answers: []probe.Answer{has("ns1", own, theirs), has("ns2", own, theirs)}, reason: v1alpha1.ReasonWaitingForPropagation, says: "beside", own: 2, beside: true},
		"theirs is on its way":  {answers: []probe.Answer{has("ns1", own), has("ns2", theirs)}, reason: v1alpha1.ReasonWaitingForPropagation, says: "ns1 still", own: 1},
		"both, and one of more": {answers: []probe.Answer{has("ns1", own, theirs, other)}, reason: v1alpha1.ReasonVerificationFailed, own: 1},
	} {
		t.Run(name, func(t *testing.T) {
			x := external{spec: &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSTesting}, known: true, served: fetched{policy: policy(mtasts.Testing, "mx1.example.com")}}
			x.record = announcedIn(records.MTASTSSlot("example.com"), sight{answers: tt.answers}, tt.target, ownPolicy{record: own})
			if got := x.record; got.why.reason != tt.reason || !strings.Contains(got.why.message, tt.says) || len(got.own) != tt.own || (got.state == v1alpha1.RecordVerified) != (tt.reason == "") {
				t.Errorf("%+v", got)
			}
			if x.ownBeside() != tt.beside {
				t.Errorf("beside: %v", x.ownBeside())
			}
			if x.verdict() != x.record.why {
				t.Errorf("the verdict is %v", x.verdict())
			}
		})
	}
}

// What spec and the live MX records want of the third party's policy.
func TestAThirdPartysPolicyIsJudged(t *testing.T) {
	week := &metav1.Duration{Duration: 168 * time.Hour}
	day := &metav1.Duration{Duration: 24 * time.Hour}
	spec := func(mode v1alpha1.MTASTSMode, age *metav1.Duration, mx ...string) v1alpha1.MTASTSSpec {
		return v1alpha1.MTASTSSpec{Mode: mode, MaxAge: age, MX: mx, Hosting: v1alpha1.HostingExternal}
	}
	enforce, tests, none := v1alpha1.MTASTSEnforce, v1alpha1.MTASTSTesting, v1alpha1.MTASTSNone
	for name, tt := range map[string]struct {
		spec    v1alpha1.MTASTSSpec
		policy  mtasts.Policy
		live    []mxHost
		unknown bool
		reason  string
		says    string
	}{
		"as spec says":         {spec: spec(enforce, week, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("mx1.example.com")},
		"in another order":     {spec: spec(enforce, nil, "a.example", "b.example"), policy: policy(mtasts.Enforce, "B.example", "a.example"), live: hosts("a.example")},
		"no more than a mode":  {spec: spec(tests, nil), policy: policy(mtasts.Testing, "*.example.com"), live: hosts("mx1.example.com")},
		"mode none":            {spec: spec(none, nil), policy: mtasts.Policy{Mode: mtasts.None, MaxAge: time.Hour}, live: hosts("mx1.example.com")},
		"weaker":               {spec: spec(enforce, nil, "mx1.example.com"), policy: policy(mtasts.Testing, "mx1.example.com"), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonThirdPartyMismatch, says: "mode: testing, and spec.mtaSTS.mode is enforce"},
		"stricter":             {spec: spec(tests, nil), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonThirdPartyMismatch, says: "mode: enforce"},
		"gone to none":         {spec: spec(enforce, nil, "mx1.example.com"), policy: mtasts.Policy{Mode: mtasts.None}, live: hosts("mx1.example.com"), reason: v1alpha1.ReasonThirdPartyMismatch, says: "mode: none"},
		"another max_age":      {spec: spec(enforce, day, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonThirdPartyMismatch, says: "max_age: 604800, and spec.mtaSTS.maxAge is 86400 seconds"},
		"a host too few":       {spec: spec(enforce, nil, "mx1.example.com", "mx2.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonThirdPartyMismatch, says: "no mx line for mx2.example.com"},
		"a host too many":      {spec: spec(enforce, nil, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com", sentinel), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonThirdPartyMismatch, says: "1 mx lines beyond"},
		"mail at risk":         {spec: spec(enforce, nil, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("mx1.example.com", "mx2.example.com"), reason: v1alpha1.ReasonMailAtRisk, says: "does not cover the live MX host mx2.example.com"},
		"at risk before all":   {spec: spec(tests, day), policy: policy(mtasts.Enforce, sentinel), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonMailAtRisk, says: "mx1.example.com"},
		"a host without TLS":   {spec: spec(enforce, nil, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("bad mx1.example.com"), reason: v1alpha1.ReasonMailAtRisk, says: "mend it"},
		"a host in the dark":   {spec: spec(enforce, nil, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), live: hosts("dark mx1.example.com")},
		"testing, not covered": {spec: spec(tests, nil), policy: policy(mtasts.Testing, sentinel), live: hosts("mx1.example.com"), reason: v1alpha1.ReasonMXNotCovered, says: "mx1.example.com"},
		"MX records unknown":   {spec: spec(enforce, nil, "mx1.example.com"), policy: policy(mtasts.Enforce, "mx1.example.com"), unknown: true, reason: v1alpha1.ReasonServersUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			x := external{spec: &tt.spec, live: tt.live, known: !tt.unknown, served: fetched{policy: tt.policy}}
			if why := x.verdict(); why.reason != tt.reason || !strings.Contains(why.message, tt.says) || strings.Contains(why.message, sentinel) {
				t.Errorf("%q: %s", why.reason, why.message)
			}
		})
	}
}

// What is remembered of a third party's policies: how long testing has lasted, and when the last sender forgets
// an earlier one.
func TestAThirdPartysPolicyIsRemembered(t *testing.T) {
	x := func(p mtasts.Policy) external { return external{served: fetched{policy: p}} }
	first := x(policy(mtasts.Testing, "a.example")).remembered(nil, noon)
	if diff := cmp.Diff(&ledger.ThirdParty{Policy: policy(mtasts.Testing, "a.example").String(), Since: noon}, first); diff != "" {
		t.Fatal(diff)
	}
	later := noon.Add(time.Hour)
	for name, tt := range map[string]struct {
		next mtasts.Policy
		want ledger.ThirdParty
	}{
		"none is seen":    {mtasts.Policy{}, *first},
		"the same":        {policy(mtasts.Testing, "a.example"), *first},
		"another line":    {policy(mtasts.Testing, "b.example"), ledger.ThirdParty{Policy: policy(mtasts.Testing, "b.example").String(), Since: noon}},
		"another mode":    {policy(mtasts.Enforce, "a.example"), ledger.ThirdParty{Policy: policy(mtasts.Enforce, "a.example").String(), Since: later}},
		"a field of ours": {mtasts.Policy{Mode: mtasts.Testing, MaxAge: 168 * time.Hour, MX: []string{"a.example"}, Extensions: []mtasts.Extension{{Name: "x", Value: sentinel}}}, *first},
	} {
		if diff := cmp.Diff(&tt.want, x(tt.next).remembered(first, later)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	enforced := x(policy(mtasts.Enforce, "a.example")).remembered(first, later)
	wider := x(policy(mtasts.Enforce, "a.example", "b.example")).remembered(enforced, later.Add(time.Hour))
	if want := later.Add(time.Hour + recordCaches + 168*time.Hour); !wider.Until.Equal(want) || !wider.Since.Equal(later) {
		t.Errorf("%+v, want the end %v", wider, want)
	}
	if got := x(wide(1000)).remembered(nil, noon); len(got.Policy) > 10<<10 {
		t.Errorf("%d octets are stored", len(got.Policy))
	} else if p, err := mtasts.ParsePolicy(got.Policy); err != nil || len(p.MX) != maxSeenMX {
		t.Errorf("%v, %v", p, err)
	}
}

func wide(n int) mtasts.Policy {
	p := policy(mtasts.Enforce)
	for range n {
		p.MX = append(p.MX, strings.Repeat("x", 60)+"."+strings.Repeat("y", 60)+".example")
	}
	return p
}

// A handed-over policy ends when the last sender has forgotten it, who may get it for a day from then.
func TestHandedOver(t *testing.T) {
	before := told(policy(mtasts.Enforce, "a.example"), ledger.HeldPolicy{Policy: policy(mtasts.Testing, "b.example").String()})
	c := handedOver(before, noon)
	if c.Policy != "" || c.ID != before.ID || open(c) || !c.HandedOver.Equal(noon) || len(c.Held) != 2 {
		t.Fatalf("%+v", c)
	}
	if want := noon.Add(recordCaches + 168*time.Hour); !ends(c).Equal(want) {
		t.Errorf("it ends %v, want %v", ends(c), want)
	}
	for theirs, wait := range map[string]bool{"a.example": false, "c.example": true} {
		x := external{served: fetched{policy: policy(mtasts.Enforce, theirs)}}
		if at := x.movable(&c, nil, noon); at.IsZero() == wait {
			t.Errorf("with %s MX records may move %v", theirs, at)
		}
	}
}
