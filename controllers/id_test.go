package controllers

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
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

// The first id is the hash of the policy, so that a ledger of an earlier version goes on with what it has.
func TestTheFirstIDIsTheHash(t *testing.T) {
	p := policy(mtasts.Enforce, "a.example")
	if c := announced(offer(ledger.MTASTS{}, p), p, noon); c.ID != p.ID() {
		t.Errorf("%s", c.ID)
	}
	old := ledger.MTASTS{Policy: p.String(), ID: p.ID(), Since: noon}
	if c := announced(offer(old, p), p, noon.Add(time.Hour)); c.ID != p.ID() || !c.Since.Equal(noon) {
		t.Errorf("an upgrade announces %s at %v", c.ID, c.Since)
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

// An earlier version did not store the ids before. A policy that senders may still hold does not get its
// first id back, under which they may have got another one.
func TestAnUpgradeKnowsTheIDsOfPoliciesThatAreHeld(t *testing.T) {
	first, second := policy(mtasts.Enforce, "a.example"), policy(mtasts.Enforce, "b.example")
	for name, until := range map[string]time.Time{"has an end": noon.Add(100 * time.Hour), "may be seen": {}} {
		old := ledger.MTASTS{Policy: second.String(), ID: second.ID(), Since: noon, Held: []ledger.HeldPolicy{{Policy: first.String(), Until: until}}}
		if c := announced(offer(old, first), first, noon.Add(time.Hour)); c.ID == first.ID() {
			t.Errorf("%s: announced under its first id again, under which the other one was served", name)
		}
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
