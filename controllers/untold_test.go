package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// A policy ends only when no name server has its id any more, of which one that is silent is believed
// after an hour (Law 5).
func TestWhoHasTheIDOfThePolicyBefore(t *testing.T) {
	before, after := policy(mtasts.Enforce, "a.example"), policy(mtasts.Enforce, "b.example")
	record := func(p mtasts.Policy) string { return mtasts.Record{ID: p.ID()}.String() }
	has := func(server string, texts ...string) probe.Answer {
		return probe.Answer{Server: server, Outcome: probe.Found, Values: texts}
	}
	is := func(server string, outcome probe.Outcome) probe.Answer {
		return probe.Answer{Server: server, Outcome: outcome}
	}
	alias := has("ns2")
	alias.Alias = "elsewhere.example"
	for name, tt := range map[string]struct {
		answers []probe.Answer
		silent  time.Duration // for how long ns2 is
		reason  string
		says    string
	}{
		"nobody":                 {answers: []probe.Answer{has("ns1", record(after)), has("ns2", record(after))}},
		"one":                    {answers: []probe.Answer{has("ns1", record(after)), has("ns2", record(before))}, reason: v1alpha1.ReasonWaitingForPropagation, says: "while ns2 may"},
		"all":                    {answers: []probe.Answer{has("ns1", record(before)), has("ns2", record(before))}, reason: v1alpha1.ReasonWaitingForPropagation, says: "while ns1, ns2 may"},
		"one with another text":  {answers: []probe.Answer{has("ns1", record(after)), has("ns2", "hello", record(before))}, reason: v1alpha1.ReasonWaitingForPropagation, says: "ns2"},
		"one that has both":      {answers: []probe.Answer{has("ns1", record(after)), has("ns2", record(before), record(after))}},
		"one that has none":      {answers: []probe.Answer{has("ns1", record(after)), is("ns2", probe.NXDomain)}},
		"one with an alias":      {answers: []probe.Answer{has("ns1", record(after)), alias}, reason: v1alpha1.ReasonWaitingForPropagation, says: "ns2"},
		"one without a route":    {answers: []probe.Answer{has("ns1", record(after)), is("ns2", probe.Unroutable)}},
		"one is silent":          {answers: []probe.Answer{has("ns1", record(after)), is("ns2", probe.ServFail)}, reason: v1alpha1.ReasonServersUnreachable, says: "ns2"},
		"silent for less":        {answers: []probe.Answer{has("ns1", record(after)), is("ns2", probe.ServFail)}, silent: keys.SilenceLimit - time.Second, reason: v1alpha1.ReasonServersUnreachable, says: "ns2"},
		"silent for an hour":     {answers: []probe.Answer{has("ns1", record(after)), is("ns2", probe.ServFail)}, silent: keys.SilenceLimit},
		"all silent for an hour": {answers: []probe.Answer{is("ns2", probe.ServFail)}, silent: keys.SilenceLimit, reason: v1alpha1.ReasonServersUnreachable, says: "no name server"},
	} {
		t.Run(name, func(t *testing.T) {
			slot := records.MTASTSSlot("example.com")
			s := &scope{now: noon, book: &book{Ledger: ledger.New("example.com")}, looks: map[string]sight{slot.Name: {answers: tt.answers}}}
			if tt.silent > 0 {
				s.book.Silent = map[string]time.Time{"ns2": noon.Add(-tt.silent)}
			}
			why := (&Reconciler{}).untold(t.Context(), s, slot, record(after))
			if why.reason != tt.reason || !strings.Contains(why.message, tt.says) {
				t.Errorf("%q: %s", why.reason, why.message)
			}
		})
	}
}
