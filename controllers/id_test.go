package controllers

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// Who fetched a policy under an id does not come again while it sees that id. So no id is announced again
// after another policy was served while it was out.
func TestAnIDIsOfOnePolicy(t *testing.T) {
	first, second, none := policy(mtasts.Enforce, "a.example"), policy(mtasts.Enforce, "b.example"), policy(mtasts.None, "a.example")
	for name, wishes := range map[string][]mtasts.Policy{
		"served only, and back":             {second, first},
		"mode none, and back":               {none, first},
		"announced, and back":               {second, second, first, first},
		"back and forth":                    {second, first, first, second, second, first, first, second, second},
		"more often than can be remembered": slices.Repeat([]mtasts.Policy{second, second, first, first}, maxServed),
	} {
		t.Run(name, func(t *testing.T) {
			now, served := noon, first
			c := announced(offer(ledger.MTASTS{}, first), first, now)
			got := map[string]string{c.ID: c.Policy} // under each id: what was served while it was out
			strays := map[string]bool{}
			for _, wish := range wishes {
				now = now.Add(time.Hour)
				c = offer(c, wish)
				if served.String() == wish.String() { // proven on every replica
					before := c.ID
					c = announced(c, wish, now)
					if c.ID != before && (strays[c.ID] || got[c.ID] != "") {
						t.Fatalf("the id %s is announced again for %q", c.ID, c.Policy)
					}
					got[c.ID] = c.Policy
				}
				served = wish
				if served.String() != got[c.ID] {
					strays[c.ID] = true
				}
			}
			c = announced(offer(c, served), served, now.Add(time.Hour))
			if strays[c.ID] || c.Policy != served.String() || len(c.ID) != 32 {
				t.Errorf("the id %s is out for %q, and others were served under it: %v", c.ID, c.Policy, strays[c.ID])
			}
			if again := announced(offer(c, served), served, now.Add(2*time.Hour)); again.ID != c.ID || len(c.Served) > maxServed {
				t.Errorf("an unchanged policy gets the id %s after %s; %d are remembered", again.ID, c.ID, len(c.Served))
			}
		})
	}
}

// The first id is the hash of the policy, and stays for as long as the policy does.
func TestTheFirstIDIsTheHash(t *testing.T) {
	p := policy(mtasts.Enforce, "a.example")
	c := announced(offer(ledger.MTASTS{}, p), p, noon)
	if c.ID != p.ID() {
		t.Errorf("%s", c.ID)
	}
	if c = announced(offer(c, p), p, noon.Add(time.Hour)); c.ID != p.ID() || !c.Since.Equal(noon) {
		t.Errorf("unchanged, it is announced as %s at %v", c.ID, c.Since)
	}
}

// Replicas that serve what they served before prove nothing while they may have yet to hear of what was
// between.
func TestTheWayBackIsNotProvenByThoseWhoLag(t *testing.T) {
	first, second := policy(mtasts.Enforce, "a.example"), policy(mtasts.Enforce, "b.example")
	c := announced(offer(ledger.MTASTS{}, first), first, noon)
	for name, tt := range map[string]struct {
		told  ledger.MTASTS
		since time.Duration
		waits bool
	}{
		"unchanged":             {c, 0, false},
		"back":                  {offer(offer(c, second), first), 0, true},
		"back for a while":      {offer(offer(c, second), first), settles - time.Second, true},
		"back for long enough":  {offer(offer(c, second), first), settles, false},
		"back, and announced":   {announced(offer(offer(c, second), first), first, noon), 0, false},
		"forward for the first": {offer(offer(c, second), policy(mtasts.Enforce, "c.example")), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{now: noon, md: &v1alpha1.MailDomain{}, book: &book{Ledger: &ledger.Ledger{MTASTS: &tt.told}}, claim: claimState{held: true}}
			s.site.config = &corev1.ConfigMap{Data: map[string]string{sitePolicy: first.String(), siteSince: noon.Add(-tt.since).Format(time.RFC3339)}}
			why := unsettledReplicas(s, first)
			if why.bad() != tt.waits || tt.waits && s.recheck != settles-tt.since {
				t.Errorf("%+v, looks again in %s", why, s.recheck)
			}
		})
	}
}

// Caches have the record of a policy for a day after its withdrawal. What is served in that day may be fetched under its
// id, so the id does not come back, though nothing else is remembered of the policy.
func TestNoIDComesBackAfterAWithdrawal(t *testing.T) {
	none, enforce := policy(mtasts.None, "a.example"), policy(mtasts.Enforce, "a.example")
	for name, policies := range map[string][]mtasts.Policy{
		"the only policy":  {none},
		"the last policy":  {enforce, none},
		"each one in turn": {none, enforce, none},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{now: noon, md: &v1alpha1.MailDomain{}, book: &book{Ledger: ledger.New("example.com")}, claim: claimState{held: true}}
			ids := map[string]bool{}
			for range 3 { // times that the section is put into spec, and taken out
				for _, p := range policies {
					s.commit(announced(offer(s.commitment(), p), p, s.now))
					if id := s.book.MTASTS.ID; ids[id] {
						t.Errorf("the id %s is announced again", id)
					} else {
						ids[id] = true
					}
				}
				s.endCommitment()
				s.commit(offer(s.commitment(), enforce)) // served in the day after, and not announced
			}
		})
	}
}

// A holder whose section went before it had announced anything leaves the record of the holder before, if that
// stands: who sees its id renews the policy that it holds.
func TestAWithdrawalWaitsForTheRecordOfTheHolderBefore(t *testing.T) {
	slot, before := records.MTASTSSlot("example.com"), policy(mtasts.Enforce, "a.example")
	for name, tt := range map[string]struct {
		answer probe.Answer
		ends   bool
	}{
		"it stands": {probe.Answer{Server: "ns1", Outcome: probe.Found, Values: []string{"v=STSv1; id=1"}}, false},
		"it went":   {probe.Answer{Server: "ns1", Outcome: probe.NoData}, true},
		"silence":   {probe.Answer{Server: "ns1", Outcome: probe.Timeout}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New("example.com")
			l.MTASTS = new(offer(offer(ledger.MTASTS{}, before), records.MTASTSWithdrawal()))
			s := &scope{
				now: noon, md: &v1alpha1.MailDomain{Spec: v1alpha1.MailDomainSpec{Domain: "example.com"}}, book: &book{Ledger: l}, claim: claimState{held: true},
				looks: map[string]sight{slot.Name: {answers: []probe.Answer{tt.answer}}}, blocked: map[string]verdict{},
			}
			(&Reconciler{}).endUnannounced(t.Context(), s, slot, *l.MTASTS)
			if closing(*s.book.MTASTS) != tt.ends || s.blocked[v1alpha1.ConditionMTASTSReady].bad() == tt.ends {
				t.Errorf("ends: %v, and the condition says %+v", closing(*s.book.MTASTS), s.blocked)
			}
		})
	}
}

// A withdrawal whose record is gone is over, also where the process died before it noted that: mode none is not
// announced again while a gate holds back what comes after it.
func TestAWithdrawalThatIsOverStaysOver(t *testing.T) {
	slot := records.MTASTSSlot("example.com")
	none, enforce := policy(mtasts.None, "a.example"), policy(mtasts.Enforce, "a.example")
	over := announced(ledger.MTASTS{}, none, noon.Add(-time.Hour))
	for name, tt := range map[string]struct {
		told   *ledger.MTASTS
		stands bool
		mode   v1alpha1.Mode
		want   bool
	}{
		"over":                    {&over, false, v1alpha1.ModeEnforce, true},
		"the record stands":       {&over, true, v1alpha1.ModeEnforce, false},
		"only looked at":          {&over, false, v1alpha1.ModeObserve, false},
		"senders hold one before": {new(announced(announced(ledger.MTASTS{}, enforce, noon.Add(-2*time.Hour)), none, noon.Add(-time.Hour))), false, v1alpha1.ModeEnforce, false},
		"another mode":            {new(announced(ledger.MTASTS{}, enforce, noon.Add(-time.Hour))), false, v1alpha1.ModeEnforce, false},
		"nothing was announced":   {&ledger.MTASTS{}, false, v1alpha1.ModeEnforce, false},
		"never any":               {nil, false, v1alpha1.ModeEnforce, false},
	} {
		l := ledger.New("example.com")
		l.MTASTS = tt.told
		if tt.stands {
			l.Intend("example.com", slot.Key, string(v1alpha1.PurposeMTASTS), mtasts.Record{ID: none.ID()}.String())
		}
		md := &v1alpha1.MailDomain{Spec: v1alpha1.MailDomainSpec{Domain: "example.com", Mode: tt.mode, DNS: &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Name: "dns"}}}}
		s := &scope{now: noon, md: md, book: &book{Ledger: l}, claim: claimState{held: true}}
		if got := s.withdrawnBefore(slot); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
